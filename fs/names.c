/* Names: looking up, making and removing entries, renaming. On the live tree each change
 * is submitted and answered when it is durable; in a transaction it is answered at once. */
#include "fs/tree.h"

#include "fs/commit.h"
#include "fs/loop.h"
#include "fs/scratch.h"
#include "fs/session.h"

#include <errno.h>
#include <string.h>

/* Within this time of a LOOKUP its call comes to its OPEN, also on a busy machine; no longer
 * than who committed waits for the kernel to forget a name. */
enum { LOOKUP_TO_OPEN_US = 10000 };

/* ---- Resolving ------------------------------------------------------------------ */

static bool is_open_file(struct fs *fs, const struct node *node)
{
	bool open;

	pthread_mutex_lock(&fs->nodes.lock);
	open = node->type != RECORD_DIRECTORY && node->handles > 0;
	pthread_mutex_unlock(&fs->nodes.lock);
	return open;
}

/* A node of an earlier round is as good as ever when the new snapshot has it too. */
static int renew(struct fs *fs, struct node *node, const char *key)
{
	uint64_t round = txn_round(node->tree->txn);
	g_autoptr(record) record = NULL;
	bool renewed;
	int r;

	if (node->round == round)
		return 0;
	if (is_open_file(fs, node))
		return -ESTALE; /* it goes on in the round it was opened in */
	r = view_get(node->tree->view, key, &record);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	if (record->ino != node->ino || record->type != node->type)
		return -ESTALE;
	/* The kernel knows the name from an earlier round and does not look it up again. */
	r = view_observe(node->tree->view, OBSERVE_EXISTS, key, record);
	if (r < 0)
		return r;
	pthread_mutex_lock(&fs->nodes.lock);
	renewed = node_renew_locked(node, round, record);
	pthread_mutex_unlock(&fs->nodes.lock);
	return renewed ? 0 : -ESTALE;
}

int tree_resolve(struct fs *fs, struct node *node, const char *name, char **ret)
{
	g_autofree char *own_key = NULL;
	int r = 0;

	if (node->tree->txn) {
		if (txn_state(node->tree->txn) == TXN_OVER)
			return -ESTALE;
		r = node_key(&fs->nodes, node, NULL, &own_key);
		/* The top of the tree, whose key is empty, is there in every round. */
		if (r == 0 && *own_key)
			r = renew(fs, node, own_key);
	}
	return r == 0 ? node_key(&fs->nodes, node, name, ret) : r;
}

int tree_get(struct fs *fs, struct node *node, char **ret_key, struct record **ret)
{
	g_autoptr(record) record = NULL;
	g_autofree char *key = NULL;
	int r = tree_resolve(fs, node, NULL, &key);

	if (r == 0)
		r = view_get(node->tree->view, key, &record);
	if (r == -ENOENT || (r == 0 && (record->ino != node->ino || record->type != node->type)))
		r = -ESTALE;
	if (r < 0)
		return r;
	if (ret_key)
		*ret_key = g_steal_pointer(&key);
	*ret = g_steal_pointer(&record);
	return 0;
}

/* Where to find the file as it was before it vanished. False: it is too late, the call must
 * walk its path again. What the kernel itself unlinked, no walk of now can lead to; what a
 * transaction took, a name in the kernel's cache may, but not one it was just told of. */
static bool find_vanished(struct fs *fs, struct node *node, char **ret_key, uint64_t *ret_revision)
{
	int64_t since_us = g_get_monotonic_time() - LOOKUP_TO_OPEN_US;
	bool found;

	pthread_mutex_lock(&fs->nodes.lock);
	found = node->vanished_key &&
		(node->state == NODE_UNLINKED || node->looked_up_us > since_us);
	if (found) {
		*ret_key = g_strdup(node->vanished_key);
		*ret_revision = node->vanished_revision - 1;
	} else if (node->state == NODE_LIVE && node_key_locked(node, NULL, ret_key) == 0) {
		/* The commit that takes it can be read, and has not come here yet: nobody has
		 * been told of it either. */
		*ret_revision = fs->seen_revision;
		found = true;
	}
	pthread_mutex_unlock(&fs->nodes.lock);
	return found;
}

