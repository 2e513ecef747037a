/* Sealing everything by the current data key, the tree, the history and the log, in the order
 * of enum family: see reseal.h.
 *
 * Records of the tree are what commits write too, so a step over them keeps commits from
 * being written meanwhile (local_lock_tree); it is short. History and log are written
 * once, and changed by nobody but this thread. `meta` was sealed anew when the key was
 * changed. */
#include "store/reseal.h"

#include "store/codec.h"
#include "store/local.h"
#include "store/seal.h"

#include <errno.h>
#include <string.h>

/* So many are looked at in a step, and of those that are sealed by an old key so many bytes
 * written. Looking has to be faster than commits are, or it would never end. */
#define STEP_RECORDS 2000
#define STEP_BYTES ((size_t)64 * 1024)

struct reseal {
	struct local *local;
	enum family family; /* FAMILY_DEFAULT: all are done but the end */
	GByteArray *next;   /* key to go on from */
	uint64_t done, total, damaged;
	uint64_t last_revision; /* commits behind this were sealed by the current key */
};

/* ---- Where it is ---------------------------------------------------------------- */

static void batch_position(const struct reseal *reseal, rocksdb_writebatch_t *batch)
{
	const struct layout *layout = &reseal->local->layout;
	g_autoptr(GByteArray) bytes = g_byte_array_new();
	guint8 head[sizeof(uint32_t) + sizeof(uint64_t) + 1];
	guint8 *at = encode_u32(head, sealer_current(layout->sealer));

	at = encode_u64(at, reseal->done);
	encode_u8(at, (uint8_t)reseal->family);
	g_byte_array_append(bytes, head, sizeof(head));
	g_byte_array_append(bytes, reseal->next->data, reseal->next->len);
	layout_batch_meta(layout, batch, META_RESEALING, 0, bytes->data, bytes->len);
}

