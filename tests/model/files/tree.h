/* The naive model of a tree of keys: what file operations do to it, and what they change.
 * It shares nothing with the product. Items are immutable and counted by reference. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define KEY_MAX 64
#define MTIME_OF_COMMIT -1 /* it was not set */

enum item_type { ITEM_FILE = 'f', ITEM_DIRECTORY = 'd', ITEM_LINK = 'l' };

struct item {
	guint refs;
	enum item_type type;
	unsigned mode, uid, gid;
	int64_t mtime_s; /* as it was set, or MTIME_OF_COMMIT */
	bool renewed;	 /* a directory whose entries changed since: no mtime to compare */
	uint64_t create, mod, attribute, version; /* of the last commit; 0 in a transaction */
	uint64_t id;				  /* what st_ino stands for */
	GBytes *data;				  /* of files and links */
};

struct item *item_ref(struct item *item);
void item_unref(struct item *item); /* accepts NULL */
struct item *item_copy(const struct item *item);

struct tree {
	GTree *items; /* key -> struct item; "" is the root */
};

struct tree *tree_new(void); /* a new store's, of root */
struct tree *tree_copy(const struct tree *tree);
void tree_free(struct tree *tree);				  /* accepts NULL */
struct item *tree_find(const struct tree *tree, const char *key); /* borrowed, or NULL */

/* The part of `key` before the last slash. */
void key_parent(const char *key, char ret[static KEY_MAX]);
/* True when `key` lies below `directory`. */
bool key_below(const char *key, const char *directory);

enum change_kind { CHANGE_DELETE, CHANGE_CREATE, CHANGE_MODIFY };
enum { SET_MODE = 1, SET_OWNER = 2, SET_MTIME = 4, SET_ALL = 7 };

/* One step of an operation, in the order they are to be done. */
struct change {
	enum change_kind kind;
	char key[KEY_MAX];
	struct item *item; /* what there is then; NULL: nothing */
	bool value;	   /* MODIFY: the value was written */
	unsigned set;	   /* which attributes were set */
};

/* The operations answer 0 or a negative errno, and add to `changes` what is to be done: the
 * tree stays as it is until tree_change(). The parent of `key` is a directory. */
GArray *changes_new(void);
void changes_add(GArray *changes, enum change_kind kind, const char *key, struct item *item,
		 bool value, unsigned set);
int tree_rmdir(const struct tree *tree, const char *key, GArray *changes);
enum { MOVE_NOREPLACE = 1, MOVE_EXCHANGE = 2 };
int tree_rename(const struct tree *tree, const char *from, const char *to, unsigned flags,
		GArray *changes);
/* Does them, and nothing else: revisions stay as they are in the items. */
void tree_change(struct tree *tree, const GArray *changes);

/* What `tree` becomes when `changes` is committed as `revision`: items are numbered, and so
 * are the directories in which an entry came, went or changed its type. */
void tree_commit(struct tree *tree, const GArray *changes, uint64_t revision);
