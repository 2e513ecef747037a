/* What the tests of encrypted stores share: one store with a key, and a way behind it. */
#pragma once

#include "store/local.h"
#include "store/seal.h"
#include "tests/unit/store_test.h"

#include <glib/gstdio.h>

struct crypt_store {
	char *base; /* a directory of its own: the store, keys */
	char *path;
	struct store_key *key;
	struct store *store; /* NULL: not open */
};

static inline struct store_key *new_key(const struct crypt_store *secret, const char *name)
{
	g_autofree char *path = g_build_filename(secret->base, name, NULL);
	struct store_key *key = NULL;
	char *message = NULL;

	cr_assert_eq(store_key_write_file(path, &message), 0, "%s", message);
	cr_assert_eq(store_key_read_file(path, &key, &message), 0, "%s", message);
	return key;
}

static inline int try_key(const struct crypt_store *secret, const struct store_key *key,
			  struct store **ret, char **ret_message)
{
	struct store_options options;

	store_options_init(&options);
	options.path = secret->path;
	options.sync = STORE_SYNC_NONE;
	options.key = key;
	return store_open(&options, ret, ret_message);
}

static inline void open_crypt(struct crypt_store *secret)
{
	char *message = NULL;

	cr_assert_eq(try_key(secret, secret->key, &secret->store, &message), 0, "%s", message);
}

static inline void close_crypt(struct crypt_store *secret)
{
	store_close(secret->store);
	secret->store = NULL;
}

static inline void make_crypt(struct crypt_store *secret)
{
	char *message = NULL;

	*secret = (struct crypt_store){ .base = g_dir_make_tmp("crypt.XXXXXX", NULL) };
	secret->path = g_build_filename(secret->base, "store", NULL);
	secret->key = new_key(secret, "key");
	cr_assert_eq(store_create_encrypted(secret->path, secret->key, &message), 0, "%s", message);
	open_crypt(secret);
}

static inline void unmake_crypt(struct crypt_store *secret)
{
	g_autofree char *command = g_strdup_printf("rm -rf '%s'", secret->base);

	store_close(secret->store);
	store_key_free(secret->key);
	cr_assert_eq(system(command), 0);
	g_free(secret->path);
	g_free(secret->base);
}

/* ---- Behind the store ----------------------------------------------------------- */

static inline struct layout *layout_of(const struct crypt_store *secret)
{
	return &((struct local *)secret->store)->layout;
}

/* What lies under a stored key, as it is. */
static inline GBytes *raw_get(const struct layout *layout, enum family family, const char *key,
			      size_t size)
{
	rocksdb_pinnableslice_t *slice;
	const char *bytes;
	GBytes *copy;
	size_t found;

	cr_assert_eq(layout_get(layout, layout->newest, family, key, size, &slice), 0, "%s", key);
	bytes = rocksdb_pinnableslice_value(slice, &found);
	copy = g_bytes_new(bytes, found);
	rocksdb_pinnableslice_destroy(slice);
	return copy;
}

/* NULL: nothing any more. */
static inline void raw_put(const struct layout *layout, enum family family, const char *key,
			   size_t size, const void *bytes, size_t bytes_size)
{
	rocksdb_writebatch_t *batch = rocksdb_writebatch_create();

	if (bytes)
		rocksdb_writebatch_put_cf(batch, layout->families[family], key, size, bytes,
					  bytes_size);
	else
		rocksdb_writebatch_delete_cf(batch, layout->families[family], key, size);
	cr_assert_eq(layout_write(layout, batch, false), 0);
	rocksdb_writebatch_destroy(batch);
}

static inline void raw_put_bytes(const struct layout *layout, enum family family, const char *key,
				 size_t size, GBytes *bytes)
{
	raw_put(layout, family, key, size, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

static inline int check_tree(const struct crypt_store *secret)
{
	const struct layout *layout = layout_of(secret);

	return tree_sum_check(layout, layout->newest, store_revision(secret->store));
}
