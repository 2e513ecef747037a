/* The directory a mount is to be put on. */
#pragma once

/* Checks `path` and cleans up what a dead daemon left there. `store` is the store's
 * directory, an absolute path without symbolic links, or NULL. 0: *ret_point is the mount
 * point as such a path. Otherwise an exit code; the error was printed. */
int mount_point_prepare(const char *path, const char *store, char **ret_point);

/* Unmounts `point`, as root or through fusermount3. `lazily`: also when it is in use. On
 * an error, -EBUSY among them, *ret_message (caller frees) says why. */
int mount_point_unmount(const char *point, int lazily, char **ret_message);
