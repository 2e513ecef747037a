/* The local engine: snapshots, reading, and what the store tells of itself. Opening is in
 * open.c, committing in committer.c. */
#include "store/local.h"

#include "store/checkpoint.h"
#include "store/evaluate.h"
#include "store/log_reader.h"
#include "store/overlay.h"
#include "store/program.h"
#include "store/seal.h"
#include "store/statistics.h"
#include "store/versions.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#define MIB ((uint64_t)1024 * 1024)
/* Kept back so that deleting, and RocksDB's own work, still find room on a full disk. */
#define GROWING_RESERVE (32 * MIB)
#define DELETING_RESERVE (8 * MIB)
/* Bytes on the disk, at worst and for a while, for each byte of a batch: in the log, in a
 * table, and in the table that one is compacted into. */
#define BATCH_FACTOR 3
/* How long, and for how many bytes written, the free space once seen is relied upon. What
 * is kept back covers what others may write in that time. */
#define SPACE_TIME_NS ((int64_t)10 * 1000000)
#define SPACE_BYTES MIB

static struct local *local_of(struct store *store)
{
	return (struct local *)store;
}

static const struct place *place_of(const struct snapshot *snapshot)
{
	return &((const struct local_snapshot *)snapshot)->place;
}

/* ---- Snapshots ------------------------------------------------------------------ */

static int take_snapshot(struct store *store, uint64_t revision, struct snapshot **ret)
{
	return snapshots_take(local_of(store), revision, ret);
}

static struct snapshot *get_head(struct store *store)
{
	return &local_of(store)->head.base;
}

static int get(struct snapshot *snapshot, const char *key, struct record **ret)
{
	struct cache *cache = local_of(snapshot->store)->committer.cache;

	*ret = cache_get(cache, key, snapshot->revision);
	return *ret ? 0 : place_get(place_of(snapshot), key, ret);
}

static int list(struct snapshot *snapshot, const char *directory, const char *after,
		snapshot_visit_fn *visit, void *arg)
{
	return place_list(place_of(snapshot), directory, after, visit, arg);
}

/* ---- Programs ------------------------------------------------------------------- */

static uint64_t deleted_revision(void *arg, const char *key)
{
	return history_deleted_revision(arg, key);
}

/* Evaluates on the newest state, aside from the committer: the compares, and with `gets` the
 * operations, none of which changes anything. */
static void evaluate_aside(struct store *store, const struct program *program, bool gets,
			   struct evaluation *evaluation)
{
	const struct overlay_limits none = { 0 };
	g_autoptr(snapshot) snapshot = NULL;
	g_autoptr(overlay) overlay = NULL;
	int r = take_snapshot(store, 0, &snapshot);

	if (r < 0) {
		evaluation_fail(evaluation, r);
		return;
	}
	overlay = overlay_new(snapshot, &none);
	evaluation->before = overlay;
	evaluation->arg = (void *)place_of(snapshot);
	evaluate_compares(evaluation, program);
	if (gets)
		evaluate_path(evaluation, program, overlay, 0);
	evaluation_finish(evaluation, snapshot->revision);
}

static void run_aside(struct store *store, const struct program *program, bool gets,
		      program_done_fn *done, void *arg)
{
	struct evaluation evaluation = { .deleted_revision = deleted_revision };

	evaluation_init(&evaluation);
	evaluate_aside(store, program, gets, &evaluation);
	done(&evaluation.result, arg);
	evaluation_done(&evaluation);
}

static void evaluate(struct store *store, const struct program *program, program_done_fn *done,
		     void *arg)
{
	run_aside(store, program, false, done, arg);
}

/* Who only looks does not keep those waiting who write: a snapshot is as true. */
static void submit(struct store *store, struct program *program, program_done_fn *done, void *arg)
{
	if (program_writes(program)) {
		committer_submit(&local_of(store)->committer, program, done, arg);
		return;
	}
	run_aside(store, program, true, done, arg);
	program_free(program);
}

/* ---- The log, and time ---------------------------------------------------------- */

static int read_log(struct store *store, uint64_t revision, struct log_entry **ret)
{
	return log_reader_get(local_of(store), revision, ret);
}

static int list_log(struct store *store, uint64_t from_revision, store_log_fn *visit, void *arg)
{
	return log_reader_list(local_of(store), from_revision, visit, arg);
}

static int get_log_span(struct store *store, uint64_t *ret_begin, uint64_t *ret_end)
{
	return log_reader_get_span(local_of(store), ret_begin, ret_end);
}

static int read_log_text(struct store *store, uint64_t offset, size_t size, GString *out)
{
	return log_reader_get_text(local_of(store), offset, size, out);
}

static int find_revision(struct store *store, int64_t time_ns, uint64_t *ret)
{
	return log_reader_find_revision(local_of(store), time_ns, ret);
}

