/* at/: the trees of past revisions, and the snapshots that have a name. */
#pragma once

#include "fs/mount.h"

/* In at/ itself: numbers, times and names. */
void past_lookup_top(struct fs *fs, fuse_req_t req, struct node *parent, const char *name);
void past_mkdir(struct fs *fs, fuse_req_t req, struct node *parent, const char *name);
void past_rmdir(struct fs *fs, fuse_req_t req, struct node *parent, const char *name);
/* The named snapshots, of struct listed_entry. */
int past_list_names(struct fs *fs, GPtrArray *entries);

/* In the tree of a revision. */
void past_lookup(struct fs *fs, fuse_req_t req, struct node *parent, const char *name);
void past_getattr(struct fs *fs, fuse_req_t req, struct node *node);
void past_readlink(struct fs *fs, fuse_req_t req, struct node *node);
void past_open(struct fs *fs, fuse_req_t req, struct node *node, struct fuse_file_info *info);
void past_opendir(struct fs *fs, fuse_req_t req, struct node *node, struct fuse_file_info *info);
void past_read(struct handle *handle, fuse_req_t req, size_t size, off_t offset);
/* What the directory held; of struct listed_entry. */
int past_list(struct handle *handle, GPtrArray *entries);

/* A commit has changed who may reach what: the kernel shall ask again. */
void past_commit_seen(struct fs *fs, const struct log_entry *commit);
/* Revisions have been compacted: the kernel shall ask again. */
void past_compacted(struct fs *fs);
/* What `key` was is forgotten: whoever opens it finds that out. */
void past_purged(struct fs *fs, const char *key);
