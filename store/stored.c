/* Records, log entries and what `meta` has, as bytes in RocksDB: as they are, or in boxes
 * where the store is encrypted, see seal.h. Head and tail of a box are for a record the
 * header and the value, for a log entry the numbers and the rest; what `meta` has is all
 * head. The revision that superseded a record of history lies before its box, and is bound
 * to it. */
#include "store/bytes.h"
#include "store/codec.h"
#include "store/layout.h"
#include "store/log.h"
#include "store/record.h"
#include "store/seal.h"

#include <errno.h>
#include <string.h>

static struct seal_text no_text(void)
{
	return (struct seal_text){ NULL, 0 };
}

static struct seal_text key_at(const rocksdb_iterator_t *iterator)
{
	struct seal_text text;

	text.bytes = rocksdb_iter_key(iterator, &text.size);
	return text;
}

static struct seal_text value_at(const rocksdb_iterator_t *iterator)
{
	struct seal_text text;

	text.bytes = rocksdb_iter_value(iterator, &text.size);
	return text;
}

static struct seal_place place_of(enum family family, struct seal_text key)
{
	return (struct seal_place){ .family = family, .key = key.bytes, .key_size = key.size };
}

/* ---- Reading: records ----------------------------------------------------------- */

static int open_value(const struct sealer *sealer, const struct seal_place *place,
		      const struct sealed *sealed, struct record *record)
{
	struct large *value = large_try_new(sealed->tail_size);

	if (!value)
		return -ENOMEM;
	if (seal_open_tail(sealer, place, sealed, large_data(value)) < 0) {
		large_free(value);
		return -EIO;
	}
	record_take_value(record, large_to_bytes(value, sealed->tail_size));
	return 0;
}

static int open_record(const struct sealer *sealer, const struct seal_place *place,
		       struct seal_text stored, bool with_value, struct record **ret)
{
	guint8 header[RECORD_HEADER_SIZE];
	g_autoptr(record) record = NULL;
	struct sealed sealed;
	int r;

	r = seal_open_head(sealer, place, stored, header, sizeof(header), &sealed);
	if (r == 0)
		r = record_decode(header, sizeof(header), false, &record);
	if (r < 0)
		return r;
	if (record_last_revision(record) != sealed.revision ||
	    (sealed.tail == NULL) != (record->type == RECORD_DIRECTORY || record->purged))
		return -EIO;
	record->size_bytes = sealed.tail_size;
	if (with_value && sealed.tail)
		r = open_value(sealer, place, &sealed, record);
	if (r == 0)
		*ret = g_steal_pointer(&record);
	return r;
}

static int decode_record(const struct layout *layout, const struct seal_place *place,
			 struct seal_text stored, bool with_value, struct record **ret)
{
	if (layout->sealer)
		return open_record(layout->sealer, place, stored, with_value, ret);
	return record_decode(stored.bytes, stored.size, with_value, ret);
}

int layout_decode_record(const struct layout *layout, const rocksdb_iterator_t *iterator,
			 bool with_value, struct record **ret)
{
	const struct seal_place place = place_of(FAMILY_KEYS, key_at(iterator));

	return decode_record(layout, &place, value_at(iterator), with_value, ret);
}

int layout_get_record(const struct layout *layout, const rocksdb_readoptions_t *options,
		      const struct stored_key *stored, struct record **ret)
{
	const struct seal_text key = { stored->bytes, stored->size };
	const struct seal_place place = place_of(FAMILY_KEYS, key);
	rocksdb_pinnableslice_t *slice;
	struct seal_text found;
	int r;

	r = layout_get(layout, options, FAMILY_KEYS, stored->bytes, stored->size, &slice);
	if (r < 0)
		return r;
	found.bytes = rocksdb_pinnableslice_value(slice, &found.size);
	r = decode_record(layout, &place, found, true, ret);
	rocksdb_pinnableslice_destroy(slice);
	return r;
}

/* Where a record of history is, and what follows the revision that superseded it. */
static int find_history(const rocksdb_iterator_t *iterator, struct seal_place *ret_place,
			struct seal_text *ret_stored)
{
	struct seal_text all = value_at(iterator);
	struct reader reader = reader_of(all.bytes, all.size);

