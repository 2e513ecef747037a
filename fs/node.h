/* The node table: what the kernel holds by number. A node is a name in a directory as it
 * was looked up: its identity is (parent, name, inode number of the record, round). Numbers
 * are never reused. A node lives while the kernel counts lookups of it, or a handle, a
 * child or a session holds it. */
#pragma once

#include "fs/fs.h"

#include <pthread.h>

struct control;
struct session;

enum { NODE_ID_ROOT = 1 }; /* FUSE_ROOT_ID */

enum node_kind {
	NODE_DIRECTORY, /* made by the mount: its root, txn/, a transaction */
	NODE_CONTROL,	/* a control file, or a link such as txn/self */
	NODE_KEY,	/* in a tree of keys */
	NODE_PAST,	/* in the tree of a revision below at/ */
	NODE_META,	/* below meta/: a directory, or what is told of a key */
};

/* A round of a transaction, as it began. */
struct tree_round {
	uint64_t round;
	uint64_t revision; /* of its snapshot */
	uint64_t reshaped; /* tree->reshaped */
};

/* A tree of names that are keys, as the mount shows it: `keys/` itself, that of a
 * transaction or of a revision, or `meta/`. */
struct tree {
	gint refs;	     /* atomic */
	enum node_kind kind; /* set once: of its nodes */
	struct view *view;   /* set once; borrowed: of the mount or of `txn`; past: NULL */
	struct txn *txn;     /* set once; NULL: none */
	uint64_t revision;   /* set once; past: it is the tree of this revision */
	const struct control *control; /* set once; meta: what its files are */
	/* Of the node table's lock. */
	GQueue nodes;	   /* all nodes in it; those of the newest round at the end */
	uint64_t reshaped; /* how often the transaction itself made, moved or removed names */
	struct tree_round verified; /* at its beginning all were right, or their names forgotten */
};

struct tree *tree_new(struct view *view, struct txn *txn);
struct tree *tree_new_past(uint64_t revision);
struct tree *tree_new_meta(struct view *view, const struct control *control);
struct tree *tree_ref(struct tree *tree);
void tree_unref(struct tree *tree);
/* st_ino of what has `ino` in the store: another number in every tree. */
uint64_t tree_ino(const struct tree *tree, uint64_t ino);

enum node_state {
	NODE_LIVE,     /* its name means it */
	NODE_RESERVED, /* created, not yet committed: the creator alone finds it */
	NODE_UNLINKED, /* removed or replaced by a call the kernel made: handles go on */
	NODE_STALE,    /* gone without the kernel's knowing: the name must be looked up again */
};

/* The attributes that the kernel knows of a node, and checks permissions against. */
struct known {
	uint32_t mode; /* KNOWN_CHANGED: the transaction has changed some of them itself */
	uid_t uid;
	gid_t gid;
	int64_t own_mtime_ns; /* of a directory */
};

#define KNOWN_CHANGED UINT32_MAX

struct node {
	uint64_t id;		       /* set once */
	enum node_kind kind;	       /* set once */
	const struct control *control; /* set once; of what is no key; a file of meta/ */
	struct txn *txn;	       /* set once; of a control node in a transaction, or NULL */
	struct tree *tree;	       /* set once; in a tree */
	enum record_type type;	       /* set once; in a tree */
	uint64_t ino;		       /* set once; in a tree: of the record */
	struct record *past;	       /* set once; NODE_PAST: what it was, without its value */

	/* Under the table's lock. */
	uint64_t lookups; /* the kernel's */
	guint refs;	  /* ours: handles, children, sessions */
	struct node *parent;
	char *name;
	GList in_tree; /* link in tree->nodes */
	GList in_age;  /* link in table->by_age */
	enum node_state state;
	uint64_t round;		    /* of the transaction, when it was last known to be right */
	uint64_t pages_round;	    /* in a transaction: of what the page cache may hold */
	struct known known;	    /* in a transaction: in this round */
	guint handles;		    /* open ones */
	guint reserved;		    /* names reserved in it */
	guint cached;		    /* in a transaction: of these, through the page cache */
	uint64_t generation;	    /* in a transaction: writes through this node */
	uint64_t create_revision;   /* live: of the newest record known of it */
	char *moved_to;		    /* stale: the key that a transaction gave the file; or NULL */
	char *vanished_key;	    /* live file that lost its name: what it was; or NULL */
	uint64_t vanished_revision; /* of the commit that took it */
	int64_t looked_up_us;	    /* live: monotonic, when the kernel was last told of it */
	GBytes *value;		    /* live, past: what its readers share, while there are any */
	uint64_t value_revision;    /* mod revision of `value` */
	GPtrArray *sessions;	    /* struct session on a live file; NULL: none */
	struct record *orphan;	    /* unlinked while in use: what that goes on with */
	int64_t charged_bytes;	    /* to the user, for `orphan` */
	struct record *template;    /* reserved: the attributes it was created with */
	bool scratch;		    /* reserved: to become a scratch file */
	bool replaces;		    /* reserved, and renamed over an existing key */
};

