/* Sessions of live files. A session keeps what its handle has written in two forms: the
 * image, which is the value as the handle sees it, and, unless it replaces the value
 * anyway, the edits, which the committer applies to the value as it is then; so two
 * appenders, or two writers of different bytes, lose nothing.
 *
 * When it commits is told by descriptors: every shell sends a FLUSH before its first
 * WRITE, every child's exit sends one, and so does a killed process. A FLUSH commits when
 * something was written, the flusher was not killed, and neither it nor the opener holds
 * another descriptor for writing. RELEASE commits the rest. */
#include "fs/session_private.h"

#include "fs/commit.h"
#include "fs/descriptor.h"
#include "fs/lock.h"
#include "fs/loop.h"
#include "fs/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { APPEND_COMMIT_BYTES = 64 * 1024 };

static void edit_free(void *data)
{
	struct edit *edit = data;

	if (edit->data)
		g_bytes_unref(edit->data);
	g_free(edit);
}

GPtrArray *session_edits_new(void)
{
	return g_ptr_array_new_with_free_func(edit_free);
}

/* ---- Life ----------------------------------------------------------------------- */

struct session *session_new(struct fs *fs, struct node *node, fuse_req_t req, int flags,
			    bool created, GBytes *base)
{
	struct session *session = g_new0(struct session, 1);

	session->refs = 1;
	session->fs = fs;
	g_atomic_int_inc(&fs->sessions);
	session->node = node;
	session->author = caller_credentials_process(req, &session->opener);
	session->append = flags & O_APPEND;
	session->synchronous = flags & O_DSYNC; /* O_SYNC has its bit too */
	pthread_mutex_init(&session->lock, NULL);
	session->replace = flags & O_TRUNC;
	session->created = created;
	session->pending = session->replace || created;
	session->image = base ? g_bytes_ref(base) : NULL;
	session->edits = session_edits_new();
	session->queued = g_array_new(FALSE, FALSE, sizeof(struct queued_commit));
	pthread_mutex_lock(&fs->nodes.lock);
	node->refs++;
	if (!node->sessions)
		node->sessions = g_ptr_array_new();
	g_ptr_array_add(node->sessions, session);
	pthread_mutex_unlock(&fs->nodes.lock);
	return session;
}

struct session *session_ref(struct session *session)
{
	g_atomic_int_inc(&session->refs);
	return session;
}

void session_unref(struct session *session)
{
	if (!session || !g_atomic_int_dec_and_test(&session->refs))
		return;
	g_atomic_int_add(&session->fs->sessions, -1);
	node_unref(&session->fs->nodes, session->node);
	registry_charge(session->fs->registry, session->author->uid, -session->charged_bytes);
	credentials_free(session->author);
	g_clear_pointer(&session->image, g_bytes_unref);
	g_ptr_array_unref(session->edits);
	g_array_unref(session->queued);
	pthread_mutex_destroy(&session->lock);
	g_free(session);
}

void session_leave(struct session *session)
{
	struct node_table *table = &session->fs->nodes;
	struct node *node = session->node;
	bool kept = session->append && session_is_pending(session);

	pthread_mutex_lock(&table->lock);
	g_ptr_array_remove(node->sessions, session);
	/* An appender whose commit failed for want of space tries on: the name stays its. */
	if (node->state == NODE_RESERVED && node->sessions->len == 0 && !kept)
		node_detach_locked(table, node, NODE_UNLINKED);
	pthread_mutex_unlock(&table->lock);
}

bool session_is_pending(struct session *session)
{
	bool pending;

	pthread_mutex_lock(&session->lock);
	pending = session->pending && !session->discarded && session->refused == 0;
	pthread_mutex_unlock(&session->lock);
	return pending;
}

/* True when the thread `tid` belongs to the process that opened it. */
static bool session_is_of(struct session *session, pid_t tid)
{
	struct process process;

	/* Numbers alone would take a later process for the opener, and all those of a foreign
	 * pid namespace for one. */
	return process_read(tid, &process) == 0 && process_equal(&process, &session->opener);
}