int tree_get_readable(struct fs *fs, struct node *node, char **ret_key, struct record **ret)
{
	g_autoptr(snapshot) snapshot = NULL;
	g_autoptr(record) record = NULL;
	g_autofree char *key = NULL;
	uint64_t revision;
	int r = tree_get(fs, node, ret_key, ret);

	if (r != -ESTALE || node->tree->txn || !find_vanished(fs, node, &key, &revision))
		return r;
	if (store_snapshot(fs->store, revision, &snapshot) < 0 ||
	    snapshot_get(snapshot, key, &record) < 0 || record->ino != node->ino)
		return -ESTALE;
	if (ret_key)
		*ret_key = g_steal_pointer(&key);
	*ret = g_steal_pointer(&record);
	return 0;
}

struct program *tree_program(fuse_req_t req, enum op_kind kind, const char *key,
			     const char *guard_key, const struct node *guard, struct op **ret_op)
{
	/* A commit names its transaction's author. */
	g_autoptr(credentials) credentials = guard->tree->txn ? caller_rights(req) :
								caller_credentials(req);
	struct program *program = program_new(credentials);

	program_compare(program, COMPARE_INO, COMPARE_EQUAL, guard_key, guard->ino);
	*ret_op = program_add(program, kind, key);
	return program;
}

void tree_note_reshaped(struct fs *fs, struct tree *tree)
{
	pthread_mutex_lock(&fs->nodes.lock);
	tree->reshaped++;
	pthread_mutex_unlock(&fs->nodes.lock);
}

void tree_apply(struct fs *fs, const struct tree *tree, struct program *program,
		program_done_fn *done, void *arg)
{
	for (guint i = 0; tree->txn && i < program->then_ops->len; i++) {
		const struct op *op = g_ptr_array_index(program->then_ops, i);

		provisional_settle_txn(fs, tree->txn, op->key);
		if (op->target)
			provisional_settle_txn(fs, tree->txn, op->target);
	}
	view_apply(tree->view, program, done, arg);
}

/* ---- Timeouts ------------------------------------------------------------------- */

/* A name that is reserved in it changes it soon: when its file has been closed, a stat has to
 * wait until it is committed. */
static bool expects_entries(struct fs *fs, const struct node *directory)
{
	bool expects;

	pthread_mutex_lock(&fs->nodes.lock);
	expects = directory->reserved > 0;
	pthread_mutex_unlock(&fs->nodes.lock);
	return expects;
}

double tree_attribute_timeout(struct fs *fs, const struct node *node, gint epoch)
{
	if (node->type != RECORD_DIRECTORY)
		return TIMEOUT_NONE;
	if (!node->tree->txn &&
	    (g_atomic_int_get(&fs->directory_epoch) != epoch || expects_entries(fs, node)))
		return TIMEOUT_NONE;
	return TIMEOUT_LONG;
}

void tree_recheck(struct fs *fs, uint64_t id, gint epoch)
{
	if (g_atomic_int_get(&fs->directory_epoch) != epoch)
		attributes_forget(fs, id);
}

/* ---- Looking up ----------------------------------------------------------------- */

enum { MAX_ATTEMPTS = 16 }; /* paths that change under the request */

/* The node of what is at `name` now, when that is newer than *record. */
static struct node *obtain_newest(struct fs *fs, struct node *parent, const char *name,
				  struct record **record, int *ret_error)
{
	struct node *node = node_obtain_key(&fs->nodes, parent, name, NULL, *record);

	*ret_error = 0;
	for (int i = 0; !node && *ret_error == 0 && i < MAX_ATTEMPTS; i++) {
		g_autofree char *key = NULL;

		g_clear_pointer(record, record_unref);
		*ret_error = tree_resolve(fs, parent, name, &key);
		if (*ret_error == 0)
			*ret_error = view_get(parent->tree->view, key, record);
		if (*ret_error == 0)
			node = node_obtain_key(&fs->nodes, parent, name, NULL, *record);
	}
	if (!node && *ret_error == 0)
		*ret_error = -ESTALE;
	return node;
}

