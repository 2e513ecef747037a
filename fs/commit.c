/* After a commit: the node table follows, then the kernel is told.
 *
 * Directories' attributes are cached by the kernel for long, so they are invalidated
 * before anybody is told of the commit. That call takes no lock that a request in flight
 * could hold (it marks one inode), so the committing thread makes it itself.
 * Names are another matter: telling the kernel to forget one waits for whatever is in
 * flight in its directory. A node whose name is gone answers ESTALE, which makes the
 * kernel look again; but a name it still holds is there for mkdir(2), and a file for a
 * walk through it. So one thread tells names, and whoever committed is told of it when
 * that is done, or after a moment; nobody else waits. */
#include "fs/commit.h"

#include "fs/control.h"
#include "fs/housekeeper.h"
#include "fs/past.h"
#include "fs/prune.h"
#include "fs/session.h"
#include "fs/tree.h"
#include "fs/watch.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* ---- The notifier --------------------------------------------------------------- */

enum { STOP_WAIT_S = 2 };
/* A busy machine may take long to tell a name. But where one keeps the notifier for so long,
 * somebody keeps its directory busy, and who commits does not wait for that each time. */
enum { TELL_WAIT_US = 1000000, STUCK_US = 250000, TELL_STUCK_WAIT_US = 10000 };

/* Who waits until names are told: called by the notifier or, when that takes too long, by
 * the housekeeper, whoever is first. */
struct waiting_done {
	gint refs;   /* atomic: the two */
	gint called; /* atomic */
	notifier_done_fn *done;
	void *arg;
};

/* Something to tell, in turn: a name, pages, or somebody who waits. */
struct notice {
	uint64_t parent_id;
	uint64_t node_id;	      /* what had the name, or has the pages */
	char *name;		      /* NULL: pages, or somebody who waits */
	struct waiting_done *waiting; /* NULL: pages, or a name */
};

struct notifier {
	struct fs *fs;	  /* set once */
	pthread_t thread; /* set once */
	gint untold;	  /* atomic: names and pages in the queue or being told */
	int64_t began_us; /* atomic: monotonic, when it began to tell one; 0: it tells none */
	gint abandoned;	  /* atomic: the thread is left behind */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop;    /* lock */
	GQueue queue; /* lock: struct notice */
};

static void call_once(void *data)
{
	struct waiting_done *waiting = data;

	if (g_atomic_int_compare_and_exchange(&waiting->called, 0, 1))
		waiting->done(waiting->arg);
	if (g_atomic_int_dec_and_test(&waiting->refs))
		g_free(waiting);
}

static void notice_free(void *data)
{
	struct notice *notice = data;

	if (notice->waiting)
		call_once(notice->waiting);
	g_free(notice->name);
	g_free(notice);
}

static void push_notice(struct notifier *notifier, struct notice *notice)
{
	pthread_mutex_lock(&notifier->lock);
	g_queue_push_tail(&notifier->queue, notice);
	pthread_cond_signal(&notifier->wake);
	pthread_mutex_unlock(&notifier->lock);
}

/* The next in turn; NULL: it is the end. */
static struct notice *pop_notice(struct notifier *notifier)
{
	struct notice *notice = NULL;

	pthread_mutex_lock(&notifier->lock);
	while (!notifier->stop && g_queue_is_empty(&notifier->queue))
		pthread_cond_wait(&notifier->wake, &notifier->lock);
	if (!notifier->stop)
		notice = g_queue_pop_head(&notifier->queue);
	pthread_mutex_unlock(&notifier->lock);
	return notice;
}

/* No path leads to the node any more: who asks for it has it open. */
static void name_is_forgotten(struct notifier *notifier, uint64_t node_id)
{
	struct node_table *table = &notifier->fs->nodes;
	struct node *node;

	if (g_atomic_int_get(&notifier->abandoned))
		return; /* the table may be gone */
	pthread_mutex_lock(&table->lock);
	node = g_hash_table_lookup(table->by_id, &node_id);
	if (node && node->state == NODE_STALE && node->orphan)
		node->state = NODE_UNLINKED;
	pthread_mutex_unlock(&table->lock);
}

