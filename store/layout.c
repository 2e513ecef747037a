/* RocksDB: opening it with the settings that did well, reading and writing bytes. What they
 * mean is in stored.c.
 *
 * Settings that matter for safety:
 * - The information log is kept down to fatal messages. RocksDB aborts the process when it
 *   cannot write that log, so a full disk would have killed the store.
 * - The write-ahead log is recovered up to a torn last record, and anything else wrong with
 *   it refuses to open. RocksDB's default stops at the first damaged record instead and
 *   opens as if nothing were missing.
 * - The manifest tracks the sizes of synced logs, so that a log cut short or lost is found.
 * - The log is bounded, which bounds the time of opening after a crash (replaying takes
 *   some 3.4 us a record). */
#include "store/layout.h"

#include "store/codec.h"
#include "store/statistics.h"
#include "store/threads.h"

#include <errno.h>
#include <string.h>

#define MIB ((size_t)1024 * 1024)
#define WRITE_BUFFER_SIZE (16 * MIB)
#define ALL_WRITE_BUFFERS_SIZE (64 * MIB)
#define WAL_SIZE_MAX (24 * MIB)
#define BLOCK_CACHE_SIZE (48 * MIB)
/* RocksDB's at once: those that open tables, two that write them, a timer. */
#define OPENING_THREADS 15
#define DATABASE_THREADS (OPENING_THREADS + 3)
/* A directory that holds no logs, and can be listed. */
#define NO_LOGS "/proc/self/task"
#define INFO_LOG_FATAL 4
#define CHECKSUM_XXH3 4
/* Tables with many deletions in a row are compacted early: listing an emptied directory
 * reads all of them. */
#define DELETION_WINDOW 10000
#define DELETION_TRIGGER 5000
/* Compaction of history rewrites a table with all it overlaps in one go: smaller ones make
 * smaller steps. */
#define HISTORY_TABLE_SIZE (8 * MIB)
#define HISTORY_LEVEL_SIZE (64 * MIB)

static const char *const family_names[FAMILY_COUNT] = {
	[FAMILY_DEFAULT] = "default", [FAMILY_KEYS] = "keys", [FAMILY_HISTORY] = "history",
	[FAMILY_LOG] = "log",	      [FAMILY_META] = "meta",
};

const char *layout_family_name(enum family family)
{
	return family_names[family];
}

int layout_result(const char *action, char *error)
{
	if (!error)
		return 0;
	g_warning("store: cannot %s: %s", action, error);
	rocksdb_free(error);
	return -EIO;
}

/* RocksDB counts every comparison of keys for each thread, which nobody reads: a fifth of
 * the instructions of a commit. */
static void stop_counting(void)
{
	static _Thread_local bool stopped;

	if (stopped)
		return;
	rocksdb_set_perf_level(rocksdb_disable);
	stopped = true;
}

/* ---- Opening -------------------------------------------------------------------- */

/* What has no call of its own. Those who read must not turn the tracking of logs off: RocksDB
 * would write that down, and fails an assertion. Where logs are missing, "best efforts" open
 * tables without them. */
static const char *option_text(enum layout_mode mode)
{
	switch (mode) {
	case LAYOUT_OPEN_REST:
		return "track_and_verify_wals_in_manifest=false";
	case LAYOUT_TABLES:
		return "track_and_verify_wals_in_manifest=true;best_efforts_recovery=true";
	default:
		return "track_and_verify_wals_in_manifest=true";
	}
}