/* The kernel gets attributes of a live directory to keep only by GETATTR: what it does not
 * have yet cannot be invalidated while this reply is on its way. */
static void reply_record(struct fs *fs, fuse_req_t req, struct node *parent, const char *name,
			 struct record *found)
{
	struct fuse_entry_param entry = { .entry_timeout = TIMEOUT_LONG };
	g_autoptr(record) record = record_ref(found);
	struct node *node;
	int r;

	node = obtain_newest(fs, parent, name, &record, &r);
	if (!node) {
		reply_error(req, r);
		return;
	}
	entry.ino = node->id;
	if (node->type == RECORD_DIRECTORY && node->tree->txn)
		entry.attr_timeout = TIMEOUT_LONG;
	record_attributes(node->tree, record, &entry.attr);
	reply_entry(req, node, &entry);
}

/* The node of a name the caller's process has reserved, with one lookup more; or NULL. */
static struct node *obtain_reserved(struct fs *fs, fuse_req_t req, struct node *parent,
				    const char *name)
{
	struct node_table *table = &fs->nodes;
	struct node *node;
	bool own;

	pthread_mutex_lock(&table->lock);
	node = node_reserved_locked(table, parent, name);
	if (node)
		node->refs++;
	pthread_mutex_unlock(&table->lock);
	if (!node)
		return NULL;
	own = session_owns_node(fs, node, fuse_req_ctx(req)->pid);
	pthread_mutex_lock(&table->lock);
	if (own)
		node->lookups++;
	pthread_mutex_unlock(&table->lock);
	node_unref(table, node);
	return own ? node : NULL;
}

static bool reply_reserved(struct fs *fs, fuse_req_t req, struct node *parent, const char *name)
{
	struct fuse_entry_param entry = { .attr_timeout = TIMEOUT_NONE,
					  .entry_timeout = TIMEOUT_NONE };
	struct node *node = obtain_reserved(fs, req, parent, name);
	bool reserved;

	if (!node)
		return false;
	entry.ino = node->id;
	pthread_mutex_lock(&fs->nodes.lock);
	reserved = node->state == NODE_RESERVED;
	if (reserved)
		record_attributes(node->tree, node->template, &entry.attr);
	pthread_mutex_unlock(&fs->nodes.lock);
	if (reserved)
		reply_entry(req, node, &entry);
	else
		node_forget(&fs->nodes, node->id, 1); /* committed meanwhile */
	return reserved;
}

static void lookup_again(fuse_req_t req, struct node *node, const char *name, int flags)
{
	(void)flags;
	tree_lookup(fuse_req_userdata(req), req, node, name);
}

void tree_lookup(struct fs *fs, fuse_req_t req, struct node *parent, const char *name)
{
	struct view *view = parent->tree->view;
	g_autoptr(record) record = NULL;
	g_autofree char *key = NULL;
	int r;

	if (!parent->tree->txn &&
	    (session_wait_for_release(fs, req, parent, name, SESSION_ON_NAME, 0, lookup_again) ||
	     reply_reserved(fs, req, parent, name)))
		return;
	r = tree_resolve(fs, parent, name, &key);
	if (r == 0)
		r = view_get(view, key, &record);
	if (r == 0 || r == -ENOENT) {
		int refused = view_observe(view, OBSERVE_EXISTS, key, record);

		r = refused < 0 ? refused : r;
	}
	if (r < 0)
		reply_error(req, r);
	else
		reply_record(fs, req, parent, name, record);
}

/* ---- Changing names ------------------------------------------------------------- */

/* One change of names, until it is answered. */
struct name_request {
	struct origin origin;
	struct name_change names;
	struct fs *fs;
	fuse_req_t req;
	struct op op; /* what to do, but for its keys */
	char *name;
	char *new_name;
	guint attempts;
};

static void name_request_free(struct name_request *request)
{
	if (request->op.value)
		g_bytes_unref(request->op.value);
	g_free(request->name);
	g_free(request->new_name);
	g_free(request);
}

