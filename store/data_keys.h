/* Data keys, in memory that is not swapped, not dumped, and cannot be written once they are
 * known; and their wrapping. For seal.c; others include seal.h. */
#pragma once

#include "store/seal.h"

#include <sodium.h>

#define DATA_KEY_SIZE crypto_aead_xchacha20poly1305_ietf_KEYBYTES
/* Those who change the key many times before a mount had time to seal everything anew. */
#define DATA_KEYS_MAX 16

struct data_key {
	uint32_t id; /* 1: the first, and one more each time */
	guint8 bytes[DATA_KEY_SIZE];
};

struct data_keys {
	uint32_t count;
	struct data_key keys[DATA_KEYS_MAX]; /* in ascending order: the last is current */
	/* Of the fingerprints of records, as long as there is the store. Longer than it is used,
	 * so that it is wrapped as the others are. */
	guint8 fingerprint[DATA_KEY_SIZE];
};

struct sealer {
	char store_id[37];
	struct data_keys *keys;
	GByteArray *encoded; /* as META_ENCRYPTION has it */
};

/* The key of that id, or NULL. */
const guint8 *data_keys_find(const struct data_keys *keys, uint32_t id);
