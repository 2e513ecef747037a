/* Control files. Direct I/O, size 0 and long attributes but for the log. A handle's text is made
 * at a READ from its beginning and then stays, since shells read byte by byte. Actions happen
 * inside WRITE, where a shell sees their error. */
#include "fs/control.h"

#include "fs/audit.h"
#include "fs/backup.h"
#include "fs/commit.h"
#include "fs/eval.h"
#include "fs/forget.h"
#include "fs/gate.h"
#include "fs/history.h"
#include "fs/loop.h"
#include "fs/meta.h"
#include "fs/metrics.h"
#include "fs/past.h"
#include "fs/readme.h"
#include "fs/session.h"
#include "fs/status.h"
#include "fs/tree.h"
#include "fs/txn_files.h"
#include "fs/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define NUMBER "%" G_GUINT64_FORMAT

static text_fn text_readme, text_metrics, text_eval, text_revision, text_new;

/* The order is that of listings: in a transaction `keys` comes last, so that rm -rf, which
 * goes in this order, ends it before it touches a key. */
static const struct control controls[] = {
	{ PLACE_ROOT, "README", S_IFREG | 0444, text_readme, NULL, PLACE_NOWHERE },
	{ PLACE_ROOT, "at", S_IFDIR | 0755, NULL, NULL, PLACE_PAST },
	{ PLACE_ROOT, "control", S_IFDIR | 0700, NULL, NULL, PLACE_CONTROL },
	{ PLACE_ROOT, "eval", S_IFREG | 0666, text_eval, NULL, PLACE_NOWHERE },
	{ PLACE_ROOT, "keys", S_IFDIR, NULL, NULL, PLACE_NOWHERE },
	{ PLACE_ROOT, "log", S_IFREG | 0400, NULL, NULL, PLACE_LOG },
	{ PLACE_ROOT, "meta", S_IFDIR, NULL, NULL, PLACE_META },
	{ PLACE_ROOT, "metrics", S_IFREG | 0400, text_metrics, NULL, PLACE_NOWHERE },
	{ PLACE_ROOT, "revision", S_IFREG | 0444, text_revision, NULL, PLACE_NOWHERE },
	{ PLACE_ROOT, "status", S_IFREG | 0444, text_status, NULL, PLACE_NOWHERE },
	{ PLACE_ROOT, "txn", S_IFDIR | S_ISVTX | 0777, NULL, NULL, PLACE_TRANSACTIONS },
	/* Reading it needs the right to write: the prefix. */
	{ PLACE_ROOT, "watch", S_IFREG | 0600, text_watch, act_watch, PLACE_NOWHERE },
	{ PLACE_CONTROL, "backup", S_IFREG | 0600, text_backup, act_backup, PLACE_NOWHERE },
	{ PLACE_CONTROL, "compact", S_IFREG | 0600, text_compaction, act_compact, PLACE_NOWHERE },
	{ PLACE_CONTROL, "history", S_IFREG | 0600, text_history, act_history, PLACE_NOWHERE },
	{ PLACE_CONTROL, "purge", S_IFREG | 0600, text_compaction, act_purge, PLACE_NOWHERE },
	{ PLACE_CONTROL, "record", S_IFREG | 0600, text_record, act_record, PLACE_NOWHERE },
	{ PLACE_TRANSACTIONS, "new", S_IFREG | 0444, text_new, NULL, PLACE_NOWHERE },
	{ PLACE_TRANSACTIONS, "self", S_IFLNK | 0777, NULL, NULL, PLACE_NOWHERE },
	{ PLACE_TRANSACTION, "base", S_IFLNK | 0777, NULL, NULL, PLACE_NOWHERE },
	{ PLACE_TRANSACTION, "commit", S_IFREG | 0600, text_commit, act_commit, PLACE_NOWHERE },
	{ PLACE_TRANSACTION, "conflicts", S_IFREG | 0400, text_conflicts, NULL, PLACE_NOWHERE },
	{ PLACE_TRANSACTION, "isolation", S_IFREG | 0600, text_isolation, act_isolation,
	  PLACE_NOWHERE },
	{ PLACE_TRANSACTION, "message", S_IFREG | 0600, text_message, act_message, PLACE_NOWHERE },
	{ PLACE_TRANSACTION, "reads", S_IFREG | 0400, text_reads, NULL, PLACE_NOWHERE },
	{ PLACE_TRANSACTION, "rebase", S_IFREG | 0200, NULL, act_rebase, PLACE_NOWHERE },
	{ PLACE_TRANSACTION, "restart", S_IFREG | 0200, NULL, act_restart, PLACE_NOWHERE },
	{ PLACE_TRANSACTION, "status", S_IFREG | 0400, text_txn_status, NULL, PLACE_NOWHERE },
	{ PLACE_TRANSACTION, "timeout", S_IFREG | 0600, text_timeout, act_timeout, PLACE_NOWHERE },
	{ PLACE_TRANSACTION, "writes", S_IFREG | 0400, text_writes, NULL, PLACE_NOWHERE },
	{ PLACE_TRANSACTION, "keys", S_IFDIR, NULL, NULL, PLACE_NOWHERE },
};

