/* The format, that of RocksDB since its beginning: a file is blocks of 32 KiB, a block is
 * fragments, never crossing its end, a fragment is a checksum, a length, a type and bytes. A
 * record is one fragment or several, and holds one batch, which begins with the sequence
 * number of its first change and the number of changes. Numbers are little-endian. Sequence
 * numbers go on without a gap, from file to file too: so a record or a file that is not there
 * is missed, which is more than checksums can do. */
#include "store/wal.h"

#include "store/codec.h"
#include "store/files.h"
#include "store/seal.h"
#include "store/tree_sum.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	BLOCK = WAL_BLOCK,
	HEADER = WAL_HEADER,
	BATCH_HEADER = 12,
	SECTOR = 512,
	NAME_SIZE = 32,
	ZEROS_MIN = 16,	      /* that say that a part of a sector was not written */
	HEADER_ZEROS_MIN = 2, /* the same, where a record begins with a checksum */
};

enum fragment_type { TYPE_ZERO, TYPE_FULL, TYPE_FIRST, TYPE_MIDDLE, TYPE_LAST };

/* How far a new batch of the same store may be ahead: less likely to be a value that looks
 * like a record. */
#define SEQUENCE_AHEAD_MAX (UINT64_C(1) << 32)
/* The end of nearly every batch is an entry of `meta`: a name, the size of what it has, and
 * that. In a plain store it has the revision; in an encrypted one it is the box of the sum of
 * the tree, which the revision is bound to and lies before, behind the id of the data key.
 * Whether the box opens is found out by those who open the store. */
#define PLAIN_NAME META_REVISION "\x08"
#define SEALED_NAME META_TREE_SUM "\x44"
#define SUFFIX_NAME_SIZE (sizeof(PLAIN_NAME) - 1)
#define PLAIN_SUFFIX_SIZE (SUFFIX_NAME_SIZE + 8)
#define SEALED_SUFFIX_SIZE (SUFFIX_NAME_SIZE + 0x44)

G_STATIC_ASSERT(sizeof(PLAIN_NAME) == sizeof(SEALED_NAME));
G_STATIC_ASSERT(SEAL_HEAD_EXTRA + sizeof(struct tree_sum) == 0x44);

/* What ends the reading of a file. */
enum stop {
	STOP_NOT,
	STOP_END,  /* nothing is behind the last record, but zeros: see wal_room.h */
	STOP_CUT,  /* that is so within a record */
	STOP_ZERO, /* zeros where a record should go on */
	STOP_BAD,  /* what cannot be */
};

struct fragment {
	enum fragment_type type;
	const guint8 *payload;
	size_t size;
};

struct reading {
	const guint8 *bytes;
	size_t size;
	size_t end; /* behind it are only zeros */
	size_t at;
	bool thorough;
};

struct batch {
	guint8 head[BATCH_HEADER];
	size_t head_size;
	guint8 tail[SEALED_SUFFIX_SIZE];
	size_t size;
	bool wrong; /* a checksum does not fit */
};

/* What is known of the log so far. */
struct progress {
	uint64_t next_sequence; /* 0: not known */
	uint64_t revision;
};

/* ---- Numbers and checksums ------------------------------------------------------ */

static uint64_t get_little(const guint8 *bytes, int size)
{
	uint64_t number = 0;

	while (size-- > 0)
		number = number << 8 | bytes[size];
	return number;
}

static uint64_t get_big(const guint8 *bytes)
{
	struct reader reader = reader_of(bytes, sizeof(uint64_t));

	return read_u64(&reader);
}

/* CRC-32C, the polynomial of Castagnoli, reflected. */
static uint32_t crc32c(const guint8 *bytes, size_t size)
{
	static uint32_t table[256];
	static gsize made;
	uint32_t crc = ~UINT32_C(0);

	if (g_once_init_enter(&made)) {
		for (uint32_t i = 0; i < 256; i++) {
			table[i] = i;
			for (int bit = 0; bit < 8; bit++)
				table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0x82f63b78 : 0);
		}
		g_once_init_leave(&made, 1);
	}
	for (size_t i = 0; i < size; i++)
		crc = table[(crc ^ bytes[i]) & 0xff] ^ crc >> 8;
	return ~crc;
}

