/* One operation being applied to an overlay: what execute.c, merge.c, tree.c and rename.c
 * share. */
#pragma once

#include "store/store.h"

struct action {
	struct overlay *overlay;
	const struct op *op;
	const struct credentials *credentials;
	bool checked;
	bool checked_reads;
	int64_t now_ns;
	char *way;		  /* the key in the way, owned; NULL: that of the operation */
	struct output *output;	  /* what it has to tell; NULL: nobody asks */
	struct output_room *room; /* for that */
};

/* Runs the operation; as overlay_apply. */
int action_run(struct action *action);
/* The record after the operation in *ret, NULL where there is none. */
int action_record_after(struct action *action, struct record **ret);
/* The key in the way of an operation that was refused; the caller's. */
char *action_take_way(struct action *action);

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

/* Permission to read what a file of that record would show. */
int action_check_read(struct action *action, const struct record *record);

/* Makes the key with `value` (borrowed; NULL: none or an empty one), and for OP_PARENTS the
 * directories above it. */
int action_create(struct action *action, enum record_type type, GBytes *value);
/* 0 when a value of `size` bytes may be written over `found`. */
int action_check_writable(struct action *action, const struct record *found, uint64_t size);
/* Writes `value` (taken) over `found`, which may be written. */
void action_overwrite(struct action *action, struct record *found, GBytes *value);
/* Applies `edits` to the value that is there. */
int action_patch(struct action *action, const GPtrArray *edits);

/* Notes in the output, for OP_PREVIOUS, that the key was `found` (NULL: absent). */
int action_tell_previous(struct action *action, struct record *found);

int action_number(struct action *action);
int action_append(struct action *action);
int action_get(struct action *action);
int action_delete_tree(struct action *action);
int action_rename(struct action *action);