static const struct control root_control = { PLACE_NOWHERE, "",	  S_IFDIR | 0755,
					     NULL,	    NULL, PLACE_ROOT };
static const struct control txn_control = { PLACE_NOWHERE, "",	 S_IFDIR | 0700,
					    NULL,	   NULL, PLACE_TRANSACTION };

const struct control *control_root(void)
{
	return &root_control;
}

/* A row without permission bits is the top of a tree of keys. */
static bool is_keys(const struct control *control)
{
	return control->mode == S_IFDIR;
}

static const struct control *find_row(enum place place, const char *name)
{
	for (size_t i = 0; i < G_N_ELEMENTS(controls); i++) {
		if (controls[i].place == place && strcmp(controls[i].name, name) == 0)
			return &controls[i];
	}
	return NULL;
}

static uint64_t control_ino(const struct control *control, const struct txn *txn)
{
	uint64_t row = 0;

	if (control >= controls && control < controls + G_N_ELEMENTS(controls))
		row = (uint64_t)(control - controls) + 2;
	else if (control == &txn_control)
		row = 1;
	/* Above every number of the store, below those of transactions' trees. */
	return UINT64_C(1) << 62 | (txn ? txn_number(txn) : 0) << 8 | row;
}

uint64_t control_node_ino(const struct node *node)
{
	return control_ino(node->control, node->txn);
}

static void set_time(struct timespec *time, int64_t ns)
{
	time->tv_sec = ns / 1000000000;
	time->tv_nsec = ns % 1000000000;
}

static void fill_attributes(struct fs *fs, const struct control *control, struct txn *txn,
			    struct stat *attributes)
{
	memset(attributes, 0, sizeof(*attributes));
	attributes->st_ino = control_ino(control, txn);
	attributes->st_mode = control->mode;
	/* What only the owner of the mount may know, everybody may. */
	if (fs->options.public_log && control->place == PLACE_ROOT && S_ISREG(control->mode))
		attributes->st_mode |= (control->mode & 0600) >> 3 | (control->mode & 0600) >> 6;
	attributes->st_nlink = 1;
	attributes->st_blksize = 4096;
	attributes->st_uid = txn ? txn_credentials(txn)->uid : fs->owner_uid;
	attributes->st_gid = txn ? txn_credentials(txn)->gid : fs->owner_gid;
	set_time(&attributes->st_mtim, txn ? txn_begun_ns(txn) : fs->mounted_ns);
	attributes->st_atim = attributes->st_ctim = attributes->st_mtim;
}

static bool is_gone(const struct node *node)
{
	return node->txn && txn_is_gone(node->txn);
}

/* ---- Looking up ----------------------------------------------------------------- */

/* All but the log stay as they are. */
static double attribute_timeout(const struct control *control)
{
	return control_is_log(control) ? TIMEOUT_NONE : TIMEOUT_LONG;
}

