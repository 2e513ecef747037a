/* SQLite with a write-ahead log, synced at every commit: through its C library, and as a
 * script uses it, one `sqlite3` a transfer. */
#include "tools/bench/clients.h"
#include "tools/bench/peers.h"

#include <errno.h>

#define FILE_NAME "sqlite.db"

/* Makes the table where it is not; whoever comes first fills it. */
static char *fill_text(void)
{
	return g_strdup_printf(
		"BEGIN IMMEDIATE;"
		"CREATE TABLE IF NOT EXISTS account (key INTEGER PRIMARY KEY, value INTEGER);"
		"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
		"INSERT OR IGNORE INTO account SELECT i, %d FROM n; COMMIT",
		PEER_ACCOUNTS - 1, PEER_START);
}

static const char *no_command(const struct bench *bench)
{
	(void)bench;
	return peer_is_installed("sqlite3") ? NULL : "sqlite3 is not installed";
}

static const char transfer_script[] = SHELL_BEGIN
	"call() {\n"
	"	local a=$((RANDOM % keys)) b\n"
	"	b=$(((a + 1 + RANDOM % (keys - 1)) % keys))\n"
	"	sqlite3 \"$scratch/" FILE_NAME "\" \"PRAGMA synchronous = FULL; BEGIN IMMEDIATE;\n"
	"		UPDATE account SET value = value - 1 WHERE key = $a;\n"
	"		UPDATE account SET value = value + 1 WHERE key = $b; COMMIT;\"\n"
	"}\n"
	"work\n";

static const char read_script[] = SHELL_BEGIN "call() {\n"
					      "	x=$(sqlite3 \"$scratch/" FILE_NAME
					      "\" \"SELECT value FROM account\n"
					      "		WHERE key = $((RANDOM % keys));\")\n"
					      "}\n"
					      "work\n";

#ifdef HAVE_SQLITE

#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#define BUSY_TIMEOUT_MS 60000

struct connection {
	sqlite3 *db;
	sqlite3_stmt *get;
	sqlite3_stmt *set;
};

static const char *no_library(const struct bench *bench)
{
	(void)bench;
	return NULL;
}

/* In a process of its own, as all of it: SQLite's locks do not survive a fork. */
static int open_database(struct client *client, sqlite3 **ret)
{
	g_autofree char *path = g_build_filename(client->bench->scratch, FILE_NAME, NULL);
	int r = sqlite3_open(path, ret);
	sqlite3 *db = *ret; /* after an error, too, it is to be closed */

	if (r != SQLITE_OK)
		return client_fail(client, -EIO, "cannot open '%s': %s", path, sqlite3_errmsg(db));
	sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
	if (sqlite3_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL", NULL, NULL,
			 NULL) != SQLITE_OK)
		return client_fail(client, -EIO, "cannot set up '%s': %s", path,
				   sqlite3_errmsg(db));
	return 0;
}

static int fill_database(struct client *client, sqlite3 *db)
{
	g_autofree char *text = fill_text();

	return sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK ?
		       0 :
		       client_fail(client, -EIO, "cannot fill: %s", sqlite3_errmsg(db));
}

static int open_connection(struct client *client)
{
	struct connection *connection = g_new0(struct connection, 1);
	int r;

	client->state = connection;
	r = open_database(client, &connection->db);
	if (r == 0 && client->index == 0)
		r = fill_database(client, connection->db);
	return r;
}

