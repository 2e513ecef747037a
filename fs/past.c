/* The past: read-only trees of revisions, which cannot change, so that the kernel may keep
 * names, attributes, listings and values for as long as it likes.
 *
 * What can change is who may see them: a path needs the rights recorded then and those that
 * hold on it now, and what is gone now is for the mount's owner. The kernel checks what it
 * is shown, which is what was recorded then. What holds now is checked here, with the
 * caller's credentials, at LOOKUP, OPEN and OPENDIR; and the kernel may keep a name, so
 * that others find it without a LOOKUP, only while its own check says the same: the key is
 * there, and every directory on the way to it gives the same rights now as then, which is
 * the ordinary case. All other names have no time-out but zero, and a directory that the
 * caller may not search now is shown to him without x. A commit that takes rights
 * away, or keys, makes the kernel forget the names it concerns (past_commit_seen). Showing
 * the kernel the modes of then and now combined would be no way: owner and group may be
 * others now, and a mode has no room for two. */
#include "fs/past.h"

#include "fs/commit.h"
#include "fs/control.h"
#include "fs/rights.h"
#include "fs/session.h"
#include "fs/when.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* The top of a tree is asked for again after so many seconds: history that is too old is
 * compacted without a word. What lies below needs nothing but a way to it. */
static const double TIMEOUT_TOP = 1.0;

/* With more trees than this in the kernel's cache, a commit that takes something away makes
 * it forget them all: finding the names in each would cost the commit more. */
enum { MAX_TREES_SEARCHED = 64 };

static int take_snapshot(struct fs *fs, const struct node *node, struct snapshot **ret)
{
	int r = store_snapshot(fs->store, node->tree->revision, ret);

	return r == -ENOENT ? -ESTALE : r; /* compacted: the path leads nowhere any more */
}

/* ---- Rights of now -------------------------------------------------------------- */

/* 0: whoever got here by the rights of then may search the directory now, too. *lasting is
 * cleared unless that goes for everyone. */
static int check_directory(struct fs *fs, fuse_req_t req, struct node *directory, bool *lasting)
{
	g_autoptr(record) now = NULL;
	g_autofree char *key = NULL;
	int r = node_key(&fs->nodes, directory, NULL, &key);

	if (r == 0)
		r = snapshot_get(store_head(fs->store), key, &now);
	if (r < 0 && r != -ENOENT)
		return r;
	if (now && now->type == RECORD_DIRECTORY && rights_equal(now, directory->past))
		return 0;
	*lasting = false;
	if (now && now->type == RECORD_DIRECTORY)
		return rights_allow(req, now, RIGHT_SEARCH) ? 0 : -EACCES;
	return rights_of_owner(req) ? 0 : -EACCES; /* gone */
}

static int check_way(struct fs *fs, fuse_req_t req, struct node *directory, bool *lasting)
{
	int r = 0;

	for (struct node *n = directory; r == 0 && n->tree; n = n->parent)
		r = check_directory(fs, req, n, lasting);
	return r;
}

/* The same for `key` itself: it is there, and gives the rights `wanted`. */
static int check_key(struct fs *fs, fuse_req_t req, const char *key, unsigned wanted, bool *lasting)
{
	g_autoptr(record) now = NULL;
	int r = snapshot_get(store_head(fs->store), key, &now);

	if (r < 0 && r != -ENOENT)
		return r;
	if (now)
		return rights_allow(req, now, wanted) ? 0 : -EACCES;
	*lasting = false;
	return rights_of_owner(req) ? 0 : -EACCES;
}

/* The rights of now for opening `node`. */
static int check_open(struct fs *fs, fuse_req_t req, struct node *node)
{
	g_autofree char *key = NULL;
	bool lasting;
	int r = node_key(&fs->nodes, node, NULL, &key);

	if (r == 0 && node->parent->tree)
		r = check_way(fs, req, node->parent, &lasting);
	return r == 0 ? check_key(fs, req, key, RIGHT_READ, &lasting) : r;
}