/* RocksDB changes checksums before it stores them, since values may hold checksums. */
static bool checksum_fits(const guint8 *header, size_t payload_size)
{
	uint32_t crc = crc32c(header + HEADER - 1, 1 + payload_size);
	uint32_t masked = (crc >> 15 | crc << 17) + UINT32_C(0xa282ead8);

	return masked == get_little(header, 4);
}

static uint64_t get_plain_suffix(const guint8 *bytes, size_t size)
{
	const guint8 *end = bytes + size;

	if (size < PLAIN_SUFFIX_SIZE ||
	    memcmp(end - PLAIN_SUFFIX_SIZE, PLAIN_NAME, SUFFIX_NAME_SIZE) != 0)
		return 0;
	return get_big(end - PLAIN_SUFFIX_SIZE + SUFFIX_NAME_SIZE);
}

static uint64_t get_sealed_suffix(const guint8 *bytes, size_t size)
{
	const guint8 *end = bytes + size;

	if (size < SEALED_SUFFIX_SIZE ||
	    memcmp(end - SEALED_SUFFIX_SIZE, SEALED_NAME, SUFFIX_NAME_SIZE) != 0)
		return 0;
	return get_big(end - SEALED_SUFFIX_SIZE + SUFFIX_NAME_SIZE + sizeof(uint32_t));
}

/* The revision that what ends here ends with; 0: it is not the end of such a batch. */
static uint64_t get_suffix(const guint8 *bytes, size_t size)
{
	uint64_t revision = get_plain_suffix(bytes, size);

	return revision ? revision : get_sealed_suffix(bytes, size);
}

/* ---- Records -------------------------------------------------------------------- */

/* Where the next fragment begins: the end of a block is filled up with zeros. */
static size_t skip_filling(size_t at)
{
	size_t room = BLOCK - at % BLOCK;

	return room < HEADER ? at + room : at;
}

/* Goes behind a fragment that is there; otherwise reading->at stays where the last one ended. */
static enum stop read_fragment(struct reading *reading, struct fragment *ret)
{
	size_t at = skip_filling(reading->at);
	const guint8 *header;

	if (at >= reading->end)
		return STOP_END;
	if (reading->size - at < HEADER)
		return STOP_CUT;
	header = reading->bytes + at;
	ret->size = (size_t)get_little(header + 4, 2);
	ret->type = header[6];
	ret->payload = header + HEADER;
	if (ret->type == TYPE_ZERO && ret->size == 0)
		return STOP_ZERO;
	if (ret->type < TYPE_FULL || ret->type > TYPE_LAST)
		return STOP_BAD;
	if (HEADER + ret->size > BLOCK - at % BLOCK)
		return STOP_BAD;
	if (reading->size - at < HEADER + ret->size)
		return STOP_CUT;
	reading->at = at + HEADER + ret->size;
	return STOP_NOT;
}

static void add_to_batch(struct batch *batch, const struct fragment *fragment)
{
	size_t size = MIN(fragment->size, BATCH_HEADER - batch->head_size);
	size_t kept = sizeof(batch->tail);

	memcpy(batch->head + batch->head_size, fragment->payload, size);
	batch->head_size += size;
	if (fragment->size >= kept) {
		memcpy(batch->tail, fragment->payload + fragment->size - kept, kept);
	} else {
		memmove(batch->tail, batch->tail + fragment->size, kept - fragment->size);
		memcpy(batch->tail + kept - fragment->size, fragment->payload, fragment->size);
	}
	batch->size += fragment->size;
}

/* Reads a record. STOP_END: there is none any more. `check`: its checksums too. */
static enum stop read_record(struct reading *reading, bool check, struct batch *ret)
{
	struct fragment fragment = { 0 };
	bool inside = false;

	*ret = (struct batch){ 0 };
	do {
		enum stop stop = read_fragment(reading, &fragment);
		bool begins = fragment.type == TYPE_FULL || fragment.type == TYPE_FIRST;

		if (stop == STOP_END)
			return inside ? STOP_CUT : STOP_END;
		if (stop != STOP_NOT)
			return stop;
		if (check && !checksum_fits(fragment.payload - HEADER, fragment.size))
			ret->wrong = true;
		if (begins == inside)
			return STOP_BAD;
		inside = true;
		add_to_batch(ret, &fragment);
	} while (fragment.type != TYPE_FULL && fragment.type != TYPE_LAST);
	return ret->head_size == BATCH_HEADER ? STOP_NOT : STOP_BAD;
}

/* ---- What is behind a record that is not whole ---------------------------------- */

