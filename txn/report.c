/* The texts of a transaction's control files: lines, fields separated by one TAB, the key
 * last. */
#include "txn/transaction.h"

#include <string.h>

static const char *const state_names[] = {
	[TXN_OPEN] = "open",	     [TXN_COMMITTING] = "committing", [TXN_COMMITTED] = "committed",
	[TXN_CONFLICT] = "conflict", [TXN_FAILED] = "failed",	      [TXN_OVER] = "over",
};

static const char *const conflict_names[] = {
	[CONFLICT_EXISTS] = "exists", [CONFLICT_VALUE] = "value",   [CONFLICT_LIST] = "list",
	[CONFLICT_WRITE] = "write",   [CONFLICT_ACCESS] = "access",
};

const char *txn_conflict_kind_name(unsigned kind)
{
	return conflict_names[kind];
}

#define NUMBER G_GUINT64_FORMAT

/* A key as a field; the root directory, whose key is empty, as a slash. */
static void append_key(GString *out, const char *key, bool as_directory)
{
	text_append_escaped(out, key);
	if (as_directory || !*key)
		g_string_append_c(out, '/');
}

/* ---- reads and writes ----------------------------------------------------------- */

static gint by_item_key(gconstpointer a, gconstpointer b)
{
	const struct read_item *left = *(const struct read_item *const *)a;
	const struct read_item *right = *(const struct read_item *const *)b;

	return strcmp(left->key, right->key);
}

static void append_read(GString *out, const char *kind, uint64_t revision, const char *key,
			bool as_directory)
{
	g_string_append_printf(out, "%s\t%" NUMBER "\t", kind, revision);
	append_key(out, key, as_directory);
	g_string_append_c(out, '\n');
}

GString *txn_text_reads(struct txn *txn)
{
	g_autoptr(GPtrArray) items = g_ptr_array_new();
	GString *out = g_string_new(NULL);
	struct read_item *item;
	GHashTableIter iter;

	pthread_mutex_lock(&txn->lock);
	g_hash_table_iter_init(&iter, txn->reads);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&item))
		g_ptr_array_add(items, item);
	g_ptr_array_sort(items, by_item_key);
	for (guint i = 0; i < items->len; i++) {
		item = g_ptr_array_index(items, i);
		if (item->observed & OBSERVE_EXISTS)
			append_read(out, "exists", item->exists_revision, item->key, false);
		if (item->observed & OBSERVE_VALUE)
			append_read(out, "value", item->mod_revision, item->key, false);
		if (item->observed & OBSERVE_LIST)
			append_read(out, "list", item->mod_revision, item->key, true);
	}
	pthread_mutex_unlock(&txn->lock);
	return out;
}

static const char *write_name(const struct overlay_entry *entry)
{
	if (!entry->now || txn_is_scratch(entry))
		return entry->base->type == RECORD_DIRECTORY ? "rmdir" : "delete";
	if (entry->base && !entry->fresh && !entry->value_written)
		return "attr";
	if (entry->now->type == RECORD_DIRECTORY)
		return "mkdir";
	return entry->now->type == RECORD_SYMLINK ? "symlink" : "put";
}

static int append_write(const struct overlay_entry *entry, void *arg)
{
	GString *out = arg;

	if (txn_is_scratch(entry) && !entry->base)
		return 0;
	g_string_append_printf(out, "%s\t%" NUMBER "\t", write_name(entry),
			       entry->now ? entry->now->size_bytes : 0);
	append_key(out, entry->key, false);
	g_string_append_c(out, '\n');
	return 0;
}

GString *txn_text_writes(struct txn *txn)
{
	GString *out = g_string_new(NULL);

	pthread_mutex_lock(&txn->lock);
	overlay_foreach(txn->writes, append_write, out);
	pthread_mutex_unlock(&txn->lock);
	return out;
}

/* ---- conflicts ------------------------------------------------------------------ */

