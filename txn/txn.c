/* A transaction: one snapshot, the read set of what was observed in it, and the write set
 * as an overlay. Its view records and collects; commit.c submits. A round lasts from the
 * beginning, or a restart, to the commit; its outcome stays until the next restart. */
#include "txn/transaction.h"

#include <errno.h>
#include <string.h>

#define txn_of(v) ((struct txn *)(void *)((char *)(v)-offsetof(struct txn, view)))

static void read_item_free(void *data)
{
	struct read_item *item = data;

	g_free(item->key);
	g_free(item);
}

void txn_note_use(struct txn *txn)
{
	txn->last_used_us = g_get_monotonic_time();
}

void txn_set_last_error_locked(struct txn *txn, char *text)
{
	g_free(txn->last_error);
	txn->last_error = text;
}

void txn_set_last_error(struct txn *txn, const char *format, ...)
{
	char *text;
	va_list arguments;

	va_start(arguments, format);
	text = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	pthread_mutex_lock(&txn->lock);
	txn_set_last_error_locked(txn, text);
	pthread_mutex_unlock(&txn->lock);
}

void txn_clear_last_error(struct txn *txn, const char *text)
{
	pthread_mutex_lock(&txn->lock);
	if (g_strcmp0(txn->last_error, text) == 0)
		g_clear_pointer(&txn->last_error, g_free);
	pthread_mutex_unlock(&txn->lock);
}

/* ---- The read set --------------------------------------------------------------- */

struct read_item *txn_read_item(struct txn *txn, const char *key)
{
	struct read_item *item = g_hash_table_lookup(txn->reads, key);

	if (!item) {
		item = g_new0(struct read_item, 1);
		item->key = g_strdup(key);
		g_hash_table_insert(txn->reads, item->key, item);
	}
	return item;
}

void read_item_set(struct read_item *item, const struct record *record)
{
	item->directory = record && record->type == RECORD_DIRECTORY;
	item->exists_revision = 0;
	item->mod_revision = 0;
	if (!record)
		return;
	item->exists_revision = item->directory ? record->attribute_revision :
						  record->create_revision;
	item->mod_revision = record->mod_revision;
}

/* True when what is observed is the transaction's own doing, which no commit of another
 * can make untrue. */
static bool is_own(struct txn *txn, enum observation what, const char *key)
{
	const struct overlay_entry *entry = overlay_find(txn->writes, key);

	if (!entry)
		return false;
	if (entry->fresh || !entry->now || !entry->base)
		return true;
	return what == OBSERVE_VALUE ? entry->value_written : what == OBSERVE_EXISTS;
}

static void refuse_read(struct txn *txn)
{
	const struct registry_options *options = registry_get_options(txn->registry);
	struct account user = accounts_get(txn->accounts, txn->credentials->uid);

	txn_set_last_error_locked(
		txn, g_strdup_printf("read refused: %" G_GINT64_FORMAT " of %" G_GUINT64_FORMAT
				     " items in the read sets of this user (--max-user-reads) and "
				     "%" G_GINT64_FORMAT " of %" G_GUINT64_FORMAT
				     " bytes (--max-user-size) are taken",
				     user.reads, options->max_user_reads, user.bytes,
				     options->max_user_bytes));
}

/* The snapshot's record is the same at every look, so an item is complete with the first:
 * revisions of a record with attributes changed here are still those of the snapshot. */
int txn_observe_locked(struct txn *txn, enum observation what, const char *key,
		       const struct record *record)
{
	struct account change = { .reads = 1 };
	struct read_item *item;

	/* A commit for which there is no space leaves the round open again. */
	if ((txn->state != TXN_OPEN && txn->state != TXN_COMMITTING) || is_own(txn, what, key))
		return 0;
	item = g_hash_table_lookup(txn->reads, key);
	if (item && (item->observed & what))
		return 0;
	if (!item)
		change.bytes = ACCOUNT_READ_BYTES + (int64_t)strlen(key);
	if (accounts_charge(txn->accounts, txn->credentials->uid, &change) < 0) {
		refuse_read(txn);
		return -EDQUOT;
	}
	txn->charged.reads++;
	txn->charged.bytes += change.bytes;
	txn->read_bytes += change.bytes;
	item = txn_read_item(txn, key);
	txn->used = true;
	txn->read_items++;
	item->observed |= what;
	read_item_set(item, record);
	return 0;
}

