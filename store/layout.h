/* How a store lies in RocksDB, and the way to it.
 *
 * Column families:
 *   keys     stored key -> record. A value or symbolic link is stored under its key, a
 *            directory under its key and a slash, the root under "/". So what lies in a
 *            directory d is exactly what begins with "d/", d itself aside.
 *   history  stored key, NUL, inverted revision -> the revision that superseded it, and the
 *            record as it was from the first revision until the second.
 *   log      revision -> log entry
 *   meta     name -> number or text
 * and RocksDB's own `default`, empty. Numbers are big-endian. One batch writes all of a
 * commit, so that no crash can separate them. Keys hold no NUL: the history of a key comes
 * before that of every key it is a prefix of. */
#pragma once

#include "store/store.h"

#include <rocksdb/c.h>

enum family {
	FAMILY_DEFAULT,
	FAMILY_KEYS,
	FAMILY_HISTORY,
	FAMILY_LOG,
	FAMILY_META,
	FAMILY_COUNT,
};

/* Format 1 was never released. Format 3 is format 2 in boxes: see seal.h. */
#define LAYOUT_FORMAT 2
#define LAYOUT_FORMAT_ENCRYPTED 3
#define LAYOUT_FORMAT_OLDEST 2
#define LAYOUT_FORMAT_NEWEST 3

const char *layout_family_name(enum family family);

struct sealer;

/* Names in `meta`. The first three are never encrypted: they come before the keys. */
#define META_FORMAT "format"
#define META_ID "id"
#define META_ENCRYPTION "encryption" /* the data keys, wrapped; in an encrypted store only */
#define META_REVISION "revision"
#define META_OLDEST "oldest_revision"
#define META_OPENED "open_count"
#define META_COMPACTING "compacting" /* there while a compaction is not finished */
#define META_SNAPSHOT_PREFIX "snapshot/"
#define META_PURGE_PREFIX "purge/" /* and a key: there while that purge is not finished */
#define META_TREE_SUM "tree_sum"   /* of an encrypted store: see tree_sum.h */
#define META_RESEALING "resealing" /* how far reseal.c is; there until it is done */

struct layout {
	rocksdb_t *db;
	rocksdb_env_t *env; /* in memory only */
	rocksdb_cache_t *cache;
	rocksdb_options_t *options;
	rocksdb_options_t *family_options[FAMILY_COUNT];
	rocksdb_column_family_handle_t *families[FAMILY_COUNT];
	rocksdb_readoptions_t *newest; /* reads what is there at each call */
	const struct sealer *sealer;   /* borrowed, set after opening; NULL: not encrypted */
};

enum layout_mode {
	LAYOUT_CREATE,
	LAYOUT_OPEN,
	LAYOUT_OPEN_REST, /* what is left, though logs are missing that there should be */
	LAYOUT_COPY,	  /* as LAYOUT_OPEN, but nothing is made smaller beside */
	LAYOUT_READ,	  /* read-only, as LAYOUT_OPEN would find it */
	LAYOUT_SALVAGE,	  /* read-only, up to the first damage in the log */
	LAYOUT_TABLES,	  /* read-only, without the log */
};

/* Opens the database in directory `path` (NULL: a new one in memory). On an error
 * *ret_error is RocksDB's text, or that threads are not to be had (caller frees), and nothing
 * is open. */
int layout_open(struct layout *layout, const char *path, enum layout_mode mode, char **ret_error);
/* Writes what is in memory to tables first when `flush`, so that the log is left empty. */
void layout_close(struct layout *layout, bool flush);

/* Takes a text of RocksDB's (NULL: none), tells of it, and answers 0 or -EIO. */
int layout_result(const char *action, char *error);

/* A key as it is stored, with room for a history suffix. Long: keep few on a stack. */
struct stored_key {
	size_t size;
	char bytes[STORE_KEY_MAX + 1 + 1 + sizeof(uint64_t) + 1];
};

void stored_key_set(struct stored_key *stored, const char *key, bool directory);
/* Makes it the key in the history of the record that was last changed at `revision`. */
void stored_key_add_revision(struct stored_key *stored, uint64_t revision);

/* What is stored, in *ret (caller destroys). -ENOENT, -EIO. */
int layout_get(const struct layout *layout, const rocksdb_readoptions_t *options,
	       enum family family, const void *key, size_t key_size, rocksdb_pinnableslice_t **ret);

/* Writes `batch`. -ENOSPC: nothing was written, and it may be tried again. -EIO: nothing is
 * known of what was written; nothing may be written any more. */
