/* The write-ahead log of RocksDB, looked at before RocksDB does.
 *
 * RocksDB cannot tell all damage from a crash: a record that claims to go on behind the end of
 * the file, or a stretch of zeros, ends its reading without a word, though commits that were
 * acknowledged lie behind; and a last group of which the disk has kept only some pages it
 * refuses, though nobody was told of it. Here the rule of the store is applied: a group is
 * written when the one before it is durable, so what is behind a gap in the last group that
 * was begun was promised to nobody, and a group that lies behind another one that is not
 * whole says that this was damaged.
 *
 * That a disk has lost the last group entirely, or cut it, or lost the last of several files,
 * after it said that all was durable, leaves no trace and is not found. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A block of a log, and what each fragment in it has before its bytes. */
enum { WAL_BLOCK = 32768, WAL_HEADER = 7 };

/* The number of the log that a file of this name is; 0: it is none. */
uint64_t wal_number(const char *name);

enum wal_state {
	WAL_WHOLE,
	WAL_TORN,    /* in the last group: to be forgiven */
	WAL_DAMAGED, /* anywhere else */
};

/* Where the log of a store ends being whole. */
struct wal_report {
	enum wal_state state;
	uint64_t
		number; /* of the file, 0: there is none; RocksDB calls it NUMBER.log, with six digits */
	uint64_t offset;   /* in it, of the first group that is not whole; UINT64_MAX: its end */
	uint64_t revision; /* the newest before that; 0: the log does not say */
};

#define WAL_ALL UINT64_MAX

/* Looks at the log in the directory `database`, at the files with numbers from `from` to below
 * `before`; what is in others RocksDB may need no more.
 * `thorough`: checks every checksum; otherwise only those that matter for what RocksDB would
 * not find, as long as all seems whole. -EIO: a file cannot be read, which was said; -ENOMEM:
 * not at once. */
int wal_examine(const char *database, bool thorough, uint64_t from, uint64_t before,
		struct wal_report *ret);

/* Cuts off what is behind a torn end. -errno. */
int wal_forgive(const char *database, const struct wal_report *report);

/* Cuts off what is behind damage, and keeps the files it changes, as they were, in the directory
 * `lost`, which it makes. -errno. */
int wal_give_up(const char *database, const char *lost, const struct wal_report *report);
