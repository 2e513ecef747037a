/* Control files. Direct I/O, size 0, long attributes; a handle's text is made at a READ
 * from its beginning and then stays, since shells read byte by byte. Actions happen inside
 * WRITE, where a shell sees their error. */
#include "fs/control.h"

#include "fs/commit.h"
#include "fs/readme.h"
#include "fs/session.h"
#include "fs/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define NUMBER "%" G_GUINT64_FORMAT

enum place {
	PLACE_ROOT,	    /* in the root of the mount */
	PLACE_TRANSACTIONS, /* in txn/ */
	PLACE_TRANSACTION,  /* in a transaction */
	PLACE_NOWHERE,	    /* directories that are not looked up as rows */
};

/* Makes the text of a handle. */
typedef int text_fn(struct handle *handle, fuse_req_t req, GString **ret);
/* Does what a write says, and replies to it. */
typedef void action_fn(struct handle *handle, fuse_req_t req, const char *data, size_t size);

struct control {
	enum place place;
	const char *name;
	mode_t mode;
	text_fn *text;	    /* NULL: reads nothing */
	action_fn *action;  /* NULL: EPERM */
	enum place entries; /* of a directory: what lies in it */
};

static text_fn text_readme, text_revision, text_status, text_new, text_commit, text_message,
	text_isolation, text_timeout, text_txn_status, text_reads, text_writes, text_conflicts;
static action_fn act_commit, act_restart, act_rebase, act_message, act_isolation, act_timeout;

/* The order is that of listings: in a transaction `keys` comes last, so that rm -rf, which
 * goes in this order, ends it before it touches a key. */
static const struct control controls[] = {
	{ PLACE_ROOT, "README", S_IFREG | 0444, text_readme, NULL, PLACE_NOWHERE },
	{ PLACE_ROOT, "control", S_IFDIR | 0700, NULL, NULL, PLACE_NOWHERE },
	{ PLACE_ROOT, "keys", S_IFDIR, NULL, NULL, PLACE_NOWHERE },
	{ PLACE_ROOT, "revision", S_IFREG | 0444, text_revision, NULL, PLACE_NOWHERE },
	{ PLACE_ROOT, "status", S_IFREG | 0444, text_status, NULL, PLACE_NOWHERE },
	{ PLACE_ROOT, "txn", S_IFDIR | S_ISVTX | 0777, NULL, NULL, PLACE_TRANSACTIONS },
	{ PLACE_TRANSACTIONS, "new", S_IFREG | 0444, text_new, NULL, PLACE_NOWHERE },
	{ PLACE_TRANSACTIONS, "self", S_IFLNK | 0777, NULL, NULL, PLACE_NOWHERE },
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

static void reply_control(struct fs *fs, fuse_req_t req, struct node *parent, const char *name,
			  const struct control *control, struct txn *txn)
{
	struct fuse_entry_param entry = { .attr_timeout = TIMEOUT_LONG,
					  .entry_timeout = TIMEOUT_LONG };
	struct node *node = node_obtain_control(&fs->nodes, parent, name, control, txn);

	entry.ino = node->id;
	fill_attributes(fs, control, txn, &entry.attr);
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
	else if (row && is_keys(row))
		reply_keys(fs, req, parent, parent->txn);
	else if (row)
		reply_control(fs, req, parent, name, row, parent->txn);
	else if (parent->control->entries == PLACE_TRANSACTIONS)
		lookup_txn(fs, req, parent, name);
	else
		reply_error(req, -ENOENT);
}

void control_getattr(struct fs *fs, fuse_req_t req, struct node *node)
{
	bool gone = is_gone(node);
	struct stat attributes;

	/* Whoever removes its entries one by one goes on in the directory. */
	if (gone && node_state(&fs->nodes, node) != NODE_UNLINKED) {
		reply_error(req, -ESTALE);
		return;
	}
	fill_attributes(fs, node->control, node->txn, &attributes);
	fuse_reply_attr(req, &attributes, gone ? TIMEOUT_NONE : TIMEOUT_LONG);
}

/* Truncating and touching are what shells and editors do before they write. */
void control_setattr(struct fs *fs, fuse_req_t req, struct node *node, int to_set)
{
	if (to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		reply_error(req, -EPERM);
	else
		control_getattr(fs, req, node);
}

/* The only link there is: txn/self. */
void control_readlink(struct fs *fs, fuse_req_t req, struct node *node)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	g_autoptr(txn) txn = NULL;
	int r = S_ISLNK(node->control->mode) ?
			registry_find_own(fs->registry, ctx->uid, ctx->pid, &txn) :
			-EINVAL;

	if (r < 0)
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

	if (parent->control->entries != PLACE_TRANSACTIONS) {
		reply_error(req, is_gone(parent) ? -ENOENT : -EPERM);
		return;
	}
	if (session_wait_for_release(fs, req, parent, name, SESSION_ANY, 0, mkdir_again))
		return;
	credentials = caller_credentials(req);
	r = registry_begin(fs->registry, name, fuse_req_ctx(req)->pid, credentials, &txn);
	if (r < 0)
		reply_error(req, r);
	else
		reply_control(fs, req, parent, name, &txn_control, txn);
}

/* The kernel has checked the sticky directory: the caller may end it. It forgets the name
 * by itself. */
void control_rmdir(struct fs *fs, fuse_req_t req, struct node *parent, const char *name)
{
	const struct name_change change = { .kind = OP_RMDIR, .parent = parent, .name = name };
	g_autoptr(txn) txn = NULL;
	int r = -EPERM;

	if (is_gone(parent))
		r = -ENOENT;
	else if (parent->control->entries == PLACE_TRANSACTIONS &&
		 !find_row(PLACE_TRANSACTIONS, name))
		r = registry_find(fs->registry, name, &txn);
	if (r == 0) {
		txn_end(txn);
		names_changed(fs, &change);
	}
	reply_error(req, r);
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
		reply_error(req, 0);
	}
}

