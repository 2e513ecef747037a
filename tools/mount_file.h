/* Files of a mount as commands use them. Results are 0 or a negative errno. */
#pragma once

#include "tools/mounts.h"

#include <stdio.h>

/* The path of `name` on the mount. Caller frees. */
char *mount_file_path(const struct mount *mount, const char *name);

/* A descriptor for `name` on the mount. */
int mount_file_open(const struct mount *mount, const char *name, int flags);

/* Writes `text` in one write(2). */
int mount_file_write(int fd, const char *text);

/* Reads a file from its beginning to its end, whatever was read before. */
int mount_file_read(int fd, GString *out);

/* The changes below `prefix` (as people write it) from the revision `from` on, 0: from now
 * on, as a stream of lines. */
int mount_file_watch(const struct mount *mount, const char *prefix, uint64_t from, FILE **ret);

/* The exit code for an error of a call on the mount. */
int mount_file_exit_code(int error);

/* Prints `cannot ACTION: ` with the reason, and gives the exit code for it. */
int mount_file_fail(int error, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* The same when a word of the user is no key. */
int mount_file_fail_key(const char *action, const char *key);
