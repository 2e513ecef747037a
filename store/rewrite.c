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
#define LEVELS 7 /* RocksDB's default */

/* RocksDB's BottommostLevelCompaction, which C has no names for: whether tables of the lowest
 * level are rewritten where nothing lies above them. */
enum { BOTTOMMOST_SKIP = 0, BOTTOMMOST_FORCE_OPTIMIZED = 3 };

static void compact_range(const struct layout *layout, enum family family, bool all,
			  const struct key_range *range)
{
	rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();

	/* Others, which keep writing possible, go on beside it. */
	rocksdb_compactoptions_set_exclusive_manual_compaction(options, 0);
	rocksdb_compactoptions_set_bottommost_level_compaction(
		options, all ? BOTTOMMOST_FORCE_OPTIMIZED : BOTTOMMOST_SKIP);
	rocksdb_compact_range_cf_opt(layout->db, layout->families[family], options, range->first,
				     range->first_size, range->last, range->last_size);
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

static uint64_t step_bytes(enum family family)
{
	return family == FAMILY_KEYS ? KEYS_STEP_BYTES : STEP_BYTES;
}

int compactor_rewrite(struct compactor *compactor, enum family family)
{
	struct local *local = compactor->local;
	g_autoptr(GPtrArray) cuts = find_cuts(&local->layout, family);
	struct key_range step = { 0 };

	for (guint i = 0; i <= cuts->len; i++) {
		step.last = NULL;
		step.last_size = 0;
		if (compactor_is_stopping(compactor))
			return -ECANCELED;
		if (local_free_bytes(local) < step_bytes(family))
			return -ENOSPC;
		if (i < cuts->len)
			step.last = g_bytes_get_data(cuts->pdata[i], &step.last_size);
		compact_range(&local->layout, family, false, &step);
		step.first = step.last;
		step.first_size = step.last_size;
	}
	return 0;
}

void compactor_rewrite_all(const struct layout *layout, enum family family)
{
	const struct key_range all = { 0 };

	compact_range(layout, family, true, &all);
}

/* ---- Some keys ------------------------------------------------------------------ */

static int compare_keys(const char *left, size_t left_size, const char *right, size_t right_size)
{
	int order = memcmp(left, right, MIN(left_size, right_size));

	return order != 0 ? order : (left_size > right_size) - (left_size < right_size);
}

/* False: it is of another family. The keys are borrowed of `files`. */
static bool get_table(const rocksdb_livefiles_t *files, int i, enum family family,
		      struct key_range *ret)
{
	ret->first = rocksdb_livefiles_smallestkey(files, i, &ret->first_size);
	ret->last = rocksdb_livefiles_largestkey(files, i, &ret->last_size);
	return strcmp(rocksdb_livefiles_column_family_name(files, i), layout_family_name(family)) ==
	       0;
}

static bool overlaps(const struct key_range *a, const struct key_range *b)
{
	return compare_keys(a->first, a->first_size, b->last, b->last_size) <= 0 &&
	       compare_keys(b->first, b->first_size, a->last, a->last_size) <= 0;
}

static void widen(struct key_range *range, const struct key_range *by)
{
	if (compare_keys(by->first, by->first_size, range->first, range->first_size) < 0) {
		range->first = by->first;
		range->first_size = by->first_size;
	}
	if (compare_keys(by->last, by->last_size, range->last, range->last_size) > 0) {
		range->last = by->last;
		range->last_size = by->last_size;
	}
}

/* Of the tables of a level that are rewritten with a range: those of the first level, which
 * lie over each other, all; of others those that it overlaps. It is widened to what they hold:
 * what goes down goes into all of the next level that lies below. */
static uint64_t add_level(const rocksdb_livefiles_t *files, enum family family, int level,
			  struct key_range *range)
{
	struct key_range reach = *range, table;
	uint64_t bytes = 0;

	for (int i = 0; i < rocksdb_livefiles_count(files); i++) {
		if (rocksdb_livefiles_level(files, i) != level ||
		    !get_table(files, i, family, &table) || (level > 0 && !overlaps(&table, range)))
			continue;
		bytes += rocksdb_livefiles_size(files, i);
		widen(&reach, &table);
	}
	*range = reach;
	return bytes;
}

uint64_t compactor_rewrite_bytes(const struct layout *layout, enum family family,
				 const struct key_range *range)
{
	const rocksdb_livefiles_t *files = rocksdb_livefiles(layout->db);
	struct key_range reach = *range;
	uint64_t bytes = 0;

	for (int level = 0; level < LEVELS; level++)
		bytes += add_level(files, family, level, &reach);
	rocksdb_livefiles_destroy(files);
	return MIN(bytes, step_bytes(family));
}

/* How many jobs failed that RocksDB did in the background. */
static uint64_t count_failures(const struct layout *layout)
{
	uint64_t count = 0;

	rocksdb_property_int(layout->db, "rocksdb.background-errors", &count);
	return count;
}

/* RocksDB does not tell by C whether it could rewrite them: when any job failed meanwhile, it is
 * taken to be this one. Where there is less room than a rewrite needs at most, it was for want
 * of that. */
int compactor_rewrite_keys(struct compactor *compactor, enum family family,
			   const struct key_range *range)
{
	const struct layout *layout = &compactor->local->layout;
	uint64_t before = count_failures(layout);

	compact_range(layout, family, true, range);
	if (compactor_is_stopping(compactor))
		return -ECANCELED;
	if (count_failures(layout) == before)
		return 0;
	return local_free_bytes(compactor->local) < step_bytes(family) ? -ENOSPC : -EIO;
}
