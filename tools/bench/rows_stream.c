/* Rows on descriptors that stay open: programs through `eval`, and how soon `watch` tells. */
#include "tools/bench/clients.h"
#include "tools/bench/files.h"
#include "tools/bench/measure.h"
#include "tools/bench/rows.h"
#include "tools/bench/site.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Programs ------------------------------------------------------------------- */

static const char *no_eval(const struct bench *bench)
{
	return site_has(&bench->site, "eval") ? NULL : "the mount has no `eval`";
}

static int open_eval(struct client *client)
{
	g_autofree char *path = site_control(&client->bench->site, "eval");
	int fd = open(path, O_RDWR | O_CLOEXEC);

	client->state = GINT_TO_POINTER(fd);
	return fd < 0 ? client_fail_at(client, "open", path, -errno) : 0;
}

static void close_eval(struct client *client)
{
	if (GPOINTER_TO_INT(client->state) >= 0)
		close(GPOINTER_TO_INT(client->state));
}

/* Two keys are read and written where the state of the moment is known, so this never
 * conflicts; that both are there is checked. */
static char *transfer_program(const struct client *client, const guint pair[static 2])
{
	const char *name = client->bench->site.name;
	char from[SITE_NAME_MAX], to[SITE_NAME_MAX];

	site_key_name(pair[0], client->row->keys, from);
	site_key_name(pair[1], client->row->keys, to);
	return g_strdup_printf("exists(\"%s/accounts/%s\")\nexists(\"%s/accounts/%s\")\n\n"
			       "add \"%s/accounts/%s\" -1\nadd \"%s/accounts/%s\" 1\n\n",
			       name, from, name, to, name, from, name, to);
}

static int transfer_by_program(struct client *client)
{
	int fd = GPOINTER_TO_INT(client->state);
	g_autofree char *program = NULL;
	char reply[1024];
	guint pair[2];
	ssize_t size;
	int r;

	client_random_pair(client, client->row->keys, pair);
	program = transfer_program(client, pair);
	r = file_write(fd, program, strlen(program));
	if (r < 0)
		return client_fail_at(client, "write to", "eval", r);
	size = read(fd, reply, sizeof(reply) - 1);
	if (size < 0)
		return client_fail_at(client, "read", "eval", -errno);
	reply[size] = '\0';
	if (!g_str_has_prefix(reply, "SUCCESS "))
		return client_fail(client, -EPROTO, "eval replied: %.*s", (int)strcspn(reply, "\n"),
				   reply);
	return 0;
}

static const struct workload program_workload = {
	.open = open_eval,
	.step = transfer_by_program,
	.close = close_eval,
};

/* ---- Watching ------------------------------------------------------------------- */

/* A writer, and a process that reads `watch` and tells when it saw a commit. */
struct watcher {
	pid_t reader;
	int seen;     /* int64_t times come out of it */
	int accounts; /* live */
};

static const char *no_watch(const struct bench *bench)
{
	return site_has(&bench->site, "watch") ? NULL : "the mount has no `watch`";
}

/* An empty line ends what is told of a commit. */
static _Noreturn void read_watch(int watch, int seen)
{
	char text[4096];
	ssize_t size;

	while ((size = read(watch, text, sizeof(text))) > 0) {
		int64_t now = measure_now();

		if (text[size - 1] == '\n' && (size == 1 || text[size - 2] == '\n') &&
		    write(seen, &now, sizeof(now)) < 0)
			break;
	}
	_exit(0);
}

static int start_reader(struct client *client, struct watcher *watcher, int watch)
{
	pid_t parent = getpid();
	int seen[2];

	if (pipe2(seen, O_CLOEXEC) < 0)
		return client_fail_at(client, "make", "a pipe", -errno);
	watcher->seen = seen[0];
	watcher->reader = fork();
	if (watcher->reader == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			read_watch(watch, seen[1]);
		_exit(1);
	}
	close(seen[1]);
	return watcher->reader < 0 ? client_fail_at(client, "start", "a reader", -errno) : 0;
}

static int open_watch(struct client *client)
{
	const struct site *site = &client->bench->site;
	g_autofree char *path = site_control(site, "watch");
	g_autofree char *prefix = g_strdup_printf("%s/accounts\n", site->name);
	g_autofree char *accounts = g_build_filename(site->keys, "accounts", NULL);
	struct watcher *watcher = g_new0(struct watcher, 1);
	int watch, r;

	watcher->seen = -1;
	client->state = watcher;
	watcher->accounts = open(accounts, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (watcher->accounts < 0)
		return client_fail_at(client, "open", accounts, -errno);
	watch = open(path, O_RDWR | O_CLOEXEC);
	if (watch < 0)
		return client_fail_at(client, "open", path, -errno);
	r = file_write(watch, prefix, strlen(prefix));
	r = r < 0 ? client_fail_at(client, "write to", path, r) :
		    start_reader(client, watcher, watch);
	close(watch);
	return r;
}

static void close_watch(struct client *client)
{
	struct watcher *watcher = client->state;

	if (watcher->reader > 0) {
		kill(watcher->reader, SIGKILL);
		waitpid(watcher->reader, NULL, 0);
	}
	if (watcher->seen >= 0)
		close(watcher->seen);
	if (watcher->accounts >= 0)
		close(watcher->accounts);
	g_free(watcher);
}

/* The latency is from the reply to the writer until the reader has it; nothing when the
 * reader has it first. */
static int write_and_see(struct client *client)
{
	struct watcher *watcher = client->state;
	char name[SITE_NAME_MAX];
	int64_t done, seen;
	int r;

	site_key_name(client_random(client, client->row->keys), client->row->keys, name);
	r = file_replace_at(watcher->accounts, name, SITE_ACCOUNT_TEXT, strlen(SITE_ACCOUNT_TEXT));
	done = measure_now();
	if (r < 0)
		return client_fail_at(client, "write account", name, r);
	if (read(watcher->seen, &seen, sizeof(seen)) != (ssize_t)sizeof(seen))
		return client_fail(client, -EPROTO, "the reader of `watch` ended");
	client->latency_us = seen > done ? (double)(seen - done) / 1000 : 0;
	return 0;
}

static const struct workload watch_workload = {
	.open = open_watch,
	.step = write_and_see,
	.close = close_watch,
};

const struct row stream_rows[] = {
	{ .name = "program",
	  .clients = 1,
	  .keys = SITE_ACCOUNTS,
	  .kind = ROW_MOUNT,
	  .commits = 1,
	  .missing = no_eval,
	  .workload = &program_workload },
	{ .name = "program",
	  .clients = 16,
	  .keys = SITE_ACCOUNTS,
	  .kind = ROW_MOUNT,
	  .commits = -1,
	  .missing = no_eval,
	  .workload = &program_workload },
	{ .name = "watch",
	  .clients = 1,
	  .keys = SITE_ACCOUNTS,
	  .kind = ROW_MOUNT,
	  .commits = -1,
	  .missing = no_watch,
	  .workload = &watch_workload },
};
const guint stream_rows_count = G_N_ELEMENTS(stream_rows);
