/* Records: see record.h for their form in the store. */
#include "store/record.h"

#include "store/codec.h"

#include <errno.h>
#include <string.h>

#define RECORD_FORMAT 1

struct record *record_new(enum record_type type)
{
	struct record *record = g_new0(struct record, 1);

	record->refs = 1;
	record->type = type;
	return record;
}

struct record *record_copy_bare(const struct record *record)
{
	const size_t counted = offsetof(struct record, type);
	struct record *copy = g_new(struct record, 1);

	/* All but the count, which others may be changing. */
	memcpy((char *)copy + counted, (const char *)record + counted, sizeof(*copy) - counted);
	copy->refs = 1;
	copy->value = NULL;
	return copy;
}

struct record *record_copy(const struct record *record)
{
	struct record *copy = record_copy_bare(record);

	if (record->value)
		copy->value = g_bytes_ref(record->value);
	return copy;
}

struct record *record_ref(struct record *record)
{
	g_atomic_int_inc(&record->refs);
	return record;
}

void record_unref(struct record *record)
{
	if (!record || !g_atomic_int_dec_and_test(&record->refs))
		return;
	g_clear_pointer(&record->value, g_bytes_unref);
	g_free(record);
}

void record_take_value(struct record *record, GBytes *value)
{
	g_assert(record->refs == 1);
	g_clear_pointer(&record->value, g_bytes_unref);
	record->value = value;
	record->purged = false;
	record->size_bytes = value ? g_bytes_get_size(value) : 0;
}

uint64_t record_last_revision(const struct record *record)
{
	return MAX(record->mod_revision, record->attribute_revision);
}

void record_encode_header(const struct record *record, guint8 ret[static RECORD_HEADER_SIZE])
{
	guint8 *at = ret;

	at = encode_u8(at, RECORD_FORMAT);
	at = encode_u8(at, record->purged ? RECORD_PURGED : 0);
	at = encode_u8(at, (uint8_t)record->type);
	at = encode_u32(at, record->mode);
	at = encode_u32(at, record->uid);
	at = encode_u32(at, record->gid);
	at = encode_u64(at, (uint64_t)record->mtime_ns);
	at = encode_u64(at, (uint64_t)record->own_mtime_ns);
	at = encode_u64(at, (uint64_t)record->ctime_ns);
	at = encode_u64(at, record->ino);
	at = encode_u64(at, record->create_revision);
	at = encode_u64(at, record->mod_revision);
	at = encode_u64(at, record->attribute_revision);
	at = encode_u64(at, record->version);
	g_assert(at == ret + RECORD_HEADER_SIZE);
}

static void decode_header(struct reader *reader, struct record *record)
{
	record->refs = 1;
	record->type = read_u8(reader);
	record->mode = read_u32(reader);
	record->uid = read_u32(reader);
	record->gid = read_u32(reader);
	record->mtime_ns = (int64_t)read_u64(reader);
	record->own_mtime_ns = (int64_t)read_u64(reader);
	record->ctime_ns = (int64_t)read_u64(reader);
	record->ino = read_u64(reader);
	record->create_revision = read_u64(reader);
	record->mod_revision = read_u64(reader);
	record->attribute_revision = read_u64(reader);
	record->version = read_u64(reader);
}

static bool type_is_known(enum record_type type)
{
	return type == RECORD_VALUE || type == RECORD_DIRECTORY || type == RECORD_SYMLINK;
}

int record_decode(const void *data, size_t size, bool with_value, struct record **ret)
{
	struct reader reader = reader_of(data, size);
	struct record head = { 0 };
	uint8_t format = read_u8(&reader);
	uint8_t flags = read_u8(&reader);

	decode_header(&reader, &head);
	if (reader.failed || format != RECORD_FORMAT || flags & ~RECORD_PURGED ||
	    !type_is_known(head.type))
		return -EIO;
	head.purged = flags & RECORD_PURGED;
	if ((head.type == RECORD_DIRECTORY || head.purged) && reader.left)
		return -EIO;
	head.size_bytes = reader.left;
	if (with_value && head.type != RECORD_DIRECTORY) {
		head.value = bytes_try_new(reader.at, reader.left);
		if (!head.value)
			return -ENOMEM;
	}
	*ret = g_new(struct record, 1);
	**ret = head;
	return 0;
}
