#include "tools/bench/files.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>

ssize_t file_read_at(int directory, const char *name, char *buffer, size_t size)
{
	int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
	ssize_t got, used = 0;

	if (fd < 0)
		return -errno;
	do {
		got = read(fd, buffer + used, size - 1 - (size_t)used);
		if (got > 0)
			used += got;
	} while (got > 0 && (size_t)used < size - 1);
	if (got < 0)
		used = -errno;
	else
		buffer[used] = '\0';
	close(fd);
	return used;
}

int file_write(int fd, const void *data, size_t size)
{
	ssize_t written = write(fd, data, size);

	if (written < 0)
		return -errno;
	return (size_t)written < size ? -ENOSPC : 0;
}

static int write_and_close(int fd, const void *data, size_t size)
{
	int r;

	if (fd < 0)
		return -errno;
	r = file_write(fd, data, size);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

int file_write_at(int directory, const char *name, const void *data, size_t size)
{
	int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;

	return write_and_close(openat(directory, name, flags, 0644), data, size);
}

int file_replace_at(int directory, const char *name, const void *data, size_t size)
{
	return write_and_close(openat(directory, name, O_WRONLY | O_TRUNC | O_CLOEXEC), data, size);
}

int txn_begin_new(const char *mount, char *ret, size_t size)
{
	g_autofree char *path = g_build_filename(mount, "txn", "new", NULL);
	ssize_t length = file_read_at(AT_FDCWD, path, ret, size);

	if (length < 0)
		return (int)length;
	ret[strcspn(ret, "\n")] = '\0';
	return ret[0] ? 0 : -EPROTO;
}