	*ret_place = place_of(FAMILY_HISTORY, key_at(iterator));
	ret_place->superseded = read_u64(&reader);
	*ret_stored = (struct seal_text){ reader.at, reader.left };
	return reader.failed ? -EIO : 0;
}

int layout_decode_history(const struct layout *layout, const rocksdb_iterator_t *iterator,
			  bool with_value, uint64_t *ret_superseded, struct record **ret)
{
	struct seal_text stored;
	struct seal_place place;
	int r;

	r = find_history(iterator, &place, &stored);
	if (r == 0)
		r = decode_record(layout, &place, stored, with_value, ret);
	if (r == 0 && ret_superseded)
		*ret_superseded = place.superseded;
	return r;
}

int layout_decode_history_at(const struct layout *layout, const rocksdb_iterator_t *iterator,
			     uint64_t revision, bool with_value, struct record **ret)
{
	g_autoptr(record) record = NULL;
	struct seal_text stored;
	struct seal_place place;
	bool superseded;
	int r;

	r = find_history(iterator, &place, &stored);
	if (r < 0)
		return r;
	/* In a box this is known to be true when the head is open, which tells of the rest. */
	superseded = place.superseded <= revision;
	if (superseded && !layout->sealer)
		return -ENOENT;
	r = decode_record(layout, &place, stored, with_value && !superseded, &record);
	if (r < 0 || superseded)
		return r < 0 ? r : -ENOENT;
	*ret = g_steal_pointer(&record);
	return 0;
}

int layout_decode_superseded(const struct layout *layout, const rocksdb_iterator_t *iterator,
			     uint64_t *ret)
{
	guint8 header[RECORD_HEADER_SIZE];
	struct seal_text stored;
	struct seal_place place;
	struct sealed sealed;
	int r;

	r = find_history(iterator, &place, &stored);
	if (r == 0 && layout->sealer)
		r = seal_open_head(layout->sealer, &place, stored, header, sizeof(header), &sealed);
	if (r == 0)
		*ret = place.superseded;
	return r;
}

/* ---- Reading: the log ----------------------------------------------------------- */

struct log_box {
	char key[sizeof(uint64_t)];
	struct seal_place place;
	struct sealed sealed;
};

static int open_log_head(const struct sealer *sealer, uint64_t revision, struct seal_text stored,
			 guint8 *ret_head, struct log_box *ret)
{
	int r;

	layout_encode_number(revision, ret->key);
	ret->place = place_of(FAMILY_LOG, (struct seal_text){ ret->key, sizeof(ret->key) });
	r = seal_open_head(sealer, &ret->place, stored, ret_head, LOG_NUMBERS_SIZE, &ret->sealed);
	return r == 0 && (ret->sealed.revision != revision || !ret->sealed.tail) ? -EIO : r;
}

int layout_decode_log_numbers(const struct layout *layout, uint64_t revision, const char *bytes,
			      size_t size, struct log_entry *ret)
{
	const struct seal_text stored = { bytes, size };
	guint8 head[LOG_NUMBERS_SIZE];
	struct log_box box;
	int r;

	if (!layout->sealer)
		return log_decode_numbers(revision, bytes, size, ret);
	r = open_log_head(layout->sealer, revision, stored, head, &box);
	return r < 0 ? r : log_decode_numbers(revision, head, sizeof(head), ret);
}

int layout_decode_log(const struct layout *layout, uint64_t revision, const char *bytes,
		      size_t size, struct log_entry **ret)
{
	const struct seal_text stored = { bytes, size };
	g_autofree guint8 *plain = NULL;
	struct log_box box;
	int r;

	if (!layout->sealer)
		return log_decode(revision, bytes, size, ret);
	plain = g_try_malloc(size + LOG_NUMBERS_SIZE);
	if (!plain)
		return -ENOMEM;
	r = open_log_head(layout->sealer, revision, stored, plain, &box);
	if (r == 0)
		r = seal_open_tail(layout->sealer, &box.place, &box.sealed,
				   plain + LOG_NUMBERS_SIZE);
	return r < 0 ? r :
		       log_decode(revision, plain, LOG_NUMBERS_SIZE + box.sealed.tail_size, ret);
}

