/* Attributes: stat, chmod, chown, utimens, truncate, readlink. */
#include "fs/tree.h"

#include "fs/commit.h"
#include "fs/session.h"

#include <errno.h>
#include <string.h>

static const mode_t type_modes[] = {
	[RECORD_VALUE] = S_IFREG,
	[RECORD_DIRECTORY] = S_IFDIR,
	[RECORD_SYMLINK] = S_IFLNK,
};

static void set_time(struct timespec *time, int64_t ns)
{
	/* Times before the epoch: nanoseconds count forwards from the second below. */
	bool below = ns % 1000000000 < 0;

	time->tv_sec = ns / 1000000000 - below;
	time->tv_nsec = ns % 1000000000 + (below ? 1000000000 : 0);
}

static void set_size(struct stat *attributes, uint64_t size_bytes)
{
	attributes->st_size = (off_t)size_bytes;
	attributes->st_blocks = (blkcnt_t)((size_bytes + 511) / 512);
}

void record_attributes(const struct tree *tree, const struct record *record,
		       struct stat *attributes)
{
	memset(attributes, 0, sizeof(*attributes));
	attributes->st_ino = tree_ino(tree, record->ino);
	attributes->st_mode = type_modes[record->type] | record->mode;
	attributes->st_nlink = 1;
	attributes->st_uid = record->uid;
	attributes->st_gid = record->gid;
	set_size(attributes, record->size_bytes);
	attributes->st_blksize = 4096;
	set_time(&attributes->st_mtim, record->mtime_ns);
	set_time(&attributes->st_ctim, record->ctime_ns);
	/* Looking a directory up does not record what comes and goes in it, so it must not
	 * show either. */
	if (tree->txn && record->type == RECORD_DIRECTORY) {
		set_time(&attributes->st_mtim, record->own_mtime_ns);
		attributes->st_ctim = attributes->st_mtim;
	}
	attributes->st_atim = attributes->st_mtim;
}

/* ---- stat ----------------------------------------------------------------------- */

/* What a node shows that has no record behind its name: 0, or -ENODATA when it has. */
static int nameless_attributes(struct fs *fs, struct node *node, struct stat *attributes)
{
	int r = -ENODATA;

	pthread_mutex_lock(&fs->nodes.lock);
	if (node->state == NODE_RESERVED && node->template) {
		record_attributes(node->tree, node->template, attributes);
		r = 0;
	} else if (node->state == NODE_UNLINKED && node->orphan) {
		record_attributes(node->tree, node->orphan, attributes);
		attributes->st_nlink = 0;
		r = 0;
	}
	pthread_mutex_unlock(&fs->nodes.lock);
	return r;
}

static bool has_sessions(struct fs *fs, struct node *node)
{
	bool has;

	pthread_mutex_lock(&fs->nodes.lock);
	has = node->sessions && node->sessions->len > 0;
	pthread_mutex_unlock(&fs->nodes.lock);
	return has;
}

/* The process that writes sees its own changes of attributes and its own size: sqlite rolls
 * back by what fstat(2) says of the journal it has just written. */
static void show_own(struct fs *fs, fuse_req_t req, struct node *node, struct stat *attributes)
{
	struct session *own = session_find_own(fs, node, fuse_req_ctx(req)->pid);

	if (!own)
		return;
	session_overlay_attributes(own, attributes);
	if (node_state(&fs->nodes, node) == NODE_RESERVED || session_is_pending(own))
		set_size(attributes, session_size(own));
	session_unref(own);
}

/* A handle opened before a restart, or after which the key went: it has its record. */
static int held_attributes(struct node *node, struct handle *handle, struct stat *attributes)
{
	if (!handle || !handle->record)
		return -ESTALE;
	record_attributes(node->tree, handle->record, attributes);
	return 0;
}

/* A stat in a transaction. True when it is in the read set already: the snapshot cannot
 * change, and the kernel knows what is written through it, so it may keep the answer. */
static bool observe_stat(struct fs *fs, fuse_req_t req, struct node *node, bool asked,
			 const char *key, const struct record *record)
{
	if (!node->tree->txn || node->type == RECORD_DIRECTORY)
		return false;
	if (view_has_observed(node->tree->view, OBSERVE_VALUE, key))
		return true;
	if (asked)
		provisional_note(fs, req, node, key, record);
	return false;
}

/* *ret_observed: the kernel may keep them, see above. */
static int current_attributes(struct fs *fs, fuse_req_t req, struct node *node,
			      struct handle *handle, bool asked, struct stat *attributes,
			      bool *ret_observed)
{
	g_autoptr(record) record = NULL;
	g_autofree char *key = NULL;
	int r = nameless_attributes(fs, node, attributes);

	*ret_observed = false;
	if (r == -ENODATA) {
		r = tree_get_readable(fs, node, &key, &record);
		if (r == -ESTALE)
			return held_attributes(node, handle, attributes);
		if (r < 0)
			return r;
		record_attributes(node->tree, record, attributes);
		*ret_observed = observe_stat(fs, req, node, asked, key, record);
	}
	if (has_sessions(fs, node))
		show_own(fs, req, node, attributes);
	return 0;
}

