/* Walking trees: the values and symbolic links that are a key or lie below it, in byte order
 * of their keys. */
#pragma once

#include "store/store.h"

/* One key on the walk: `record` is borrowed and may be without its value; `parent` is its
 * directory, NULL for where the walk began. Nonzero ends the walk, which returns it. */
typedef int walk_visit_fn(const char *key, struct record *record, const struct record *parent,
			  void *arg);

struct walk {
	struct overlay *overlay;
	const struct credentials *credentials; /* must be able to list; NULL: not checked */
	bool directories; /* are visited too (not the root), after what lies in them */
	walk_visit_fn *visit;
	void *arg;
	char *way; /* on -EACCES: the directory that could not be listed; the caller frees */
};

/* Walks from `key`, whatever it is; absent: visits nothing. Whether `key` can be reached is
 * the caller's to check. The overlay must not change meanwhile. */
int walk_tree(struct walk *walk, const char *key);
