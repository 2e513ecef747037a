/* One operation being applied to an overlay: what execute.c and rename.c share. */
#pragma once

#include "store/store.h"

struct action {
	struct overlay *overlay;
	const struct op *op;
	const struct credentials *credentials;
	bool checked;
	int64_t now_ns;
	char *way; /* the key in the way, owned; NULL: that of the operation */
};

/* Notes `key` as the one in the way of an `error` (0: does nothing) and returns it. */
int action_refuse(struct action *action, const char *key, int error);

/* As overlay_get, but 0 where there is nothing, with *ret as it was. */
int action_find(struct action *action, const char *key, struct record **ret);

/* The directory above `key`; -ENOENT, -ENOTDIR. */
int action_find_parent(struct action *action, const char *key, struct record **ret);

/* Permission to walk to `key`. */
int action_check_search(struct action *action, const char *key);
/* Permission to add `key` (`entry` NULL) or to remove it. */
int action_check_entry(struct action *action, const char *key, const struct record *entry);

int action_rename(struct action *action);