static int read_history(struct store *store, const char *key, bool with_values,
			store_history_fn *visit, void *arg)
{
	return versions_visit(local_of(store), key, with_values, visit, arg);
}

static int name_snapshot(struct store *store, const char *name, uint64_t revision, uid_t uid,
			 uint64_t *ret)
{
	return snapshot_names_add(local_of(store), name, revision, uid, ret);
}

static int drop_snapshot(struct store *store, const char *name)
{
	return snapshot_names_drop(local_of(store), name);
}

static int find_snapshot(struct store *store, const char *name, uint64_t *ret)
{
	return snapshot_names_find(local_of(store), name, ret);
}

static int list_snapshots(struct store *store, store_snapshot_fn *visit, void *arg)
{
	return snapshot_names_list(local_of(store), visit, arg);
}

static int compact(struct store *store, uint64_t revision, store_compaction_fn *progress, void *arg)
{
	return compactor_compact(&local_of(store)->compactor, revision, progress, arg);
}

static int purge(struct store *store, const char *key, store_compaction_fn *progress, void *arg)
{
	return compactor_purge(&local_of(store)->compactor, key, progress, arg);
}

static void drain(struct store *store)
{
	committer_drain(&local_of(store)->committer);
}

static int checkpoint(struct store *store, char **ret_path)
{
	return checkpoint_make(local_of(store), ret_path);
}

static void on_lead(struct store *store, store_lead_fn *lead, void *arg)
{
	struct committer *committer = &local_of(store)->committer;

	committer->lead = lead;
	committer->lead_arg = arg;
}

static void watch(struct store *store, store_watch_fn *watcher, void *arg)
{
	struct committer *committer = &local_of(store)->committer;

	committer->watch = watcher;
	committer->watch_arg = arg;
}

/* ---- What it tells of itself ---------------------------------------------------- */

uint64_t local_revision(struct local *local)
{
	return __atomic_load_n(&local->revision, __ATOMIC_ACQUIRE);
}

uint64_t local_oldest(struct local *local)
{
	return __atomic_load_n(&local->oldest_revision, __ATOMIC_ACQUIRE);
}

int64_t local_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void local_lock_tree(struct local *local)
{
	pthread_mutex_lock(&local->tree_gate);
	pthread_mutex_lock(&local->tree_lock);
	pthread_mutex_unlock(&local->tree_gate);
}

void local_unlock_tree(struct local *local)
{
	pthread_mutex_unlock(&local->tree_lock);
}

int local_write(struct local *local, rocksdb_writebatch_t *batch, bool sync)
{
	size_t size;
	int r;

	if (g_atomic_int_get(&local->read_only))
		return -EROFS;
	rocksdb_writebatch_data(batch, &size);
	r = wal_room_begin(&local->room, size);
	if (r < 0)
		return r;
	r = layout_write(&local->layout, batch, sync);
	wal_room_end(&local->room, r == 0 && sync);
	if (r < 0 && r != -ENOSPC)
		g_atomic_int_set(&local->read_only, 1);
	return r;
}

static uint64_t get_revision(struct store *store)
{
	return local_revision(local_of(store));
}

/* NULL: in memory. */
static char *database_path(const struct local *local)
{
	return local->path ? g_build_filename(local->path, "db", NULL) : NULL;
}

static uint64_t disk_bytes(const struct local *local)
{
	g_autofree char *path = database_path(local);
	DIR *directory = path ? opendir(path) : NULL;
	uint64_t bytes = 0;
	struct dirent *entry;

	while (directory && (entry = readdir(directory))) {
		struct stat status;

		if (fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0)
			bytes += (uint64_t)status.st_blocks * 512;
	}
	if (directory)
		closedir(directory);
	return bytes;
}

static void get_status(struct store *store, struct store_status *ret)
{
	struct local *local = local_of(store);

	*ret = (struct store_status){ 0 };
	memcpy(ret->id, local->id, sizeof(ret->id));
	ret->revision = get_revision(store);
	ret->oldest_revision = local_oldest(local);
	rocksdb_property_int_cf(local->layout.db, local->layout.families[FAMILY_KEYS],
				"rocksdb.estimate-num-keys", &ret->keys);
	ret->disk_bytes = disk_bytes(local);
	ret->commits = __atomic_load_n(&local->committer.commits, __ATOMIC_RELAXED);
	ret->groups = __atomic_load_n(&local->committer.groups, __ATOMIC_RELAXED);
	ret->read_only = g_atomic_int_get(&local->read_only);
	pthread_mutex_lock(&local->time_lock);
	ret->snapshots = local->names.names->len;
	pthread_mutex_unlock(&local->time_lock);
	compactor_get_progress(&local->compactor, &ret->compaction);
	ret->data_key = local->sealer ? sealer_current(local->sealer) : 0;
	compactor_get_resealing(&local->compactor, &ret->resealing);
}