static int txn_view_observe(struct view *view, enum observation what, const char *key,
			    const struct record *record)
{
	struct txn *txn = txn_of(view);
	int r;

	pthread_mutex_lock(&txn->lock);
	txn_note_use(txn);
	r = txn_observe_locked(txn, what, key, record);
	pthread_mutex_unlock(&txn->lock);
	return r;
}

static bool txn_view_has_observed(struct view *view, enum observation what, const char *key)
{
	struct txn *txn = txn_of(view);
	const struct read_item *item;
	bool has;

	pthread_mutex_lock(&txn->lock);
	item = g_hash_table_lookup(txn->reads, key);
	has = txn->state == TXN_OPEN &&
	      ((item && (item->observed & what)) || is_own(txn, what, key));
	pthread_mutex_unlock(&txn->lock);
	return has;
}

/* ---- Reading -------------------------------------------------------------------- */

static int txn_view_get(struct view *view, const char *key, struct record **ret)
{
	struct txn *txn = txn_of(view);
	int r;

	pthread_mutex_lock(&txn->lock);
	r = txn->state == TXN_OVER ? -ESTALE : overlay_get(txn->writes, key, ret);
	pthread_mutex_unlock(&txn->lock);
	return r;
}

static int txn_view_list(struct view *view, const char *directory, snapshot_visit_fn *visit,
			 void *arg)
{
	struct txn *txn = txn_of(view);
	int r;

	pthread_mutex_lock(&txn->lock);
	txn_note_use(txn);
	r = txn->state == TXN_OVER ? -ESTALE : overlay_list(txn->writes, directory, visit, arg);
	pthread_mutex_unlock(&txn->lock);
	return r;
}

/* ---- Writing -------------------------------------------------------------------- */

int txn_refuse_state_locked(struct txn *txn, const char *what, int error)
{
	static const char *const reasons[] = {
		[TXN_OPEN] = NULL,
		[TXN_COMMITTING] = "this round is being committed",
		[TXN_COMMITTED] = "this round is committed; to begin another: echo > restart",
		[TXN_CONFLICT] =
			"this round has a conflict, see conflicts; to begin again: echo > restart",
		[TXN_FAILED] = "the store failed at the commit of this round",
		[TXN_OVER] = NULL, /* it has said why */
	};

	if (reasons[txn->state])
		txn_set_last_error_locked(txn,
					  g_strdup_printf("%s: %s", what, reasons[txn->state]));
	return error;
}

static int check_writable(struct txn *txn)
{
	switch (txn->state) {
	case TXN_OPEN:
		return 0;
	case TXN_COMMITTING:
		return txn_refuse_state_locked(txn, "write refused", -EBUSY);
	case TXN_CONFLICT:
		return txn_refuse_state_locked(txn, "write refused", -ECANCELED);
	case TXN_COMMITTED:
	case TXN_FAILED:
	case TXN_OVER:
		break;
	}
	return txn_refuse_state_locked(txn, "write refused", -ESTALE);
}

struct observed_tree {
	struct txn *txn;
	GPtrArray *directories; /* keys still to be listed */
	const char *directory;
};

static int observe_entry(const char *name, struct record *record, void *arg)
{
	struct observed_tree *tree = arg;
	g_autofree char *key = *tree->directory ? g_strconcat(tree->directory, "/", name, NULL) :
						  g_strdup(name);

	int r;

	if (record->type != RECORD_DIRECTORY)
		return txn_observe_locked(tree->txn, OBSERVE_VALUE, key, record);
	r = txn_observe_locked(tree->txn, OBSERVE_EXISTS, key, record);
	g_ptr_array_add(tree->directories, g_steal_pointer(&key));
	return r;
}

