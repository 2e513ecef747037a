/* The log has no text of its own here: the store keeps one, in which every line has its
 * place for good. A file begins with the oldest line that is retained, so an open handle
 * sees that text from where its oldest line was at the open: offsets stay as they are while
 * it is open, whatever is compacted, and `tail -f` never sees it shrink. */
#include "fs/audit.h"

#include <errno.h>

/* fstat(2) comes without a handle: whoever has the log open is told the size of that. */
static bool find_reader(struct fs *fs, pid_t tid, uint64_t *ret_begin)
{
	struct process process;
	bool any, found = false;

	pthread_mutex_lock(&fs->poll_lock);
	any = fs->log_handles->len > 0;
	pthread_mutex_unlock(&fs->poll_lock);
	if (!any || process_read(tid, &process) < 0)
		return false;
	pthread_mutex_lock(&fs->poll_lock);
	for (guint i = 0; !found && i < fs->log_handles->len; i++) {
		const struct handle *handle = g_ptr_array_index(fs->log_handles, i);

		found = handle->log_reader == process.pid;
		*ret_begin = handle->log_begin;
	}
	pthread_mutex_unlock(&fs->poll_lock);
	return found;
}

uint64_t audit_size(struct fs *fs, const struct handle *handle, pid_t tid)
{
	uint64_t begin, end, handle_begin;

	if (store_log_span(fs->store, &begin, &end) < 0)
		return 0;
	if (handle)
		begin = handle->log_begin;
	else if (find_reader(fs, tid, &handle_begin))
		begin = handle_begin;
	return end - begin;
}

int audit_open(struct handle *handle, pid_t tid)
{
	struct fs *fs = handle->fs;
	struct process process;
	uint64_t end;
	int r = store_log_span(fs->store, &handle->log_begin, &end);

	if (r < 0)
		return r;
	handle->log_reader = process_read(tid, &process) == 0 ? process.pid : 0;
	pthread_mutex_lock(&fs->poll_lock);
	g_ptr_array_add(fs->log_handles, handle);
	pthread_mutex_unlock(&fs->poll_lock);
	return 0;
}

/* A line that was compacted while it was open cannot be read any more. */
void audit_read(struct handle *handle, fuse_req_t req, size_t size, off_t offset)
{
	g_autoptr(GString) text = g_string_new(NULL);
	uint64_t revision = store_revision(handle->fs->store);
	int r = store_log_text(handle->fs->store, handle->log_begin + (uint64_t)offset, size, text);

	if (r < 0) {
		reply_error(req, r == -ENOENT ? -ESTALE : r);
		return;
	}
	if (text->len < size) {
		pthread_mutex_lock(&handle->fs->poll_lock);
		handle->seen_revision = revision;
		pthread_mutex_unlock(&handle->fs->poll_lock);
	}
	fuse_reply_buf(req, text->str, text->len);
}