static void append_conflict(GString *out, const struct conflict *conflict)
{
	const struct log_entry *commit = conflict->commit;

	g_string_append_printf(out, "%s\t%" NUMBER "\t%" NUMBER "\t",
			       conflict_names[conflict->kind], conflict->seen, conflict->found);
	if (commit) {
		text_append_time(out, commit->time_ns);
		g_string_append_printf(out, "\t%u\t%d\t", commit->uid, (int)commit->pid);
		text_append_escaped(out, *commit->command ? commit->command : "-");
		g_string_append_c(out, '\t');
		text_append_escaped(out, *commit->message ? commit->message : "-");
	} else {
		g_string_append(out, "-\t-\t-\t-\t-");
	}
	g_string_append_c(out, '\t');
	append_key(out, conflict->key, conflict->kind == CONFLICT_LIST);
	g_string_append_c(out, '\n');
}

struct evaluation {
	struct store *store;
	GArray *items;
	GPtrArray *conflicts;
};

static void evaluated(const struct program_result *result, void *arg)
{
	struct evaluation *evaluation = arg;

	evaluation->conflicts = conflicts_from_result(evaluation->store, result, evaluation->items);
}

GPtrArray *txn_would_conflict(struct txn *txn)
{
	struct evaluation evaluation = { .store = txn->store };
	g_autoptr(program) program = NULL;

	pthread_mutex_lock(&txn->lock);
	program = txn_build_program(txn, true, &evaluation.items);
	pthread_mutex_unlock(&txn->lock);
	store_evaluate(txn->store, program, evaluated, &evaluation);
	g_array_unref(evaluation.items);
	return evaluation.conflicts;
}

GString *txn_text_conflicts(struct txn *txn)
{
	g_autoptr(GPtrArray) conflicts = NULL;
	GString *out = g_string_new(NULL);
	bool open;

	pthread_mutex_lock(&txn->lock);
	open = txn->state == TXN_OPEN;
	if (txn->conflicts)
		conflicts = g_ptr_array_ref(txn->conflicts);
	pthread_mutex_unlock(&txn->lock);
	if (open) {
		g_clear_pointer(&conflicts, g_ptr_array_unref);
		conflicts = txn_would_conflict(txn);
		pthread_mutex_lock(&txn->lock);
		g_clear_pointer(&txn->shown, g_ptr_array_unref);
		txn->shown = g_ptr_array_ref(conflicts);
		pthread_mutex_unlock(&txn->lock);
	}
	for (guint i = 0; conflicts && i < conflicts->len; i++)
		append_conflict(out, g_ptr_array_index(conflicts, i));
	return out;
}

/* ---- commit --------------------------------------------------------------------- */

/* "value etc/port: seen at revision 5, found 7, by uid 0, bash[123], at TIME: why" */
static void append_first_conflict(GString *out, const struct conflict *first)
{
	const struct log_entry *commit = first->commit;

	g_string_append_printf(out, "; first %s ", conflict_names[first->kind]);
	append_key(out, first->key, first->kind == CONFLICT_LIST);
	g_string_append_printf(out, ": seen at revision %" NUMBER ", found %" NUMBER, first->seen,
			       first->found);
	if (!commit)
		return;
	g_string_append_printf(out, ", by uid %u, ", commit->uid);
	text_append_escaped(out, *commit->command ? commit->command : "process");
	g_string_append_printf(out, "[%d], at ", (int)commit->pid);
	text_append_time(out, commit->time_ns);
	if (*commit->message) {
		g_string_append(out, ": ");
		text_append_escaped(out, commit->message);
	}
}

static void append_conflict_sentence(GString *out, const GPtrArray *conflicts)
{
	guint count = conflicts ? conflicts->len : 0;

	g_string_append_printf(
		out, "conflict (%u item%s changed since the snapshot, nothing was applied)", count,
		count == 1 ? "" : "s");
	if (count > 0)
		append_first_conflict(out, g_ptr_array_index(conflicts, 0));
	g_string_append(out, "; all in conflicts; to begin again: echo > restart\n");
}

