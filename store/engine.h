/* What an engine of a store must offer. store.c hands every call of store.h to it; the
 * wrappers trace.c and fault.c are engines around another. The contracts of the calls are
 * those of store.h. Keys are checked before they come here. */
#pragma once

#include "store/store.h"

struct store_engine {
	const char *name;

	int (*take_snapshot)(struct store *store, uint64_t revision, struct snapshot **ret);
	struct snapshot *(*get_head)(struct store *store);
	/* The last reference is gone. Never called for the head. */
	void (*free_snapshot)(struct snapshot *snapshot);
	int (*get)(struct snapshot *snapshot, const char *key, struct record **ret);
	int (*list)(struct snapshot *snapshot, const char *directory, const char *after,
		    snapshot_visit_fn *visit, void *arg);

	void (*submit)(struct store *store, struct program *program, program_done_fn *done,
		       void *arg);
	void (*evaluate)(struct store *store, const struct program *program, program_done_fn *done,
			 void *arg);
	void (*on_lead)(struct store *store, store_lead_fn *lead, void *arg);
	void (*drain)(struct store *store);
	int (*read_log)(struct store *store, uint64_t revision, struct log_entry **ret);
	int (*list_log)(struct store *store, uint64_t from_revision, store_log_fn *visit,
			void *arg);
	int (*get_log_span)(struct store *store, uint64_t *ret_begin, uint64_t *ret_end);
	int (*read_log_text)(struct store *store, uint64_t offset, size_t size, GString *out);
	int (*find_revision)(struct store *store, int64_t time_ns, uint64_t *ret);
	void (*watch)(struct store *store, store_watch_fn *watch, void *arg);

	int (*read_history)(struct store *store, const char *key, bool with_values,
			    store_history_fn *visit, void *arg);
	int (*name_snapshot)(struct store *store, const char *name, uint64_t revision, uid_t uid,
			     uint64_t *ret);
	int (*drop_snapshot)(struct store *store, const char *name);
	int (*find_snapshot)(struct store *store, const char *name, uint64_t *ret);
	int (*list_snapshots)(struct store *store, store_snapshot_fn *visit, void *arg);
	int (*compact)(struct store *store, uint64_t revision, store_compaction_fn *progress,
		       void *arg);
	int (*purge)(struct store *store, const char *key, store_compaction_fn *progress,
		     void *arg);
	int (*checkpoint)(struct store *store, char **ret_path);

	uint64_t (*get_revision)(struct store *store);
	void (*get_status)(struct store *store, struct store_status *ret);
	void (*get_metrics)(struct store *store, struct store_metrics *ret);
	void (*visit_statistics)(struct store *store, store_statistic_fn *visit, void *arg);
	uint64_t (*new_ino)(struct store *store);
	int (*check_space)(struct store *store, uint64_t bytes);
	void (*get_space)(struct store *store, uint64_t *ret_total_bytes, uint64_t *ret_free_bytes);
	void (*close)(struct store *store);
};

/* Engines append their own fields. */
struct store {
	const struct store_engine *engine;
};