/* ---- Reading: meta -------------------------------------------------------------- */

static bool is_never_sealed(const char *name)
{
	return strcmp(name, META_FORMAT) == 0 || strcmp(name, META_ID) == 0 ||
	       strcmp(name, META_ENCRYPTION) == 0;
}

static int open_meta(const struct sealer *sealer, struct seal_text key, struct seal_text stored,
		     GBytes **ret, uint64_t *ret_revision)
{
	const struct seal_place place = place_of(FAMILY_META, key);
	g_autofree guint8 *plain = NULL;
	struct sealed sealed;
	size_t size;
	int r;

	if (stored.size < SEAL_HEAD_EXTRA)
		return -EIO;
	size = stored.size - SEAL_HEAD_EXTRA;
	plain = g_try_malloc(size + 1);
	if (!plain)
		return -ENOMEM;
	r = seal_open_head(sealer, &place, stored, plain, size, &sealed);
	if (r < 0)
		return r;
	*ret = g_bytes_new_take(g_steal_pointer(&plain), size);
	if (ret_revision)
		*ret_revision = sealed.revision;
	return 0;
}

int layout_get_meta(const struct layout *layout, const rocksdb_readoptions_t *options,
		    const char *name, GBytes **ret, uint64_t *ret_revision)
{
	rocksdb_pinnableslice_t *slice;
	struct seal_text found;
	int r;

	r = layout_get(layout, options, FAMILY_META, name, strlen(name), &slice);
	if (r < 0)
		return r;
	found.bytes = rocksdb_pinnableslice_value(slice, &found.size);
	if (layout->sealer && !is_never_sealed(name)) {
		const struct seal_text key = { name, strlen(name) };

		r = open_meta(layout->sealer, key, found, ret, ret_revision);
	} else {
		*ret = g_bytes_new(found.bytes, found.size);
		if (ret_revision)
			*ret_revision = 0;
	}
	rocksdb_pinnableslice_destroy(slice);
	return r;
}

int layout_get_number(const struct layout *layout, const rocksdb_readoptions_t *options,
		      const char *name, uint64_t *ret)
{
	g_autoptr(GBytes) bytes = NULL;
	struct reader reader;
	uint64_t number;
	int r;

	r = layout_get_meta(layout, options, name, &bytes, NULL);
	if (r < 0)
		return r;
	reader = reader_of(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
	number = read_u64(&reader);
	/* What is left over is of an encrypted store, of which this does not have the key. */
	if (reader.failed || reader.left)
		return -EIO;
	*ret = number;
	return 0;
}

int layout_peek_revision(const struct layout *layout, uint64_t *ret)
{
	rocksdb_pinnableslice_t *slice;
	struct reader reader;
	uint64_t format, revision;
	const char *bytes;
	size_t size;
	int r;

	r = layout_get_number(layout, layout->newest, META_FORMAT, &format);
	if (r < 0 || format != LAYOUT_FORMAT_ENCRYPTED)
		return r < 0 ? r : layout_get_number(layout, layout->newest, META_REVISION, ret);
	r = layout_get(layout, layout->newest, FAMILY_META, META_TREE_SUM, strlen(META_TREE_SUM),
		       &slice);
	if (r < 0)
		return r;
	bytes = rocksdb_pinnableslice_value(slice, &size);
	reader = reader_of(bytes, size);
	read_u32(&reader); /* the id of the data key */
	revision = read_u64(&reader);
	rocksdb_pinnableslice_destroy(slice);
	if (reader.failed)
		return -EIO;
	*ret = revision;
	return 0;
}

static int visit_meta(const struct layout *layout, const rocksdb_iterator_t *iterator,
		      layout_meta_fn *visit, void *arg)
{
	const struct seal_text key = key_at(iterator);
	const struct seal_text stored = value_at(iterator);
	g_autoptr(GBytes) plain = NULL;
	int r;

	if (!layout->sealer)
		return visit(key.bytes, key.size, stored.bytes, stored.size, arg);
	r = open_meta(layout->sealer, key, stored, &plain, NULL);
	if (r < 0)
		return r;
	return visit(key.bytes, key.size, g_bytes_get_data(plain, NULL), g_bytes_get_size(plain),
		     arg);
}

int layout_list_meta(const struct layout *layout, const char *prefix, layout_meta_fn *visit,
		     void *arg)
{
	rocksdb_iterator_t *iterator = rocksdb_create_iterator_cf(layout->db, layout->newest,
								  layout->families[FAMILY_META]);
	char *error = NULL;
	int r = 0;

	rocksdb_iter_seek(iterator, prefix, strlen(prefix));
	for (; r == 0 && rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator)) {
		const struct seal_text key = key_at(iterator);

		if (key.size < strlen(prefix) || memcmp(key.bytes, prefix, strlen(prefix)) != 0)
			break;
		r = visit_meta(layout, iterator, visit, arg);
	}
	rocksdb_iter_get_error(iterator, &error);
	if (error)
		r = layout_result("read", error);
	rocksdb_iter_destroy(iterator);
	return r;
}

