/* The write-ahead log, as RocksDB writes it and a disk, or a crash, leaves it. The first byte
 * says what the rest is: bytes of a log as they are; or how to make one that is whole, of
 * records of given sizes in one file or two, and what to do to it then: zeros behind it, its
 * last record cut off or sectors of it not written, a byte changed, a record taken away by
 * zeros. Values are of bytes that never look like a record or like the end of a batch. */
#include "store/wal.h"
#include "store/codec.h"
#include "store/layout.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	BLOCK = 32768,
	SECTOR = 512,
	HEADER = 7,
	RECORDS_MAX = 5,
	SIZE_MAX_BYTES = 12000,
	FIT_BYTES = 48, /* how near to the end of a block or sector a record is made to end */
};

enum end { END_SEALED, END_PLAIN, END_NOT };

struct span {
	size_t file, begin, end;
	enum end kind;
	uint64_t revision, before; /* that the batch ends with, and the last one before it */
};

/* A log that is whole. An empty file is the newest. */
struct log {
	GByteArray *files[2];
	size_t count;
	struct span records[RECORDS_MAX];
	uint64_t sequence, revision;
	uint64_t before; /* the revision that the last batch ended with that did */
	bool thorough;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *directory;

static void remove_directory(void)
{
	for (int number = 1; number <= 2; number++) {
		g_autofree char *path = g_strdup_printf("%s/%06d.log", directory, number);

		unlink(path);
	}
	rmdir(directory);
	g_free(directory);
}

static void make_directory(void)
{
	if (directory)
		return;
	directory = g_strdup("/dev/shm/commitfs-fuzz-wal.XXXXXX");
	g_assert(g_mkdtemp(directory));
	atexit(remove_directory);
}

/* ---- A log that is whole -------------------------------------------------------- */

static uint32_t checksum(const guint8 *bytes, size_t size)
{
	static uint32_t table[256];
	uint32_t crc = ~UINT32_C(0);

	for (uint32_t i = 0; !table[255] && i < 256; i++) {
		table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0x82f63b78 : 0);
	}
	for (size_t i = 0; i < size; i++)
		crc = table[(crc ^ bytes[i]) & 0xff] ^ crc >> 8;
	crc = ~crc;
	return (crc >> 15 | crc << 17) + UINT32_C(0xa282ead8);
}

static void append_little(GByteArray *out, uint64_t number, int size)
{
	for (; size > 0; size--, number >>= 8) {
		guint8 byte = (guint8)number;

		g_byte_array_append(out, &byte, 1);
	}
}

static void append_fragment(GByteArray *file, guint8 type, const guint8 *bytes, size_t size)
{
	guint at = file->len;
	uint32_t sum;

	append_little(file, 0, 4);
	append_little(file, size, 2);
	append_little(file, type, 1);
	g_byte_array_append(file, bytes, (guint)size);
	sum = GUINT32_TO_LE(checksum(file->data + at + HEADER - 1, size + 1));
	memcpy(file->data + at, &sum, sizeof(sum));
}

/* As RocksDB names the parts of a record. */
static guint8 fragment_type(bool first, bool last)
{
	if (first)
		return last ? 1 : 2;
	return last ? 4 : 3;
}

static struct span append_record(GByteArray *file, const GByteArray *batch)
{
	struct span span = { 0 };
	size_t done = 0;

	if (BLOCK - file->len % BLOCK < HEADER)
		append_little(file, 0, (int)(BLOCK - file->len % BLOCK));
	span.begin = file->len;
	do {
		size_t size = MIN(BLOCK - file->len % BLOCK - HEADER, batch->len - done);
		bool last = done + size == batch->len;

		append_fragment(file, fragment_type(file->len == span.begin, last),
				batch->data + done, size);
		done += size;
	} while (done < batch->len);
	span.end = file->len;
	return span;
}

/* Mostly zeros, or none. */
static void append_filler(GByteArray *batch, size_t size, uint8_t kind)
{
	guint at = batch->len;

	g_byte_array_set_size(batch, (guint)(at + size));
	for (size_t i = 0; i < size; i++)
		batch->data[at + i] = kind & 1 ? 0 : (guint8)(0x80 | (i * 7 & 0x7f));
}

static void append_end(GByteArray *batch, uint64_t revision, enum end kind)
{
	guint8 number[sizeof(revision)];
	const char *name = kind == END_PLAIN ? META_REVISION "\x08" : META_TREE_SUM "\x44";

	if (kind == END_NOT)
		return;
	encode_u64(number, revision);
	g_byte_array_append(batch, (const guint8 *)name, (guint)strlen(name));
	if (kind == END_SEALED)
		append_little(batch, 1, 4);
	g_byte_array_append(batch, number, sizeof(number));
	if (kind == END_SEALED)
		append_filler(batch, 0x44 - 4 - 8, 0);
}