struct node *session_node(struct session *session)
{
	return session->node;
}

static GPtrArray *sessions_of_node(struct fs *fs, struct node *node)
{
	GPtrArray *sessions = NULL;

	pthread_mutex_lock(&fs->nodes.lock);
	if (node->sessions && node->sessions->len > 0) {
		sessions = g_ptr_array_new_with_free_func((GDestroyNotify)session_unref);
		for (guint i = 0; i < node->sessions->len; i++)
			g_ptr_array_add(sessions,
					session_ref(g_ptr_array_index(node->sessions, i)));
	}
	pthread_mutex_unlock(&fs->nodes.lock);
	return sessions;
}

static bool is_open(struct session *session)
{
	bool open;

	pthread_mutex_lock(&session->lock);
	open = !session->closed && !session->discarded;
	pthread_mutex_unlock(&session->lock);
	return open;
}

struct session *session_find_own(struct fs *fs, struct node *node, pid_t tid)
{
	g_autoptr(GPtrArray) sessions = sessions_of_node(fs, node);

	for (guint i = 0; sessions && i < sessions->len; i++) {
		struct session *session = g_ptr_array_index(sessions, i);

		if (is_open(session) && session_is_of(session, tid))
			return session_ref(session);
	}
	return NULL;
}

bool session_owns_node(struct fs *fs, struct node *node, pid_t tid)
{
	g_autoptr(GPtrArray) sessions = sessions_of_node(fs, node);

	for (guint i = 0; sessions && i < sessions->len; i++) {
		if (session_is_of(g_ptr_array_index(sessions, i), tid))
			return true;
	}
	return false;
}

GPtrArray *session_find_writing(struct handle *handle, pid_t tid)
{
	g_autoptr(GPtrArray) sessions = sessions_of_node(handle->fs, handle->node);
	GPtrArray *found = g_ptr_array_new_with_free_func((GDestroyNotify)session_unref);

	for (guint i = 0; sessions && i < sessions->len; i++) {
		struct session *session = g_ptr_array_index(sessions, i);

		if (session == handle->session || session_is_of(session, tid))
			g_ptr_array_add(found, session_ref(session));
	}
	return found;
}

/* ---- The private value ---------------------------------------------------------- */

GBytes *session_value(struct session *session)
{
	GBytes *value;

	pthread_mutex_lock(&session->lock);
	value = session->image ? g_bytes_ref(session->image) : NULL;
	pthread_mutex_unlock(&session->lock);
	return value;
}

/* A file that was to be created may have been by now, by another session on it. */
void session_refresh(struct session *session)
{
	g_autoptr(record) record = NULL;
	GBytes *old = NULL;

	if (tree_get(session->fs, session->node, NULL, &record) < 0)
		return;
	pthread_mutex_lock(&session->lock);
	if (!session->written && !session->replace && !session->committing &&
	    session->refused == 0 && !session->discarded) {
		old = session->image;
		session->image = record->value ? g_bytes_ref(record->value) : NULL;
		session->created = session->pending = false;
	}
	pthread_mutex_unlock(&session->lock);
	g_clear_pointer(&old, g_bytes_unref);
}

static uint64_t size_locked(const struct session *session)
{
	return session->image ? g_bytes_get_size(session->image) : 0;
}

uint64_t session_size(struct session *session)
{
	uint64_t size;

	pthread_mutex_lock(&session->lock);
	size = size_locked(session);
	pthread_mutex_unlock(&session->lock);
	return size;
}

static uint64_t size_after(const struct session *session, const struct edit *edit)
{
	uint64_t size = size_locked(session);
	uint64_t length = edit->data ? g_bytes_get_size(edit->data) : 0;

	switch (edit->kind) {
	case EDIT_APPEND:
		return size + length;
	case EDIT_WRITE:
		return MAX(size, edit->offset + length);
	case EDIT_TRUNCATE:
		break;
	}
	return edit->offset;
}

