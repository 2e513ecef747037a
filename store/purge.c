/* Purging: see purge.h. In this order, so that it can be done again from the beginning:
 *
 * 1. A note in `meta`, until it is finished.
 * 2. Messages of the log that hold a past value: asterisks in its place. A line keeps its
 *    length, since those after it keep their places. Which these are goes into the note: once
 *    the values are forgotten nothing else tells.
 * 3. Past records of the key: without their values. From now on nobody who comes reads them.
 * 4. Waiting for the snapshots that are held: what they read, RocksDB keeps.
 * 5. All that is in memory to tables, which ends the write-ahead logs there are; and every
 *    table that ever held something of the key, or what was blanked of the log, anew.
 *
 * Where the disk has no room for a step, it is tried again now and then, until it has. */
#include "store/purge.h"

#include "store/codec.h"
#include "store/compact.h"
#include "store/local.h"
#include "store/log.h"
#include "store/log_reader.h"

#include <errno.h>
#include <string.h>

/* A shorter value says nothing: it is found in every other message. */
#define SECRET_MIN 4
#define LOG_STEP 1000
/* Without room it looks again after so long: somebody may wait for it, and looking is cheap. */
#define ROOM_RETRY_NS ((int64_t)5 * 1000000000)
/* More than what the write-ahead log grows by. */
#define WRITE_BYTES ((uint64_t)1024 * 1024)

enum purge_stage {
	PURGE_NEW,
	PURGE_WAITING,	 /* the past cannot be read any more, but by snapshots that are held */
	PURGE_REWRITING, /* nobody reads it any more; the files have it */
};

struct purge {
	struct local *local;
	char *key;
	struct compaction_request request;
	enum purge_stage stage;
	uint64_t taken;	     /* waiting: for those of the first so many holds */
	int64_t retry_ns;    /* there was no room: not before this, monotonic */
	uint64_t room_bytes; /* with less there was none, whatever was thought */
	struct compaction progress;
	uint64_t first_blanked, last_blanked; /* log entries; 0: none */
};

/* What becomes of each past record of the key. */
typedef int record_fn(struct purge *purge, const rocksdb_iterator_t *iterator, void *arg);

/* ---- Past records --------------------------------------------------------------- */

/* Everything in the history of the key lies between the two. */
static void history_range(const char *key, struct stored_key *first, struct stored_key *last)
{
	stored_key_set(first, key, false);
	*last = *first;
	stored_key_add_revision(first, UINT64_MAX);
	stored_key_add_revision(last, 0);
}

static int for_each_record(struct purge *purge, record_fn *fn, void *arg)
{
	const struct layout *layout = &purge->local->layout;
	rocksdb_iterator_t *iterator = rocksdb_create_iterator_cf(layout->db, layout->newest,
								  layout->families[FAMILY_HISTORY]);
	struct stored_key first, last;
	char *error = NULL;
	int r = 0;

	history_range(purge->key, &first, &last);
	rocksdb_iter_seek(iterator, first.bytes, first.size);
	for (; r == 0 && rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator)) {
		size_t size;
		const char *key = rocksdb_iter_key(iterator, &size);

		if (size != last.size || memcmp(key, last.bytes, size - sizeof(uint64_t)) != 0)
			break;
		r = fn(purge, iterator, arg);
	}
	rocksdb_iter_get_error(iterator, &error);
	rocksdb_iter_destroy(iterator);
	return error ? layout_result("read on in the history", error) : r;
}

static int find_record(struct purge *purge, const rocksdb_iterator_t *iterator, void *arg)
{
	(void)purge;
	(void)iterator;
	*(bool *)arg = true;
	return 0;
}

/* Collects the value, less its last newline, when a message could hold it. */
static int collect_secret(struct purge *purge, const rocksdb_iterator_t *iterator, void *arg)
{
	g_autoptr(record) record = NULL;
	GHashTable *secrets = arg;
	const char *bytes;
	gsize size;
	int r;

	r = layout_decode_history(&purge->local->layout, iterator, true, NULL, &record);
	if (r < 0 || !record->value)
		return r;
	bytes = g_bytes_get_data(record->value, &size);
	if (size && bytes[size - 1] == '\n')
		size--;
	if (size >= SECRET_MIN && size <= LOG_TEXT_MAX && !memchr(bytes, '\0', size))
		g_hash_table_add(secrets, g_strndup(bytes, size));
	return 0;
}