/* `sequence`: that of the next group, 0: not known. */
static bool may_follow(uint64_t found, uint64_t sequence)
{
	return !sequence || (found >= sequence && found - sequence <= SEQUENCE_AHEAD_MAX);
}

/* A group that begins here, with a fragment of such a type: that with its sequence number is
 * whole, or both are that have a part of it, where a block has no room for more. */
static bool is_group(const struct reading *reading, size_t at, uint64_t sequence)
{
	struct reading here = *reading;
	struct fragment first = { 0 }, second = { 0 };
	struct batch batch = { 0 };

	here.at = at;
	if (skip_filling(at) != at || read_fragment(&here, &first) != STOP_NOT)
		return false;
	add_to_batch(&batch, &first);
	if (batch.head_size < BATCH_HEADER && first.type == TYPE_FIRST) {
		if (read_fragment(&here, &second) != STOP_NOT || second.type < TYPE_MIDDLE)
			return false;
		add_to_batch(&batch, &second);
	}
	if (batch.head_size < BATCH_HEADER || !may_follow(get_little(batch.head, 8), sequence))
		return false;
	return checksum_fits(first.payload - HEADER, first.size) &&
	       (!second.payload || checksum_fits(second.payload - HEADER, second.size));
}

static bool has_group_behind(const struct reading *reading, size_t at, uint64_t sequence)
{
	for (at++; at < reading->end && at + HEADER <= reading->size; at++) {
		guint8 type = reading->bytes[at + HEADER - 1];

		if ((type == TYPE_FULL || type == TYPE_FIRST) && is_group(reading, at, sequence))
			return true;
	}
	return false;
}

