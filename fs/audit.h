/* MNT/log: a line for each commit, as a file that grows. */
#pragma once

#include "fs/control.h"

/* The size of the log: as `handle` has it; NULL: as the process of the thread `tid`, if that
 * has it open. */
uint64_t audit_size(struct fs *fs, const struct handle *handle, pid_t tid);
int audit_open(struct handle *handle, pid_t tid);
void audit_read(struct handle *handle, fuse_req_t req, size_t size, off_t offset);