/* Writes the record anew, without its value. */
static int forget_value(struct purge *purge, const rocksdb_iterator_t *iterator, void *arg)
{
	const struct layout *layout = &purge->local->layout;
	g_autoptr(record) record = NULL;
	uint64_t superseded;
	int r;

	r = layout_decode_history(layout, iterator, false, &superseded, &record);
	if (r < 0 || record->size_bytes == 0)
		return r;
	record->purged = true;
	r = layout_batch_history(layout, arg, purge->key, record, superseded);
	if (r == 0)
		purge->progress.records_removed++;
	return r;
}

static int forget_values(struct purge *purge)
{
	rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
	int r;

	r = for_each_record(purge, forget_value, batch);
	if (r == 0)
		r = local_write(purge->local, batch, true);
	rocksdb_writebatch_destroy(batch);
	return r;
}

/* ---- The note ------------------------------------------------------------------- */

static char *meta_key(const char *key)
{
	return g_strconcat(META_PURGE_PREFIX, key, NULL);
}

static void batch_note(const struct purge *purge, rocksdb_writebatch_t *batch)
{
	g_autofree char *name = meta_key(purge->key);
	guint8 blanked[2 * sizeof(uint64_t)];

	encode_u64(encode_u64(blanked, purge->first_blanked), purge->last_blanked);
	layout_batch_meta(&purge->local->layout, batch, name, 0, blanked,
			  purge->first_blanked ? sizeof(blanked) : 0);
}

static void take_note(struct purge *purge, const void *bytes, size_t size)
{
	struct reader reader = reader_of(bytes, size);

	if (size < 2 * sizeof(uint64_t))
		return;
	purge->first_blanked = read_u64(&reader);
	purge->last_blanked = read_u64(&reader);
}

/* One of before may not be finished. */
static int note(struct purge *purge)
{
	const struct layout *layout = &purge->local->layout;
	g_autofree char *name = meta_key(purge->key);
	g_autoptr(GBytes) before = NULL;
	rocksdb_writebatch_t *batch;
	int r;

	r = layout_get_meta(layout, layout->newest, name, &before, NULL);
	if (r < 0 && r != -ENOENT)
		return r;
	if (before)
		take_note(purge, g_bytes_get_data(before, NULL), g_bytes_get_size(before));
	batch = rocksdb_writebatch_create();
	batch_note(purge, batch);
	r = local_write(purge->local, batch, true);
	rocksdb_writebatch_destroy(batch);
	return r;
}

/* Where that fails it is purged once more at the next opening. */
static void drop_note(struct purge *purge)
{
	rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
	g_autofree char *name = meta_key(purge->key);

	rocksdb_writebatch_delete_cf(batch, purge->local->layout.families[FAMILY_META], name,
				     strlen(name));
	(void)local_write(purge->local, batch, false);
	rocksdb_writebatch_destroy(batch);
}

/* ---- Messages ------------------------------------------------------------------- */

static size_t escaped_length(const char *text)
{
	g_autoptr(GString) escaped = g_string_new(NULL);

	text_append_escaped(escaped, text);
	return escaped->len;
}

static void blank_all(GString *message, const char *secret)
{
	char *at = message->str;

	while ((at = strstr(at, secret)))
		memset(at, '*', strlen(secret));
}

/* `message` without the secrets, as long as it is once escaped; NULL: it has none. */
static char *blank_message(const char *message, GHashTable *secrets)
{
	g_autoptr(GString) blanked = g_string_new(message);
	size_t before, after;
	GHashTableIter iter;
	gpointer secret;

	g_hash_table_iter_init(&iter, secrets);
	while (g_hash_table_iter_next(&iter, &secret, NULL))
		blank_all(blanked, secret);
	if (strcmp(blanked->str, message) == 0)
		return NULL;
	before = escaped_length(message);
	after = escaped_length(blanked->str);
	if (after > before) /* a character was cut in two */
		g_string_truncate(blanked, after = 0);
	for (; after < before && blanked->len < LOG_TEXT_MAX * 4; after++)
		g_string_append_c(blanked, '*');
	return g_string_free(g_steal_pointer(&blanked), FALSE);
}

struct blanking {
	struct purge *purge;
	GHashTable *secrets;
	rocksdb_writebatch_t *batch;
	uint64_t next;
	int left;
};

