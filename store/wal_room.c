/* See wal_room.h. That no zero is ever written over a record: zeros begin at the offset of
 * RocksDB's own descriptor, with the room held alone, so that nobody is writing; and what
 * RocksDB has taken it has written by then, since it keeps nothing back. */
#include "store/wal_room.h"

#include "store/wal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK ((int64_t)512 * 1024)
#define PAGE ((int64_t)4096)
#define ZEROS ((int64_t)64 * 1024)

/* ---- RocksDB's descriptor ------------------------------------------------------- */

/* The number of the log that `link`, a name in /proc/self/fd, is open on; 0: it is none. */
static uint64_t log_number(const struct wal_room *room, const char *link)
{
	g_autofree char *path = g_strdup_printf("/proc/self/fd/%s", link);
	g_autofree char *target = g_file_read_link(path, NULL);
	size_t length = strlen(room->database);

	if (!target || strncmp(target, room->database, length) != 0 || target[length] != '/')
		return 0;
	return wal_number(target + length + 1);
}

/* A duplicate of a descriptor that may be closed, and be another one, at any time. -1: it is
 * not one that log `number` is written by any more. */
static int duplicate(const struct wal_room *room, const char *link, uint64_t number)
{
	int fd = fcntl((int)g_ascii_strtoll(link, NULL, 10), F_DUPFD_CLOEXEC, 0);
	g_autofree char *copy = g_strdup_printf("%d", fd);

	if (fd < 0)
		return -1;
	if (log_number(room, copy) == number && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY)
		return fd;
	close(fd);
	return -1;
}

/* The one that the newest log is written by: RocksDB writes to no other. -1: not found. */
static int find_log(const struct wal_room *room)
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;
	uint64_t newest = 0;
	int found = -1;

	while (directory && (entry = readdir(directory))) {
		uint64_t number = log_number(room, entry->d_name);
		int fd = number > newest ? duplicate(room, entry->d_name, number) : -1;

		if (fd < 0)
			continue;
		if (found >= 0)
			close(found);
		found = fd;
		newest = number;
	}
	if (directory)
		closedir(directory);
	return found;
}

/* -1: not known. */
static int64_t get_position(const struct wal_room *room)
{
	return room->fd < 0 ? -1 : lseek(room->fd, 0, SEEK_CUR);
}

static void follow(struct wal_room *room)
{
	if (room->fd >= 0)
		close(room->fd);
	room->fd = find_log(room);
	room->end = 0;
	room->position = get_position(room);
	room->zeros = false;
	room->begun = 0;
	room->moved_on = 0;
	if (room->fd < 0)
		g_clear_pointer(&room->database, free); /* not to look for it each time */
}

/* ---- Making room ---------------------------------------------------------------- */

/* Zeros up to `end`, or as far as there is space. Returns how far. */
static int64_t write_zeros(int fd, int64_t at, int64_t end)
{
	static const char zeros[ZEROS];

	while (at < end) {
		ssize_t n = pwrite(fd, zeros, (size_t)MIN(end - at, ZEROS), at);

		if (n <= 0)
			break;
		at += n;
	}
	return at;
}

/* Blocks of the disk for `size` bytes. False: it is full; anything else the write finds out. */
static bool reserve(int fd, int64_t at, int64_t size)
{
	return fallocate(fd, FALLOC_FL_KEEP_SIZE, at, size) == 0 ||
	       (errno != ENOSPC && errno != EDQUOT);
}

/* For `needed` bytes behind `position`. A log that holds nothing durable gets no zeros: one of
 * zeros alone is one that a disk has lost. What is large gets blocks only, not to be written
 * twice. */
static int extend(struct wal_room *room, int64_t position, int64_t needed)
{
	int64_t size = MAX(needed, CHUNK);

	room->zeros = g_atomic_int_get(&room->begun);
	if (needed <= CHUNK && room->zeros) {
		room->end =
			write_zeros(room->fd, position, (position + CHUNK) / PAGE * PAGE + PAGE);
		if (room->end >= position + needed)
			return 0;
	}
	if (!reserve(room->fd, position, size)) {
		size = needed;
		if (!reserve(room->fd, position, size))
			return -ENOSPC;
	}
	room->end = position + size;
	return 0;
}

static bool has_room(const struct wal_room *room, int64_t needed)
{
	int64_t position = get_position(room);

	return position >= 0 && position + needed <= room->end &&
	       !g_atomic_int_get(&room->moved_on) &&
	       (room->zeros || !g_atomic_int_get(&room->begun));
}

/* Under the lock, held alone. */
static int make_room(struct wal_room *room, int64_t needed)
{
	if (room->fd < 0 || g_atomic_int_get(&room->moved_on))
		follow(room);
	if (room->fd < 0 || has_room(room, needed))
		return 0;
	return extend(room, get_position(room), needed);
}

/* ---- For those who write -------------------------------------------------------- */

void wal_room_init(struct wal_room *room, const char *database)
{
	*room = (struct wal_room){ .fd = -1 };
	/* As the kernel tells it. */
	room->database = database ? realpath(database, NULL) : NULL;
	pthread_rwlock_init(&room->lock, NULL);
}

void wal_room_done(struct wal_room *room)
{
	if (room->fd >= 0)
		close(room->fd);
	pthread_rwlock_destroy(&room->lock);
	free(room->database);
}

int wal_room_begin(struct wal_room *room, uint64_t bytes)
{
	/* A fragment at least for each block that it lies in. */
	int64_t needed = (int64_t)(bytes + (bytes / WAL_BLOCK + 2) * WAL_HEADER);
	int r = 0;

	pthread_rwlock_rdlock(&room->lock);
	if (!room->database || has_room(room, needed))
		return 0;
	pthread_rwlock_unlock(&room->lock);
	pthread_rwlock_wrlock(&room->lock);
	r = make_room(room, needed);
	pthread_rwlock_unlock(&room->lock);
	if (r == 0)
		pthread_rwlock_rdlock(&room->lock);
	return r;
}

void wal_room_end(struct wal_room *room, bool synced)
{
	int64_t position = get_position(room);

	/* What was written is not there: it begins another log. */
	if (position == __atomic_exchange_n(&room->position, position, __ATOMIC_RELAXED))
		g_atomic_int_set(&room->moved_on, 1);
	else if (synced)
		g_atomic_int_set(&room->begun, 1);
	pthread_rwlock_unlock(&room->lock);
}
