/* Data keys, wrapped by the key that users have. In META_ENCRYPTION:
 *
 *   format (1), kind of the user's key (1), for a passphrase what Argon2id is to be given:
 *   passes (8), bytes of memory (8), salt (16); then wrapped keys: id (4), nonce (24),
 *   key and tag (32 + 16)
 *
 * Each is a box of its own, whose associated data are all that comes before the wrapped
 * keys, its id, and the id of the store: so one of them can be dropped by who does not have
 * the user's key any more. Number 0 is the key of the fingerprints. */
#include "store/data_keys.h"

#include "store/codec.h"

#include <errno.h>
#include <string.h>

#define WRAPPING_FORMAT 1
#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_SIZE crypto_aead_xchacha20poly1305_ietf_ABYTES
#define FINGERPRINT_ID 0
#define WRAPPED_SIZE (4 + NONCE_SIZE + DATA_KEY_SIZE + TAG_SIZE)
/* More than anybody asks for: what was altered shall not take the machine. */
#define PASSES_MAX 64
#define MEMORY_MAX ((uint64_t)4 << 30)

enum kind { KIND_FILE, KIND_PASSPHRASE };

struct wrapping {
	enum kind kind;
	uint64_t passes, memory_bytes;
	guint8 salt[crypto_pwhash_SALTBYTES];
};

#define WRAPPING_SIZE (1 + 1 + 8 + 8 + crypto_pwhash_SALTBYTES)

G_STATIC_ASSERT(DATA_KEY_SIZE >= crypto_shorthash_siphashx24_KEYBYTES);

/* ---- In memory ------------------------------------------------------------------ */

const guint8 *data_keys_find(const struct data_keys *keys, uint32_t id)
{
	for (uint32_t i = keys->count; i-- > 0;) {
		if (keys->keys[i].id == id)
			return keys->keys[i].bytes;
	}
	return NULL;
}

static struct sealer *sealer_alloc(const char *store_id)
{
	struct data_keys *keys = sodium_init() < 0 ? NULL : sodium_malloc(sizeof(*keys));
	struct sealer *sealer;

	if (!keys)
		return NULL;
	sodium_memzero(keys, sizeof(*keys));
	sealer = g_new0(struct sealer, 1);
	sealer->keys = keys;
	g_strlcpy(sealer->store_id, store_id, sizeof(sealer->store_id));
	return sealer;
}

void sealer_free(struct sealer *sealer)
{
	if (!sealer)
		return;
	sodium_free(sealer->keys);
	if (sealer->encoded)
		g_byte_array_unref(sealer->encoded);
	g_free(sealer);
}

uint32_t sealer_current(const struct sealer *sealer)
{
	return sealer->keys->keys[sealer->keys->count - 1].id;
}

bool sealer_has_old(const struct sealer *sealer)
{
	return sealer->keys->count > 1;
}

/* ---- The wrapping key ----------------------------------------------------------- */

static void choose_wrapping(const struct store_key *key, struct wrapping *ret)
{
	*ret = (struct wrapping){ .kind = KIND_FILE };
	if (!key->is_passphrase)
		return;
	ret->kind = KIND_PASSPHRASE;
	ret->passes = crypto_pwhash_OPSLIMIT_MODERATE;
	ret->memory_bytes = crypto_pwhash_MEMLIMIT_MODERATE;
	randombytes_buf(ret->salt, sizeof(ret->salt));
}

static void encode_wrapping(const struct wrapping *wrapping, guint8 ret[static WRAPPING_SIZE])
{
	guint8 *at = encode_u8(ret, WRAPPING_FORMAT);

	at = encode_u8(at, (uint8_t)wrapping->kind);
	at = encode_u64(at, wrapping->passes);
	at = encode_u64(at, wrapping->memory_bytes);
	memcpy(at, wrapping->salt, sizeof(wrapping->salt));
}

/* Argon2id refuses less, and more than the most is not asked for. */
static bool is_in_range(const struct wrapping *wrapping)
{
	if (wrapping->passes > PASSES_MAX || wrapping->memory_bytes > MEMORY_MAX)
		return false;
	return wrapping->kind == KIND_FILE ||
	       (wrapping->passes >= crypto_pwhash_OPSLIMIT_MIN &&
		wrapping->memory_bytes >= crypto_pwhash_MEMLIMIT_MIN);
}

