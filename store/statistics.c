/* Numbers of RocksDB: its properties, which cost something only when they are asked for.
 * Its tickers are left off: counting them made a lookup a fifth slower (2.2 to 2.7 us) and a
 * commit of two keys a twentieth. */
#include "store/statistics.h"

#include <stdio.h>
#include <string.h>

struct number {
	const char *source; /* what RocksDB calls it */
	const char *name;
	const char *help;
	bool counter;
};

/* Of each column family. */
static const struct number family_properties[] = {
	{ "rocksdb.estimate-num-keys", "rocksdb_estimated_keys", "Keys, estimated.", false },
	{ "rocksdb.cur-size-all-mem-tables", "rocksdb_memtable_bytes",
	  "Memory of what is not yet in tables.", false },
	{ "rocksdb.live-sst-files-size", "rocksdb_table_bytes", "Size of tables in use.", false },
	{ "rocksdb.estimate-table-readers-mem", "rocksdb_table_reader_bytes",
	  "Memory of indexes and filters of open tables.", false },
	{ "rocksdb.estimate-pending-compaction-bytes", "rocksdb_pending_compaction_bytes",
	  "What compaction has yet to rewrite, estimated.", false },
};

/* Of the database as a whole. */
static const struct number properties[] = {
	{ "rocksdb.block-cache-usage", "rocksdb_block_cache_bytes", "Memory of the block cache.",
	  false },
	{ "rocksdb.block-cache-capacity", "rocksdb_block_cache_capacity_bytes",
	  "What the block cache may take.", false },
	{ "rocksdb.num-running-flushes", "rocksdb_running_flushes", "Flushes under way.", false },
	{ "rocksdb.num-running-compactions", "rocksdb_running_compactions",
	  "Compactions under way.", false },
	{ "rocksdb.num-snapshots", "rocksdb_snapshots", "Snapshots that are open.", false },
	{ "rocksdb.is-write-stopped", "rocksdb_write_stopped", "Whether writing has to wait.",
	  false },
	{ "rocksdb.actual-delayed-write-rate", "rocksdb_delayed_write_rate",
	  "Bytes a second that writing is slowed down to; 0: not slowed down.", false },
	{ "rocksdb.background-errors", "rocksdb_background_errors_total",
	  "Flushes and compactions that failed.", true },
};

struct visitor {
	store_statistic_fn *visit;
	void *arg;
};

static void tell(const struct visitor *visitor, const struct number *what, const char *label,
		 const char *value, uint64_t number)
{
	const struct store_statistic statistic = {
		what->name, what->help, what->counter, label, value, number,
	};

	visitor->visit(&statistic, visitor->arg);
}

static void visit_families(const struct layout *layout, const struct visitor *visitor)
{
	for (size_t i = 0; i < G_N_ELEMENTS(family_properties); i++) {
		for (int family = FAMILY_KEYS; family < FAMILY_COUNT; family++) {
			uint64_t number = 0;

			if (rocksdb_property_int_cf(layout->db, layout->families[family],
						    family_properties[i].source, &number) == 0)
				tell(visitor, &family_properties[i], "family",
				     layout_family_name((enum family)family), number);
		}
	}
}

/* Files of all families together; levels that none has are not told. */
static void visit_levels(const struct layout *layout, const struct visitor *visitor)
{
	static const struct number files = { NULL, "rocksdb_files", "Tables, by level.", false };

	for (int level = 0;; level++) {
		g_autofree char *property = g_strdup_printf("rocksdb.num-files-at-level%d", level);
		g_autofree char *name = g_strdup_printf("%d", level);
		uint64_t sum = 0;

		for (int family = FAMILY_KEYS; family < FAMILY_COUNT; family++) {
			char *text = rocksdb_property_value_cf(layout->db, layout->families[family],
							       property);

			if (!text)
				return; /* there are no more levels */
			sum += g_ascii_strtoull(text, NULL, 10);
			rocksdb_free(text);
		}
		tell(visitor, &files, "level", name, sum);
	}
}

/* The number behind `words` in a text; 0: it has none. */
static double number_behind(const char *text, const char *words)
{
	const char *at = text ? strstr(text, words) : NULL;

	return at ? g_ascii_strtod(at + strlen(words), NULL) : 0;
}

#define GIB (1024.0 * 1024 * 1024)

