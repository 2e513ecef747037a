#include "fs/history.h"

#include <errno.h>
#include <string.h>

#define NUMBER "%" G_GUINT64_FORMAT

/* Takes `key`, which reads are of from now on. */
static void keep_key(struct handle *handle, char *key)
{
	pthread_mutex_lock(&handle->lock);
	g_free(handle->key);
	handle->key = key;
	pthread_mutex_unlock(&handle->lock);
}

void act_history(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	g_autofree char *key = NULL;
	int r = text_parse_key(data, size, &key);

	if (r == 0)
		keep_key(handle, g_steal_pointer(&key));
	control_reply_written(req, size, r);
}

/* A version ends where the next begins, or with the key. */
static int add_revisions(const struct version *version, void *arg)
{
	GArray *revisions = arg;

	if (version->superseded_revision)
		g_array_append_val(revisions, version->superseded_revision);
	g_array_append_val(revisions, version->revision);
	return 0;
}

static gint by_number(gconstpointer a, gconstpointer b)
{
	const uint64_t *left = a, *right = b;

	return *left < *right ? -1 : *left > *right;
}

/* A commit that only added or removed an entry of a directory did not change the key. */
static void append_commit(GString *text, const struct log_entry *commit, const char *key)
{
	for (guint i = 0; i < commit->changes->len; i++) {
		const struct change *change = g_ptr_array_index(commit->changes, i);

		if (change->kind == CHANGE_TOUCH || strcmp(change->key, key) != 0)
			continue;
		g_string_append_printf(text, "%s\t", change_kind_name(change->kind));
		log_entry_format(commit, text);
		return;
	}
}

int text_history(struct handle *handle, fuse_req_t req, GString **ret)
{
	g_autoptr(GArray) revisions = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	struct store *store = handle->fs->store;
	g_autoptr(GString) text = g_string_new(NULL);
	g_autofree char *key = NULL;
	int r = 0;

	(void)req;
	pthread_mutex_lock(&handle->lock);
	key = g_strdup(handle->key);
	pthread_mutex_unlock(&handle->lock);
	if (key)
		r = store_history(store, key, false, add_revisions, revisions);
	g_array_sort(revisions, by_number);
	for (guint i = 0; i < revisions->len && r == 0; i++) {
		uint64_t revision = g_array_index(revisions, uint64_t, i);
		g_autoptr(log_entry) commit = NULL;

		if (i > 0 && revision == g_array_index(revisions, uint64_t, i - 1))
			continue;
		r = store_log(store, revision, &commit);
		if (r == 0)
			append_commit(text, commit, key);
		else if (r == -ENOENT)
			r = 0; /* compacted, but for what a named snapshot needs */
	}
	if (r == 0)
		*ret = g_steal_pointer(&text);
	return r;
}

/* ---- One record ----------------------------------------------------------------- */

/* Takes the snapshot, unless the handle has it already. */
static int hold_revision(struct handle *handle, uint64_t revision)
{
	g_autoptr(snapshot) snapshot = NULL, old = NULL;
	bool held;
	int r;

	pthread_mutex_lock(&handle->lock);
	held = handle->snapshot && handle->snapshot->revision == revision;
	pthread_mutex_unlock(&handle->lock);
	if (held)
		return 0;
	r = store_snapshot(handle->fs->store, revision, &snapshot);
	if (r < 0)
		return r;
	pthread_mutex_lock(&handle->lock);
	old = g_steal_pointer(&handle->snapshot);
	handle->snapshot = g_steal_pointer(&snapshot);
	pthread_mutex_unlock(&handle->lock);
	return 0;
}

void act_record(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	const char *blank = memchr(data, ' ', size);
	g_autofree char *key = NULL;
	uint64_t revision;
	int r = -EINVAL;

	if (blank)
		r = text_parse_number(data, (size_t)(blank - data), &revision);
	if (r == 0)
		r = text_parse_key(blank + 1, size - (size_t)(blank + 1 - data), &key);
	if (r == 0 && revision == 0)
		r = -EINVAL;
	if (r == 0)
		r = hold_revision(handle, revision);
	if (r == 0)
		keep_key(handle, g_steal_pointer(&key));
	control_reply_written(req, size, r);
}

int text_record(struct handle *handle, fuse_req_t req, GString **ret)
{
	static const char *const types[] = { [RECORD_VALUE] = "value",
					     [RECORD_DIRECTORY] = "directory",
					     [RECORD_SYMLINK] = "symlink" };
	g_autoptr(snapshot) snapshot = NULL;
	g_autoptr(record) record = NULL;
	g_autofree char *key = NULL;
	int r = -ENOENT;

	(void)req;
	pthread_mutex_lock(&handle->lock);
	key = g_strdup(handle->key);
	if (handle->snapshot)
		snapshot = snapshot_ref(handle->snapshot);
	pthread_mutex_unlock(&handle->lock);
	if (snapshot)
		r = snapshot_get(snapshot, key, &record);
	if (r < 0 && r != -ENOENT)
		return r;
	*ret = g_string_new(NULL);
	if (!record)
		g_string_append(*ret, "type none\n");
	else
		g_string_append_printf(*ret,
				       "type %s\nsize " NUMBER "\ncreate_revision " NUMBER
				       "\nmod_revision " NUMBER "\nversion " NUMBER "\n",
				       types[record->type], record->size_bytes,
				       record->create_revision, record->mod_revision,
				       record->version);
	return 0;
}
