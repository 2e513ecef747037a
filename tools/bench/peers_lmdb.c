/* LMDB through its C library, synced at every commit; one process writes at a time. */
#include "tools/bench/clients.h"
#include "tools/bench/peers.h"

#include <errno.h>

#ifdef HAVE_LMDB

#include <lmdb.h>
#include <sys/stat.h>

#define MAP_SIZE (64 << 20)

struct environment {
	MDB_env *env;
	MDB_dbi table;
};

static const char *no_library(const struct bench *bench)
{
	(void)bench;
	return NULL;
}

static int get(MDB_txn *txn, MDB_dbi table, guint account, int *ret)
{
	MDB_val key = { sizeof(account), &account }, value;
	int r = mdb_get(txn, table, &key, &value);

	if (r == 0)
		memcpy(ret, value.mv_data, sizeof(*ret));
	return r;
}

static int set(MDB_txn *txn, MDB_dbi table, guint account, int number)
{
	MDB_val key = { sizeof(account), &account }, value = { sizeof(number), &number };

	return mdb_put(txn, table, &key, &value, 0);
}

/* Opens the table, with its accounts where they are missing. */
static int fill(struct environment *environment)
{
	MDB_txn *txn;
	int ignored, r = mdb_txn_begin(environment->env, NULL, 0, &txn);

	if (r != 0)
		return r;
	r = mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &environment->table);
	if (r == 0 && get(txn, environment->table, 0, &ignored) == MDB_NOTFOUND)
		for (guint i = 0; i < PEER_ACCOUNTS && r == 0; i++)
			r = set(txn, environment->table, i, PEER_START);
	if (r != 0) {
		mdb_txn_abort(txn);
		return r;
	}
	return mdb_txn_commit(txn);
}

static int open_environment(struct client *client)
{
	g_autofree char *path = g_build_filename(client->bench->scratch, "lmdb", NULL);
	struct environment *environment = g_new0(struct environment, 1);
	int r;

	client->state = environment;
	mkdir(path, 0700);
	r = mdb_env_create(&environment->env);
	if (r == 0)
		r = mdb_env_set_mapsize(environment->env, MAP_SIZE);
	if (r == 0)
		r = mdb_env_open(environment->env, path, 0, 0600);
	if (r == 0)
		r = fill(environment);
	return r == 0 ? 0 :
			client_fail(client, -EIO, "cannot open '%s': %s", path, mdb_strerror(r));
}

static void close_environment(struct client *client)
{
	struct environment *environment = client->state;

	if (environment->env)
		mdb_env_close(environment->env);
	g_free(environment);
}

static int transfer_between(const struct environment *environment, const guint pair[static 2])
{
	MDB_txn *txn;
	int from = 0, to = 0;
	int r = mdb_txn_begin(environment->env, NULL, 0, &txn);

	if (r != 0)
		return r;
	r = get(txn, environment->table, pair[0], &from);
	if (r == 0)
		r = get(txn, environment->table, pair[1], &to);
	if (r == 0)
		r = set(txn, environment->table, pair[0], from - 1);
	if (r == 0)
		r = set(txn, environment->table, pair[1], to + 1);
	if (r == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return r;
}

static int transfer(struct client *client)
{
	guint pair[2];
	int r;

	client_random_pair(client, client->row->keys, pair);
	r = transfer_between(client->state, pair);
	return r == 0 ? 0 : client_fail(client, -EIO, "cannot transfer: %s", mdb_strerror(r));
}

static int read_one(struct client *client)
{
	const struct environment *environment = client->state;
	MDB_txn *txn;
	int value, r = mdb_txn_begin(environment->env, NULL, MDB_RDONLY, &txn);

	if (r != 0)
		return client_fail(client, -EIO, "cannot read: %s", mdb_strerror(r));
	r = get(txn, environment->table, client_random(client, client->row->keys), &value);
	mdb_txn_abort(txn);
	return r == 0 ? 0 : client_fail(client, -EIO, "cannot read: %s", mdb_strerror(r));
}

static const struct workload transfer_workload = {
	.open = open_environment,
	.step = transfer,
	.close = close_environment,
};
static const struct workload read_workload = {
	.open = open_environment,
	.step = read_one,
	.close = close_environment,
};
#define TRANSFER (&transfer_workload)
#define READ (&read_workload)

#else

static const char *no_library(const struct bench *bench)
{
	(void)bench;
	return "commitfs was built without LMDB's library";
}
#define TRANSFER NULL
#define READ NULL

#endif

const struct row lmdb_rows[] = {
	{ PEER_ROW("lmdb", 1), .missing = no_library, .workload = TRANSFER },
	{ PEER_ROW("lmdb", 16), .fairness = true, .missing = no_library, .workload = TRANSFER },
	{ PEER_ROW("lmdb-read", 1), .missing = no_library, .workload = READ },
};
const guint lmdb_rows_count = G_N_ELEMENTS(lmdb_rows);