static int blank_entry(const struct log_entry *entry, void *arg)
{
	struct blanking *blanking = arg;
	struct purge *purge = blanking->purge;
	struct log_entry copy = *entry;
	g_autofree char *message = blank_message(entry->message, blanking->secrets);
	int r;

	blanking->next = entry->revision + 1;
	if (message) {
		copy.message = message;
		r = layout_batch_log(&purge->local->layout, blanking->batch, &copy);
		if (r < 0)
			return r;
		purge->first_blanked = purge->first_blanked ?
					       MIN(purge->first_blanked, entry->revision) :
					       entry->revision;
		purge->last_blanked = MAX(purge->last_blanked, entry->revision);
	}
	return --blanking->left == 0;
}

static int blank_step(struct blanking *blanking)
{
	struct purge *purge = blanking->purge;
	int more, r = 0;

	if (compactor_is_stopping(&purge->local->compactor))
		return -ECANCELED;
	blanking->left = LOG_STEP;
	/* Where compaction has come by, there is nothing to blank. */
	blanking->next = MAX(blanking->next, local_oldest(purge->local));
	more = log_reader_list(purge->local, blanking->next, blank_entry, blanking);
	if (more == -ENOENT)
		return 1;
	if (more >= 0 && rocksdb_writebatch_count(blanking->batch)) {
		batch_note(purge, blanking->batch);
		r = local_write(purge->local, blanking->batch, false);
	}
	rocksdb_writebatch_clear(blanking->batch);
	return r < 0 ? r : more;
}

static int blank_messages(struct purge *purge)
{
	g_autoptr(GHashTable)
		secrets = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	struct blanking blanking = { .purge = purge, .secrets = secrets, .next = 1 };
	int r;

	r = for_each_record(purge, collect_secret, secrets);
	if (r < 0 || g_hash_table_size(secrets) == 0)
		return r;
	blanking.batch = rocksdb_writebatch_create();
	do
		r = blank_step(&blanking);
	while (r == 1);
	rocksdb_writebatch_destroy(blanking.batch);
	return r;
}

/* ---- The files ------------------------------------------------------------------ */

/* What holds, or ever held, something to be forgotten. */
struct places {
	struct stored_key key, first, last;
	char first_entry[sizeof(uint64_t)], last_entry[sizeof(uint64_t)];
	struct key_range ranges[FAMILY_COUNT]; /* without ends: nothing of that family */
};

static struct key_range range_of(const struct stored_key *first, const struct stored_key *last)
{
	return (struct key_range){ first->bytes, last->bytes, first->size, last->size };
}

static void find_places(const struct purge *purge, struct places *places)
{
	memset(places->ranges, 0, sizeof(places->ranges));
	stored_key_set(&places->key, purge->key, false);
	places->ranges[FAMILY_KEYS] = range_of(&places->key, &places->key);
	history_range(purge->key, &places->first, &places->last);
	places->ranges[FAMILY_HISTORY] = range_of(&places->first, &places->last);
	if (!purge->first_blanked)
		return;
	layout_encode_number(purge->first_blanked, places->first_entry);
	layout_encode_number(purge->last_blanked, places->last_entry);
	places->ranges[FAMILY_LOG] = (struct key_range){ places->first_entry, places->last_entry,
							 sizeof(places->first_entry),
							 sizeof(places->last_entry) };
}

/* A reserve that is kept back for any rewrite would never let a small disk have one. */
static int check_room(struct purge *purge, const struct places *places)
{
	struct local *local = purge->local;
	uint64_t tables = 0, needed;

	for (enum family family = FAMILY_DEFAULT; family < FAMILY_COUNT; family++) {
		const struct key_range *range = &places->ranges[family];

		if (range->first)
			tables =
				MAX(tables, compactor_rewrite_bytes(&local->layout, family, range));
	}
	needed = MAX(tables + layout_memory_bytes(&local->layout), purge->room_bytes);
	purge->progress.needed_bytes = needed;
	return local_free_bytes(local) < needed ? -ENOSPC : 0;
}

static int rewrite_places(struct purge *purge, const struct places *places)
{
	struct local *local = purge->local;
	int r = layout_flush(&local->layout);

	for (enum family family = FAMILY_DEFAULT; r == 0 && family < FAMILY_COUNT; family++) {
		const struct key_range *range = &places->ranges[family];

		if (range->first)
			r = compactor_rewrite_keys(&local->compactor, family, range);
	}
	/* It needs more than was thought. */
	if (r == -ENOSPC)
		purge->room_bytes = 2 * purge->progress.needed_bytes;
	return r;
}

static int rewrite_files(struct purge *purge)
{
	g_autofree struct places *places = g_new(struct places, 1);
	int r;

	find_places(purge, places);
	r = check_room(purge, places);
	if (r == 0)
		r = rewrite_places(purge, places);
	return compactor_is_stopping(&purge->local->compactor) ? -ECANCELED : r;
}

