/* Committing: the read set becomes compares, the write set operations, and both one program
 * for the store. What fails in it becomes the conflict report, joined with the log for when,
 * who and why. */
#include "txn/commit_rights.h"
#include "txn/transaction.h"

#include <errno.h>
#include <string.h>

const char *isolation_name(enum isolation level)
{
	static const char *const names[] = { "serializable-snapshot", "serializable", "snapshot" };

	return names[level];
}

int isolation_parse(const char *word, enum isolation *ret)
{
	for (int level = ISOLATION_SERIALIZABLE_SNAPSHOT; level <= ISOLATION_SNAPSHOT; level++) {
		if (strcmp(word, isolation_name((enum isolation)level)) == 0) {
			*ret = (enum isolation)level;
			return 0;
		}
	}
	return -EINVAL;
}

/* ---- The program ---------------------------------------------------------------- */

static void add_compare(struct program *program, GArray *items, enum conflict_kind kind,
			enum compare_target target, const char *key, uint64_t seen)
{
	struct commit_item item = { kind, seen };

	program_compare(program, target, COMPARE_EQUAL, key, seen);
	g_array_append_val(items, item);
}

static void compare_reads(struct txn *txn, struct program *program, GArray *items)
{
	struct read_item *item;
	GHashTableIter iter;

	g_hash_table_iter_init(&iter, txn->reads);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&item)) {
		if (item->observed & OBSERVE_EXISTS)
			add_compare(program, items, CONFLICT_EXISTS,
				    item->directory ? COMPARE_ATTRIBUTE : COMPARE_CREATE, item->key,
				    item->exists_revision);
		if (item->observed & OBSERVE_VALUE)
			add_compare(program, items, CONFLICT_VALUE, COMPARE_MOD, item->key,
				    item->mod_revision);
		if (item->observed & OBSERVE_LIST)
			add_compare(program, items, CONFLICT_LIST, COMPARE_MOD, item->key,
				    item->mod_revision);
	}
}

/* That a written key is what it was: wholly, or with `names_only` its name. */
static void compare_write(struct program *program, GArray *items, const struct overlay_entry *entry,
			  bool names_only)
{
	const struct record *base = entry->base;
	enum compare_target target = COMPARE_CREATE;
	uint64_t seen = base ? base->create_revision : 0;

	if (base && !names_only && base->type != RECORD_DIRECTORY) {
		target = COMPARE_MOD;
		seen = base->mod_revision;
	} else if (base && !names_only) {
		target = COMPARE_ATTRIBUTE; /* its entries are keys of their own */
		seen = base->attribute_revision;
	}
	add_compare(program, items, CONFLICT_WRITE, target, entry->key, seen);
}

static void set_changes(struct op *op, const struct record *record, unsigned mask)
{
	op->changes.mask = mask;
	op->changes.mode = record->mode;
	op->changes.uid = record->uid;
	op->changes.gid = record->gid;
	op->changes.mtime_ns = record->mtime_ns;
}

/* What is created is created as the view shows it: its owner may not be who began. */
static struct op *add_creation(struct program *program, const struct overlay_entry *entry)
{
	static const enum op_kind kinds[] = {
		[RECORD_VALUE] = OP_PUT,
		[RECORD_DIRECTORY] = OP_MKDIR,
		[RECORD_SYMLINK] = OP_SYMLINK,
	};
	const struct record *now = entry->now;
	struct op *op = program_add(program, kinds[now->type], entry->key);

	op->mode = now->mode;
	op->ino = now->ino;
	op->value = now->value ? g_bytes_ref(now->value) : NULL;
	set_changes(op, now, entry->attributes | ATTRIBUTE_MODE | ATTRIBUTE_UID | ATTRIBUTE_GID);
	return op;
}

static struct op *add_change(struct program *program, const struct overlay_entry *entry)
{
	enum op_kind kind = entry->value_written ? OP_PUT : OP_ATTR;
	struct op *op = program_add(program, kind, entry->key);

	if (entry->value_written)
		op->value = g_bytes_ref(entry->now->value);
	op->mode = entry->now->mode;
	set_changes(op, entry->now, entry->attributes);
	return op;
}