static int decode_wrapping(struct reader *reader, struct wrapping *ret)
{
	uint8_t format = read_u8(reader);
	const guint8 *salt;

	ret->kind = read_u8(reader);
	ret->passes = read_u64(reader);
	ret->memory_bytes = read_u64(reader);
	salt = read_bytes(reader, sizeof(ret->salt));
	if (reader->failed)
		return -EIO;
	memcpy(ret->salt, salt, sizeof(ret->salt));
	if (format > WRAPPING_FORMAT || ret->kind > KIND_PASSPHRASE)
		return -EPROTO;
	return format == WRAPPING_FORMAT && is_in_range(ret) ? 0 : -EIO;
}

/* The key that wraps, in *ret (caller frees with sodium_free). */
static int derive(const struct wrapping *wrapping, const struct store_key *key, guint8 **ret)
{
	guint8 *derived;
	int r = 0;

	if (key->is_passphrase != (wrapping->kind == KIND_PASSPHRASE))
		return -EINVAL;
	derived = sodium_malloc(DATA_KEY_SIZE);
	if (!derived)
		return -ENOMEM;
	if (!key->is_passphrase)
		memcpy(derived, key->bytes, DATA_KEY_SIZE);
	else if (crypto_pwhash(derived, DATA_KEY_SIZE, (const char *)key->bytes, key->size,
			       wrapping->salt, wrapping->passes, (size_t)wrapping->memory_bytes,
			       crypto_pwhash_ALG_ARGON2ID13) != 0)
		r = -ENOMEM;
	if (r < 0) {
		sodium_free(derived);
		return r;
	}
	sodium_mprotect_readonly(derived);
	*ret = derived;
	return 0;
}

/* ---- Wrapping ------------------------------------------------------------------- */

struct wrapper_binding {
	guint8 bytes[WRAPPING_SIZE + 4 + 36];
};

static void bind(struct wrapper_binding *binding, const struct sealer *sealer,
		 const guint8 *encoded_wrapping, uint32_t id)
{
	guint8 *at = binding->bytes;

	memcpy(at, encoded_wrapping, WRAPPING_SIZE);
	at = encode_u32(at + WRAPPING_SIZE, id);
	memcpy(at, sealer->store_id, 36);
}

/* Appends one key to sealer->encoded, which begins with how it is wrapped. */
static void wrap(struct sealer *sealer, const guint8 *wrapping_key, uint32_t id, const guint8 *key)
{
	struct wrapper_binding binding;
	guint8 wrapped[WRAPPED_SIZE];
	guint8 *nonce = encode_u32(wrapped, id);

	bind(&binding, sealer, sealer->encoded->data, id);
	randombytes_buf(nonce, NONCE_SIZE);
	crypto_aead_xchacha20poly1305_ietf_encrypt(nonce + NONCE_SIZE, NULL, key, DATA_KEY_SIZE,
						   binding.bytes, sizeof(binding.bytes), NULL,
						   nonce, wrapping_key);
	g_byte_array_append(sealer->encoded, wrapped, sizeof(wrapped));
}

static void wrap_all(struct sealer *sealer, const guint8 *wrapping_key)
{
	const struct data_keys *keys = sealer->keys;

	wrap(sealer, wrapping_key, FINGERPRINT_ID, keys->fingerprint);
	for (uint32_t i = 0; i < keys->count; i++)
		wrap(sealer, wrapping_key, keys->keys[i].id, keys->keys[i].bytes);
}

/* Wraps the keys that the sealer has, and makes it complete. */
static int complete(struct sealer *sealer, const struct store_key *key)
{
	guint8 encoded[WRAPPING_SIZE];
	struct wrapping wrapping;
	guint8 *wrapping_key;
	int r;

	choose_wrapping(key, &wrapping);
	r = derive(&wrapping, key, &wrapping_key);
	if (r < 0)
		return r;
	encode_wrapping(&wrapping, encoded);
	sealer->encoded = g_byte_array_new();
	g_byte_array_append(sealer->encoded, encoded, sizeof(encoded));
	wrap_all(sealer, wrapping_key);
	sodium_free(wrapping_key);
	sodium_mprotect_readonly(sealer->keys);
	return 0;
}

static void add_key(struct data_keys *keys)
{
	struct data_key *added = &keys->keys[keys->count];

	added->id = keys->count ? keys->keys[keys->count - 1].id + 1 : 1;
	randombytes_buf(added->bytes, sizeof(added->bytes));
	keys->count++;
}

static int complete_or_free(struct sealer *sealer, const struct store_key *key, struct sealer **ret)
{
	int r = complete(sealer, key);

	if (r < 0)
		sealer_free(sealer);
	else
		*ret = sealer;
	return r;
}

