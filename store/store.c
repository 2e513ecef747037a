/* The calls of store.h: handed to the engine. */
#include "store/store.h"

#include "store/engine.h"

#include <errno.h>

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
