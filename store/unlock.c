/* Opening what is encrypted, and changing the key of a store. */
#include "store/unlock.h"

#include "store/local.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

int unlock(const struct layout *layout, const struct store_key *key, struct sealer **ret)
{
	g_autoptr(GBytes) id = NULL, encoded = NULL;
	g_autofree char *id_text = NULL;
	struct seal_text stored;
	int r;

	r = layout_get_meta(layout, layout->newest, META_ID, &id, NULL);
	if (r == 0)
		r = layout_get_meta(layout, layout->newest, META_ENCRYPTION, &encoded, NULL);
	if (r < 0)
		return r;
	/* Keeping it from being swapped does not outlast a fork. */
	sodium_mlock(key->bytes, key->size);
	id_text = g_strndup(g_bytes_get_data(id, NULL), g_bytes_get_size(id));
	stored.bytes = g_bytes_get_data(encoded, &stored.size);
	return sealer_open(id_text, stored, key, ret);
}

int unlock_check(const char *path, bool encrypted, const struct store_key *key, char **ret_message)
{
	if (encrypted && !key) {
		*ret_message = g_strdup_printf(
			"cannot open store '%s': it is encrypted; give its key with "
			"--key-file=FILE, or its passphrase with --passphrase",
			path);
		return -ENOKEY;
	}
	if (!encrypted && key) {
		*ret_message = g_strdup_printf(
			"cannot open store '%s': a key was given, but it is not encrypted; open it "
			"without one if that is what you expect, otherwise find out who replaced "
			"it",
			path);
		return -EINVAL;
	}
	return 0;
}

int unlock_refuse(const char *action, const char *path, int error, const struct store_key *key,
		  char **ret_message)
{
	const char *why;
	int result = error;

	switch (error) {
	case -EKEYREJECTED:
		why = key->is_passphrase ? "the passphrase is wrong; nothing was changed" :
					   "the key is not the one it is encrypted with; nothing "
					   "was changed";
		break;
	case -EINVAL:
		why = key->is_passphrase ?
			      "it is encrypted with a key file; give that with --key-file=FILE" :
			      "it is encrypted with a passphrase; give that with --passphrase";
		break;
	case -ENOMEM:
		why = "there is not enough memory for its key (a passphrase takes 256 MiB)";
		break;
	case -EBUSY:
		why = "its key was changed too often since it was mounted last; mount it until "
		      "'reencrypting' in status is 0, then try again";
		break;
	case -EPROTO:
		why = "it is encrypted in a way that this release does not know; use a newer one";
		break;
	default:
		why = "damaged: its data keys cannot be read; nothing was changed; restore it from "
		      "a backup";
		result = -EUCLEAN;
	}
	*ret_message = g_strdup_printf("cannot %s store '%s': %s", action, path, why);
	return result;
}

/* ---- Changing the key ----------------------------------------------------------- */

/* What `meta` has is sealed anew in the batch that brings the new data key: so whoever takes
 * that key away again, to have others write with the old one, makes the store unreadable. */
static int batch_meta(const struct layout *layout, rocksdb_writebatch_t *batch)
{
	rocksdb_iterator_t *iterator = rocksdb_create_iterator_cf(layout->db, layout->newest,
								  layout->families[FAMILY_META]);
	char *error = NULL;
	int r = 0;

	rocksdb_iter_seek_to_first(iterator);
	for (; r == 0 && rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator))
		r = layout_batch_resealed(layout, batch, FAMILY_META, iterator);
	rocksdb_iter_get_error(iterator, &error);
	rocksdb_iter_destroy(iterator);
	return error ? layout_result("read", error) : r;
}

static int write_keys(const struct layout *layout)
{
	g_autoptr(GByteArray) encoded = sealer_encode(layout->sealer);
	rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
	int r;

	r = batch_meta(layout, batch);
	layout_batch_meta(layout, batch, META_ENCRYPTION, 0, encoded->data, encoded->len);
	rocksdb_writebatch_delete_cf(batch, layout->families[FAMILY_META], META_RESEALING,
				     strlen(META_RESEALING));
	if (r == 0)
		r = layout_write(layout, batch, true);
	rocksdb_writebatch_destroy(batch);
	return r;
}

/* What the old key opens leaves the files now, not when RocksDB comes to it. */
static int forget_old_wrapping(const struct layout *layout)
{
	int r = layout_flush(layout);

	if (r == 0)
		compactor_rewrite_all(layout, FAMILY_META);
	return r;
}

static int change_key(struct local *local, const struct store_key *new_key, char **ret_message)
{
	struct sealer *changed;
	int r;

	r = sealer_change(local->sealer, new_key, &changed);
	if (r < 0)
		return unlock_refuse("change the key of", local->path, r, new_key, ret_message);
	local->layout.sealer = changed;
	r = write_keys(&local->layout);
	if (r == 0)
		r = forget_old_wrapping(&local->layout);
	local->layout.sealer = local->sealer;
	sealer_free(changed);
	if (r < 0)
		*ret_message = g_strdup_printf("cannot change the key of store '%s': %s; it has "
					       "the old key, or the new one",
					       local->path, g_strerror(-r));
	return r;
}

int store_change_key(const char *path, const struct store_key *old_key,
		     const struct store_key *new_key, char **ret_message)
{
	struct store_options options;
	struct local *local;
	int r;

	store_options_init(&options);
	options.path = path;
	options.key = old_key;
	r = local_open(&options, LAYOUT_OPEN, &local, ret_message);
	if (r < 0)
		return r;
	r = local->sealer ? change_key(local, new_key, ret_message) :
			    unlock_check(path, false, new_key, ret_message);
	local_free(local);
	return r;
}
