#include "fs/forget.h"

#include "fs/past.h"
#include <errno.h>

/* Whom the compacting thread of the store tells. Its work outlives the mount, which is one
 * a process. The lock is held while it tells, so that taking it back waits for it; it comes
 * before all others. */
static struct {
	pthread_mutex_t lock;
	struct fs *fs; /* lock; NULL: nobody any more */
} listener = { .lock = PTHREAD_MUTEX_INITIALIZER };

void forget_listen(struct fs *fs)
{
	pthread_mutex_lock(&listener.lock);
	listener.fs = fs;
	pthread_mutex_unlock(&listener.lock);
}

/* `arg` is the key that is purged (freed with the last call), or NULL. */
static void went_on(const struct compaction *progress, bool finished, int error, void *arg)
{
	struct fs *fs;

	(void)progress; /* asked for when it is read */
	pthread_mutex_lock(&listener.lock);
	fs = listener.fs;
	if (fs && finished)
		g_atomic_int_set(&fs->compaction_error, error);
	if (fs)
		g_atomic_int_inc(&fs->compaction_steps);
	/* Who opened it before it could not be read any more has it in a cache. */
	if (fs && arg)
		past_purged(fs, arg);
	if (fs)
		control_wake_pollers(fs);
	pthread_mutex_unlock(&listener.lock);
	if (finished)
		g_free(arg);
}

void act_compact(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	struct fs *fs = handle->fs;
	uint64_t revision;
	int r = text_parse_number(data, size, &revision);

	if (r == 0 && revision == 0)
		r = -EINVAL; /* the newest, to the store: nobody means that */
	if (r == 0)
		r = store_compact(fs->store, revision, went_on, NULL);
	if (r == 0)
		past_compacted(fs);
	control_reply_written(req, size, r);
}

void act_purge(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	struct fs *fs = handle->fs;
	g_autoptr(record) record = NULL;
	g_autofree char *key = NULL;
	char *told;
	int r = text_parse_key(data, size, &key);

	/* It has no value of its own; to say that it was purged would be a false comfort. */
	if (r == 0 && view_get(fs->live->view, key, &record) == 0 &&
	    record->type == RECORD_DIRECTORY)
		r = -EISDIR;
	if (r == 0) {
		told = g_strdup(key);
		r = store_purge(fs->store, key, went_on, told);
		if (r < 0)
			g_free(told); /* never called */
	}
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
