/* Reading at a past revision.
 *
 * A stored key had at revision R the record that is its head when that was last changed at
 * R or before, and otherwise the newest record of its history that is not newer than R,
 * unless that was superseded at R already. A key has two stored forms, as a value and as a
 * directory, of which at most one has a record at any revision.
 *
 * Everything is read through one snapshot of RocksDB, so that what moves from the head to
 * the history meanwhile is seen in one of the two places. */
#include "store/history.h"

#include "store/codec.h"
#include "store/record.h"
#include "store/statistics.h"

#include <errno.h>
#include <string.h>

/* A seek costs about as much as so many steps; most keys have few versions. */
#define STEPS_MAX 16

static rocksdb_iterator_t *open_history(const struct place *place)
{
	return rocksdb_create_iterator_cf(place->layout->db, place->options,
					  place->layout->families[FAMILY_HISTORY]);
}

/* 0 when the iterator only came to its end. */
static int iterator_result(const rocksdb_iterator_t *iterator)
{
	char *error = NULL;

	rocksdb_iter_get_error(iterator, &error);
	return layout_result("read on", error);
}

/* True when the iterator is at a history record of the stored key. */
static bool at_history_of(const rocksdb_iterator_t *iterator, const struct stored_key *stored)
{
	const char *key;
	size_t size;

	if (!rocksdb_iter_valid(iterator))
		return false;
	key = rocksdb_iter_key(iterator, &size);
	return size == stored->size + 1 + sizeof(uint64_t) && key[stored->size] == '\0' &&
	       memcmp(key, stored->bytes, stored->size) == 0;
}

static void seek_history(rocksdb_iterator_t *iterator, const struct stored_key *stored,
			 uint64_t revision)
{
	struct stored_key sought;

	sought.size = stored->size;
	memcpy(sought.bytes, stored->bytes, stored->size);
	stored_key_add_revision(&sought, revision);
	rocksdb_iter_seek(iterator, sought.bytes, sought.size);
}

/* The record that `stored` had at the place's revision, when the iterator is at the newest
 * of its history that is not newer than that, or behind all of it. */
static int read_history(const struct place *place, const rocksdb_iterator_t *iterator,
			const struct stored_key *stored, bool with_value, struct record **ret)
{
	int r;

	if (!at_history_of(iterator, stored)) {
		r = rocksdb_iter_valid(iterator) ? 0 : iterator_result(iterator);
		return r < 0 ? r : -ENOENT;
	}
	return layout_decode_history_at(place->layout, iterator, place->revision, with_value, ret);
}

/* ---- One key -------------------------------------------------------------------- */

static int get_form(const struct place *place, rocksdb_iterator_t **history,
		    const struct stored_key *stored, struct record **ret)
{
	g_autoptr(record) found = NULL;
	int r;

	r = layout_get_record(place->layout, place->options, stored, &found);
	if (r < 0 && r != -ENOENT)
		return r;
	if (found && (!place->revision || record_last_revision(found) <= place->revision)) {
		*ret = g_steal_pointer(&found);
		return 0;
	}
	if (!place->revision)
		return -ENOENT;
	if (!*history)
		*history = open_history(place);
	seek_history(*history, stored, place->revision);
	return read_history(place, *history, stored, true, ret);
}

static int get_either(const struct place *place, const char *key, struct record **ret)
{
	rocksdb_iterator_t *history = NULL;
	struct stored_key stored;
	int r = -ENOENT;

	/* The root is never a value. */
	if (*key) {
		stored_key_set(&stored, key, false);
		r = get_form(place, &history, &stored, ret);
	}
	if (r == -ENOENT) {
		stored_key_set(&stored, key, true);
		r = get_form(place, &history, &stored, ret);
	}
	if (history)
		rocksdb_iter_destroy(history);
	return r;
}