static int read_position(struct reseal *reseal)
{
	const struct layout *layout = &reseal->local->layout;
	g_autoptr(GBytes) bytes = NULL;
	struct reader reader;
	uint32_t key_id;
	int r;

	r = layout_get_meta(layout, layout->newest, META_RESEALING, &bytes, NULL);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	reader = reader_of(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
	key_id = read_u32(&reader);
	reseal->done = read_u64(&reader);
	reseal->family = read_u8(&reader);
	if (reader.failed || key_id != sealer_current(layout->sealer) ||
	    reseal->family > FAMILY_LOG)
		return -EIO;
	g_byte_array_append(reseal->next, reader.at, (guint)reader.left);
	return 0;
}

static uint64_t estimate_total(const struct layout *layout)
{
	uint64_t total = 0;

	for (enum family family = FAMILY_KEYS; family <= FAMILY_LOG; family++) {
		uint64_t some = 0;

		rocksdb_property_int_cf(layout->db, layout->families[family],
					"rocksdb.estimate-num-keys", &some);
		total += some;
	}
	return total;
}

int reseal_new(struct local *local, struct reseal **ret)
{
	struct reseal *reseal;
	int r;

	*ret = NULL;
	if (!local->sealer || !sealer_has_old(local->sealer))
		return 0;
	reseal = g_new0(struct reseal, 1);
	reseal->local = local;
	reseal->family = FAMILY_KEYS;
	reseal->next = g_byte_array_new();
	reseal->total = estimate_total(&local->layout);
	reseal->last_revision = local_revision(local);
	r = read_position(reseal);
	if (r < 0) {
		reseal_free(reseal);
		return r;
	}
	*ret = reseal;
	return 0;
}

void reseal_free(struct reseal *reseal)
{
	if (!reseal)
		return;
	g_byte_array_unref(reseal->next);
	g_free(reseal);
}

void reseal_get_progress(const struct reseal *reseal, uint64_t *ret_done, uint64_t *ret_total)
{
	*ret_done = reseal->done;
	*ret_total = MAX(reseal->total, reseal->done);
}

/* ---- Steps ---------------------------------------------------------------------- */

static int reseal_record(struct reseal *reseal, rocksdb_writebatch_t *batch,
			 const rocksdb_iterator_t *iterator)
{
	int r = layout_batch_resealed(&reseal->local->layout, batch, reseal->family, iterator);

	reseal->done++;
	if (r != -EIO)
		return r;
	if (reseal->damaged++ == 0)
		g_warning("store: a record of '%s' is damaged and cannot be encrypted anew",
			  layout_family_name(reseal->family));
	return 0;
}

/* False: there is nothing more to do in the family. */
static bool is_before_end(const struct reseal *reseal, const rocksdb_iterator_t *iterator)
{
	struct reader reader;
	const char *key;
	size_t size;

	if (!rocksdb_iter_valid(iterator))
		return false;
	if (reseal->family != FAMILY_LOG)
		return true;
	key = rocksdb_iter_key(iterator, &size);
	reader = reader_of(key, size);
	return read_u64(&reader) <= reseal->last_revision;
}

/* Goes on in the family, and sets where the next step begins: reseal->next is empty. */
static int read_step(struct reseal *reseal, rocksdb_iterator_t *iterator,
		     rocksdb_writebatch_t *batch)
{
	size_t size = 0;

	for (int i = 0; i < STEP_RECORDS && size < STEP_BYTES; i++) {
		int r;

		if (!is_before_end(reseal, iterator))
			break;
		r = reseal_record(reseal, batch, iterator);
		if (r < 0)
			return r;
		rocksdb_writebatch_data(batch, &size);
		rocksdb_iter_next(iterator);
	}
	if (is_before_end(reseal, iterator)) {
		const char *key = rocksdb_iter_key(iterator, &size);

		g_byte_array_append(reseal->next, (const guint8 *)key, (guint)size);
	} else {
		reseal->family = reseal->family == FAMILY_LOG ? FAMILY_DEFAULT : reseal->family + 1;
	}
	return 0;
}

static int write_step(struct reseal *reseal, rocksdb_writebatch_t *batch)
{
	struct local *local = reseal->local;
	size_t size;

	/* The next opening has to find what is damaged too, or it would drop the old data keys. */
	if (!reseal->damaged)
		batch_position(reseal, batch);
	if (rocksdb_writebatch_count(batch) == 0)
		return 0;
	rocksdb_writebatch_data(batch, &size);
	if (!local_has_space(local_free_bytes(local), size, true))
		return -ENOSPC;
	return local_write(local, batch, false);
}

/* REQUIRES(local->tree_lock) in the tree */
static int step(struct reseal *reseal, rocksdb_writebatch_t *batch)
{
	const struct layout *layout = &reseal->local->layout;
	const struct reseal began = *reseal;
	rocksdb_iterator_t *iterator;
	char *error = NULL;
	int r;

	iterator = rocksdb_create_iterator_cf(layout->db, layout->newest,
					      layout->families[reseal->family]);
	rocksdb_iter_seek(iterator, (const char *)began.next->data, began.next->len);
	reseal->next = g_byte_array_new();
	r = read_step(reseal, iterator, batch);
	rocksdb_iter_get_error(iterator, &error);
	rocksdb_iter_destroy(iterator);
	if (error)
		r = layout_result("read on to encrypt anew", error);
	if (r == 0)
		r = write_step(reseal, batch);
	if (r < 0) {
		g_byte_array_unref(reseal->next);
		*reseal = began;
	} else {
		g_byte_array_unref(began.next);
	}
	return r;
}

/* ---- The end -------------------------------------------------------------------- */

static int drop_keys(struct reseal *reseal)
{
	struct local *local = reseal->local;
	const struct layout *layout = &local->layout;
	g_autoptr(GByteArray) encoded = sealer_encode_current(layout->sealer);
	rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
	int r;

	layout_batch_meta(layout, batch, META_ENCRYPTION, 0, encoded->data, encoded->len);
	rocksdb_writebatch_delete_cf(batch, layout->families[FAMILY_META], META_RESEALING,
				     strlen(META_RESEALING));
	r = local_write(local, batch, true);
	rocksdb_writebatch_destroy(batch);
	if (r == 0)
		r = layout_flush(layout);
	if (r == 0)
		compactor_rewrite_all(layout, FAMILY_META);
	return r;
}

/* What was sealed by old data keys leaves the files, then those keys do. */
static int finish(struct reseal *reseal)
{
	int r;

	if (reseal->damaged)
		return -EBADMSG;
	r = layout_flush(&reseal->local->layout);
	for (enum family family = FAMILY_KEYS; r == 0 && family <= FAMILY_LOG; family++)
		r = compactor_rewrite(&reseal->local->compactor, family);
	return r < 0 ? r : drop_keys(reseal);
}

int reseal_step(struct reseal *reseal)
{
	bool in_tree = reseal->family == FAMILY_KEYS;
	rocksdb_writebatch_t *batch;
	int r;

	if (reseal->family == FAMILY_DEFAULT)
		return finish(reseal);
	batch = rocksdb_writebatch_create();
	if (in_tree)
		local_lock_tree(reseal->local);
	r = step(reseal, batch);
	if (in_tree)
		local_unlock_tree(reseal->local);
	rocksdb_writebatch_destroy(batch);
	return r < 0 ? r : 1;
}
