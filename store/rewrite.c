/* Giving space back: having RocksDB rewrite tables now, not at a time of its own.
 *
 * A call of RocksDB's for that cannot be given a size, only keys; and it rewrites every
 * table it touches. So the tables of the lowest level, which hold most of a family, say
 * where to cut, and each call rewrites one of them with what lies above it. */
#include "store/compact.h"
#include "store/local.h"

#include <errno.h>
#include <string.h>

/* What a step needs for a while: of history and log less than what is kept back for this
 * on a full disk. */
#define STEP_BYTES ((uint64_t)24 * 1024 * 1024)
#define KEYS_STEP_BYTES ((uint64_t)160 * 1024 * 1024)

/* RocksDB's BottommostLevelCompaction, which C has no names for: whether tables of the lowest
 * level are rewritten where nothing lies above them. */
enum { BOTTOMMOST_SKIP = 0, BOTTOMMOST_FORCE_OPTIMIZED = 3 };

static void compact_range(const struct layout *layout, enum family family, bool all,
			  const char *first, size_t first_size, const char *last, size_t last_size)
{
	rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();

	/* Others, which keep writing possible, go on beside it. */
	rocksdb_compactoptions_set_exclusive_manual_compaction(options, 0);
	rocksdb_compactoptions_set_bottommost_level_compaction(
		options, all ? BOTTOMMOST_FORCE_OPTIMIZED : BOTTOMMOST_SKIP);
	rocksdb_compact_range_cf_opt(layout->db, layout->families[family], options, first,
				     first_size, last, last_size);
	rocksdb_compactoptions_destroy(options);
}

static int compare_cuts(gconstpointer left, gconstpointer right)
{
	return g_bytes_compare(*(GBytes *const *)left, *(GBytes *const *)right);
}

/* The last keys of the tables of the lowest level, in order, as GBytes. */
static GPtrArray *find_cuts(const struct layout *layout, enum family family)
{
	const rocksdb_livefiles_t *files = rocksdb_livefiles(layout->db);
	GPtrArray *cuts = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
	int lowest = 0;

	for (int i = 0; i < rocksdb_livefiles_count(files); i++) {
		int level = rocksdb_livefiles_level(files, i);
		const char *key;
		size_t size;

		if (level == 0 || strcmp(rocksdb_livefiles_column_family_name(files, i),
					 layout_family_name(family)) != 0)
			continue;
		if (level > lowest)
			g_ptr_array_set_size(cuts, 0);
		lowest = MAX(level, lowest);
		if (level < lowest)
			continue;
		key = rocksdb_livefiles_largestkey(files, i, &size);
		g_ptr_array_add(cuts, g_bytes_new(key, size));
	}
	rocksdb_livefiles_destroy(files);
	g_ptr_array_sort(cuts, compare_cuts);
	return cuts;
}

int compactor_rewrite(struct compactor *compactor, enum family family)
{
	struct local *local = compactor->local;
	g_autoptr(GPtrArray) cuts = find_cuts(&local->layout, family);
	uint64_t step_bytes = family == FAMILY_KEYS ? KEYS_STEP_BYTES : STEP_BYTES;
	const char *first = NULL;
	size_t first_size = 0;

	for (guint i = 0; i <= cuts->len; i++) {
		const char *last = NULL;
		size_t last_size = 0;

		if (compactor_is_stopping(compactor))
			return -ECANCELED;
		if (local_free_bytes(local) < step_bytes)
			return -ENOSPC;
		if (i < cuts->len)
			last = g_bytes_get_data(cuts->pdata[i], &last_size);
		compact_range(&local->layout, family, false, first, first_size, last, last_size);
		first = last;
		first_size = last_size;
	}
	return 0;
}

void compactor_rewrite_all(const struct layout *layout, enum family family)
{
	compact_range(layout, family, true, NULL, 0, NULL, 0);
}

void compactor_rewrite_keys(struct compactor *compactor, enum family family, const char *first,
			    size_t first_size, const char *last, size_t last_size)
{
	compact_range(&compactor->local->layout, family, true, first, first_size, last, last_size);
}