/* Renaming takes everything along: what lies below is read. */
static int observe_moved(struct txn *txn, const char *key)
{
	g_autoptr(GPtrArray) directories = g_ptr_array_new_with_free_func(g_free);
	struct observed_tree tree = { txn, directories, NULL };
	g_autoptr(record) record = NULL;
	int r = overlay_get(txn->writes, key, &record);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (record->type != RECORD_DIRECTORY)
		return txn_observe_locked(txn, OBSERVE_VALUE, key, record);
	g_ptr_array_add(directories, g_strdup(key));
	for (guint i = 0; i < directories->len && r >= 0; i++) {
		g_autoptr(record) directory = NULL;

		tree.directory = g_ptr_array_index(directories, i);
		r = overlay_get(txn->writes, tree.directory, &directory);
		if (r == 0)
			r = txn_observe_locked(txn, OBSERVE_LIST, tree.directory, directory);
		if (r < 0)
			return r;
		r = overlay_list(txn->writes, tree.directory, observe_entry, &tree);
	}
	return r;
}

static int observe_existing(struct txn *txn, enum observation what, const char *key)
{
	g_autoptr(record) record = NULL;
	int r = overlay_get(txn->writes, key, &record);

	/* A file that a rename replaces has no listing. */
	if (r == 0 && (what != OBSERVE_LIST || record->type == RECORD_DIRECTORY))
		r = txn_observe_locked(txn, what, key, record);
	return r == -ENOENT ? 0 : r;
}

/* What an operation depends on besides what it writes. */
static int observe_op(struct txn *txn, const struct op *op)
{
	int r = 0;

	if (op->kind == OP_PATCH)
		r = observe_existing(txn, OBSERVE_VALUE, op->key);
	else if (op->kind == OP_RMDIR)
		r = observe_existing(txn, OBSERVE_LIST, op->key);
	else if (op->kind == OP_RENAME) {
		r = observe_moved(txn, op->key);
		if (r == 0 && (op->flags & OP_EXCHANGE))
			r = observe_moved(txn, op->target);
		else if (r == 0)
			r = observe_existing(txn, OBSERVE_LIST, op->target);
	}
	return r;
}

/* fs/ compares inode numbers only, to know that a path still means the same node. */
static int check_compares(struct txn *txn, const struct program *program)
{
	for (guint i = 0; i < program->compares->len; i++) {
		const struct compare *compare = g_ptr_array_index(program->compares, i);
		g_autoptr(record) record = NULL;
		int r = overlay_get(txn->writes, compare->key, &record);

		g_assert(compare->target == COMPARE_INO && compare->operator== COMPARE_EQUAL);
		if (r < 0 && r != -ENOENT)
			return r;
		if (!record || record->ino != compare->number)
			return -ESTALE;
	}
	return 0;
}

/* Which limit it was, and how much of it is used. */
static char *limit_reached(struct txn *txn, int error)
{
	const struct registry_options *options = registry_get_options(txn->registry);
	struct account user = accounts_get(txn->accounts, txn->credentials->uid);

	if (error == -EFBIG)
		return g_strdup_printf("a value may have the %" G_GUINT64_FORMAT
				       " bytes of --max-value",
				       options->limits.max_value_bytes);
	return g_strdup_printf("%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
			       " keys and %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
			       " bytes of this transaction, %" G_GINT64_FORMAT
			       " of %" G_GUINT64_FORMAT " bytes of this user are taken",
			       overlay_keys(txn->writes), options->limits.max_keys,
			       overlay_bytes(txn->writes), options->limits.max_values_bytes,
			       user.bytes, options->max_user_bytes);
}

static void refuse(struct txn *txn, const struct op *op, int error, const char *key)
{
	g_autofree char *limit = NULL;
	GString *text;

	if (error != -EFBIG && error != -EDQUOT)
		return;
	limit = limit_reached(txn, error);
	text = g_string_new("write refused: ");
	text_append_escaped(text, key ? key : op->key);
	g_string_append_printf(text, ": %s", limit);
	txn_set_last_error_locked(txn, g_string_free(text, FALSE));
}

