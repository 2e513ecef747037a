/* See gate.h. */
#include "fs/gate.h"

#include "fs/loop.h"

#include <glib.h>
#include <pthread.h>
#include <stdbool.h>

/* Of one user at a time: who is alone has work for more than one processor, and another
 * competes with no more than that. */
enum { WIDTH = 2 };

/* What waits for its turn. */
struct work {
	gate_fn *run;
	void *arg;
};

struct user {
	int running;
	GQueue waiting; /* struct work */
};

struct gate {
	pthread_mutex_t lock;
	GHashTable *users; /* lock: uid -> struct user, of those who have something running */
};

struct gate *gate_new(void)
{
	struct gate *gate = g_new0(struct gate, 1);

	pthread_mutex_init(&gate->lock, NULL);
	gate->users = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	return gate;
}

void gate_free(struct gate *gate)
{
	if (!gate)
		return;
	g_hash_table_unref(gate->users);
	pthread_mutex_destroy(&gate->lock);
	g_free(gate);
}

static struct user *obtain_locked(struct gate *gate, uid_t uid)
{
	struct user *user = g_hash_table_lookup(gate->users, GUINT_TO_POINTER(uid));

	if (!user) {
		user = g_new0(struct user, 1);
		g_queue_init(&user->waiting);
		g_hash_table_insert(gate->users, GUINT_TO_POINTER(uid), user);
	}
	return user;
}

/* True: it may run; otherwise it waits. */
static bool enter(struct gate *gate, uid_t uid, const struct work *work)
{
	struct user *user;
	bool entered;

	pthread_mutex_lock(&gate->lock);
	user = obtain_locked(gate, uid);
	entered = user->running < WIDTH;
	if (entered)
		user->running++;
	else
		g_queue_push_tail(&user->waiting, g_memdup2(work, sizeof(*work)));
	pthread_mutex_unlock(&gate->lock);
	return entered;
}

/* The next of the user's, which takes the place of one that is through; NULL: none. */
static struct work *leave(struct gate *gate, uid_t uid)
{
	struct user *user;
	struct work *next;

	pthread_mutex_lock(&gate->lock);
	user = obtain_locked(gate, uid);
	next = g_queue_pop_head(&user->waiting);
	if (!next && --user->running == 0)
		g_hash_table_remove(gate->users, GUINT_TO_POINTER(uid));
	pthread_mutex_unlock(&gate->lock);
	return next;
}

void gate_run(struct gate *gate, uid_t uid, gate_fn *run, void *arg)
{
	struct work work = { run, arg };
	struct work *next;

	if (!enter(gate, uid, &work))
		return;
	loop_step_down();
	work.run(work.arg);
	while ((next = leave(gate, uid))) {
		work = *next;
		g_free(next);
		work.run(work.arg);
	}
}
