/* Control files: everything on the mount that is no key. One table says of each its name,
 * mode, text and action; adding one is adding a row. */
#pragma once

#include "fs/mount.h"

/* The row of the mount's root. */
const struct control *control_root(void);

void control_lookup(struct fs *fs, fuse_req_t req, struct node *parent, const char *name);
void control_getattr(struct fs *fs, fuse_req_t req, struct node *node);
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

/* st_ino of a node of the mount's own. */
uint64_t control_node_ino(const struct node *node);

/* The revision has grown: wakes who polls for it. */
void control_wake_pollers(struct fs *fs);

/* The hook of the registry (arg: the fs). */
void control_txn_ended(struct txn *txn, void *arg);