static bool is_zero(const guint8 *bytes, size_t size)
{
	return size == 0 || (*bytes == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* A sector that the disk did not write, from `at` to `end`. */
static bool has_unwritten_sector(const struct reading *reading, size_t at, size_t end)
{
	while (at < end) {
		size_t next = MIN((at / SECTOR + 1) * SECTOR, end);

		if (next - at >= ZEROS_MIN && is_zero(reading->bytes + at, next - at))
			return true;
		at = next;
	}
	return false;
}

/* The same of one of the two sectors that have a part of the header of the record at `at`. The
 * second has its type, which is never zero. */
static bool begins_unwritten(const struct reading *reading, size_t at)
{
	size_t next = (at / SECTOR + 1) * SECTOR;

	if (next - at >= HEADER || next + ZEROS_MIN > reading->size)
		return false;
	if (next - at >= HEADER_ZEROS_MIN && is_zero(reading->bytes + at, next - at))
		return true;
	return is_zero(reading->bytes + next, MIN(SECTOR, reading->size - next));
}

/* The same of the sector that the record ends in, at `end`, however few bytes of it are
 * there. For records that do not end with a batch: one does not end with so many zeros. */
static bool ends_unwritten(const struct reading *reading, size_t end)
{
	size_t size = end % SECTOR;

	return size > 0 && is_zero(reading->bytes + end - size, size);
}

/* Where the batch ends that all ends with; 0: all ends with something else. The revision in
 * it may end with zeros, a box with one at most; but a revision that is older than `revision`,
 * which the batch before ended with, was not written to its end. */
static size_t find_batch_end(const struct reading *reading, uint64_t revision)
{
	for (size_t zeros = 0; zeros < sizeof(uint64_t); zeros++) {
		size_t end = reading->end + zeros;
		uint64_t found;

		if (end > reading->size)
			break;
		found = get_plain_suffix(reading->bytes, end);
		if (!found && zeros <= 1)
			found = get_sealed_suffix(reading->bytes, end);
		if (found && found >= revision)
			return end;
	}
	return 0;
}

/* The record at `at` is not whole: `stop` ended it at reading->at. Whether that is a group
 * that was being written when the machine stopped. `before`: what the log is up to it. */
static bool is_torn(const struct reading *reading, size_t at, enum stop stop, bool wrong,
		    const struct progress *before)
{
	size_t batch_end = find_batch_end(reading, before->revision);

	/* A file is not made longer before something is written to it. */
	if (reading->end == 0)
		return false;
	at = skip_filling(at);
	if (has_group_behind(reading, at, before->next_sequence))
		return false;
	if (begins_unwritten(reading, at))
		return true;
	/* What was not written may hold anything, on some file systems. But where all ends
	 * with the end of a batch, what says that the record goes on is wrong. */
	if (!wrong)
		return stop == STOP_ZERO || !batch_end;
	if (batch_end && batch_end < reading->at)
		return false;
	if (!batch_end && ends_unwritten(reading, reading->at))
		return true;
	return has_unwritten_sector(reading, at, MAX(reading->at, reading->end));
}

/* ---- A file --------------------------------------------------------------------- */

/* True when the record fits behind those before it. */
static bool go_on(struct progress *progress, const struct batch *batch)
{
	uint64_t sequence = get_little(batch->head, 8);
	uint64_t revision = 0;

	if (progress->next_sequence && sequence > progress->next_sequence)
		return false;
	progress->next_sequence = sequence + get_little(batch->head + 8, 4);
	if (batch->size >= BATCH_HEADER + PLAIN_SUFFIX_SIZE)
		revision = get_suffix(batch->tail, sizeof(batch->tail));
	if (revision)
		progress->revision = revision;
	return true;
}

/* The checksums of the record at `at`, the last one or one that is not whole. */
static bool is_wrong(const struct reading *reading, size_t at)
{
	struct reading again = *reading;
	struct batch batch;

	again.at = at;
	read_record(&again, true, &batch);
	return batch.wrong;
}

/* Sets *ret_offset to where the file ends being whole. */
static enum wal_state examine_bytes(struct reading *reading, struct progress *progress,
				    size_t *ret_offset)
{
	struct progress before = *progress;
	enum stop stop;
	size_t at;
	struct batch batch;
	bool wrong;

	for (*ret_offset = 0;; *ret_offset = at) {
		at = reading->at;
		stop = read_record(reading, reading->thorough, &batch);
		if (stop != STOP_NOT || batch.wrong)
			break;
		before = *progress;
		if (!go_on(progress, &batch)) {
			*ret_offset = at;
			return WAL_DAMAGED;
		}
	}
	/* All those before have another one behind, so that RocksDB checks them. */
	if (stop == STOP_END) {
		if (reading->size == 0 || (reading->end > 0 && !is_wrong(reading, *ret_offset)))
			return WAL_WHOLE;
		*progress = before;
		wrong = true;
	} else {
		*ret_offset = at;
		wrong = batch.wrong || is_wrong(reading, at);
	}
	return is_torn(reading, *ret_offset, stop, wrong, progress) ? WAL_TORN : WAL_DAMAGED;
}

static size_t find_end(const struct reading *reading)
{
	size_t end = reading->size;

	while (end > 0 && !reading->bytes[end - 1])
		end--;
	return end;
}

uint64_t wal_number(const char *name)
{
	char *end;
	uint64_t number = g_ascii_strtoull(name, &end, 10);

	return strcmp(end, ".log") == 0 ? number : 0;
}

static void file_name(uint64_t number, char ret[static NAME_SIZE])
{
	g_snprintf(ret, NAME_SIZE, "%06" G_GUINT64_FORMAT ".log", number);
}

static char *file_path(const char *database, uint64_t number)
{
	char name[NAME_SIZE];

	file_name(number, name);
	return g_build_filename(database, name, NULL);
}

/* The bytes of a file, which the caller frees. Not mapped: what a disk cannot read would then be
 * a signal. -EIO, which was said; -ENOMEM. */
static int read_file(const char *path, char **ret_bytes, gsize *ret_size)
{
	g_autoptr(GError) error = NULL;

	if (g_file_get_contents(path, ret_bytes, ret_size, &error))
		return 0;
	if (g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOMEM))
		return -ENOMEM;
	g_warning("store: cannot read '%s': %s", path, error->message);
	return -EIO;
}

/* Updates *report; state WAL_WHOLE: the next file is to be looked at. */
static int examine_file(const char *database, uint64_t number, bool thorough,
			struct progress *progress, struct wal_report *report)
{
	g_autofree char *path = file_path(database, number);
	g_autofree char *bytes = NULL;
	struct reading reading = { .thorough = thorough };
	size_t offset = 0;
	int r;

	r = read_file(path, &bytes, &reading.size);
	if (r < 0)
		return r;
	reading.bytes = (const guint8 *)bytes;
	reading.end = find_end(&reading);
	report->state = examine_bytes(&reading, progress, &offset);
	report->number = number;
	report->offset = offset;
	report->revision = progress->revision;
	return 0;
}

/* ---- The files of a log --------------------------------------------------------- */

static gint compare_numbers(gconstpointer a, gconstpointer b)
{
	const uint64_t *left = a, *right = b;

	return *left < *right ? -1 : *left > *right;
}

/* In order; NULL: *ret_error says why. */
static GArray *list_files(const char *database, uint64_t from, uint64_t before, int *ret_error)
{
	GDir *directory = g_dir_open(database, 0, NULL);
	GArray *numbers;
	const char *name;

	if (!directory) {
		*ret_error = -errno;
		return NULL;
	}
	numbers = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	while ((name = g_dir_read_name(directory))) {
		uint64_t number = wal_number(name);

		if (number && number >= from && number < before)
			g_array_append_val(numbers, number);
	}
	g_dir_close(directory);
	g_array_sort(numbers, compare_numbers);
	return numbers;
}

static bool is_empty_file(const char *database, uint64_t number)
{
	g_autofree char *path = file_path(database, number);
	struct stat status;

	return stat(path, &status) == 0 && status.st_size == 0;
}

int wal_examine(const char *database, bool thorough, uint64_t from, uint64_t before,
		struct wal_report *ret)
{
	int r = 0;
	g_autoptr(GArray) numbers = list_files(database, from, before, &r);
	struct progress progress = { 0 };
	guint i;

	if (!numbers)
		return r;
	*ret = (struct wal_report){ .state = WAL_WHOLE };
	/* An open database has one, and so has a closed one: an empty file. */
	if (numbers->len == 0 && before == WAL_ALL)
		ret->state = WAL_DAMAGED;
	for (i = 0; r == 0 && i < numbers->len && ret->state == WAL_WHOLE; i++)
		r = examine_file(database, g_array_index(numbers, uint64_t, i), thorough, &progress,
				 ret);
	/* Only the last group is forgiven: none may have been written behind it. */
	for (; r == 0 && i < numbers->len && ret->state == WAL_TORN; i++)
		if (!is_empty_file(database, g_array_index(numbers, uint64_t, i)))
			ret->state = WAL_DAMAGED;
	/* A length that is wrong leads beyond the record that has it, so that what is torn looks
	 * damaged, and the other way round. */
	if (r == 0 && ret->state != WAL_WHOLE && !thorough)
		return wal_examine(database, true, from, before, ret);
	return r;
}

/* ---- Cutting -------------------------------------------------------------------- */

static int cut_file(const char *path, uint64_t size)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0 || fsync(fd) < 0)
		r = -errno;
	close(fd);
	return r;
}

