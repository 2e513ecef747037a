/* Reading a tree: as it is in what RocksDB shows, or as it was at a revision. */
#pragma once

#include "store/layout.h"

/* Where to read: `options` choose what RocksDB shows (a snapshot of its, or the newest). */
struct place {
	const struct layout *layout;
	const rocksdb_readoptions_t *options;
	const rocksdb_snapshot_t *rocks; /* what they choose; NULL: the newest */
	uint64_t revision;		 /* as it was at this revision; 0: as it is there */
};

/* As snapshot_get and snapshot_list. */
int place_get(const struct place *place, const char *key, struct record **ret);
int place_list(const struct place *place, const char *directory, const char *after,
	       snapshot_visit_fn *visit, void *arg);

/* The revision at which `key`, absent now, was last deleted; 0: never, or not known. */
uint64_t history_deleted_revision(const struct place *place, const char *key);