/* A transaction may grow by what its user still has. */
static void limit_overlay(struct txn *txn)
{
	const struct registry_options *options = registry_get_options(txn->registry);
	struct account user = accounts_get(txn->accounts, txn->credentials->uid);
	uint64_t had = (uint64_t)user.bytes;
	uint64_t left = had < options->max_user_bytes ? options->max_user_bytes - had : 0;
	struct overlay_limits limits = options->limits;

	limits.max_memory_bytes = MAX(overlay_memory(txn->writes) + left, 1);
	overlay_set_limits(txn->writes, &limits);
}

static int count_scratch(const struct overlay_entry *entry, void *arg)
{
	uint64_t *count = arg;

	*count += txn_is_scratch(entry) && !entry->base;
	return 0;
}

uint64_t txn_count_writes_locked(struct txn *txn)
{
	uint64_t scratch = 0;

	if (txn->scratch)
		overlay_foreach(txn->writes, count_scratch, &scratch);
	return overlay_keys(txn->writes) - scratch;
}

void txn_account_locked(struct txn *txn)
{
	struct account change = { .bytes = (int64_t)overlay_memory(txn->writes) + txn->read_bytes -
					   txn->charged.bytes };

	accounts_adjust(txn->accounts, txn->credentials->uid, &change);
	txn->charged.bytes += change.bytes;
}

static int apply_op(struct txn *txn, const struct program *program, const struct op *op,
		    GPtrArray *records)
{
	g_autoptr(record) after = NULL;
	g_autofree char *key = NULL;
	int64_t now_ns = g_get_real_time() * 1000;
	/* A small write to a big value must not share what it will change in place next. */
	bool wanted = op->kind != OP_PATCH;
	int r = observe_op(txn, op);

	txn->scratch = txn->scratch || (op->flags & OP_SCRATCH);
	limit_overlay(txn);
	if (r == 0)
		r = overlay_apply(txn->writes, op, program->credentials, program->checked, now_ns,
				  wanted ? &after : NULL, &key);
	txn_account_locked(txn);
	if (r < 0)
		refuse(txn, op, r, key);
	else
		g_ptr_array_add(records, g_steal_pointer(&after));
	return r;
}

static void unref_record(void *record)
{
	record_unref(record);
}

/* One operation a program: a transaction's overlay cannot take a first one back. */
static int apply_locked(struct txn *txn, struct program *program, struct program_result *result)
{
	int r = check_writable(txn);

	g_assert(program->then_ops->len == 1);
	txn_note_use(txn);
	if (r < 0)
		return r;
	txn->used = true;
	r = check_compares(txn, program);
	if (r == -ESTALE) {
		result->succeeded = false;
		return 0;
	}
	result->succeeded = true;
	if (r == 0)
		r = apply_op(txn, program, g_ptr_array_index(program->then_ops, 0),
			     result->records);
	return r;
}

static void txn_view_apply(struct view *view, struct program *program, program_done_fn *done,
			   void *arg)
{
	struct txn *txn = txn_of(view);
	g_autoptr(GPtrArray) records = g_ptr_array_new_with_free_func(unref_record);
	g_autoptr(GPtrArray) failures = g_ptr_array_new();
	struct program_result result = { .records = records, .failures = failures };

	pthread_mutex_lock(&txn->lock);
	result.revision = txn->snapshot->revision;
	result.error = apply_locked(txn, program, &result);
	result.changed = result.error == 0 && result.succeeded;
	pthread_mutex_unlock(&txn->lock);
	program_free(program);
	done(&result, arg);
}

static const struct view_class txn_class = {
	.get = txn_view_get,
	.list = txn_view_list,
	.observe = txn_view_observe,
	.has_observed = txn_view_has_observed,
	.apply = txn_view_apply,
};

