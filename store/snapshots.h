/* Snapshots that are held, and those that have a name. */
#pragma once

#include "store/history.h"
#include "store/store.h"

#include <pthread.h>

struct local;

/* A snapshot of RocksDB's, which several of ours may read through. */
struct rocks_hold {
	gint refs; /* atomic */
	const rocksdb_snapshot_t *rocks;
	uint64_t order; /* of taking; 1: the first */
};

struct local_snapshot {
	struct snapshot base; /* first */
	struct place place;
	rocksdb_readoptions_t *options;		/* of `place`; NULL: the head's are not its own */
	struct rocks_hold *hold;		/* the same */
	struct local_snapshot *previous, *next; /* open_snapshots.lock */
};

struct open_snapshots {
	pthread_mutex_t lock;
	struct local_snapshot *first; /* lock */
	uint64_t taken;		      /* lock: how many holds ever */
};

void open_snapshots_init(struct open_snapshots *open);
void open_snapshots_done(struct open_snapshots *open);
/* How many of those held now read through one of the first `taken` holds. */
uint64_t open_snapshots_count(struct open_snapshots *open, uint64_t taken);
/* How many holds were ever taken. */
uint64_t open_snapshots_taken(struct open_snapshots *open);

/* As store_snapshot. */
int snapshots_take(struct local *local, uint64_t revision, struct snapshot **ret);
/* As the engine's free_snapshot. */
void snapshots_free(struct snapshot *snapshot);

/* Named snapshots, in byte order of their names; local->time_lock guards them. */
struct snapshot_names {
	GPtrArray *names; /* struct snapshot_name */
};

void snapshot_names_init(struct snapshot_names *names);
void snapshot_names_done(struct snapshot_names *names);
/* Reads them from `meta`; before others use the store. */
int snapshot_names_load(struct local *local);
/* What `meta` has of a named snapshot, all but the name. -EIO: it is damaged. */
int snapshot_name_decode(const char *bytes, size_t size, struct named_snapshot *ret);
/* Their revisions in ascending order, as an array of uint64_t. */
GArray *snapshot_names_revisions(struct local *local);
/* True when one of `revisions` lies from `first` on before `end`. */
bool revisions_contain(const GArray *revisions, uint64_t first, uint64_t end);

/* As the calls of store.h. */
int snapshot_names_add(struct local *local, const char *name, uint64_t revision, uid_t uid,
		       uint64_t *ret);
int snapshot_names_drop(struct local *local, const char *name);
int snapshot_names_find(struct local *local, const char *name, uint64_t *ret);
int snapshot_names_list(struct local *local, store_snapshot_fn *visit, void *arg);
