/* Locks: flock(2) and fcntl(2), of each tree by themselves. A lock belongs to a file, by its
 * inode number, so that it follows a rename; what replaces the file has locks of its own.
 *
 * They also publish and refresh, as on NFS: who is granted a lock sees the newest value
 * through that handle, if it has not written to it; who gives one up has committed before
 * anybody else is granted it. */
#pragma once

#include "fs/mount.h"

struct lock_table;

struct lock_table *lock_table_new(void);
/* The mount is gone: who still waits is answered with EINTR. Before any handle goes. */
void lock_table_end(struct lock_table *table);
void lock_table_free(struct lock_table *table);

/* Requests; `owner` is the kernel's: of a process for fcntl(2), of an open file for flock(2)
 * and F_OFD_SETLK. -EAGAIN: another has it; -EDEADLK: the other waits for us; -EINTR;
 * -ENOLCK: the file has too many. An error of a commit: it stays locked. */
void lock_query(struct handle *handle, fuse_req_t req, uint64_t owner, const struct flock *lock);
void lock_range(struct handle *handle, fuse_req_t req, uint64_t owner, const struct flock *lock,
		bool wait);
void lock_whole(struct handle *handle, fuse_req_t req, uint64_t owner, int operation);

/* True when `owner` has locked ranges of the file: close(2) gives them up, so it commits. */
bool lock_is_held(struct handle *handle, uint64_t owner);
/* FLUSH: a process has closed a descriptor of the file, which ends all its ranges. */
void lock_flushed(struct handle *handle, uint64_t owner);
/* RELEASE, any number of times: nobody has the open file any more. Ends what was locked
 * through it: where the kernel sends no FLUSH this is when ranges end, too. */
void lock_released(struct handle *handle);