static void *tell_kernel(void *arg)
{
	struct notifier *notifier = arg;
	struct notice *notice;

	while ((notice = pop_notice(notifier)) != NULL) {
		__atomic_store_n(&notifier->began_us, g_get_monotonic_time(), __ATOMIC_RELAXED);
		/* The kernel may not know it any more: ENOENT is as good. */
		if (notice->name) {
			fuse_lowlevel_notify_inval_entry(notifier->fs->session, notice->parent_id,
							 notice->name, strlen(notice->name));
			name_is_forgotten(notifier, notice->node_id);
		} else if (!notice->waiting) {
			fuse_lowlevel_notify_inval_inode(notifier->fs->session, notice->node_id, 0,
							 0);
		}
		__atomic_store_n(&notifier->began_us, 0, __ATOMIC_RELAXED);
		if (!notice->waiting)
			g_atomic_int_add(&notifier->untold, -1);
		notice_free(notice);
	}
	return NULL;
}

static void release(struct notifier *notifier)
{
	g_queue_clear_full(&notifier->queue, notice_free);
	pthread_cond_destroy(&notifier->wake);
	pthread_mutex_destroy(&notifier->lock);
	g_free(notifier);
}

int notifier_new(struct fs *fs, struct notifier **ret)
{
	struct notifier *notifier = g_new0(struct notifier, 1);
	int r;

	notifier->fs = fs;
	pthread_mutex_init(&notifier->lock, NULL);
	pthread_cond_init(&notifier->wake, NULL);
	r = -pthread_create(&notifier->thread, NULL, tell_kernel, notifier);
	if (r < 0)
		release(notifier);
	else
		*ret = notifier;
	return r;
}

/* Whoever keeps a directory busy may keep the thread in the kernel for as long: then it is
 * left behind, with what it needs, so that the store can be closed. */
bool notifier_free(struct notifier *notifier)
{
	struct timespec until;

	if (!notifier)
		return true;
	pthread_mutex_lock(&notifier->lock);
	notifier->stop = true;
	pthread_cond_signal(&notifier->wake);
	pthread_mutex_unlock(&notifier->lock);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_WAIT_S;
	if (pthread_timedjoin_np(notifier->thread, NULL, &until) != 0) {
		g_warning("somebody keeps a directory of the mount busy: not waiting for it");
		g_atomic_int_set(&notifier->abandoned, 1);
		return false;
	}
	release(notifier);
	return true;
}

void notifier_forget_name(struct notifier *notifier, uint64_t parent_id, const char *name,
			  uint64_t node_id)
{
	struct notice *notice = g_new0(struct notice, 1);

	notice->parent_id = parent_id;
	notice->node_id = node_id;
	notice->name = g_strdup(name);
	g_atomic_int_inc(&notifier->untold);
	push_notice(notifier, notice);
}

void notifier_forget_pages(struct notifier *notifier, uint64_t node_id)
{
	struct notice *notice = g_new0(struct notice, 1);

	notice->node_id = node_id;
	g_atomic_int_inc(&notifier->untold);
	push_notice(notifier, notice);
}

static bool is_stuck(const struct notifier *notifier)
{
	int64_t began_us = __atomic_load_n(&notifier->began_us, __ATOMIC_RELAXED);

	return began_us && g_get_monotonic_time() - began_us > STUCK_US;
}

static void when_told_within(struct notifier *notifier, int64_t wait_us, notifier_done_fn *done,
			     void *arg)
{
	struct waiting_done *waiting;
	struct notice *notice;

	if (g_atomic_int_get(&notifier->untold) == 0) {
		done(arg);
		return;
	}
	waiting = g_new0(struct waiting_done, 1);
	waiting->refs = 2;
	waiting->done = done;
	waiting->arg = arg;
	notice = g_new0(struct notice, 1);
	notice->waiting = waiting;
	housekeeper_call_later(notifier->fs->housekeeper, wait_us, call_once, waiting);
	push_notice(notifier, notice);
}

void notifier_when_told(struct notifier *notifier, notifier_done_fn *done, void *arg)
{
	when_told_within(notifier, is_stuck(notifier) ? TELL_STUCK_WAIT_US : TELL_WAIT_US, done,
			 arg);
}

