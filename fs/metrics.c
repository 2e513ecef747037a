/* MNT/metrics: what is counted anywhere, as one text. Names and units follow Prometheus's
 * rules: base units, counters end with _total, a family's samples stand together. */
#include "fs/metrics.h"

#include "fs/exposition.h"
#include "fs/requests.h"

#include <unistd.h>

/* ---- Single numbers ------------------------------------------------------------- */

static void append_gauge(GString *out, const char *name, const char *help, uint64_t number)
{
	exposition_family(out, name, "gauge", help);
	exposition_sample(out, name, NULL, NULL, number);
}

static void append_counter(GString *out, const char *name, const char *help, uint64_t number)
{
	exposition_family(out, name, "counter", help);
	exposition_sample(out, name, NULL, NULL, number);
}

static uint64_t atomic_number(gint *number)
{
	return (uint64_t)MAX(g_atomic_int_get(number), 0);
}

/* ---- Requests ------------------------------------------------------------------- */

static void append_requests(GString *out, struct fs *fs)
{
	g_autofree struct request_counts *counts = g_new(struct request_counts, 1);

	requests_get(fs->requests, counts);
	exposition_family(out, "commitfs_requests_total", "counter",
			  "Requests of the kernel, by kind.");
	for (unsigned kind = 0; kind < REQUEST_KINDS; kind++)
		if (request_name(kind))
			exposition_sample(out, "commitfs_requests_total", "op", request_name(kind),
					  counts->kinds[kind].received);
	exposition_family(out, "commitfs_request_seconds", "histogram",
			  "From the arrival of a request until its reply, by kind.");
	for (unsigned kind = 0; kind < REQUEST_KINDS; kind++)
		if (histogram_count(&counts->kinds[kind].seconds) > 0)
			exposition_histogram(out, "commitfs_request_seconds", "op",
					     request_name(kind), &counts->kinds[kind].seconds,
					     &exposition_seconds);
	exposition_family(out, "commitfs_notifications_total", "counter",
			  "Notifications to the kernel, by kind.");
	for (unsigned kind = 0; kind < NOTICE_KINDS; kind++)
		if (notice_name(kind))
			exposition_sample(out, "commitfs_notifications_total", "kind",
					  notice_name(kind), counts->notices[kind]);
}

/* ---- Commits -------------------------------------------------------------------- */

static void append_commits(GString *out, struct fs *fs, const struct store_status *status)
{
	static const char *const steps[STORE_STEPS] = {
		[STORE_STEP_WAIT] = "wait",
		[STORE_STEP_EVALUATE] = "evaluate",
		[STORE_STEP_WRITE] = "write",
		[STORE_STEP_TELL] = "tell",
	};
	g_autofree struct store_metrics *metrics = g_new(struct store_metrics, 1);

	store_get_metrics(fs->store, metrics);
	append_counter(out, "commitfs_commits_total", "Commits that made a revision.",
		       status->commits);
	append_counter(out, "commitfs_commit_groups_total",
		       "Batches that commits were written in, with one sync each.", status->groups);
	exposition_family(out, "commitfs_commit_group_size", "histogram", "Commits of one batch.");
	exposition_histogram(out, "commitfs_commit_group_size", NULL, NULL, &metrics->group_sizes,
			     &exposition_numbers);
	exposition_family(out, "commitfs_commit_seconds", "histogram",
			  "From the submission of a program until its outcome, refused ones too.");
	exposition_histogram(out, "commitfs_commit_seconds", NULL, NULL, &metrics->commit_times,
			     &exposition_seconds);
	exposition_family(out, "commitfs_commit_step_seconds", "histogram",
			  "wait: of a program, in the queue. Of a group: evaluate; write and sync; "
			  "tell all who wait.");
	for (int step = 0; step < STORE_STEPS; step++)
		exposition_histogram(out, "commitfs_commit_step_seconds", "step", steps[step],
				     &metrics->steps[step], &exposition_seconds);
	append_counter(out, "commitfs_batch_bytes_total",
		       "Bytes that commits wrote to the write-ahead log.", metrics->batch_bytes);
	append_counter(out, "commitfs_syncs_total",
		       "Syncs of the write-ahead log that commits waited for.", metrics->syncs);
	append_counter(out, "commitfs_record_cache_hits_total",
		       "Records that were found in memory.", metrics->cache_hits);
	append_counter(out, "commitfs_record_cache_misses_total",
		       "Records that had to be looked up in RocksDB.", metrics->cache_misses);
}

/* ---- Transactions --------------------------------------------------------------- */

static void append_outcomes(GString *out, const struct registry_metrics *metrics)
{
	static const char name[] = "commitfs_transaction_commits_total";

	exposition_family(out, name, "counter",
			  "Commits of transactions that wrote something, by outcome.");
	exposition_sample(out, name, "outcome", "committed", metrics->committed);
	exposition_sample(out, name, "outcome", "conflict", metrics->conflicts);
	exposition_sample(out, name, "outcome", "failed", metrics->failed);
	exposition_family(out, "commitfs_conflicts_total", "counter",
			  "Commits refused, by kind of item; one counts once for each kind.");
	for (unsigned kind = 0; kind < TXN_CONFLICT_KINDS; kind++)
		exposition_sample(out, "commitfs_conflicts_total", "kind",
				  txn_conflict_kind_name(kind), metrics->conflict_kinds[kind]);
}