/* ---- Looking up ----------------------------------------------------------------- */

/* Who may see it may have changed while the reply was on its way. */
static void recheck(struct fs *fs, uint64_t parent_id, const char *name, gint epoch)
{
	if (g_atomic_int_get(&fs->rights_epoch) != epoch)
		notifier_forget_name(fs->notifier, parent_id, name, 0);
}

/* The attributes recorded then, and how long the kernel may keep them. It lets the caller
 * into a directory, as chdir(2) does without a LOOKUP, by the mode it is shown: where he may
 * not search it now that has no x, and is asked for each time. */
static double past_attributes(struct fs *fs, fuse_req_t req, struct node *node, struct stat *ret)
{
	bool lasting = true;

	record_attributes(node->tree, node->past, ret);
	if (node->type == RECORD_DIRECTORY && check_directory(fs, req, node, &lasting) < 0)
		ret->st_mode &= ~0111U;
	return lasting ? TIMEOUT_LONG : TIMEOUT_NONE;
}

static void reply_past(struct fs *fs, fuse_req_t req, struct node *node, double entry_timeout)
{
	struct fuse_entry_param entry = { .entry_timeout = entry_timeout };

	entry.ino = node->id;
	entry.attr_timeout = past_attributes(fs, req, node, &entry.attr);
	reply_entry(req, node, &entry);
}

void past_lookup(struct fs *fs, fuse_req_t req, struct node *parent, const char *name)
{
	gint epoch = g_atomic_int_get(&fs->rights_epoch);
	g_autoptr(snapshot) snapshot = NULL;
	g_autoptr(record) record = NULL;
	g_autofree char *key = NULL;
	uint64_t parent_id = parent->id;
	bool lasting = true;
	struct node *node;
	int r = node_key(&fs->nodes, parent, name, &key);

	if (r == 0)
		r = check_way(fs, req, parent, &lasting);
	if (r == 0)
		r = take_snapshot(fs, parent, &snapshot);
	if (r == 0)
		r = snapshot_get(snapshot, key, &record);
	if (r == 0)
		r = check_key(fs, req, key, 0, &lasting);
	if (r < 0) {
		reply_error(req, r);
		return;
	}
	node = node_obtain_key(&fs->nodes, parent, name, NULL, record);
	reply_past(fs, req, node, lasting ? TIMEOUT_LONG : TIMEOUT_NONE);
	if (lasting)
		recheck(fs, parent_id, name, epoch);
}

/* The revision that `name` says: a number, a time, or the name of a snapshot. */
static int find_revision(struct fs *fs, const char *name, uint64_t *ret)
{
	int64_t time_ns;

	if (when_parse_revision(name, ret) == 0)
		return 0;
	if (when_parse_time(name, &time_ns) < 0)
		return store_find_snapshot(fs->store, name, ret);
	/* What is not over yet can still get commits. */
	if (time_ns >= g_get_real_time() * 1000)
		return -ENOENT;
	return store_find_revision(fs->store, time_ns, ret);
}

static int obtain_top(struct fs *fs, struct node *parent, const char *name, struct node **ret)
{
	g_autoptr(snapshot) snapshot = NULL;
	g_autoptr(record) record = NULL;
	struct tree *tree;
	uint64_t revision;
	int r = find_revision(fs, name, &revision);

	if (r == 0)
		r = revision == 0 ? -ENOENT : store_snapshot(fs->store, revision, &snapshot);
	if (r == 0)
		r = snapshot_get(snapshot, "", &record);
	if (r < 0)
		return r;
	tree = tree_new_past(revision);
	*ret = node_obtain_key(&fs->nodes, parent, name, tree, record);
	tree_unref(tree);
	return 0;
}

static void lookup_top_again(fuse_req_t req, struct node *node, const char *name, int flags)
{
	(void)flags;
	past_lookup_top(fuse_req_userdata(req), req, node, name);
}

