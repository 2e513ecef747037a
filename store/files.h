/* Files and directories that have to be on the disk when a call returns, and those that go.
 * Results are 0 or a negative errno. */
#pragma once

/* Makes `path` (0600) hold `text`, or what it held before, whatever happens meanwhile. */
int files_replace(const char *path, const char *text);

/* Syncs the directory `path`: what was made, renamed or removed in it. */
int files_sync_directory(const char *path);

/* Syncs the directory that `path` lies in: what was made as `path`, or renamed to it. */
int files_sync_above(const char *path);

/* Syncs the directory with all files in it; what lies in directories of it is not looked at. */
int files_sync_all(const char *path);

/* `path` as it is used in names made from it. Caller frees. */
char *files_without_slashes(const char *path);

/* Removes `path` with all that is below it, as far as that can be done. */
void files_remove_tree(const char *path);
