/* Listings. What a directory holds is pinned at the first READDIR, and again after
 * rewinddir; cookies are indices into it, so that a directory emptied while it is listed
 * misses nothing. */
#include "fs/control.h"
#include "fs/gate.h"
#include "fs/meta.h"
#include "fs/past.h"
#include "fs/session.h"
#include "fs/tree.h"

#include <errno.h>
#include <string.h>

static void listed_entry_free(void *data)
{
	struct listed_entry *entry = data;

	record_unref(entry->record);
	g_free(entry->name);
	g_free(entry);
}

static struct listed_entry *add_entry(GPtrArray *entries, const char *name, enum record_type type,
				      uint64_t ino)
{
	struct listed_entry *entry = g_new0(struct listed_entry, 1);

	entry->name = g_strdup(name);
	entry->type = type;
	entry->ino = ino;
	g_ptr_array_add(entries, entry);
	return entry;
}

/* A working directory can be removed: it is empty then. */
static bool is_removed(struct fs *fs, struct node *node)
{
	return node_state(&fs->nodes, node) == NODE_UNLINKED;
}

static void opendir_again(fuse_req_t req, struct node *node, const char *name, int flags)
{
	struct fuse_file_info info = { .flags = flags };

	(void)name;
	tree_opendir(fuse_req_userdata(req), req, node, &info);
}

void tree_opendir(struct fs *fs, fuse_req_t req, struct node *node, struct fuse_file_info *info)
{
	g_autoptr(record) record = NULL;
	int r;

	if (node->kind == NODE_KEY && !node->tree->txn &&
	    session_wait_for_release(fs, req, node, NULL, SESSION_ON_ENTRY, info->flags,
				     opendir_again))
		return;
	if (node->kind == NODE_KEY)
		r = is_removed(fs, node) ? 0 : tree_get(fs, node, NULL, &record);
	else
		r = node->txn && txn_state(node->txn) == TXN_OVER ? -ESTALE : 0;
	if (r < 0)
		reply_error(req, r);
	else
		reply_open(req, handle_new(fs, node, info->flags), info);
}

struct pinning {
	struct node *node;
	GPtrArray *entries;
};

static int pin_entry(const char *name, struct record *record, void *arg)
{
	struct pinning *pinning = arg;
	struct listed_entry *entry = add_entry(pinning->entries, name, record->type,
					       tree_ino(pinning->node->tree, record->ino));

	/* In a transaction the kernel shall look names up, which records them. */
	if (!pinning->node->tree->txn)
		entry->record = record_ref(record);
	return 0;
}

static int list_keys(struct fs *fs, struct node *node, GPtrArray *entries)
{
	struct pinning pinning = { node, entries };
	g_autoptr(record) directory = NULL;
	g_autofree char *key = NULL;
	int r = is_removed(fs, node) ? -ESTALE : tree_get(fs, node, &key, &directory);

	if (r < 0) /* removed while it is open */
		return r == -ESTALE && (!node->tree->txn || is_removed(fs, node)) ? 0 : r;
	r = view_observe(node->tree->view, OBSERVE_LIST, key, directory);
	if (r < 0)
		return r;
	return view_list(node->tree->view, key, pin_entry, &pinning);
}

static uint64_t shown_ino(const struct node *node)
{
	return node->tree ? tree_ino(node->tree, node->ino) : control_node_ino(node);
}

/* What a listing takes in memory, about: records come without their values. */
static uint64_t listing_bytes(const GPtrArray *entries)
{
	uint64_t bytes = 0;

	for (guint i = 0; i < entries->len; i++) {
		const struct listed_entry *entry = g_ptr_array_index(entries, i);

		bytes += sizeof(*entry) + sizeof(void *) + strlen(entry->name) + 16;
		bytes += entry->record ? sizeof(struct record) : 0;
	}
	return bytes;
}

static int pin_listing(struct handle *handle)
{
	g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func(listed_entry_free);
	struct node *node = handle->node;
	int r;

	add_entry(entries, ".", RECORD_DIRECTORY, shown_ino(node));
	add_entry(entries, "..", RECORD_DIRECTORY, 1);
	if (node->kind == NODE_KEY)
		r = list_keys(handle->fs, node, entries);
	else if (node->kind == NODE_PAST)
		r = past_list(handle, entries);
	else if (node->kind == NODE_META)
		r = meta_list(handle->fs, node, entries);
	else
		r = control_list(handle->fs, node, entries);
	if (r == 0)
		r = handle_charge(handle, listing_bytes(entries));
	if (r < 0)
		return r;
	g_clear_pointer(&handle->entries, g_ptr_array_unref);
	handle->entries = g_steal_pointer(&entries);
	return 0;
}

