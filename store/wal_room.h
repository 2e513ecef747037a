/* Room in the write-ahead log, made before a batch needs it.
 *
 * A file that grows costs two writes of the disk for each sync, its data and its size; one that
 * is written over costs one: a sync of one key took 113 us in place of 170, a commit 161 in place
 * of 271. So the log is kept some zeros ahead of what RocksDB writes to it; RocksDB reads zeros as
 * the end of a log, and cuts them off when it closes one. And a disk that is full is found out
 * while the batch can still be refused: a log that could not be appended to is of no use to
 * RocksDB any more.
 *
 * RocksDB tells neither where its log is nor how far it has come. Both are read off its own
 * descriptor, of which a duplicate is kept: that has the same offset. Where the descriptor
 * cannot be found there is no room, and all else is as without.
 *
 * Whoever writes to the log holds the room, shared; zeros are written by who holds it alone. */
#pragma once

#include <glib.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct wal_room {
	char *database;	       /* set once; NULL: in memory, there is no log */
	pthread_rwlock_t lock; /* shared: to write to the log */
	int fd;		       /* lock: duplicate of RocksDB's, of the newest log; -1: not known */
	gint64 end;	       /* lock: zeros, or blocks of the disk, reach as far as this */
	bool zeros;	       /* lock: it had begun when they were made */
	gint64 position;       /* atomic: after the last write */
	gint begun;	       /* atomic: it holds a batch that is durable */
	gint moved_on;	       /* atomic: RocksDB writes to another file now */
};

/* `database`: the directory of RocksDB's files; NULL: there are none. */
void wal_room_init(struct wal_room *room, const char *database);
void wal_room_done(struct wal_room *room);

/* Before a batch of `bytes` is written: makes room and holds it until wal_room_end.
 * -ENOSPC: there is none, and it is not held. */
int wal_room_begin(struct wal_room *room, uint64_t bytes);
/* The batch was written, or was not; `synced`: all of the log is durable. */
void wal_room_end(struct wal_room *room, bool synced);
