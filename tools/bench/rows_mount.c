/* Rows through the mount, from C: what a program does that keeps its transaction and its
 * descriptors, with the plain calls of files. */
#include "tools/bench/clients.h"
#include "tools/bench/files.h"
#include "tools/bench/rows.h"
#include "tools/bench/site.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A client's transaction, and what it keeps open of it. */
struct session {
	char *directory;
	int accounts; /* keys/NAME/accounts in its view */
	int commit;
	int restart;
	int isolation;
};

/* ---- Transactions --------------------------------------------------------------- */

static int open_in(struct client *client, const struct session *session, const char *name,
		   int flags, int *ret)
{
	g_autofree char *path = g_build_filename(session->directory, name, NULL);
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0)
		return client_fail_at(client, "open", path, -errno);
	*ret = fd;
	return 0;
}

static int open_session(struct client *client)
{
	const struct site *site = &client->bench->site;
	struct session *session = g_new0(struct session, 1);
	g_autofree char *accounts = g_build_filename("keys", site->name, "accounts", NULL);
	char name[128];
	int r;

	session->accounts = session->commit = session->restart = session->isolation = -1;
	client->state = session;
	r = txn_begin_new(site->mount, name, sizeof(name));
	if (r < 0)
		return client_fail_at(client, "begin a transaction on", site->mount, r);
	session->directory = g_build_filename(site->mount, "txn", name, NULL);
	r = open_in(client, session, accounts, O_PATH | O_DIRECTORY, &session->accounts);
	if (r == 0)
		r = open_in(client, session, "commit", O_WRONLY, &session->commit);
	if (r == 0)
		r = open_in(client, session, "restart", O_WRONLY, &session->restart);
	if (r == 0)
		r = open_in(client, session, "isolation", O_WRONLY, &session->isolation);
	/* Opening the directory was an observation. */
	return r < 0 ? r : file_write(session->restart, "\n", 1);
}

static void close_session(struct client *client)
{
	struct session *session = client->state;
	int fds[] = { session->accounts, session->commit, session->restart, session->isolation };

	for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (session->directory)
		rmdir(session->directory);
	g_free(session->directory);
	g_free(session);
}

static int change(struct client *client, const struct session *session, guint account, int by)
{
	char name[SITE_NAME_MAX], value[128];
	ssize_t size;
	int r;

	site_key_name(account, client->row->keys, name);
	size = file_read_at(session->accounts, name, value, sizeof(value));
	if (size < 0)
		return client_fail_at(client, "read account", name, (int)size);
	snprintf(value, sizeof(value), "%d\n", atoi(value) + by);
	r = file_replace_at(session->accounts, name, value, strlen(value));
	return r < 0 ? client_fail_at(client, "write account", name, r) : 0;
}

static int try_transfer(struct client *client, const guint pair[static 2])
{
	const struct session *session = client->state;
	int r = file_write(session->restart, "\n", 1);

	if (r < 0)
		return client_fail_at(client, "restart", session->directory, r);
	r = change(client, session, pair[0], -1);
	if (r == 0)
		r = change(client, session, pair[1], 1);
	if (r < 0)
		return r;
	r = file_write(session->commit, "transfer\n", 9);
	return r < 0 && r != -ECANCELED ? client_fail_at(client, "commit", session->directory, r) :
					  r;
}

static int transfer(struct client *client)
{
	guint pair[2];
	int r;

	client_random_pair(client, client->row->keys, pair);
	do
		r = try_transfer(client, pair);
	while (r == -ECANCELED && !client_expired(client));
	return r == -ECANCELED ? -EAGAIN : r;
}

static const struct workload transfer_workload = {
	.open = open_session,
	.step = transfer,
	.close = close_session,
};

/* A request that does nothing but travel: the level it has already. */
static int travel(struct client *client)
{
	const struct session *session = client->state;
	static const char level[] = "serializable-snapshot\n";
	int r = file_write(session->isolation, level, strlen(level));

	return r < 0 ? client_fail_at(client, "write to isolation of", session->directory, r) : 0;
}

static const struct workload round_trip_workload = {
	.open = open_session,
	.step = travel,
	.close = close_session,
};

/* ---- Live keys ------------------------------------------------------------------ */