static void reply_control(struct fs *fs, fuse_req_t req, struct node *parent, const char *name,
			  const struct control *control, struct txn *txn)
{
	struct fuse_entry_param entry = { .attr_timeout = attribute_timeout(control),
					  .entry_timeout = TIMEOUT_LONG };
	struct node *node = node_obtain_control(&fs->nodes, parent, name, control, txn);

	entry.ino = node->id;
	fill_attributes(fs, control, txn, &entry.attr);
	if (control_is_log(control))
		entry.attr.st_size = (off_t)audit_size(fs, NULL, -1);
	reply_entry(req, node, &entry);
}

/* The top of a tree of keys. The live one is made at the mount and always held. */
static void reply_keys(struct fs *fs, fuse_req_t req, struct node *parent, struct txn *txn)
{
	struct fuse_entry_param entry = { .entry_timeout = TIMEOUT_LONG };
	struct tree *tree = txn ? tree_new(txn_view(txn), txn) : tree_ref(fs->live);
	g_autoptr(record) record = NULL;
	int r = view_get(tree->view, "", &record);

	if (r == 0) {
		struct node *node = node_obtain_key(&fs->nodes, parent, "keys", tree, record);

		entry.ino = node->id;
		record_attributes(node->tree, record, &entry.attr);
		reply_entry(req, node, &entry);
	} else {
		reply_error(req, r);
	}
	tree_unref(tree);
}

static void lookup_txn(struct fs *fs, fuse_req_t req, struct node *parent, const char *name)
{
	g_autoptr(txn) txn = NULL;
	int r = registry_find(fs->registry, name, &txn);

	if (r < 0)
		reply_error(req, r);
	else
		reply_control(fs, req, parent, name, &txn_control, txn);
}

/* A transaction that is over has no entries; but where its name is another's by now, the
 * kernel shall walk the path again. */
static int over_error(struct fs *fs, struct node *directory)
{
	g_autoptr(txn) other = NULL;

	return registry_find(fs->registry, txn_name(directory->txn), &other) == 0 ? -ESTALE :
										    -ENOENT;
}

void control_lookup(struct fs *fs, fuse_req_t req, struct node *parent, const char *name)
{
	const struct control *row = find_row(parent->control->entries, name);

	if (is_gone(parent))
		reply_error(req, over_error(fs, parent));
	else if (row && row->entries == PLACE_META)
		meta_lookup_top(fs, req, parent, name);
	else if (row && is_keys(row))
		reply_keys(fs, req, parent, parent->txn);
	else if (row)
		reply_control(fs, req, parent, name, row, parent->txn);
	else if (parent->control->entries == PLACE_TRANSACTIONS)
		lookup_txn(fs, req, parent, name);
	else if (parent->control->entries == PLACE_PAST)
		past_lookup_top(fs, req, parent, name);
	else
		reply_error(req, -ENOENT);
}

void control_getattr(struct fs *fs, fuse_req_t req, struct node *node, struct handle *handle)
{
	bool gone = is_gone(node);
	struct stat attributes;

	/* Whoever removes its entries one by one goes on in the directory. */
	if (gone && node_state(&fs->nodes, node) != NODE_UNLINKED) {
		reply_error(req, -ESTALE);
		return;
	}
	fill_attributes(fs, node->control, node->txn, &attributes);
	if (control_is_log(node->control))
		attributes.st_size = (off_t)audit_size(fs, handle, fuse_req_ctx(req)->pid);
	fuse_reply_attr(req, &attributes, gone ? TIMEOUT_NONE : attribute_timeout(node->control));
}