/* What an edit costs beside its data: many are of a byte. */
#define EDIT_BYTES ((uint64_t)128)

/* What a session keeps in memory: its image, and the edits that are not committed. */
static int charge_locked(struct session *session, uint64_t size, const struct edit *edit)
{
	uint64_t kept = session->replace || !edit->data ? 0 : g_bytes_get_size(edit->data);
	uint64_t edits = session->replace ? 0 : (session->edits->len + 1) * EDIT_BYTES;
	int64_t wanted = (int64_t)(size + session->uncommitted_bytes + kept + edits);
	int r = registry_charge(session->fs->registry, session->author->uid,
				wanted - session->charged_bytes);

	if (r < 0)
		return r;
	session->charged_bytes = wanted;
	session->uncommitted_bytes += kept;
	return 0;
}

/* An appender goes on with what it has; another session would commit a value with a hole. */
static int refuse_locked(struct session *session, int error)
{
	if (!session->append && session->refused == 0)
		session->refused = error;
	return error;
}

/* What can be refused is refused now: shells do not look at what close(2) returns. */
static int edit_locked(struct session *session, const struct edit *edit)
{
	struct edit *kept;
	g_autoptr(GPtrArray) edits = g_ptr_array_new();
	uint64_t size = size_after(session, edit);
	int r = size > session->fs->options.max_value_bytes ?
			-EFBIG :
			store_check_space(session->fs->store, size);

	g_ptr_array_add(edits, (void *)edit);
	if (r == 0)
		r = charge_locked(session, size, edit);
	if (r == 0)
		r = edits_change(&session->image, edits, session->fs->options.max_value_bytes);
	if (r < 0)
		return refuse_locked(session, r);
	if (!session->replace) {
		kept = g_new(struct edit, 1);
		*kept = *edit;
		kept->data = edit->data ? g_bytes_ref(edit->data) : NULL;
		g_ptr_array_add(session->edits, kept);
	}
	session->pending = session->written = true;
	session->closed = false;
	session->last_write_us = g_get_monotonic_time();
	return 0;
}

int session_truncate(struct session *session, uint64_t size)
{
	struct edit edit = { .kind = EDIT_TRUNCATE, .offset = size };
	int r;

	pthread_mutex_lock(&session->lock);
	r = edit_locked(session, &edit);
	pthread_mutex_unlock(&session->lock);
	return r;
}

/* True for mode and owner as they are committed. vim sets them after its fsync(2): that is no
 * second commit. */
static bool is_as_committed(struct session *session, const struct attributes *changes)
{
	g_autoptr(record) record = NULL;

	if ((changes->mask & ATTRIBUTE_MTIME) ||
	    tree_get(session->fs, session->node, NULL, &record) < 0)
		return false;
	return (!(changes->mask & ATTRIBUTE_MODE) || changes->mode == record->mode) &&
	       (!(changes->mask & ATTRIBUTE_UID) || changes->uid == record->uid) &&
	       (!(changes->mask & ATTRIBUTE_GID) || changes->gid == record->gid);
}

void session_change_attributes(struct session *session, const struct attributes *changes)
{
	bool nothing = is_as_committed(session, changes);

	pthread_mutex_lock(&session->lock);
	nothing = nothing && !session->pending && !session->committing;
	if (nothing) {
		pthread_mutex_unlock(&session->lock);
		return;
	}
	attributes_merge(&session->changes, changes);
	session->pending = session->written = true;
	session->last_write_us = g_get_monotonic_time();
	pthread_mutex_unlock(&session->lock);
	if (session->append)
		housekeeper_watch_idle(session->fs->housekeeper, session);
}

void session_overlay_attributes(struct session *session, struct stat *attributes)
{
	pthread_mutex_lock(&session->lock);
	attributes_show(&session->changes, attributes);
	pthread_mutex_unlock(&session->lock);
}