static void getattr_again(fuse_req_t req, struct node *node, const char *name, int flags)
{
	(void)name;
	(void)flags;
	tree_getattr(fuse_req_userdata(req), req, node, NULL);
}

struct told_request {
	struct fs *fs;
	fuse_req_t req;
	struct node *node;
};

static void attributes_told(void *arg)
{
	struct told_request *request = arg;
	struct stat attributes;
	int r = nameless_attributes(request->fs, request->node, &attributes);

	if (r < 0)
		reply_error(request->req, -ESTALE);
	else
		fuse_reply_attr(request->req, &attributes, TIMEOUT_NONE);
	g_free(request);
}

/* A file that lost its name to a transaction is still that of whoever has it open, and
 * fstat(2) does not say so. Once the kernel has forgotten the name nobody else can ask. */
static bool wait_until_told(struct fs *fs, fuse_req_t req, struct node *node)
{
	struct told_request *request;
	bool waits;

	pthread_mutex_lock(&fs->nodes.lock);
	waits = node->handles > 0 && node->orphan &&
		(node->state == NODE_STALE || node->state == NODE_UNLINKED);
	pthread_mutex_unlock(&fs->nodes.lock);
	if (!waits)
		return false;
	request = g_new(struct told_request, 1);
	*request = (struct told_request){ fs, req, node };
	notifier_when_told(fs->notifier, attributes_told, request);
	return true;
}

/* The answer to a stat, when `asked`, or to a change, which shows its caller nothing. */
static void reply_attributes(struct fs *fs, fuse_req_t req, struct node *node,
			     struct handle *handle, bool asked)
{
	gint epoch = g_atomic_int_get(&fs->directory_epoch);
	bool live_directory = node->type == RECORD_DIRECTORY && !node->tree->txn;
	uint64_t id = node->id;
	struct stat attributes;
	bool observed;
	int r;

	if (!handle && !node->tree->txn &&
	    session_wait_for_release(fs, req, node, NULL,
				     live_directory ? SESSION_ON_ENTRY : SESSION_ON_NODE, 0,
				     getattr_again))
		return;
	r = current_attributes(fs, req, node, handle, asked, &attributes, &observed);
	if (r == -ESTALE && wait_until_told(fs, req, node))
		return;
	if (r < 0) {
		reply_error(req, r);
		return;
	}
	/* SEEK_END by the writer: the size it has written, not the committed one. */
	if (handle && handle->session)
		set_size(&attributes, session_size(handle->session));
	fuse_reply_attr(req, &attributes,
			asked && observed ? TIMEOUT_LONG : tree_attribute_timeout(fs, node, epoch));
	if (live_directory)
		tree_recheck(fs, id, epoch);
}

void tree_getattr(struct fs *fs, fuse_req_t req, struct node *node, struct handle *handle)
{
	reply_attributes(fs, req, node, handle, true);
}

void tree_readlink(struct fs *fs, fuse_req_t req, struct node *node)
{
	g_autoptr(record) record = NULL;
	g_autofree char *key = NULL, *link = NULL;
	const char *text;
	size_t length;
	int r = tree_get(fs, node, &key, &record);

	if (r == 0 && record->type != RECORD_SYMLINK)
		r = -EINVAL;
	if (r == 0)
		r = view_observe(node->tree->view, OBSERVE_VALUE, key, record);
	if (r < 0) {
		reply_error(req, r);
		return;
	}
	text = g_bytes_get_data(record->value, &length);
	link = g_strndup(text, length);
	fuse_reply_readlink(req, link);
}

/* ---- Changing ------------------------------------------------------------------- */

/* A time that 64 bits do not reach becomes the last one they do, as on other filesystems. */
static int64_t time_ns(const struct timespec *time)
{
	int64_t ns;

	if (__builtin_mul_overflow(time->tv_sec, INT64_C(1000000000), &ns) ||
	    __builtin_add_overflow(ns, time->tv_nsec, &ns))
		return time->tv_sec < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

static struct attributes changes_of(const struct stat *attributes, int to_set)
{
	struct attributes changes = { 0 };

	if (to_set & FUSE_SET_ATTR_MODE) {
		changes.mask |= ATTRIBUTE_MODE;
		changes.mode = attributes->st_mode & 07777;
	}
	if (to_set & FUSE_SET_ATTR_UID) {
		changes.mask |= ATTRIBUTE_UID;
		changes.uid = attributes->st_uid;
	}
	if (to_set & FUSE_SET_ATTR_GID) {
		changes.mask |= ATTRIBUTE_GID;
		changes.gid = attributes->st_gid;
	}
	if (to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)) {
		changes.mask |= ATTRIBUTE_MTIME;
		changes.mtime_ns = to_set & FUSE_SET_ATTR_MTIME_NOW ? g_get_real_time() * 1000 :
								      time_ns(&attributes->st_mtim);
	}
	return changes;
}

struct attribute_request {
	struct fs *fs;
	fuse_req_t req;
	struct node *node;
	struct handle *handle;
};