static void add_removal(struct program *program, const struct overlay_entry *entry,
			const struct commit_rights *rights)
{
	bool directory = entry->base->type == RECORD_DIRECTORY;
	struct op *op = program_add(program, directory ? OP_RMDIR : OP_DELETE, entry->key);

	op->flags |= commit_rights_of_removal(rights, entry);
}

/* Scratch files are of no commit; where one replaced a key, the key was deleted. */
static int collect_entry(const struct overlay_entry *entry, void *arg)
{
	if (entry->base || !txn_is_scratch(entry))
		g_ptr_array_add(arg, (void *)entry);
	return 0;
}

/* Removals first, the deepest first of all, then creations from the top down: so every
 * operation finds what it needs whatever became of a name in between. */
static void add_operations(struct program *program, const GPtrArray *entries,
			   const struct commit_rights *rights)
{
	for (guint i = entries->len; i-- > 0;) {
		const struct overlay_entry *entry = g_ptr_array_index(entries, i);

		if (entry->base && (!entry->now || entry->fresh))
			add_removal(program, entry, rights);
	}
	for (guint i = 0; i < entries->len; i++) {
		const struct overlay_entry *entry = g_ptr_array_index(entries, i);
		struct op *op;

		if (txn_is_scratch(entry) || !entry->now)
			continue;
		op = entry->fresh || !entry->base ? add_creation(program, entry) :
						    add_change(program, entry);
		op->flags |= commit_rights_of_change(rights, entry);
	}
}

struct program *txn_build_program(struct txn *txn, bool compares_only, GArray **ret_items)
{
	struct program *program = program_new(txn->credentials);
	g_autoptr(GPtrArray) entries = g_ptr_array_new();
	GArray *items = g_array_new(FALSE, FALSE, sizeof(struct commit_item));

	program->checked = true;
	program->id = g_strdup(txn->id);
	program->message = g_strdup(txn->message);
	if (program->message && g_str_has_suffix(program->message, "\n"))
		program->message[strlen(program->message) - 1] = '\0';
	if (txn->isolation != ISOLATION_SNAPSHOT)
		compare_reads(txn, program, items);
	overlay_foreach(txn->writes, collect_entry, entries);
	for (guint i = 0; i < entries->len; i++)
		compare_write(program, items, g_ptr_array_index(entries, i),
			      txn->isolation == ISOLATION_SERIALIZABLE);
	if (!compares_only) {
		g_autoptr(commit_rights)
			rights = commit_rights_new(txn->writes, entries, txn->credentials);

		add_operations(program, entries, rights);
	}
	*ret_items = items;
	return program;
}

/* ---- Conflicts ------------------------------------------------------------------ */

static void conflict_free(void *data)
{
	struct conflict *conflict = data;

	log_entry_free(conflict->commit);
	g_free(conflict->key);
	g_free(conflict);
}

static gint by_key(gconstpointer a, gconstpointer b)
{
	const struct conflict *left = *(const struct conflict *const *)a;
	const struct conflict *right = *(const struct conflict *const *)b;
	int order = strcmp(left->key, right->key);

	return order ? order : (int)left->kind - (int)right->kind;
}

static bool is_access_error(int error)
{
	return error == -EACCES || error == -EPERM;
}

GPtrArray *conflicts_from_result(struct store *store, const struct program_result *result,
				 const GArray *items)
{
	GPtrArray *conflicts = g_ptr_array_new_with_free_func(conflict_free);

	for (guint i = 0; result->failures && i < result->failures->len; i++) {
		const struct failure *failure = g_ptr_array_index(result->failures, i);
		struct conflict *conflict = g_new0(struct conflict, 1);

		conflict->key = g_strdup(failure->key);
		conflict->found = failure->found;
		if (failure->compare) {
			const struct commit_item *item =
				&g_array_index(items, struct commit_item, failure->index);

			conflict->kind = item->kind;
			conflict->seen = item->seen;
		} else {
			conflict->kind = is_access_error(failure->error) ? CONFLICT_ACCESS :
									   CONFLICT_WRITE;
			conflict->found = failure->change_revision;
		}
		if (failure->change_revision)
			(void)store_log(store, failure->change_revision, &conflict->commit);
		g_ptr_array_add(conflicts, conflict);
	}
	g_ptr_array_sort(conflicts, by_key);
	return conflicts;
}

