/* The tracing engine: hands every call to another store and tells of it in one line. */
#include "store/engine.h"
#include "store/wrapper.h"

#include <errno.h>
#include <stdarg.h>

struct trace {
	struct wrapper wrapper; /* first */
	store_trace_fn *trace;
	void *arg;
};

static struct trace *trace_of(struct store *store)
{
	return (struct trace *)store;
}

G_GNUC_PRINTF(2, 3) static void tell(struct store *store, const char *format, ...)
{
	struct trace *trace = trace_of(store);
	g_autofree char *line = NULL;
	va_list arguments;

	va_start(arguments, format);
	line = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	trace->trace(line, trace->arg);
}

static const char *outcome(int r)
{
	return r < 0 ? g_strerror(-r) : "ok";
}

static int take_snapshot(struct store *store, uint64_t revision, struct snapshot **ret)
{
	int r = wrapper_take_snapshot(store, revision, ret);

	tell(store, "snapshot %" G_GUINT64_FORMAT ": %s", revision, outcome(r));
	return r;
}

static int get(struct snapshot *snapshot, const char *key, struct record **ret)
{
	int r = wrapper_get(snapshot, key, ret);

	tell(snapshot->store, "get '%s' at %" G_GUINT64_FORMAT ": %s", key, snapshot->revision,
	     outcome(r));
	return r;
}

static int list(struct snapshot *snapshot, const char *directory, const char *after,
		snapshot_visit_fn *visit, void *arg)
{
	int r = wrapper_list(snapshot, directory, after, visit, arg);

	tell(snapshot->store, "list '%s' at %" G_GUINT64_FORMAT ": %s", directory,
	     snapshot->revision, outcome(r));
	return r;
}

/* A submitted program on its way: told of when it is done. */
struct traced {
	struct store *store;
	program_done_fn *done;
	void *arg;
	guint compares;
	guint ops;
};

static void submitted(const struct program_result *result, void *arg)
{
	struct traced *traced = arg;

	tell(traced->store,
	     "submit %u compares, %u operations: %s, %s, revision %" G_GUINT64_FORMAT,
	     traced->compares, traced->ops, outcome(result->error),
	     result->succeeded ? "succeeded" : "failed", result->revision);
	traced->done(result, traced->arg);
	g_free(traced);
}

static void submit(struct store *store, struct program *program, program_done_fn *done, void *arg)
{
	struct traced *traced = g_new0(struct traced, 1);

	traced->store = store;
	traced->done = done;
	traced->arg = arg;
	traced->compares = program->compares->len;
	traced->ops = program->then_ops->len;
	wrapper_submit(store, program, submitted, traced);
}

static void evaluate(struct store *store, const struct program *program, program_done_fn *done,
		     void *arg)
{
	tell(store, "evaluate %u compares", program->compares->len);
	wrapper_evaluate(store, program, done, arg);
}

static int read_log(struct store *store, uint64_t revision, struct log_entry **ret)
{
	int r = wrapper_read_log(store, revision, ret);

	tell(store, "log %" G_GUINT64_FORMAT ": %s", revision, outcome(r));
	return r;
}

static int list_log(struct store *store, uint64_t from_revision, store_log_fn *visit, void *arg)
{
	int r = wrapper_list_log(store, from_revision, visit, arg);

	tell(store, "log from %" G_GUINT64_FORMAT ": %s", from_revision, outcome(r));
	return r;
}

static int get_log_span(struct store *store, uint64_t *ret_begin, uint64_t *ret_end)
{
	int r = wrapper_get_log_span(store, ret_begin, ret_end);

	tell(store, "log span: %s", outcome(r));
	return r;
}

static int read_log_text(struct store *store, uint64_t offset, size_t size, GString *out)
{
	int r = wrapper_read_log_text(store, offset, size, out);

	tell(store, "log text at %" G_GUINT64_FORMAT ": %s", offset, outcome(r));
	return r;
}

static int find_revision(struct store *store, int64_t time_ns, uint64_t *ret)
{
	int r = wrapper_find_revision(store, time_ns, ret);

	tell(store, "find revision of %" G_GINT64_FORMAT ": %s", time_ns, outcome(r));
	return r;
}

static int read_history(struct store *store, const char *key, bool with_values,
			store_history_fn *visit, void *arg)
{
	int r = wrapper_read_history(store, key, with_values, visit, arg);

	tell(store, "history '%s': %s", key, outcome(r));
	return r;
}

static int name_snapshot(struct store *store, const char *name, uint64_t revision, uid_t uid,
			 uint64_t *ret)
{
	int r = wrapper_name_snapshot(store, name, revision, uid, ret);

	tell(store, "name snapshot '%s' %" G_GUINT64_FORMAT ": %s", name, revision, outcome(r));
	return r;
}

static int drop_snapshot(struct store *store, const char *name)
{
	int r = wrapper_drop_snapshot(store, name);

	tell(store, "drop snapshot '%s': %s", name, outcome(r));
	return r;
}

static int find_snapshot(struct store *store, const char *name, uint64_t *ret)
{
	int r = wrapper_find_snapshot(store, name, ret);

	tell(store, "find snapshot '%s': %s", name, outcome(r));
	return r;
}

static int list_snapshots(struct store *store, store_snapshot_fn *visit, void *arg)
{
	int r = wrapper_list_snapshots(store, visit, arg);

	tell(store, "list snapshots: %s", outcome(r));
	return r;
}

static int compact(struct store *store, uint64_t revision, store_compaction_fn *progress, void *arg)
{
	int r = wrapper_compact(store, revision, progress, arg);

	tell(store, "compact %" G_GUINT64_FORMAT ": %s", revision, outcome(r));
	return r;
}

static int purge(struct store *store, const char *key, store_compaction_fn *progress, void *arg)
{
	int r = wrapper_purge(store, key, progress, arg);

	tell(store, "purge '%s': %s", key, outcome(r));
	return r;
}

static void close_store(struct store *store)
{
	tell(store, "close");
	wrapper_close(store);
}

static const struct store_engine trace_engine = {
	.name = "trace",
	.take_snapshot = take_snapshot,
	.get_head = wrapper_get_head,
	.free_snapshot = wrapper_free_snapshot,
	.get = get,
	.list = list,
	.submit = submit,
	.evaluate = evaluate,
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
	.close = close_store,
};

struct store *store_trace_new(struct store *inner, store_trace_fn *trace, void *arg)
{
	struct trace *store = g_new0(struct trace, 1);

	wrapper_init(&store->wrapper, &trace_engine, inner);
	store->trace = trace;
	store->arg = arg;
	return &store->wrapper.base;
}
