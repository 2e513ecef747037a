/* Open files. On the live tree a reader's handle holds the value of its open, a writer's
 * has a session. In a transaction reads and writes go to its view at once. Live handles use
 * direct I/O: a writer's open(O_TRUNC) empties the page cache that readers share. In a
 * transaction small files that it has not written are read through the page cache, so that
 * reading one again costs its OPEN alone. */
#include "fs/tree.h"

#include "fs/commit.h"
#include "fs/rights.h"
#include "fs/scratch.h"
#include "fs/session.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { MAX_ATTEMPTS = 16 }; /* at a name that changes under a request */

static bool writes(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY;
}

/* open(2) for reading that truncates: POSIX leaves it open, Linux does it. */
static bool truncates_only(int flags)
{
	return (flags & O_TRUNC) && !writes(flags);
}

/* ---- Opening on the live tree --------------------------------------------------- */

/* However many read a value at once, it is in memory once. */
static GBytes *share_value(struct fs *fs, struct node *node, const struct record *record)
{
	GBytes *shared, *old = NULL;

	if (record->scratch)
		return g_bytes_ref(record->value); /* its revisions say nothing */
	pthread_mutex_lock(&fs->nodes.lock);
	if (!node->value || node->value_revision < record->mod_revision) {
		old = node->value;
		node->value = g_bytes_ref(record->value);
		node->value_revision = record->mod_revision;
	}
	shared = g_bytes_ref(node->value_revision == record->mod_revision ? node->value :
									    record->value);
	pthread_mutex_unlock(&fs->nodes.lock);
	g_clear_pointer(&old, g_bytes_unref);
	return shared;
}

/* A reader's handle, or a session on what is there. */
static struct handle *open_live(struct fs *fs, fuse_req_t req, struct node *node,
				const struct record *record, bool create,
				struct fuse_file_info *info)
{
	struct handle *handle = handle_new(fs, node, info->flags);
	GBytes *value = record ? record->value : NULL;

	/* Who creates a name without writing it has created the file, too. */
	if (writes(info->flags) || create)
		handle->session = session_new(fs, node, req, info->flags, !record,
					      info->flags & O_TRUNC ? NULL : value);
	else if (value)
		handle->value = share_value(fs, node, record);
	info->direct_io = 1;
	info->noflush = !handle->session;
	return handle;
}

/* Reading one's own file before it is committed. */
static int open_reserved(struct fs *fs, fuse_req_t req, struct node *node,
			 struct fuse_file_info *info)
{
	struct session *own = session_find_own(fs, node, fuse_req_ctx(req)->pid);
	struct handle *handle;
	int r = 0;

	if (!own)
		return -ESTALE;
	if (truncates_only(info->flags))
		r = session_truncate(own, 0);
	if (r < 0) {
		session_unref(own);
		return r;
	}
	handle = open_live(fs, req, node, NULL, false, info);
	if (!writes(info->flags))
		handle->value = session_value(own);
	session_unref(own);
	reply_open(req, handle, info);
	return 0;
}

static int open_committed(struct fs *fs, fuse_req_t req, struct node *node,
			  struct fuse_file_info *info)
{
	g_autoptr(record) record = NULL;
	int r = writes(info->flags) ? store_check_space(fs->store, 0) : 0;

	if (r == 0)
		r = tree_get_readable(fs, node, NULL, &record);
	if (r < 0)
		return r;
	reply_open(req, open_live(fs, req, node, record, false, info), info);
	return 0;
}

struct truncation {
	struct fs *fs;
	fuse_req_t req;
	struct node *node;
	int flags;
};

static void truncated(const struct program_result *result, void *arg)
{
	struct truncation *truncation = arg;
	struct fuse_file_info info = { .flags = truncation->flags & ~O_TRUNC };

	if (result->error < 0)
		reply_error(truncation->req, result->error);
	else if (!result->succeeded)
		reply_error(truncation->req, -ESTALE);
	else
		tree_open(truncation->fs, truncation->req, truncation->node, &info);
	g_free(truncation);
}

/* A commit of its own, as by truncate(2); then it is opened. */
static int truncate_and_open(struct fs *fs, fuse_req_t req, struct node *node, int flags)
{
	struct truncation *truncation;
	g_autofree char *key = NULL;
	struct program *program;
	struct op *op;
	int r = tree_resolve(fs, node, NULL, &key);

	if (r < 0)
		return r;
	program = tree_program(req, OP_PATCH, key, key, node, &op);
	op_add_edit(op, EDIT_TRUNCATE, 0, NULL);
	truncation = g_new(struct truncation, 1);
	*truncation = (struct truncation){ fs, req, node, flags };
	tree_apply(fs, node->tree, program, truncated, truncation);
	return 0;
}