static void get_metrics(struct store *store, struct store_metrics *ret)
{
	committer_get_metrics(&local_of(store)->committer, ret);
}

static void visit_statistics(struct store *store, store_statistic_fn *visit, void *arg)
{
	statistics_visit(&local_of(store)->layout, visit, arg);
}

/* The number of this opening and a counter: no number is ever given twice, and none has to
 * be written down when it is given. */
static uint64_t new_ino(struct store *store)
{
	struct local *local = local_of(store);
	uint64_t count = __atomic_fetch_add(&local->next_ino, 1, __ATOMIC_RELAXED);

	return (uint64_t)local->opened << LOCAL_INO_COUNTER_BITS | count;
}

static void get_space(struct store *store, uint64_t *ret_total_bytes, uint64_t *ret_free_bytes)
{
	struct local *local = local_of(store);
	struct statvfs status;

	*ret_total_bytes = 0;
	*ret_free_bytes = 0;
	if (!local->path || statvfs(local->path, &status) < 0)
		return;
	*ret_total_bytes = (uint64_t)status.f_blocks * status.f_frsize;
	*ret_free_bytes = (uint64_t)status.f_bavail * status.f_frsize;
}

static int64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Who looks at the same time sees the same. */
static uint64_t look_at_space(struct local *local, int64_t time_ns)
{
	uint64_t total, left;

	get_space(&local->base, &total, &left);
	if (!total)
		left = UINT64_MAX;
	__atomic_store_n(&local->written_bytes, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&local->free_bytes, left, __ATOMIC_RELAXED);
	__atomic_store_n(&local->looked_ns, time_ns, __ATOMIC_RELEASE);
	return left;
}

uint64_t local_free_bytes(struct local *local)
{
	int64_t looked_ns = __atomic_load_n(&local->looked_ns, __ATOMIC_ACQUIRE);
	int64_t time_ns = monotonic_ns();

	if (looked_ns == 0 || time_ns - looked_ns > SPACE_TIME_NS ||
	    __atomic_load_n(&local->written_bytes, __ATOMIC_RELAXED) > SPACE_BYTES)
		return look_at_space(local, time_ns);
	return __atomic_load_n(&local->free_bytes, __ATOMIC_RELAXED);
}

void local_note_written(struct local *local, uint64_t bytes)
{
	__atomic_fetch_add(&local->written_bytes, bytes, __ATOMIC_RELAXED);
}

bool local_has_space(uint64_t free_bytes, uint64_t bytes, bool growing)
{
	uint64_t reserve = growing ? GROWING_RESERVE : DELETING_RESERVE;

	return bytes < UINT64_MAX / (2 * BATCH_FACTOR) &&
	       free_bytes >= reserve + BATCH_FACTOR * bytes;
}

static int check_space(struct store *store, uint64_t bytes)
{
	struct local *local = local_of(store);

	if (g_atomic_int_get(&local->read_only))
		return -EROFS;
	return local_has_space(local_free_bytes(local), bytes, true) ? 0 : -ENOSPC;
}

/* ---- Starting and stopping ------------------------------------------------------ */

static struct timespec after_ms(uint64_t ms)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += (time_t)(ms / 1000);
	at.tv_nsec += (long)(ms % 1000) * 1000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_sec++;
		at.tv_nsec -= 1000000000;
	}
	return at;
}

/* True when it is time to stop. */
static bool wait_for_interval(struct local *local)
{
	struct timespec until = after_ms(local->options.sync_interval_ms);
	bool stop;

	pthread_mutex_lock(&local->sync_lock);
	while (!local->sync_stop) {
		if (pthread_cond_timedwait(&local->sync_wake, &local->sync_lock, &until) != 0)
			break;
	}
	stop = local->sync_stop;
	pthread_mutex_unlock(&local->sync_lock);
	return stop;
}

static void *run_sync(void *arg)
{
	struct local *local = arg;
	uint64_t synced = get_revision(&local->base);

	while (!wait_for_interval(local)) {
		uint64_t revision = get_revision(&local->base);
		char *error = NULL;

		if (revision == synced || g_atomic_int_get(&local->read_only))
			continue;
		rocksdb_flush_wal(local->layout.db, 1, &error);
		if (layout_result("sync, the store is read-only from now on", error) < 0)
			g_atomic_int_set(&local->read_only, 1);
		synced = revision;
	}
	return NULL;
}

static int start_sync(struct local *local)
{
	pthread_condattr_t attributes;
	int r;

	pthread_mutex_init(&local->sync_lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&local->sync_wake, &attributes);
	pthread_condattr_destroy(&attributes);
	if (local->options.sync != STORE_SYNC_INTERVAL)
		return 0;
	r = pthread_create(&local->sync_thread, NULL, run_sync, local);
	local->sync_running = r == 0;
	return -r;
}