static const mode_t entry_modes[] = {
	[RECORD_VALUE] = S_IFREG,
	[RECORD_DIRECTORY] = S_IFDIR,
	[RECORD_SYMLINK] = S_IFLNK,
};

/* A reply to READDIR(PLUS) while it is filled. */
struct page {
	fuse_req_t req;
	char *buffer;
	size_t size, used;
};

static bool add_plain(struct page *page, const struct listed_entry *entry, off_t next)
{
	struct stat attributes = { .st_ino = entry->ino, .st_mode = entry_modes[entry->type] };
	size_t left = page->size - page->used;
	size_t length = fuse_add_direntry(page->req, page->buffer + page->used, left, entry->name,
					  &attributes, next);

	if (length > left)
		return false;
	page->used += length;
	return true;
}

/* Only an entry that fits is looked up: the kernel counts those it is given. An entry
 * without a node, or one that is out of date, gives its name and type only. */
static bool add_plus(struct page *page, struct handle *handle, const struct listed_entry *entry,
		     off_t next)
{
	struct fs *fs = handle->fs;
	struct fuse_entry_param param = { .entry_timeout = TIMEOUT_LONG };
	size_t left = page->size - page->used;
	struct node *node;

	if (fuse_add_direntry_plus(page->req, NULL, 0, entry->name, NULL, 0) > left)
		return false;
	param.attr.st_ino = entry->ino;
	param.attr.st_mode = entry_modes[entry->type];
	node = entry->record ?
		       node_obtain_key(&fs->nodes, handle->node, entry->name, NULL, entry->record) :
		       NULL;
	if (node) {
		param.ino = node->id;
		record_attributes(node->tree, entry->record, &param.attr);
	}
	page->used += fuse_add_direntry_plus(page->req, page->buffer + page->used, left,
					     entry->name, &param, next);
	return true;
}

/* The kernel asks for nodes at the beginning of every listing, and goes on to ask for them if any
 * of those was used. For what only wants names a node each would be the most of its cost. */
#define FIRST_NODES 32

static void fill_page(struct page *page, struct handle *handle, off_t offset, bool plus)
{
	guint end = plus && offset == 0 ? MIN(FIRST_NODES, handle->entries->len) :
					  handle->entries->len;

	for (guint i = (guint)offset; i < end; i++) {
		const struct listed_entry *entry = g_ptr_array_index(handle->entries, i);
		off_t next = (off_t)i + 1;
		bool fits = plus ? add_plus(page, handle, entry, next) :
				   add_plain(page, entry, next);

		if (!fits)
			return;
	}
}

/* A READDIR(PLUS). */
struct reading {
	struct handle *handle;
	fuse_req_t req;
	size_t size;
	off_t offset;
	bool plus;
};

static void read_entries(const struct reading *reading, bool pin)
{
	g_autofree char *buffer = g_try_malloc(reading->size);
	struct page page = { reading->req, buffer, reading->size, 0 };
	struct handle *handle = reading->handle;
	int r = buffer ? 0 : -ENOMEM;

	pthread_mutex_lock(&handle->lock);
	if (r == 0 && pin)
		r = pin_listing(handle);
	if (r == 0)
		fill_page(&page, handle, reading->offset, reading->plus);
	pthread_mutex_unlock(&handle->lock);
	if (r < 0)
		reply_error(reading->req, r);
	else
		fuse_reply_buf(reading->req, page.buffer, page.used);
}

static void pin_and_read(void *arg)
{
	read_entries(arg, true);
	g_free(arg);
}

void tree_readdir(struct handle *handle, fuse_req_t req, size_t size, off_t offset, bool plus)
{
	const struct reading reading = { handle, req, size, offset, plus };
	bool pin;

	pthread_mutex_lock(&handle->lock);
	pin = offset == 0 || !handle->entries;
	pthread_mutex_unlock(&handle->lock);
	/* A directory may be large, and be on the disk. */
	if (pin)
		gate_run(handle->fs->gate, handle->opener, pin_and_read,
			 g_memdup2(&reading, sizeof(reading)));
	else
		read_entries(&reading, false);
}