/* ---- Opening in a transaction --------------------------------------------------- */

struct view_result {
	int error;
	struct record *record;
};

/* A transaction's view calls this before view_apply returns. */
static void view_done(const struct program_result *result, void *arg)
{
	struct view_result *view_result = arg;

	view_result->error = result->error;
	if (result->error == 0 && !result->succeeded)
		view_result->error = -ESTALE;
	else if (result->error == 0 && result->records->len > 0 &&
		 g_ptr_array_index(result->records, 0))
		view_result->record = record_ref(g_ptr_array_index(result->records, 0));
}

static int apply_in_view(struct fs *fs, struct node *node, struct program *program,
			 struct record **ret)
{
	struct view_result result = { 0 };

	tree_apply(fs, node->tree, program, view_done, &result);
	if (result.error == 0 && node->type == RECORD_VALUE) {
		pthread_mutex_lock(&fs->nodes.lock);
		node->generation++;
		pthread_mutex_unlock(&fs->nodes.lock);
	}
	if (ret)
		*ret = result.record;
	else
		record_unref(result.record);
	return result.error;
}

static int truncate_in_view(struct fs *fs, fuse_req_t req, struct node *node, const char *key)
{
	struct program *program;
	struct op *op;

	program = tree_program(req, OP_PUT, key, key, node, &op);
	op->value = g_bytes_new(NULL, 0);
	return apply_in_view(fs, node, program, NULL);
}

/* A value that one READ fills the page cache with: for larger ones direct I/O asks for more
 * at a time. */
enum { CACHED_SIZE_MAX = 128 * 1024 };

/* Whether the handle may read through the kernel's page cache, and whether what is there
 * already is right. What the snapshot has cannot change, so long as the transaction does not
 * write it; each WRITE counts in `generation` before it looks for such handles (see
 * reply_written). Pages of an earlier round the kernel drops when it has opened the file. */
static void use_page_cache(struct fs *fs, struct handle *handle, struct fuse_file_info *info)
{
	struct node *node = handle->node;

	pthread_mutex_lock(&fs->nodes.lock);
	handle->cached = !writes(handle->flags) && handle->record &&
			 handle->record->size_bytes <= CACHED_SIZE_MAX && node->generation == 0;
	node->cached += handle->cached;
	info->direct_io = !handle->cached;
	info->keep_cache = handle->cached && node->pages_round == handle->round;
	pthread_mutex_unlock(&fs->nodes.lock);
}

/* Who READs through the page cache has dropped what was there before this round. */
static void note_pages(struct fs *fs, struct handle *handle)
{
	struct node *node = handle->node;

	if (!handle->cached)
		return;
	pthread_mutex_lock(&fs->nodes.lock);
	if (node->round == handle->round)
		node->pages_round = handle->round;
	pthread_mutex_unlock(&fs->nodes.lock);
}

/* A restart spares the nodes that nobody has open. False: it has come since `round`, and may
 * have missed this handle. */
static bool enter_round(struct fs *fs, struct handle *handle, uint64_t round)
{
	struct node *node = handle->node;
	bool same;

	handle->round = round;
	pthread_mutex_lock(&fs->nodes.lock);
	same = node->round == round;
	pthread_mutex_unlock(&fs->nodes.lock);
	return same && txn_round(node->tree->txn) == round;
}

static int open_in_view(struct fs *fs, fuse_req_t req, struct node *node,
			struct fuse_file_info *info)
{
	bool truncate = info->flags & O_TRUNC;
	bool reads = (info->flags & O_ACCMODE) != O_WRONLY;
	uint64_t round = txn_round(node->tree->txn);
	g_autoptr(record) record = NULL;
	g_autofree char *key = NULL;
	struct handle *handle;
	int r = tree_get(fs, node, &key, &record);

	if (r == 0 && truncate)
		r = truncate_in_view(fs, req, node, key);
	else if (r == 0 && reads)
		r = view_observe(node->tree->view, OBSERVE_VALUE, key, record);
	if (r < 0)
		return r;
	handle = handle_new(fs, node, info->flags);
	if (!enter_round(fs, handle, round)) {
		handle_free(handle);
		return -ESTALE;
	}
	if (reads && !truncate)
		handle->record = g_steal_pointer(&record);
	use_page_cache(fs, handle, info);
	info->noflush = 1; /* every write is in the view when it returns */
	reply_open(req, handle, info);
	return 0;
}

