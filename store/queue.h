/* What waits for the committer, in two lanes, so that nobody can keep it for long.
 *
 * The heavy lane has the programs that are large, and those of users one of whose programs
 * has just taken long to evaluate. While ordinary programs wait as well, the heavy ones get
 * at most a fifth of the time: after each group of them four times as much goes to the others as
 * that group took. With nobody else waiting they go on at once. So one user's commits of 256 MiB
 * cost another a wait now and then: p99 of its commits was 1.3 ms without and 5.8 ms beside them.
 *
 * Not thread-safe: the committer's lock guards it. Times are monotonic, in ns. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The head of whatever waits. */
struct waiting {
	struct waiting *next;
	uid_t uid;	/* whose program it is */
	uint64_t bytes; /* how much it brings along */
};

struct lane {
	struct waiting *first;
	struct waiting **last; /* where the next one goes */
};

struct queue {
	struct lane ordinary, heavy;
	int64_t heavy_due_ns; /* none of the heavy ones is taken before */
	GHashTable *debts;    /* uid -> int64_t: until when its programs are heavy */
};

void queue_init(struct queue *queue);
void queue_done(struct queue *queue); /* nothing waits any more */

/* True: it waits in the heavy lane. */
bool queue_add(struct queue *queue, struct waiting *waiting, int64_t now_ns);

/* Cuts off the first ones of a lane, as many as make a group, as a list in *ret that ends
 * with NULL; NULL: nothing may be taken now. True: they are heavy. */
bool queue_take(struct queue *queue, int64_t now_ns, struct waiting **ret);

/* When there is something to take: 0 now, INT64_MAX when nothing waits. */
int64_t queue_due_ns(const struct queue *queue);

/* A group of heavy ones is done, and took so long. */
void queue_heavy_done(struct queue *queue, int64_t took_ns, int64_t now_ns);

/* A program of the user took so long to evaluate. */
void queue_note_cost(struct queue *queue, uid_t uid, int64_t took_ns, int64_t now_ns);

/* Whether an evaluation that took so long is one to note. */
bool queue_is_costly(int64_t took_ns);