static void forget_name_locked(struct fs *fs, const struct node *node)
{
	notifier_forget_name(fs->notifier, node->parent->id, node->name, node->id);
}

/* ---- Attributes ----------------------------------------------------------------- */

void attributes_forget(struct fs *fs, uint64_t id)
{
	fuse_lowlevel_notify_inval_inode(fs->session, id, -1, 0);
}

static void attributes_forget_all(struct fs *fs, const GArray *ids)
{
	for (guint i = 0; i < ids->len; i++)
		attributes_forget(fs, g_array_index(ids, uint64_t, i));
}

void attributes_merge(struct attributes *into, const struct attributes *changes)
{
	into->mask |= changes->mask;
	if (changes->mask & ATTRIBUTE_MODE)
		into->mode = changes->mode;
	if (changes->mask & ATTRIBUTE_UID)
		into->uid = changes->uid;
	if (changes->mask & ATTRIBUTE_GID)
		into->gid = changes->gid;
	if (changes->mask & ATTRIBUTE_MTIME)
		into->mtime_ns = changes->mtime_ns;
}

void attributes_show(const struct attributes *changes, struct stat *attributes)
{
	if (changes->mask & ATTRIBUTE_MODE)
		attributes->st_mode = (attributes->st_mode & ~07777U) | changes->mode;
	if (changes->mask & ATTRIBUTE_UID)
		attributes->st_uid = changes->uid;
	if (changes->mask & ATTRIBUTE_GID)
		attributes->st_gid = changes->gid;
	if (changes->mask & ATTRIBUTE_MTIME) {
		attributes->st_mtim.tv_sec = changes->mtime_ns / 1000000000;
		attributes->st_mtim.tv_nsec = changes->mtime_ns % 1000000000;
	}
}

/* ---- Names ---------------------------------------------------------------------- */

/* `revision` 0: in a transaction's tree. */
static void renamed_locked(struct fs *fs, const struct name_change *change, uint64_t revision)
{
	struct node_table *table = &fs->nodes;
	struct node *node = node_child_locked(table, change->parent, change->name);
	struct node *other = node_child_locked(table, change->new_parent, change->new_name);

	if (other && revision && !(change->flags & OP_EXCHANGE))
		node_note_vanished_locked(other, revision);
	if (node && other && (change->flags & OP_EXCHANGE))
		node_exchange_locked(table, node, other);
	else if (node)
		node_move_locked(table, node, change->new_parent, change->new_name);
	else if (other)
		node_detach_locked(table, other, NODE_UNLINKED);
	/* What the kernel still held under the old name it has moved. */
	if (!node)
		notifier_forget_name(fs->notifier, change->new_parent->id, change->new_name, 0);
}

static void names_changed_locked(struct fs *fs, const struct name_change *change, uint64_t revision)
{
	struct node_table *table = &fs->nodes;
	struct node *node;

	if (change->kind == OP_RENAME) {
		renamed_locked(fs, change, revision);
		return;
	}
	node = node_child_locked(table, change->parent, change->name);
	if (node && revision)
		node_note_vanished_locked(node, revision);
	if (node)
		node_detach_locked(table, node, NODE_UNLINKED);
}

void names_changed(struct fs *fs, const struct name_change *change)
{
	pthread_mutex_lock(&fs->nodes.lock);
	names_changed_locked(fs, change, 0);
	pthread_mutex_unlock(&fs->nodes.lock);
}

/* ---- Commits -------------------------------------------------------------------- */

struct seen {
	struct fs *fs;
	const struct log_entry *commit;
	GArray *directories; /* uint64_t: nodes whose attributes changed */
	char *parent_key;    /* changes come in key order: the last directory is kept */
	struct node *parent;
};

/* The live node of a key, if the kernel may know it. */
static struct node *find_locked(struct seen *seen, const char *key)
{
	struct node_table *table = &seen->fs->nodes;
	const char *slash = strrchr(key, '/');
	size_t length = slash ? (size_t)(slash - key) : 0;