/* ---- Life ----------------------------------------------------------------------- */

enum { LARGE_ITEMS = 1000 };

bool txn_is_large(struct txn *txn)
{
	bool large;

	pthread_mutex_lock(&txn->lock);
	large = txn->read_items + overlay_keys(txn->writes) > LARGE_ITEMS;
	pthread_mutex_unlock(&txn->lock);
	return large;
}

void txn_clear_round_locked(struct txn *txn)
{
	struct account reads = { .bytes = -txn->read_bytes, .reads = -txn->charged.reads };

	g_hash_table_remove_all(txn->reads);
	txn->read_items = 0;
	txn->reads_lost = false;
	accounts_adjust(txn->accounts, txn->credentials->uid, &reads);
	txn->charged.bytes -= txn->read_bytes;
	txn->charged.reads = 0;
	txn->read_bytes = 0;
	g_clear_pointer(&txn->conflicts, g_ptr_array_unref);
	g_clear_pointer(&txn->shown, g_ptr_array_unref);
	txn->outcome = 0;
	txn->revision = 0;
}

struct txn *txn_new(struct registry *registry, const char *name, const char *id, uint64_t number,
		    const struct credentials *credentials, struct snapshot *snapshot)
{
	struct txn *txn = g_new0(struct txn, 1);

	txn->refs = 1;
	txn->view.class = &txn_class;
	txn->store = registry_store(registry);
	txn->registry = registry;
	txn->accounts = registry_accounts(registry);
	txn->name = g_strdup(name);
	txn->id = g_strdup(id);
	txn->number = number;
	txn->credentials = credentials_copy(credentials);
	txn->begun_ns = g_get_real_time() * 1000;
	txn->begun_us = g_get_monotonic_time();
	txn->timeout_s = UINT64_MAX;
	txn->heirs = g_array_new(FALSE, FALSE, sizeof(struct process));
	txn->owner_fd = -1;
	pthread_mutex_init(&txn->lock, NULL);
	txn->round = 1;
	txn->snapshot = snapshot_ref(snapshot);
	txn->writes = overlay_new(snapshot, &registry_get_options(registry)->limits);
	txn->reads = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, read_item_free);
	txn->waiters = g_array_new(FALSE, FALSE, sizeof(struct waiter));
	txn_note_use(txn);
	return txn;
}

struct txn *txn_ref(struct txn *txn)
{
	g_atomic_int_inc(&txn->refs);
	return txn;
}

void txn_unref(struct txn *txn)
{
	GQueue due = G_QUEUE_INIT;
	struct account charged;

	if (!txn || !g_atomic_int_dec_and_test(&txn->refs))
		return;
	g_assert(txn->waiters->len == 0 && txn->owner_fd < 0);
	turns_end(registry_turns(txn->registry), &txn->turn, &due);
	turns_go(&due);
	txn_clear_round_locked(txn);
	charged = (struct account){ .bytes = -txn->charged.bytes };
	accounts_adjust(txn->accounts, txn->credentials->uid, &charged);
	overlay_free(txn->writes);
	snapshot_unref(txn->snapshot);
	g_hash_table_unref(txn->reads);
	g_array_unref(txn->waiters);
	g_array_unref(txn->heirs);
	g_clear_pointer(&txn->conflicts, g_ptr_array_unref);
	credentials_free(txn->credentials);
	pthread_mutex_destroy(&txn->lock);
	g_free(txn->last_error);
	g_free(txn->message);
	g_free(txn->name);
	g_free(txn->id);
	g_free(txn);
}

/* The kernel may hold its nodes for long: what it has read and written goes at once. */
static void drop_contents_locked(struct txn *txn)
{
	txn_clear_round_locked(txn);
	overlay_free(txn->writes);
	txn->writes = overlay_new(txn->snapshot, &registry_get_options(txn->registry)->limits);
	txn_account_locked(txn);
}

