/* Control files: everything on the mount that is no key. One table says of each its name,
 * mode, text and action; adding one is adding a row. */
#pragma once

#include "fs/mount.h"

enum place {
	PLACE_ROOT,	    /* in the root of the mount */
	PLACE_TRANSACTIONS, /* in txn/ */
	PLACE_TRANSACTION,  /* in a transaction */
	PLACE_PAST,	    /* in at/ */
	PLACE_META,	    /* in meta/: what it shows are keys */
	PLACE_CONTROL,	    /* in control/ */
	PLACE_NOWHERE,	    /* directories that are not looked up as rows */
	PLACE_LOG,	    /* no place: a file with places of its own, the log */
};

/* Makes the text of a handle. */
typedef int text_fn(struct handle *handle, fuse_req_t req, GString **ret);
/* Does what a write says, and replies to it. */
typedef void action_fn(struct handle *handle, fuse_req_t req, const char *data, size_t size);

struct control {
	enum place place;
	const char *name;
	mode_t mode;
	text_fn *text;	    /* NULL: reads nothing */
	action_fn *action;  /* NULL: EPERM */
	enum place entries; /* of a directory: what lies in it; of the log: PLACE_LOG */
};

static inline bool control_is_log(const struct control *control)
{
	return control->entries == PLACE_LOG;
}

/* The row of the mount's root. */
const struct control *control_root(void);

void control_lookup(struct fs *fs, fuse_req_t req, struct node *parent, const char *name);
void control_getattr(struct fs *fs, fuse_req_t req, struct node *node, struct handle *handle);
void control_setattr(struct fs *fs, fuse_req_t req, struct node *node, int to_set);
void control_readlink(struct fs *fs, fuse_req_t req, struct node *node);
void control_open(struct fs *fs, fuse_req_t req, struct node *node, struct fuse_file_info *info);
void control_read(struct handle *handle, fuse_req_t req, size_t size, off_t offset);
void control_write(struct handle *handle, fuse_req_t req, const char *data, size_t size);
void control_flush(struct handle *handle);
void control_poll(struct handle *handle, fuse_req_t req, struct fuse_pollhandle *poll);
void control_mkdir(struct fs *fs, fuse_req_t req, struct node *parent, const char *name);
void control_rmdir(struct fs *fs, fuse_req_t req, struct node *parent, const char *name);
void control_unlink(struct fs *fs, fuse_req_t req, struct node *parent, const char *name);

/* The entries of a directory of the mount's own; of struct listed_entry. -ESTALE. */
int control_list(struct fs *fs, struct node *directory, GPtrArray *entries);

/* Replies to a WRITE of `size` bytes that was done, or not. */
void control_reply_written(fuse_req_t req, size_t size, int error);

/* st_ino of a node of the mount's own. */
uint64_t control_node_ino(const struct node *node);

/* The revision has grown, or a compaction went on: wakes who polls for either. */
void control_wake_pollers(struct fs *fs);

/* The hook of the registry (arg: the fs). */
void control_txn_ended(struct txn *txn, void *arg);