	if (!*key)
		return seen->fs->live_root;
	if (!seen->parent_key || strlen(seen->parent_key) != length ||
	    memcmp(seen->parent_key, key, length) != 0) {
		g_free(seen->parent_key);
		seen->parent_key = g_strndup(key, length);
		seen->parent = node_find_locked(table, seen->fs->live_root, seen->parent_key);
	}
	return seen->parent ? node_child_locked(table, seen->parent, slash ? slash + 1 : key) :
			      NULL;
}

static bool is_gone(const struct change *change, const struct node *node)
{
	return !change->after || change->after->ino != node->ino ||
	       change->after->type != node->type;
}

/* The key that holds the file with the number `ino` since this commit; NULL: none. */
static const char *find_created(const struct log_entry *commit, uint64_t ino)
{
	for (guint i = 0; i < commit->changes->len; i++) {
		const struct change *change = g_ptr_array_index(commit->changes, i);

		if (change->after && change->after->ino == ino)
			return change->key;
	}
	return NULL;
}

/* A transaction has removed, replaced or renamed the file: handles go on with what it was,
 * sessions go where it went. */
static void vanished_locked(struct seen *seen, const struct change *change, struct node *node)
{
	if (node->handles > 0 && change->before && node->type == RECORD_VALUE) {
		record_unref(node->orphan);
		node->orphan = record_copy(change->before);
	}
	if (seen->commit->revision) /* a scratch file was never in the store */
		node_note_vanished_locked(node, seen->commit->revision);
	if (node->sessions && node->sessions->len > 0)
		node->moved_to = g_strdup(find_created(seen->commit, node->ino));
	if (node->moved_to)
		g_ptr_array_add(seen->fs->nodes.moved, node);
	forget_name_locked(seen->fs, node);
	node_detach_locked(&seen->fs->nodes, node, NODE_STALE);
}

static void change_seen_locked(struct seen *seen, const struct change *change, bool kernel_knows)
{
	struct node *node = find_locked(seen, change->key);

	if (!node)
		return;
	if (!kernel_knows && is_gone(change, node) && node != seen->fs->live_root) {
		vanished_locked(seen, change, node);
		return;
	}
	if (change->after)
		node->create_revision = MAX(node->create_revision, change->after->create_revision);
	if (node->type == RECORD_DIRECTORY)
		g_array_append_val(seen->directories, node->id);
}

/* The name that was reserved is committed now, if it is this file that it means. */
static void settle_locked(struct node_table *table, const struct log_entry *commit,
			  struct node *node)
{
	if (node->state == NODE_RESERVED && find_created(commit, node->ino)) {
		node_settle_locked(table, node);
		node->create_revision = MAX(commit->revision, node->create_revision);
	}
}

/* Files that a transaction renamed under an open session: where they are now. */
static void moved_again_locked(struct node_table *table, const struct log_entry *commit)
{
	for (guint i = 0; i < table->moved->len; i++) {
		struct node *node = g_ptr_array_index(table->moved, i);
		const char *key = find_created(commit, node->ino);

		if (!key)
			continue;
		g_free(node->moved_to);
		node->moved_to = g_strdup(key);
	}
}

/* Whether it does more than to give a key another value. */
static bool changes_shape(const struct change *change)
{
	const struct record *before = change->before, *after = change->after;

	if (change->kind == CHANGE_TOUCH)
		return false; /* what it has another entry of comes with it */
	return !before || !after || before->ino != after->ino || before->type != after->type ||
	       before->mode != after->mode || before->uid != after->uid ||
	       before->gid != after->gid || before->own_mtime_ns != after->own_mtime_ns;
}

static void table_follows(struct seen *seen, const struct log_entry *commit)
{
	const struct origin *origin = commit->origin;
	struct node_table *table = &seen->fs->nodes;

	pthread_mutex_lock(&table->lock);
	g_atomic_int_inc(&seen->fs->directory_epoch);
	if (commit->revision)
		seen->fs->seen_revision = commit->revision;
	moved_again_locked(table, commit);
	if (origin && origin->names)
		names_changed_locked(seen->fs, origin->names, commit->revision);
	/* What lies below goes before its directory, through which it is found. */
	for (guint i = commit->changes->len; i-- > 0;) {
		const struct change *change = g_ptr_array_index(commit->changes, i);

		change_seen_locked(seen, change, origin && origin->names);
		if (changes_shape(change))
			seen->fs->shape_revision = seen->fs->seen_revision;
	}
	if (origin && origin->session)
		settle_locked(table, commit, session_node(origin->session));
	pthread_mutex_unlock(&table->lock);
}