static void open_again(fuse_req_t req, struct node *node, const char *name, int flags)
{
	struct fuse_file_info info = { .flags = flags };

	(void)name;
	tree_open(fuse_req_userdata(req), req, node, &info);
}

void tree_open(struct fs *fs, fuse_req_t req, struct node *node, struct fuse_file_info *info)
{
	int r;

	if (node->tree->txn)
		r = open_in_view(fs, req, node, info);
	else if (session_wait_for_release(fs, req, node, NULL, SESSION_ON_NODE, info->flags,
					  open_again))
		return;
	else if (node_state(&fs->nodes, node) == NODE_RESERVED)
		r = open_reserved(fs, req, node, info);
	else if (truncates_only(info->flags))
		r = truncate_and_open(fs, req, node, info->flags);
	else
		r = open_committed(fs, req, node, info);
	if (r < 0)
		reply_error(req, r);
}

/* ---- Creating ------------------------------------------------------------------- */

static void reply_create(fuse_req_t req, struct handle *handle, double entry_timeout,
			 const struct stat *attributes, struct fuse_file_info *info)
{
	struct fuse_entry_param entry = { .ino = handle->node->id,
					  .attr_timeout = TIMEOUT_NONE,
					  .entry_timeout = entry_timeout,
					  .attr = *attributes };
	struct fs *fs = handle->fs;

	info->fh = (uintptr_t)handle;
	if (fuse_reply_create(req, &entry, info) == 0)
		return;
	node_forget(&fs->nodes, handle->node->id, 1);
	handle_free(handle);
}

/* The attributes a new file will have. */
static struct record *template_new(struct fs *fs, fuse_req_t req, const struct record *directory,
				   mode_t mode)
{
	struct record *template = record_new(RECORD_VALUE);

	template->mode = mode & 01777;
	template->uid = fuse_req_ctx(req)->uid;
	template->gid = directory->mode &S_ISGID ? directory->gid : fuse_req_ctx(req)->gid;
	template->ino = store_new_ino(fs->store);
	template->mtime_ns = template->ctime_ns = g_get_real_time() * 1000;
	return template;
}

/* Whether the caller may open `record`: CREATE comes without the kernel's check, since to it
 * the name was absent. */
static bool may_open(fuse_req_t req, const struct record *record, int flags)
{
	int access_mode = flags & O_ACCMODE;

	return rights_allow(req, record,
			    (access_mode != O_RDONLY ? RIGHT_WRITE : 0U) |
				    (access_mode != O_WRONLY ? RIGHT_READ : 0U));
}

/* The kernel believed the name absent, but another process has committed it meanwhile. */
static int create_over(struct fs *fs, fuse_req_t req, struct node *parent, const char *name,
		       const struct record *record, struct fuse_file_info *info)
{
	struct stat attributes;
	struct node *node;

	if (info->flags & O_EXCL)
		return -EEXIST;
	if (record->type != RECORD_VALUE || truncates_only(info->flags))
		return -ESTALE; /* the kernel looks again */
	if (!may_open(req, record, info->flags))
		return -EACCES;
	node = node_obtain_key(&fs->nodes, parent, name, NULL, record);
	if (!node)
		return -ESTALE;
	record_attributes(node->tree, record, &attributes);
	reply_create(req, open_live(fs, req, node, record, false, info), TIMEOUT_NONE, &attributes,
		     info);
	return 0;
}

/* Opening a name that another process has reserved is opening its file. */
static int may_join(struct fs *fs, fuse_req_t req, struct node *node, int flags)
{
	g_autoptr(record) template = NULL;

	pthread_mutex_lock(&fs->nodes.lock);
	if (node->template)
		template = record_ref(node->template);
	pthread_mutex_unlock(&fs->nodes.lock);
	if (!template)
		return -ESTALE; /* committed meanwhile: the kernel looks again, and checks */
	return may_open(req, template, flags) ? 0 : -EACCES;
}

/* A new file until its CREATE is answered. */
struct creation {
	fuse_req_t req;
	struct handle *handle;
	struct stat attributes;
	struct fuse_file_info info;
};

