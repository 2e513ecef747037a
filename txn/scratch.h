/* Scratch files of the live tree: what editors and tools make for themselves beside a key,
 * and rename to it or remove. They are kept in memory, over the head of the store, under
 * the rules of operations that hold for keys; the one thing that makes a commit of them is
 * a rename. All functions accept a NULL scratch, which has none. */
#pragma once

#include "txn/txn.h"

struct scratch;

/* See view_keep_scratch(). */
struct scratch *scratch_new(struct store *store, struct registry *registry, store_watch_fn *watch,
			    void *arg);
void scratch_free(struct scratch *scratch);

/* True when there are any now. */
bool scratch_any(struct scratch *scratch);
void scratch_count(struct scratch *scratch, uint64_t *ret_files, uint64_t *ret_bytes);

/* The scratch file at `key` (caller unrefs), or NULL. */
struct record *scratch_get(struct scratch *scratch, const char *key);
/* Visits those that lie directly in `directory`. */
int scratch_list(struct scratch *scratch, const char *directory, snapshot_visit_fn *visit,
		 void *arg);

/* Runs `program` and takes it over when it is about scratch files; otherwise returns false
 * and it is the store's. */
bool scratch_apply(struct scratch *scratch, struct program *program, program_done_fn *done,
		   void *arg);

/* See view_commit_seen(). */
void scratch_follow(struct scratch *scratch, const struct log_entry *commit);
