/* A check under way: what the files of it share. */
#pragma once

#include "store/check.h"
#include "store/local.h"
#include "store/sorter.h"

/* At most so many keys are named of those where log and history differ. */
#define CHECK_NAMED_MAX 1000

struct check {
	const struct store_check_options *options;
	struct store_check_result *result;
	struct local *local;
	const struct layout *layout;
	rocksdb_readoptions_t *read;
	uint64_t newest;     /* the counter, or the log's last revision if that is more */
	uint64_t oldest;     /* oldest_revision */
	uint64_t opened;     /* open_count */
	uint64_t opened_ino; /* the highest opening that an inode number tells of */
	bool compacting;     /* a pass is to be made: what it removes may be there */
	bool leftovers;	     /* there was something that it should have removed */
	GArray *kept;	     /* revisions that have a name, in ascending order */
	struct sorter *sorter;

	/* The second time through, when only the names of keys are wanted. */
	GHashTable *wanted; /* entries of the sorter as GBytes -> enum; NULL: first time */
	uint64_t unnamed;   /* problems beyond CHECK_NAMED_MAX */
};

enum check_repair { CHECK_LEFT, CHECK_REPAIRABLE };

/* Tells of a problem. True: it is repairable and to be repaired now. The second time
 * through, nothing is told. */
bool check_report(struct check *check, const char *kind, enum check_repair repair,
		  const char *format, ...) G_GNUC_PRINTF(4, 5);

/* Writes a repair. Takes `batch`. */
int check_write(struct check *check, rocksdb_writebatch_t *batch);

/* Tells of one record more, once. */
void check_count(struct check *check, const char *what, uint64_t *count);

/* A stored key for people: escaped, in quotes, without what its form adds. Caller frees. */
char *check_name(const char *key, size_t size);

/* 0 when the iterator is only at its end; otherwise tells why not. */
int check_iterator(struct check *check, enum family family, const rocksdb_iterator_t *iterator);

/* ---- What the files have to agree on -------------------------------------------- */

enum check_source { SOURCE_LOG, SOURCE_TREE };

/* `key` was changed at `revision`, so says `source`; the log calls it, or may call it, one
 * of `kinds`: bits, 1 << enum change_kind. The size is that of the key, whatever follows. */
int check_add_change(struct check *check, uint64_t revision, const char *key, size_t size,
		     enum check_source source, unsigned kinds);
/* There is a log entry for `revision`. */
int check_add_commit(struct check *check, uint64_t revision);
/* `key` has the inode number `ino` now. */
int check_add_ino(struct check *check, uint64_t ino, const char *key, size_t size);

/* Compares what was added, after the first time through; *ret: a second time is needed. */
int check_compare(struct check *check, bool *ret);

/* keys and history: check_tree.c, with check_chain.c. 1: it could not be read to its end. */
int check_tree(struct check *check);
/* The log: check_log.c. The same. */
int check_log(struct check *check);