static void attributes_done(const struct program_result *result, void *arg)
{
	struct attribute_request *request = arg;
	int error = result->error;

	if (error == 0 && !result->succeeded)
		error = -ESTALE;
	if (error < 0) {
		reply_error(request->req, error);
	} else {
		pthread_mutex_lock(&request->fs->nodes.lock);
		request->node->generation++;
		pthread_mutex_unlock(&request->fs->nodes.lock);
		reply_attributes(request->fs, request->req, request->node, request->handle, false);
	}
	g_free(request);
}

/* A commit of its own on the live tree, or a change in the transaction. The kernel has
 * checked the permission of the call against attributes it does not cache. */
static void submit_attributes(struct fs *fs, fuse_req_t req, struct node *node,
			      const struct attributes *changes, const uint64_t *size,
			      struct handle *handle)
{
	struct attribute_request *request;
	g_autofree char *key = NULL;
	struct program *program;
	struct op *op;
	int r = tree_resolve(fs, node, NULL, &key);

	if (r < 0) {
		reply_error(req, r);
		return;
	}
	if (changes->mask) {
		pthread_mutex_lock(&fs->nodes.lock);
		node->known.mode = KNOWN_CHANGED;
		node->tree->reshaped++;
		pthread_mutex_unlock(&fs->nodes.lock);
	}
	program = tree_program(req, size ? OP_PATCH : OP_ATTR, key, key, node, &op);
	if (size)
		op_add_edit(op, EDIT_TRUNCATE, *size, NULL);
	op->changes = *changes;
	request = g_new(struct attribute_request, 1);
	*request = (struct attribute_request){ fs, req, node, handle };
	tree_apply(fs, node->tree, program, attributes_done, request);
}

static void change_orphan(struct fs *fs, struct node *node, const struct attributes *changes)
{
	struct record *orphan;

	pthread_mutex_lock(&fs->nodes.lock);
	orphan = node->orphan;
	if (orphan && (changes->mask & ATTRIBUTE_MODE))
		orphan->mode = changes->mode;
	if (orphan && (changes->mask & ATTRIBUTE_UID))
		orphan->uid = changes->uid;
	if (orphan && (changes->mask & ATTRIBUTE_GID))
		orphan->gid = changes->gid;
	if (orphan && (changes->mask & ATTRIBUTE_MTIME))
		orphan->mtime_ns = changes->mtime_ns;
	pthread_mutex_unlock(&fs->nodes.lock);
}

/* truncate(2) of a name that only its creator sees: there is nothing else to cut. */
static bool truncate_reserved(struct fs *fs, fuse_req_t req, struct node *node, uint64_t size,
			      int *ret_error)
{
	struct session *own;

	if (node_state(&fs->nodes, node) != NODE_RESERVED)
		return false;
	own = session_find_own(fs, node, fuse_req_ctx(req)->pid);
	if (!own)
		return false;
	*ret_error = session_truncate(own, size);
	session_unref(own);
	return true;
}

static bool change_privately(struct fs *fs, fuse_req_t req, struct node *node,
			     const struct attributes *changes, const uint64_t *size,
			     struct handle *handle, int *ret_error)
{
	struct session *own;

	*ret_error = 0;
	if (handle && handle->session && size) {
		*ret_error = session_truncate(handle->session, *size);
		if (*ret_error == 0 && changes->mask)
			session_change_attributes(handle->session, changes);
		return true;
	}
	if (node_state(&fs->nodes, node) == NODE_UNLINKED) {
		if (size)
			*ret_error = tree_truncate_orphan(fs, node, *size);
		if (*ret_error == 0)
			change_orphan(fs, node, changes);
		return true;
	}
	if (size && !node->tree->txn && truncate_reserved(fs, req, node, *size, ret_error))
		return true;
	if (size || node->tree->txn || !has_sessions(fs, node))
		return false;
	own = session_find_own(fs, node, fuse_req_ctx(req)->pid);
	if (!own)
		return false;
	session_change_attributes(own, changes);
	session_unref(own);
	return true;
}

void tree_setattr(struct fs *fs, fuse_req_t req, struct node *node, const struct stat *attributes,
		  int to_set, struct handle *handle)
{
	struct attributes changes = changes_of(attributes, to_set);
	uint64_t wanted = (uint64_t)attributes->st_size;
	const uint64_t *size = to_set & FUSE_SET_ATTR_SIZE ? &wanted : NULL;
	struct handle *shown = handle;
	int r;

	/* A session refuses it itself, and then commits nothing. */
	if (size && wanted > fs->options.max_value_bytes && !(handle && handle->session)) {
		reply_error(req, -EFBIG);
		return;
	}
	if (!size && changes.mask == 0) {
		reply_attributes(fs, req, node, handle, false); /* atime is not kept */
		return;
	}
	if (!change_privately(fs, req, node, &changes, size, handle, &r)) {
		submit_attributes(fs, req, node, &changes, size, handle);
		return;
	}
	/* The reply to ftruncate tells the committed size: the inode is shared with readers. */
	if (shown && shown->session && node_state(&fs->nodes, node) == NODE_LIVE)
		shown = NULL;
	if (r < 0)
		reply_error(req, r);
	else
		reply_attributes(fs, req, node, shown, false);
}
