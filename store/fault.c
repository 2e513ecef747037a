/* The failing engine: hands every call to another store, except that the nth one fails. A
 * test that runs once for each n has seen what every failure leads to. */
#include "store/wrapper.h"

struct fault {
	struct wrapper wrapper; /* first */
	gint left;		/* atomic: calls until the one that fails; 0 or less: none */
	gint error;		/* atomic */
};

/* 0, or the error of the call that fails: exactly one, whatever the threads do. */
static int fail_now(struct store *store)
{
	struct fault *fault = (struct fault *)store;

	if (g_atomic_int_get(&fault->left) <= 0)
		return 0;
	return g_atomic_int_add(&fault->left, -1) == 1 ? g_atomic_int_get(&fault->error) : 0;
}

static int take_snapshot(struct store *store, uint64_t revision, struct snapshot **ret)
{
	int r = fail_now(store);

	return r < 0 ? r : wrapper_take_snapshot(store, revision, ret);
}

static int get(struct snapshot *snapshot, const char *key, struct record **ret)
{
	int r = fail_now(snapshot->store);

	return r < 0 ? r : wrapper_get(snapshot, key, ret);
}

static int list(struct snapshot *snapshot, const char *directory, const char *after,
		snapshot_visit_fn *visit, void *arg)
{
	int r = fail_now(snapshot->store);

	return r < 0 ? r : wrapper_list(snapshot, directory, after, visit, arg);
}

static void submit(struct store *store, struct program *program, program_done_fn *done, void *arg)
{
	int r = fail_now(store);
	struct program_result result = { .error = r, .revision = wrapper_get_revision(store) };

	if (r == 0) {
		wrapper_submit(store, program, done, arg);
		return;
	}
	result.failures = g_ptr_array_new();
	result.records = g_ptr_array_new();
	done(&result, arg);
	g_ptr_array_unref(result.failures);
	g_ptr_array_unref(result.records);
	program_free(program);
}

static int read_log(struct store *store, uint64_t revision, struct log_entry **ret)
{
	int r = fail_now(store);

	return r < 0 ? r : wrapper_read_log(store, revision, ret);
}

static int list_log(struct store *store, uint64_t from_revision, store_log_fn *visit, void *arg)
{
	int r = fail_now(store);

	return r < 0 ? r : wrapper_list_log(store, from_revision, visit, arg);
}

static int get_log_span(struct store *store, uint64_t *ret_begin, uint64_t *ret_end)
{
	int r = fail_now(store);

	return r < 0 ? r : wrapper_get_log_span(store, ret_begin, ret_end);
}

static int read_log_text(struct store *store, uint64_t offset, size_t size, GString *out)
{
	int r = fail_now(store);

	return r < 0 ? r : wrapper_read_log_text(store, offset, size, out);
}

static int find_revision(struct store *store, int64_t time_ns, uint64_t *ret)
{
	int r = fail_now(store);

	return r < 0 ? r : wrapper_find_revision(store, time_ns, ret);
}

static int read_history(struct store *store, const char *key, bool with_values,
			store_history_fn *visit, void *arg)
{
	int r = fail_now(store);

	return r < 0 ? r : wrapper_read_history(store, key, with_values, visit, arg);
}

static int name_snapshot(struct store *store, const char *name, uint64_t revision, uid_t uid,
			 uint64_t *ret)
{
	int r = fail_now(store);

	return r < 0 ? r : wrapper_name_snapshot(store, name, revision, uid, ret);
}

static int drop_snapshot(struct store *store, const char *name)
{
	int r = fail_now(store);

	return r < 0 ? r : wrapper_drop_snapshot(store, name);
}

static int find_snapshot(struct store *store, const char *name, uint64_t *ret)
{
	int r = fail_now(store);

	return r < 0 ? r : wrapper_find_snapshot(store, name, ret);
}

static int list_snapshots(struct store *store, store_snapshot_fn *visit, void *arg)
{
	int r = fail_now(store);

	return r < 0 ? r : wrapper_list_snapshots(store, visit, arg);
}

static int compact(struct store *store, uint64_t revision, store_compaction_fn *progress, void *arg)
{
	int r = fail_now(store);

	return r < 0 ? r : wrapper_compact(store, revision, progress, arg);
}

static int purge(struct store *store, const char *key, store_compaction_fn *progress, void *arg)
{
	int r = fail_now(store);

	return r < 0 ? r : wrapper_purge(store, key, progress, arg);
}

static const struct store_engine fault_engine = {
	.name = "fault",
	.take_snapshot = take_snapshot,
	.get_head = wrapper_get_head,
	.free_snapshot = wrapper_free_snapshot,
	.get = get,
	.list = list,
	.submit = submit,
	.evaluate = wrapper_evaluate,
	.read_log = read_log,
	.on_lead = wrapper_on_lead,
	.drain = wrapper_drain,
	.list_log = list_log,
	.get_log_span = get_log_span,
	.read_log_text = read_log_text,
	.find_revision = find_revision,
	.read_history = read_history,
	.name_snapshot = name_snapshot,
	.drop_snapshot = drop_snapshot,
	.find_snapshot = find_snapshot,
	.list_snapshots = list_snapshots,
	.compact = compact,
	.purge = purge,
	.checkpoint = wrapper_checkpoint,
	.watch = wrapper_watch,
	.get_revision = wrapper_get_revision,
	.get_status = wrapper_get_status,
	.get_metrics = wrapper_get_metrics,
	.visit_statistics = wrapper_visit_statistics,
	.new_ino = wrapper_new_ino,
	.check_space = wrapper_check_space,
	.get_space = wrapper_get_space,
	.close = wrapper_close,
};

struct store *store_fault_new(struct store *inner, guint nth, int error)
{
	struct fault *store = g_new0(struct fault, 1);

	wrapper_init(&store->wrapper, &fault_engine, inner);
	store_fault_set(&store->wrapper.base, nth, error);
	return &store->wrapper.base;
}

void store_fault_set(struct store *fault, guint nth, int error)
{
	struct fault *mine = (struct fault *)fault;

	g_atomic_int_set(&mine->error, error);
	g_atomic_int_set(&mine->left, (gint)nth);
}
