/* A mount whose daemon died stays in the table and answers everything with ENOTCONN; it
 * is replaced. Anything else that is mounted there is left alone. */
#include "tools/mount_point.h"

#include "tools/command.h"
#include "tools/mounts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* More dead mounts than this on top of each other are somebody's mistake. */
#define MAX_DEAD_MOUNTS 16

static int unmount_by_helper(const char *point, int lazily, char **ret_message)
{
	const char *argv[] = { "fusermount3", lazily ? "-uz" : "-u", "--", point, NULL };
	g_autofree char *errors = NULL;
	g_autoptr(GError) error = NULL;
	int status;

	if (!g_spawn_sync(NULL, (char **)argv, NULL,
			  G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL,
			  &errors, &status, &error)) {
		*ret_message = g_strdup(error->message);
		return -ENOENT;
	}
	if (status == 0)
		return 0;
	/* It tells the reason as text only, in its own locale, which is none. */
	if (strstr(errors, "busy") != NULL) {
		*ret_message = g_strdup(g_strerror(EBUSY));
		return -EBUSY;
	}
	*ret_message = g_strdup(g_strstrip(errors));
	return -EPERM;
}

int mount_point_unmount(const char *point, int lazily, char **ret_message)
{
	int r;

	if (geteuid() != 0)
		return unmount_by_helper(point, lazily, ret_message);
	if (umount2(point, UMOUNT_NOFOLLOW | (lazily ? MNT_DETACH : 0)) == 0)
		return 0;
	r = -errno;
	*ret_message = g_strdup(g_strerror(-r));
	return r;
}

static bool is_dead(const struct mount *mount)
{
	struct statvfs statistics;

	/* Only FUSE mounts die like this, and asking others could hang. The kernel answers a
	 * stat(2) of the mount point from its cache, but never this. */
	return mount_is_fuse(mount) && statvfs(mount->point, &statistics) < 0 && errno == ENOTCONN;
}

static int refuse_mounted(const char *path, const struct mount *mount)
{
	if (mount_is_commitfs(mount))
		return command_fail(EXIT_NO_MOUNT,
				    "cannot mount on '%s': store '%s' is mounted there already; "
				    "unmount it with: commitfs umount %s",
				    path, mount->source, path);
	return command_fail(EXIT_NO_MOUNT,
			    "cannot mount on '%s': it is a mount point already, of '%s' (%s); "
			    "take another directory",
			    path, mount->source, mount->type);
}

/* 0 when nothing living is mounted on `point`. */
static int clear_dead_mounts(const char *path, const char *point)
{
	for (int i = 0; i < MAX_DEAD_MOUNTS; i++) {
		g_autoptr(mount) mount = NULL;
		g_autofree char *message = NULL;
		g_autofree char *again = NULL;
		int r = mounts_find(point, &mount);

		if (r == -ENOENT)
			return 0;
		if (r < 0)
			return command_fail(EXIT_NO_MOUNT,
					    "cannot mount on '%s': "
					    "/proc/self/mountinfo cannot be read",
					    path);
		if (!is_dead(mount))
			return refuse_mounted(path, mount);
		if (mount_point_unmount(point, false, &message) < 0 &&
		    mount_point_unmount(point, true, &again) < 0)
			return command_fail(EXIT_NO_MOUNT,
					    "cannot mount on '%s': what a dead daemon "
					    "left there cannot be unmounted: %s",
					    path, again);
	}
	return command_fail(EXIT_NO_MOUNT, "cannot mount on '%s': more than %d dead mounts there",
			    path, MAX_DEAD_MOUNTS);
}

static bool path_is_below(const char *path, const char *directory)
{
	size_t length = strlen(directory);

	if (strcmp(directory, "/") == 0)
		return true;
	return strncmp(path, directory, length) == 0 &&
	       (path[length] == '/' || path[length] == '\0');
}

static int check_directory(const char *path, const char *point, const char *store)
{
	struct stat st;

	if (stat(point, &st) < 0)
		return command_fail(EXIT_NO_MOUNT, "cannot mount on '%s': %s", path,
				    g_strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return command_fail(EXIT_NO_MOUNT, "cannot mount on '%s': Not a directory", path);
	if (store != NULL && (path_is_below(store, point) || path_is_below(point, store)))
		return command_fail(EXIT_USAGE,
				    "cannot mount on '%s': one of it and the store '%s' "
				    "lies in the other; take another directory",
				    path, store);
	return 0;
}

int mount_point_prepare(const char *path, const char *store, char **ret_point)
{
	/* Works on a dead mount too: only links are read. */
	char *point = realpath(path, NULL);
	int exit_code;

	if (point == NULL)
		return command_fail(EXIT_NO_MOUNT, "cannot mount on '%s': %s%s%s", path,
				    g_strerror(errno),
				    errno == ENOENT ? "; make it with: mkdir " : "",
				    errno == ENOENT ? path : "");
	exit_code = clear_dead_mounts(path, point);
	if (exit_code == 0)
		exit_code = check_directory(path, point, store);
	if (exit_code == 0)
		*ret_point = g_strdup(point);
	free(point);
	return exit_code;
}