struct node_table {
	struct registry *registry; /* set once; borrowed: what orphans are charged to */
	pthread_mutex_t lock;
	GHashTable *by_id;    /* lock */
	GHashTable *children; /* lock: (parent, name) -> node */
	GHashTable *reserved; /* lock: the same, of those reserved */
	GPtrArray *moved;     /* lock: nodes with `moved_to` */
	GHashTable *past;     /* lock: the tops of past trees that have a name */
	uint64_t last_id;     /* lock */
	struct node *root;    /* set once */
	/* See prune.h. */
	uint64_t max_nodes;	/* set once */
	GQueue by_age;		/* lock: all nodes, what was not looked up for longest first */
	uint64_t calm_until_id; /* lock: enough was asked for until so many nodes were made */
	pthread_cond_t crowded; /* lock: signalled when it is so again */
};

void node_table_init(struct node_table *table, struct registry *registry,
		     const struct control *root, uint64_t max_nodes);
/* FORGET does not come at unmount: frees all that is left. */
void node_table_done(struct node_table *table);

/* The node of an id the kernel sent: it stays while the request is unanswered. */
struct node *node_get(struct node_table *table, uint64_t id);

void node_unref(struct node_table *table, struct node *node); /* accepts NULL */
/* Takes back `count` lookups. */
void node_forget(struct node_table *table, uint64_t id, uint64_t count);

/* Under the lock: there are more nodes than there shall be, and something can be done. */
bool node_table_is_crowded_locked(const struct node_table *table);
/* Under the lock: of the `count` oldest those that the kernel alone holds, as far as is known
 * here. They are the newest then. */
size_t node_take_oldest_locked(struct node_table *table, uint64_t *ret_ids, size_t count);

/* The control node `name` in `parent`, made where it is new, with one lookup more. */
struct node *node_obtain_control(struct node_table *table, struct node *parent, const char *name,
				 const struct control *control, struct txn *txn);

/* The node of `record` at `name` in `parent`, with one lookup more. A node of that name
 * that means another record becomes stale; NULL when it is `record` that is out of date.
 * `tree` NULL: that of the parent. */
struct node *node_obtain_key(struct node_table *table, struct node *parent, const char *name,
			     struct tree *tree, const struct record *record);

/* True when the kernel knows the attributes of `record`, which `node` is now. */
bool node_is_known_locked(const struct node *node, const struct record *record);
void node_know_locked(struct node *node, const struct record *record);
/* `node` of a transaction means the same file in `round`, where it is `record`. False: it is
 * open since an earlier round, to which its pages and attributes belong. */
bool node_renew_locked(struct node *node, uint64_t round, const struct record *record);

/* Reserves `name` for a record that is not committed, with one lookup and the attributes
 * of `template` (referenced). -EEXIST: reserved already, and *ret is that node. */
int node_reserve(struct node_table *table, struct node *parent, const char *name,
		 struct record *template, struct node **ret);

/* Takes a reservation back that nobody was told of. */
void node_give_up(struct node_table *table, struct node *node);

/* Under the lock: the child, or the reserved child; NULL: none that is known. */
struct node *node_child_locked(struct node_table *table, struct node *parent, const char *name);
struct node *node_reserved_locked(struct node_table *table, struct node *parent, const char *name);
/* Under the lock: the node of a key of the live tree below `root`, or NULL. */
struct node *node_find_locked(struct node_table *table, struct node *root, const char *key);
/* Under the lock: takes it out of its directory, for good. */
void node_detach_locked(struct node_table *table, struct node *node, enum node_state state);
/* Under the lock: remembers how the live file `node` can still be read, before it is
 * detached by the commit of `revision`. */
void node_note_vanished_locked(struct node *node, uint64_t revision);
/* Under the lock: a committed node, or a reserved one, gets another name. What had that
 * name before is detached as unlinked. */
void node_move_locked(struct node_table *table, struct node *node, struct node *parent,
		      const char *name);
/* Under the lock: the two change places. */
void node_exchange_locked(struct node_table *table, struct node *a, struct node *b);
/* Under the lock: a reserved node is committed now. */
void node_settle_locked(struct node_table *table, struct node *node);

/* The key a node stands for (caller frees). -ESTALE: none any more; -ENAMETOOLONG. With
 * `name` that of the entry `name` below it. */
int node_key(struct node_table *table, struct node *node, const char *name, char **ret);
int node_key_locked(struct node *node, const char *name, char **ret);
enum node_state node_state(struct node_table *table, struct node *node);
