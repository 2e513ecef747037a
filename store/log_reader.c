/* Reading the log.
 *
 * Entries are found by revision; by place in the text, or by time, with a binary search
 * over revisions, whose entries are looked up one by one: some twenty for a million.
 *
 * Compaction may take old entries away meanwhile. It moves oldest_revision first, so an
 * entry that is missing at or behind that is looked for again from there on, and is damage
 * when it is missing while oldest_revision stays. */
#include "store/log_reader.h"

#include "store/codec.h"
#include "store/local.h"
#include "store/log.h"

#include <errno.h>
#include <string.h>

static int get_slice(struct local *local, uint64_t revision, rocksdb_pinnableslice_t **ret)
{
	char key[sizeof(revision)];

	if (revision < local_oldest(local))
		return -ENOENT;
	layout_encode_number(revision, key);
	return layout_get(&local->layout, local->layout.newest, FAMILY_LOG, key, sizeof(key), ret);
}

int log_reader_get(struct local *local, uint64_t revision, struct log_entry **ret)
{
	rocksdb_pinnableslice_t *slice;
	const char *bytes;
	size_t size;
	int r;

	r = get_slice(local, revision, &slice);
	if (r < 0)
		return r;
	bytes = rocksdb_pinnableslice_value(slice, &size);
	r = layout_decode_log(&local->layout, revision, bytes, size, ret);
	rocksdb_pinnableslice_destroy(slice);
	return r;
}

int log_reader_get_numbers(struct local *local, uint64_t revision, struct log_entry *ret)
{
	rocksdb_pinnableslice_t *slice;
	const char *bytes;
	size_t size;
	int r;

	r = get_slice(local, revision, &slice);
	if (r < 0)
		return r;
	bytes = rocksdb_pinnableslice_value(slice, &size);
	r = layout_decode_log_numbers(&local->layout, revision, bytes, size, ret);
	rocksdb_pinnableslice_destroy(slice);
	return r;
}

/* ---- In order ------------------------------------------------------------------- */

static int visit_entry(const struct layout *layout, const rocksdb_iterator_t *iterator,
		       store_log_fn *visit, void *arg)
{
	g_autoptr(log_entry) entry = NULL;
	struct reader reader;
	const char *bytes;
	uint64_t revision;
	size_t size;
	int r;

	bytes = rocksdb_iter_key(iterator, &size);
	reader = reader_of(bytes, size);
	revision = read_u64(&reader);
	bytes = rocksdb_iter_value(iterator, &size);
	r = reader.failed ? -EIO : layout_decode_log(layout, revision, bytes, size, &entry);
	return r < 0 ? r : visit(entry, arg);
}

static int visit_entries(const struct layout *layout, rocksdb_iterator_t *iterator,
			 store_log_fn *visit, void *arg)
{
	char *error = NULL;
	int r = 0;

	while (r == 0 && rocksdb_iter_valid(iterator)) {
		r = visit_entry(layout, iterator, visit, arg);
		rocksdb_iter_next(iterator);
	}
	if (r == 0) {
		rocksdb_iter_get_error(iterator, &error);
		r = layout_result("read on in the log", error);
	}
	return r;
}

int log_reader_list(struct local *local, uint64_t from_revision, store_log_fn *visit, void *arg)
{
	const struct layout *layout = &local->layout;
	rocksdb_iterator_t *iterator;
	char key[sizeof(uint64_t)];
	uint64_t oldest, from;
	int r = -ENOENT;

	/* What the iterator sees is fixed when it is made: what was not compacted after that
	 * was not when it was made. */
	iterator = rocksdb_create_iterator_cf(layout->db, layout->newest,
					      layout->families[FAMILY_LOG]);
	oldest = local_oldest(local);
	from = from_revision ? from_revision : oldest;
	if (from >= oldest) {
		layout_encode_number(from, key);
		rocksdb_iter_seek(iterator, key, sizeof(key));
		r = visit_entries(layout, iterator, visit, arg);
	}
	rocksdb_iter_destroy(iterator);
	return r;
}

/* ---- As a text ------------------------------------------------------------------ */

/* The oldest entry, and the newest. */
static int get_ends(struct local *local, struct log_entry *ret_oldest, struct log_entry *ret_newest)
{
	uint64_t oldest;
	int r;

	do {
		oldest = local_oldest(local);
		r = log_reader_get_numbers(local, oldest, ret_oldest);
	} while (r == -ENOENT && oldest != local_oldest(local));
	if (r == 0)
		r = log_reader_get_numbers(local, local_revision(local), ret_newest);
	return r == -ENOENT ? -EIO : r;
}

static uint64_t line_end(const struct log_entry *entry)
{
	return entry->line_offset + entry->line_size;
}