static void created(int error, void *arg)
{
	struct creation *creation = arg;
	struct handle *handle = creation->handle;

	if (error == 0) {
		reply_create(creation->req, handle, TIMEOUT_NONE, &creation->attributes,
			     &creation->info);
	} else {
		reply_error(creation->req, error);
		node_forget(&handle->fs->nodes, handle->node->id, 1);
		handle_free(handle);
	}
	g_free(creation);
}

/* What can only be read is complete, and committed at once. */
static void finish_create(fuse_req_t req, struct handle *handle, const struct stat *attributes,
			  const struct fuse_file_info *info)
{
	struct creation *creation = g_new(struct creation, 1);

	*creation = (struct creation){ req, handle, *attributes, *info };
	if (writes(info->flags))
		created(0, creation);
	else
		session_commit(handle->session, created, creation);
}

static int create_live(struct fs *fs, fuse_req_t req, struct node *parent, const char *name,
		       mode_t mode, struct fuse_file_info *info)
{
	g_autoptr(record) directory = NULL, found = NULL, template = NULL;
	g_autofree char *key = NULL;
	struct stat attributes;
	struct node *node;
	int r = store_check_space(fs->store, 0);

	if (r == 0)
		r = tree_resolve(fs, parent, name, &key);
	if (r == 0)
		r = tree_get(fs, parent, NULL, &directory);
	if (r == 0)
		r = view_get(parent->tree->view, key, &found);
	if (r == 0)
		return create_over(fs, req, parent, name, found, info);
	if (r != -ENOENT)
		return r;
	template = template_new(fs, req, directory, mode);
	r = node_reserve(&fs->nodes, parent, name, template, &node);
	if (r == 0 && scratch_names_file(fs->scratch, key, info->flags))
		node->scratch = true; /* nobody else knows of it yet */
	if (r == -EEXIST && !(info->flags & O_EXCL)) {
		int refused = may_join(fs, req, node, info->flags);

		if (refused < 0) {
			node_forget(&fs->nodes, node->id, 1);
			return refused;
		}
	}
	/* Whoever had reserved it before may have committed since the name was looked for. */
	if (r == 0 && view_get(parent->tree->view, key, &found) == 0) {
		node_give_up(&fs->nodes, node);
		return create_over(fs, req, parent, name, found, info);
	}
	if (r == -EEXIST && (info->flags & O_EXCL)) {
		node_forget(&fs->nodes, node->id, 1);
		return -EEXIST;
	}
	record_attributes(node->tree, template, &attributes);
	attributes.st_ino = tree_ino(node->tree, node->ino);
	/* Every walk over this name asks, since the answer depends on who asks. */
	finish_create(req, open_live(fs, req, node, NULL, true, info), &attributes, info);
	return 0;
}

static int create_in_view(struct fs *fs, fuse_req_t req, struct node *parent, const char *name,
			  mode_t mode, struct fuse_file_info *info)
{
	g_autofree char *key = NULL, *directory = NULL;
	g_autoptr(record) record = NULL;
	struct program *program;
	struct stat attributes;
	struct handle *handle;
	struct node *node;
	struct op *op;
	int r = tree_resolve(fs, parent, NULL, &directory);

	if (r == 0)
		r = tree_resolve(fs, parent, name, &key);
	if (r < 0)
		return r;
	program = tree_program(req, OP_PUT, key, directory, parent, &op);
	op->flags = info->flags & O_EXCL ? OP_EXCLUSIVE : 0;
	if (scratch_names_file(fs->scratch, key, info->flags))
		op->flags |= OP_SCRATCH;
	op->mode = mode & 07777;
	op->value = g_bytes_new(NULL, 0);
	tree_note_reshaped(fs, parent->tree);
	r = apply_in_view(fs, parent, program, &record);
	if (r < 0)
		return r;
	node = node_obtain_key(&fs->nodes, parent, name, NULL, record);
	record_attributes(node->tree, record, &attributes);
	handle = handle_new(fs, node, info->flags);
	handle->round = node->round;
	pthread_mutex_lock(&fs->nodes.lock);
	node->generation++; /* nothing is pinned: reads ask the view */
	pthread_mutex_unlock(&fs->nodes.lock);
	info->direct_io = 1;
	info->noflush = 1;
	reply_create(req, handle, TIMEOUT_LONG, &attributes, info);
	return 0;
}

void tree_create(struct fs *fs, fuse_req_t req, struct node *parent, const char *name, mode_t mode,
		 struct fuse_file_info *info)
{
	/* Once replied to, `parent` may be forgotten. */
	bool live = !parent->tree->txn;
	int r = -ESTALE;

