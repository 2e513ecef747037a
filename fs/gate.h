/* Work that may take long, by user: of each only so many at a time, the others in turn, so
 * that however many requests one user has under way, the threads are there for others. */
#pragma once

#include <sys/types.h>

struct gate;

/* Serves a request; replies to it. */
typedef void gate_fn(void *arg);

struct gate *gate_new(void);
void gate_free(struct gate *gate); /* accepts NULL; nothing is under way any more */

/* Calls work(arg) now, or when an earlier one of the user is through, from its thread. Steps
 * down first (see loop.h). Hold no lock. */
void gate_run(struct gate *gate, uid_t uid, gate_fn *work, void *arg);
