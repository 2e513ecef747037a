/* disk_shim: preloaded into the daemon, between it and its disk. See disk_shim.h for what it
 * is told, and disk_control.c for who tells it.
 *
 * Calls on files below the store's directory are counted; the n-th of a kind fails, or is
 * the last thing that the process does: so a test reaches every step of a commit, from the
 * write of the log to the answer, with no code for it in the product.
 *
 * For power cuts it keeps beside the store what a disk has for certain. `o.INODE` is what a
 * file held at its last sync, `d.INODE` the names a directory had at its own last sync, with
 * their inodes. A name that was not synced is not there, whatever became of the file; a file
 * that was not synced is empty. A deleted file that is still open somewhere keeps its inode
 * number, so each is kept open here. */
#define _GNU_SOURCE
#include "disk_shim.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FILES_MAX = 4096, HELD_FROM = 8192, FUSE_MAJOR = 10, FUSE_MINOR = 229 };

enum fd_kind { FD_UNKNOWN, FD_OTHER, FD_STORE, FD_LOG, FD_FUSE };

struct object {
	ino_t ino;
	off_t dirty; /* what is behind this offset was written since the last sync; -1: nothing */
};

static struct shim_control *control;
static const char *store;
static int shadow = -1; /* the directory; -1: none is kept */
static _Atomic char fds[FILES_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct object objects[FILES_MAX]; /* lock */
static unsigned object_count;		 /* lock */

#define NEXT(name) (__extension__(__typeof__(&name)) dlsym(RTLD_NEXT, #name))

/* ---- What is durable ------------------------------------------------------------ */

static void give_up(const char *what)
{
	fprintf(stderr, "disk_shim: cannot %s: %s\n", what, strerror(errno));
	abort();
}

/* NULL: it is not known yet. */
static struct object *find_object(ino_t ino)
{
	for (unsigned i = 0; i < object_count; i++)
		if (objects[i].ino == ino)
			return &objects[i];
	return NULL;
}

static struct object *object_of(ino_t ino)
{
	struct object *object = find_object(ino);

	if (object)
		return object;
	if (object_count == FILES_MAX)
		give_up("remember so many files");
	objects[object_count] = (struct object){ ino, -1 };
	return &objects[object_count++];
}

static void note_dirty(int fd, off_t from)
{
	struct object *object;
	struct stat status;

	if (shadow < 0 || fstat(fd, &status) < 0)
		return;
	pthread_mutex_lock(&lock);
	object = object_of(status.st_ino);
	if (object->dirty < 0 || from < object->dirty)
		object->dirty = from;
	pthread_mutex_unlock(&lock);
}

/* Brings the copy up to what the file is. The copy of a file that is being synced when the
 * process ends may be half of both: as on a disk, nobody was told yet. */
static void keep_file(int fd, const struct stat *status)
{
	struct object *object = object_of(status->st_ino);
	char name[32], buffer[65536], path[64];
	int source, copy;
	ssize_t n;

	if (object->dirty < 0)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	snprintf(name, sizeof(name), "o.%lu", (unsigned long)status->st_ino);
	source = NEXT(open)(path, O_RDONLY | O_CLOEXEC);
	copy = openat(shadow, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (source < 0 || copy < 0)
		give_up("keep a file");
	while ((n = NEXT(pread)(source, buffer, sizeof(buffer), object->dirty)) > 0) {
		if (NEXT(pwrite)(copy, buffer, (size_t)n, object->dirty) != n)
			give_up("keep a file");
		object->dirty += n;
	}
	if (NEXT(ftruncate)(copy, status->st_size) < 0)
		give_up("keep a file");
	NEXT(close)(source);
	NEXT(close)(copy);
	object->dirty = -1;
}

/* By way of a rename, so that it is whole. */
static void keep_directory(const char *path, ino_t ino)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	char name[32];
	FILE *file;
	int fd = openat(shadow, "new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!directory || !file)
		give_up("keep a directory");
	while ((entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			fprintf(file, "%lu %s\n", (unsigned long)entry->d_ino, entry->d_name);
	closedir(directory);
	fclose(file);
	snprintf(name, sizeof(name), "d.%lu", (unsigned long)ino);
	if (renameat(shadow, "new", shadow, name) < 0)
		give_up("keep a directory");
}

static void keep(int fd)
{
	struct stat status;
	char path[64];

	if (shadow < 0 || fstat(fd, &status) < 0)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	pthread_mutex_lock(&lock);
	if (S_ISDIR(status.st_mode))
		keep_directory(path, status.st_ino);
	else
		keep_file(fd, &status);
	pthread_mutex_unlock(&lock);
}

/* What lies there when the process begins is durable. */
static void keep_tree(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	struct stat status;

	if (!directory || stat(path, &status) < 0)
		give_up("keep the store");
	keep_directory(path, status.st_ino);
	while ((entry = readdir(directory))) {
		char child[4096];
		int fd;

		snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
		if (entry->d_name[0] == '.' || stat(child, &status) < 0)
			continue;
		if (S_ISDIR(status.st_mode)) {
			keep_tree(child);
			continue;
		}
		fd = NEXT(open)(child, O_RDONLY | O_CLOEXEC);
		object_of(status.st_ino)->dirty = 0;
		keep_file(fd, &status);
		fcntl(fd, F_DUPFD_CLOEXEC, HELD_FROM);
		NEXT(close)(fd);
	}
	closedir(directory);
}

static void hold_file(int fd)
{
	struct stat status;

	if (shadow < 0 || fstat(fd, &status) < 0 || S_ISDIR(status.st_mode))
		return;
	pthread_mutex_lock(&lock);
	if (!find_object(status.st_ino)) {
		object_of(status.st_ino);
		fcntl(fd, F_DUPFD_CLOEXEC, HELD_FROM);
	}
	pthread_mutex_unlock(&lock);
}

/* ---- Beginning ------------------------------------------------------------------ */

static void begin(void)
{
	const char *path = getenv(SHIM_CONTROL), *kept = getenv(SHIM_SHADOW);
	int fd = path ? NEXT(open)(path, O_RDWR | O_CLOEXEC) : -1;
	void *mapped;

	if (fd < 0)
		give_up("open the control file");
	mapped = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	NEXT(close)(fd);
	if (mapped == MAP_FAILED)
		give_up("map the control file");
	if (kept) {
		shadow = NEXT(open)(kept, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (shadow < 0)
			give_up("open the shadow");
		keep_tree(store);
	}
	control = mapped;
}

__attribute__((constructor)) static void find_store(void)
{
	store = getenv(SHIM_STORE);
}

/* Begins with the first file of the store: only the process that opens it is meant, and that
 * has closed by then whatever was open when it was forked. */
static bool is_in_store(const char *path)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (!store || !path || strncmp(path, store, strlen(store)) != 0)
		return false;
	pthread_once(&once, begin);
	return true;
}

/* ---- Counting ------------------------------------------------------------------- */

static void end_here(void)
{
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

/* 0, or the errno that the call fails with. Sets *ret_last when it is the last one. */
static int count_call(enum shim_kind kind, bool *ret_last)
{
	int action, left;

	*ret_last = false;
	if (!control)
		return 0;
	atomic_fetch_add(&control->calls[kind], 1);
	action = atomic_load(&control->action);
	if (action == SHIM_NOTHING || atomic_load(&control->kind) != (int)kind)
		return 0;
	left = atomic_fetch_sub(&control->left, 1);
	if (left > 1 || (left < 1 && action != SHIM_FAIL_FROM))
		return 0;
	atomic_fetch_add(&control->happened, 1);
	if (action == SHIM_KILL_BEFORE)
		end_here();
	*ret_last = action == SHIM_KILL_AFTER;
	return *ret_last ? 0 : atomic_load(&control->error);
}

/* Around a call: one that is `ours` is counted, and runs unless it is to fail. */
#define COUNTED(ours, kind, result, call)                           \
	do {                                                        \
		bool last = false;                                  \
		int error = (ours) ? count_call((kind), &last) : 0; \
                                                                    \
		if (error) {                                        \
			errno = error;                              \
			return -1;                                  \
		}                                                   \
		(result) = (call);                                  \
		if (last)                                           \
			end_here();                                 \
	} while (0)

static enum fd_kind look_at(int fd)
{
	struct stat status;

	if (fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) &&
	    status.st_rdev == makedev(FUSE_MAJOR, FUSE_MINOR))
		return FD_FUSE;
	return FD_OTHER;
}

static enum fd_kind kind_of(int fd)
{
	char kind;

	if (!control || fd < 0 || fd >= FILES_MAX)
		return FD_OTHER;
	kind = atomic_load(&fds[fd]);
	if (kind == FD_UNKNOWN) {
		kind = (char)look_at(fd);
		if (kind == FD_FUSE)
			atomic_store(&fds[fd], kind);
	}
	return (enum fd_kind)kind;
}

static bool is_store(int fd)
{
	enum fd_kind kind = kind_of(fd);

	return kind == FD_STORE || kind == FD_LOG;
}

/* ---- The calls ------------------------------------------------------------------ */

static int open_file(const char *path, int flags, mode_t mode)
{
	bool ours = is_in_store(path);
	size_t length = ours ? strlen(path) : 0;
	int fd;

	COUNTED(ours, SHIM_OPEN, fd, NEXT(open)(path, flags, mode));
	if (!ours || fd < 0 || fd >= FILES_MAX)
		return fd;
	atomic_store(&fds[fd],
		     length > 4 && strcmp(path + length - 4, ".log") == 0 ? FD_LOG : FD_STORE);
	if (flags & (O_WRONLY | O_RDWR)) {
		hold_file(fd);
		if (flags & O_TRUNC)
			note_dirty(fd, 0);
	}
	return fd;
}

int open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	va_start(args, flags);
	if (flags & O_CREAT)
		mode = va_arg(args, mode_t);
	va_end(args);
	return open_file(path, flags, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int close(int fd)
{
	if (fd >= 0 && fd < FILES_MAX)
		atomic_store(&fds[fd], FD_UNKNOWN);
	return NEXT(close)(fd);
}

/* A duplicate is as good as what it is one of. */
int fcntl(int fd, int command, ...)
{
	va_list args;
	void *arg;
	int r;

	va_start(args, command);
	arg = va_arg(args, void *);
	va_end(args);
	r = NEXT(fcntl)(fd, command, arg);
	if (command == F_DUPFD_CLOEXEC && r >= 0 && r < FILES_MAX && is_store(fd))
		atomic_store(&fds[r], atomic_load(&fds[fd]));
	return r;
}

int fcntl64(int fd, int command, ...)
{
	va_list args;
	void *arg;

	va_start(args, command);
	arg = va_arg(args, void *);
	va_end(args);
	return fcntl(fd, command, arg);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
	bool ours = is_store(fd);
	ssize_t n;

	COUNTED(ours, SHIM_WRITE, n, NEXT(write)(fd, bytes, size));
	if (ours && n > 0)
		note_dirty(fd, lseek(fd, 0, SEEK_CUR) - n);
	return n;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
	bool ours = is_store(fd);
	ssize_t n;

	COUNTED(ours, SHIM_WRITE, n, NEXT(pwrite)(fd, bytes, size, at));
	if (ours && n > 0)
		note_dirty(fd, at);
	return n;
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at)
{
	return pwrite(fd, bytes, size, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	ssize_t n;

	COUNTED(kind_of(fd) == FD_FUSE, SHIM_REPLY, n, NEXT(writev)(fd, parts, count));
	return n;
}

ssize_t read(int fd, void *bytes, size_t size)
{
	ssize_t n;

	COUNTED(is_store(fd), SHIM_READ, n, NEXT(read)(fd, bytes, size));
	return n;
}

ssize_t pread(int fd, void *bytes, size_t size, off_t at)
{
	ssize_t n;

	COUNTED(is_store(fd), SHIM_READ, n, NEXT(pread)(fd, bytes, size, at));
	return n;
}

ssize_t pread64(int fd, void *bytes, size_t size, off64_t at)
{
	return pread(fd, bytes, size, at);
}

typedef int sync_fn(int fd);

static int sync_file(int fd, sync_fn *next)
{
	if (!is_store(fd))
		return next(fd);
	if (atomic_load(&control->lying) && kind_of(fd) == FD_LOG)
		return 0;
	/* With a shadow, what the real disk does is of no interest. */
	if (shadow < 0 && next(fd) < 0)
		return -1;
	keep(fd);
	return 0;
}

int fsync(int fd)
{
	int r;

	COUNTED(is_store(fd), SHIM_SYNC, r, sync_file(fd, NEXT(fsync)));
	return r;
}

int fdatasync(int fd)
{
	int r;

	COUNTED(is_store(fd), SHIM_SYNC, r, sync_file(fd, NEXT(fdatasync)));
	return r;
}

int rename(const char *from, const char *to)
{
	int r;

	COUNTED(is_in_store(to), SHIM_RENAME, r, NEXT(rename)(from, to));
	return r;
}

int link(const char *from, const char *to)
{
	int r;

	COUNTED(is_in_store(to), SHIM_RENAME, r, NEXT(link)(from, to));
	return r;
}

int unlink(const char *path)
{
	int r;

	COUNTED(is_in_store(path), SHIM_REMOVE, r, NEXT(unlink)(path));
	return r;
}

int ftruncate(int fd, off_t size)
{
	bool ours = is_store(fd);
	int r;

	COUNTED(ours, SHIM_RESIZE, r, NEXT(ftruncate)(fd, size));
	if (ours && r == 0)
		note_dirty(fd, size);
	return r;
}

int ftruncate64(int fd, off64_t size)
{
	return ftruncate(fd, size);
}

int fallocate(int fd, int mode, off_t at, off_t size)
{
	int r;

	COUNTED(is_store(fd), SHIM_RESIZE, r, NEXT(fallocate)(fd, mode, at, size));
	return r;
}