/* ---- Requests ------------------------------------------------------------------- */

static void reply_done(int error, void *arg)
{
	reply_error(arg, error);
}

struct written {
	fuse_req_t req;
	size_t size;
};

static void reply_written(int error, void *arg)
{
	struct written *written = arg;

	if (error < 0)
		reply_error(written->req, error);
	else
		fuse_reply_write(written->req, written->size);
	g_free(written);
}

void session_write(struct session *session, fuse_req_t req, const char *data, size_t size,
		   off_t offset)
{
	g_autoptr(GBytes) bytes = bytes_try_new(data, size);
	struct edit edit = { session->append ? EDIT_APPEND : EDIT_WRITE, (uint64_t)offset, bytes };
	struct written *written;
	bool commit_now;
	int r;

	pthread_mutex_lock(&session->lock);
	r = bytes ? edit_locked(session, &edit) : refuse_locked(session, -ENOMEM);
	commit_now = session->synchronous ||
		     (session->append && session->uncommitted_bytes >= APPEND_COMMIT_BYTES);
	pthread_mutex_unlock(&session->lock);
	housekeeper_session_ended(session->fs->housekeeper, session);
	if (r < 0) {
		reply_error(req, r);
		return;
	}
	if (!commit_now) {
		if (session->append)
			housekeeper_watch_idle(session->fs->housekeeper, session);
		fuse_reply_write(req, size);
		return;
	}
	written = g_new(struct written, 1);
	written->req = req;
	written->size = size;
	session_commit(session, reply_written, written);
}

void session_fsync(struct session *session, fuse_req_t req)
{
	session_commit(session, reply_done, req);
}

/* Whether the opener, another process than the flusher, can still write. What it has while
 * it replaces itself nobody can see: it closes what it does not keep by itself. */
static int held_by_opener(struct session *session)
{
	/* It may begin to execute while it is looked at, and then wait for us with its locks. */
	loop_step_down();
	if (process_is_executing(session->opener.pid))
		return 1;
	return process_is_alive(&session->opener) ?
		       descriptor_is_open(session->opener.pid, session->node->ino) :
		       0;
}

/* Whether the flusher or the opener can still write: 1 yes, 0 no, -EACCES unknown. `going`:
 * the flusher exits, or replaces itself: it has no table that can be read. */
static int held_elsewhere(struct session *session, pid_t tid, bool going)
{
	int held = going ? 0 : descriptor_is_open(tid, session->node->ino);

	return held == 0 && session->opener.pid != tid ? held_by_opener(session) : held;
}

/* What was written is lost with its writer. Whoever else still has the descriptor begins
 * anew, on what is committed. */
static void discard(struct session *session)
{
	g_autoptr(record) record = NULL;

	(void)tree_get(session->fs, session->node, NULL, &record);
	pthread_mutex_lock(&session->lock);
	if (session->pending)
		g_atomic_int_inc(&session->fs->lost_sessions);
	g_ptr_array_set_size(session->edits, 0);
	g_clear_pointer(&session->image, g_bytes_unref);
	if (record && record->value)
		session->image = g_bytes_ref(record->value);
	session->changes.mask = 0;
	session->uncommitted_bytes = 0;
	session->refused = 0;
	session->replace = session->pending = session->written = false;
	pthread_mutex_unlock(&session->lock);
}

/* A FLUSH, until it is answered. */
struct flush_request {
	struct handle *handle;
	fuse_req_t req;
	uint64_t owner; /* of locks */
};

static void flushed(int error, void *arg)
{
	struct flush_request *request = arg;

	lock_flushed(request->handle, request->owner);
	reply_error(request->req, error);
	g_free(request);
}

