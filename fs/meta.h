/* meta/: what is known of each key, under its own path. */
#pragma once

#include "fs/control.h"

/* What a file of meta/ is. */
extern const struct control meta_file;

/* meta/ itself, and what lies in it. */
void meta_lookup_top(struct fs *fs, fuse_req_t req, struct node *parent, const char *name);
void meta_lookup(struct fs *fs, fuse_req_t req, struct node *parent, const char *name);
void meta_getattr(struct fs *fs, fuse_req_t req, struct node *node);
/* What the directory holds; of struct listed_entry. */
int meta_list(struct fs *fs, struct node *directory, GPtrArray *entries);
