/* Overlays, as the store's own parts see them: how entries change, and how the committer
 * stacks them.
 *
 * A group of programs is one overlay over the head; each program is an overlay over the
 * group's, which is thrown away when the program fails and merged into the group's when it
 * does not. Both keep the values of what they cover (`whole`): the superseded record is
 * written to the history. */
#pragma once

#include "store/store.h"

struct entry {
	struct overlay_entry public; /* first: entries are handed out as this */
	bool touched;		     /* a directory: entries came or went below it */
	uint64_t revision;	     /* in a group: of the commit that made `now`; else 0 */
};

/* An overlay over `head` for a group of programs. */
struct overlay *overlay_new_group(struct snapshot *head);
/* An overlay over that of a group, for one program. */
struct overlay *overlay_new_program(struct overlay *group, const struct overlay_limits *limits);

/* Moves what `program` changed into the group's overlay; `revision` made it. */
void overlay_merge(struct overlay *group, struct overlay *program, uint64_t revision);

const struct overlay_limits *overlay_get_limits(const struct overlay *overlay);
uint64_t overlay_new_ino(struct overlay *overlay);
/* Bases keep their values. */
bool overlay_is_whole(const struct overlay *overlay);

/* 0, or -ENOTEMPTY, or an error of reading. */
int overlay_check_empty(struct overlay *overlay, const char *directory);

/* What a change of keys and bytes would come to. */
struct overlay_growth {
	int64_t keys;
	int64_t bytes;
};

/* Adds what writing `value_bytes` to `key`, over `found` (may be NULL), would add. */
void overlay_measure(struct overlay *overlay, const char *key, const struct record *found,
		     uint64_t value_bytes, struct overlay_growth *growth);
/* The same for deleting it. */
void overlay_measure_delete(struct overlay *overlay, const char *key, const struct record *found,
			    struct overlay_growth *growth);
/* -EDQUOT when the overlay may not grow so. */
int overlay_check_growth(const struct overlay *overlay, const struct overlay_growth *growth);

/* The changes. `found` is what overlay_get told of `key` (NULL: absent). `now` is taken. */
void overlay_set_deleted(struct overlay *overlay, const char *key, struct record *found);
void overlay_set_created(struct overlay *overlay, const char *key, struct record *now,
			 unsigned attributes);
/* `attributes` replaces a modification time that was set when `value_written`. */
void overlay_set_modified(struct overlay *overlay, const char *key, struct record *found,
			  struct record *now, bool value_written, unsigned attributes);
/* Marks the directory `key`, found as `found`, as one whose entries changed. */
void overlay_set_touched(struct overlay *overlay, const char *key, struct record *found,
			 int64_t now_ns);

/* The record of `key`, to be edited in place between the two calls, when it is written here
 * and nobody holds it but the overlay and *found, which is released then; otherwise NULL. */
struct record *overlay_edit_begin(struct overlay *overlay, const char *key, struct record **found);
void overlay_edit_end(struct overlay *overlay, const char *key, unsigned attributes);

struct entry *overlay_find_entry(struct overlay *overlay, const char *key);

/* True when an entry below the overlay with this inode number was deleted here: what is
 * created with the number again was moved. */
const struct record *overlay_find_removed(struct overlay *overlay, uint64_t ino);

/* The revision at which a key that is absent was deleted by the group; 0: not by it. */
uint64_t overlay_deleted_revision(struct overlay *group, const char *key);