/* ---- All of it ------------------------------------------------------------------ */

static struct purge *purge_new(struct local *local, const char *key)
{
	struct purge *purge = g_new0(struct purge, 1);

	purge->local = local;
	purge->key = g_strdup(key);
	return purge;
}

struct purge *purge_resume(struct local *local, const char *key, const void *bytes, size_t size)
{
	struct purge *purge = purge_new(local, key);

	take_note(purge, bytes, size);
	return purge;
}

void purge_free(struct purge *purge)
{
	if (!purge)
		return;
	g_free(purge->key);
	g_free(purge);
}

static int check_known(struct purge *purge)
{
	const struct place head = purge->local->head.place;
	g_autoptr(record) record = NULL;
	bool found = false;
	int r;

	r = place_get(&head, purge->key, &record);
	if (r == -ENOENT)
		r = for_each_record(purge, find_record, &found);
	return r < 0 || found || record ? r : -ENOENT;
}

int purge_request(struct local *local, const char *key, store_compaction_fn *progress, void *arg,
		  struct purge **ret)
{
	struct purge *purge = purge_new(local, key);
	int r;

	purge->request = (struct compaction_request){ progress, arg };
	r = check_known(purge);
	if (r == 0)
		r = note(purge);
	if (r < 0) {
		purge_free(purge);
		return r;
	}
	*ret = purge;
	return 0;
}

int64_t purge_due_ns(const struct purge *purge)
{
	if (purge->stage == PURGE_WAITING &&
	    open_snapshots_count(&purge->local->open, purge->taken) > 0)
		return INT64_MAX;
	return purge->retry_ns;
}

static void tell(struct purge *purge)
{
	compactor_tell(&purge->local->compactor, &purge->progress, &purge->request, 1);
}

static void finish(struct purge *purge, int error)
{
	purge->progress.running = false;
	compactor_tell(&purge->local->compactor, &purge->progress, NULL, 0);
	if (purge->request.progress)
		purge->request.progress(&purge->progress, true, error, purge->request.arg);
}

static int make_unreadable(struct purge *purge)
{
	struct local *local = purge->local;
	int r;

	purge->progress.running = true;
	tell(purge);
	r = blank_messages(purge);
	if (r == 0)
		r = forget_values(purge);
	if (r < 0)
		return r;
	purge->taken = open_snapshots_taken(&local->open);
	purge->stage = PURGE_WAITING;
	purge->progress.unreadable = true;
	/* Before they are counted: who lets go of one from now on wakes the compactor. */
	g_atomic_int_inc(&local->compactor.purges_waiting);
	purge->progress.held_snapshots = open_snapshots_count(&local->open, purge->taken);
	tell(purge);
	return 0;
}

/* True: nobody holds a snapshot any more that may read it. */
static bool stop_waiting(struct purge *purge)
{
	if (open_snapshots_count(&purge->local->open, purge->taken) > 0)
		return false;
	g_atomic_int_add(&purge->local->compactor.purges_waiting, -1);
	purge->progress.held_snapshots = 0;
	purge->stage = PURGE_REWRITING;
	return true;
}

static void wait_for_room(struct purge *purge)
{
	if (purge->stage == PURGE_NEW)
		purge->progress.needed_bytes = WRITE_BYTES;
	if (purge->retry_ns == 0)
		g_warning("store: no room on the disk to purge '%s', it goes on when there is",
			  purge->key);
	purge->retry_ns = compactor_clock_ns() + ROOM_RETRY_NS;
	tell(purge);
}

bool purge_go_on(struct purge *purge)
{
	int r = 0;

	purge->progress.needed_bytes = 0;
	if (purge->stage == PURGE_NEW)
		r = make_unreadable(purge);
	if (r == 0 && purge->stage == PURGE_WAITING && !stop_waiting(purge))
		return false;
	if (r == 0)
		r = rewrite_files(purge);
	if (r == -ENOSPC)
		wait_for_room(purge);
	if (r == -ECANCELED || r == -ENOSPC)
		return false;
	purge->progress.needed_bytes = 0;
	if (r == 0)
		drop_note(purge);
	else
		g_warning("store: cannot purge '%s', it goes on when it is opened next: %s",
			  purge->key, g_strerror(-r));
	finish(purge, r);
	return true;
}

void purge_cancel(struct purge *purge)
{
	finish(purge, -ECANCELED);
}