/* Truncating and touching are what shells and editors do before they write. */
void control_setattr(struct fs *fs, fuse_req_t req, struct node *node, int to_set)
{
	if (to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		reply_error(req, -EPERM);
	else
		control_getattr(fs, req, node, NULL);
}

/* Reading there records nothing: it is no part of the view. */
static void reply_base(fuse_req_t req, struct txn *txn)
{
	g_autofree char *link = g_strdup_printf("../../at/" NUMBER, txn_base_revision(txn));

	fuse_reply_readlink(req, link);
}

/* The links there are: txn/self, and `base` in a transaction. */
void control_readlink(struct fs *fs, fuse_req_t req, struct node *node)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	g_autoptr(txn) txn = NULL;
	int r = 0;

	if (!S_ISLNK(node->control->mode))
		r = -EINVAL;
	else if (is_gone(node))
		r = -ESTALE;
	else if (!node->txn) {
		loop_step_down(); /* ancestors are looked at, which may be busy */
		r = registry_find_own(fs->registry, ctx->uid, ctx->pid, &txn);
	}
	if (r == 0 && node->txn)
		reply_base(req, node->txn);
	else if (r < 0)
		reply_error(req, r);
	else
		fuse_reply_readlink(req, txn_name(txn));
}

static struct listed_entry *listed_entry_new(const char *name, mode_t mode, uint64_t ino)
{
	struct listed_entry *entry = g_new0(struct listed_entry, 1);

	entry->name = g_strdup(name);
	entry->type = S_ISDIR(mode) ? RECORD_DIRECTORY :
		      S_ISLNK(mode) ? RECORD_SYMLINK :
				      RECORD_VALUE;
	entry->ino = ino;
	return entry;
}

int control_list(struct fs *fs, struct node *directory, GPtrArray *entries)
{
	g_autoptr(GPtrArray) open = NULL;

	if (is_gone(directory))
		return -ESTALE;
	for (size_t i = 0; i < G_N_ELEMENTS(controls); i++) {
		if (controls[i].place == directory->control->entries)
			g_ptr_array_add(
				entries,
				listed_entry_new(controls[i].name, controls[i].mode,
						 control_ino(&controls[i], directory->txn)));
	}
	if (directory->control->entries == PLACE_PAST)
		return past_list_names(fs, entries);
	if (directory->control->entries != PLACE_TRANSACTIONS)
		return 0;
	open = registry_list(fs->registry);
	for (guint i = 0; i < open->len; i++) {
		struct txn *txn = g_ptr_array_index(open, i);

		g_ptr_array_add(entries, listed_entry_new(txn_name(txn), S_IFDIR,
							  control_ino(&txn_control, txn)));
	}
	return 0;
}

/* ---- Beginning and ending ------------------------------------------------------- */

static void mkdir_again(fuse_req_t req, struct node *node, const char *name, int flags)
{
	(void)flags;
	control_mkdir(fuse_req_userdata(req), req, node, name);
}

void control_mkdir(struct fs *fs, fuse_req_t req, struct node *parent, const char *name)
{
	g_autoptr(credentials) credentials = NULL;
	g_autoptr(txn) txn = NULL;
	int r;

	if (parent->control->entries == PLACE_PAST) {
		past_mkdir(fs, req, parent, name);
		return;
	}
	if (parent->control->entries != PLACE_TRANSACTIONS) {
		reply_error(req, is_gone(parent) ? -ENOENT : -EPERM);
		return;
	}
	if (session_wait_for_release(fs, req, parent, name, SESSION_ANY, 0, mkdir_again))
		return;
	loop_step_down(); /* as for self */
	credentials = caller_credentials(req);
	r = registry_begin(fs->registry, name, fuse_req_ctx(req)->pid, credentials, &txn);
	if (r < 0)
		reply_error(req, r);
	else
		reply_control(fs, req, parent, name, &txn_control, txn);
}

/* Nobody reads on in what is open in it. */
static void reply_ended(void *arg)
{
	reply_error(arg, 0);
}

/* The kernel has checked the sticky directory: the caller may end it. It forgets the name
 * by itself. */