void past_lookup_top(struct fs *fs, fuse_req_t req, struct node *parent, const char *name)
{
	gint epoch = g_atomic_int_get(&fs->rights_epoch);
	uint64_t parent_id = parent->id;
	struct node *node;
	int r = obtain_top(fs, parent, name, &node);

	/* What was closed before is a revision, though its RELEASE may be to come. */
	if (r == -ENOENT &&
	    session_wait_for_release(fs, req, parent, name, SESSION_ANY, 0, lookup_top_again))
		return;
	if (r < 0) {
		reply_error(req, r); /* not to be cached: it may come to be */
		return;
	}
	reply_past(fs, req, node, TIMEOUT_TOP);
	recheck(fs, parent_id, name, epoch);
}

void past_getattr(struct fs *fs, fuse_req_t req, struct node *node)
{
	gint epoch = g_atomic_int_get(&fs->rights_epoch);
	uint64_t id = node->id;
	struct stat attributes;
	double timeout = past_attributes(fs, req, node, &attributes);

	fuse_reply_attr(req, &attributes, timeout);
	if (g_atomic_int_get(&fs->rights_epoch) != epoch)
		attributes_forget(fs, id);
}

void past_readlink(struct fs *fs, fuse_req_t req, struct node *node)
{
	g_autoptr(snapshot) snapshot = NULL;
	g_autoptr(record) record = NULL;
	g_autofree char *key = NULL, *link = NULL;
	const char *text;
	gsize length;
	int r = node_key(&fs->nodes, node, NULL, &key);

	if (r == 0)
		r = take_snapshot(fs, node, &snapshot);
	if (r == 0)
		r = snapshot_get(snapshot, key, &record);
	if (r == 0 && record->type != RECORD_SYMLINK)
		r = -EINVAL;
	if (r < 0) {
		reply_error(req, r);
		return;
	}
	text = g_bytes_get_data(record->value, &length);
	link = g_strndup(text, length);
	fuse_reply_readlink(req, link);
}

/* ---- Reading -------------------------------------------------------------------- */

/* However many read a value at once, it is in memory once. */
static int share_value(struct fs *fs, struct node *node, GBytes **ret)
{
	g_autoptr(snapshot) snapshot = NULL;
	g_autoptr(record) record = NULL;
	g_autofree char *key = NULL;
	int r;

	pthread_mutex_lock(&fs->nodes.lock);
	*ret = node->value ? g_bytes_ref(node->value) : NULL;
	pthread_mutex_unlock(&fs->nodes.lock);
	if (*ret)
		return 0;
	r = node_key(&fs->nodes, node, NULL, &key);
	if (r == 0)
		r = take_snapshot(fs, node, &snapshot);
	if (r == 0)
		r = snapshot_get(snapshot, key, &record);
	/* Not an empty value: whoever restored it would lose what is there. */
	if (r == 0 && record->purged)
		r = -ENODATA;
	if (r < 0)
		return r;
	pthread_mutex_lock(&fs->nodes.lock);
	if (!node->value && record->value)
		node->value = g_bytes_ref(record->value);
	*ret = node->value ? g_bytes_ref(node->value) : NULL;
	pthread_mutex_unlock(&fs->nodes.lock);
	return 0;
}

/* The value is held from the open on, whatever is compacted or purged meanwhile. */
void past_open(struct fs *fs, fuse_req_t req, struct node *node, struct fuse_file_info *info)
{
	struct handle *handle;
	int r;

	if ((info->flags & O_ACCMODE) != O_RDONLY || (info->flags & O_TRUNC)) {
		reply_error(req, -EROFS);
		return;
	}
	r = check_open(fs, req, node);
	if (r < 0) {
		reply_error(req, r);
		return;
	}
	handle = handle_new(fs, node, info->flags);
	r = share_value(fs, node, &handle->value);
	if (r < 0) {
		handle_free(handle);
		reply_error(req, r);
		return;
	}
	info->keep_cache = 1;
	info->noflush = 1;
	reply_open(req, handle, info);
}

