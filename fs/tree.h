/* Requests on keys: the live tree and those of transactions. */
#pragma once

#include "fs/mount.h"

/* The key of `node`, or of `name` in it, as the tree is now. -ESTALE: it means nothing any
 * more, the kernel shall look again; -ENAMETOOLONG. Caller frees. */
int tree_resolve(struct fs *fs, struct node *node, const char *name, char **ret);
/* The record of `node` as it is now. -ESTALE as above. */
int tree_get(struct fs *fs, struct node *node, char **ret_key, struct record **ret);
/* The same for who opens or asks: a live file that lost its name while the call that asks was on
 * its way to it is still there for that call, as it was. */
int tree_get_readable(struct fs *fs, struct node *node, char **ret_key, struct record **ret);

/* A program of one operation on `key` on behalf of the caller, which is done only while
 * `guard_key` is the file of `guard`. */
struct program *tree_program(fuse_req_t req, enum op_kind kind, const char *key,
			     const char *guard_key, const struct node *guard, struct op **ret_op);

/* How long the kernel may keep attributes read when directory_epoch was `epoch`. */
double tree_attribute_timeout(struct fs *fs, const struct node *node, gint epoch);
/* After a reply with attributes of a directory: takes them back when they changed
 * meanwhile. */
void tree_recheck(struct fs *fs, uint64_t id, gint epoch);

void tree_lookup(struct fs *fs, fuse_req_t req, struct node *parent, const char *name);
void tree_mkdir(struct fs *fs, fuse_req_t req, struct node *parent, const char *name, mode_t mode);
/* mknod(2) of a regular file. */
void tree_mknod(struct fs *fs, fuse_req_t req, struct node *parent, const char *name, mode_t mode);
void tree_symlink(struct fs *fs, fuse_req_t req, const char *link, struct node *parent,
		  const char *name);
void tree_remove(struct fs *fs, fuse_req_t req, enum op_kind kind, struct node *parent,
		 const char *name);
void tree_rename(struct fs *fs, fuse_req_t req, struct node *parent, const char *name,
		 struct node *new_parent, const char *new_name, unsigned flags);

void tree_getattr(struct fs *fs, fuse_req_t req, struct node *node, struct handle *handle);
void tree_setattr(struct fs *fs, fuse_req_t req, struct node *node, const struct stat *attributes,
		  int to_set, struct handle *handle);
void tree_readlink(struct fs *fs, fuse_req_t req, struct node *node);

void tree_create(struct fs *fs, fuse_req_t req, struct node *parent, const char *name, mode_t mode,
		 struct fuse_file_info *info);
void tree_open(struct fs *fs, fuse_req_t req, struct node *node, struct fuse_file_info *info);
void tree_read(struct handle *handle, fuse_req_t req, size_t size, off_t offset);
/* The handle has been granted a lock: if it has no uncommitted writes it moves to the newest
 * value. */
void tree_refresh(struct handle *handle, pid_t tid);
void tree_write(struct handle *handle, fuse_req_t req, const char *data, size_t size, off_t offset);
/* ftruncate(2) in a transaction on a file that has no name any more. */
int tree_truncate_orphan(struct fs *fs, struct node *node, uint64_t size);

void tree_opendir(struct fs *fs, fuse_req_t req, struct node *node, struct fuse_file_info *info);
void tree_readdir(struct handle *handle, fuse_req_t req, size_t size, off_t offset, bool plus);

/* ---- Provisional observations ---------------------------------------------------- */

/* A stat(2) in a transaction observes the value; but the permission check of every open(2)
 * looks the same. So the observation is provisional until the thread's next request. */
void provisional_note(struct fs *fs, fuse_req_t req, struct node *node, const char *key,
		      const struct record *record);
/* At the beginning of every request: what the thread observed last becomes firm, unless
 * `opened` is that very node, which it is opening now. */
void provisional_settle(struct fs *fs, fuse_req_t req, const struct node *opened);
GHashTable *provisional_table_new(void);
/* What any thread has observed of `key` (NULL: of anything) becomes firm: the commit comes, or
 * a change that makes it the transaction's own. */
void provisional_settle_txn(struct fs *fs, struct txn *txn, const char *key);
/* The transaction itself is about to make, move or remove a name of the tree, or to change
 * attributes. */
void tree_note_reshaped(struct fs *fs, struct tree *tree);
/* view_apply, after that. */
void tree_apply(struct fs *fs, const struct tree *tree, struct program *program,
		program_done_fn *done, void *arg);
