/* Reads /proc/PID/fd with readlink and fdinfo only: a stat of an entry there would come
 * back into the mount. The inode number of fdinfo names the file: paths would change with
 * renames and mount namespaces. */
#include "fs/descriptor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What can be on a mount shows as a path: 1, otherwise 0. -EACCES: the directory can be
 * read and its links cannot (they need the right to trace the process). */
static int may_be_file(int fd_directory, const char *name)
{
	char target[8];
	ssize_t length = readlinkat(fd_directory, name, target, sizeof(target));

	if (length < 0 && (errno == EACCES || errno == EPERM))
		return -EACCES;
	return length > 0 && target[0] == '/' && !(length >= 5 && memcmp(target, "/dev/", 5) == 0);
}

/* Flags are octal, the inode number (since Linux 5.14) decimal. */
static bool is_writable_on(pid_t pid, const char *name, uint64_t ino)
{
	char path[64], text[1024];
	const char *flags, *inode;
	ssize_t length;
	int fd;

	g_snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length <= 0)
		return false;
	text[length] = '\0';
	flags = strstr(text, "flags:");
	inode = strstr(text, "ino:");
	return flags && inode && (strtoul(flags + 6, NULL, 8) & O_ACCMODE) != O_RDONLY &&
	       g_ascii_strtoull(inode + 4, NULL, 10) == ino;
}

int descriptor_is_open(pid_t pid, uint64_t ino)
{
	const struct dirent *entry;
	char path[64];
	int found = 0;
	DIR *directory;

	if (pid <= 0)
		return -EACCES;
	g_snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	directory = opendir(path);
	if (!directory)
		return errno == ENOENT ? 0 : -EACCES;
	while (!found && (entry = readdir(directory)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		found = may_be_file(dirfd(directory), entry->d_name);
		if (found == 1)
			found = is_writable_on(pid, entry->d_name, ino);
	}
	closedir(directory);
	return found;
}
