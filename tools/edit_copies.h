/* The files that commitfs edit gives to an editor: copies of keys, in a directory of their
 * own, under their own names. Whatever else the editor makes there (swap files, backups) is
 * none of the store's. Results are 0 or a negative errno; nothing is printed. */
#pragma once

#include <glib.h>
#include <stdbool.h>

struct edit_copy {
	char *key;
	char *path;    /* the copy; absent while the key is absent and nobody has written it */
	GBytes *began; /* the value the copy was made of; NULL: the key was absent */
};

struct edit_copies {
	char *directory;
	GPtrArray *files; /* of struct edit_copy * */
};

/* How edit_copy_merge() found a key. */
enum edit_merge {
	EDIT_MERGE_NOTHING, /* nobody else has changed it */
	EDIT_MERGE_CLEAN,   /* the copy has both changes now */
	EDIT_MERGE_MARKED,  /* both changed the same lines: the copy has marks there */
	EDIT_MERGE_REFUSED, /* they cannot be merged: the copy has the own change alone */
};

/* Makes the directory. An error of mkdtemp(3). */
int edit_copies_init(struct edit_copies *copies);

/* Removes the directory, with all that the editor has left there, unless it is to be kept. */
void edit_copies_done(struct edit_copies *copies, bool keep);

/* Adds a key, once, as it is below the directory `view`, where it may be absent.
 * -EINVAL: the name cannot be a key's, or it is no file; -EISDIR; -EXDEV: a symbolic link
 * leads out of the view; -EACCES: it may not be read, or not be written. */
int edit_copies_add(struct edit_copies *copies, const char *view, const char *key);

/* The value of a key below `root`; *ret is NULL where it is absent. Errors as above. */
int edit_copies_load(const char *root, const char *key, GBytes **ret);

/* What the copy holds now; *ret is NULL where there is none. */
int edit_copy_read(const struct edit_copy *copy, GBytes **ret);

/* True when the editor has made it something else. A copy that is gone was not changed: an
 * editor is no way to delete a key. */
bool edit_copy_is_changed(const struct edit_copy *copy);
guint edit_copies_count_changed(const struct edit_copies *copies);

/* Writes what was changed into `view`, with the directories that new keys need. *ret_key
 * (borrowed) is where it failed: errors of open(2) and write(2). */
int edit_copies_store(const struct edit_copies *copies, const char *view, const char **ret_key);

/* Takes over what `view` holds now: from here on that is what the copy was made of, and what
 * the editor did to it is merged into that by diff3(1). */
int edit_copy_merge(struct edit_copies *copies, struct edit_copy *copy, const char *view,
		    enum edit_merge *ret);

/* True when marks of edit_copy_merge() are left in it. */
bool edit_copy_has_marks(const struct edit_copy *copy);

/* `diff -u` of two values (NULL: absent), with its labels and perhaps colours, as text.
 * NULL: there is no diff(1). Caller frees. */
char *edit_copies_diff(const struct edit_copies *copies, GBytes *const values[2],
		       const char *const labels[2], const char *colour);
