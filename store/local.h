/* The local engine: a store in RocksDB, in a directory or in memory.
 *
 * On disk a store is a directory with a marker file, written last when it is made, and
 * RocksDB's files in `db`. Whoever has the store open holds a lock on the marker. */
#pragma once

#include "store/committer.h"
#include "store/engine.h"
#include "store/history.h"
#include "store/layout.h"

#include <pthread.h>

struct local_snapshot {
	struct snapshot base; /* first */
	struct place place;
	rocksdb_readoptions_t *options; /* of `place`; NULL: the head's are not its own */
};

struct local {
	struct store base;	      /* first */
	struct layout layout;	      /* set once */
	struct store_options options; /* set once; `path` is `path` below */
	char *path;		      /* set once; NULL: in memory */
	int marker;		      /* set once: the locked marker file; -1: in memory */
	char id[37];		      /* set once */
	uint64_t oldest_revision;     /* set once */
	struct local_snapshot head;   /* set once */
	struct committer committer;
	gint64 opened;	       /* set once: how often the store was opened */
	guint64 next_ino;      /* atomic */
	guint64 revision;      /* atomic: of the newest commit that can be read */
	gint read_only;	       /* atomic: a write failed */
	guint64 free_bytes;    /* atomic: on the disk, when last looked at */
	guint64 written_bytes; /* atomic: since then */
	gint64 looked_ns;      /* atomic: when that was, monotonic; 0: never */
	pthread_t sync_thread; /* STORE_SYNC_INTERVAL */
	bool sync_running;     /* set once: there is one */
	pthread_mutex_t sync_lock;
	pthread_cond_t sync_wake;
	bool sync_stop; /* sync_lock */
};

/* Free bytes on the disk, seen some milliseconds ago at most; UINT64_MAX in memory or when
 * not known. */
uint64_t local_free_bytes(struct local *local);
/* Bytes were written: what was seen of the disk holds for so many only. */
void local_note_written(struct local *local, uint64_t bytes);
/* Whether a batch of `bytes` may be written with `free_bytes` left. Deleting may use what
 * growing may not. */
bool local_has_space(uint64_t free_bytes, uint64_t bytes, bool growing);

/* The engine on an open layout. */
extern const struct store_engine local_engine;

/* Starts and stops what runs beside: the head, the committer, the syncing thread. */
int local_start(struct local *local);
