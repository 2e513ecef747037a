#include "fs/forget.h"

#include "fs/past.h"
#include <errno.h>

/* From the compacting thread of the store. */
static void went_on(const struct compaction *progress, bool finished, int error, void *arg)
{
	struct fs *fs = arg;

	(void)progress; /* asked for when it is read */
	if (finished)
		g_atomic_int_set(&fs->compaction_error, error);
	g_atomic_int_inc(&fs->compaction_steps);
	control_wake_pollers(fs);
}

void act_compact(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	struct fs *fs = handle->fs;
	uint64_t revision;
	int r = text_parse_number(data, size, &revision);

	if (r == 0 && revision == 0)
		r = -EINVAL; /* the newest, to the store: nobody means that */
	if (r == 0)
		r = store_compact(fs->store, revision, went_on, fs);
	if (r == 0)
		past_compacted(fs);
	control_reply_written(req, size, r);
}

void act_purge(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	struct fs *fs = handle->fs;
	g_autoptr(record) record = NULL;
	g_autofree char *key = NULL;
	int r = text_parse_key(data, size, &key);

	/* It has no value of its own; to say that it was purged would be a false comfort. */
	if (r == 0 && view_get(fs->live->view, key, &record) == 0 &&
	    record->type == RECORD_DIRECTORY)
		r = -EISDIR;
	if (r == 0)
		r = store_purge(fs->store, key, went_on, fs);
	if (r == 0)
		past_purged(fs, key);
	control_reply_written(req, size, r);
}

static void append(GString *text, const char *name, uint64_t number)
{
	g_string_append_printf(text, "%s %" G_GUINT64_FORMAT "\n", name, number);
}

int text_compaction(struct handle *handle, fuse_req_t req, GString **ret)
{
	struct fs *fs = handle->fs;
	GString *text = g_string_new(NULL);
	struct store_status status;

	(void)req;
	pthread_mutex_lock(&fs->poll_lock);
	handle->seen_revision = (unsigned)g_atomic_int_get(&fs->compaction_steps);
	pthread_mutex_unlock(&fs->poll_lock);
	store_get_status(fs->store, &status);
	append(text, "running", status.compaction.running);
	append(text, "oldest_revision", status.oldest_revision);
	append(text, "records_read", status.compaction.records_read);
	append(text, "records_total", status.compaction.records_total);
	append(text, "records_removed", status.compaction.records_removed);
	append(text, "held_snapshots", status.compaction.held_snapshots);
	append(text, "disk_bytes", status.disk_bytes);
	g_string_append_printf(text, "last_error %s\n",
			       g_atomic_int_get(&fs->compaction_error) ?
				       g_strerror(-g_atomic_int_get(&fs->compaction_error)) :
				       "-");
	*ret = text;
	return 0;
}
