/* One pass of the compactor.
 *
 * History is read from one end to the other. A record that was superseded at or before
 * oldest_revision is seen by no revision from there on; it goes, unless a revision with a
 * name lies in the time it was there for. Log entries before oldest_revision go. Then the
 * tables that this concerns are rewritten where it is worth it: RocksDB would do so by
 * itself, but at a time of its own.
 *
 * Each step is short and holds nothing: so neither commits nor readers wait for it, and
 * what its iterator keeps from being freed is not kept long. */
#include "store/codec.h"
#include "store/compact.h"
#include "store/local.h"

#include <errno.h>
#include <string.h>

#define STEP_RECORDS 2000
#define STEP_BYTES ((uint64_t)4 * 1024 * 1024)
/* Tables are rewritten when so much of what they hold was removed: one part in four. */
#define REWRITE_PART 4
#define REWRITE_MIN_BYTES ((uint64_t)256 * 1024)

struct pass {
	struct compactor *compactor;
	const GArray *requests;
	struct local *local;
	const struct layout *layout;
	rocksdb_readoptions_t *options;
	uint64_t oldest;
	GArray *kept;	  /* revisions that have a name */
	GByteArray *next; /* key to go on from */
	rocksdb_writebatch_t *batch;
	uint64_t read_bytes, removed_bytes;
	struct compaction progress;
};

static void tell(struct pass *pass)
{
	compactor_tell(pass->compactor, &pass->progress,
		       (const struct compaction_request *)(void *)pass->requests->data,
		       pass->requests->len);
}

/* ---- Steps ---------------------------------------------------------------------- */

/* What becomes of what lies at an iterator, and of all behind it. */
enum verdict { VERDICT_KEEP, VERDICT_REMOVE, VERDICT_END, VERDICT_DAMAGED };

typedef enum verdict judge_fn(struct pass *pass, const rocksdb_iterator_t *iterator);

static void count_record(struct pass *pass, enum family family, const rocksdb_iterator_t *iterator,
			 bool remove)
{
	size_t key_size, size;
	const char *key = rocksdb_iter_key(iterator, &key_size);

	rocksdb_iter_value(iterator, &size);
	pass->progress.records_read++;
	pass->read_bytes += key_size + size;
	if (!remove)
		return;
	rocksdb_writebatch_delete_cf(pass->batch, pass->layout->families[family], key, key_size);
	pass->progress.records_removed++;
	pass->removed_bytes += key_size + size;
}

static int read_step(struct pass *pass, enum family family, judge_fn *judge,
		     rocksdb_iterator_t *iterator)
{
	uint64_t end_bytes = pass->read_bytes + STEP_BYTES;
	const char *key;
	size_t key_size;

	rocksdb_iter_seek(iterator, (const char *)pass->next->data, pass->next->len);
	for (int i = 0; i < STEP_RECORDS && pass->read_bytes < end_bytes; i++) {
		enum verdict verdict;

		if (!rocksdb_iter_valid(iterator))
			return 0;
		verdict = judge(pass, iterator);
		if (verdict == VERDICT_END)
			return 0;
		if (verdict == VERDICT_DAMAGED)
			return -EIO;
		count_record(pass, family, iterator, verdict == VERDICT_REMOVE);
		rocksdb_iter_next(iterator);
	}
	if (!rocksdb_iter_valid(iterator))
		return 0;
	key = rocksdb_iter_key(iterator, &key_size);
	g_byte_array_set_size(pass->next, 0);
	g_byte_array_append(pass->next, (const guint8 *)key, (guint)key_size);
	return 1;
}

static int write_step(struct pass *pass)
{
	size_t size;

	if (rocksdb_writebatch_count(pass->batch) == 0)
		return 0;
	rocksdb_writebatch_data(pass->batch, &size);
	if (!local_has_space(local_free_bytes(pass->local), size, false))
		return -ENOSPC;
	return local_write(pass->local, pass->batch, false);
}

/* 1: there is more. */
static int make_step(struct pass *pass, enum family family, judge_fn *judge)
{
	rocksdb_iterator_t *iterator;
	char *error = NULL;
	int more, r;

	rocksdb_writebatch_clear(pass->batch);
	iterator = rocksdb_create_iterator_cf(pass->layout->db, pass->options,
					      pass->layout->families[family]);
	more = read_step(pass, family, judge, iterator);
	rocksdb_iter_get_error(iterator, &error);
	rocksdb_iter_destroy(iterator);
	if (error)
		return layout_result("read on to compact", error);
	r = more < 0 ? more : write_step(pass);
	return r < 0 ? r : more;
}