void commit_seen(const struct log_entry *commit, void *arg)
{
	struct seen seen = { .fs = arg,
			     .commit = commit,
			     .directories = g_array_new(FALSE, FALSE, sizeof(uint64_t)) };

	view_commit_seen(seen.fs->live->view, commit);
	table_follows(&seen, commit);
	attributes_forget_all(seen.fs, seen.directories);
	g_array_unref(seen.directories);
	g_free(seen.parent_key);
	if (!commit->revision)
		return; /* a change of scratch files: no commit, and nothing to tell of */
	past_commit_seen(seen.fs, commit);
	control_wake_pollers(seen.fs);
	watch_commit_seen(seen.fs->watch, commit);
	pruner_note_commit(seen.fs->pruner, commit->changes->len);
}

/* ---- Trees of transactions ------------------------------------------------------ */

/* Whoever has the file open reads nothing any more, or the value of its open again. */
static bool has_wrong_pages(const struct node *node, bool ended)
{
	return node->cached > 0 && (ended || node->generation > 0);
}

/* The directory of `txn` in txn/, if the kernel knows it, and the top of its tree. */
static struct node *find_transaction_locked(struct fs *fs, struct txn *txn, struct node **ret_top)
{
	struct node_table *table = &fs->nodes;
	struct node *transactions = node_child_locked(table, table->root, "txn");
	struct node *directory =
		transactions ? node_child_locked(table, transactions, txn_name(txn)) : NULL;

	if (directory && directory->txn != txn)
		directory = NULL;
	*ret_top = directory ? node_child_locked(table, directory, "keys") : NULL;
	return directory;
}

/* The names below the top of the tree take what lies below them along. */
static void collect_tree_locked(struct fs *fs, struct node *top, GArray *ids)
{
	for (const GList *link = top->tree->nodes.head; link; link = link->next) {
		const struct node *node = link->data;

		g_array_append_val(ids, node->id);
		if (has_wrong_pages(node, true))
			notifier_forget_pages(fs->pages, node->id);
		if (node->parent && node->state == NODE_LIVE &&
		    (node->parent == top || node->handles > 0))
			forget_name_locked(fs, node);
	}
}

void tree_ended(struct fs *fs, struct txn *txn)
{
	g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	struct node *directory, *top;

	pthread_mutex_lock(&fs->nodes.lock);
	directory = find_transaction_locked(fs, txn, &top);
	if (directory)
		g_array_append_val(ids, directory->id);
	if (top)
		collect_tree_locked(fs, top, ids);
	pthread_mutex_unlock(&fs->nodes.lock);
	attributes_forget_all(fs, ids);
}

/* Whether all nodes of the tree are in the new round what they were in the last one, but for
 * their values. */
static bool has_same_shape_locked(const struct fs *fs, const struct tree *tree,
				  const struct tree_round *now)
{
	return tree->verified.reshaped == tree->reshaped &&
	       fs->shape_revision <= tree->verified.revision && now->revision <= fs->seen_revision;
}

/* The nodes that have a name and were used in the last round need a look, and are held for it.
 * All others are as they were, or their names forgotten. */
static GPtrArray *hold_used_locked(struct fs *fs, struct tree *tree, bool same)
{
	GPtrArray *nodes = g_ptr_array_new();

	for (GList *link = tree->nodes.tail; link; link = link->prev) {
		struct node *node = link->data;
		bool used = node->round >= tree->verified.round;

		if (!used && same)
			break;
		if (has_wrong_pages(node, false))
			notifier_forget_pages(fs->pages, node->id);
		if (node->state != NODE_LIVE || !node->parent->tree)
			continue; /* its handles know what they read; or the top */
		if (!used) {
			forget_name_locked(fs, node);
			continue;
		}
		node->refs++;
		g_ptr_array_add(nodes, node);
	}
	return nodes;
}