static rocksdb_options_t *new_database_options(struct layout *layout, enum layout_mode mode)
{
	rocksdb_options_t *base = rocksdb_options_create();
	rocksdb_options_t *options = rocksdb_options_create();
	char *error = NULL;

	rocksdb_get_options_from_string(base, option_text(mode), options, &error);
	layout_result("set options", error);
	rocksdb_options_destroy(base);
	if (layout->env)
		rocksdb_options_set_env(options, layout->env);
	rocksdb_options_set_create_if_missing(options, mode == LAYOUT_CREATE);
	rocksdb_options_set_create_missing_column_families(options, mode == LAYOUT_CREATE);
	rocksdb_options_set_info_log_level(options, INFO_LOG_FATAL);
	rocksdb_options_set_keep_log_file_num(options, 2);
	rocksdb_options_set_stats_dump_period_sec(options, 0);
	rocksdb_options_set_wal_recovery_mode(
		options, mode == LAYOUT_SALVAGE ? rocksdb_point_in_time_recovery :
						  rocksdb_tolerate_corrupted_tail_records_recovery);
	if (mode == LAYOUT_TABLES)
		rocksdb_options_set_wal_dir(options, NO_LOGS);
	rocksdb_options_set_max_total_wal_size(options, WAL_SIZE_MAX);
	rocksdb_options_set_db_write_buffer_size(options, ALL_WRITE_BUFFERS_SIZE);
	rocksdb_options_set_max_open_files(options, -1);
	rocksdb_options_set_max_background_jobs(options, 2);
	rocksdb_options_set_max_file_opening_threads(options,
						     OPENING_THREADS + 1); /* and its own */
	rocksdb_options_set_bytes_per_sync(options, MIB); /* no commit waits behind a table */
	return options;
}

static rocksdb_options_t *new_family_options(struct layout *layout, enum family family,
					     enum layout_mode mode)
{
	rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
	rocksdb_options_t *options = rocksdb_options_create();

	rocksdb_block_based_options_set_block_cache(table, layout->cache);
	rocksdb_block_based_options_set_checksum(table, CHECKSUM_XXH3);
	rocksdb_block_based_options_set_format_version(table, 5);
	/* Most lookups of the committer are for keys that may be absent. */
	if (family == FAMILY_KEYS)
		rocksdb_block_based_options_set_filter_policy(
			table, rocksdb_filterpolicy_create_bloom_full(10));
	rocksdb_options_set_block_based_table_factory(options, table);
	rocksdb_block_based_options_destroy(table);
	rocksdb_options_set_disable_auto_compactions(options, mode == LAYOUT_COPY);
	rocksdb_options_set_write_buffer_size(options, WRITE_BUFFER_SIZE);
	rocksdb_options_set_max_write_buffer_number(options, 2);
	rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
	rocksdb_options_set_compression(options, rocksdb_lz4_compression);
	rocksdb_options_set_bottommost_compression(options, rocksdb_zstd_compression);
	if (family == FAMILY_HISTORY || family == FAMILY_LOG) {
		rocksdb_options_set_target_file_size_base(options, HISTORY_TABLE_SIZE);
		rocksdb_options_set_max_bytes_for_level_base(options, HISTORY_LEVEL_SIZE);
	}
	rocksdb_options_add_compact_on_deletion_collector_factory(options, DELETION_WINDOW,
								  DELETION_TRIGGER);
	return options;
}

static void free_options(struct layout *layout)
{
	for (int i = 0; i < FAMILY_COUNT; i++)
		g_clear_pointer(&layout->family_options[i], rocksdb_options_destroy);
	g_clear_pointer(&layout->options, rocksdb_options_destroy);
	g_clear_pointer(&layout->newest, rocksdb_readoptions_destroy);
	g_clear_pointer(&layout->cache, rocksdb_cache_destroy);
	g_clear_pointer(&layout->env, rocksdb_env_destroy);
}

int layout_open(struct layout *layout, const char *path, enum layout_mode mode, char **ret_error)
{
	const rocksdb_options_t *options[FAMILY_COUNT];
	char *error = NULL;
	int r;

	*layout = (struct layout){ 0 };
	r = threads_try(DATABASE_THREADS);
	if (r < 0) {
		*ret_error = g_strdup_printf("cannot start a thread: %s", g_strerror(-r));
		return r;
	}
	layout->env = path ? NULL : rocksdb_create_mem_env();
	layout->cache = rocksdb_cache_create_lru(BLOCK_CACHE_SIZE);
	layout->options = new_database_options(layout, mode);
	layout->newest = rocksdb_readoptions_create();
	for (int i = 0; i < FAMILY_COUNT; i++)
		options[i] = layout->family_options[i] =
			new_family_options(layout, (enum family)i, mode);
	if (!path)
		path = "/store";
	if (mode == LAYOUT_SALVAGE || mode == LAYOUT_READ || mode == LAYOUT_TABLES)
		layout->db = rocksdb_open_for_read_only_column_families(layout->options, path,
									FAMILY_COUNT, family_names,
									options, layout->families,
									0, &error);
	else
		layout->db = rocksdb_open_column_families(layout->options, path, FAMILY_COUNT,
							  family_names, options, layout->families,
							  &error);
	if (!error)
		return 0;
	*ret_error = g_strdup(error);
	rocksdb_free(error);
	free_options(layout);
	return -EIO;
}