/* The kernel reads ahead, and lets go of the handle as soon as it has the last answer. */
void past_read(struct handle *handle, fuse_req_t req, size_t size, off_t offset)
{
	GBytes *value = handle->value ? g_bytes_ref(handle->value) : NULL;

	reply_bytes(req, value, size, offset);
	g_clear_pointer(&value, g_bytes_unref);
}

void past_opendir(struct fs *fs, fuse_req_t req, struct node *node, struct fuse_file_info *info)
{
	g_autoptr(snapshot) snapshot = NULL;
	struct handle *handle;
	int r = check_open(fs, req, node);

	if (r == 0)
		r = take_snapshot(fs, node, &snapshot);
	if (r < 0) {
		reply_error(req, r);
		return;
	}
	handle = handle_new(fs, node, info->flags);
	handle->snapshot = g_steal_pointer(&snapshot);
	info->cache_readdir = 1;
	info->keep_cache = 1;
	reply_open(req, handle, info);
}

static int pin_entry(const char *name, struct record *record, void *arg)
{
	struct handle *handle = ((void **)arg)[0];
	GPtrArray *entries = ((void **)arg)[1];
	struct listed_entry *entry = g_new0(struct listed_entry, 1);

	entry->name = g_strdup(name);
	entry->type = record->type;
	entry->ino = tree_ino(handle->node->tree, record->ino);
	g_ptr_array_add(entries, entry);
	return 0;
}

/* Entries come without attributes: each name is looked up by whoever wants to see more of
 * it, since that is where the rights of now are checked. */
int past_list(struct handle *handle, GPtrArray *entries)
{
	g_autofree char *key = NULL;
	void *pinning[] = { handle, entries };
	struct view *view;
	int r = node_key(&handle->fs->nodes, handle->node, NULL, &key);

	if (r < 0)
		return r;
	view = view_new_past(handle->snapshot);
	r = view_list(view, key, pin_entry, pinning);
	view_free(view);
	return r;
}

/* ---- Names of snapshots --------------------------------------------------------- */

static void mkdir_again(fuse_req_t req, struct node *node, const char *name, int flags)
{
	(void)flags;
	past_mkdir(fuse_req_userdata(req), req, node, name);
}

/* The kernel has checked that the caller may write in at/: the owner of the mount. */
void past_mkdir(struct fs *fs, fuse_req_t req, struct node *parent, const char *name)
{
	struct node *node;
	int r;

	if (!when_is_name(name)) {
		reply_error(req, -EINVAL);
		return;
	}
	if (session_wait_for_release(fs, req, parent, name, SESSION_ANY, 0, mkdir_again))
		return;
	r = store_name_snapshot(fs->store, name, 0, fuse_req_ctx(req)->uid, NULL);
	if (r == 0)
		r = obtain_top(fs, parent, name, &node);
	if (r < 0)
		reply_error(req, r);
	else
		reply_past(fs, req, node, TIMEOUT_TOP);
}

/* A number or a time is there as long as it is retained: nobody can remove it. */
void past_rmdir(struct fs *fs, fuse_req_t req, struct node *parent, const char *name)
{
	const struct name_change change = { .kind = OP_RMDIR, .parent = parent, .name = name };
	int r = when_is_name(name) ? store_drop_snapshot(fs->store, name) : -EPERM;

	if (r == 0) {
		names_changed(fs, &change);
		past_compacted(fs);
	}
	reply_error(req, r);
}

static int add_name(const struct named_snapshot *snapshot, void *arg)
{
	struct listed_entry *entry = g_new0(struct listed_entry, 1);
	struct tree tree = { .kind = NODE_PAST, .revision = snapshot->revision };

	entry->name = g_strdup(snapshot->name);
	entry->type = RECORD_DIRECTORY;
	entry->ino = tree_ino(&tree, 1); /* that of the top of every tree */
	g_ptr_array_add(arg, entry);
	return 0;
}

int past_list_names(struct fs *fs, GPtrArray *entries)
{
	return store_list_snapshots(fs->store, add_name, entries);
}

