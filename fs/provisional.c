/* With default_permissions the kernel sends a GETATTR directly before each OPEN, from the
 * same thread, which cannot be told from that of a stat(2) when it comes. The next request
 * of the thread tells: an OPEN of that node takes the observation back. */
#include "fs/tree.h"

#include <string.h>

enum { MANY_ITEMS = 64, OLD_US = 1000000 };

struct provisional {
	struct txn *txn; /* held */
	uint64_t node_id;
	int64_t noted_us; /* monotonic */
	char *key;
	struct record *record; /* held */
};

static void provisional_free(void *data)
{
	struct provisional *item = data;

	txn_unref(item->txn);
	record_unref(item->record);
	g_free(item->key);
	g_free(item);
}

GHashTable *provisional_table_new(void)
{
	return g_hash_table_new_full(NULL, NULL, NULL, provisional_free);
}

static void make_firm(struct provisional *item)
{
	/* The stat was answered long ago: what cannot be recorded must not be forgotten. */
	if (view_observe(txn_view(item->txn), OBSERVE_VALUE, item->key, item->record) < 0)
		txn_lose_reads(item->txn);
	provisional_free(item);
}

/* Takes an item out of the table. Under its lock. */
static struct provisional *steal_locked(struct fs *fs, gpointer tid)
{
	void *item = NULL;

	if (g_hash_table_steal_extended(fs->provisional, tid, NULL, &item))
		g_atomic_int_add(&fs->provisional_count, -1);
	return item;
}

/* Which items become firm: those of `txn` (NULL: of all), on `key` (NULL: on any), noted
 * before `before_us`. */
struct selection {
	const struct txn *txn;
	const char *key;
	int64_t before_us;
};

static bool is_selected(const struct provisional *item, const struct selection *selection)
{
	return (!selection->txn || item->txn == selection->txn) &&
	       (!selection->key || strcmp(item->key, selection->key) == 0) &&
	       item->noted_us <= selection->before_us;
}

static void settle_selected(struct fs *fs, const struct selection *selection)
{
	g_autoptr(GPtrArray) items = g_ptr_array_new();
	struct provisional *item;
	GHashTableIter iter;

	pthread_mutex_lock(&fs->provisional_lock);
	g_hash_table_iter_init(&iter, fs->provisional);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&item)) {
		if (!is_selected(item, selection))
			continue;
		g_hash_table_iter_steal(&iter);
		g_atomic_int_add(&fs->provisional_count, -1);
		g_ptr_array_add(items, item);
	}
	pthread_mutex_unlock(&fs->provisional_lock);
	for (guint i = 0; i < items->len; i++)
		make_firm(g_ptr_array_index(items, i));
}

/* An OPEN follows its GETATTR within microseconds; a thread that has ended asks for nothing
 * more. So that such items do not pile up, old ones become firm when there are many. */
static void settle_old(struct fs *fs)
{
	const struct selection old = { .before_us = g_get_monotonic_time() - OLD_US };

	settle_selected(fs, &old);
}

void provisional_note(struct fs *fs, fuse_req_t req, struct node *node, const char *key,
		      const struct record *record)
{
	struct provisional *item = g_new(struct provisional, 1);
	pid_t tid = fuse_req_ctx(req)->pid;

	item->noted_us = g_get_monotonic_time();
	item->txn = txn_ref(node->tree->txn);
	item->node_id = node->id;
	item->key = g_strdup(key);
	item->record = record_ref((struct record *)record);
	/* Threads of a foreign pid namespace cannot be told apart. */
	if (tid == 0) {
		make_firm(item);
		return;
	}
	pthread_mutex_lock(&fs->provisional_lock);
	if (g_hash_table_insert(fs->provisional, GINT_TO_POINTER(tid), item))
		g_atomic_int_inc(&fs->provisional_count);
	pthread_mutex_unlock(&fs->provisional_lock);
	if (g_atomic_int_get(&fs->provisional_count) > MANY_ITEMS)
		settle_old(fs);
}

void provisional_settle(struct fs *fs, fuse_req_t req, const struct node *opened)
{
	struct provisional *item;

	if (g_atomic_int_get(&fs->provisional_count) == 0)
		return;
	pthread_mutex_lock(&fs->provisional_lock);
	item = steal_locked(fs, GINT_TO_POINTER(fuse_req_ctx(req)->pid));
	pthread_mutex_unlock(&fs->provisional_lock);
	if (item && opened && item->node_id == opened->id)
		provisional_free(item);
	else if (item)
		make_firm(item);
}

void provisional_settle_txn(struct fs *fs, struct txn *txn, const char *key)
{
	const struct selection of_txn = { txn, key, G_MAXINT64 };

	if (g_atomic_int_get(&fs->provisional_count) > 0)
		settle_selected(fs, &of_txn);
}