/* The same through a snapshot of RocksDB's taken for it. */
static int get_through_snapshot(const struct place *place, const char *key, struct record **ret)
{
	rocksdb_readoptions_t *options = rocksdb_readoptions_create();
	struct place fixed = *place;
	int r;

	fixed.rocks = rocksdb_create_snapshot(place->layout->db);
	fixed.options = options;
	rocksdb_readoptions_set_snapshot(options, fixed.rocks);
	r = get_either(&fixed, key, ret);
	rocksdb_readoptions_destroy(options);
	rocksdb_release_snapshot(place->layout->db, fixed.rocks);
	return r;
}

int place_get(const struct place *place, const char *key, struct record **ret)
{
	rocksdb_t *db = place->layout->db;
	uint64_t sequence = place->rocks ? 0 : rocksdb_get_latest_sequence_number(db);
	int r;

	r = get_either(place, key, ret);
	if (r != -ENOENT || place->rocks || rocksdb_get_latest_sequence_number(db) == sequence)
		return r;
	/* The two forms were looked up one after the other while something was written: a
	 * directory that became a value in between would be missed in both. */
	return get_through_snapshot(place, key, ret);
}

uint64_t history_deleted_revision(const struct place *place, const char *key)
{
	rocksdb_iterator_t *history = open_history(place);
	uint64_t newest = 0;

	for (int directory = 0; directory < 2; directory++) {
		struct stored_key stored, sought;

		stored_key_set(&stored, key, directory);
		stored_key_set(&sought, key, directory);
		stored_key_add_revision(&sought, UINT64_MAX);
		rocksdb_iter_seek(history, sought.bytes, sought.size);
		if (at_history_of(history, &stored)) {
			uint64_t superseded;

			if (layout_decode_superseded(place->layout, history, &superseded) == 0)
				newest = MAX(newest, superseded);
		}
	}
	rocksdb_iter_destroy(history);
	return newest;
}

/* Makes `stored` the first key behind all of its history. */
static void pass_revisions(struct stored_key *stored)
{
	stored_key_add_revision(stored, 0);
	stored->bytes[stored->size++] = '\0';
}

/* ---- Listings ------------------------------------------------------------------- */

/* A listing under way: the entries of one directory, from the head and, for a past
 * revision, from the history, both in the order of stored keys. */
struct walk {
	const struct place *place;
	rocksdb_iterator_t *heads;
	rocksdb_iterator_t *history; /* NULL: not for the past */
	struct stored_key prefix;
	struct stored_key entry; /* the one looked at: its stored key */
};

/* How far the first component of `key` behind the prefix goes, its slash included. 0: that
 * is no entry but a record of the directory itself. */
static size_t entry_length(const struct walk *walk, const char *key, size_t size)
{
	const char *slash;

	if (size <= walk->prefix.size || key[0] == '/')
		return 0;
	slash = memchr(key + walk->prefix.size, '/', size - walk->prefix.size);
	size = slash ? (size_t)(slash - key) + 1 : size;
	return size <= STORE_KEY_MAX + 1 ? size : 0;
}

/* The stored key of the next entry an iterator has; its size, without what may follow it,
 * in *ret_size. NULL at the end. */
static const char *next_entry(struct walk *walk, rocksdb_iterator_t *iterator, size_t *ret_size)
{
	while (rocksdb_iter_valid(iterator)) {
		size_t size;
		const char *key = rocksdb_iter_key(iterator, &size);

		if (size < walk->prefix.size ||
		    memcmp(key, walk->prefix.bytes, walk->prefix.size) != 0)
			return NULL;
		/* A history key goes on with NUL and the revision, in which slashes are no
		 * slashes. */
		if (iterator == walk->history)
			size -= MIN(size, sizeof(uint64_t) + 1);
		*ret_size = entry_length(walk, key, size);
		if (*ret_size)
			return key;
		/* The root and its history, in the middle of its entries. */
		if (key[0] == '/')
			rocksdb_iter_seek(iterator, "0", 1);
		else
			rocksdb_iter_next(iterator);
	}
	return NULL;
}

