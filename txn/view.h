/* The vtable of views: what txn/ implements three times. */
#pragma once

#include "txn/txn.h"

struct view_class {
	int (*get)(struct view *view, const char *key, struct record **ret);
	int (*list)(struct view *view, const char *directory, snapshot_visit_fn *visit, void *arg);
	int (*observe)(struct view *view, enum observation what, const char *key,
		       const struct record *record); /* NULL: this view records nothing */
	bool (*has_observed)(struct view *view, enum observation what,
			     const char *key); /* NULL: never */
	void (*apply)(struct view *view, struct program *program, program_done_fn *done, void *arg);
};

struct view {
	const struct view_class *class; /* set once */
	struct store *store;		/* set once; live view */
	struct snapshot *snapshot;	/* set once; live: the head, past: its own */
	struct scratch *scratch;	/* set once; live: NULL where there are none */
};

/* Entries of one directory in byte order of names: collects what a snapshot visits. A
 * snapshot lists in the order of its stored keys, where `a-b` comes before directory `a`. */
int list_in_name_order(struct snapshot *snapshot, const char *directory, snapshot_visit_fn *visit,
		       void *arg);
