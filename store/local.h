/* The local engine: a store in RocksDB, in a directory or in memory.
 *
 * On disk a store is a directory with a marker file, written last when it is made, and
 * RocksDB's files in `db`. Whoever has the store open holds a lock on the marker. */
#pragma once

#include "store/committer.h"
#include "store/compact.h"
#include "store/engine.h"
#include "store/history.h"
#include "store/layout.h"
#include "store/snapshots.h"
#include "store/wal_room.h"

#include <pthread.h>

struct local {
	struct store base;	      /* first */
	struct layout layout;	      /* set once */
	struct sealer *sealer;	      /* set once: of `layout`; NULL: not encrypted */
	struct store_options options; /* set once; `path` is `path` below */
	char *path;		      /* set once; NULL: in memory */
	int marker;		      /* set once: the locked marker file; -1: in memory */
	bool encrypted;		      /* set once: what the marker file says */
	char id[37];		      /* set once */
	struct local_snapshot head;   /* set once */
	struct committer committer;
	struct open_snapshots open;
	struct compactor compactor;
	struct wal_room room;
	/* Names, and how oldest_revision moves. Before it no lock; behind it those of the
	 * compactor and of the open snapshots. */
	pthread_mutex_t time_lock;
	/* Of an encrypted store: writing to the tree. Behind time_lock; local_lock_tree(). */
	pthread_mutex_t tree_lock;
	pthread_mutex_t tree_gate;   /* before tree_lock, and only while that is waited for */
	struct snapshot_names names; /* time_lock */
	guint64 oldest_revision;     /* time_lock to change, atomic to look at */
	gint64 opened;		     /* set once: how often the store was opened */
	guint64 next_ino;	     /* atomic */
	guint64 revision;	     /* atomic: of the newest commit that can be read */
	gint read_only;		     /* atomic: a write failed */
	guint64 free_bytes;	     /* atomic: on the disk, when last looked at */
	guint64 written_bytes;	     /* atomic: since then */
	gint64 looked_ns;	     /* atomic: when that was, monotonic; 0: never */
	pthread_t sync_thread;	     /* STORE_SYNC_INTERVAL */
	bool sync_running;	     /* set once: there is one */
	pthread_mutex_t sync_lock;
	pthread_cond_t sync_wake;
	bool sync_stop; /* sync_lock */
};

/* An inode number is the opening that gave it, and so many bits of a count. */
#define LOCAL_INO_COUNTER_BITS 40

/* The newest revision that can be read. */
uint64_t local_revision(struct local *local);
/* The first from which on all can be read. */
uint64_t local_oldest(struct local *local);
/* The revision that the log ends with; 0: it has no entry, or one under another key. */
uint64_t local_last_commit(const struct local *local, const rocksdb_readoptions_t *options);
/* By the wall clock. */
int64_t local_now_ns(void);

/* Keeps others from writing to the tree. In turns: a mutex alone goes to whoever asks for it
 * all the time. */
void local_lock_tree(struct local *local);
void local_unlock_tree(struct local *local);

/* As layout_write. -EROFS: the store has failed before; it has when this returns -EIO. */
int local_write(struct local *local, rocksdb_writebatch_t *batch, bool sync);

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

/* What must be there before anything is read, and its end. */
void local_init(struct local *local);
void local_done(struct local *local);

/* Opens the database of a store, with the lock on it and, where it is encrypted, its key, and
 * nothing beyond: as store_open, of which it is the first half. What is in it is not looked
 * at. Free with local_free. */
int local_open(const struct store_options *options, enum layout_mode mode, struct local **ret,
	       char **ret_message);
/* Makes the directory `path` a store, durably: what it is told apart by. */
int local_write_marker(const char *path, uint64_t format);
/* Of one that was opened so far and not started. Accepts NULL. */
void local_free(struct local *local);

/* Starts what runs beside: the head, the committer, the syncing and compacting threads.
 * -EUCLEAN: *ret_damaged says what is damaged. */
int local_start(struct local *local, const char **ret_damaged);