/* ---- The commit ----------------------------------------------------------------- */

struct commit {
	struct txn *txn;
	GArray *items;
};

/* What the submitter is told. The store's refusals of single operations are conflicts: at
 * the snapshot each of them was possible. */
static int outcome_of(const struct program_result *result)
{
	if (result->error == 0)
		return result->succeeded ? 0 : -ECANCELED;
	switch (result->error) {
	case -EIO:
	case -EROFS:
	case -ENOSPC:
	case -EFBIG:
	case -EDQUOT:
	case -ENOMEM:
		return result->error;
	default:
		break;
	}
	for (guint i = 0; result->failures && i < result->failures->len; i++) {
		const struct failure *failure = g_ptr_array_index(result->failures, i);

		if (!is_access_error(failure->error))
			return -ECANCELED;
	}
	return -EACCES;
}

static enum txn_state state_after(int outcome)
{
	switch (outcome) {
	case 0:
		return TXN_COMMITTED;
	case -ECANCELED:
	case -EACCES:
		return TXN_CONFLICT;
	case -EIO:
		return TXN_FAILED;
	default:
		return TXN_OPEN; /* nothing was applied, and it can be tried again */
	}
}

static const char *explain_outcome(int outcome)
{
	switch (outcome) {
	case -ECANCELED:
		return "a conflict: nothing was applied, see conflicts";
	case -EACCES:
		return "permission is gone: nothing was applied, see conflicts";
	case -EIO:
		return "the store failed while writing: the outcome is unknown, the log tells "
		       "after the next mount";
	case -ENOSPC:
		return "no space left on the disk: nothing was applied, commit again when there "
		       "is space";
	case -EROFS:
		return "the store has failed and is read-only: nothing was applied";
	default:
		return g_strerror(-outcome);
	}
}

/* Sets the outcome and hands over who waits for it. */
static GArray *settle_locked(struct txn *txn, int outcome, uint64_t revision, GPtrArray *conflicts)
{
	GArray *waiters = txn->waiters;

	txn->waiters = g_array_new(FALSE, FALSE, sizeof(struct waiter));
	txn->outcome = outcome;
	txn->revision = outcome == 0 ? revision : 0;
	g_clear_pointer(&txn->conflicts, g_ptr_array_unref);
	txn->conflicts = conflicts;
	if (outcome != 0)
		txn_set_last_error_locked(txn,
					  g_strdup_printf("commit: %s", explain_outcome(outcome)));
	if (txn->state != TXN_OVER)
		txn->state = state_after(outcome);
	return waiters;
}

/* Rounds for which a transaction that lost takes turns with others. */
#define CONTENDED_ROUNDS 64

static void note_turn(struct txn *txn, int outcome, GQueue *due)
{
	bool conflict = outcome == -ECANCELED;
	bool contended;

	pthread_mutex_lock(&txn->lock);
	contended = conflict || txn->contended > 0;
	if (conflict)
		txn->contended = CONTENDED_ROUNDS;
	else if (txn->contended > 0)
		txn->contended--;
	pthread_mutex_unlock(&txn->lock);
	if (!contended)
		return;
	turns_note(registry_turns(txn->registry), conflict);
	turns_end(registry_turns(txn->registry), &txn->turn, due);
}

void txn_take_turn(struct txn *txn, txn_turn_fn *go, void *arg)
{
	bool contended;

	pthread_mutex_lock(&txn->lock);
	contended = txn->contended > 0 && txn->state != TXN_OVER;
	pthread_mutex_unlock(&txn->lock);
	if (contended)
		turns_take(registry_turns(txn->registry), &txn->turn, go, arg);
	else
		go(arg);
}