int sealer_new(const char *store_id, const struct store_key *key, struct sealer **ret)
{
	struct sealer *sealer = sealer_alloc(store_id);

	if (!sealer)
		return -ENOMEM;
	randombytes_buf(sealer->keys->fingerprint, sizeof(sealer->keys->fingerprint));
	add_key(sealer->keys);
	return complete_or_free(sealer, key, ret);
}

int sealer_change(const struct sealer *old, const struct store_key *key, struct sealer **ret)
{
	struct sealer *sealer;

	if (old->keys->count == DATA_KEYS_MAX)
		return -EBUSY;
	sealer = sealer_alloc(old->store_id);
	if (!sealer)
		return -ENOMEM;
	memcpy(sealer->keys, old->keys, sizeof(*sealer->keys));
	add_key(sealer->keys);
	return complete_or_free(sealer, key, ret);
}

/* ---- Unwrapping ----------------------------------------------------------------- */

static int unwrap(struct sealer *sealer, struct reader *reader, const guint8 *wrapping_key)
{
	const guint8 *encoded = sealer->encoded->data;
	struct data_keys *keys = sealer->keys;
	uint32_t id = read_u32(reader);
	const guint8 *nonce = read_bytes(reader, NONCE_SIZE);
	const guint8 *box = read_bytes(reader, DATA_KEY_SIZE + TAG_SIZE);
	struct wrapper_binding binding;
	struct data_key *slot = &keys->keys[keys->count];

	if (!box || keys->count == DATA_KEYS_MAX ||
	    (keys->count && id <= keys->keys[keys->count - 1].id))
		return -EIO;
	bind(&binding, sealer, encoded, id);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(
		    slot->bytes, NULL, NULL, box, DATA_KEY_SIZE + TAG_SIZE, binding.bytes,
		    sizeof(binding.bytes), nonce, wrapping_key) != 0)
		return -EKEYREJECTED;
	if (id == FINGERPRINT_ID) {
		if (!sodium_is_zero(keys->fingerprint, sizeof(keys->fingerprint)))
			return -EIO;
		memcpy(keys->fingerprint, slot->bytes, sizeof(keys->fingerprint));
		return 0;
	}
	slot->id = id;
	keys->count++;
	return 0;
}

static int unwrap_all(struct sealer *sealer, const struct store_key *key)
{
	struct reader reader = reader_of(sealer->encoded->data, sealer->encoded->len);
	struct wrapping wrapping;
	guint8 *wrapping_key;
	int r;

	r = decode_wrapping(&reader, &wrapping);
	if (r == 0)
		r = derive(&wrapping, key, &wrapping_key);
	if (r < 0)
		return r;
	while (r == 0 && reader.left)
		r = unwrap(sealer, &reader, wrapping_key);
	sodium_free(wrapping_key);
	/* Nobody who has no key may take one of them away. */
	if (r == 0 &&
	    (sealer->keys->count == 0 ||
	     sodium_is_zero(sealer->keys->fingerprint, sizeof(sealer->keys->fingerprint))))
		r = -EIO;
	return r;
}

int sealer_open(const char *store_id, struct seal_text stored, const struct store_key *key,
		struct sealer **ret)
{
	struct sealer *sealer = sealer_alloc(store_id);
	int r;

	if (!sealer)
		return -ENOMEM;
	sealer->encoded = g_byte_array_new();
	g_byte_array_append(sealer->encoded, stored.bytes, (guint)stored.size);
	r = unwrap_all(sealer, key);
	if (r < 0) {
		sealer_free(sealer);
		return r;
	}
	sodium_mprotect_readonly(sealer->keys);
	*ret = sealer;
	return 0;
}

GByteArray *sealer_encode(const struct sealer *sealer)
{
	return g_byte_array_ref(sealer->encoded);
}

GByteArray *sealer_encode_current(const struct sealer *sealer)
{
	GByteArray *kept = g_byte_array_new();
	struct reader reader = reader_of(sealer->encoded->data, sealer->encoded->len);

	g_byte_array_append(kept, read_bytes(&reader, WRAPPING_SIZE), WRAPPING_SIZE);
	while (reader.left) {
		const guint8 *wrapped = read_bytes(&reader, WRAPPED_SIZE);
		struct reader inner = reader_of(wrapped, WRAPPED_SIZE);
		uint32_t id = read_u32(&inner);

		if (id == FINGERPRINT_ID || id == sealer_current(sealer))
			g_byte_array_append(kept, wrapped, WRAPPED_SIZE);
	}
	return kept;
}