GString *txn_text_commit(struct txn *txn)
{
	GString *out = g_string_new(NULL);

	pthread_mutex_lock(&txn->lock);
	switch (txn->state) {
	case TXN_OPEN:
		g_string_append_printf(out,
				       "open (%" NUMBER
				       " keys written; to commit: echo MESSAGE > commit)\n",
				       txn_count_writes_locked(txn));
		break;
	case TXN_COMMITTING:
		g_string_append(out, "open (committing)\n");
		break;
	case TXN_COMMITTED:
		g_string_append_printf(out, "committed %" NUMBER "\n", txn->revision);
		break;
	case TXN_CONFLICT:
		append_conflict_sentence(out, txn->conflicts);
		break;
	case TXN_FAILED:
		g_string_append_printf(out, "over (%s)\n", txn->last_error);
		break;
	case TXN_OVER:
		g_string_append(out, "over\n");
		break;
	}
	pthread_mutex_unlock(&txn->lock);
	return out;
}

/* ---- the small ones ------------------------------------------------------------- */

GString *txn_text_message(struct txn *txn)
{
	GString *out;

	pthread_mutex_lock(&txn->lock);
	out = g_string_new(txn->message);
	if (out->len > 0 && out->str[out->len - 1] != '\n')
		g_string_append_c(out, '\n');
	pthread_mutex_unlock(&txn->lock);
	return out;
}

GString *txn_text_isolation(struct txn *txn)
{
	GString *out = g_string_new(NULL);

	pthread_mutex_lock(&txn->lock);
	g_string_append_printf(out, "%s\n", isolation_name(txn->isolation));
	pthread_mutex_unlock(&txn->lock);
	return out;
}

static void append_seconds(GString *out, uint64_t seconds)
{
	if (seconds == UINT64_MAX)
		g_string_append(out, "max\n");
	else
		g_string_append_printf(out, "%" NUMBER "\n", seconds);
}

GString *txn_text_timeout(struct txn *txn)
{
	GString *out = g_string_new(NULL);

	pthread_mutex_lock(&txn->lock);
	append_seconds(out, txn->timeout_s);
	pthread_mutex_unlock(&txn->lock);
	return out;
}

GString *txn_text_status(struct txn *txn)
{
	GString *out = g_string_new(NULL);

	pthread_mutex_lock(&txn->lock);
	g_string_append_printf(out, "state %s\nid %s\n", state_names[txn->state], txn->id);
	if (txn->state == TXN_COMMITTED)
		g_string_append_printf(out, "revision %" NUMBER "\n", txn->revision);
	g_string_append_printf(out,
			       "base_revision %" NUMBER "\nreads %" NUMBER "\nwrites %" NUMBER
			       "\nbytes %" NUMBER "\n",
			       txn->snapshot->revision, txn->read_items,
			       txn_count_writes_locked(txn), overlay_bytes(txn->writes));
	g_string_append_printf(out, "owner_pid %d\nuid %u\nisolation %s\nbegun ",
			       (int)(txn->owned ? txn->owner.pid : 0), txn->credentials->uid,
			       isolation_name(txn->isolation));
	text_append_time(out, txn->begun_ns);
	g_string_append(out, "\ntimeout ");
	append_seconds(out, txn->timeout_s);
	g_string_append_printf(out, "idle_ms %" G_GINT64_FORMAT "\nlast_error ",
			       txn->holds > 0 ?
				       G_GINT64_CONSTANT(0) :
				       (g_get_monotonic_time() - txn->last_used_us) / 1000);
	text_append_escaped(out, txn->last_error ? txn->last_error : "-");
	g_string_append_c(out, '\n');
	pthread_mutex_unlock(&txn->lock);
	return out;
}