/* True when RocksDB did not begin to write. A full disk that made it fail to write a table
 * in the background stops it from writing anything, until it finds, some seconds after
 * there is space, that it can write that table; what it says until then is the error of the
 * table. An error of the batch itself names the log. Texts are all there is to tell. */
static bool was_refused_for_space(const char *error)
{
	return error && strstr(error, "No space left") && strstr(error, ".sst") &&
	       !strstr(error, ".log");
}

int layout_flush(const struct layout *layout)
{
	rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
	bool full = false;
	int r = 0;

	rocksdb_flushoptions_set_wait(options, 1);
	for (int i = 0; i < FAMILY_COUNT && r == 0; i++) {
		char *error = NULL;

		rocksdb_flush_cf(layout->db, options, layout->families[i], &error);
		full = was_refused_for_space(error);
		r = layout_result("flush the store", error);
	}
	rocksdb_flushoptions_destroy(options);
	return full ? -ENOSPC : r;
}

uint64_t layout_memory_bytes(const struct layout *layout)
{
	uint64_t bytes = 0;

	for (int i = 0; i < FAMILY_COUNT; i++) {
		uint64_t some = 0;

		rocksdb_property_int_cf(layout->db, layout->families[i],
					"rocksdb.cur-size-all-mem-tables", &some);
		bytes += some;
	}
	return bytes;
}

void layout_close(struct layout *layout, bool flush)
{
	if (!layout->db)
		return;
	if (flush)
		layout_flush(layout); /* the write-ahead log has it all the same */
	for (int i = 0; i < FAMILY_COUNT; i++)
		rocksdb_column_family_handle_destroy(layout->families[i]);
	rocksdb_close(layout->db);
	layout->db = NULL;
	free_options(layout);
}

/* ---- Keys and numbers ----------------------------------------------------------- */

void stored_key_set(struct stored_key *stored, const char *key, bool directory)
{
	size_t length = strlen(key);

	g_assert(length <= STORE_KEY_MAX);
	memcpy(stored->bytes, key, length);
	if (directory)
		stored->bytes[length++] = '/';
	stored->size = length;
}

void stored_key_add_revision(struct stored_key *stored, uint64_t revision)
{
	stored->bytes[stored->size] = '\0';
	layout_encode_number(~revision, stored->bytes + stored->size + 1);
	stored->size += 1 + sizeof(revision);
}

void layout_encode_number(uint64_t number, char ret[static sizeof(uint64_t)])
{
	encode_u64((guint8 *)ret, number);
}

uint64_t layout_decode_number(const char bytes[static sizeof(uint64_t)])
{
	struct reader reader = reader_of(bytes, sizeof(uint64_t));

	return read_u64(&reader);
}

/* ---- Reading -------------------------------------------------------------------- */

int layout_get(const struct layout *layout, const rocksdb_readoptions_t *options,
	       enum family family, const void *key, size_t key_size, rocksdb_pinnableslice_t **ret)
{
	rocksdb_pinnableslice_t *found;
	char *error = NULL;

	stop_counting();
	found = rocksdb_get_pinned_cf(layout->db, options, layout->families[family], key, key_size,
				      &error);
	statistics_gather();
	if (error)
		return layout_result("read", error);
	if (!found)
		return -ENOENT;
	*ret = found;
	return 0;
}

/* ---- Writing -------------------------------------------------------------------- */

int layout_write(const struct layout *layout, rocksdb_writebatch_t *batch, bool sync)
{
	rocksdb_writeoptions_t *options = rocksdb_writeoptions_create();
	char *error = NULL;

	stop_counting();
	rocksdb_writeoptions_set_sync(options, sync);
	rocksdb_write(layout->db, options, batch, &error);
	rocksdb_writeoptions_destroy(options);
	if (was_refused_for_space(error)) {
		layout_result("write for the time being", error);
		return -ENOSPC;
	}
	return layout_result("write, the store is read-only from now on", error);
}
