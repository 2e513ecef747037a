/* Taking turns: see turns.c. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct turns;

typedef void turn_fn(void *arg);

enum turn_state {
	TURN_NONE,
	TURN_WAITING, /* its go() is to come */
	TURN_TAKEN,   /* a round is under way that counts */
};

/* One who takes turns; zeroed at first, and in nobody's queue before it is freed. All of it
 * is under the lock of the turns. */
struct turn {
	enum turn_state state;
	GList link;
	int64_t since_us; /* monotonic: when it began to wait, or to go */
	turn_fn *go;
	void *arg;
};

/* -errno: the timer cannot be had. */
int turns_new(struct turns **ret);
void turns_free(struct turns *turns); /* accepts NULL */

/* Readable when turns_expire() has something to do. */
int turns_timer_fd(const struct turns *turns);
/* Calls go() of those who waited long enough. */
void turns_expire(struct turns *turns);

/* Calls go(arg) once, now or from another thread, a tenth of a second from now at most. A
 * turn that `turn` had has ended. */
void turns_take(struct turns *turns, struct turn *turn, turn_fn *go, void *arg);

/* The turn has ended, or need not be waited for any more: then its own go() is due as well.
 * Those whose go() is due are put into `due`, for turns_go(). */
void turns_end(struct turns *turns, struct turn *turn, GQueue *due);
void turns_go(GQueue *due);

/* Everybody who waits is due, and nobody waits from now on; turns_expire() calls nobody any
 * more when this returns. */
void turns_stop(struct turns *turns);

/* A round of one who takes turns has ended: how many go at once follows from what comes
 * back. */
void turns_note(struct turns *turns, bool conflict);