void control_rmdir(struct fs *fs, fuse_req_t req, struct node *parent, const char *name)
{
	const struct name_change change = { .kind = OP_RMDIR, .parent = parent, .name = name };
	g_autoptr(txn) txn = NULL;
	int r = -EPERM;

	if (parent->control->entries == PLACE_PAST) {
		past_rmdir(fs, req, parent, name);
		return;
	}
	if (is_gone(parent))
		r = -ENOENT;
	else if (parent->control->entries == PLACE_TRANSACTIONS &&
		 !find_row(PLACE_TRANSACTIONS, name))
		r = registry_find(fs->registry, name, &txn);
	if (r < 0) {
		reply_error(req, r);
		return;
	}
	if (txn_is_large(txn))
		loop_step_down();
	txn_end(txn);
	names_changed(fs, &change);
	notifier_when_told(fs->pages, reply_ended, req);
}

/* Removing a control file of a transaction, as rm -rf does, ends it. */
void control_unlink(struct fs *fs, fuse_req_t req, struct node *parent, const char *name)
{
	if (parent->control->entries != PLACE_TRANSACTION) {
		reply_error(req, -EPERM);
	} else if (is_gone(parent) || !find_row(PLACE_TRANSACTION, name)) {
		reply_error(req, -ENOENT);
	} else {
		txn_end(parent->txn);
		pthread_mutex_lock(&fs->nodes.lock);
		node_detach_locked(&fs->nodes, parent, NODE_UNLINKED);
		pthread_mutex_unlock(&fs->nodes.lock);
		notifier_when_told(fs->pages, reply_ended, req);
	}
}

void control_txn_ended(struct txn *txn, void *arg)
{
	struct fs *fs = arg;
	struct node *transactions, *directory = NULL;

	provisional_settle_txn(fs, txn, NULL); /* which lets go of it */
	tree_ended(fs, txn);
	pthread_mutex_lock(&fs->nodes.lock);
	transactions = node_child_locked(&fs->nodes, fs->nodes.root, "txn");
	if (transactions)
		directory = node_child_locked(&fs->nodes, transactions, txn_name(txn));
	/* Who forgets the names below `keys` uses it meanwhile, so that an rmdir cannot take it
	 * along; and while the kernel holds it, so is the snapshot. */
	if (directory && directory->txn == txn)
		notifier_forget_name(fs->notifier, directory->id, "keys", 0);
	if (transactions)
		notifier_forget_name(fs->notifier, transactions->id, txn_name(txn), 0);
	pthread_mutex_unlock(&fs->nodes.lock);
}

/* ---- Reading -------------------------------------------------------------------- */

static void open_again(fuse_req_t req, struct node *node, const char *name, int flags)
{
	struct fuse_file_info info = { .flags = flags };

	(void)name;
	control_open(fuse_req_userdata(req), req, node, &info);
}

/* Files that are more than a text and an action. */
static int open_special(struct handle *handle, fuse_req_t req, struct fuse_file_info *info)
{
	const struct control *control = handle->node->control;

	if (control_is_log(control))
		return audit_open(handle, fuse_req_ctx(req)->pid);
	if (control->text == text_watch)
		return watch_open(handle, info);
	if (control->text != text_eval)
		return 0;
	if ((info->flags & O_ACCMODE) == O_WRONLY)
		return -EINVAL;
	if ((info->flags & O_ACCMODE) == O_RDWR)
		handle->eval = eval_new(handle->fs, opener_credentials(req));
	return 0;
}

/* What was closed before is seen by what is told or begun here. */
void control_open(struct fs *fs, fuse_req_t req, struct node *node, struct fuse_file_info *info)
{
	struct handle *handle;
	int r = 0;

	if (is_gone(node)) {
		reply_error(req, -ESTALE);
		return;
	}
	if (session_wait_for_release(fs, req, node, NULL, SESSION_ANY, info->flags, open_again))
		return;
	info->direct_io = 1;
	handle = handle_new(fs, node, info->flags);
	/* What does nothing at FLUSH need not hear of every dup2(2) and close(2) of a shell. */
	info->noflush = (info->flags & O_ACCMODE) == O_RDONLY ||
			node->control->action != act_commit;
	r = open_special(handle, req, info);
	if (r == 0) {
		reply_open(req, handle, info);
		return;
	}
	handle_free(handle);
	reply_error(req, r);
}

