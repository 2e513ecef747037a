/* System calls on the mount, made by one of several processes: what a session is depends on
 * whose it is. Process 0 is the caller itself. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define PROCESSES 3
#define SLOTS 8 /* open files of one process */
#define DATA_MAX 100000

enum call_kind {
	CALL_OPEN,
	CALL_CLOSE,
	CALL_PREAD,
	CALL_PWRITE,
	CALL_APPEND, /* write(2) */
	CALL_FTRUNCATE,
	CALL_FSTAT,
	CALL_SEEK_END,
	CALL_FSYNC,
	CALL_LSTAT,
	CALL_TRUNCATE,
	CALL_UNLINK,
	CALL_MKDIR,
	CALL_RMDIR,
	CALL_RENAME,
	CALL_SYMLINK, /* data: what it leads to */
	CALL_READLINK,
	CALL_CHMOD,
	CALL_CHOWN, /* of a link itself; number: the uid, the gid is one more */
	CALL_UTIMENS,
	CALL_LIST,	 /* answers lines: type and name */
	CALL_READ_FILE,	 /* open, read all, close */
	CALL_WRITE_FILE, /* open without O_TRUNC, one write, close */
	CALL_COUNT,
};

extern const char *const call_names[CALL_COUNT];

struct call {
	enum call_kind kind;
	int slot;  /* of the open file */
	int flags; /* of open(2) and renameat2(2) */
	unsigned mode;
	int64_t number; /* offset, size, seconds, uid */
	uint32_t size;	/* of the data, or to be read */
	char path[192];
	char target[192];
	char data[DATA_MAX];
};

struct answer {
	int64_t result; /* what the call returned, or -errno */
	unsigned mode, uid, gid, links;
	uint64_t ino, bytes, blocks;
	int64_t mtime_s;
	uint32_t size;
	char data[DATA_MAX];
};

/* Forks the other processes. False: it has said why. */
bool calls_start(void);
void calls_stop(void);
/* Has `process` make the call. */
void calls_make(int process, const struct call *call, struct answer *ret);
