/* Backups: directories that hold a store as it was at some revisions, each table once,
 * however many need it. A header of its own beside store.h: it works on no open store, but
 * on a checkpoint of one.
 *
 * Results are 0 or a negative errno, with a message for people in *ret_message (caller
 * frees). Only one call works on a directory at a time: -EBUSY. At any kill, the backups that
 * were there stay good. */
#pragma once

#include "store/check.h"

struct backup {
	uint32_t id;	     /* in its directory; later ones have greater ones */
	uint64_t revision;   /* 0: not known */
	int64_t time_s;	     /* since the epoch: when it was made */
	uint64_t size_bytes; /* of all it needs, what it shares with others included */
};

/* Adds a backup of `checkpoint` to `directory`, which is made (0700) when it is missing, and
 * must be empty or have backups of the same store. Of the backups there are then, the newest
 * `keep` stay (0: all). Durable when it returns.
 * -EXDEV: the directory has backups of another store; -ENOTEMPTY: something else. */
int backup_create(const char *checkpoint, const char *directory, uint32_t keep, struct backup *ret,
		  char **ret_message);

/* Visits the backups in a directory, oldest first; nonzero stops. */
typedef int backup_visit_fn(const struct backup *backup, void *arg);
int backup_list(const char *directory, backup_visit_fn *visit, void *arg, char **ret_message);

/* Makes the store `path`, which must not be there, from the backup `id` (0: the newest). It
 * is there whole and durable, or not at all. Checksums are compared meanwhile.
 * -ENOENT: no such backup; -EEXIST; -EUCLEAN: it is damaged. */
int backup_restore(const char *directory, uint32_t id, const char *path, struct backup *ret,
		   char **ret_message);

/* Restores the backup `id` (0: the newest) beside the others, checks what comes out as
 * store_check does, and removes it again. `options->open.path` is ignored. */
int backup_verify(const char *directory, uint32_t id, const struct store_check_options *options,
		  struct backup *ret, struct store_check_result *ret_result, char **ret_message);
