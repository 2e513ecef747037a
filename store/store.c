/* The calls of store.h: handed to the engine. */
#include "store/store.h"

#include "store/engine.h"

#include <errno.h>
#include <string.h>

int store_snapshot(struct store *store, uint64_t revision, struct snapshot **ret)
{
	return store->engine->take_snapshot(store, revision, ret);
}

struct snapshot *store_head(struct store *store)
{
	return store->engine->get_head(store);
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
	g_atomic_int_inc(&snapshot->refs);
	return snapshot;
}

void snapshot_unref(struct snapshot *snapshot)
{
	if (snapshot && g_atomic_int_dec_and_test(&snapshot->refs))
		snapshot->store->engine->free_snapshot(snapshot);
}

int snapshot_get(struct snapshot *snapshot, const char *key, struct record **ret)
{
	/* Not only politeness: "a/" is how a directory is stored. */
	int r = key_check(key);

	return r < 0 ? r : snapshot->store->engine->get(snapshot, key, ret);
}

int snapshot_list(struct snapshot *snapshot, const char *directory, const char *after,
		  snapshot_visit_fn *visit, void *arg)
{
	int r = key_check(directory);

	return r < 0 ? r : snapshot->store->engine->list(snapshot, directory, after, visit, arg);
}

void store_submit(struct store *store, struct program *program, program_done_fn *done, void *arg)
{
	store->engine->submit(store, program, done, arg);
}

void store_evaluate(struct store *store, const struct program *program, program_done_fn *done,
		    void *arg)
{
	store->engine->evaluate(store, program, done, arg);
}

int store_log(struct store *store, uint64_t revision, struct log_entry **ret)
{
	return store->engine->read_log(store, revision, ret);
}

void store_on_lead(struct store *store, store_lead_fn *lead, void *arg)
{
	store->engine->on_lead(store, lead, arg);
}

void store_drain(struct store *store)
{
	store->engine->drain(store);
}

int store_log_list(struct store *store, uint64_t from_revision, store_log_fn *visit, void *arg)
{
	return store->engine->list_log(store, from_revision, visit, arg);
}

int store_log_span(struct store *store, uint64_t *ret_begin, uint64_t *ret_end)
{
	return store->engine->get_log_span(store, ret_begin, ret_end);
}

int store_log_text(struct store *store, uint64_t offset, size_t size, GString *out)
{
	return store->engine->read_log_text(store, offset, size, out);
}

int store_find_revision(struct store *store, int64_t time_ns, uint64_t *ret)
{
	return store->engine->find_revision(store, time_ns, ret);
}

int store_history(struct store *store, const char *key, bool with_values, store_history_fn *visit,
		  void *arg)
{
	int r = key_check(key);

	return r < 0 ? r : store->engine->read_history(store, key, with_values, visit, arg);
}

int store_name_snapshot(struct store *store, const char *name, uint64_t revision, uid_t uid,
			uint64_t *ret)
{
	int r = key_check(name);

	if (r == 0 && (*name == '\0' || strchr(name, '/')))
		r = -EINVAL;
	return r < 0 ? r : store->engine->name_snapshot(store, name, revision, uid, ret);
}

int store_drop_snapshot(struct store *store, const char *name)
{
	return store->engine->drop_snapshot(store, name);
}

int store_find_snapshot(struct store *store, const char *name, uint64_t *ret)
{
	return store->engine->find_snapshot(store, name, ret);
}

int store_list_snapshots(struct store *store, store_snapshot_fn *visit, void *arg)
{
	return store->engine->list_snapshots(store, visit, arg);
}

int store_compact(struct store *store, uint64_t revision, store_compaction_fn *progress, void *arg)
{
	return store->engine->compact(store, revision, progress, arg);
}

int store_purge(struct store *store, const char *key, store_compaction_fn *progress, void *arg)
{
	int r = key_check(key);

	return r < 0 ? r : store->engine->purge(store, key, progress, arg);
}

int store_checkpoint(struct store *store, char **ret_path)
{
	return store->engine->checkpoint(store, ret_path);
}

void store_watch(struct store *store, store_watch_fn *watch, void *arg)
{
	store->engine->watch(store, watch, arg);
}

uint64_t store_revision(struct store *store)
{
	return store->engine->get_revision(store);
}

void store_get_status(struct store *store, struct store_status *ret)
{
	store->engine->get_status(store, ret);
}

void store_get_metrics(struct store *store, struct store_metrics *ret)
{
	store->engine->get_metrics(store, ret);
}

void store_visit_statistics(struct store *store, store_statistic_fn *visit, void *arg)
{
	store->engine->visit_statistics(store, visit, arg);
}

uint64_t store_new_ino(struct store *store)
{
	return store->engine->new_ino(store);
}

int store_check_space(struct store *store, uint64_t bytes)
{
	return store->engine->check_space(store, bytes);
}

void store_get_space(struct store *store, uint64_t *ret_total_bytes, uint64_t *ret_free_bytes)
{
	store->engine->get_space(store, ret_total_bytes, ret_free_bytes);
}

void store_close(struct store *store)
{
	if (store)
		store->engine->close(store);
}