/* So many bytes of a value that the record ends `before` bytes before the end of a block or a
 * sector, in a file of `at` bytes. */
static size_t fit(size_t at, size_t unit, size_t before, size_t batch_size)
{
	size_t end = at + HEADER + batch_size + before;

	/* In the next block, another header. */
	if (unit == SECTOR && end / BLOCK > at / BLOCK)
		end += HEADER;
	return (unit - end % unit) % unit;
}

static void add_record(struct log *log, GByteArray *file, struct reader *reader)
{
	g_autoptr(GByteArray) batch = g_byte_array_new();
	g_autoptr(GByteArray) end = g_byte_array_new();
	uint8_t kind = read_u8(reader), changes = read_u8(reader) % 16;
	enum end ending = MIN(kind >> 4 & 3, END_NOT);
	size_t size = read_u8(reader) << 8, before;
	struct span *record = &log->records[log->count++];

	size |= read_u8(reader);
	before = size % FIT_BYTES;
	append_little(batch, log->sequence, 8);
	append_little(batch, changes, 4);
	append_end(end, log->revision, ending);
	if ((kind & 6) == 2)
		size = fit(file->len, SECTOR, before, batch->len + end->len) +
		       size / 256 % 24 * SECTOR;
	else if ((kind & 6) == 4)
		size = fit(file->len, BLOCK, before, batch->len + end->len);
	else
		size %= SIZE_MAX_BYTES;
	/* Of several fragments, wherever it begins. */
	if ((kind & 0x48) == 0x48)
		size += BLOCK;
	append_filler(batch, size, kind);
	g_byte_array_append(batch, end->data, end->len);
	*record = append_record(file, batch);
	record->file = file == log->files[1];
	record->kind = ending;
	record->revision = log->revision;
	record->before = log->before;
	if (ending != END_NOT)
		log->before = log->revision;
	log->sequence += changes;
	log->revision += 1 + (kind >> 7);
}

/* False: `reader` says too little. */
static bool make_log(struct log *log, struct reader *reader)
{
	uint8_t form = read_u8(reader), numbers = read_u8(reader);
	size_t count = 1 + form % RECORDS_MAX, first = form / 16 % (count + 1);

	*log = (struct log){ .thorough = form & 8 };
	log->files[0] = g_byte_array_new();
	log->files[1] = g_byte_array_new();
	log->sequence = 1 + numbers + ((uint64_t)(numbers & 1) << 40);
	log->revision = numbers & 2 ? 0xfffe : 1 + (uint64_t)numbers;
	while (log->count < count && !reader->failed)
		add_record(log, log->files[log->count >= first], reader);
	return !reader->failed;
}

/* ---- Looking at it -------------------------------------------------------------- */

static void write_files(const struct log *log)
{
	for (int i = 0; i < 2; i++) {
		g_autofree char *path = g_strdup_printf("%s/%06d.log", directory, i + 1);
		FILE *file = fopen(path, "we");

		g_assert(file);
		g_assert(fwrite(log->files[i]->data, 1, log->files[i]->len, file) ==
			 log->files[i]->len);
		g_assert(fclose(file) == 0);
	}
}

/* What holds for all logs. */
static enum wal_state examine(const struct log *log)
{
	struct wal_report report, again;

	write_files(log);
	g_assert(wal_examine(directory, log->thorough, 0, WAL_ALL, &report) == 0);
	g_assert(report.number >= 1 && report.number <= 2);
	g_assert(report.offset <= log->files[report.number - 1]->len);
	if (report.state != WAL_TORN)
		return report.state;
	g_assert(wal_forgive(directory, &report) == 0);
	g_assert(wal_examine(directory, true, 0, WAL_ALL, &again) == 0);
	g_assert(again.state == WAL_WHOLE && again.revision == report.revision);
	return report.state;
}

/* ---- What is done to it --------------------------------------------------------- */

static GByteArray *file_of(const struct log *log, const struct span *record)
{
	return log->files[record->file];
}

static void append_zeros(GByteArray *file, size_t size)
{
	append_filler(file, size, 1);
}

/* A file that holds nothing else has no zeros: see wal_room.h. */
static void check_zeros(const struct log *log, struct reader *reader)
{
	for (int i = 0; i < 2; i++)
		if (log->files[i]->len)
			append_zeros(log->files[i], (size_t)read_u8(reader) * 173);
	g_assert(examine(log) == WAL_WHOLE);
}

/* True when a sector that the record begins or ends in may be one that was not written as
 * well as one that was, for all that can be known: one byte of a checksum; the end of a box;
 * the end of a revision that may be another one. */