static int compare_stored(const char *left, size_t left_size, const char *right, size_t right_size)
{
	int order = memcmp(left, right, MIN(left_size, right_size));

	if (order != 0)
		return order;
	return left_size < right_size ? -1 : left_size > right_size;
}

/* Chooses the next entry of the two, into walk->entry. */
static bool choose_entry(struct walk *walk)
{
	size_t head_size = 0, past_size = 0;
	const char *head = next_entry(walk, walk->heads, &head_size);
	const char *past = walk->history ? next_entry(walk, walk->history, &past_size) : NULL;
	bool take_head = head && (!past || compare_stored(head, head_size, past, past_size) <= 0);
	const char *chosen = take_head ? head : past;

	if (!chosen)
		return false;
	walk->entry.size = take_head ? head_size : past_size;
	memcpy(walk->entry.bytes, chosen, walk->entry.size);
	return true;
}

static bool at_head(const struct walk *walk)
{
	const char *key;
	size_t size;

	if (!rocksdb_iter_valid(walk->heads))
		return false;
	key = rocksdb_iter_key(walk->heads, &size);
	return size == walk->entry.size && memcmp(key, walk->entry.bytes, size) == 0;
}

/* Of the history record the iterator is at: since when it was so. */
static uint64_t history_revision(const rocksdb_iterator_t *iterator)
{
	size_t size;
	const char *key = rocksdb_iter_key(iterator, &size);
	struct reader reader = reader_of(key + size - sizeof(uint64_t), sizeof(uint64_t));

	return ~read_u64(&reader);
}

/* Moves the history, which is at the newest version of walk->entry if it has any, on to
 * the first that is not newer than the revision. */
static void find_version(struct walk *walk)
{
	rocksdb_iterator_t *history = walk->history;
	uint64_t revision = walk->place->revision;

	for (int i = 0; i < STEPS_MAX; i++) {
		if (!at_history_of(history, &walk->entry) || history_revision(history) <= revision)
			return;
		rocksdb_iter_next(history);
	}
	seek_history(history, &walk->entry, revision);
}

/* The record of walk->entry. */
static int read_entry(struct walk *walk, struct record **ret)
{
	g_autoptr(record) head = NULL;
	int r;

	if (at_head(walk)) {
		r = layout_decode_record(walk->place->layout, walk->heads, false, &head);
		if (r < 0)
			return r;
		if (!walk->history || record_last_revision(head) <= walk->place->revision) {
			*ret = g_steal_pointer(&head);
			return 0;
		}
	}
	if (!walk->history)
		return -ENOENT; /* keys below a directory that is not there */
	find_version(walk);
	return read_history(walk->place, walk->history, &walk->entry, false, ret);
}

static bool is_below_entry(const struct walk *walk, const rocksdb_iterator_t *iterator)
{
	const char *key;
	size_t size;

	if (!rocksdb_iter_valid(iterator))
		return false;
	key = rocksdb_iter_key(iterator, &size);
	return size >= walk->entry.size && memcmp(key, walk->entry.bytes, walk->entry.size) == 0;
}

/* Moves an iterator behind walk->entry, and behind everything below it when it is a
 * directory. A step is much cheaper than a seek, and is most often enough. */
static void pass_entry(struct walk *walk, rocksdb_iterator_t *iterator)
{
	bool directory = walk->entry.bytes[walk->entry.size - 1] == '/';
	struct stored_key past;

	if (!is_below_entry(walk, iterator))
		return; /* it is behind already */
	if (iterator == walk->heads) {
		if (directory || at_head(walk))
			rocksdb_iter_next(iterator);
		if (!directory || !is_below_entry(walk, iterator))
			return;
	} else {
		for (int i = 0; i < STEPS_MAX && at_history_of(iterator, &walk->entry); i++)
			rocksdb_iter_next(iterator);
		if (directory ? !is_below_entry(walk, iterator) :
				!at_history_of(iterator, &walk->entry))
			return;
	}
	past.size = walk->entry.size;
	memcpy(past.bytes, walk->entry.bytes, past.size);
	if (directory)
		past.bytes[past.size - 1] = '/' + 1;
	else
		pass_revisions(&past);
	rocksdb_iter_seek(iterator, past.bytes, past.size);
}

