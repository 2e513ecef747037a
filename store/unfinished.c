/* Whoever works in such a directory has a lock on it, which ends with the process. Those of other
 * users are left alone: they could change under our hands. */
#include "store/unfinished.h"

#include "store/files.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX "XXXXXX"
/* Another may take one for left behind before it is locked. */
#define TRIES 100

/* -EAGAIN: it is not what lies at `path` any more, or another has the lock. */
static int lock(int fd, const char *path)
{
	struct stat now, locked;

	if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &locked) < 0)
		return -errno;
	return lstat(path, &now) == 0 && now.st_ino == locked.st_ino &&
			       now.st_dev == locked.st_dev ?
		       0 :
		       -EAGAIN;
}

static int open_locked(const char *path, int *ret)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (fd < 0)
		return errno == ENOENT ? -EAGAIN : -errno;
	r = lock(fd, path);
	if (r < 0)
		close(fd);
	else
		*ret = fd;
	return r;
}

static bool is_ours(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid();
}

static void remove_left(const char *prefix)
{
	g_autofree char *above = g_path_get_dirname(prefix), *begin = g_path_get_basename(prefix);
	g_autoptr(GDir) entries = g_dir_open(above, 0, NULL);
	const char *name;

	while (entries && (name = g_dir_read_name(entries))) {
		g_autofree char *path = g_build_filename(above, name, NULL);
		int fd;

		if (!g_str_has_prefix(name, begin) ||
		    strlen(name) != strlen(begin) + strlen(SUFFIX) || !is_ours(path) ||
		    open_locked(path, &fd) < 0)
			continue;
		files_remove_tree(path);
		close(fd);
	}
}

static int make(const char *prefix, struct unfinished *ret)
{
	g_autofree char *path = g_strconcat(prefix, SUFFIX, NULL);
	int r;

	if (!g_mkdtemp(path))
		return -errno;
	r = open_locked(path, &ret->lock);
	if (r == 0)
		ret->path = g_steal_pointer(&path);
	else if (r != -EAGAIN)
		(void)rmdir(path);
	return r;
}

int unfinished_begin(const char *prefix, struct unfinished *ret)
{
	int r = -EAGAIN;

	remove_left(prefix);
	for (int i = 0; r == -EAGAIN && i < TRIES; i++)
		r = make(prefix, ret);
	return r;
}

void unfinished_keep(struct unfinished *unfinished)
{
	close(unfinished->lock);
	g_clear_pointer(&unfinished->path, g_free);
}

void unfinished_remove(struct unfinished *unfinished)
{
	if (!unfinished->path)
		return;
	files_remove_tree(unfinished->path);
	unfinished_keep(unfinished);
}