static bool is_vague(const struct span *record)
{
	size_t size = record->end % SECTOR;
	uint64_t cut = record->revision >> MIN(8 * size, 63) << MIN(8 * size, 63);

	if (record->begin % SECTOR == SECTOR - 1)
		return true;
	if (record->kind == END_PLAIN)
		return size > 0 && size < sizeof(uint64_t) && cut && cut >= record->before;
	return record->kind == END_SEALED && size == 1;
}

/* The file ends within the last record; or the rest is as it was before the write, sector by
 * sector: zeros. */
static void check_cut(const struct log *log, size_t at, bool zeros)
{
	const struct span *last = &log->records[log->count - 1];
	GByteArray *file = file_of(log, last);
	size_t size = file->len, cut = last->begin + at % (last->end - last->begin);

	if (zeros)
		cut = cut / SECTOR * SECTOR;
	if (cut < last->begin || (zeros && (cut == 0 || is_vague(last))))
		return;
	g_byte_array_set_size(file, (guint)cut);
	if (zeros)
		append_zeros(file, size - cut + at % 5000);
	g_assert(examine(log) != WAL_DAMAGED);
}

/* Some sectors of a record are as they were before the write. The bits of `which` say which:
 * the first eight, and all others. */
static void zero_sectors(GByteArray *file, const struct span *record, uint16_t which)
{
	size_t first = record->begin / SECTOR;

	for (size_t at = record->begin; at < record->end; at++)
		if (which >> MIN(at / SECTOR - first, (size_t)8) & 1)
			file->data[at] = 0;
}

static bool is_all_zeros(const GByteArray *file)
{
	for (guint i = 0; i < file->len; i++)
		if (file->data[i])
			return false;
	return true;
}

static void check_unwritten(const struct log *log, size_t index, uint16_t which, size_t zeros)
{
	const struct span *record = &log->records[index];
	GByteArray *file = file_of(log, record);

	zero_sectors(file, record, which);
	if (index + 1 < log->count) {
		g_assert(examine(log) != WAL_TORN);
		return;
	}
	append_zeros(file, zeros);
	if (!is_all_zeros(file) && !is_vague(record))
		g_assert(examine(log) != WAL_DAMAGED);
}

/* With a record behind it that is whole, and perhaps one that is not. */
static void check_flip(const struct log *log, size_t index, size_t at, uint8_t what)
{
	const struct span *record = &log->records[index];
	const struct span *last = &log->records[log->count - 1];
	enum wal_state state;

	at = record->begin + at % (record->end - record->begin);
	file_of(log, record)->data[at] ^= what ? what : 1;
	if (what & 4 && index + 2 < log->count)
		g_byte_array_set_size(file_of(log, last),
				      (guint)(last->begin + at % (last->end - last->begin)));
	state = examine(log);
	g_assert(index + 1 >= log->count ||
		 (log->thorough ? state == WAL_DAMAGED : state != WAL_TORN));
}

/* ---- Inputs --------------------------------------------------------------------- */

static void check_made(const struct log *log, struct reader *reader)
{
	uint8_t what = read_u8(reader);
	size_t index = read_u8(reader) % log->count;
	uint16_t at = (uint16_t)(read_u8(reader) << 8);

	at |= read_u8(reader);
	switch (what % 4) {
	case 0:
		check_zeros(log, reader);
		break;
	case 1:
		check_cut(log, at, what & 4);
		break;
	case 2:
		check_unwritten(log, what & 4 ? log->count - 1 : index, at, at % 700);
		break;
	case 3:
		check_flip(log, index, at, read_u8(reader));
		break;
	}
}

/* One file of it, in front of another when it holds the byte that says so. */
static void check_raw(const uint8_t *data, size_t size)
{
	struct log log = { .files = { g_byte_array_new(), g_byte_array_new() } };
	size_t first = size > 2 ? MIN(data[1], size - 2) : 0;

	log.thorough = size && data[0] & 1;
	if (size > 2) {
		g_byte_array_append(log.files[0], data + 2, (guint)first);
		g_byte_array_append(log.files[1], data + 2 + first, (guint)(size - 2 - first));
	}
	examine(&log);
	g_byte_array_unref(log.files[0]);
	g_byte_array_unref(log.files[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader reader = reader_of(data, size);
	struct log log;

	make_directory();
	if (read_u8(&reader) & 1) {
		check_raw(reader.at, reader.left);
		return 0;
	}
	if (make_log(&log, &reader))
		check_made(&log, &reader);
	g_byte_array_unref(log.files[0]);
	g_byte_array_unref(log.files[1]);
	return 0;
}