/* ---- Writing -------------------------------------------------------------------- */

/* As it is: head, tail, and for history what comes before, gathered from where they are. */
static void put_plain(const struct layout *layout, rocksdb_writebatch_t *batch,
		      const struct seal_place *place, struct seal_text head, struct seal_text tail)
{
	char superseded[sizeof(uint64_t)];
	const char *keys[] = { place->key };
	const char *parts[] = { superseded, head.bytes, tail.bytes };
	size_t sizes[] = { place->family == FAMILY_HISTORY ? sizeof(superseded) : 0, head.size,
			   tail.size };

	layout_encode_number(place->superseded, superseded);
	rocksdb_writebatch_putv_cf(batch, layout->families[place->family], 1, keys,
				   &place->key_size, 3, parts, sizes);
}

/* In a box where the store is encrypted. -ENOMEM. */
static int put(const struct layout *layout, rocksdb_writebatch_t *batch,
	       const struct seal_place *place, uint64_t revision, struct seal_text head,
	       struct seal_text tail)
{
	g_autofree guint8 *box = NULL;
	struct seal_text sealed;

	if (!layout->sealer) {
		put_plain(layout, batch, place, head, tail);
		return 0;
	}
	box = seal_close(layout->sealer, place, revision, head, tail, &sealed.size);
	if (!box)
		return -ENOMEM;
	sealed.bytes = box;
	put_plain(layout, batch, place, sealed, no_text());
	return 0;
}

void layout_batch_meta(const struct layout *layout, rocksdb_writebatch_t *batch, const char *name,
		       uint64_t revision, const void *bytes, size_t size)
{
	const struct seal_text key = { name, strlen(name) };
	const struct seal_place place = place_of(FAMILY_META, key);
	const struct seal_text text = { bytes, size };

	g_assert(size < BYTES_LARGE - SEAL_HEAD_EXTRA);
	if (is_never_sealed(name))
		put_plain(layout, batch, &place, text, no_text());
	else
		(void)put(layout, batch, &place, revision, text, no_text()); /* not large */
}

void layout_batch_number(const struct layout *layout, rocksdb_writebatch_t *batch, const char *name,
			 uint64_t number)
{
	char bytes[sizeof(number)];

	layout_encode_number(number, bytes);
	layout_batch_meta(layout, batch, name, 0, bytes, sizeof(bytes));
}

static int batch_put(const struct layout *layout, rocksdb_writebatch_t *batch,
		     const struct seal_place *place, const struct record *record)
{
	guint8 header[RECORD_HEADER_SIZE];
	const struct seal_text head = { header, sizeof(header) };
	struct seal_text value = no_text();

	g_assert(record->type == RECORD_DIRECTORY || record->value || record->purged);
	record_encode_header(record, header);
	if (record->value) {
		value.bytes = g_bytes_get_data(record->value, &value.size);
		if (!value.bytes)
			value.bytes = ""; /* empty, but there */
	}
	return put(layout, batch, place, record_last_revision(record), head, value);
}

