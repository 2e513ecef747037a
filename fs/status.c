/* MNT/status: the store, the limits and what is in use, one `name value` a line. */
#include "fs/status.h"

#include <unistd.h>

#define NUMBER "%" G_GUINT64_FORMAT

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
	append_number(text, "max_program_bytes", fs->options.program.max_text_bytes);
	append_number(text, "max_nodes", fs->options.max_nodes);
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

static void append_encryption(GString *text, const struct store_status *status)
{
	g_string_append_printf(text, "encryption %s\n",
			       status->data_key ? "xchacha20-poly1305" : "none");
	if (!status->data_key)
		return;
	append_number(text, "data_key", status->data_key);
	append_number(text, "reencrypting", status->resealing.running);
	append_number(text, "reencrypted_records", status->resealing.records_done);
	append_number(text, "reencrypted_records_total", status->resealing.records_total);
}

/* Names have no blank; it is part of the key, since every key is there once. */
static int append_snapshot(const struct named_snapshot *snapshot, void *arg)
{
	g_string_append_printf(arg, "snapshot.%s " NUMBER "\n", snapshot->name, snapshot->revision);
	return 0;
}

int text_status(struct handle *handle, fuse_req_t req, GString **ret)
{
	struct fs *fs = handle->fs;
	GString *text = g_string_new(NULL);
	struct registry_metrics metrics;
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
	append_number(text, "snapshots", status.snapshots);
	append_number(text, "compaction_running", status.compaction.running);
	append_encryption(text, &status);
	store_list_snapshots(fs->store, append_snapshot, text);
	append_number(text, "keys", status.keys);
	append_number(text, "disk_bytes", status.disk_bytes);
	append_number(text, "disk_free_bytes", free_bytes);
	append_number(text, "commits", status.commits);
	append_number(text, "commit_groups", status.groups);
	registry_get_metrics(fs->registry, &metrics);
	append_number(text, "transactions", registry_count(fs->registry));
	append_number(text, "conflicts", metrics.conflicts);
	append_number(text, "transactions_abandoned", registry_abandoned(fs->registry));
	append_number(text, "sessions", (uint64_t)g_atomic_int_get(&fs->sessions));
	append_number(text, "sessions_lost", (uint64_t)g_atomic_int_get(&fs->lost_sessions));
	append_number(text, "blind_flushes", (uint64_t)g_atomic_int_get(&fs->blind_flushes));
	append_usage(text, fs);
	append_limits(text, fs);
	*ret = text;
	return 0;
}
