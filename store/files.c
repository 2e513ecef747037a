#include "store/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OPEN_DIRECTORIES 16

static int sync_at(int directory, const char *name, int flags)
{
	int fd = openat(directory, name, flags | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return r;
}

int files_sync_directory(const char *path)
{
	return sync_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
}

char *files_without_slashes(const char *path)
{
	size_t length = strlen(path);

	while (length > 1 && path[length - 1] == '/')
		length--;
	return g_strndup(path, length);
}

int files_sync_above(const char *path)
{
	g_autofree char *name = files_without_slashes(path);
	g_autofree char *above = g_path_get_dirname(name);

	return files_sync_directory(above);
}

int files_sync_all(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	int r = 0;

	if (!directory)
		return -errno;
	while (r == 0 && (errno = 0, entry = readdir(directory))) {
		/* Not every file system tells the type. */
		if (entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN)
			r = sync_at(dirfd(directory), entry->d_name, O_RDONLY | O_NONBLOCK);
	}
	if (r == 0)
		r = -errno;
	closedir(directory);
	return r == 0 ? files_sync_directory(path) : r;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t size = strlen(text);
	ssize_t written;
	int r = 0;

	if (fd < 0)
		return -errno;
	written = write(fd, text, size);
	if (written < 0 || (size_t)written < size)
		r = written < 0 ? -errno : -ENOSPC;
	else if (fsync(fd) < 0)
		r = -errno;
	close(fd);
	return r;
}

int files_replace(const char *path, const char *text)
{
	g_autofree char *partial = g_strconcat(path, ".new", NULL);
	int r;

	r = write_file(partial, text);
	if (r == 0 && rename(partial, path) < 0)
		r = -errno;
	return r == 0 ? files_sync_above(path) : r;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status;
	(void)type;
	(void)place;
	(void)remove(path);
	return 0;
}

void files_remove_tree(const char *path)
{
	(void)nftw(path, remove_one, OPEN_DIRECTORIES, FTW_DEPTH | FTW_PHYS);
}
