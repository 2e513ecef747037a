/* What disk_shim.c, inside of the daemon, and disk_control.c, outside of it, share: a file
 * that both have mapped. So a test decides at any time which call is to fail or to be the
 * last, without mounting anew. */
#pragma once

#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

/* The environment that disk_shim.c reads: the control file, the directory of the store, and
 * (or not at all) the directory that takes what is durable. */
#define SHIM_CONTROL "COMMITFS_SHIM_CONTROL"
#define SHIM_STORE "COMMITFS_SHIM_STORE"
#define SHIM_SHADOW "COMMITFS_SHIM_SHADOW"

/* All but the last are calls on files of the store. */
enum shim_kind {
	SHIM_WRITE,
	SHIM_SYNC,
	SHIM_OPEN,
	SHIM_RENAME, /* and link */
	SHIM_REMOVE,
	SHIM_RESIZE, /* ftruncate, fallocate */
	SHIM_READ,
	SHIM_REPLY, /* writing to /dev/fuse: answers, and what the kernel is told */
	SHIM_KINDS,
};

enum shim_action {
	SHIM_NOTHING,
	SHIM_FAIL, /* that call alone */
	SHIM_FAIL_FROM,
	SHIM_KILL_BEFORE,
	SHIM_KILL_AFTER,
};

struct shim_control {
	_Atomic int action; /* set last */
	_Atomic int kind;
	_Atomic int left; /* calls of that kind until it happens */
	_Atomic int error;
	_Atomic int happened;
	_Atomic int lying; /* syncs of write-ahead logs do nothing and succeed */
	_Atomic unsigned calls[SHIM_KINDS];
};

/* The control file, mapped; `flags`: O_CREAT and O_TRUNC, or 0. NULL: errno says why. For those
 * outside of the daemon. */
static inline struct shim_control *shim_control_map(const char *path, int flags)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | flags, 0666);
	void *mapped = MAP_FAILED;

	if (fd < 0)
		return NULL;
	if (ftruncate(fd, sizeof(struct shim_control)) == 0)
		mapped = mmap(NULL, sizeof(struct shim_control), PROT_READ | PROT_WRITE, MAP_SHARED,
			      fd, 0);
	close(fd);
	return mapped == MAP_FAILED ? NULL : mapped;
}