	if (!live)
		r = create_in_view(fs, req, parent, name, mode, info);
	/* A name that comes and goes: the kernel itself tries again only once. */
	for (int i = 0; live && r == -ESTALE && i < MAX_ATTEMPTS; i++)
		r = create_live(fs, req, parent, name, mode, info);
	if (r < 0)
		reply_error(req, r);
}

/* ---- Reading -------------------------------------------------------------------- */

/* True when the handle's file has no name or round of its own any more. */
static bool is_cut_off(struct fs *fs, struct handle *handle)
{
	return node_state(&fs->nodes, handle->node) == NODE_STALE ||
	       handle->round != txn_round(handle->node->tree->txn);
}

static GBytes *orphan_value(struct fs *fs, struct node *node, bool *ret_orphan)
{
	GBytes *value = NULL;

	pthread_mutex_lock(&fs->nodes.lock);
	*ret_orphan = node->state == NODE_UNLINKED && node->orphan;
	if (*ret_orphan && node->orphan->value)
		value = g_bytes_ref(node->orphan->value);
	pthread_mutex_unlock(&fs->nodes.lock);
	return value;
}

static uint64_t generation_of(struct fs *fs, struct node *node)
{
	uint64_t generation;

	pthread_mutex_lock(&fs->nodes.lock);
	generation = node->generation;
	pthread_mutex_unlock(&fs->nodes.lock);
	return generation;
}

/* The value as the transaction has it now: what nobody wrote is pinned by the handle. */
static int value_in_view(struct fs *fs, struct handle *handle, GBytes **ret)
{
	struct node *node = handle->node;
	g_autoptr(record) record = NULL;
	bool orphan;
	int r;

	if (txn_state(node->tree->txn) == TXN_OVER)
		return -ESTALE;
	*ret = orphan_value(fs, node, &orphan);
	if (orphan)
		return 0;
	if (handle->record && (is_cut_off(fs, handle) || generation_of(fs, node) == 0)) {
		*ret = handle->record->value ? g_bytes_ref(handle->record->value) : NULL;
		return 0;
	}
	r = tree_get(fs, node, NULL, &record);
	if (r == 0 && record->value)
		*ret = g_bytes_ref(record->value);
	return r;
}

static GBytes *value_at_open(struct handle *handle)
{
	GBytes *value;

	pthread_mutex_lock(&handle->lock);
	value = handle->value ? g_bytes_ref(handle->value) : NULL;
	pthread_mutex_unlock(&handle->lock);
	return value;
}

void tree_read(struct handle *handle, fuse_req_t req, size_t size, off_t offset)
{
	GBytes *value = NULL;
	int r = 0;

	note_pages(handle->fs, handle);
	if (handle->node->tree->txn)
		r = value_in_view(handle->fs, handle, &value);
	else if (handle->session)
		value = session_value(handle->session);
	else
		value = value_at_open(handle);
	if (r < 0)
		reply_error(req, r);
	else
		reply_bytes(req, value, size, offset);
	if (value)
		g_bytes_unref(value);
}

static void refresh_reader(struct handle *handle)
{
	struct fs *fs = handle->fs;
	g_autoptr(record) record = NULL;
	GBytes *old, *value = NULL;

	if (tree_get(fs, handle->node, NULL, &record) < 0)
		return; /* it has no name any more: nobody else writes it */
	if (record->value)
		value = share_value(fs, handle->node, record);
	pthread_mutex_lock(&handle->lock);
	old = handle->value;
	handle->value = value;
	pthread_mutex_unlock(&handle->lock);
	g_clear_pointer(&old, g_bytes_unref);
}

void tree_refresh(struct handle *handle, pid_t tid)
{
	g_autoptr(GPtrArray) sessions = NULL;

	/* A transaction has one value, that of its view. */
	if (handle->node->kind != NODE_KEY || handle->node->tree->txn)
		return;
	if (!handle->session)
		refresh_reader(handle);
	sessions = session_find_writing(handle, tid);
	for (guint i = 0; i < sessions->len; i++)
		session_refresh(g_ptr_array_index(sessions, i));
}

/* ---- Writing -------------------------------------------------------------------- */