/* Whether the record of the node in the new snapshot is of the same file, with the attributes
 * that the kernel knows. */
static bool is_as_known(struct fs *fs, struct node *node)
{
	g_autoptr(record) record = NULL;
	g_autofree char *key = NULL;
	bool known;

	if (node_key(&fs->nodes, node, NULL, &key) < 0 ||
	    view_get(node->tree->view, key, &record) < 0)
		return false;
	pthread_mutex_lock(&fs->nodes.lock);
	known = record->ino == node->ino && record->type == node->type &&
		node_is_known_locked(node, record);
	if (!*key)
		node_know_locked(node, record); /* of the top: by its next GETATTR */
	pthread_mutex_unlock(&fs->nodes.lock);
	return known;
}

/* A name that is kept is not looked up again: before the kernel uses it, it asks for attributes,
 * which renews the node. A symbolic link, or a file where there was a directory, it refuses to
 * follow without asking. */
static void keep_or_forget(struct fs *fs, struct node *node, bool same)
{
	bool keep = node->type != RECORD_SYMLINK && (same || is_as_known(fs, node));

	pthread_mutex_lock(&fs->nodes.lock);
	if (node->state == NODE_LIVE &&
	    (!keep || (node->type != RECORD_DIRECTORY && node->handles > 0)))
		forget_name_locked(fs, node);
	pthread_mutex_unlock(&fs->nodes.lock);
	attributes_forget(fs, node->id);
}

static void begin_round(struct fs *fs, struct node *top, const struct tree_round *now)
{
	struct tree *tree = top->tree;
	g_autoptr(GPtrArray) nodes = NULL;
	bool same;

	pthread_mutex_lock(&fs->nodes.lock);
	same = has_same_shape_locked(fs, tree, now);
	nodes = hold_used_locked(fs, tree, same);
	pthread_mutex_unlock(&fs->nodes.lock);
	for (guint i = 0; i < nodes->len; i++) {
		keep_or_forget(fs, g_ptr_array_index(nodes, i), same);
		node_unref(&fs->nodes, g_ptr_array_index(nodes, i));
	}
	if (!same && !is_as_known(fs, top))
		attributes_forget(fs, top->id);
	pthread_mutex_lock(&fs->nodes.lock);
	if (now->round > tree->verified.round)
		tree->verified = *now;
	pthread_mutex_unlock(&fs->nodes.lock);
}

/* The top of the tree of `txn`, held; NULL: the kernel does not know it. What the next round
 * reshapes, which may be before all is told, counts for the one behind it. */
static struct node *hold_top(struct fs *fs, struct txn *txn, struct tree_round *ret)
{
	struct node *top;

	pthread_mutex_lock(&fs->nodes.lock);
	find_transaction_locked(fs, txn, &top);
	if (top) {
		top->refs++;
		ret->reshaped = top->tree->reshaped;
	}
	pthread_mutex_unlock(&fs->nodes.lock);
	return top;
}

int tree_new_round(struct fs *fs, struct txn *txn, txn_round_fn *begin)
{
	struct tree_round now;
	struct node *top = hold_top(fs, txn, &now);
	int r = begin(txn);

	/* The writes that a rebase keeps are of an earlier round, and go with the next restart. */
	if (r == 0 && top && begin == txn_rebase)
		tree_note_reshaped(fs, top->tree);
	if (r == 0 && top) {
		now.round = txn_round(txn);
		now.revision = txn_base_revision(txn);
		begin_round(fs, top, &now);
	}
	node_unref(&fs->nodes, top);
	return r;
}

/* Names first, then pages. */
struct told {
	struct fs *fs;
	notifier_done_fn *done;
	void *arg;
};

static void names_told(void *arg)
{
	struct told *told = arg;

	when_told_within(told->fs->pages, TELL_WAIT_US, told->done, told->arg);
	g_free(told);
}

void tree_when_told(struct fs *fs, notifier_done_fn *done, void *arg)
{
	struct told *told = g_new(struct told, 1);

	*told = (struct told){ fs, done, arg };
	when_told_within(fs->notifier, TELL_WAIT_US, names_told, told);
}
