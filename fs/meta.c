/* A name below meta/ leads where it leads below keys/, and may be followed by whoever may
 * follow it there: directories are shown with their modes, and nothing is cached, since the
 * live tree changes. What has a value is a text about it. A directory is a directory here,
 * too, so that what lies below it can be reached: there is no text about it. */
#include "fs/meta.h"

#include "fs/session.h"
#include "fs/tree.h"

#include <errno.h>
#include <string.h>

#define NUMBER "%" G_GUINT64_FORMAT

static const char *const type_names[] = {
	[RECORD_VALUE] = "value",
	[RECORD_DIRECTORY] = "directory",
	[RECORD_SYMLINK] = "symlink",
};

/* The record that `node` tells of, as it is now. */
static int get_record(struct fs *fs, struct node *node, struct record **ret)
{
	g_autofree char *key = NULL;
	int r = node_key(&fs->nodes, node, NULL, &key);

	if (r == 0)
		r = view_get(node->tree->view, key, ret);
	return r == -ENOENT ? -ESTALE : r;
}

static void show(const struct tree *tree, const struct record *record, struct stat *attributes)
{
	record_attributes(tree, record, attributes);
	if (record->type == RECORD_DIRECTORY)
		return;
	/* Direct I/O does not ask for a size, and there is none before it is read. */
	attributes->st_mode = S_IFREG | 0444;
	attributes->st_size = 0;
	attributes->st_blocks = 0;
}

static void reply_meta(struct fs *fs, fuse_req_t req, struct node *parent, const char *name,
		       struct tree *tree, const struct record *record)
{
	struct fuse_entry_param entry = { .attr_timeout = TIMEOUT_NONE,
					  .entry_timeout = TIMEOUT_NONE };
	struct node *node = node_obtain_key(&fs->nodes, parent, name, tree, record);

	if (!node) {
		reply_error(req, -ESTALE); /* made anew meanwhile: the kernel asks again */
		return;
	}
	entry.ino = node->id;
	show(node->tree, record, &entry.attr);
	reply_entry(req, node, &entry);
}

void meta_lookup_top(struct fs *fs, fuse_req_t req, struct node *parent, const char *name)
{
	g_autoptr(record) record = NULL;
	int r = view_get(fs->meta->view, "", &record);

	if (r < 0)
		reply_error(req, r);
	else
		reply_meta(fs, req, parent, name, fs->meta, record);
}

static void lookup_again(fuse_req_t req, struct node *node, const char *name, int flags)
{
	(void)flags;
	meta_lookup(fuse_req_userdata(req), req, node, name);
}

void meta_lookup(struct fs *fs, fuse_req_t req, struct node *parent, const char *name)
{
	g_autoptr(record) record = NULL;
	g_autofree char *key = NULL;
	int r;

	if (session_wait_for_release(fs, req, parent, name, SESSION_ANY, 0, lookup_again))
		return;
	r = node_key(&fs->nodes, parent, name, &key);
	if (r == 0)
		r = view_get(parent->tree->view, key, &record);
	if (r < 0)
		reply_error(req, r);
	else
		reply_meta(fs, req, parent, name, NULL, record);
}

void meta_getattr(struct fs *fs, fuse_req_t req, struct node *node)
{
	g_autoptr(record) record = NULL;
	struct stat attributes;
	int r = get_record(fs, node, &record);

	if (r == 0 && record->type != node->type)
		r = -ESTALE;
	if (r < 0) {
		reply_error(req, r);
		return;
	}
	show(node->tree, record, &attributes);
	fuse_reply_attr(req, &attributes, TIMEOUT_NONE);
}

struct listing {
	struct node *directory;
	GPtrArray *entries;
};

static int add_entry(const char *name, struct record *record, void *arg)
{
	struct listing *listing = arg;
	struct listed_entry *entry = g_new0(struct listed_entry, 1);

	entry->name = g_strdup(name);
	entry->type = record->type == RECORD_DIRECTORY ? RECORD_DIRECTORY : RECORD_VALUE;
	entry->ino = tree_ino(listing->directory->tree, record->ino);
	g_ptr_array_add(listing->entries, entry);
	return 0;
}

int meta_list(struct fs *fs, struct node *directory, GPtrArray *entries)
{
	struct listing listing = { directory, entries };
	g_autofree char *key = NULL;
	int r = node_key(&fs->nodes, directory, NULL, &key);

	return r == 0 ? view_list(directory->tree->view, key, add_entry, &listing) : r;
}

/* ---- The text ------------------------------------------------------------------- */

static void append_text(GString *text, const char *name, const char *value)
{
	g_string_append_printf(text, "%s ", name);
	text_append_escaped(text, value && *value ? value : "-");
	g_string_append_c(text, '\n');
}

/* `commit` NULL: it is compacted, and only its time is known, by the record. */
static void append_commit(GString *text, const struct record *record,
			  const struct log_entry *commit)
{
	g_string_append(text, "time ");
	text_append_time(text, commit ? commit->time_ns : record->ctime_ns);
	if (commit)
		g_string_append_printf(text, "\nuid %u\npid %d\n", (unsigned)commit->uid,
				       (int)commit->pid);
	else
		g_string_append(text, "\nuid -\npid -\n");
	append_text(text, "command", commit ? commit->command : NULL);
	append_text(text, "message", commit ? commit->message : NULL);
	append_text(text, "id", commit ? commit->id : NULL);
}

static int text_meta(struct handle *handle, fuse_req_t req, GString **ret)
{
	g_autoptr(log_entry) commit = NULL;
	g_autoptr(record) record = NULL;
	GString *text;
	int r = get_record(handle->fs, handle->node, &record);

	(void)req;
	if (r < 0)
		return r;
	r = store_log(handle->fs->store, record->mod_revision, &commit);
	if (r < 0 && r != -ENOENT)
		return r;
	text = g_string_new(NULL);
	g_string_append_printf(text,
			       "type %s\nsize " NUMBER "\ncreate_revision " NUMBER
			       "\nmod_revision " NUMBER "\nversion " NUMBER "\n",
			       type_names[record->type], record->size_bytes,
			       record->create_revision, record->mod_revision, record->version);
	append_commit(text, record, commit);
	*ret = text;
	return 0;
}

const struct control meta_file = {
	PLACE_NOWHERE, "", S_IFREG | 0444, text_meta, NULL, PLACE_NOWHERE
};