static void commit_done(const struct program_result *result, void *arg)
{
	struct commit *commit = arg;
	struct txn *txn = commit->txn;
	int outcome = outcome_of(result);
	GPtrArray *conflicts = NULL;
	GQueue due = G_QUEUE_INIT;
	GArray *waiters;

	if (outcome == -ECANCELED || outcome == -EACCES)
		conflicts = conflicts_from_result(txn->store, result, commit->items);
	registry_note_outcome(txn->registry, outcome, conflicts);
	pthread_mutex_lock(&txn->lock);
	waiters = settle_locked(txn, outcome, result->revision, conflicts);
	pthread_mutex_unlock(&txn->lock);
	note_turn(txn, outcome, &due); /* before who is told can take the next */
	for (guint i = 0; i < waiters->len; i++) {
		struct waiter *waiter = &g_array_index(waiters, struct waiter, i);

		waiter->done(outcome, waiter->arg);
	}
	g_array_unref(waiters);
	g_array_unref(commit->items);
	txn_unref(txn);
	g_free(commit);
	turns_go(&due);
}

static int take_message(struct txn *txn, const char *text, size_t text_bytes)
{
	if (text_bytes > 0 && text[text_bytes - 1] == '\n')
		text_bytes--;
	if (text_bytes > registry_get_options(txn->registry)->max_message_bytes) {
		txn_set_last_error_locked(
			txn,
			g_strdup_printf("commit: the message is longer than the %" G_GUINT64_FORMAT
					" bytes of --max-message",
					registry_get_options(txn->registry)->max_message_bytes));
		return -EFBIG;
	}
	if (!txn->message && text_bytes > 0)
		txn->message = g_strndup(text, text_bytes);
	return 0;
}

/* What a write to `commit` means now: the outcome is known, a program is to be submitted, or
 * one is on its way and the caller is told with the others. */
enum commit_step { STEP_KNOWN, STEP_SUBMIT, STEP_WAIT };

static enum commit_step begin_commit_locked(struct txn *txn, const char *text, size_t text_bytes,
					    const struct waiter *waiter, int *ret_outcome)
{
	txn_note_use(txn);
	switch (txn->state) {
	case TXN_OVER:
		*ret_outcome = -ESTALE;
		return STEP_KNOWN;
	case TXN_COMMITTED:
	case TXN_CONFLICT:
	case TXN_FAILED:
		*ret_outcome = txn->outcome;
		return STEP_KNOWN;
	case TXN_COMMITTING:
		g_array_append_val(txn->waiters, *waiter);
		return STEP_WAIT;
	case TXN_OPEN:
		break;
	}
	*ret_outcome = txn->reads_lost ? -EDQUOT : take_message(txn, text, text_bytes);
	if (*ret_outcome < 0)
		return STEP_KNOWN;
	txn->used = true;
	if (txn_count_writes_locked(txn) == 0) {
		txn->state = TXN_COMMITTED;
		txn->revision = txn->snapshot->revision;
		return STEP_KNOWN;
	}
	txn->state = TXN_COMMITTING;
	g_array_append_val(txn->waiters, *waiter);
	return STEP_SUBMIT;
}

void txn_commit(struct txn *txn, const char *text, size_t text_bytes, txn_done_fn *done, void *arg)
{
	struct waiter waiter = { done, arg };
	struct program *program = NULL;
	struct commit *commit = NULL;
	enum commit_step step;
	int outcome = 0;

	pthread_mutex_lock(&txn->lock);
	step = begin_commit_locked(txn, text, text_bytes, &waiter, &outcome);
	if (step == STEP_SUBMIT) {
		commit = g_new(struct commit, 1);
		commit->txn = txn_ref(txn);
		program = txn_build_program(txn, false, &commit->items);
	}
	pthread_mutex_unlock(&txn->lock);
	if (step == STEP_SUBMIT)
		store_submit(txn->store, program, commit_done, commit);
	else if (step == STEP_KNOWN)
		done(outcome, arg);
}

#define swap_pointers(a, b)           \
	do {                          \
		void *swapped = *(a); \
		*(a) = *(b);          \
		*(b) = swapped;       \
	} while (0)