static int walk_family(struct pass *pass, enum family family, judge_fn *judge)
{
	int r;

	g_byte_array_set_size(pass->next, 0);
	pass->read_bytes = pass->removed_bytes = 0;
	do {
		int64_t began_ns = compactor_clock_ns();

		if (compactor_is_stopping(pass->compactor))
			return -ECANCELED;
		r = make_step(pass, family, judge);
		tell(pass);
		/* Half of a processor is for others, where there are few. */
		g_usleep((gulong)((compactor_clock_ns() - began_ns) / 1000));
	} while (r == 1);
	if (r == 0 && pass->removed_bytes > REWRITE_MIN_BYTES &&
	    pass->removed_bytes > pass->read_bytes / REWRITE_PART)
		r = compactor_rewrite(pass->compactor, family);
	return r;
}

/* ---- What goes ------------------------------------------------------------------ */

static enum verdict judge_history(struct pass *pass, const rocksdb_iterator_t *iterator)
{
	size_t key_size;
	const char *key = rocksdb_iter_key(iterator, &key_size);
	struct reader reader;
	uint64_t superseded, first;

	if (layout_decode_superseded(pass->layout, iterator, &superseded) < 0 ||
	    key_size < sizeof(first))
		return VERDICT_DAMAGED;
	reader = reader_of(key + key_size - sizeof(first), sizeof(first));
	first = ~read_u64(&reader);
	if (superseded > pass->oldest || revisions_contain(pass->kept, first, superseded))
		return VERDICT_KEEP;
	return VERDICT_REMOVE;
}

static enum verdict judge_log(struct pass *pass, const rocksdb_iterator_t *iterator)
{
	size_t size;
	const char *key = rocksdb_iter_key(iterator, &size);
	struct reader reader = reader_of(key, size);
	uint64_t revision = read_u64(&reader);

	if (reader.failed)
		return VERDICT_DAMAGED;
	return revision < pass->oldest ? VERDICT_REMOVE : VERDICT_END;
}

/* True when a good part of what the tables of a family hold is older than what replaced
 * it: what commits leave behind in the tree itself. */
static bool is_wasteful(const struct layout *layout, enum family family)
{
	uint64_t live = 0, total = 0;

	rocksdb_property_int_cf(layout->db, layout->families[family],
				"rocksdb.estimate-live-data-size", &live);
	rocksdb_property_int_cf(layout->db, layout->families[family],
				"rocksdb.total-sst-files-size", &total);
	return total > live + REWRITE_MIN_BYTES && total - live > total / REWRITE_PART;
}

int compactor_pass(struct compactor *compactor, const GArray *requests)
{
	struct local *local = compactor->local;
	struct pass pass = {
		.compactor = compactor,
		.requests = requests,
		.local = local,
		.layout = &local->layout,
		.options = rocksdb_readoptions_create(),
		.next = g_byte_array_new(),
		.batch = rocksdb_writebatch_create(),
		.progress = { .running = true },
	};
	int r;

	/* In this order: a revision that is given a name after they were looked at is one that
	 * is kept anyway. */
	pass.oldest = local_oldest(local);
	pass.kept = snapshot_names_revisions(local);
	rocksdb_property_int_cf(local->layout.db, local->layout.families[FAMILY_HISTORY],
				"rocksdb.estimate-num-keys", &pass.progress.records_total);
	/* What is read once is not worth a place in the cache. */
	rocksdb_readoptions_set_fill_cache(pass.options, 0);
	tell(&pass);
	r = walk_family(&pass, FAMILY_HISTORY, judge_history);
	if (r == 0)
		r = walk_family(&pass, FAMILY_LOG, judge_log);
	if (r == 0 && pass.progress.records_removed && is_wasteful(pass.layout, FAMILY_KEYS)) {
		r = compactor_rewrite(compactor, FAMILY_KEYS);
		r = r == -ENOSPC ? 0 : r; /* nothing is left undone that anybody asked for */
	}
	rocksdb_readoptions_destroy(pass.options);
	rocksdb_writebatch_destroy(pass.batch);
	g_byte_array_unref(pass.next);
	g_array_unref(pass.kept);
	return r;
}
