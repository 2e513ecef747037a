/* An engine that hands every call to another store: what trace.c and fault.c begin with. */
#pragma once

#include "store/engine.h"

struct wrapped_snapshot {
	struct snapshot base; /* first */
	struct snapshot *inner;
};

struct wrapper {
	struct store base; /* first */
	struct store *inner;
	struct wrapped_snapshot head;
};

void wrapper_init(struct wrapper *wrapper, const struct store_engine *engine, struct store *inner);

int wrapper_take_snapshot(struct store *store, uint64_t revision, struct snapshot **ret);
struct snapshot *wrapper_get_head(struct store *store);
void wrapper_free_snapshot(struct snapshot *snapshot);
int wrapper_get(struct snapshot *snapshot, const char *key, struct record **ret);
int wrapper_list(struct snapshot *snapshot, const char *directory, const char *after,
		 snapshot_visit_fn *visit, void *arg);
void wrapper_submit(struct store *store, struct program *program, program_done_fn *done, void *arg);
void wrapper_evaluate(struct store *store, const struct program *program, program_done_fn *done,
		      void *arg);
int wrapper_read_log(struct store *store, uint64_t revision, struct log_entry **ret);
void wrapper_on_lead(struct store *store, store_lead_fn *lead, void *arg);
void wrapper_drain(struct store *store);
int wrapper_list_log(struct store *store, uint64_t from_revision, store_log_fn *visit, void *arg);
int wrapper_get_log_span(struct store *store, uint64_t *ret_begin, uint64_t *ret_end);
int wrapper_read_log_text(struct store *store, uint64_t offset, size_t size, GString *out);
int wrapper_find_revision(struct store *store, int64_t time_ns, uint64_t *ret);
int wrapper_read_history(struct store *store, const char *key, bool with_values,
			 store_history_fn *visit, void *arg);
int wrapper_name_snapshot(struct store *store, const char *name, uint64_t revision, uid_t uid,
			  uint64_t *ret);
int wrapper_drop_snapshot(struct store *store, const char *name);
int wrapper_find_snapshot(struct store *store, const char *name, uint64_t *ret);
int wrapper_list_snapshots(struct store *store, store_snapshot_fn *visit, void *arg);
int wrapper_compact(struct store *store, uint64_t revision, store_compaction_fn *progress,
		    void *arg);
int wrapper_purge(struct store *store, const char *key, store_compaction_fn *progress, void *arg);
int wrapper_checkpoint(struct store *store, char **ret_path);
void wrapper_watch(struct store *store, store_watch_fn *watch, void *arg);
uint64_t wrapper_get_revision(struct store *store);
void wrapper_get_status(struct store *store, struct store_status *ret);
void wrapper_get_metrics(struct store *store, struct store_metrics *ret);
void wrapper_visit_statistics(struct store *store, store_statistic_fn *visit, void *arg);
uint64_t wrapper_new_ino(struct store *store);
int wrapper_check_space(struct store *store, uint64_t bytes);
void wrapper_get_space(struct store *store, uint64_t *ret_total_bytes, uint64_t *ret_free_bytes);
/* Closes the inner store and frees the wrapper, which begins what was allocated. */
void wrapper_close(struct store *store);