static int text_of(struct handle *handle, fuse_req_t req, GBytes **ret)
{
	const struct control *control = handle->node->control;
	GString *text = NULL;
	int r = 0;

	if (is_gone(handle->node))
		return -ESTALE;
	if (handle->node->txn)
		provisional_settle_txn(handle->fs, handle->node->txn, NULL);
	/* All but these grow with what a transaction did, or look at the disk or at ancestors of
	 * the caller; a record is found as a key is. */
	if (control->text != text_revision && control->text != text_record)
		loop_step_down();
	if (control->text)
		r = control->text(handle, req, &text);
	if (r == 0)
		*ret = text ? g_string_free_to_bytes(text) : g_bytes_new(NULL, 0);
	return r;
}

/* The name of a transaction that this handle has begun: by the first READ, while others that
 * came with it wait. */
static int obtain_name(struct handle *handle, fuse_req_t req, GBytes **ret)
{
	int r = 0;

	pthread_mutex_lock(&handle->lock);
	if (!handle->text)
		r = text_of(handle, req, &handle->text);
	if (r == 0)
		*ret = g_bytes_ref(handle->text);
	pthread_mutex_unlock(&handle->lock);
	return r;
}

/* A READ that makes the handle's text. */
struct reading {
	struct handle *handle;
	fuse_req_t req;
	size_t size;
	off_t offset;
};

static void make_and_read(void *arg)
{
	g_autofree struct reading *reading = arg;
	struct handle *handle = reading->handle;
	g_autoptr(GBytes) text = NULL;
	int r = text_of(handle, reading->req, &text);

	if (r == 0)
		r = handle_charge(handle, g_bytes_get_size(text));
	if (r < 0) {
		reply_error(reading->req, r);
		return;
	}
	pthread_mutex_lock(&handle->lock);
	g_clear_pointer(&handle->text, g_bytes_unref);
	handle->text = g_bytes_ref(text);
	pthread_mutex_unlock(&handle->lock);
	reply_bytes(reading->req, text, reading->size, reading->offset);
}

static void read_new_text(const struct reading *reading)
{
	struct handle *handle = reading->handle;
	struct reading *kept = g_memdup2(reading, sizeof(*reading));

	/* Those of a transaction grow with what it did. */
	if (handle->node->txn)
		gate_run(handle->fs->gate, handle->opener, make_and_read, kept);
	else
		make_and_read(kept);
}

void control_read(struct handle *handle, fuse_req_t req, size_t size, off_t offset)
{
	const struct reading reading = { handle, req, size, offset };
	g_autoptr(GBytes) text = NULL;
	int r = 0;

	if (handle->eval) {
		eval_read(handle, req, size, offset);
		return;
	}
	if (control_is_log(handle->node->control)) {
		audit_read(handle, req, size, offset);
		return;
	}
	if (handle->node->control->text == text_new) {
		r = obtain_name(handle, req, &text);
	} else if (offset > 0) {
		pthread_mutex_lock(&handle->lock);
		text = handle->text ? g_bytes_ref(handle->text) : NULL;
		pthread_mutex_unlock(&handle->lock);
	}
	if (r < 0)
		reply_error(req, r);
	else if (text)
		reply_bytes(req, text, size, offset);
	else
		read_new_text(&reading);
}

static int text_readme(struct handle *handle, fuse_req_t req, GString **ret)
{
	(void)handle;
	(void)req;
	*ret = g_string_new(readme_text);
	return 0;
}

static int text_metrics(struct handle *handle, fuse_req_t req, GString **ret)
{
	(void)req;
	*ret = metrics_text(handle->fs);
	return 0;
}

static int text_eval(struct handle *handle, fuse_req_t req, GString **ret)
{
	(void)handle;
	(void)req;
	*ret = g_string_new(eval_usage);
	return 0;
}

