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

struct forgetting {
	gint refs;     /* atomic: of the store, until it is finished, and of the handle */
	gint finished; /* atomic */
	gint error;    /* atomic: negative errno, before it is finished */
	char *key;     /* set once: that is purged; NULL: a compaction */
};

static gint unfinished; /* atomic: how many of them there are */

void forgetting_unref(struct forgetting *forgetting)
{
	if (!forgetting || !g_atomic_int_dec_and_test(&forgetting->refs))
		return;
	g_free(forgetting->key);
	g_free(forgetting);
}

static struct forgetting *forgetting_new(char *key)
{
	struct forgetting *forgetting = g_new0(struct forgetting, 1);

	forgetting->refs = 2;
	forgetting->key = key;
	g_atomic_int_inc(&unfinished);
	return forgetting;
}

/* `arg` is a struct forgetting, which the last call lets go of. */
static void went_on(const struct compaction *progress, bool finished, int error, void *arg)
{
	struct forgetting *forgetting = arg;
	struct fs *fs;

	(void)progress; /* asked for when it is read */
	pthread_mutex_lock(&listener.lock);
	fs = listener.fs;
	/* Who opened it before it could not be read any more has it in a cache. */
	if (fs && forgetting->key)
		past_purged(fs, forgetting->key);
	if (finished) {
		g_atomic_int_set(&forgetting->error, error);
		g_atomic_int_set(&forgetting->finished, 1);
		g_atomic_int_add(&unfinished, -1);
	}
	if (fs && finished)
		g_atomic_int_set(&fs->compaction_error, error);
	if (fs) {
		g_atomic_int_inc(&fs->compaction_steps);
		control_wake_pollers(fs);
	}
	pthread_mutex_unlock(&listener.lock);
	if (finished)
		forgetting_unref(forgetting);
}

/* `r`: of asking the store, which then has a reference, or never will. */
static void asked(struct handle *handle, struct forgetting *forgetting, int r)
{
	struct forgetting *before = forgetting;

	if (r < 0) {
		g_atomic_int_add(&unfinished, -1);
		forgetting_unref(forgetting);
	} else {
		pthread_mutex_lock(&handle->lock);
		before = handle->forgetting;
		handle->forgetting = forgetting;
		pthread_mutex_unlock(&handle->lock);
	}
	forgetting_unref(before);
}

void act_compact(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	struct fs *fs = handle->fs;
	struct forgetting *forgetting;
	uint64_t revision;
	int r = text_parse_number(data, size, &revision);

	if (r == 0 && revision == 0)
		r = -EINVAL; /* the newest, to the store: nobody means that */
	if (r == 0) {
		forgetting = forgetting_new(NULL);
		r = store_compact(fs->store, revision, went_on, forgetting);
		asked(handle, forgetting, r);
	}
	if (r == 0)
		past_compacted(fs);
	control_reply_written(req, size, r);
}

void act_purge(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	struct fs *fs = handle->fs;
	struct forgetting *forgetting;
	g_autoptr(record) record = NULL;
	g_autofree char *key = NULL;
	int r = text_parse_key(data, size, &key);

	/* It has no value of its own; to say that it was purged would be a false comfort. */
	if (r == 0 && view_get(fs->live->view, key, &record) == 0 &&
	    record->type == RECORD_DIRECTORY)
		r = -EISDIR;
	if (r == 0) {
		forgetting = forgetting_new(g_strdup(key));
		r = store_purge(fs->store, key, went_on, forgetting);
		asked(handle, forgetting, r);
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
	bool running;
	int error;

	(void)req;
	pthread_mutex_lock(&fs->poll_lock);
	handle->seen_revision = (unsigned)g_atomic_int_get(&fs->compaction_steps);
	pthread_mutex_unlock(&fs->poll_lock);
	store_get_status(fs->store, &status);
	running = status.compaction.running || g_atomic_int_get(&unfinished) > 0;
	error = g_atomic_int_get(&fs->compaction_error);
	pthread_mutex_lock(&handle->lock);
	/* The store may not have begun with it, or go on with what others asked for. */
	if (handle->forgetting) {
		running = !g_atomic_int_get(&handle->forgetting->finished);
		error = g_atomic_int_get(&handle->forgetting->error);
	}
	pthread_mutex_unlock(&handle->lock);
	append(text, "running", running);
	append(text, "oldest_revision", status.oldest_revision);
	append(text, "records_read", status.compaction.records_read);
	append(text, "records_total", status.compaction.records_total);
	append(text, "records_removed", status.compaction.records_removed);
	append(text, "unreadable", status.compaction.unreadable);
	append(text, "held_snapshots", status.compaction.held_snapshots);
	append(text, "needed_bytes", status.compaction.needed_bytes);
	append(text, "disk_bytes", status.disk_bytes);
	g_string_append_printf(text, "last_error %s\n", error ? g_strerror(-error) : "-");
	*ret = text;
	return 0;
}