/* ---- What the kernel must ask for again ----------------------------------------- */

static bool takes_away(const struct change *change)
{
	if (!change->before)
		return false;
	return !change->after || !rights_equal(change->before, change->after);
}

static void forget_locked(struct fs *fs, struct node *node)
{
	notifier_forget_name(fs->notifier, node->parent->id, node->name, 0);
}

static void forget_all_locked(struct fs *fs)
{
	GHashTableIter iter;
	struct node *top;

	g_hash_table_iter_init(&iter, fs->nodes.past);
	while (g_hash_table_iter_next(&iter, (void **)&top, NULL))
		forget_locked(fs, top);
	/* Those in use stay as they are, but are not looked for again. */
	g_hash_table_remove_all(fs->nodes.past);
}

static void forget_key_locked(struct fs *fs, const char *key)
{
	GHashTableIter iter;
	struct node *top;

	g_hash_table_iter_init(&iter, fs->nodes.past);
	while (g_hash_table_iter_next(&iter, (void **)&top, NULL)) {
		struct node *node = node_find_locked(&fs->nodes, top, key);

		if (node)
			forget_locked(fs, node);
	}
}

void past_commit_seen(struct fs *fs, const struct log_entry *commit)
{
	g_autoptr(GPtrArray) keys = g_ptr_array_new();

	for (guint i = 0; i < commit->changes->len; i++) {
		const struct change *change = g_ptr_array_index(commit->changes, i);

		if (takes_away(change))
			g_ptr_array_add(keys, change->key);
	}
	if (keys->len == 0)
		return;
	pthread_mutex_lock(&fs->nodes.lock);
	g_atomic_int_inc(&fs->rights_epoch);
	if (g_hash_table_size(fs->nodes.past) * keys->len > MAX_TREES_SEARCHED)
		forget_all_locked(fs);
	for (guint i = 0; i < keys->len; i++)
		forget_key_locked(fs, g_ptr_array_index(keys, i));
	pthread_mutex_unlock(&fs->nodes.lock);
}

static bool is_readable(struct fs *fs, const struct node *top)
{
	g_autoptr(snapshot) snapshot = NULL;

	return store_snapshot(fs->store, top->tree->revision, &snapshot) == 0;
}

/* Taking a snapshot calls the store, which is not done under a lock. */
void past_compacted(struct fs *fs)
{
	g_autoptr(GPtrArray) tops = g_ptr_array_new();
	GHashTableIter iter;
	struct node *top;

	pthread_mutex_lock(&fs->nodes.lock);
	g_atomic_int_inc(&fs->rights_epoch);
	g_hash_table_iter_init(&iter, fs->nodes.past);
	while (g_hash_table_iter_next(&iter, (void **)&top, NULL)) {
		top->refs++;
		g_ptr_array_add(tops, top);
	}
	pthread_mutex_unlock(&fs->nodes.lock);
	for (guint i = 0; i < tops->len; i++) {
		top = g_ptr_array_index(tops, i);
		if (!is_readable(fs, top)) {
			pthread_mutex_lock(&fs->nodes.lock);
			forget_locked(fs, top);
			pthread_mutex_unlock(&fs->nodes.lock);
		}
		node_unref(&fs->nodes, top);
	}
}

/* The kernel has kept its values, and the nodes what size they had. */
void past_purged(struct fs *fs, const char *key)
{
	GHashTableIter iter;
	struct node *top;

	pthread_mutex_lock(&fs->nodes.lock);
	g_atomic_int_inc(&fs->rights_epoch);
	g_hash_table_iter_init(&iter, fs->nodes.past);
	while (g_hash_table_iter_next(&iter, (void **)&top, NULL)) {
		struct node *node = node_find_locked(&fs->nodes, top, key);

		if (!node || node == top)
			continue;
		forget_locked(fs, node);
		node_detach_locked(&fs->nodes, node, NODE_STALE);
	}
	pthread_mutex_unlock(&fs->nodes.lock);
}
