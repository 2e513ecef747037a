/* Loading a store in process: what would take minutes through a mount. */
#include "store/store.h"
#include "tools/bench/site.h"
#include "tools/bench/submit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEYS_PER_COMMIT 1000

struct load {
	const struct site *site;
	struct store *store;
	guint count;
	guint size;
};

static int apply(const struct load *load, struct program *program)
{
	bool succeeded; /* without compares it always does, or there is an error */
	int r = submit_and_wait(load->store, program, &succeeded);

	return r == 0 && !succeeded ? -EIO : r;
}

static void add_directory(const struct load *load, struct program *program, const char *below)
{
	g_autofree char *key = g_strconcat(load->site->name, below, NULL);

	program_add(program, OP_MKDIR, key)->mode = 0755;
}

/* An account's text, filled up to its size: still a number to those that read it. */
static GBytes *make_value(const struct load *load)
{
	GString *text = g_string_new(SITE_ACCOUNT_TEXT);

	while (text->len < load->size)
		g_string_append_c(text, text->len + 1 == load->size ? '\n' : '.');
	return g_string_free_to_bytes(text);
}

static void add_key(const struct load *load, struct program *program, guint index)
{
	char name[SITE_NAME_MAX];
	g_autofree char *key = NULL;
	struct op *put;

	site_key_name(index, load->count, name);
	key = g_strconcat(load->site->name, "/accounts/", name, NULL);
	put = program_add(program, OP_PUT, key);
	put->mode = 0644;
	put->value = make_value(load);
}

/* The keys from `first` on that one commit has; the directory they are in comes with them. */
static int load_some(struct load *load, guint first, bool fresh)
{
	struct program *program = submit_new_program();
	guint end = MIN(first + KEYS_PER_COMMIT, load->count);

	if (fresh && load->count > SITE_FANOUT) {
		g_autofree char *below = g_strdup_printf("/accounts/%u", first / SITE_FANOUT);

		add_directory(load, program, below);
	}
	for (guint i = first; i < end; i++)
		add_key(load, program, i);
	return apply(load, program);
}

static int load_all(struct load *load, bool fresh)
{
	int r = 0;

	if (fresh) {
		struct program *program = submit_new_program();

		add_directory(load, program, "");
		add_directory(load, program, "/accounts");
		r = apply(load, program);
	}
	for (guint i = 0; i < load->count && r == 0; i += KEYS_PER_COMMIT)
		r = load_some(load, i, fresh);
	return r;
}

static bool is_loaded(const struct load *load)
{
	g_autoptr(record) record = NULL;

	return snapshot_get(store_head(load->store), load->site->name, &record) == 0;
}

static int load_process(const struct site *site, guint count, guint size, bool crash)
{
	struct load load = { .site = site, .count = count, .size = size };
	g_autofree char *message = NULL;
	struct store_options options;
	int r;

	store_options_init(&options);
	options.path = site->store;
	r = store_open(&options, &load.store, &message);
	if (r < 0)
		return bench_fail(r, "%s", message);
	r = load_all(&load, !is_loaded(&load));
	if (r < 0)
		return bench_fail(r, "cannot load store '%s': %s", site->store, g_strerror(-r));
	if (crash)
		kill(getpid(), SIGKILL);
	store_close(load.store);
	return 0;
}

int site_load(const struct site *site, guint count, guint size, bool crash)
{
	pid_t parent = getpid(), child = fork();
	int status;

	if (child < 0)
		return bench_fail(-errno, "cannot start a process: %s", g_strerror(errno));
	if (child == 0) {
		signal(SIGINT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() == parent)
			_exit(load_process(site, count, size, crash) < 0 ? 1 : 0);
		_exit(1);
	}
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return bench_fail(-errno, "cannot wait for the loading of '%s': %s",
					  site->store, g_strerror(errno));
		if (bench_interrupted())
			kill(child, SIGTERM);
	}
	if (bench_interrupted())
		return -EINTR;
	if (crash)
		return WIFSIGNALED(status) ? 0 : -EIO;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}
