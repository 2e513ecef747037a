/* The data keys of an encrypted store, as META_ENCRYPTION has them: what opens is what was
 * written, but that data keys which are not needed any more may be gone, from any place, as
 * sealer_encode_current() leaves them out. The input says how many data keys there are, and
 * what is done to what was written: bytes changed, cut off, added, parts of it put elsewhere
 * or twice; or it is all that is there. */
#include "store/codec.h"
#include "store/data_keys.h"

#include <errno.h>
#include <string.h>

#define STORE_ID "00000000-0000-4000-8000-000000000000"
#define OTHER_ID "00000000-0000-4000-8000-000000000001"
/* See data_keys.c: format, kind, passes, bytes of memory, salt; id, nonce, key and tag. */
#define HEAD_SIZE (1 + 1 + 8 + 8 + 16)
#define WRAPPED_SIZE (4 + 24 + 32 + 16)
#define KEYS_MAX 4

static unsigned char key_bytes[STORE_KEY_SIZE] = { 1, 2, 3 };
static unsigned char other_bytes[STORE_KEY_SIZE] = { 1, 2, 4 };
static const struct store_key user_key = { .size = STORE_KEY_SIZE, .bytes = key_bytes };
static const struct store_key other_key = { .size = STORE_KEY_SIZE, .bytes = other_bytes };

/* With one data key, with two, and so on; made once, since that takes long. */
static struct sealer *sealers[KEYS_MAX];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void make_sealers(void)
{
	if (sealers[0])
		return;
	g_assert(sealer_new(STORE_ID, &user_key, &sealers[0]) == 0);
	for (int i = 1; i < KEYS_MAX; i++)
		g_assert(sealer_change(sealers[i - 1], &user_key, &sealers[i]) == 0);
}

/* ---- Opening -------------------------------------------------------------------- */

static int try_open(const char *store_id, const GByteArray *stored, const struct store_key *key,
		    struct sealer **ret)
{
	int r = sealer_open(store_id, (struct seal_text){ stored->data, stored->len }, key, ret);

	g_assert(r == 0 || r == -EKEYREJECTED || r == -EPROTO || r == -EINVAL || r == -EIO);
	return r;
}

static bool opens(const char *store_id, const GByteArray *stored, const struct store_key *key)
{
	struct sealer *sealer = NULL;
	int r = try_open(store_id, stored, key, &sealer);

	g_assert((r == 0) == (sealer != NULL));
	sealer_free(sealer);
	return r == 0;
}

/* The keys of `sealer` are among those of `whole`. */
static void check_keys(const struct sealer *sealer, const struct sealer *whole)
{
	const struct data_keys *keys = sealer->keys;

	g_assert(keys->count >= 1 && keys->count <= whole->keys->count);
	for (uint32_t i = 0; i < keys->count; i++) {
		const guint8 *bytes = data_keys_find(whole->keys, keys->keys[i].id);

		g_assert(bytes && memcmp(bytes, keys->keys[i].bytes, DATA_KEY_SIZE) == 0);
	}
	g_assert(memcmp(keys->fingerprint, whole->keys->fingerprint, sizeof(keys->fingerprint)) ==
		 0);
}

/* True when `stored` is what `whole` has, or lacks data keys of it. */
static bool is_part(const GByteArray *stored, const GByteArray *whole)
{
	const guint at = HEAD_SIZE + WRAPPED_SIZE; /* the fingerprints' key is never gone */
	guint from = at;

	if (stored->len <= at || (stored->len - at) % WRAPPED_SIZE != 0 ||
	    memcmp(stored->data, whole->data, at) != 0)
		return false;
	for (guint i = at; i < stored->len; from += WRAPPED_SIZE) {
		if (from == whole->len)
			return false;
		if (memcmp(stored->data + i, whole->data + from, WRAPPED_SIZE) == 0)
			i += WRAPPED_SIZE;
	}
	return true;
}

static void check_stored(const GByteArray *stored, const struct sealer *whole)
{
	g_autoptr(GByteArray) written = sealer_encode(whole);
	struct sealer *sealer = NULL;
	int r = try_open(STORE_ID, stored, &user_key, &sealer);

	g_assert((r == 0) == is_part(stored, written));
	if (r == 0) {
		g_autoptr(GByteArray) again = sealer_encode(sealer);

		check_keys(sealer, whole);
		g_assert(again->len == stored->len &&
			 memcmp(again->data, stored->data, again->len) == 0);
		sealer_free(sealer);
	}
	g_assert(!opens(STORE_ID, stored, &other_key));
	g_assert(!opens(OTHER_ID, stored, &user_key));
}

/* ---- What is done to it --------------------------------------------------------- */

static void remove_bytes(GByteArray *stored, guint at, guint size)
{
	if (at < stored->len && size > 0)
		g_byte_array_remove_range(stored, at, MIN(size, stored->len - at));
}

/* Puts a copy of wrapped key `from` in front of wrapped key `to`. */
static void copy_wrapped(GByteArray *stored, guint from, guint to)
{
	g_autofree guint8 *rest = NULL;
	guint8 copy[WRAPPED_SIZE];
	guint size;

	from = HEAD_SIZE + from * WRAPPED_SIZE;
	to = HEAD_SIZE + to * WRAPPED_SIZE;
	if (from + WRAPPED_SIZE > stored->len || to > stored->len)
		return;
	memcpy(copy, stored->data + from, sizeof(copy));
	size = stored->len - to;
	rest = g_memdup2(stored->data + to, size);
	g_byte_array_set_size(stored, to);
	g_byte_array_append(stored, copy, sizeof(copy));
	g_byte_array_append(stored, rest, size);
}

static void alter(GByteArray *stored, struct reader *reader)
{
	uint8_t what = read_u8(reader);
	guint at = read_u16(reader);
	uint8_t number = read_u8(reader);

	switch (what % 6) {
	case 0:
		if (stored->len)
			stored->data[at % stored->len] ^= number;
		break;
	case 1:
		remove_bytes(stored, at, G_MAXUINT);
		break;
	case 2:
		remove_bytes(stored, at, number);
		break;
	case 3:
		remove_bytes(stored, HEAD_SIZE + at % (KEYS_MAX + 1) * WRAPPED_SIZE, WRAPPED_SIZE);
		break;
	case 4:
		copy_wrapped(stored, number % (KEYS_MAX + 1), at % (KEYS_MAX + 2));
		break;
	case 5:
		g_byte_array_append(stored, &number, 1);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader reader = reader_of(data, size);
	uint8_t form = read_u8(&reader);
	const struct sealer *whole;
	g_autoptr(GByteArray) stored = NULL;

	make_sealers();
	whole = sealers[form % KEYS_MAX];
	if (form & 0x80) {
		stored = g_byte_array_new();
		g_byte_array_append(stored, reader.at, (guint)reader.left);
	} else {
		g_autoptr(GByteArray) written =
			form & 0x40 ? sealer_encode_current(whole) : sealer_encode(whole);

		stored = g_byte_array_new();
		g_byte_array_append(stored, written->data, written->len); /* others have it */
		while (reader.left >= 4)
			alter(stored, &reader);
	}
	check_stored(stored, whole);
	return 0;
}