void control_txn_ended(struct txn *txn, void *arg)
{
	struct fs *fs = arg;
	struct node *transactions;

	provisional_settle_txn(fs, txn, NULL); /* which lets go of it */
	tree_invalidated(fs, txn);
	pthread_mutex_lock(&fs->nodes.lock);
	transactions = node_child_locked(&fs->nodes, fs->nodes.root, "txn");
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

/* What was closed before is seen by what is told or begun here. */
void control_open(struct fs *fs, fuse_req_t req, struct node *node, struct fuse_file_info *info)
{
	if (is_gone(node)) {
		reply_error(req, -ESTALE);
		return;
	}
	if (session_wait_for_release(fs, req, node, NULL, SESSION_ANY, info->flags, open_again))
		return;
	info->direct_io = 1;
	info->noflush = (info->flags & O_ACCMODE) == O_RDONLY;
	reply_open(req, handle_new(fs, node, info->flags), info);
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
	if (control->text)
		r = control->text(handle, req, &text);
	if (r == 0)
		*ret = text ? g_string_free_to_bytes(text) : g_bytes_new(NULL, 0);
	return r;
}

void control_read(struct handle *handle, fuse_req_t req, size_t size, off_t offset)
{
	GBytes *text = NULL;
	int r = 0;

	pthread_mutex_lock(&handle->lock);
	if (handle->text && (offset > 0 || handle->node->control->text == text_new))
		text = g_bytes_ref(handle->text);
	pthread_mutex_unlock(&handle->lock);
	if (!text) {
		r = text_of(handle, req, &text);
		if (r < 0) {
			reply_error(req, r);
			return;
		}
		pthread_mutex_lock(&handle->lock);
		g_clear_pointer(&handle->text, g_bytes_unref);
		handle->text = g_bytes_ref(text);
		pthread_mutex_unlock(&handle->lock);
	}
	reply_bytes(req, text, size, offset);
	g_bytes_unref(text);
}

static int text_readme(struct handle *handle, fuse_req_t req, GString **ret)
{
	(void)handle;
	(void)req;
	*ret = g_string_new(readme_text);
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

static void append_number(GString *text, const char *name, uint64_t number)
{
	g_string_append_printf(text, "%s " NUMBER "\n", name, number);
}

static void append_limits(GString *text, struct fs *fs)
{
	const struct registry_options *limits = registry_get_options(fs->registry);

	append_number(text, "max_value_bytes", fs->options.max_value_bytes);
	append_number(text, "max_key_bytes", STORE_KEY_MAX);
	append_number(text, "max_name_bytes", STORE_NAME_MAX);
	append_number(text, "max_txn_keys", limits->limits.max_keys);
	append_number(text, "max_txn_bytes", limits->limits.max_values_bytes);
	append_number(text, "max_user_bytes", limits->max_user_bytes);
	append_number(text, "max_user_reads", limits->max_user_reads);
	append_number(text, "max_user_transactions", limits->max_user_transactions);
	append_number(text, "max_transactions", limits->max_transactions);
	append_number(text, "max_message_bytes", limits->max_message_bytes);
	append_number(text, "txn_timeout_s", limits->idle_timeout_s);
	append_number(text, "txn_max_age_s", limits->max_age_s);
}

/* What transactions, sessions and the kernel hold in memory. */
static void append_usage(GString *text, struct fs *fs)
{
	uint64_t nodes, handles, files, scratch_bytes;
	int64_t bytes, reads;

	pthread_mutex_lock(&fs->nodes.lock);
	nodes = g_hash_table_size(fs->nodes.by_id);
	handles = g_hash_table_size(fs->handles);
	pthread_mutex_unlock(&fs->nodes.lock);
	registry_get_usage(fs->registry, &bytes, &reads);
	append_number(text, "write_set_bytes", (uint64_t)bytes);
	append_number(text, "read_set_items", (uint64_t)reads);
	append_number(text, "nodes", nodes);
	append_number(text, "open_files", handles);
	view_count_scratch(fs->live->view, &files, &scratch_bytes);
	append_number(text, "scratch_files", files);
	append_number(text, "scratch_bytes", scratch_bytes);
}

static int text_status(struct handle *handle, fuse_req_t req, GString **ret)
{
	struct fs *fs = handle->fs;
	GString *text = g_string_new(NULL);
	struct store_status status;
	uint64_t total_bytes, free_bytes;

	(void)req;
	store_get_status(fs->store, &status);
	store_get_space(fs->store, &total_bytes, &free_bytes);
	g_string_append_printf(text, "health %s\npid %d\nstore ",
			       status.read_only ? "read-only: the store failed while writing" :
						  "ok",
			       (int)getpid());
	text_append_escaped(text, fs->options.source);
	g_string_append_printf(text, "\nstore_id %s\n", status.id);
	append_number(text, "revision", status.revision);
	append_number(text, "oldest_revision", status.oldest_revision);
	append_number(text, "keys", status.keys);
	append_number(text, "disk_bytes", status.disk_bytes);
	append_number(text, "disk_free_bytes", free_bytes);
	append_number(text, "commits", status.commits);
	append_number(text, "commit_groups", status.groups);
	append_number(text, "transactions", registry_count(fs->registry));
	append_number(text, "transactions_abandoned", registry_abandoned(fs->registry));
	append_number(text, "sessions_lost", (uint64_t)g_atomic_int_get(&fs->lost_sessions));
	append_number(text, "blind_flushes", (uint64_t)g_atomic_int_get(&fs->blind_flushes));
	append_usage(text, fs);
	append_limits(text, fs);
	*ret = text;
	return 0;
}

/* Begins a transaction: once for each handle, whatever it reads again (see control_read). */
static int text_new(struct handle *handle, fuse_req_t req, GString **ret)
{
	g_autoptr(credentials) credentials = caller_credentials(req);
	g_autoptr(txn) txn = NULL;
	int r = registry_begin(handle->fs->registry, NULL, fuse_req_ctx(req)->pid, credentials,
			       &txn);

	if (r < 0)
		return r;
	*ret = g_string_new(txn_name(txn));
	g_string_append_c(*ret, '\n');
	return 0;
}

#define TXN_TEXT(name, function)                                              \
	static int name(struct handle *handle, fuse_req_t req, GString **ret) \
	{                                                                     \
		(void)req;                                                    \
		*ret = function(handle->node->txn);                           \
		return 0;                                                     \
	}

TXN_TEXT(text_commit, txn_text_commit)
TXN_TEXT(text_message, txn_text_message)
TXN_TEXT(text_isolation, txn_text_isolation)
TXN_TEXT(text_timeout, txn_text_timeout)
TXN_TEXT(text_txn_status, txn_text_status)
TXN_TEXT(text_reads, txn_text_reads)
TXN_TEXT(text_writes, txn_text_writes)
TXN_TEXT(text_conflicts, txn_text_conflicts)

/* ---- Writing -------------------------------------------------------------------- */

void control_write(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	action_fn *action = handle->node->control->action;

	if (handle->node->txn)
		provisional_settle_txn(handle->fs, handle->node->txn, NULL);

	if (handle->node->txn && txn_state(handle->node->txn) == TXN_OVER)
		reply_error(req, -ESTALE);
	else if (!action)
		reply_error(req, -EPERM);
	else
		action(handle, req, data, size);
}

struct written {
	struct fs *fs;
	fuse_req_t req;
	size_t size;
	int error;
};

static void reply_written(fuse_req_t req, size_t size, int error)
{
	if (error < 0)
		reply_error(req, error);
	else
		fuse_reply_write(req, size);
}

static void reply_told(void *arg)
{
	struct written *written = arg;

	reply_written(written->req, written->size, written->error);
	g_free(written);
}

/* Who is told of the commit sees it in all later calls. */
static void commit_done(int error, void *arg)
{
	struct written *written = arg;

	written->error = error;
	if (error == 0)
		notifier_when_told(written->fs->notifier, reply_told, written);
	else
		reply_told(written);
}

static const char unwritten[] = "commit: opened for writing and closed without a byte written";

static void act_commit(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	struct written *written = g_new(struct written, 1);

	pthread_mutex_lock(&handle->lock);
	handle->begun = true;
	pthread_mutex_unlock(&handle->lock);
	written->fs = handle->fs;
	written->req = req;
	written->size = size;
	txn_clear_last_error(handle->node->txn, unwritten);
	txn_commit(handle->node->txn, data, size, commit_done, written);
}

/* `: > commit` looks like a commit and is none: without a byte nothing comes here but the
 * FLUSH of close(2). */
void control_flush(struct handle *handle)
{
	bool begun;

	if (handle->node->control->action != act_commit || (handle->flags & O_ACCMODE) == O_RDONLY)
		return;
	pthread_mutex_lock(&handle->lock);
	begun = handle->begun;
	pthread_mutex_unlock(&handle->lock);
	if (!begun)
		txn_set_last_error(handle->node->txn, "%s", unwritten);
}

/* Nothing of the old round can be found by name when the write returns. */
static void reply_new_round(struct handle *handle, fuse_req_t req, size_t size, int error)
{
	struct written *written;

	if (error < 0) {
		reply_error(req, error);
		return;
	}
	written = g_new(struct written, 1);
	*written = (struct written){ handle->fs, req, size, 0 };
	tree_invalidated(handle->fs, handle->node->txn);
	notifier_when_told(written->fs->notifier, reply_told, written);
}

static void act_restart(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	(void)data;
	reply_new_round(handle, req, size, txn_restart(handle->node->txn));
}

static void act_rebase(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	(void)data;
	reply_new_round(handle, req, size, txn_rebase(handle->node->txn));
}

/* The writes of one open follow each other. */
static void act_message(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	int r;

	pthread_mutex_lock(&handle->lock);
	r = txn_set_message(handle->node->txn, data, size, handle->begun);
	handle->begun = true;
	pthread_mutex_unlock(&handle->lock);
	reply_written(req, size, r);
}

static void act_isolation(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	g_autofree char *word = g_strstrip(g_strndup(data, size));

	reply_written(req, size, txn_set_isolation(handle->node->txn, word));
}

static void act_timeout(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	g_autofree char *word = g_strstrip(g_strndup(data, size));

	reply_written(req, size, txn_set_timeout(handle->node->txn, word));
}

/* ---- Polling -------------------------------------------------------------------- */

void control_poll(struct handle *handle, fuse_req_t req, struct fuse_pollhandle *poll)
{
	struct fs *fs = handle->fs;
	struct fuse_pollhandle *old = NULL;
	unsigned events = POLLIN | POLLOUT;

	pthread_mutex_lock(&fs->poll_lock);
	if (handle->node->control->text == text_revision) {
		if (poll) {
			old = handle->poll;
			handle->poll = poll;
			g_hash_table_add(fs->poll_handles, handle);
		}
		events = handle->seen_revision < store_revision(fs->store) ? POLLIN | POLLPRI : 0;
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
