/* Making a path what another one is: of the past, into a transaction. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/stat.h>

/* What is at a path; absent: st_mode is 0. An error of lstat(2) but ENOENT. */
int path_stat(const char *path, struct stat *ret);

/* True when both are the same record, so that nothing is to be done: what is shown of one
 * key at two revisions is the same if no commit changed it between. Never of directories. */
bool path_is_same(const struct stat *a, const struct stat *b);

/* Makes `to` what `from` is, absent where that is absent: type, value, mode, owner and, but
 * for directories, time. `deep`: with all that is below. What is there already as it should
 * be is not touched. On an error *ret_path (caller frees) is where. */
int path_copy(const char *from, const char *to, bool deep, char **ret_path);

/* Removes `path` with all that is below it. */
int path_remove(const char *path, char **ret_path);

/* The names in a directory, sorted; of char *. */
int path_list(const char *path, GPtrArray **ret);