int layout_write(const struct layout *layout, rocksdb_writebatch_t *batch, bool sync);
/* Writes all that is in memory to tables. -ENOSPC, -EIO. */
int layout_flush(const struct layout *layout);
/* How much that is, at most. */
uint64_t layout_memory_bytes(const struct layout *layout);
/* The key of a log entry, and of numbers. */
void layout_encode_number(uint64_t number, char ret[static sizeof(uint64_t)]);
uint64_t layout_decode_number(const char bytes[static sizeof(uint64_t)]);

/* ---- What is stored: plain, or sealed where the store is encrypted -------------- */

/* The record stored under `stored`. -ENOENT, -EIO. */
int layout_get_record(const struct layout *layout, const rocksdb_readoptions_t *options,
		      const struct stored_key *stored, struct record **ret);

/* A number in `meta`. -ENOENT, -EIO. */
int layout_get_number(const struct layout *layout, const rocksdb_readoptions_t *options,
		      const char *name, uint64_t *ret);
/* Whatever it is; with the revision that it was written at (may be NULL), in an encrypted store;
 * otherwise 0. */
int layout_get_meta(const struct layout *layout, const rocksdb_readoptions_t *options,
		    const char *name, GBytes **ret, uint64_t *ret_revision);
/* The revision of the newest commit, without the key: in an encrypted store it lies before the
 * box of the sum of the tree, and those who open that find out whether it is right.
 * -ENOENT, -EIO. */
int layout_peek_revision(const struct layout *layout, uint64_t *ret);
/* Visits what `meta` has under names that begin with `prefix`, in order. */
typedef int layout_meta_fn(const char *key, size_t key_size, const char *bytes, size_t size,
			   void *arg);
int layout_list_meta(const struct layout *layout, const char *prefix, layout_meta_fn *visit,
		     void *arg);

/* What an iterator is at: a record of `keys`, or of history (ret_superseded may be NULL), or
 * an entry of the log, completely or its numbers. -EIO: it is damaged. */
int layout_decode_record(const struct layout *layout, const rocksdb_iterator_t *iterator,
			 bool with_value, struct record **ret);
int layout_decode_history(const struct layout *layout, const rocksdb_iterator_t *iterator,
			  bool with_value, uint64_t *ret_superseded, struct record **ret);
/* The record of history, when it is what there was at `revision`. -ENOENT: it was superseded by
 * then; in an encrypted store that is certain as well. */
int layout_decode_history_at(const struct layout *layout, const rocksdb_iterator_t *iterator,
			     uint64_t revision, bool with_value, struct record **ret);
/* The revision that superseded it, without the rest. */
int layout_decode_superseded(const struct layout *layout, const rocksdb_iterator_t *iterator,
			     uint64_t *ret);
int layout_decode_log(const struct layout *layout, uint64_t revision, const char *bytes,
		      size_t size, struct log_entry **ret);
int layout_decode_log_numbers(const struct layout *layout, uint64_t revision, const char *bytes,
			      size_t size, struct log_entry *ret);

/* Each adds to `batch`. -ENOMEM, of those that say so: what is to be added is large, and there
 * is no memory for it; the batch is as it was. What is in meta is not large. */
void layout_batch_meta(const struct layout *layout, rocksdb_writebatch_t *batch, const char *name,
		       uint64_t revision, const void *bytes, size_t size);
void layout_batch_number(const struct layout *layout, rocksdb_writebatch_t *batch, const char *name,
			 uint64_t number);
/* Writes one record under its key. -ENOMEM. */
int layout_batch_record(const struct layout *layout, rocksdb_writebatch_t *batch, const char *key,
			const struct record *record);
/* Writes one record to the history, superseded at `revision`. -ENOMEM. */
int layout_batch_history(const struct layout *layout, rocksdb_writebatch_t *batch, const char *key,
			 const struct record *record, uint64_t revision);
void layout_batch_delete(const struct layout *layout, rocksdb_writebatch_t *batch, const char *key,
			 const struct record *record);
/* -ENOMEM. */
int layout_batch_log(const struct layout *layout, rocksdb_writebatch_t *batch,
		     const struct log_entry *entry);

/* Writes what the iterator is at, of `family`, sealed by the current data key, when it is not.
 * Of an encrypted store. -EIO: it is damaged, and stays as it is; -ENOMEM. */
int layout_batch_resealed(const struct layout *layout, rocksdb_writebatch_t *batch,
			  enum family family, const rocksdb_iterator_t *iterator);
