/* Which names of keys/ are scratch names: those that editors and tools give to files of
 * their own, by the way they make them. What becomes of such files: txn/scratch.h. */
#pragma once

#include <stdbool.h>

struct scratch_names;

/* `patterns`: globs separated by commas, of names, or of paths when they have a slash; the
 * word `default` stands for the built-in ones. NULL: those. `none`, or empty: no name is. */
struct scratch_names *scratch_names_new(const char *patterns);
void scratch_names_free(struct scratch_names *names); /* accepts NULL */

/* True when open(2) with `flags` (O_CREAT among them) makes a scratch file of `key`: never of the
 * root, whatever the patterns are. */
bool scratch_names_file(const struct scratch_names *names, const char *key, int flags);
/* The same for symlink(2). */
bool scratch_names_link(const struct scratch_names *names, const char *key);