int wal_forgive(const char *database, const struct wal_report *report)
{
	g_autofree char *path = file_path(database, report->number);

	return cut_file(path, report->offset);
}

static int copy_file(const char *from, const char *to)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *bytes = NULL;
	gsize size;
	int r;

	r = read_file(from, &bytes, &size);
	if (r < 0)
		return r;
	if (g_file_set_contents_full(to, bytes, (gssize)size,
				     G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE,
				     0600, &error))
		return 0;
	g_warning("store: cannot copy '%s' to '%s': %s", from, to, error->message);
	return -EIO;
}

/* Its copy is in `lost` durably before anything is cut off. */
static int cut_and_keep(const char *path, uint64_t size, const char *lost, const char *copy)
{
	int r = copy_file(path, copy);

	if (r == 0)
		r = files_sync_directory(lost);
	return r == 0 ? cut_file(path, size) : r;
}

int wal_give_up(const char *database, const char *lost, const struct wal_report *report)
{
	int r = 0;
	g_autoptr(GArray) numbers = list_files(database, 0, WAL_ALL, &r);

	if (!numbers)
		return r;
	if (g_mkdir(lost, 0700) < 0 && errno != EEXIST)
		return -errno;
	r = files_sync_above(lost);
	/* The last first: should this be interrupted, what is left still begins with the
	 * damage. */
	for (guint i = numbers->len; r == 0 && i-- > 0;) {
		uint64_t number = g_array_index(numbers, uint64_t, i);
		g_autofree char *from = file_path(database, number);
		g_autofree char *to = file_path(lost, number);

		if (number < report->number)
			break;
		if (number > report->number) {
			r = rename(from, to) < 0 ? -errno : 0;
			continue;
		}
		if (report->offset != UINT64_MAX)
			r = cut_and_keep(from, report->offset, lost, to);
	}
	if (r == 0)
		r = files_sync_directory(lost);
	return r < 0 ? r : files_sync_directory(database);
}