/* "Cumulative stall: HH:MM:S.mmm" */
static uint64_t stall_microseconds(const char *text)
{
	const char *at = text ? strstr(text, "Cumulative stall: ") : NULL;
	unsigned hours = 0, minutes = 0;
	int seconds_at = 0;

	if (!at || sscanf(at, "Cumulative stall: %u:%u:%n", &hours, &minutes, &seconds_at) < 2)
		return 0;
	return (uint64_t)(hours * 60 + minutes) * 60000000 +
	       (uint64_t)(g_ascii_strtod(at + seconds_at, NULL) * 1e6);
}

/* Told as text only, in units of 2^30 bytes with two or three digits behind the point. */
static void visit_texts(const struct layout *layout, const struct visitor *visitor)
{
	static const struct number flushed = { NULL, "rocksdb_flush_bytes_total",
					       "Bytes written by flushes, to about 1 MiB.", true };
	static const struct number written = {
		NULL, "rocksdb_table_write_bytes_total",
		"Bytes written by flushes and compactions, to about 10 MiB.", true
	};
	static const struct number stalled = {
		NULL, "rocksdb_stall_microseconds_total",
		"Time that writing waited for flushes and compactions, to the millisecond.", true
	};
	double flushed_gib = 0, written_gib = 0;
	char *text;

	for (int family = FAMILY_KEYS; family < FAMILY_COUNT; family++) {
		text = rocksdb_property_value_cf(layout->db, layout->families[family],
						 "rocksdb.cfstats-no-file-histogram");
		flushed_gib += number_behind(text, "Flush(GB): cumulative ");
		written_gib += number_behind(text, "Cumulative compaction: ");
		rocksdb_free(text);
	}
	tell(visitor, &flushed, NULL, NULL, (uint64_t)(flushed_gib * GIB));
	tell(visitor, &written, NULL, NULL, (uint64_t)(written_gib * GIB));
	text = rocksdb_property_value(layout->db, "rocksdb.dbstats");
	tell(visitor, &stalled, NULL, NULL, stall_microseconds(text));
	rocksdb_free(text);
}

/* ---- Blocks read ---------------------------------------------------------------- */

/* RocksDB counts for each thread what it reads, anyway. A thread adds what is new to these,
 * which are of all stores of the process. */
static uint64_t cache_hits;  /* atomic */
static uint64_t blocks_read; /* atomic */

struct gathered {
	rocksdb_perfcontext_t *context; /* of this thread */
	uint64_t cache_hits;
	uint64_t blocks_read;
};

static void gathered_free(void *data)
{
	struct gathered *gathered = data;

	rocksdb_perfcontext_destroy(gathered->context);
	g_free(gathered);
}

static void add_new(uint64_t *all, uint64_t *before, uint64_t now)
{
	if (now > *before)
		__atomic_fetch_add(all, now - *before, __ATOMIC_RELAXED);
	*before = now;
}

void statistics_gather(void)
{
	static GPrivate of_thread = G_PRIVATE_INIT(gathered_free);
	struct gathered *gathered = g_private_get(&of_thread);

	if (!gathered) {
		gathered = g_new0(struct gathered, 1);
		gathered->context = rocksdb_perfcontext_create();
		g_private_set(&of_thread, gathered);
	}
	add_new(&cache_hits, &gathered->cache_hits,
		rocksdb_perfcontext_metric(gathered->context, rocksdb_block_cache_hit_count));
	add_new(&blocks_read, &gathered->blocks_read,
		rocksdb_perfcontext_metric(gathered->context, rocksdb_block_read_count));
}

static void visit_blocks(const struct visitor *visitor)
{
	static const struct number hits = { NULL, "rocksdb_block_cache_hits_total",
					    "Blocks that readers found in the cache.", true };
	static const struct number misses = { NULL, "rocksdb_block_cache_misses_total",
					      "Blocks that readers had to read.", true };

	tell(visitor, &hits, NULL, NULL, __atomic_load_n(&cache_hits, __ATOMIC_RELAXED));
	tell(visitor, &misses, NULL, NULL, __atomic_load_n(&blocks_read, __ATOMIC_RELAXED));
}

void statistics_visit(const struct layout *layout, store_statistic_fn *visit, void *arg)
{
	const struct visitor visitor = { visit, arg };

	visit_families(layout, &visitor);
	visit_levels(layout, &visitor);
	for (size_t i = 0; i < G_N_ELEMENTS(properties); i++) {
		uint64_t number = 0;

		if (rocksdb_property_int(layout->db, properties[i].source, &number) == 0)
			tell(&visitor, &properties[i], NULL, NULL, number);
	}
	visit_blocks(&visitor);
	visit_texts(layout, &visitor);
}