static void stop_sync(struct local *local)
{
	pthread_mutex_lock(&local->sync_lock);
	local->sync_stop = true;
	pthread_cond_signal(&local->sync_wake);
	pthread_mutex_unlock(&local->sync_lock);
	if (local->sync_running)
		pthread_join(local->sync_thread, NULL);
	pthread_cond_destroy(&local->sync_wake);
	pthread_mutex_destroy(&local->sync_lock);
}

void local_init(struct local *local)
{
	g_autofree char *database = database_path(local);

	wal_room_init(&local->room, database);
	pthread_mutex_init(&local->time_lock, NULL);
	pthread_mutex_init(&local->tree_lock, NULL);
	pthread_mutex_init(&local->tree_gate, NULL);
	snapshot_names_init(&local->names);
	open_snapshots_init(&local->open);
}

void local_done(struct local *local)
{
	wal_room_done(&local->room);
	open_snapshots_done(&local->open);
	snapshot_names_done(&local->names);
	pthread_mutex_destroy(&local->tree_gate);
	pthread_mutex_destroy(&local->tree_lock);
	pthread_mutex_destroy(&local->time_lock);
}

uint64_t local_last_commit(const struct local *local, const rocksdb_readoptions_t *options)
{
	rocksdb_iterator_t *iterator = rocksdb_create_iterator_cf(
		local->layout.db, options, local->layout.families[FAMILY_LOG]);
	uint64_t last = 0;
	const char *key;
	size_t size;

	rocksdb_iter_seek_to_last(iterator);
	if (rocksdb_iter_valid(iterator)) {
		key = rocksdb_iter_key(iterator, &size);
		last = size == sizeof(last) ? layout_decode_number(key) : 0;
	}
	rocksdb_iter_destroy(iterator);
	return last;
}

/* What only an encrypted store has. The log ends with the commit that the tree is of: otherwise
 * one of the two was put back. */
static int read_encrypted(struct local *local, struct tree_sum *ret)
{
	const rocksdb_readoptions_t *newest = local->layout.newest;
	uint64_t revision = local_revision(local);

	if (local_last_commit(local, newest) != revision ||
	    tree_sum_read(&local->layout, newest, revision, ret) < 0)
		return -EUCLEAN;
	return 0;
}

int local_start(struct local *local, const char **ret_damaged)
{
	struct tree_sum sum = { 0 };
	struct log_entry last;
	int r;

	*ret_damaged = "its revision, its log and its tree are not of one commit";
	r = log_reader_get_numbers(local, local_revision(local), &last);
	if (r == 0 && local->sealer)
		r = read_encrypted(local, &sum);
	if (r < 0)
		return r == -ENOENT ? -EIO : r;
	local->base.engine = &local_engine;
	local->head.base.refs = 1;
	local->head.base.store = &local->base;
	local->head.place.layout = &local->layout;
	local->head.place.options = local->layout.newest;
	local->next_ino = 1;
	r = committer_init(&local->committer, local, &last);
	if (r < 0)
		return r;
	local->committer.sum = sum;
	r = start_sync(local);
	if (r == 0)
		r = compactor_start(&local->compactor, local, ret_damaged);
	if (r < 0) {
		stop_sync(local);
		committer_done(&local->committer);
	}
	return r;
}

static void close_store(struct store *store)
{
	struct local *local = local_of(store);

	compactor_stop(&local->compactor);
	stop_sync(local);
	committer_done(&local->committer);
	layout_close(&local->layout, local->path && !g_atomic_int_get(&local->read_only));
	local_free(local);
}

const struct store_engine local_engine = {
	.name = "local",
	.take_snapshot = take_snapshot,
	.get_head = get_head,
	.free_snapshot = snapshots_free,
	.get = get,
	.list = list,
	.submit = submit,
	.evaluate = evaluate,
	.read_log = read_log,
	.on_lead = on_lead,
	.drain = drain,
	.list_log = list_log,
	.get_log_span = get_log_span,
	.read_log_text = read_log_text,
	.find_revision = find_revision,
	.watch = watch,
	.read_history = read_history,
	.name_snapshot = name_snapshot,
	.drop_snapshot = drop_snapshot,
	.find_snapshot = find_snapshot,
	.list_snapshots = list_snapshots,
	.compact = compact,
	.purge = purge,
	.checkpoint = checkpoint,
	.get_revision = get_revision,
	.get_status = get_status,
	.get_metrics = get_metrics,
	.visit_statistics = visit_statistics,
	.new_ino = new_ino,
	.check_space = check_space,
	.get_space = get_space,
	.close = close_store,
};