/* What is measured is a call that is repeated: the names are known to the kernel. (Of very
 * many keys they are not, nor would they be.) */
static void learn_names(const struct client *client, int directory)
{
	struct stat status;
	char name[SITE_NAME_MAX];

	for (guint i = 0; i < client->row->keys && client->row->keys <= SITE_FANOUT; i++) {
		site_key_name(i, client->row->keys, name);
		fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW);
	}
}

static int open_accounts(struct client *client)
{
	g_autofree char *path = g_build_filename(client->bench->site.keys, "accounts", NULL);
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	client->state = GINT_TO_POINTER(fd);
	if (fd < 0)
		return client_fail_at(client, "open", path, -errno);
	learn_names(client, fd);
	return 0;
}

static void close_accounts(struct client *client)
{
	if (GPOINTER_TO_INT(client->state) >= 0)
		close(GPOINTER_TO_INT(client->state));
}

static void random_key(struct client *client, char ret[static SITE_NAME_MAX])
{
	site_key_name(client_random(client, client->row->keys), client->row->keys, ret);
}

static int live_write(struct client *client)
{
	char name[SITE_NAME_MAX];
	int r;

	random_key(client, name);
	r = file_replace_at(GPOINTER_TO_INT(client->state), name, SITE_ACCOUNT_TEXT,
			    strlen(SITE_ACCOUNT_TEXT));
	return r < 0 ? client_fail_at(client, "write account", name, r) : 0;
}

static int live_read(struct client *client)
{
	char name[SITE_NAME_MAX], value[128];
	ssize_t size;

	random_key(client, name);
	size = file_read_at(GPOINTER_TO_INT(client->state), name, value, sizeof(value));
	return size < 0 ? client_fail_at(client, "read account", name, (int)size) : 0;
}

static int live_stat(struct client *client)
{
	struct stat status;
	char name[SITE_NAME_MAX];

	random_key(client, name);
	if (fstatat(GPOINTER_TO_INT(client->state), name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return client_fail_at(client, "stat account", name, -errno);
	return 0;
}

#define LIVE_WORKLOAD(function)                                                   \
	{                                                                         \
		.open = open_accounts, .step = function, .close = close_accounts, \
	}

static const struct workload write_workload = LIVE_WORKLOAD(live_write);
static const struct workload read_workload = LIVE_WORKLOAD(live_read);
static const struct workload stat_workload = LIVE_WORKLOAD(live_stat);

const struct row mount_rows[] = {
	{ .name = ROW_ROUND_TRIP,
	  .clients = 1,
	  .kind = ROW_MOUNT,
	  .commits = -1,
	  .workload = &round_trip_workload },
	{ .name = ROW_ROUND_TRIP,
	  .clients = 16,
	  .kind = ROW_MOUNT,
	  .commits = -1,
	  .workload = &round_trip_workload },
	{ .name = "transfer",
	  .clients = 1,
	  .keys = SITE_ACCOUNTS,
	  .kind = ROW_MOUNT,
	  .commits = 1,
	  .workload = &transfer_workload },
	{ .name = "transfer",
	  .clients = 16,
	  .keys = SITE_ACCOUNTS,
	  .kind = ROW_MOUNT,
	  .commits = -1,
	  .workload = &transfer_workload },
	{ .name = "contention",
	  .clients = 16,
	  .keys = BENCH_HOT_KEYS,
	  .kind = ROW_MOUNT,
	  .commits = -1,
	  .fairness = true,
	  .workload = &transfer_workload },
	{ .name = "durable-write",
	  .clients = 1,
	  .keys = SITE_ACCOUNTS,
	  .kind = ROW_MOUNT,
	  .commits = 1,
	  .workload = &write_workload },
	{ .name = "read",
	  .clients = 1,
	  .keys = SITE_ACCOUNTS,
	  .kind = ROW_MOUNT,
	  .commits = 0,
	  .workload = &read_workload },
	{ .name = "stat",
	  .clients = 1,
	  .keys = SITE_ACCOUNTS,
	  .kind = ROW_MOUNT,
	  .commits = 0,
	  .workload = &stat_workload },
};
const guint mount_rows_count = G_N_ELEMENTS(mount_rows);
