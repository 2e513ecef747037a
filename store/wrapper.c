/* Handing calls on: see wrapper.h. */
#include "store/wrapper.h"

static struct store *inner_of(struct store *store)
{
	return ((struct wrapper *)store)->inner;
}

static struct snapshot *inner_snapshot(struct snapshot *snapshot)
{
	return ((struct wrapped_snapshot *)snapshot)->inner;
}

void wrapper_init(struct wrapper *wrapper, const struct store_engine *engine, struct store *inner)
{
	wrapper->base.engine = engine;
	wrapper->inner = inner;
	wrapper->head.base.refs = 1;
	wrapper->head.base.store = &wrapper->base;
	wrapper->head.inner = store_head(inner);
}

int wrapper_take_snapshot(struct store *store, uint64_t revision, struct snapshot **ret)
{
	struct wrapped_snapshot *snapshot;
	struct snapshot *inner;
	int r;

	r = store_snapshot(inner_of(store), revision, &inner);
	if (r < 0)
		return r;
	snapshot = g_new0(struct wrapped_snapshot, 1);
	snapshot->base.refs = 1;
	snapshot->base.store = store;
	snapshot->base.revision = inner->revision;
	snapshot->inner = inner;
	*ret = &snapshot->base;
	return 0;
}

struct snapshot *wrapper_get_head(struct store *store)
{
	return &((struct wrapper *)store)->head.base;
}

void wrapper_free_snapshot(struct snapshot *snapshot)
{
	snapshot_unref(inner_snapshot(snapshot));
	g_free(snapshot);
}

int wrapper_get(struct snapshot *snapshot, const char *key, struct record **ret)
{
	return snapshot_get(inner_snapshot(snapshot), key, ret);
}

int wrapper_list(struct snapshot *snapshot, const char *directory, const char *after,
		 snapshot_visit_fn *visit, void *arg)
{
	return snapshot_list(inner_snapshot(snapshot), directory, after, visit, arg);
}

void wrapper_submit(struct store *store, struct program *program, program_done_fn *done, void *arg)
{
	store_submit(inner_of(store), program, done, arg);
}

void wrapper_evaluate(struct store *store, const struct program *program, program_done_fn *done,
		      void *arg)
{
	store_evaluate(inner_of(store), program, done, arg);
}

int wrapper_read_log(struct store *store, uint64_t revision, struct log_entry **ret)
{
	return store_log(inner_of(store), revision, ret);
}

void wrapper_on_lead(struct store *store, store_lead_fn *lead, void *arg)
{
	store_on_lead(inner_of(store), lead, arg);
}

void wrapper_drain(struct store *store)
{
	store_drain(inner_of(store));
}

int wrapper_list_log(struct store *store, uint64_t from_revision, store_log_fn *visit, void *arg)
{
	return store_log_list(inner_of(store), from_revision, visit, arg);
}

int wrapper_get_log_span(struct store *store, uint64_t *ret_begin, uint64_t *ret_end)
{
	return store_log_span(inner_of(store), ret_begin, ret_end);
}

int wrapper_read_log_text(struct store *store, uint64_t offset, size_t size, GString *out)
{
	return store_log_text(inner_of(store), offset, size, out);
}

int wrapper_find_revision(struct store *store, int64_t time_ns, uint64_t *ret)
{
	return store_find_revision(inner_of(store), time_ns, ret);
}

int wrapper_read_history(struct store *store, const char *key, bool with_values,
			 store_history_fn *visit, void *arg)
{
	return store_history(inner_of(store), key, with_values, visit, arg);
}

int wrapper_name_snapshot(struct store *store, const char *name, uint64_t revision, uid_t uid,
			  uint64_t *ret)
{
	return store_name_snapshot(inner_of(store), name, revision, uid, ret);
}

int wrapper_drop_snapshot(struct store *store, const char *name)
{
	return store_drop_snapshot(inner_of(store), name);
}

int wrapper_find_snapshot(struct store *store, const char *name, uint64_t *ret)
{
	return store_find_snapshot(inner_of(store), name, ret);
}

int wrapper_list_snapshots(struct store *store, store_snapshot_fn *visit, void *arg)
{
	return store_list_snapshots(inner_of(store), visit, arg);
}

int wrapper_compact(struct store *store, uint64_t revision, store_compaction_fn *progress,
		    void *arg)
{
	return store_compact(inner_of(store), revision, progress, arg);
}

int wrapper_purge(struct store *store, const char *key, store_compaction_fn *progress, void *arg)
{
	return store_purge(inner_of(store), key, progress, arg);
}

int wrapper_checkpoint(struct store *store, char **ret_path)
{
	return store_checkpoint(inner_of(store), ret_path);
}

void wrapper_watch(struct store *store, store_watch_fn *watch, void *arg)
{
	store_watch(inner_of(store), watch, arg);
}

uint64_t wrapper_get_revision(struct store *store)
{
	return store_revision(inner_of(store));
}

void wrapper_get_status(struct store *store, struct store_status *ret)
{
	store_get_status(inner_of(store), ret);
}

void wrapper_get_metrics(struct store *store, struct store_metrics *ret)
{
	store_get_metrics(inner_of(store), ret);
}

void wrapper_visit_statistics(struct store *store, store_statistic_fn *visit, void *arg)
{
	store_visit_statistics(inner_of(store), visit, arg);
}

uint64_t wrapper_new_ino(struct store *store)
{
	return store_new_ino(inner_of(store));
}

int wrapper_check_space(struct store *store, uint64_t bytes)
{
	return store_check_space(inner_of(store), bytes);
}

void wrapper_get_space(struct store *store, uint64_t *ret_total_bytes, uint64_t *ret_free_bytes)
{
	store_get_space(inner_of(store), ret_total_bytes, ret_free_bytes);
}

void wrapper_close(struct store *store)
{
	store_close(inner_of(store));
	g_free(store);
}
