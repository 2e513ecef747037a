/* A process of the workload: one transaction after the other through the mount, a few calls
 * on the live tree in between, all written down. */
#pragma once

#include "history.h"

#include <stdatomic.h>
#include <sys/types.h>

/* In memory that all processes share. */
struct shared {
	_Atomic uint64_t acknowledged; /* the newest revision that anybody was told of */
	_Atomic uint64_t left;	       /* transactions still to be done */
	_Atomic uint64_t steps;	       /* grows while somebody gets on */
	_Atomic bool stop;
	bool mortal; /* set once: the mount is going to die under those who work on it */
};

struct worker {
	unsigned index, processes;
	const char *point; /* of the mount */
	struct shared *shared;
	FILE *out;
	uint64_t random;
	int live, revision; /* descriptors of keys/ and of revision */

	/* The transaction, while there is one. */
	char name[128]; /* "": none */
	int keys, commit, restart, status, isolation, reads;
	enum level level;
	bool fresh;  /* nothing was done in it since it began */
	char id[64]; /* of the round that is being committed */

	/* What would be known had the mount not died. */
	bool asked;	  /* for the record's commit, or its live call */
	bool answered;	  /* and it was */
	struct event own; /* a live put whose revision is being looked for; NULL key: none */
	uint64_t own_floor;

	/* The record that is being made. */
	struct record record;
	GStringChunk *strings;
	GString *result;
};

/* `path`: the file its records go to. Ends the process when it cannot, and with 0 when it
 * finds that a mortal mount is dead; it has written down then what it was doing. */
void worker_init(struct worker *worker, const char *path);
void worker_done(struct worker *worker);
/* Says what failed and ends the process with 1. */
G_GNUC_PRINTF(2, 3)
G_GNUC_NORETURN void worker_fail(const struct worker *worker, const char *format, ...);

/* 0 .. limit - 1 */
unsigned worker_random(struct worker *worker, unsigned limit);
/* A text that lasts until the record is written. */
G_GNUC_PRINTF(2, 3)
const char *worker_text(struct worker *worker, const char *format, ...);
/* A word that no other value holds. */
const char *worker_tag(struct worker *worker);

/* A call in the transaction: its result, NULL for any error. */
const char *worker_call(struct worker *worker, enum call call, const char *key, const char *text);
/* The store's revision now. */
uint64_t worker_revision(struct worker *worker);

/* One transaction with `body`, which returns whether to commit. */
typedef bool worker_body_fn(struct worker *worker);
void worker_transaction(struct worker *worker, const char *kind, enum level level,
			worker_body_fn *body);

/* One call on the live tree. `text` NULL: something new for a put or an append. */
void worker_live(struct worker *worker, const char *kind, enum call call, const char *key,
		 const char *text);
/* A live put of a key that only this process writes; its revision is looked up. */
void worker_live_own(struct worker *worker, const char *key);

#define DUMP_KIND "final state"
/* Writes down the whole live tree, while nobody changes it. */
void worker_dump(struct worker *worker, const char *kind);

/* Workload: transactions of random kinds until none is left. */
void worker_run(struct worker *worker);
/* One transaction that makes what layout.h describes. */
bool worker_set_up(struct worker *worker);
