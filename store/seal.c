/* Boxes: see seal.h for their form. Data keys are in data_keys.c. */
#include "store/seal.h"

#include "store/bytes.h"
#include "store/codec.h"
#include "store/data_keys.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#define SEAL_FORMAT 1
#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_SIZE crypto_aead_xchacha20poly1305_ietf_ABYTES
#define PREFIX_SIZE (4 + 8)
/* The longest key: that of a purge under way, in `meta`. */
#define BOUND_KEY_MAX (STORE_KEY_MAX + 32)
#define NO_TAIL UINT64_MAX

G_STATIC_ASSERT(SEAL_HEAD_EXTRA == PREFIX_SIZE + NONCE_SIZE + TAG_SIZE);
G_STATIC_ASSERT(SEAL_TAIL_EXTRA == NONCE_SIZE + TAG_SIZE);

enum part { PART_HEAD = 1, PART_TAIL };

/* The associated data. Of fixed sizes but for the key, which is last. */
struct binding {
	size_t size;
	guint8 bytes[3 + 4 + 3 * 8 + 36 + BOUND_KEY_MAX];
};

static void bind(struct binding *binding, const struct sealer *sealer,
		 const struct seal_place *place, const struct sealed *sealed, enum part part)
{
	guint8 *at = binding->bytes;

	g_assert(place->key_size <= BOUND_KEY_MAX);
	at = encode_u8(at, SEAL_FORMAT);
	at = encode_u8(at, (uint8_t)part);
	at = encode_u8(at, (uint8_t)place->family);
	at = encode_u32(at, sealed->key_id);
	at = encode_u64(at, sealed->revision);
	at = encode_u64(at, place->superseded);
	at = encode_u64(at, sealed->tail ? sealed->tail_size : NO_TAIL);
	memcpy(at, sealer->store_id, sizeof(sealer->store_id) - 1);
	at += sizeof(sealer->store_id) - 1;
	memcpy(at, place->key, place->key_size);
	binding->size = (size_t)(at - binding->bytes) + place->key_size;
}

/* Writes the nonce, which is in its place, goes before the box. */
static guint8 *close_part(const struct binding *binding, const guint8 *key, const guint8 *nonce,
			  struct seal_text text, guint8 *to)
{
	memcpy(to, nonce, NONCE_SIZE);
	to += NONCE_SIZE;
	crypto_aead_xchacha20poly1305_ietf_encrypt(to, NULL, text.bytes, text.size, binding->bytes,
						   binding->size, NULL, nonce, key);
	return to + text.size + TAG_SIZE;
}

guint8 *seal_close(const struct sealer *sealer, const struct seal_place *place, uint64_t revision,
		   struct seal_text head, struct seal_text tail, size_t *ret_size)
{
	const struct sealed sealed = { .key_id = sealer_current(sealer),
				       .revision = revision,
				       .tail = tail.bytes,
				       .tail_size = tail.size };
	const guint8 *key = data_keys_find(sealer->keys, sealed.key_id);
	size_t size = SEAL_HEAD_EXTRA + head.size + (tail.bytes ? SEAL_TAIL_EXTRA + tail.size : 0);
	guint8 *stored = size < BYTES_LARGE ? g_malloc(size) : g_try_malloc(size);
	guint8 nonces[2][NONCE_SIZE];
	struct binding binding;
	guint8 *at;

	if (!stored)
		return NULL;
	*ret_size = size;
	randombytes_buf(nonces, sizeof(nonces));
	at = encode_u32(stored, sealed.key_id);
	at = encode_u64(at, revision);
	bind(&binding, sealer, place, &sealed, PART_HEAD);
	at = close_part(&binding, key, nonces[0], head, at);
	if (!tail.bytes)
		return stored;
	bind(&binding, sealer, place, &sealed, PART_TAIL);
	close_part(&binding, key, nonces[1], tail, at);
	return stored;
}

/* -EIO: it is not what was sealed. */
static int open_part(const struct sealer *sealer, const struct binding *binding, uint32_t key_id,
		     const guint8 *from, size_t box_size, guint8 *ret)
{
	const guint8 *key = data_keys_find(sealer->keys, key_id);

	if (!key || crypto_aead_xchacha20poly1305_ietf_decrypt(ret, NULL, NULL, from + NONCE_SIZE,
							       box_size, binding->bytes,
							       binding->size, from, key) != 0)
		return -EIO;
	return 0;
}

int seal_open_head(const struct sealer *sealer, const struct seal_place *place,
		   struct seal_text stored, void *ret_head, size_t head_size, struct sealed *ret)
{
	struct reader reader = reader_of(stored.bytes, stored.size);
	struct sealed sealed = { 0 };
	struct binding binding;
	const guint8 *box;
	int r;

	sealed.key_id = read_u32(&reader);
	sealed.revision = read_u64(&reader);
	box = read_bytes(&reader, NONCE_SIZE + head_size + TAG_SIZE);
	if (!box || (reader.left && reader.left < SEAL_TAIL_EXTRA) ||
	    place->key_size > BOUND_KEY_MAX)
		return -EIO;
	if (reader.left) {
		sealed.tail = reader.at;
		sealed.tail_size = reader.left - SEAL_TAIL_EXTRA;
	}
	bind(&binding, sealer, place, &sealed, PART_HEAD);
	r = open_part(sealer, &binding, sealed.key_id, box, head_size + TAG_SIZE, ret_head);
	if (r == 0)
		*ret = sealed;
	return r;
}

int seal_open_tail(const struct sealer *sealer, const struct seal_place *place,
		   const struct sealed *sealed, void *ret_tail)
{
	struct binding binding;

	bind(&binding, sealer, place, sealed, PART_TAIL);
	return open_part(sealer, &binding, sealed->key_id, sealed->tail,
			 sealed->tail_size + TAG_SIZE, ret_tail);
}

bool seal_is_current(const struct sealer *sealer, struct seal_text stored)
{
	struct reader reader = reader_of(stored.bytes, stored.size);
	uint32_t key_id = read_u32(&reader);

	return !reader.failed && key_id == sealer_current(sealer);
}

void seal_fingerprint(const struct sealer *sealer, const char *stored_key, size_t size,
		      uint64_t revision, uint64_t ret[static 2])
{
	guint8 text[sizeof(uint64_t) + sizeof(((struct stored_key *)NULL)->bytes)];
	guint8 *at = encode_u64(text, revision);
	guint8 hash[crypto_shorthash_siphashx24_BYTES];
	struct reader reader;

	G_STATIC_ASSERT(sizeof(hash) == 2 * sizeof(uint64_t));
	memcpy(at, stored_key, size);
	crypto_shorthash_siphashx24(hash, text, sizeof(uint64_t) + size, sealer->keys->fingerprint);
	reader = reader_of(hash, sizeof(hash));
	ret[0] = read_u64(&reader);
	ret[1] = read_u64(&reader);
}