static void append_transactions(GString *out, struct fs *fs)
{
	struct registry_metrics metrics;
	int64_t bytes, reads;

	registry_get_metrics(fs->registry, &metrics);
	registry_get_usage(fs->registry, &bytes, &reads);
	append_outcomes(out, &metrics);
	append_counter(out, "commitfs_transactions_begun_total", "Transactions begun.",
		       metrics.begun);
	append_gauge(out, "commitfs_transactions_open", "Transactions that are open.",
		     registry_count(fs->registry));
	append_counter(out, "commitfs_transactions_abandoned_total",
		       "Transactions that ended with writes not committed.",
		       registry_abandoned(fs->registry));
	append_gauge(out, "commitfs_charged_bytes",
		     "Bytes of write sets and open files, charged to users.",
		     (uint64_t)MAX(bytes, 0));
	append_gauge(out, "commitfs_read_set_items", "Items in read sets, charged to users.",
		     (uint64_t)MAX(reads, 0));
}

static void append_files(GString *out, struct fs *fs)
{
	uint64_t nodes, handles;

	pthread_mutex_lock(&fs->nodes.lock);
	nodes = g_hash_table_size(fs->nodes.by_id);
	handles = g_hash_table_size(fs->handles);
	pthread_mutex_unlock(&fs->nodes.lock);
	append_gauge(out, "commitfs_nodes", "Files and directories that the kernel holds.", nodes);
	append_gauge(out, "commitfs_open_files", "Open files and directories.", handles);
	append_gauge(out, "commitfs_sessions_open", "Live files opened for writing.",
		     atomic_number(&fs->sessions));
	append_counter(out, "commitfs_sessions_lost_total",
		       "Sessions of writers that were killed, discarded.",
		       atomic_number(&fs->lost_sessions));
	append_counter(out, "commitfs_blind_flushes_total",
		       "Commits at a FLUSH whose process's descriptors could not be read.",
		       atomic_number(&fs->blind_flushes));
}

/* ---- The store ------------------------------------------------------------------ */

static void append_store(GString *out, struct fs *fs, const struct store_status *status)
{
	uint64_t total_bytes, free_bytes;

	store_get_space(fs->store, &total_bytes, &free_bytes);
	append_gauge(out, "commitfs_revision", "The revision of the store.", status->revision);
	append_gauge(out, "commitfs_oldest_revision", "The first revision from which all are kept.",
		     status->oldest_revision);
	append_gauge(out, "commitfs_keys", "Keys, directories included, estimated.", status->keys);
	append_gauge(out, "commitfs_disk_bytes", "What the store takes on the disk.",
		     status->disk_bytes);
	append_gauge(out, "commitfs_disk_free_bytes", "What is free on that disk; 0: not known.",
		     free_bytes);
	append_gauge(out, "commitfs_read_only", "1 after the store failed while writing.",
		     status->read_only);
}

struct statistics {
	GString *out;
	char *family; /* the one begun last */
};

static void append_statistic(const struct store_statistic *statistic, void *arg)
{
	struct statistics *statistics = arg;
	g_autofree char *name = g_strconcat("commitfs_", statistic->name, NULL);

	if (g_strcmp0(name, statistics->family) != 0) {
		exposition_family(statistics->out, name, statistic->counter ? "counter" : "gauge",
				  statistic->help);
		g_free(statistics->family);
		statistics->family = g_strdup(name);
	}
	exposition_sample(statistics->out, name, statistic->label, statistic->value,
			  statistic->number);
}

/* ---- The process ---------------------------------------------------------------- */

/* A field of /proc/self/statm, in pages: 0 all, 1 resident. 0 when it cannot be read. */
static uint64_t memory_bytes(int field)
{
	g_autofree char *text = NULL;
	g_auto(GStrv) fields = NULL;

	if (!g_file_get_contents("/proc/self/statm", &text, NULL, NULL))
		return 0;
	fields = g_strsplit(text, " ", -1);
	if ((int)g_strv_length(fields) <= field)
		return 0;
	return g_ascii_strtoull(fields[field], NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void append_process(GString *out, struct fs *fs)
{
	append_gauge(out, "process_resident_memory_bytes", "Resident memory.", memory_bytes(1));
	append_gauge(out, "process_virtual_memory_bytes", "Virtual memory.", memory_bytes(0));
	append_gauge(out, "commitfs_mounted_timestamp_seconds", "When it was mounted.",
		     (uint64_t)(fs->mounted_ns / 1000000000));
	exposition_family(out, "commitfs_build_info", "gauge", "1; the label tells the version.");
	exposition_sample(out, "commitfs_build_info", "version", COMMITFS_VERSION, 1);
	exposition_family(out, "commitfs_store_info", "gauge", "1; the label tells the store.");
	exposition_sample(out, "commitfs_store_info", "path", fs->options.source, 1);
}

GString *metrics_text(struct fs *fs)
{
	struct statistics statistics = { .out = g_string_new(NULL) };
	struct store_status status;

	store_get_status(fs->store, &status);
	append_requests(statistics.out, fs);
	append_commits(statistics.out, fs, &status);
	append_transactions(statistics.out, fs);
	append_files(statistics.out, fs);
	append_store(statistics.out, fs, &status);
	store_visit_statistics(fs->store, append_statistic, &statistics);
	append_process(statistics.out, fs);
	g_free(statistics.family);
	return statistics.out;
}