int txn_restart(struct txn *txn)
{
	g_autoptr(snapshot) snapshot = NULL;
	g_autoptr(overlay) writes = NULL;
	int r = store_snapshot(txn->store, 0, &snapshot);

	if (r < 0)
		return r;
	writes = overlay_new(snapshot, &registry_get_options(txn->registry)->limits);
	pthread_mutex_lock(&txn->lock);
	txn_note_use(txn);
	if (txn->state == TXN_OVER) {
		r = -ESTALE;
	} else if (txn->state == TXN_COMMITTING) {
		r = txn_refuse_state_locked(txn, "restart", -EBUSY);
	} else {
		txn_clear_round_locked(txn);
		g_clear_pointer(&txn->message, g_free);
		swap_pointers(&txn->writes, &writes);
		swap_pointers(&txn->snapshot, &snapshot);
		txn->round++;
		txn->state = TXN_OPEN;
		txn_account_locked(txn);
	}
	pthread_mutex_unlock(&txn->lock);
	return r;
}

static int refuse_isolation(struct txn *txn)
{
	txn_set_last_error_locked(txn,
				  g_strdup("isolation: this round has read or written already; to "
					   "begin again: echo > restart"));
	return -EBUSY;
}

int txn_set_isolation(struct txn *txn, const char *word)
{
	enum isolation level;
	int r = isolation_parse(word, &level);

	pthread_mutex_lock(&txn->lock);
	if (txn->state == TXN_OVER)
		r = -ESTALE;
	else if (r == 0 && txn->state != TXN_OPEN)
		r = txn_refuse_state_locked(txn, "isolation", -EBUSY);
	else if (r == 0 && (txn->read_items > 0 || txn_count_writes_locked(txn) > 0))
		r = refuse_isolation(txn);
	if (r == 0) {
		txn->isolation = level;
		txn->used = true;
	} else if (r == -EINVAL) {
		GString *text = g_string_new("isolation: no such level: ");

		text_append_escaped(text, word);
		g_string_append(text, "; expected serializable-snapshot, serializable or snapshot");
		txn_set_last_error_locked(txn, g_string_free(text, FALSE));
	}
	pthread_mutex_unlock(&txn->lock);
	return r;
}

int txn_set_timeout(struct txn *txn, const char *word)
{
	guint64 seconds = UINT64_MAX;
	int r = 0;

	if (strcmp(word, "max") != 0 &&
	    !g_ascii_string_to_unsigned(word, 10, 1, G_MAXINT32, &seconds, NULL))
		r = -EINVAL;
	pthread_mutex_lock(&txn->lock);
	txn_note_use(txn);
	if (txn->state == TXN_OVER)
		r = -ESTALE;
	if (r == 0)
		txn->timeout_s = seconds;
	else if (r == -EINVAL)
		txn_set_last_error_locked(txn,
					  g_strdup("timeout: expected seconds, from 1 on, or max"));
	pthread_mutex_unlock(&txn->lock);
	if (r == 0)
		registry_wake(txn->registry);
	return r;
}

int txn_set_message(struct txn *txn, const char *text, size_t text_bytes, bool append)
{
	uint64_t limit = registry_get_options(txn->registry)->max_message_bytes;
	size_t old_bytes, newline;
	int r = 0;

	pthread_mutex_lock(&txn->lock);
	txn_note_use(txn);
	newline = text_bytes > 0 && text[text_bytes - 1] == '\n'; /* not part of the message */
	old_bytes = append && txn->message ? strlen(txn->message) : 0;
	if (txn->state == TXN_OVER) {
		r = -ESTALE;
	} else if (txn->state != TXN_OPEN) {
		r = txn_refuse_state_locked(txn, "message", -EBUSY);
	} else if (old_bytes + text_bytes - newline > limit) {
		txn_set_last_error_locked(
			txn, g_strdup_printf("message: longer than the %" G_GUINT64_FORMAT
					     " bytes of --max-message",
					     limit));
		r = -EFBIG;
	} else {
		g_autofree char *old = txn->message;
		g_autofree char *added = g_strndup(text, text_bytes);

		txn->message = g_strconcat(old_bytes ? old : "", added, NULL);
		txn->used = true;
	}
	pthread_mutex_unlock(&txn->lock);
	return r;
}