static int visit_entry(struct walk *walk, snapshot_visit_fn *visit, void *arg)
{
	const char *name = walk->entry.bytes + walk->prefix.size;
	size_t length = walk->entry.size - walk->prefix.size;
	g_autoptr(record) record = NULL;
	g_autofree char *text = NULL;
	int r;

	r = read_entry(walk, &record);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (name[length - 1] == '/')
		length--;
	text = g_strndup(name, length);
	return visit(text, record, arg);
}

static int walk_entries(struct walk *walk, snapshot_visit_fn *visit, void *arg)
{
	int r = 0;

	while (r == 0 && choose_entry(walk)) {
		r = visit_entry(walk, visit, arg);
		pass_entry(walk, walk->heads);
		if (walk->history)
			pass_entry(walk, walk->history);
	}
	if (r == 0)
		r = iterator_result(walk->heads);
	if (r == 0 && walk->history)
		r = iterator_result(walk->history);
	return r;
}

/* Makes `start` the place behind the entry `after`, in whichever form it is stored. */
static int find_start(const struct place *place, const char *directory, const char *after,
		      struct stored_key *start)
{
	g_autofree char *key = *directory ? g_strconcat(directory, "/", after, NULL) :
					    g_strdup(after);
	g_autoptr(record) record = NULL;
	int r;

	r = key_check(key);
	if (r == 0)
		r = place_get(place, key, &record);
	if (r < 0 && r != -ENOENT)
		return r;
	stored_key_set(start, key, false);
	if (record && record->type == RECORD_DIRECTORY)
		start->bytes[start->size++] = '/' + 1;
	else
		pass_revisions(start);
	return 0;
}

static int start_walk(struct walk *walk, const char *directory, const char *after)
{
	struct stored_key start;
	int r = 0;

	if (after) {
		r = find_start(walk->place, directory, after, &start);
	} else {
		/* Behind the directory itself and its own history, which may be long. */
		start = walk->prefix;
		start.bytes[start.size++] = '\1';
	}
	if (r < 0)
		return r;
	rocksdb_iter_seek(walk->heads, start.bytes, start.size);
	if (walk->history)
		rocksdb_iter_seek(walk->history, start.bytes, start.size);
	return 0;
}

static rocksdb_readoptions_t *list_options(struct walk *walk, const struct stored_key *end)
{
	rocksdb_readoptions_t *options = rocksdb_readoptions_create();

	if (walk->place->rocks)
		rocksdb_readoptions_set_snapshot(options, walk->place->rocks);
	/* Keeps iterators from looking through deleted keys behind the directory. */
	if (walk->prefix.size)
		rocksdb_readoptions_set_iterate_upper_bound(options, end->bytes, end->size);
	return options;
}

int place_list(const struct place *place, const char *directory, const char *after,
	       snapshot_visit_fn *visit, void *arg)
{
	const struct layout *layout = place->layout;
	struct walk walk = { .place = place };
	rocksdb_readoptions_t *options;
	struct stored_key end;
	int r;

	stored_key_set(&walk.prefix, directory, *directory != '\0');
	end = walk.prefix;
	if (end.size)
		end.bytes[end.size - 1] = '/' + 1;
	options = list_options(&walk, &end);
	walk.heads = rocksdb_create_iterator_cf(layout->db, options, layout->families[FAMILY_KEYS]);
	if (place->revision)
		walk.history = rocksdb_create_iterator_cf(layout->db, options,
							  layout->families[FAMILY_HISTORY]);
	r = start_walk(&walk, directory, after);
	if (r == 0)
		r = walk_entries(&walk, visit, arg);
	rocksdb_iter_destroy(walk.heads);
	if (walk.history)
		rocksdb_iter_destroy(walk.history);
	rocksdb_readoptions_destroy(options);
	statistics_gather();
	return r;
}