static int text_revision(struct handle *handle, fuse_req_t req, GString **ret)
{
	uint64_t revision = store_revision(handle->fs->store);

	(void)req;
	pthread_mutex_lock(&handle->fs->poll_lock);
	handle->seen_revision = revision;
	pthread_mutex_unlock(&handle->fs->poll_lock);
	*ret = g_string_new(NULL);
	g_string_append_printf(*ret, NUMBER "\n", revision);
	return 0;
}

/* Begins a transaction: once for each handle, whatever it reads again (see obtain_name). It
 * belongs to the reading process, with the rights of who opened: where these are two users,
 * there is none, since neither could tell what it does for the other. */
static int text_new(struct handle *handle, fuse_req_t req, GString **ret)
{
	g_autoptr(credentials) credentials = NULL;
	g_autoptr(txn) txn = NULL;
	int r;

	if (fuse_req_ctx(req)->uid != handle->opener)
		return -EACCES;
	credentials = caller_credentials(req);
	r = registry_begin(handle->fs->registry, NULL, fuse_req_ctx(req)->pid, credentials, &txn);
	if (r < 0)
		return r;
	*ret = g_string_new(txn_name(txn));
	g_string_append_c(*ret, '\n');
	return 0;
}

/* ---- Writing -------------------------------------------------------------------- */

void control_write(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	action_fn *action = handle->node->control->action;

	if (handle->eval) {
		eval_write(handle, req, data, size);
		return;
	}
	if (handle->node->txn)
		provisional_settle_txn(handle->fs, handle->node->txn, NULL);

	if (handle->node->txn && txn_state(handle->node->txn) == TXN_OVER)
		reply_error(req, -ESTALE);
	else if (!action)
		reply_error(req, -EPERM);
	else
		action(handle, req, data, size);
}

void control_reply_written(fuse_req_t req, size_t size, int error)
{
	if (error < 0)
		reply_error(req, error);
	else
		fuse_reply_write(req, size);
}

/* ---- Polling -------------------------------------------------------------------- */

/* What `seen_revision` would be, were the file read now. */
static uint64_t newest(const struct handle *handle)
{
	if (handle->node->control->text == text_compaction)
		return (unsigned)g_atomic_int_get(&handle->fs->compaction_steps);
	return store_revision(handle->fs->store);
}

void control_poll(struct handle *handle, fuse_req_t req, struct fuse_pollhandle *poll)
{
	struct fs *fs = handle->fs;
	struct fuse_pollhandle *old = NULL;
	unsigned events = POLLIN | POLLOUT;
	bool grows;

	if (handle->watcher) {
		watch_poll(handle, req, poll);
		return;
	}
	grows = handle->node->control->text == text_revision ||
		handle->node->control->text == text_compaction ||
		control_is_log(handle->node->control);
	pthread_mutex_lock(&fs->poll_lock);
	if (grows) {
		if (poll) {
			old = handle->poll;
			handle->poll = poll;
			g_hash_table_add(fs->poll_handles, handle);
		}
		events = handle->seen_revision != newest(handle) ? POLLIN | POLLPRI : 0;
	} else {
		old = poll;
	}
	pthread_mutex_unlock(&fs->poll_lock);
	if (old)
		fuse_pollhandle_destroy(old);
	fuse_reply_poll(req, events);
}

void control_wake_pollers(struct fs *fs)
{
	g_autoptr(GPtrArray) polls = NULL;
	struct handle *handle;
	GHashTableIter iter;

	pthread_mutex_lock(&fs->poll_lock);
	if (g_hash_table_size(fs->poll_handles) > 0) {
		polls = g_ptr_array_new();
		g_hash_table_iter_init(&iter, fs->poll_handles);
		while (g_hash_table_iter_next(&iter, (void **)&handle, NULL)) {
			g_ptr_array_add(polls, handle->poll);
			handle->poll = NULL;
		}
		g_hash_table_remove_all(fs->poll_handles);
	}
	pthread_mutex_unlock(&fs->poll_lock);
	for (guint i = 0; polls && i < polls->len; i++) {
		fuse_lowlevel_notify_poll(g_ptr_array_index(polls, i));
		fuse_pollhandle_destroy(g_ptr_array_index(polls, i));
	}
}
