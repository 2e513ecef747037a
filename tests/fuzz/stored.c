/* What is stored beside records and log entries: the keys of the history, and named
 * snapshots. The first byte says how long the first of two keys is. */
#include "store/codec.h"
#include "store/layout.h"
#include "store/snapshots.h"

#include <string.h>

#define REVISIONS (2 * sizeof(uint64_t))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int compare(const struct stored_key *a, const struct stored_key *b)
{
	int order = memcmp(a->bytes, b->bytes, MIN(a->size, b->size));

	return order ? order : (a->size > b->size) - (a->size < b->size);
}

static int sign(int number)
{
	return (number > 0) - (number < 0);
}

static uint64_t revision_in(const struct stored_key *stored)
{
	struct reader reader =
		reader_of(stored->bytes + stored->size - sizeof(uint64_t), sizeof(uint64_t));

	return ~read_u64(&reader);
}

/* Of one key newest first; all of one key before or behind all of another, as the keys are. */
static void check_history(const char *a, const char *b, uint64_t older, uint64_t newer)
{
	struct stored_key key_a, key_b, first, second, other;

	stored_key_set(&key_a, a, false);
	stored_key_set(&key_b, b, true);
	first = second = key_a;
	other = key_b;
	stored_key_add_revision(&first, newer);
	stored_key_add_revision(&second, older);
	stored_key_add_revision(&other, newer);
	g_assert(revision_in(&first) == newer && revision_in(&second) == older);
	g_assert(sign(compare(&first, &second)) == (older > newer) - (older < newer));
	g_assert(sign(compare(&first, &other)) == sign(compare(&key_a, &key_b)));
	g_assert(sign(compare(&second, &other)) == sign(compare(&key_a, &key_b)));
}

static void check_keys(const uint8_t *data, size_t size)
{
	struct reader reader = reader_of(data, size);
	uint64_t older = read_u64(&reader), newer = read_u64(&reader);
	size_t length = read_u8(&reader);
	g_autofree char *a = NULL, *b = NULL;

	if (reader.failed)
		return;
	length = MIN(length, reader.left);
	a = g_strndup((const char *)reader.at, length);
	b = g_strndup((const char *)reader.at + length, reader.left - length);
	if (*a && key_check(a) == 0 && key_check(b) == 0)
		check_history(a, b, older, newer);
}

static void check_snapshot(const uint8_t *data, size_t size)
{
	struct named_snapshot named = { 0 };

	if (snapshot_name_decode((const char *)data, size, &named) == 0)
		g_assert(size >= sizeof(named.revision) && !named.name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_keys(data, size);
	check_snapshot(data, size);
	return 0;
}