static struct name_request *name_request_new(struct fs *fs, fuse_req_t req, enum op_kind kind,
					     struct node *parent, const char *name)
{
	struct name_request *request = g_new0(struct name_request, 1);

	request->fs = fs;
	request->req = req;
	request->op.kind = kind;
	request->name = g_strdup(name);
	request->names.kind = kind;
	request->names.parent = parent;
	request->names.name = request->name;
	return request;
}

static bool removes_or_moves(const struct name_request *request)
{
	return request->op.kind == OP_DELETE || request->op.kind == OP_RMDIR ||
	       request->op.kind == OP_RENAME;
}

static void name_request_reply(struct name_request *request, int error)
{
	reply_error(request->req, error);
	name_request_free(request);
}

/* What is renamed over is replaced: whoever still writes it writes for nobody. */
static void discard_reserved(struct fs *fs, struct node *parent, const char *name)
{
	struct node *node;

	pthread_mutex_lock(&fs->nodes.lock);
	node = node_reserved_locked(&fs->nodes, parent, name);
	if (node)
		node_detach_locked(&fs->nodes, node, NODE_UNLINKED);
	pthread_mutex_unlock(&fs->nodes.lock);
}

static void submit_names(struct name_request *request);

static void names_done(const struct program_result *result, void *arg)
{
	struct name_request *request = arg;
	struct fs *fs = request->fs;
	struct node *parent = request->names.parent;
	bool live = !parent->tree->txn;

	if (result->error < 0) {
		name_request_reply(request, result->error);
		return;
	}
	if (!result->succeeded) {
		submit_names(request); /* the directory was renamed, or is gone */
		return;
	}
	if (!removes_or_moves(request)) {
		reply_record(fs, request->req, parent, request->name,
			     g_ptr_array_index(result->records, 0));
		name_request_free(request);
		return;
	}
	if (!live)
		names_changed(fs, &request->names); /* the live ones changed with the commit */
	else if (request->op.kind == OP_RENAME)
		discard_reserved(fs, request->names.new_parent, request->new_name);
	name_request_reply(request, 0);
}

/* What loses its name goes on as it is for whoever has it: a file for its handles, a
 * directory for the processes that work in it, of which nothing is known here. */
static void keep_orphan(struct fs *fs, struct node *parent, const char *name, const char *key)
{
	struct node_table *table = &fs->nodes;
	struct record *old, *record = NULL;
	struct node *node;
	bool wanted;

	pthread_mutex_lock(&table->lock);
	node = node_child_locked(table, parent, name);
	wanted = node && (node->type == RECORD_DIRECTORY ||
			  (node->handles > 0 && node->type == RECORD_VALUE));
	if (wanted)
		node->refs++;
	pthread_mutex_unlock(&table->lock);
	if (!wanted)
		return;
	if (view_get(node->tree->view, key, &record) == 0) {
		pthread_mutex_lock(&table->lock);
		old = node->orphan;
		/* A copy of its own: writes go into it. */
		node->orphan = record_copy(record);
		pthread_mutex_unlock(&table->lock);
		record_unref(old);
		record_unref(record);
	}
	node_unref(table, node);
}

/* A name that the kernel knows from an earlier round it removes or moves without a LOOKUP. */
static int observe_name(struct view *view, const char *key)
{
	g_autoptr(record) record = NULL;
	int r = view_get(view, key, &record);

	return r < 0 && r != -ENOENT ? r : view_observe(view, OBSERVE_EXISTS, key, record);
}

static int observe_names(const struct name_request *request, const char *key, const char *new_key)
{
	const struct tree *tree = request->names.parent->tree;
	int r;

	if (!tree->txn || !removes_or_moves(request))
		return 0;
	r = observe_name(tree->view, key);
	return r == 0 && new_key ? observe_name(tree->view, new_key) : r;
}

