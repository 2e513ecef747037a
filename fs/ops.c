/* One function a request: finds the node, decides between keys and control files, and
 * hands over. What is not here (links, attributes beyond the ordinary, preallocation)
 * libfuse answers with ENOSYS, which the kernel remembers and turns into EOPNOTSUPP, or
 * does by itself. */
#include "fs/ops.h"

#include "fs/control.h"
#include "fs/eval.h"
#include "fs/lock.h"
#include "fs/loop.h"
#include "fs/meta.h"
#include "fs/past.h"
#include "fs/session.h"
#include "fs/tree.h"
#include "fs/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

static struct fs *fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* The node of a request, any but an open: with it the thread says that its last stat was
 * one. */
static struct node *node_of(fuse_req_t req, fuse_ino_t id)
{
	struct fs *fs = fs_of(req);

	provisional_settle(fs, req, NULL);
	return node_get(&fs->nodes, id);
}

/* The past, and what is told of keys. */
static bool is_read_only(const struct node *node)
{
	return node->kind == NODE_PAST || node->kind == NODE_META;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct fs *fs = userdata;

	/* Values are copied once, into the store; splicing would only cost calls. */
	conn->want &=
		~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
			    FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_WRITEBACK_CACHE);
	conn->time_gran = 1;
	if (fs->options.ready)
		fs->options.ready(fs->options.ready_arg);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent_id, const char *name)
{
	struct node *parent = node_of(req, parent_id);

	if (parent->kind == NODE_KEY)
		tree_lookup(fs_of(req), req, parent, name);
	else if (parent->kind == NODE_PAST)
		past_lookup(fs_of(req), req, parent, name);
	else if (parent->kind == NODE_META)
		meta_lookup(fs_of(req), req, parent, name);
	else
		control_lookup(fs_of(req), req, parent, name);
}

static void op_forget(fuse_req_t req, fuse_ino_t id, uint64_t count)
{
	node_forget(&fs_of(req)->nodes, id, count);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		node_forget(&fs_of(req)->nodes, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info)
{
	struct node *node = node_of(req, id);

	if (node->kind == NODE_KEY)
		tree_getattr(fs_of(req), req, node, info ? handle_of(info) : NULL);
	else if (node->kind == NODE_PAST)
		past_getattr(fs_of(req), req, node);
	else if (node->kind == NODE_META)
		meta_getattr(fs_of(req), req, node);
	else
		control_getattr(fs_of(req), req, node, info ? handle_of(info) : NULL);
}

static void op_setattr(fuse_req_t req, fuse_ino_t id, struct stat *attributes, int to_set,
		       struct fuse_file_info *info)
{
	struct fs *fs = fs_of(req);
	struct node *node = node_get(&fs->nodes, id);

	/* Before a chown the kernel asks for the mode by itself, as before an open. */
	provisional_settle(fs, req, to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID) ? node : NULL);

	if (node->kind == NODE_KEY)
		tree_setattr(fs_of(req), req, node, attributes, to_set,
			     info ? handle_of(info) : NULL);
	else if (is_read_only(node))
		reply_error(req, -EROFS);
	else
		control_setattr(fs_of(req), req, node, to_set);
}

static void op_readlink(fuse_req_t req, fuse_ino_t id)
{
	struct node *node = node_of(req, id);

	if (node->kind == NODE_KEY)
		tree_readlink(fs_of(req), req, node);
	else if (node->kind == NODE_PAST)
		past_readlink(fs_of(req), req, node);
	else if (node->kind == NODE_META)
		reply_error(req, -EINVAL);
	else
		control_readlink(fs_of(req), req, node);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent_id, const char *name, mode_t mode, dev_t dev)
{
	struct node *parent = node_of(req, parent_id);

	(void)dev;
	if (parent->kind == NODE_KEY && S_ISREG(mode))
		tree_mknod(fs_of(req), req, parent, name, mode);
	else
		reply_error(req, is_read_only(parent) ? -EROFS : -EPERM);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent_id, const char *name, mode_t mode)
{
	struct node *parent = node_of(req, parent_id);

	if (parent->kind == NODE_KEY)
		tree_mkdir(fs_of(req), req, parent, name, mode);
	else if (is_read_only(parent))
		reply_error(req, -EROFS);
	else
		control_mkdir(fs_of(req), req, parent, name);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent_id, const char *name)
{
	struct node *parent = node_of(req, parent_id);

	if (parent->kind == NODE_KEY)
		tree_remove(fs_of(req), req, OP_DELETE, parent, name);
	else if (is_read_only(parent))
		reply_error(req, -EROFS);
	else
		control_unlink(fs_of(req), req, parent, name);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent_id, const char *name)
{
	struct node *parent = node_of(req, parent_id);

	if (parent->kind == NODE_KEY)
		tree_remove(fs_of(req), req, OP_RMDIR, parent, name);
	else if (is_read_only(parent))
		reply_error(req, -EROFS);
	else
		control_rmdir(fs_of(req), req, parent, name);
}