int layout_batch_record(const struct layout *layout, rocksdb_writebatch_t *batch, const char *key,
			const struct record *record)
{
	struct stored_key stored;
	struct seal_place place;

	stored_key_set(&stored, key, record->type == RECORD_DIRECTORY);
	place = place_of(FAMILY_KEYS, (struct seal_text){ stored.bytes, stored.size });
	return batch_put(layout, batch, &place, record);
}

int layout_batch_history(const struct layout *layout, rocksdb_writebatch_t *batch, const char *key,
			 const struct record *record, uint64_t revision)
{
	struct stored_key stored;
	struct seal_place place;

	stored_key_set(&stored, key, record->type == RECORD_DIRECTORY);
	stored_key_add_revision(&stored, record_last_revision(record));
	place = place_of(FAMILY_HISTORY, (struct seal_text){ stored.bytes, stored.size });
	place.superseded = revision;
	return batch_put(layout, batch, &place, record);
}

void layout_batch_delete(const struct layout *layout, rocksdb_writebatch_t *batch, const char *key,
			 const struct record *record)
{
	struct stored_key stored;

	stored_key_set(&stored, key, record->type == RECORD_DIRECTORY);
	rocksdb_writebatch_delete_cf(batch, layout->families[FAMILY_KEYS], stored.bytes,
				     stored.size);
}

int layout_batch_log(const struct layout *layout, rocksdb_writebatch_t *batch,
		     const struct log_entry *entry)
{
	g_autoptr(GBytes) encoded = log_encode(entry);
	char key[sizeof(uint64_t)];
	const struct seal_place place =
		place_of(FAMILY_LOG, (struct seal_text){ key, sizeof(key) });
	const guint8 *bytes;
	gsize size;

	if (!encoded)
		return -ENOMEM;
	bytes = g_bytes_get_data(encoded, &size);
	layout_encode_number(entry->revision, key);
	return put(layout, batch, &place, entry->revision,
		   (struct seal_text){ bytes, LOG_NUMBERS_SIZE },
		   (struct seal_text){ bytes + LOG_NUMBERS_SIZE, size - LOG_NUMBERS_SIZE });
}

/* ---- Writing anew --------------------------------------------------------------- */

static int reseal(const struct layout *layout, rocksdb_writebatch_t *batch,
		  const struct seal_place *place, struct seal_text stored, size_t head_size)
{
	g_autofree guint8 *head = g_try_malloc(head_size + 1);
	g_autofree guint8 *tail = NULL;
	struct sealed sealed;
	int r;

	if (!head)
		return -ENOMEM;
	r = seal_open_head(layout->sealer, place, stored, head, head_size, &sealed);
	if (r < 0)
		return r;
	if (sealed.tail) {
		tail = g_try_malloc(sealed.tail_size + 1);
		r = tail ? seal_open_tail(layout->sealer, place, &sealed, tail) : -ENOMEM;
	}
	if (r < 0)
		return r;
	return put(layout, batch, place, sealed.revision, (struct seal_text){ head, head_size },
		   (struct seal_text){ tail, sealed.tail_size });
}

int layout_batch_resealed(const struct layout *layout, rocksdb_writebatch_t *batch,
			  enum family family, const rocksdb_iterator_t *iterator)
{
	struct seal_place place = place_of(family, key_at(iterator));
	struct seal_text stored = value_at(iterator);
	size_t head_size = family == FAMILY_LOG ? LOG_NUMBERS_SIZE : RECORD_HEADER_SIZE;
	int r = 0;

	if (family == FAMILY_HISTORY)
		r = find_history(iterator, &place, &stored);
	if (r < 0 || seal_is_current(layout->sealer, stored))
		return r;
	if (family == FAMILY_META) {
		g_autofree char *name = g_strndup(place.key, place.key_size);

		if (is_never_sealed(name))
			return 0;
		if (stored.size < SEAL_HEAD_EXTRA)
			return -EIO;
		head_size = stored.size - SEAL_HEAD_EXTRA;
	}
	return reseal(layout, batch, &place, stored, head_size);
}
