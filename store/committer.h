/* The committer: takes programs from many threads and makes groups of them, each written
 * in one batch with one sync.
 *
 * Whoever submits while nobody leads becomes the leader and commits groups until nothing
 * waits any more; the others only queue up. To hand each program to a dedicated thread would
 * cost two switches, 8 to 12 us, where there is one client. There is one all the same, for
 * what no submitter can do: it goes on leading where programs come without a pause, so that
 * no thread that has other work leads for long, and it takes up the heavy programs that had
 * to wait (see queue.h). */
#pragma once

#include "store/cache.h"
#include "store/log.h"
#include "store/queue.h"
#include "store/tree_sum.h"

#include <pthread.h>

struct local;
struct job;

struct committer {
	struct local *local; /* set once */
	pthread_mutex_t lock;
	pthread_cond_t wake;   /* of the thread */
	pthread_cond_t idle;   /* nobody leads any more */
	pthread_t thread;      /* set once */
	struct queue queue;    /* lock: those waiting */
	gint waiting;	       /* lock to change, atomic to look at: how many ordinary ones do */
	bool leading;	       /* lock: somebody commits */
	bool handed_over;      /* lock: the thread is to go on leading */
	bool stop;	       /* lock */
	gint expected;	       /* the leader's: as many as may wait soon */
	struct cache *cache;   /* the leader's */
	store_lead_fn *lead;   /* set once, before the first submit */
	void *lead_arg;	       /* the same */
	struct log_place log;  /* the leader's: where the next entry goes */
	struct tree_sum sum;   /* the leader's, of an encrypted store */
	store_watch_fn *watch; /* set once, before the first submit */
	void *watch_arg;       /* the same */
	guint64 commits;       /* atomic */
	guint64 groups;	       /* atomic */

	struct store_metrics metrics; /* atomic */
};

/* `last` is the newest entry of the log, of which the numbers do. -errno: there is no thread to be
 * had, and nothing to be done with it. */
int committer_init(struct committer *committer, struct local *local, const struct log_entry *last);
void committer_done(struct committer *committer);

/* As store_drain. */
void committer_drain(struct committer *committer);

/* As store_get_metrics. */
void committer_get_metrics(const struct committer *committer, struct store_metrics *ret);

/* As store_submit. */
void committer_submit(struct committer *committer, struct program *program, program_done_fn *done,
		      void *arg);