/* After the database was filled: statements are made at their first use. */
static int make_ready(struct client *client)
{
	struct connection *connection = client->state;

	if (connection->set)
		return 0;
	if (sqlite3_prepare_v2(connection->db, "SELECT value FROM account WHERE key = ?1", -1,
			       &connection->get, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(connection->db, "UPDATE account SET value = ?2 WHERE key = ?1", -1,
			       &connection->set, NULL) != SQLITE_OK)
		return client_fail(client, -EIO, "cannot prepare: %s",
				   sqlite3_errmsg(connection->db));
	return 0;
}

static void close_connection(struct client *client)
{
	struct connection *connection = client->state;

	sqlite3_finalize(connection->get);
	sqlite3_finalize(connection->set);
	sqlite3_close(connection->db);
	g_free(connection);
}

static int get(const struct connection *connection, guint account, int *ret)
{
	int r;

	sqlite3_bind_int(connection->get, 1, (int)account);
	r = sqlite3_step(connection->get);
	*ret = sqlite3_column_int(connection->get, 0);
	sqlite3_reset(connection->get);
	return r == SQLITE_ROW ? SQLITE_OK : r;
}

static int set(const struct connection *connection, guint account, int value)
{
	sqlite3_bind_int(connection->set, 1, (int)account);
	sqlite3_bind_int(connection->set, 2, value);
	sqlite3_step(connection->set);
	return sqlite3_reset(connection->set);
}

static int run(sqlite3 *db, const char *text)
{
	return sqlite3_exec(db, text, NULL, NULL, NULL);
}

static int transfer(struct client *client)
{
	const struct connection *connection = client->state;
	guint pair[2];
	int r, from = 0, to = 0;

	if (make_ready(client) < 0)
		return -EIO;
	client_random_pair(client, client->row->keys, pair);
	r = run(connection->db, "BEGIN IMMEDIATE");
	if (r == SQLITE_OK)
		r = get(connection, pair[0], &from);
	if (r == SQLITE_OK)
		r = get(connection, pair[1], &to);
	if (r == SQLITE_OK)
		r = set(connection, pair[0], from - 1);
	if (r == SQLITE_OK)
		r = set(connection, pair[1], to + 1);
	if (r == SQLITE_OK)
		r = run(connection->db, "COMMIT");
	return r == SQLITE_OK ? 0 :
				client_fail(client, -EIO, "cannot transfer: %s",
					    sqlite3_errmsg(connection->db));
}

static int read_one(struct client *client)
{
	const struct connection *connection = client->state;
	int value;

	if (make_ready(client) < 0)
		return -EIO;
	if (get(connection, client_random(client, client->row->keys), &value) != SQLITE_OK)
		return client_fail(client, -EIO, "cannot read: %s", sqlite3_errmsg(connection->db));
	return 0;
}

static const struct workload transfer_workload = {
	.open = open_connection,
	.step = transfer,
	.close = close_connection,
};
static const struct workload read_workload = {
	.open = open_connection,
	.step = read_one,
	.close = close_connection,
};
#define TRANSFER (&transfer_workload)
#define READ (&read_workload)

#else

static const char *no_library(const struct bench *bench)
{
	(void)bench;
	return "commitfs was built without SQLite's library";
}
#define TRANSFER NULL
#define READ NULL

#endif

/* The command needs the table, which it makes itself where the library has not. */
static int prepare_command(struct bench *bench, const struct row *row)
{
	g_autofree char *path = g_build_filename(bench->scratch, FILE_NAME, NULL);
	g_autofree char *fill = fill_text();
	g_autofree char *text = g_strconcat("PRAGMA journal_mode = WAL; ", fill, NULL);
	g_autoptr(GError) error = NULL;
	char *argv[] = { "sqlite3", path, text, NULL };
	g_autofree char *errors = NULL;
	g_autofree char *output = NULL;
	int status;

	(void)row;
	if (!g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, &errors,
			  &status, &error))
		return bench_fail(-EIO, "cannot fill '%s': %s", path, error->message);
	if (!g_spawn_check_wait_status(status, &error))
		return bench_fail(-EIO, "cannot fill '%s': sqlite3: %s: %s", path, error->message,
				  g_strchomp(errors));
	return 0;
}

const struct row sqlite_rows[] = {
	{ PEER_ROW("sqlite", 1), .missing = no_library, .workload = TRANSFER },
	{ PEER_ROW("sqlite", 16), .fairness = true, .missing = no_library, .workload = TRANSFER },
	{ PEER_ROW("sqlite-read", 1), .missing = no_library, .workload = READ },
	{ PEER_SHELL_ROW("sqlite-shell", transfer_script), .prepare = prepare_command,
	  .missing = no_command },
	{ PEER_SHELL_ROW("sqlite-shell-read", read_script), .prepare = prepare_command,
	  .missing = no_command },
};
const guint sqlite_rows_count = G_N_ELEMENTS(sqlite_rows);
