/* Replies to the kernel, and the handles they hand out. */
#include "fs/backup.h"
#include "fs/eval.h"
#include "fs/forget.h"
#include "fs/lock.h"
#include "fs/session.h"
#include "fs/watch.h"

#include <errno.h>
#include <fcntl.h>

void reply_error(fuse_req_t req, int error)
{
	fuse_reply_err(req, -error);
}

void reply_entry(fuse_req_t req, struct node *node, const struct fuse_entry_param *entry)
{
	struct fs *fs = fuse_req_userdata(req);
	uint64_t id = node->id;

	if (fuse_reply_entry(req, entry) != 0)
		node_forget(&fs->nodes, id, 1);
}

void reply_bytes(fuse_req_t req, GBytes *bytes, size_t size, off_t offset)
{
	size_t length = 0;
	const char *data = bytes ? g_bytes_get_data(bytes, &length) : NULL;

	if (offset < 0 || (uint64_t)offset >= length)
		fuse_reply_buf(req, NULL, 0);
	else
		fuse_reply_buf(req, data + offset, MIN(size, length - (size_t)offset));
}

struct credentials *caller_rights(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct credentials *credentials = g_new0(struct credentials, 1);

	credentials->uid = ctx->uid;
	credentials->gid = ctx->gid;
	if (ctx->uid != 0)
		credentials->groups = process_groups(ctx->pid);
	return credentials;
}

struct credentials *caller_credentials_process(fuse_req_t req, struct process *ret_process)
{
	struct credentials *credentials = caller_rights(req);

	if (process_read(fuse_req_ctx(req)->pid, ret_process) == 0) {
		credentials->pid = ret_process->pid;
		credentials->command = g_strdup(ret_process->command);
	} else {
		ret_process->pid = 0;
	}
	return credentials;
}

struct credentials *caller_credentials(fuse_req_t req)
{
	struct process process;

	return caller_credentials_process(req, &process);
}

struct credentials *opener_credentials(fuse_req_t req)
{
	struct credentials *credentials = caller_credentials(req);

	credentials->umask = process_umask(fuse_req_ctx(req)->pid);
	return credentials;
}

/* The transaction that is in use by the handle, or NULL. Looking at a control file is not
 * using it: a watcher of `status` must not keep it alive. */
static struct txn *txn_in_use(const struct node *node, int flags)
{
	if (node->kind == NODE_KEY)
		return node->tree->txn;
	return (flags & O_ACCMODE) == O_RDONLY ? NULL : node->txn;
}

struct handle *handle_new(struct fs *fs, struct node *node, int flags)
{
	struct handle *handle = g_new0(struct handle, 1);

	handle->fs = fs;
	handle->node = node;
	handle->flags = flags;
	pthread_mutex_init(&handle->lock, NULL);
	pthread_mutex_lock(&fs->nodes.lock);
	node->refs++;
	node->handles++;
	g_hash_table_add(fs->handles, handle);
	pthread_mutex_unlock(&fs->nodes.lock);
	if (txn_in_use(node, flags))
		txn_hold(txn_in_use(node, flags));
	return handle;
}

enum { KIB = 1024, FREE_KIB = 16 };

int handle_charge(struct handle *handle, uint64_t bytes)
{
	gint kib = bytes <= FREE_KIB * KIB ? 0 : (gint)MIN((bytes + KIB - 1) / KIB, G_MAXINT);
	gint had = g_atomic_int_get(&handle->charged);
	int r = registry_charge(handle->fs->registry, handle->opener, (int64_t)(kib - had) * KIB);

	if (r == 0)
		g_atomic_int_add(&handle->charged, kib - had);
	return r;
}

void handle_free(struct handle *handle)
{
	struct fs *fs = handle->fs;
	GBytes *unshared = NULL;

	lock_released(handle);
	pthread_mutex_lock(&fs->poll_lock);
	g_hash_table_remove(fs->poll_handles, handle);
	g_ptr_array_remove_fast(fs->log_handles, handle);
	pthread_mutex_unlock(&fs->poll_lock);
	pthread_mutex_lock(&fs->nodes.lock);
	handle->node->handles--;
	if (handle->cached)
		handle->node->cached--;
	if (handle->node->handles == 0)
		unshared = g_steal_pointer(&handle->node->value);
	g_hash_table_remove(fs->handles, handle);
	pthread_mutex_unlock(&fs->nodes.lock);
	g_clear_pointer(&unshared, g_bytes_unref);
	watch_release(handle);
	if (txn_in_use(handle->node, handle->flags))
		txn_release(txn_in_use(handle->node, handle->flags));
	if (handle->session)
		session_leave(handle->session);
	session_unref(handle->session);
	eval_unref(handle->eval);
	node_unref(&fs->nodes, handle->node);
	g_clear_pointer(&handle->value, g_bytes_unref);
	g_clear_pointer(&handle->text, g_bytes_unref);
	g_clear_pointer(&handle->entries, g_ptr_array_unref);
	snapshot_unref(handle->snapshot);
	handle_charge(handle, 0);
	g_free(handle->key);
	backup_release(handle);
	forgetting_unref(handle->forgetting);
	record_unref(handle->record);
	if (handle->poll)
		fuse_pollhandle_destroy(handle->poll);
	pthread_mutex_destroy(&handle->lock);
	g_free(handle);
}

/* Of the value that it holds from the open on. */
static uint64_t value_size(const struct handle *handle)
{
	uint64_t size = handle->session ? session_size(handle->session) :
			handle->value	? g_bytes_get_size(handle->value) :
					  0;

	if (handle->record && handle->record->value)
		size += g_bytes_get_size(handle->record->value);
	return size;
}

void reply_open(fuse_req_t req, struct handle *handle, struct fuse_file_info *info)
{
	int r;

	handle->opener = fuse_req_ctx(req)->uid;
	r = handle_charge(handle, value_size(handle));
	if (r < 0) {
		handle_free(handle);
		reply_error(req, r);
		return;
	}
	info->fh = (uintptr_t)handle;
	if (fuse_reply_open(req, info) != 0)
		handle_free(handle);
}