static int build_names(struct name_request *request, struct program **ret)
{
	struct fs *fs = request->fs;
	const struct name_change *names = &request->names;
	g_autofree char *key = NULL, *new_key = NULL, *directory = NULL;
	struct program *program;
	struct op *op;
	int r;

	if (++request->attempts > MAX_ATTEMPTS)
		return -ESTALE;
	r = tree_resolve(fs, names->parent, NULL, &directory);
	if (r == 0)
		r = tree_resolve(fs, names->parent, names->name, &key);
	if (r == 0 && names->new_parent)
		r = tree_resolve(fs, names->new_parent, names->new_name, &new_key);
	if (r == 0)
		r = observe_names(request, key, new_key);
	if (r < 0)
		return r;
	if (removes_or_moves(request))
		keep_orphan(fs, names->parent, names->name, key);
	if (new_key)
		keep_orphan(fs, names->new_parent, names->new_name, new_key);
	program = tree_program(request->req, request->op.kind, key, directory, names->parent, &op);
	program->checked = true;
	program->origin = removes_or_moves(request) ? &request->origin : NULL;
	op->flags = request->op.flags;
	op->mode = request->op.mode;
	op->value = request->op.value ? g_bytes_ref(request->op.value) : NULL;
	op->target = g_steal_pointer(&new_key);
	if (names->new_parent && names->new_parent != names->parent) {
		g_autofree char *new_directory = key_parent(op->target);

		program_compare(program, COMPARE_INO, COMPARE_EQUAL, new_directory,
				names->new_parent->ino);
	}
	*ret = program;
	return 0;
}

static void submit_names(struct name_request *request)
{
	struct program *program;
	int r;

	request->origin.names = &request->names;
	r = build_names(request, &program);
	if (r < 0) {
		name_request_reply(request, r);
		return;
	}
	tree_note_reshaped(request->fs, request->names.parent->tree);
	tree_apply(request->fs, request->names.parent->tree, program, names_done, request);
}

/* A name that is reserved is taken, though only its creator sees it. */
static bool is_reserved(struct fs *fs, struct node *parent, const char *name)
{
	bool reserved;

	pthread_mutex_lock(&fs->nodes.lock);
	reserved = node_reserved_locked(&fs->nodes, parent, name) != NULL;
	pthread_mutex_unlock(&fs->nodes.lock);
	return reserved;
}

static void submit_new(struct name_request *request)
{
	if (is_reserved(request->fs, request->names.parent, request->name))
		name_request_reply(request, -EEXIST);
	else
		submit_names(request);
}

void tree_mkdir(struct fs *fs, fuse_req_t req, struct node *parent, const char *name, mode_t mode)
{
	struct name_request *request = name_request_new(fs, req, OP_MKDIR, parent, name);

	request->op.mode = mode & 07777;
	submit_new(request);
}

void tree_mknod(struct fs *fs, fuse_req_t req, struct node *parent, const char *name, mode_t mode)
{
	struct name_request *request = name_request_new(fs, req, OP_PUT, parent, name);

	request->op.flags = OP_EXCLUSIVE;
	request->op.mode = mode & 07777;
	request->op.value = g_bytes_new(NULL, 0);
	submit_new(request);
}

void tree_symlink(struct fs *fs, fuse_req_t req, const char *link, struct node *parent,
		  const char *name)
{
	struct name_request *request;
	g_autofree char *key = NULL;
	int r = tree_resolve(fs, parent, name, &key);

	if (r < 0) {
		reply_error(req, r);
		return;
	}
	request = name_request_new(fs, req, OP_SYMLINK, parent, name);
	request->op.mode = 0777;
	request->op.value = g_bytes_new(link, strlen(link));
	if (scratch_names_link(fs->scratch, key))
		request->op.flags = OP_SCRATCH;
	submit_new(request);
}

/* Removing a name that is only reserved: the creator gives it up. True when that is all. */
static bool remove_reserved(struct fs *fs, fuse_req_t req, struct node *parent, const char *name)
{
	struct node *node = obtain_reserved(fs, req, parent, name);
	uint64_t id;
	bool all;

	if (!node)
		return false;
	id = node->id;
	pthread_mutex_lock(&fs->nodes.lock);
	all = node->state == NODE_RESERVED && !node->replaces;
	if (node->state == NODE_RESERVED)
		node_detach_locked(&fs->nodes, node, NODE_UNLINKED);
	pthread_mutex_unlock(&fs->nodes.lock);
	node_forget(&fs->nodes, id, 1);
	return all;
}