static void op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent_id, const char *name)
{
	struct node *parent = node_of(req, parent_id);

	if (parent->kind == NODE_KEY)
		tree_symlink(fs_of(req), req, link, parent, name);
	else
		reply_error(req, is_read_only(parent) ? -EROFS : -EPERM);
}

static bool same_tree(const struct node *a, const struct node *b)
{
	return a->kind == NODE_KEY && b->kind == NODE_KEY && a->tree->txn == b->tree->txn;
}

static void op_rename(fuse_req_t req, fuse_ino_t parent_id, const char *name,
		      fuse_ino_t new_parent_id, const char *new_name, unsigned kernel_flags)
{
	struct node *parent = node_of(req, parent_id);
	struct node *new_parent = node_of(req, new_parent_id);
	unsigned flags = 0;

	if (kernel_flags & RENAME_NOREPLACE)
		flags |= OP_EXCLUSIVE;
	if (kernel_flags & RENAME_EXCHANGE)
		flags |= OP_EXCHANGE;
	if (kernel_flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		reply_error(req, -EINVAL);
	else if (same_tree(parent, new_parent))
		tree_rename(fs_of(req), req, parent, name, new_parent, new_name, flags);
	else if (is_read_only(parent) && is_read_only(new_parent))
		reply_error(req, -EROFS);
	else if (!parent->tree && !new_parent->tree)
		reply_error(req, -EPERM);
	else
		reply_error(req, -EXDEV);
}

static void op_link(fuse_req_t req, fuse_ino_t id, fuse_ino_t new_parent_id, const char *new_name)
{
	(void)new_name;
	node_of(req, id);
	reply_error(req, is_read_only(node_of(req, new_parent_id)) ? -EROFS : -EPERM);
}

static void op_open(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info)
{
	struct fs *fs = fs_of(req);
	struct node *node = node_get(&fs->nodes, id);

	provisional_settle(fs, req, node);
	if (node->kind == NODE_KEY)
		tree_open(fs, req, node, info);
	else if (node->kind == NODE_PAST)
		past_open(fs, req, node, info);
	else if (node->kind == NODE_META && (info->flags & (O_ACCMODE | O_TRUNC)) != O_RDONLY)
		reply_error(req, -EROFS); /* as all that would change it */
	else
		control_open(fs, req, node, info);
}

static void op_create(fuse_req_t req, fuse_ino_t parent_id, const char *name, mode_t mode,
		      struct fuse_file_info *info)
{
	struct node *parent = node_of(req, parent_id);

	if (parent->kind == NODE_KEY)
		tree_create(fs_of(req), req, parent, name, mode, info);
	else
		reply_error(req, is_read_only(parent) ? -EROFS : -EPERM);
}

static void op_read(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
		    struct fuse_file_info *info)
{
	struct node *node = node_of(req, id);

	if (node->kind == NODE_KEY)
		tree_read(handle_of(info), req, size, offset);
	else if (node->kind == NODE_PAST)
		past_read(handle_of(info), req, size, offset);
	else if (handle_of(info)->watcher)
		watch_read(handle_of(info), req, size, info->flags);
	else
		control_read(handle_of(info), req, size, offset);
}

static void op_write(fuse_req_t req, fuse_ino_t id, const char *data, size_t size, off_t offset,
		     struct fuse_file_info *info)
{
	struct node *node = node_of(req, id);

	if (node->kind == NODE_KEY)
		tree_write(handle_of(info), req, data, size, offset);
	else
		control_write(handle_of(info), req, data, size);
}

static void op_flush(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info)
{
	struct node *node = node_of(req, id);
	struct handle *handle = handle_of(info);

	if (handle->session) {
		session_flush(handle, req, info->lock_owner);
		return;
	}
	lock_flushed(handle, info->lock_owner);
	if (node->control)
		control_flush(handle);
	reply_error(req, 0);
}

static void op_release(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info)
{
	struct handle *handle = handle_of(info);

	(void)id;
	if (handle->session) {
		session_release(handle, req);
	} else {
		handle_free(handle);
		reply_error(req, 0);
	}
}

static void op_fsync(fuse_req_t req, fuse_ino_t id, int datasync, struct fuse_file_info *info)
{
	struct handle *handle = handle_of(info);

	(void)datasync;
	node_of(req, id);
	if (handle->session)
		session_fsync(handle->session, req);
	else if (handle->eval)
		eval_fsync(handle, req);
	else
		reply_error(req, 0);
}

static void op_ioctl(fuse_req_t req, fuse_ino_t id, unsigned command, void *arg,
		     struct fuse_file_info *info, unsigned flags, const void *data,
		     size_t data_size, size_t reply_size)
{
	struct handle *handle = flags & FUSE_IOCTL_DIR ? NULL : handle_of(info);

	(void)arg;
	(void)data;
	(void)data_size;
	(void)reply_size;
	node_of(req, id);
	if (handle && handle->eval)
		eval_ioctl(handle, req, command);
	else
		reply_error(req, -ENOTTY);
}

static void op_opendir(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info)
{
	struct node *node = node_of(req, id);

	if (node->kind == NODE_PAST)
		past_opendir(fs_of(req), req, node, info);
	else
		tree_opendir(fs_of(req), req, node, info);
}

static void op_readdir(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
		       struct fuse_file_info *info)
{
	node_of(req, id);
	tree_readdir(handle_of(info), req, size, offset, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
			   struct fuse_file_info *info)
{
	node_of(req, id);
	tree_readdir(handle_of(info), req, size, offset, true);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info)
{
	(void)id;
	if (handle_of(info)->charged > 0)
		loop_step_down(); /* giving back what is large takes long, too */
	handle_free(handle_of(info));
	reply_error(req, 0);
}

/* Every change of names is durable when its call returns. */
static void op_fsyncdir(fuse_req_t req, fuse_ino_t id, int datasync, struct fuse_file_info *info)
{
	(void)datasync;
	(void)info;
	node_of(req, id);
	reply_error(req, 0);
}

static void op_statfs(fuse_req_t req, fuse_ino_t id)
{
	struct statvfs statistics = { .f_bsize = 4096,
				      .f_frsize = 4096,
				      .f_namemax = STORE_NAME_MAX };
	struct store_status status;
	struct node *node = node_of(req, id);
	uint64_t total_bytes, free_bytes;
	g_autofree char *key = NULL;

	/* The kernel may know the name from an earlier round: this is its only question. */
	if (node->kind == NODE_KEY && node->tree->txn &&
	    tree_resolve(fs_of(req), node, NULL, &key) == -ESTALE) {
		reply_error(req, -ESTALE);
		return;
	}
	store_get_space(fs_of(req)->store, &total_bytes, &free_bytes);
	store_get_status(fs_of(req)->store, &status);
	statistics.f_blocks = total_bytes / 4096;
	statistics.f_bfree = statistics.f_bavail = free_bytes / 4096;
	statistics.f_files = status.keys;
	fuse_reply_statfs(req, &statistics);
}

static void op_poll(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info,
		    struct fuse_pollhandle *poll)
{
	if (node_of(req, id)->control) {
		control_poll(handle_of(info), req, poll);
		return;
	}
	if (poll)
		fuse_pollhandle_destroy(poll);
	fuse_reply_poll(req, POLLIN | POLLOUT);
}

static void op_getlk(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info, struct flock *lock)
{
	node_of(req, id);
	lock_query(handle_of(info), req, info->lock_owner, lock);
}

static void op_setlk(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info, struct flock *lock,
		     int sleep)
{
	node_of(req, id);
	lock_range(handle_of(info), req, info->lock_owner, lock, sleep);
}

static void op_flock(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info, int operation)
{
	node_of(req, id);
	lock_whole(handle_of(info), req, info->lock_owner, operation);
}

const struct fuse_lowlevel_ops fs_operations = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.create = op_create,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.ioctl = op_ioctl,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.statfs = op_statfs,
	.poll = op_poll,
	.getlk = op_getlk,
	.setlk = op_setlk,
	.flock = op_flock,
};