bool txn_mark_over(struct txn *txn, bool *ret_abandoned)
{
	bool first;

	pthread_mutex_lock(&txn->lock);
	first = txn->state != TXN_OVER;
	*ret_abandoned = first && txn->state != TXN_COMMITTED && txn->state != TXN_COMMITTING &&
			 txn_count_writes_locked(txn) > 0;
	txn->state = TXN_OVER;
	if (first)
		drop_contents_locked(txn);
	pthread_mutex_unlock(&txn->lock);
	return first;
}

void txn_end(struct txn *txn)
{
	GQueue due = G_QUEUE_INIT;
	bool abandoned;

	txn_mark_over(txn, &abandoned);
	pthread_mutex_lock(&txn->lock);
	txn->expired = false;
	pthread_mutex_unlock(&txn->lock);
	turns_end(registry_turns(txn->registry), &txn->turn, &due);
	turns_go(&due);
	registry_forget(txn->registry, txn, abandoned);
}

void txn_lose_reads(struct txn *txn)
{
	pthread_mutex_lock(&txn->lock);
	txn->reads_lost = true;
	pthread_mutex_unlock(&txn->lock);
}

void txn_hold(struct txn *txn)
{
	pthread_mutex_lock(&txn->lock);
	txn->holds++;
	pthread_mutex_unlock(&txn->lock);
}

void txn_release(struct txn *txn)
{
	pthread_mutex_lock(&txn->lock);
	txn->holds--;
	txn_note_use(txn);
	pthread_mutex_unlock(&txn->lock);
}

bool txn_is_gone(struct txn *txn)
{
	bool gone;

	pthread_mutex_lock(&txn->lock);
	gone = txn->state == TXN_OVER && !txn->expired;
	pthread_mutex_unlock(&txn->lock);
	return gone;
}

static int64_t seconds_left_us(uint64_t seconds, int64_t since_us, int64_t now_us)
{
	if (seconds > G_MAXINT64 / 4 / G_USEC_PER_SEC)
		return G_MAXINT64;
	return MAX(since_us + (int64_t)seconds * G_USEC_PER_SEC - now_us, 0);
}

int64_t txn_time_left_us(struct txn *txn, int64_t now_us)
{
	uint64_t max_age_s = registry_get_options(txn->registry)->max_age_s;
	int64_t left_us, idle_us;

	pthread_mutex_lock(&txn->lock);
	left_us = seconds_left_us(max_age_s, txn->begun_us, now_us);
	/* While a file is open it is looked at again after a whole time-out. */
	idle_us = seconds_left_us(txn->timeout_s, txn->holds ? now_us : txn->last_used_us, now_us);
	if (txn->holds && idle_us == 0)
		idle_us = G_USEC_PER_SEC;
	if (txn->state == TXN_OVER)
		left_us = idle_us = G_MAXINT64;
	pthread_mutex_unlock(&txn->lock);
	return MIN(left_us, idle_us);
}

const char *txn_name(const struct txn *txn)
{
	return txn->name;
}

const char *txn_id(const struct txn *txn)
{
	return txn->id;
}

uint64_t txn_number(const struct txn *txn)
{
	return txn->number;
}

const struct credentials *txn_credentials(const struct txn *txn)
{
	return txn->credentials;
}

uint64_t txn_base_revision(struct txn *txn)
{
	uint64_t revision;

	pthread_mutex_lock(&txn->lock);
	revision = txn->snapshot->revision;
	pthread_mutex_unlock(&txn->lock);
	return revision;
}

int64_t txn_begun_ns(const struct txn *txn)
{
	return txn->begun_ns;
}

struct view *txn_view(struct txn *txn)
{
	return &txn->view;
}

enum txn_state txn_state(struct txn *txn)
{
	enum txn_state state;

	pthread_mutex_lock(&txn->lock);
	state = txn->state;
	pthread_mutex_unlock(&txn->lock);
	return state;
}

uint64_t txn_round(struct txn *txn)
{
	uint64_t round;

	pthread_mutex_lock(&txn->lock);
	round = txn->round;
	pthread_mutex_unlock(&txn->lock);
	return round;
}
