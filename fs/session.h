/* Sessions: a live file opened for writing. What is written stays private to the handle
 * and is committed as one change when the opener has let go of it, at fsync(2), or for
 * appenders from time to time. */
#pragma once

#include "fs/mount.h"

struct session;

/* A session of the caller on `node` (held until it ends). `base` (referenced, NULL: empty)
 * is the committed value. `created`: the name is new. */
struct session *session_new(struct fs *fs, struct node *node, fuse_req_t req, int flags,
			    bool created, GBytes *base);
struct session *session_ref(struct session *session);
void session_unref(struct session *session); /* accepts NULL */

/* Its handle is going: the node forgets it, and a name reserved for it alone is free. Any
 * number of times. */
void session_leave(struct session *session);
/* True when what it has not committed must not be lost at the end: an appender's, or a file
 * that has been closed everywhere. */
bool session_is_kept(struct session *session);
/* True while something is not committed that close(2) would commit. */
bool session_is_pending(struct session *session);

/* The value as the handle sees it (caller unrefs; NULL: empty), and its size. */
GBytes *session_value(struct session *session);
uint64_t session_size(struct session *session);

/* Replies to WRITE, FSYNC, FLUSH and RELEASE; RELEASE frees the handle. */
void session_write(struct session *session, fuse_req_t req, const char *data, size_t size,
		   off_t offset);
void session_fsync(struct session *session, fuse_req_t req);
/* `owner` as the kernel tells it, of locks. */
void session_flush(struct handle *handle, fuse_req_t req, uint64_t owner);
void session_release(struct handle *handle, fuse_req_t req);

/* ftruncate(2). -EFBIG -ENOSPC -EROFS. */
int session_truncate(struct session *session, uint64_t size);
/* A change of attributes by the session's own process: belongs to its commit. */
void session_change_attributes(struct session *session, const struct attributes *changes);
/* Puts the changes that are not committed into `attributes` of a stat. */
void session_overlay_attributes(struct session *session, struct stat *attributes);

/* The caller's own session on a node that has not been closed, referenced; NULL: none. */
struct session *session_find_own(struct fs *fs, struct node *node, pid_t tid);
/* That of `handle`, and those of the process of `tid` on the same file: of struct session,
 * referenced. */
GPtrArray *session_find_writing(struct handle *handle, pid_t tid);
/* Moves it to the newest value, unless it holds writes that are not committed. */
void session_refresh(struct session *session);
typedef void session_done_fn(int error, void *arg);
/* Commits what it holds and calls done(error, arg) once, possibly before this returns. */
void session_commit(struct session *session, session_done_fn *done, void *arg);
/* Any session on a reserved node that belongs to the process of `tid`. */
bool session_owns_node(struct fs *fs, struct node *node, pid_t tid);

/* A request that waits for a session to end, to be asked once more then. */
typedef void session_resume_fn(fuse_req_t req, struct node *node, const char *name, int flags);

/* Which sessions a request has to wait for. */
enum session_scope {
	SESSION_ON_NODE,  /* on `node` */
	SESSION_ON_NAME,  /* on the entry `name` of the directory `node` */
	SESSION_ON_ENTRY, /* on any entry of the directory `node` */
	SESSION_ANY,	  /* on whatever file */
};

/* `: > key` has been closed everywhere, but its RELEASE is still on its way: then keeps
 * the request, calls resume(req, node, name, flags) after it, and returns true. */
bool session_wait_for_release(struct fs *fs, fuse_req_t req, struct node *node, const char *name,
			      enum session_scope scope, int flags, session_resume_fn *resume);

/* Called by the commit hook, under the table's lock. */
struct node *session_node(struct session *session);

/* The thread that commits idle appenders and lets waiting requests go. */
/* -EAGAIN: no thread can be started. */
int housekeeper_new(struct fs *fs, struct housekeeper **ret);
void housekeeper_free(struct housekeeper *housekeeper); /* accepts NULL */
