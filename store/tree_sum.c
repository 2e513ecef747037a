/* The sum of the tree: see tree_sum.h. */
#include "store/tree_sum.h"

#include "store/codec.h"
#include "store/record.h"
#include "store/seal.h"

#include <errno.h>
#include <string.h>

static void add(struct tree_sum *sum, const struct sealer *sealer, const char *stored_key,
		size_t size, const struct record *record)
{
	uint64_t fingerprint[2];

	seal_fingerprint(sealer, stored_key, size, record_last_revision(record), fingerprint);
	sum->parts[0] += fingerprint[0];
	sum->parts[1] += fingerprint[1];
}

static void add_record(struct tree_sum *sum, const struct sealer *sealer, const char *key,
		       const struct record *record)
{
	struct stored_key stored;

	stored_key_set(&stored, key, record->type == RECORD_DIRECTORY);
	add(sum, sealer, stored.bytes, stored.size, record);
}

void tree_sum_commit(struct tree_sum *sum, const struct layout *layout,
		     const struct log_entry *commit)
{
	struct tree_sum gone = { 0 };

	for (guint i = 0; i < commit->changes->len; i++) {
		const struct change *change = commit->changes->pdata[i];

		if (change->before)
			add_record(&gone, layout->sealer, change->key, change->before);
		if (change->after)
			add_record(sum, layout->sealer, change->key, change->after);
	}
	sum->parts[0] -= gone.parts[0];
	sum->parts[1] -= gone.parts[1];
}

void tree_sum_write(const struct tree_sum *sum, const struct layout *layout,
		    rocksdb_writebatch_t *batch, uint64_t revision)
{
	guint8 bytes[sizeof(sum->parts)];

	encode_u64(encode_u64(bytes, sum->parts[0]), sum->parts[1]);
	layout_batch_meta(layout, batch, META_TREE_SUM, revision, bytes, sizeof(bytes));
}

int tree_sum_read(const struct layout *layout, const rocksdb_readoptions_t *options,
		  uint64_t revision, struct tree_sum *ret)
{
	g_autoptr(GBytes) bytes = NULL;
	struct reader reader;
	struct tree_sum sum;
	uint64_t written;
	int r;

	r = layout_get_meta(layout, options, META_TREE_SUM, &bytes, &written);
	if (r < 0)
		return r == -ENOENT ? -EIO : r;
	reader = reader_of(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
	sum.parts[0] = read_u64(&reader);
	sum.parts[1] = read_u64(&reader);
	if (reader.failed || written != revision)
		return -EIO;
	*ret = sum;
	return 0;
}

/* ---- Checking ------------------------------------------------------------------- */

static int add_all(const struct layout *layout, rocksdb_iterator_t *iterator, struct tree_sum *sum)
{
	char *error = NULL;
	int r = 0;

	rocksdb_iter_seek_to_first(iterator);
	for (; r == 0 && rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator)) {
		g_autoptr(record) record = NULL;
		size_t size;
		const char *key = rocksdb_iter_key(iterator, &size);

		r = layout_decode_record(layout, iterator, false, &record);
		if (r == 0)
			add(sum, layout->sealer, key, size, record);
	}
	rocksdb_iter_get_error(iterator, &error);
	return error ? layout_result("read on in the tree", error) : r;
}

int tree_sum_check(const struct layout *layout, const rocksdb_readoptions_t *options,
		   uint64_t revision)
{
	struct tree_sum wanted, found = { 0 };
	rocksdb_iterator_t *iterator;
	int r;

	r = tree_sum_read(layout, options, revision, &wanted);
	if (r < 0)
		return r;
	iterator = rocksdb_create_iterator_cf(layout->db, options, layout->families[FAMILY_KEYS]);
	r = add_all(layout, iterator, &found);
	rocksdb_iter_destroy(iterator);
	if (r == 0 && memcmp(&wanted, &found, sizeof(wanted)) != 0)
		r = -EBADMSG;
	return r;
}
