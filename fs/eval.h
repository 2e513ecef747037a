/* MNT/eval: programs written and read as text.
 *
 * What is written collects on the handle; the program runs at the first READ or fsync after
 * a write, and its reply stays on the handle until the next write begins another. It runs in
 * READ because WRITEs to one inode are serialised by its lock and READs are not: callers
 * commit in one group. */
#pragma once

#include "fs/mount.h"

struct eval;

/* For a handle that was opened read-write; programs are those of its opener. */
struct eval *eval_new(struct fs *fs, struct credentials *opener);
void eval_unref(struct eval *eval); /* accepts NULL */

/* Requests on the handle; each replies. -EFBIG, -EDQUOT: the text is too long, and then the
 * whole program is refused; -EBUSY: one is running. */
void eval_write(struct handle *handle, fuse_req_t req, const char *data, size_t size);
void eval_read(struct handle *handle, fuse_req_t req, size_t size, off_t offset);
/* Replies 0; -EINVAL: the program was refused; or how the store failed. */
void eval_fsync(struct handle *handle, fuse_req_t req);
/* FS_IOCTL_EVAL_JSON: replies are JSON from the next program on. */
void eval_ioctl(struct handle *handle, fuse_req_t req, unsigned command);

/* What reading says where eval was not opened for writing. */
extern const char eval_usage[];
