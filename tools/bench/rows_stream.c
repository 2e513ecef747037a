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

/* Writes a program and reads its reply. *ret_success: not FAILURE. */
static int ask(struct client *client, const char *program, char *reply, size_t reply_size,
	       bool *ret_success)
{
	int fd = GPOINTER_TO_INT(client->state);
	int r = file_write(fd, program, strlen(program));
	ssize_t size;

	if (r < 0)
		return client_fail_at(client, "write to", "eval", r);
	size = read(fd, reply, reply_size - 1);
	if (size < 0)
		return client_fail_at(client, "read", "eval", -errno);
	reply[size] = '\0';
	*ret_success = g_str_has_prefix(reply, "SUCCESS ");
	if (!*ret_success && !g_str_has_prefix(reply, "FAILURE "))
		return client_fail(client, -EPROTO, "eval replied: %.*s", (int)strcspn(reply, "\n"),
				   reply);
	return 0;
}

static int transfer_by_program(struct client *client)
{
	g_autofree char *program = NULL;
	char reply[1024];
	guint pair[2];
	bool success;
	int r;

	client_random_pair(client, client->row->keys, pair);
	program = transfer_program(client, pair);
	r = ask(client, program, reply, sizeof(reply), &success);
	if (r == 0 && !success)
		r = client_fail(client, -EPROTO, "eval found no account");
	return r;
}

static const struct workload program_workload = {
	.open = open_eval,
	.step = transfer_by_program,
	.close = close_eval,
};

/* ---- Optimistic programs -------------------------------------------------------- */

struct seen_account {
	unsigned long long revision;
	int value;
};

/* Reads what `get` says of the two keys. */
static int see(struct client *client, char keys[2][2 * SITE_NAME_MAX],
	       struct seen_account ret[static 2])
{
	g_autofree char *program = g_strdup_printf("get \"%s\"\nget \"%s\"\n", keys[0], keys[1]);
	const char *line;
	char reply[1024];
	bool success;
	int r = ask(client, program, reply, sizeof(reply), &success);

	line = reply;
	for (int i = 0; r == 0 && i < 2; i++) {
		line = strstr(line, "\nget 1\n");
		if (!line ||
		    sscanf(line, "\nget 1\n%llu %*u %*s\n%d", &ret[i].revision, &ret[i].value) != 2)
			return client_fail(client, -EPROTO, "eval found no account");
		line++;
	}
	return r;
}

/* What a client of etcd does: looks, and writes if nothing has changed since. */
static int try_optimistic(struct client *client, char keys[2][2 * SITE_NAME_MAX], bool *ret_success)
{
	g_autofree char *program = NULL;
	struct seen_account seen[2];
	char reply[1024];
	int r = see(client, keys, seen);

	if (r < 0)
		return r;
	program = g_strdup_printf("mod(\"%s\") = %llu\nmod(\"%s\") = %llu\n\n"
				  "put \"%s\" \"%d\\n\"\nput \"%s\" \"%d\\n\"\n\n",
				  keys[0], seen[0].revision, keys[1], seen[1].revision, keys[0],
				  seen[0].value - 1, keys[1], seen[1].value + 1);
	return ask(client, program, reply, sizeof(reply), ret_success);
}

static int transfer_optimistic(struct client *client)
{
	char keys[2][2 * SITE_NAME_MAX];
	bool success = false;
	guint pair[2];
	int r = 0;

	client_random_pair(client, client->row->keys, pair);
	for (int i = 0; i < 2; i++) {
		char name[SITE_NAME_MAX];

		site_key_name(pair[i], client->row->keys, name);
		snprintf(keys[i], sizeof(keys[i]), "%s/accounts/%s", client->bench->site.name,
			 name);
	}
	while (r == 0 && !success && !client_expired(client))
		r = try_optimistic(client, keys, &success);
	return r == 0 && !success ? -EAGAIN : r;
}

static const struct workload optimistic_workload = {
	.open = open_eval,
	.step = transfer_optimistic,
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
	{ .name = "program-contention",
	  .clients = 16,
	  .keys = BENCH_HOT_KEYS,
	  .kind = ROW_MOUNT,
	  .commits = -1,
	  .fairness = true,
	  .missing = no_eval,
	  .workload = &optimistic_workload },
	{ .name = "watch",
	  .clients = 1,
	  .keys = SITE_ACCOUNTS,
	  .kind = ROW_MOUNT,
	  .commits = -1,
	  .missing = no_watch,
	  .workload = &watch_workload },
};
const guint stream_rows_count = G_N_ELEMENTS(stream_rows);
