/* Commits. Every record that a commit changes, directories whose entries changed too, goes
 * to the history as it was, in the same batch. */
#include "store/commit.h"

#include "store/log.h"
#include "store/overlay.h"
#include "store/record.h"
#include "store/seal.h"

#include <errno.h>
#include <string.h>

/* ---- Touched directories -------------------------------------------------------- */

/* What a listing of the directory shows of an entry changed: its presence or its type. */
static bool listing_changed(const struct overlay_entry *entry)
{
	if (!entry->base || !entry->now)
		return true;
	return entry->base->type != entry->now->type;
}

static int collect_parent(const struct overlay_entry *entry, void *arg)
{
	GHashTable *parents = arg;

	if (*entry->key != '\0' && listing_changed(entry))
		g_hash_table_add(parents, key_parent(entry->key));
	return 0;
}

static int touch(struct overlay *overlay, const char *directory, int64_t now_ns)
{
	const struct overlay_entry *entry = overlay_find(overlay, directory);
	g_autoptr(record) record = NULL;
	int r;

	/* Made or removed by this very program: its revisions say so already. */
	if (entry && (!entry->now || entry->fresh))
		return 0;
	r = overlay_get(overlay, directory, &record);
	if (r < 0)
		return r == -ENOENT ? -EIO : r;
	overlay_set_touched(overlay, directory, record, now_ns);
	return 0;
}

int commit_touch_parents(struct overlay *overlay, int64_t now_ns)
{
	g_autoptr(GHashTable)
		parents = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	GHashTableIter iter;
	gpointer directory;
	int r = 0;

	overlay_foreach(overlay, collect_parent, parents);
	g_hash_table_iter_init(&iter, parents);
	while (r == 0 && g_hash_table_iter_next(&iter, &directory, NULL))
		r = touch(overlay, directory, now_ns);
	return r;
}

/* ---- Revisions ------------------------------------------------------------------ */

static enum change_kind kind_of(const struct entry *entry)
{
	const struct overlay_entry *change = &entry->public;

	if (!change->now)
		return change->base->type == RECORD_DIRECTORY ? CHANGE_RMDIR : CHANGE_DELETE;
	if (change->fresh && change->now->type == RECORD_DIRECTORY)
		return CHANGE_MKDIR;
	if (change->fresh && change->now->type == RECORD_SYMLINK)
		return CHANGE_SYMLINK;
	if (change->fresh || change->value_written)
		return CHANGE_PUT;
	return change->attributes ? CHANGE_ATTR : CHANGE_TOUCH;
}

static void assign_created(struct record *now, uint64_t revision)
{
	now->create_revision = revision;
	now->mod_revision = revision;
	now->attribute_revision = now->type == RECORD_DIRECTORY ? revision : 0;
	now->version = 1;
}

static void assign_modified(const struct entry *entry, uint64_t revision)
{
	const struct record *base = entry->public.base;
	struct record *now = entry->public.now;

	now->version = base->version + 1;
	if (now->type != RECORD_DIRECTORY || entry->touched)
		now->mod_revision = revision;
	if (now->type == RECORD_DIRECTORY && entry->public.attributes)
		now->attribute_revision = revision;
}

struct commit_making {
	struct log_entry *commit;
	uint64_t revision;
	int64_t now_ns;
};

static int add_change(const struct overlay_entry *change, void *arg)
{
	const struct entry *entry = (const struct entry *)change;
	struct commit_making *making = arg;

	if (change->now) {
		if (change->fresh)
			assign_created(change->now, making->revision);
		else
			assign_modified(entry, making->revision);
		change->now->ctime_ns = making->now_ns;
	}
	log_entry_add(making->commit, kind_of(entry), change->key, change->base, change->now);
	return 0;
}

struct log_entry *commit_make(struct overlay *overlay, const struct program *program,
			      uint64_t revision, int64_t now_ns)
{
	struct log_entry *commit = log_entry_new();
	struct commit_making making = { commit, revision, now_ns };

	commit->revision = revision;
	commit->time_ns = now_ns;
	commit->uid = program->credentials->uid;
	commit->gid = program->credentials->gid;
	commit->pid = program->credentials->pid;
	commit->id = log_copy_text(program->id);
	commit->command = log_copy_text(program->credentials->command);
	commit->message = log_copy_text(program->message);
	commit->origin = program->origin;
	overlay_foreach(overlay, add_change, &making);
	return commit;
}

/* What an operation left that a later one of the same program replaced or removed. */
static struct record *finish_record(struct overlay *overlay, const char *key, struct record *record,
				    uint64_t revision)
{
	const struct overlay_entry *entry = overlay_find(overlay, key);
	struct record *copy;

	if (entry && entry->now == record)
		return record;
	if (!entry && record->create_revision)
		return record; /* nothing changed it */
	copy = record_copy(record);
	record_unref(record);
	copy->mod_revision = revision;
	if (!copy->create_revision || (entry && entry->fresh))
		assign_created(copy, revision);
	else if (entry && entry->base)
		copy->version = entry->base->version + 1;
	return copy;
}

void commit_finish_records(struct overlay *overlay, struct evaluation *evaluation,
			   uint64_t revision)
{
	GPtrArray *records = evaluation->result.records;

	for (guint i = 0; i < records->len; i++) {
		const struct op *op = evaluation->path->pdata[i];
		const char *key = op->kind == OP_RENAME ? op->target : op->key;

		if (records->pdata[i])
			records->pdata[i] =
				finish_record(overlay, key, records->pdata[i], revision);
	}
}

/* ---- Writing -------------------------------------------------------------------- */

static int write_change(const struct layout *layout, rocksdb_writebatch_t *batch,
			const struct change *change, uint64_t revision)
{
	const struct record *before = change->before;
	const struct record *after = change->after;
	int r = 0;

	if (before) {
		r = layout_batch_history(layout, batch, change->key, before, revision);
		/* A directory and a value are stored under different keys. */
		if (!after ||
		    (before->type == RECORD_DIRECTORY) != (after->type == RECORD_DIRECTORY))
			layout_batch_delete(layout, batch, change->key, before);
	}
	if (r == 0 && after)
		r = layout_batch_record(layout, batch, change->key, after);
	return r;
}

int commit_write(const struct layout *layout, rocksdb_writebatch_t *batch,
		 const struct log_entry *commit)
{
	int r = 0;

	for (guint i = 0; r == 0 && i < commit->changes->len; i++)
		r = write_change(layout, batch, commit->changes->pdata[i], commit->revision);
	return r < 0 ? r : layout_batch_log(layout, batch, commit);
}

bool commit_grows(const struct log_entry *commit)
{
	for (guint i = 0; i < commit->changes->len; i++) {
		const struct change *change = commit->changes->pdata[i];

		if (change->after && change->kind != CHANGE_TOUCH)
			return true;
	}
	return false;
}

uint64_t commit_bytes(const struct layout *layout, const struct log_entry *commit)
{
	uint64_t sealing = layout->sealer ? SEAL_HEAD_EXTRA + SEAL_TAIL_EXTRA : 0;
	uint64_t bytes = 0;

	for (guint i = 0; i < commit->changes->len; i++) {
		const struct change *change = commit->changes->pdata[i];
		uint64_t each = strlen(change->key) + RECORD_HEADER_SIZE + sealing;

		if (change->before)
			bytes += each + change->before->size_bytes;
		if (change->after)
			bytes += each + change->after->size_bytes;
	}
	return bytes;
}
