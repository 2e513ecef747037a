/* Numbers in stored bytes: big-endian, so that keys sort as their numbers do. A reader never
 * goes beyond its end: it remembers that it failed and returns zeros from then on, so that
 * a decoder needs to ask once, at the end. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline guint8 *encode_u8(guint8 *to, uint8_t number)
{
	*to = number;
	return to + 1;
}

static inline guint8 *encode_u16(guint8 *to, uint16_t number)
{
	number = GUINT16_TO_BE(number);
	memcpy(to, &number, sizeof(number));
	return to + sizeof(number);
}

static inline guint8 *encode_u32(guint8 *to, uint32_t number)
{
	number = GUINT32_TO_BE(number);
	memcpy(to, &number, sizeof(number));
	return to + sizeof(number);
}

static inline guint8 *encode_u64(guint8 *to, uint64_t number)
{
	number = GUINT64_TO_BE(number);
	memcpy(to, &number, sizeof(number));
	return to + sizeof(number);
}

struct reader {
	const guint8 *at;
	size_t left;
	bool failed;
};

static inline struct reader reader_of(const void *data, size_t size)
{
	return (struct reader){ .at = data, .left = size };
}

/* The next `size` bytes, or NULL. */
static inline const guint8 *read_bytes(struct reader *reader, size_t size)
{
	const guint8 *at = reader->at;

	if (reader->failed || reader->left < size) {
		reader->failed = true;
		return NULL;
	}
	reader->at += size;
	reader->left -= size;
	return at;
}

static inline uint8_t read_u8(struct reader *reader)
{
	const guint8 *at = read_bytes(reader, 1);

	return at ? *at : 0;
}

static inline uint16_t read_u16(struct reader *reader)
{
	const guint8 *at = read_bytes(reader, sizeof(uint16_t));
	uint16_t number = 0;

	if (at)
		memcpy(&number, at, sizeof(number));
	return GUINT16_FROM_BE(number);
}

static inline uint32_t read_u32(struct reader *reader)
{
	const guint8 *at = read_bytes(reader, sizeof(uint32_t));
	uint32_t number = 0;

	if (at)
		memcpy(&number, at, sizeof(number));
	return GUINT32_FROM_BE(number);
}

static inline uint64_t read_u64(struct reader *reader)
{
	const guint8 *at = read_bytes(reader, sizeof(uint64_t));
	uint64_t number = 0;

	if (at)
		memcpy(&number, at, sizeof(number));
	return GUINT64_FROM_BE(number);
}
