/* Rebasing: the newest snapshot, the writes kept, for a person who has looked at the
 * conflicts. The read set is taken over at what the new snapshot holds; so everything that
 * changed in between must be what `conflicts` has told, no more. */
#include "txn/transaction.h"

#include <errno.h>
#include <string.h>

/* What a compare of a transaction's program finds at `snapshot`. */
static int find_number(struct snapshot *snapshot, const struct compare *compare, uint64_t *ret)
{
	g_autoptr(record) record = NULL;
	int r = snapshot_get(snapshot, compare->key, &record);

	if (r < 0 && r != -ENOENT)
		return r;
	if (!record)
		*ret = 0;
	else if (compare->target == COMPARE_CREATE)
		*ret = record->create_revision;
	else if (compare->target == COMPARE_ATTRIBUTE)
		*ret = record->attribute_revision;
	else
		*ret = record->mod_revision;
	return 0;
}

static bool was_told(const GPtrArray *told, enum conflict_kind kind, const char *key,
		     uint64_t found)
{
	for (guint i = 0; told && i < told->len; i++) {
		const struct conflict *conflict = g_ptr_array_index(told, i);

		if (conflict->kind == kind && conflict->found == found &&
		    strcmp(conflict->key, key) == 0)
			return true;
	}
	return false;
}

/* -ECANCELED when an item changed that was not told as it is now. */
static int check_told(struct txn *txn, struct snapshot *snapshot)
{
	const GPtrArray *told = txn->state == TXN_CONFLICT ? txn->conflicts : txn->shown;
	g_autoptr(GArray) items = NULL;
	g_autoptr(program) program = txn_build_program(txn, true, &items);

	for (guint i = 0; i < program->compares->len; i++) {
		const struct compare *compare = g_ptr_array_index(program->compares, i);
		const struct commit_item *item = &g_array_index(items, struct commit_item, i);
		uint64_t found;
		int r = find_number(snapshot, compare, &found);

		if (r < 0)
			return r;
		if (found != item->seen && !was_told(told, item->kind, compare->key, found))
			return -ECANCELED;
	}
	return 0;
}

static bool is_directory(struct overlay *writes, const char *key)
{
	g_autoptr(record) record = NULL;

	return overlay_get(writes, key, &record) == 0 && record->type == RECORD_DIRECTORY;
}

/* What another commit has put in the way of a write is what the person decided about. */
static int replay_op(struct overlay *writes, const struct op *op,
		     const struct credentials *credentials, int64_t now_ns)
{
	struct op removal = { .kind = OP_DELETE, .key = op->key };
	int r = overlay_apply(writes, op, credentials, false, now_ns, NULL, NULL);

	switch (r) {
	case -EEXIST:
		if (op->kind == OP_MKDIR && is_directory(writes, op->key))
			return 0;
		break;
	case -ELOOP:
		break;
	case -ENOENT:
		return op->kind == OP_ATTR ? 0 : r;
	default:
		return r;
	}
	r = overlay_apply(writes, &removal, credentials, false, now_ns, NULL, NULL);
	return r < 0 ? r : overlay_apply(writes, op, credentials, false, now_ns, NULL, NULL);
}

static int replay_writes(struct txn *txn, struct snapshot *snapshot, struct overlay **ret)
{
	g_autoptr(overlay)
		writes = overlay_new(snapshot, &registry_get_options(txn->registry)->limits);
	g_autoptr(GArray) items = NULL;
	g_autoptr(program) program = txn_build_program(txn, false, &items);
	int64_t now_ns = g_get_real_time() * 1000;

	for (guint i = 0; i < program->then_ops->len; i++) {
		const struct op *op = g_ptr_array_index(program->then_ops, i);
		int r = replay_op(writes, op, txn->credentials, now_ns);

		if (r == 0)
			continue;
		GString *text = g_string_new("rebase: cannot keep the write of ");

		text_append_escaped(text, op->key);
		g_string_append_printf(text, ": %s", g_strerror(-r));
		txn_set_last_error_locked(txn, g_string_free(text, FALSE));
		return -ECANCELED;
	}
	*ret = g_steal_pointer(&writes);
	return 0;
}

static int take_over_reads(struct txn *txn, struct snapshot *snapshot)
{
	struct read_item *item;
	GHashTableIter iter;

	g_hash_table_iter_init(&iter, txn->reads);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&item)) {
		g_autoptr(record) record = NULL;
		int r = snapshot_get(snapshot, item->key, &record);

		if (r < 0 && r != -ENOENT)
			return r;
		read_item_set(item, record);
	}
	return 0;
}

static int rebase_locked(struct txn *txn, struct snapshot *snapshot)
{
	g_autoptr(overlay) writes = NULL;
	int r = check_told(txn, snapshot);

	if (r == -ECANCELED)
		txn_set_last_error_locked(
			txn,
			g_strdup("rebase: something changed that conflicts has not told; look at "
				 "it, then rebase"));
	if (r == 0)
		r = replay_writes(txn, snapshot, &writes);
	if (r == 0)
		r = take_over_reads(txn, snapshot);
	if (r < 0)
		return r;
	overlay_free(txn->writes);
	txn->writes = g_steal_pointer(&writes);
	snapshot_unref(txn->snapshot);
	txn->snapshot = snapshot_ref(snapshot);
	g_clear_pointer(&txn->conflicts, g_ptr_array_unref);
	g_clear_pointer(&txn->shown, g_ptr_array_unref);
	txn->outcome = 0;
	txn->round++;
	txn->state = TXN_OPEN;
	txn_account_locked(txn);
	return 0;
}

/* After a commit's conflict the list is that of its moment: it is made anew. */
static void tell_again(struct txn *txn)
{
	GPtrArray *conflicts = txn_would_conflict(txn);

	pthread_mutex_lock(&txn->lock);
	if (txn->state == TXN_CONFLICT) {
		g_clear_pointer(&txn->conflicts, g_ptr_array_unref);
		txn->conflicts = g_steal_pointer(&conflicts);
	}
	pthread_mutex_unlock(&txn->lock);
	g_clear_pointer(&conflicts, g_ptr_array_unref);
}

int txn_rebase(struct txn *txn)
{
	g_autoptr(snapshot) snapshot = NULL;
	int r = store_snapshot(txn->store, 0, &snapshot);

	if (r < 0)
		return r;
	pthread_mutex_lock(&txn->lock);
	txn_note_use(txn);
	if (txn->state == TXN_COMMITTING)
		r = txn_refuse_state_locked(txn, "rebase", -EBUSY);
	else if (txn->state != TXN_OPEN && txn->state != TXN_CONFLICT)
		r = txn_refuse_state_locked(txn, "rebase", -ESTALE);
	else
		r = rebase_locked(txn, snapshot);
	pthread_mutex_unlock(&txn->lock);
	if (r == -ECANCELED)
		tell_again(txn);
	return r;
}