static void commit_flushed(struct session *session, struct flush_request *request, int held)
{
	if (held < 0)
		g_atomic_int_inc(&session->fs->blind_flushes);
	pthread_mutex_lock(&session->lock);
	session->closed = held == 0;
	pthread_mutex_unlock(&session->lock);
	session_commit(session, flushed, request);
}

/* There is something to commit: is this the close(2) that does it? */
static void flush_pending(struct session *session, struct flush_request *request, bool written)
{
	pid_t tid = fuse_req_ctx(request->req)->pid;
	bool executing = process_is_executing(tid);
	struct process flusher = { 0 };
	bool killed;
	int held = 1;

	if (!executing)
		(void)process_read(tid, &flusher);
	/* Threads that exit_group(2) of another one ends are marked as well. */
	killed = !session->append && (flusher.flags & PROCESS_SIGNALED) &&
		 (flusher.exit_code & 0x7f);
	if (written || killed)
		held = held_elsewhere(session, tid, executing || (flusher.flags & PROCESS_EXITING));
	if (killed && held != 1) {
		discard(session);
	} else if (held != 1 || lock_is_held(request->handle, request->owner)) {
		commit_flushed(session, request, held);
		return;
	} else if (!written) {
		housekeeper_note_closing(session->fs->housekeeper, session);
	}
	flushed(0, request);
}

void session_flush(struct handle *handle, fuse_req_t req, uint64_t owner)
{
	struct session *session = handle->session;
	struct flush_request *request = g_new(struct flush_request, 1);
	bool pending, written, committing;

	*request = (struct flush_request){ handle, req, owner };
	pthread_mutex_lock(&session->lock);
	pending = session->pending && !session->discarded;
	written = session->written;
	committing = session->committing;
	pthread_mutex_unlock(&session->lock);
	if (pending)
		flush_pending(session, request, written);
	else if (committing)
		session_commit(session, flushed, request); /* durable when close(2) returns */
	else
		flushed(0, request);
}

struct released_request {
	struct handle *handle;
	fuse_req_t req;
};

static void released(int error, void *arg)
{
	struct released_request *request = arg;
	struct session *session = request->handle->session;

	session_leave(session);
	lock_released(request->handle); /* before whoever waits can ask for it */
	housekeeper_session_ended(session->fs->housekeeper, session);
	handle_free(request->handle);
	reply_error(request->req, error);
	g_free(request);
}

void session_release(struct handle *handle, fuse_req_t req)
{
	struct released_request *request = g_new(struct released_request, 1);

	request->handle = handle;
	request->req = req;
	pthread_mutex_lock(&handle->session->lock);
	handle->session->releasing = true;
	pthread_mutex_unlock(&handle->session->lock);
	session_commit(handle->session, released, request);
}

/* ---- Waiting for a RELEASE ------------------------------------------------------ */

bool session_is_releasing(struct session *session)
{
	bool releasing;

	pthread_mutex_lock(&session->lock);
	releasing = session->releasing;
	pthread_mutex_unlock(&session->lock);
	return releasing;
}

/* True when nobody known holds it, so that its RELEASE must come in a moment. */
bool session_is_released_soon(struct session *session)
{
	bool releasing, waiting;

	pthread_mutex_lock(&session->lock);
	releasing = session->releasing;
	waiting = session->pending && !session->written && !session->discarded;
	pthread_mutex_unlock(&session->lock);
	return releasing || (waiting && held_by_opener(session) == 0);
}

uid_t session_uid(const struct session *session)
{
	return session->author->uid;
}

bool session_is_kept(struct session *session)
{
	return session_is_pending(session) &&
	       (session->append || session_is_released_soon(session));
}

/* An appender that has been idle for `idle_us`; the time it still has otherwise. */
int64_t session_idle_left_us(struct session *session, int64_t idle_us)
{
	int64_t left = 0;

	pthread_mutex_lock(&session->lock);
	if (session->written)
		left = session->last_write_us + idle_us - g_get_monotonic_time();
	pthread_mutex_unlock(&session->lock);
	return MAX(left, 0);
}
