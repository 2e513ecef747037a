/* Encryption at rest: what is stored in an encrypted store lies in boxes that only its data
 * keys open.
 *
 * A box is XChaCha20-Poly1305 with a random nonce. Its associated data are the format, the
 * id of the store, the id of the data key, the family, the stored key, the revision, the
 * revision that superseded it, and which part of what size it is: so a box opens only where,
 * and as what, it was written. What is stored is
 *
 *   id of the data key (4), revision (8), nonce (24), head and tag (16)
 *   and, where there is a tail: nonce (24), tail and tag (16)
 *
 * The head is what listings and searches need: the header of a record, the numbers of a log
 * entry; the tail is the rest, value or texts. The head is bound to the size of the tail.
 *
 * Data keys are random and lie in the store, each wrapped by the key that users have, which
 * is a file or comes of a passphrase (Argon2id). Those who change that key make a new data
 * key too: reseal.c then has everything sealed by it, and drops the others.
 *
 * A sealer does not change once it is made, so that threads may share it. */
#pragma once

#include "store/layout.h"

struct sealer;
struct store_key;

#define SEAL_HEAD_EXTRA (4 + 8 + 24 + 16)
#define SEAL_TAIL_EXTRA (24 + 16)

/* Where something is stored. */
struct seal_place {
	enum family family;
	const char *key;
	size_t key_size;
	uint64_t superseded; /* of history; 0: not superseded */
};

struct seal_text {
	const void *bytes; /* NULL: there is none, not even an empty one */
	size_t size;
};

/* Seals with the current data key: *ret_size bytes, which the caller frees. NULL: they are
 * large (BYTES_LARGE), and there is no memory for them. */
guint8 *seal_close(const struct sealer *sealer, const struct seal_place *place, uint64_t revision,
		   struct seal_text head, struct seal_text tail, size_t *ret_size);

/* A box whose head was opened. */
struct sealed {
	uint32_t key_id;
	uint64_t revision;
	const guint8 *tail; /* NULL: none; borrows what was opened */
	size_t tail_size;   /* once opened */
};

/* Opens the head, of `head_size` bytes, into `ret_head`. -EIO: it is damaged, or of another
 * place, or its data key is not known. */
int seal_open_head(const struct sealer *sealer, const struct seal_place *place,
		   struct seal_text stored, void *ret_head, size_t head_size, struct sealed *ret);
/* Opens the tail, which there is, into `ret_tail`. -EIO. */
int seal_open_tail(const struct sealer *sealer, const struct seal_place *place,
		   const struct sealed *sealed, void *ret_tail);

/* True when it says that it was sealed by the current data key. */
bool seal_is_current(const struct sealer *sealer, struct seal_text stored);

/* 128 bits that nobody can foretell without the keys, for a record that `stored_key` has at
 * `revision`. */
void seal_fingerprint(const struct sealer *sealer, const char *stored_key, size_t size,
		      uint64_t revision, uint64_t ret[static 2]);

/* ---- Data keys ------------------------------------------------------------------ */

/* A sealer with one data key, for a new store of that id, wrapped by `key`. -ENOMEM: there is
 * no memory for that, or for the passphrase. */
int sealer_new(const char *store_id, const struct store_key *key, struct sealer **ret);

/* From what META_ENCRYPTION has. -EKEYREJECTED: `key` is another one, or what is there was
 * altered; -EPROTO: of a newer release; -EINVAL: `key` is a file where a passphrase is asked
 * for, or the other way round; -EIO: damaged; -ENOMEM. */
int sealer_open(const char *store_id, struct seal_text stored, const struct store_key *key,
		struct sealer **ret);

/* One with a new current data key besides those of `old`, all wrapped by `key`. -EBUSY: there
 * are too many data keys; -ENOMEM. */
int sealer_change(const struct sealer *old, const struct store_key *key, struct sealer **ret);

void sealer_free(struct sealer *sealer);

/* For META_ENCRYPTION, not to be changed: others may have it too. Caller unrefs; the second
 * without the data keys but the current one. */
GByteArray *sealer_encode(const struct sealer *sealer);
GByteArray *sealer_encode_current(const struct sealer *sealer);

uint32_t sealer_current(const struct sealer *sealer);
/* True when there are data keys but the current one. */
bool sealer_has_old(const struct sealer *sealer);

/* ---- The key that users have ---------------------------------------------------- */

#define STORE_KEY_SIZE 32

/* Either of a file, or a passphrase; in memory that is not swapped or dumped. */
struct store_key {
	bool is_passphrase;
	size_t size;
	unsigned char *bytes;
};