/* What an orphan takes in memory is its transaction's user's, until the node is freed. */
static int charge_orphan(struct fs *fs, struct node *node, const struct edit *edit)
{
	uid_t uid = txn_credentials(node->tree->txn)->uid;
	int64_t growth = 0;
	int r;

	pthread_mutex_lock(&fs->nodes.lock);
	if (node->orphan) {
		uint64_t end = edit->offset + (edit->data ? g_bytes_get_size(edit->data) : 0);

		if (edit->kind == EDIT_APPEND)
			end = node->orphan->size_bytes + g_bytes_get_size(edit->data);
		growth = MAX((int64_t)MIN(end, fs->options.max_value_bytes) - node->charged_bytes,
			     0);
		node->charged_bytes += growth;
	}
	pthread_mutex_unlock(&fs->nodes.lock);
	r = growth ? registry_charge(fs->registry, uid, growth) : 0;
	if (r < 0) {
		pthread_mutex_lock(&fs->nodes.lock);
		node->charged_bytes -= growth;
		pthread_mutex_unlock(&fs->nodes.lock);
	}
	return r;
}

/* A file that was unlinked while it was open is nobody's but its handles'. */
static int edit_orphan(struct fs *fs, struct node *node, struct edit *edit)
{
	g_autoptr(GPtrArray) edits = g_ptr_array_new();
	GBytes *value;
	int r;

	r = charge_orphan(fs, node, edit);
	if (r < 0)
		return r;
	r = -ESTALE;

	g_ptr_array_add(edits, edit);
	pthread_mutex_lock(&fs->nodes.lock);
	if (node->state == NODE_UNLINKED && node->orphan) {
		value = g_steal_pointer(&node->orphan->value);
		r = edits_change(&value, edits, fs->options.max_value_bytes);
		record_take_value(node->orphan, value);
	}
	pthread_mutex_unlock(&fs->nodes.lock);
	return r;
}

int tree_truncate_orphan(struct fs *fs, struct node *node, uint64_t size)
{
	struct edit edit = { .kind = EDIT_TRUNCATE, .offset = size };

	return node->tree->txn ? edit_orphan(fs, node, &edit) : 0;
}

static int write_in_view(struct handle *handle, fuse_req_t req, const char *data, size_t size,
			 off_t offset)
{
	struct fs *fs = handle->fs;
	struct node *node = handle->node;
	g_autoptr(GBytes) bytes = bytes_try_new(data, size);
	struct edit edit = { handle->flags & O_APPEND ? EDIT_APPEND : EDIT_WRITE, (uint64_t)offset,
			     bytes };
	g_autofree char *key = NULL;
	struct program *program;
	struct op *op;
	int r;

	if (!bytes)
		return -ENOMEM;
	if (node_state(&fs->nodes, node) == NODE_UNLINKED)
		return edit_orphan(fs, node, &edit);
	if (is_cut_off(fs, handle))
		return -ESTALE;
	r = tree_resolve(fs, node, NULL, &key);
	if (r < 0)
		return r;
	program = tree_program(req, OP_PATCH, key, key, node, &op);
	op_add_edit(op, edit.kind, edit.offset, bytes);
	return apply_in_view(fs, node, program, NULL);
}

struct written {
	fuse_req_t req;
	size_t size;
};

static void pages_told(void *arg)
{
	struct written *written = arg;

	fuse_reply_write(written->req, written->size);
	g_free(written);
}

/* The kernel has dropped the pages of what is written before it sent the WRITE, but a READ
 * that came in between has filled them again with the old value. Linux 6.18 was seen to drop
 * them after the WRITE once more; others do not. */
static void reply_written(struct fs *fs, struct node *node, fuse_req_t req, size_t size)
{
	struct written *written;
	bool cached;

	pthread_mutex_lock(&fs->nodes.lock);
	cached = node->cached > 0;
	pthread_mutex_unlock(&fs->nodes.lock);
	if (!cached) {
		fuse_reply_write(req, size);
		return;
	}
	written = g_new(struct written, 1);
	*written = (struct written){ req, size };
	notifier_forget_pages(fs->pages, node->id);
	notifier_when_told(fs->pages, pages_told, written);
}

void tree_write(struct handle *handle, fuse_req_t req, const char *data, size_t size, off_t offset)
{
	int r;

	if (handle->session) {
		session_write(handle->session, req, data, size, offset);
		return;
	}
	r = handle->node->tree->txn ? write_in_view(handle, req, data, size, offset) : -EBADF;
	if (r < 0)
		reply_error(req, r);
	else
		reply_written(handle->fs, handle->node, req, size);
}
