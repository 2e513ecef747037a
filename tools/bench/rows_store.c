/* Rows without a mount: RocksDB's floor, and our committer in process. Their clients are
 * threads, for a store belongs to one process. */
#include "store/bench.h"
#include "tools/bench/clients.h"
#include "tools/bench/rows.h"
#include "tools/bench/submit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ACCOUNTS 1000
#define START_VALUE "1000"

/* ---- base ----------------------------------------------------------------------- */

static int open_floor(struct client *client, void **ret)
{
	g_autofree char *path = g_build_filename(client->bench->scratch, "floor", NULL);
	g_autofree char *message = NULL;
	struct store_floor *floor;
	int r = store_floor_open(path, &floor, &message);

	if (r < 0)
		return client_fail(client, r, "%s", message);
	*ret = floor;
	return 0;
}

static void close_floor(void *shared)
{
	store_floor_close(shared);
}

static int put_floor(struct client *client)
{
	char key[32];

	snprintf(key, sizeof(key), "account/%u", client_random(client, ACCOUNTS));
	return store_floor_put(client->shared, key, START_VALUE, strlen(START_VALUE));
}

static const struct workload floor_workload = {
	.threads = true,
	.share = open_floor,
	.unshare = close_floor,
	.step = put_floor,
};

/* ---- committer ------------------------------------------------------------------ */

static void add_put(struct program *program, const char *key, const char *value)
{
	struct op *put = program_add(program, OP_PUT, key);

	put->mode = 0644;
	put->value = g_bytes_new(value, strlen(value));
}

static int make_accounts(struct store *store)
{
	struct program *program = submit_new_program();
	bool succeeded;

	program_add(program, OP_MKDIR, "account")->mode = 0755;
	for (guint i = 0; i < ACCOUNTS; i++) {
		g_autofree char *key = g_strdup_printf("account/%u", i);

		add_put(program, key, START_VALUE);
	}
	return submit_and_wait(store, program, &succeeded);
}

static int open_accounts(struct client *client, const char *path, struct store **ret)
{
	g_autofree char *message = NULL;
	struct store_options options;
	bool fresh = access(path, F_OK) < 0;
	int r = fresh ? store_create(path, &message) : 0;

	store_options_init(&options);
	options.path = path;
	if (r == 0)
		r = store_open(&options, ret, &message);
	if (r < 0)
		return client_fail(client, r, "%s", message);
	r = fresh ? make_accounts(*ret) : 0;
	if (r == 0)
		return 0;
	store_close(*ret);
	return client_fail(client, r, "cannot fill store '%s': %s", path, g_strerror(-r));
}

static int open_store(struct client *client, void **ret)
{
	g_autofree char *path = g_build_filename(client->bench->scratch, "committer", NULL);
	struct store *store;
	int r = open_accounts(client, path, &store);

	if (r == 0)
		*ret = store;
	return r;
}

static void close_store(void *shared)
{
	store_close(shared);
}

/* Reads one key, makes sure that it will not have changed, and writes it. */
static int add_half(struct program *program, struct store *store, guint account, int change)
{
	g_autofree char *key = g_strdup_printf("account/%u", account);
	g_autofree char *old = NULL;
	g_autoptr(record) record = NULL;
	char value[32];
	int r = snapshot_get(store_head(store), key, &record);

	if (r < 0)
		return r;
	old = g_strndup(g_bytes_get_data(record->value, NULL), g_bytes_get_size(record->value));
	snprintf(value, sizeof(value), "%d", atoi(old) + change);
	program_compare(program, COMPARE_MOD, COMPARE_EQUAL, key, record->mod_revision);
	add_put(program, key, value);
	return 0;
}

static int transfer_in_store(struct client *client)
{
	struct store *store = client->shared;
	bool succeeded = false;
	guint pair[2];

	client_random_pair(client, ACCOUNTS, pair);
	do {
		struct program *program = submit_new_program();
		int r = add_half(program, store, pair[0], -1);

		if (r == 0)
			r = add_half(program, store, pair[1], 1);
		if (r < 0) {
			program_free(program);
			return client_fail(client, r, "cannot read: %s", g_strerror(-r));
		}
		r = submit_and_wait(store, program, &succeeded);
		if (r < 0)
			return client_fail(client, r, "cannot commit: %s", g_strerror(-r));
	} while (!succeeded && !client_expired(client));
	return succeeded ? 0 : -EAGAIN;
}

static const struct workload committer_workload = {
	.threads = true,
	.share = open_store,
	.unshare = close_store,
	.step = transfer_in_store,
};

const struct row store_rows[] = {
	{ .name = ROW_BASE,
	  .clients = 1,
	  .kind = ROW_STORE,
	  .commits = -1,
	  .workload = &floor_workload },
	{ .name = ROW_BASE,
	  .clients = 16,
	  .kind = ROW_STORE,
	  .commits = -1,
	  .workload = &floor_workload },
	{ .name = "committer",
	  .clients = 1,
	  .keys = ACCOUNTS,
	  .kind = ROW_STORE,
	  .commits = -1,
	  .workload = &committer_workload },
	{ .name = "committer",
	  .clients = 16,
	  .keys = ACCOUNTS,
	  .kind = ROW_STORE,
	  .commits = -1,
	  .workload = &committer_workload },
};
const guint store_rows_count = G_N_ELEMENTS(store_rows);