static bool holds_reserved_names(struct fs *fs, struct node *parent, const char *name)
{
	struct node *node;
	bool holds;

	pthread_mutex_lock(&fs->nodes.lock);
	node = node_child_locked(&fs->nodes, parent, name);
	holds = node && node->reserved > 0;
	pthread_mutex_unlock(&fs->nodes.lock);
	return holds;
}

void tree_remove(struct fs *fs, fuse_req_t req, enum op_kind kind, struct node *parent,
		 const char *name)
{
	bool live = !parent->tree->txn;
	struct name_request *request;

	if (live && kind == OP_DELETE && remove_reserved(fs, req, parent, name)) {
		reply_error(req, 0);
		return;
	}
	if (live && kind == OP_RMDIR && holds_reserved_names(fs, parent, name)) {
		reply_error(req, -ENOTEMPTY);
		return;
	}
	request = name_request_new(fs, req, kind, parent, name);
	request->op.flags = OP_PRESENT;
	submit_names(request);
}

/* Renames a name that is only reserved: nothing is committed, its commit goes there. */
static int rename_reserved(struct fs *fs, struct node *node, struct node *new_parent,
			   const char *new_name, unsigned flags)
{
	g_autoptr(record) target = NULL;
	g_autofree char *key = NULL;
	int r = tree_resolve(fs, new_parent, new_name, &key);

	if (r == 0)
		r = view_get(new_parent->tree->view, key, &target);
	if (r < 0 && r != -ENOENT)
		return r;
	if (flags & OP_EXCHANGE)
		return target ? -EINVAL : -ENOENT;
	if (target && target->type == RECORD_DIRECTORY)
		return -EISDIR;
	if ((flags & OP_EXCLUSIVE) && (target || is_reserved(fs, new_parent, new_name)))
		return -EEXIST;
	pthread_mutex_lock(&fs->nodes.lock);
	if (node->state == NODE_RESERVED) {
		node->replaces = target != NULL;
		node->scratch = false; /* somebody wants it to stay */
		node_move_locked(&fs->nodes, node, new_parent, new_name);
		r = 0;
	} else {
		r = -ESTALE; /* committed meanwhile: the kernel asks again */
	}
	pthread_mutex_unlock(&fs->nodes.lock);
	return r;
}

static bool is_directory(struct fs *fs, struct node *parent, const char *name)
{
	struct node *node;
	bool is;

	pthread_mutex_lock(&fs->nodes.lock);
	node = node_child_locked(&fs->nodes, parent, name);
	is = node && node->type == RECORD_DIRECTORY;
	pthread_mutex_unlock(&fs->nodes.lock);
	return is;
}

void tree_rename(struct fs *fs, fuse_req_t req, struct node *parent, const char *name,
		 struct node *new_parent, const char *new_name, unsigned flags)
{
	bool live = !parent->tree->txn;
	struct node *reserved = live ? obtain_reserved(fs, req, parent, name) : NULL;
	struct name_request *request;

	if (reserved) {
		reply_error(req, rename_reserved(fs, reserved, new_parent, new_name, flags));
		node_forget(&fs->nodes, reserved->id, 1);
		return;
	}
	if (live && (flags & OP_EXCLUSIVE) && is_reserved(fs, new_parent, new_name)) {
		reply_error(req, -EEXIST);
		return;
	}
	if (live && !(flags & OP_EXCHANGE) && holds_reserved_names(fs, new_parent, new_name)) {
		reply_error(req, -ENOTEMPTY);
		return;
	}
	if (!live && is_directory(fs, parent, name))
		loop_step_down(); /* everything below is read */
	request = name_request_new(fs, req, OP_RENAME, parent, name);
	request->op.flags = flags;
	request->new_name = g_strdup(new_name);
	request->names.flags = flags;
	request->names.new_parent = new_parent;
	request->names.new_name = request->new_name;
	submit_names(request);
}