int log_reader_get_span(struct local *local, uint64_t *ret_begin, uint64_t *ret_end)
{
	struct log_entry oldest, newest;
	int r;

	r = get_ends(local, &oldest, &newest);
	if (r < 0)
		return r;
	*ret_begin = oldest.line_offset;
	*ret_end = line_end(&newest);
	return 0;
}

/* The revision whose line `offset` lies in; it is between the two. */
static int find_line(struct local *local, uint64_t offset, uint64_t low, uint64_t high,
		     uint64_t *ret)
{
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		struct log_entry entry;
		int r;

		r = log_reader_get_numbers(local, middle, &entry);
		if (r < 0)
			return r;
		if (line_end(&entry) > offset)
			high = middle;
		else
			low = middle + 1;
	}
	*ret = low;
	return 0;
}

struct text_reading {
	uint64_t offset;
	size_t left;
	GString *out;
};

static int append_line(const struct log_entry *entry, void *arg)
{
	struct text_reading *reading = arg;
	g_autoptr(GString) line = g_string_sized_new(256);
	size_t begin, size;

	log_entry_format(entry, line);
	/* A release that makes other lines does not move those there are. */
	if (line->len != entry->line_size) {
		g_string_set_size(line, MIN(line->len, entry->line_size - 1));
		while (line->len + 1 < entry->line_size)
			g_string_append_c(line, ' ');
		g_string_append_c(line, '\n');
	}
	if (reading->offset < entry->line_offset || reading->offset >= line_end(entry))
		return -EIO;
	begin = reading->offset - entry->line_offset;
	size = MIN(line->len - begin, reading->left);
	g_string_append_len(reading->out, line->str + begin, (gssize)size);
	reading->offset += size;
	reading->left -= size;
	return reading->left == 0;
}

static int read_text(struct local *local, uint64_t offset, size_t size, GString *out)
{
	struct text_reading reading = { offset, size, out };
	struct log_entry oldest, newest;
	uint64_t revision;
	int r;

	r = get_ends(local, &oldest, &newest);
	if (r < 0)
		return r;
	if (offset < oldest.line_offset)
		return -ENOENT;
	if (offset >= line_end(&newest) || size == 0)
		return 0;
	r = find_line(local, offset, oldest.revision, newest.revision, &revision);
	if (r == 0)
		r = log_reader_list(local, revision, append_line, &reading);
	return MIN(r, 0);
}

int log_reader_get_text(struct local *local, uint64_t offset, size_t size, GString *out)
{
	gsize length = out->len;
	uint64_t oldest;
	int r;

	do {
		oldest = local_oldest(local);
		g_string_truncate(out, length);
		r = read_text(local, offset, size, out);
	} while (r == -ENOENT && oldest != local_oldest(local));
	if (r < 0)
		g_string_truncate(out, length);
	return r;
}

/* ---- By time -------------------------------------------------------------------- */

/* The newest of the revisions from `low` on, but before `high`, whose commit was at
 * `time_ns` or before. Times grow from the one to the other, and that of `low` is early
 * enough. */
static int find_in_stretch(struct local *local, int64_t time_ns, uint64_t low, uint64_t high,
			   uint64_t *ret)
{
	while (low + 1 < high) {
		uint64_t middle = low + (high - low) / 2;
		struct log_entry entry;
		int r;

		r = log_reader_get_numbers(local, middle, &entry);
		if (r < 0)
			return r;
		if (entry.time_ns <= time_ns)
			low = middle;
		else
			high = middle;
	}
	*ret = low;
	return 0;
}

static int find_by_time(struct local *local, int64_t time_ns, uint64_t oldest, uint64_t *ret)
{
	uint64_t last = local_revision(local);

	/* From one stretch of time without the clock set back to the one before it. */
	while (last >= oldest) {
		struct log_entry entry;
		uint64_t first;
		int r;

		r = log_reader_get_numbers(local, last, &entry);
		if (r < 0)
			return r;
		if (entry.time_ns <= time_ns) {
			*ret = last;
			return 0;
		}
		first = MAX(entry.clock_revision, oldest);
		r = log_reader_get_numbers(local, first, &entry);
		if (r < 0)
			return r;
		if (entry.time_ns <= time_ns)
			return find_in_stretch(local, time_ns, first, last, ret);
		last = first - 1;
	}
	return -ESRCH;
}

int log_reader_find_revision(struct local *local, int64_t time_ns, uint64_t *ret)
{
	uint64_t oldest;
	int r;

	do {
		oldest = local_oldest(local);
		r = find_by_time(local, time_ns, oldest, ret);
	} while (r == -ENOENT && oldest != local_oldest(local));
	if (r == -ESRCH)
		return -ENOENT;
	return r == -ENOENT ? -EIO : r;
}
