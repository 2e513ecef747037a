/* Taking turns.
 *
 * Optimistic transactions on the same few keys waste most of their work: of sixteen clients
 * on ten keys four in a group can win, and the others read and write all over again, to lose
 * again. So a transaction that has lost waits with its restart, which is where the next
 * round begins, until few enough of its like are under way; first come, first served. How
 * many may be is found as TCP finds its window (additive increase, multiplicative decrease:
 * Chiu and Jain, 1989): a conflict takes a fifth of it, a success adds a little.
 *
 * It is advice only. Validation decides as ever; who never lost never waits; whoever waits
 * goes after a tenth of a second at the latest; a round that takes longer than some
 * milliseconds, as one at a keyboard does, keeps nobody. */
#include "txn/turns.h"

#include <errno.h>
#include <pthread.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define WAIT_US (100 * 1000) /* at most */
#define ROUND_US (20 * 1000) /* a round counts for so long */
#define WINDOW_MIN 1.0
#define WINDOW_MAX 64.0
/* With these a few rounds in a hundred meet a conflict. */
#define WINDOW_DECREASE 0.8
#define WINDOW_INCREASE 0.1

struct turns {
	pthread_mutex_t lock;
	GQueue waiting; /* lock: struct turn, in the order they came */
	GQueue taken;	/* lock: struct turn, in the order they went */
	double window;	/* lock: how many may be under way */
	bool stopped;	/* lock */
	bool expiring;	/* lock: turns_expire() calls those who are due */
	pthread_cond_t expired;
	int timer_fd; /* set once */
};

int turns_new(struct turns **ret)
{
	struct turns *turns;
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0)
		return -errno;
	turns = g_new0(struct turns, 1);
	turns->timer_fd = fd;
	turns->window = WINDOW_MAX;
	pthread_mutex_init(&turns->lock, NULL);
	pthread_cond_init(&turns->expired, NULL);
	*ret = turns;
	return 0;
}

void turns_free(struct turns *turns)
{
	if (!turns)
		return;
	g_assert(g_queue_is_empty(&turns->waiting) && g_queue_is_empty(&turns->taken));
	close(turns->timer_fd);
	pthread_cond_destroy(&turns->expired);
	pthread_mutex_destroy(&turns->lock);
	g_free(turns);
}

int turns_timer_fd(const struct turns *turns)
{
	return turns->timer_fd;
}

/* ---- Queues, under the lock ----------------------------------------------------- */

static void enter_locked(GQueue *queue, struct turn *turn, enum turn_state state)
{
	turn->state = state;
	turn->since_us = g_get_monotonic_time();
	turn->link.data = turn;
	g_queue_push_tail_link(queue, &turn->link);
}

static void leave_locked(struct turns *turns, struct turn *turn)
{
	if (turn->state == TURN_WAITING)
		g_queue_unlink(&turns->waiting, &turn->link);
	else if (turn->state == TURN_TAKEN)
		g_queue_unlink(&turns->taken, &turn->link);
	turn->state = TURN_NONE;
}

static bool has_room_locked(const struct turns *turns)
{
	return turns->stopped || turns->taken.length < (guint)turns->window;
}

/* A copy of what is to be called: the turn may be gone before it is. */
static void add_due(GQueue *due, const struct turn *turn)
{
	struct turn *copy = g_new(struct turn, 1);

	*copy = *turn;
	g_queue_push_tail(due, copy);
}

static void let_go_locked(struct turns *turns, struct turn *turn, GQueue *due)
{
	leave_locked(turns, turn);
	enter_locked(&turns->taken, turn, TURN_TAKEN);
	add_due(due, turn);
}

static void fill_locked(struct turns *turns, GQueue *due)
{
	while (turns->waiting.length > 0 && has_room_locked(turns))
		let_go_locked(turns, g_queue_peek_head(&turns->waiting), due);
}

/* The timer runs while somebody waits. */
static void set_timer_locked(struct turns *turns)
{
	const struct turn *first = g_queue_peek_head(&turns->waiting);
	const struct turn *oldest = g_queue_peek_head(&turns->taken);
	struct itimerspec at = { 0 };
	int64_t due_us;

	if (first) {
		due_us = first->since_us + WAIT_US;
		if (oldest)
			due_us = MIN(due_us, oldest->since_us + ROUND_US);
		at.it_value.tv_sec = due_us / G_USEC_PER_SEC;
		at.it_value.tv_nsec = due_us % G_USEC_PER_SEC * 1000 + 1; /* 0 would stop it */
	}
	timerfd_settime(turns->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

/* ---- Going ---------------------------------------------------------------------- */

void turns_go(GQueue *due)
{
	struct turn *turn;

	while ((turn = g_queue_pop_head(due))) {
		turn->go(turn->arg);
		g_free(turn);
	}
}

void turns_take(struct turns *turns, struct turn *turn, turn_fn *go, void *arg)
{
	GQueue due = G_QUEUE_INIT;

	pthread_mutex_lock(&turns->lock);
	leave_locked(turns, turn);
	turn->go = go;
	turn->arg = arg;
	enter_locked(&turns->waiting, turn, TURN_WAITING);
	fill_locked(turns, &due);
	if (turn->state == TURN_WAITING && turns->waiting.length == 1)
		set_timer_locked(turns);
	pthread_mutex_unlock(&turns->lock);
	turns_go(&due);
}

void turns_end(struct turns *turns, struct turn *turn, GQueue *due)
{
	pthread_mutex_lock(&turns->lock);
	if (turn->state == TURN_WAITING)
		add_due(due, turn);
	leave_locked(turns, turn);
	fill_locked(turns, due);
	pthread_mutex_unlock(&turns->lock);
}

void turns_expire(struct turns *turns)
{
	int64_t now_us = g_get_monotonic_time();
	GQueue due = G_QUEUE_INIT;
	struct turn *turn;
	uint64_t times;
	ssize_t size = read(turns->timer_fd, &times, sizeof(times));

	(void)size; /* what is due is looked at anyway */
	pthread_mutex_lock(&turns->lock);
	while ((turn = g_queue_peek_head(&turns->taken)) && turn->since_us + ROUND_US <= now_us)
		leave_locked(turns, turn);
	fill_locked(turns, &due);
	while ((turn = g_queue_peek_head(&turns->waiting)) && turn->since_us + WAIT_US <= now_us)
		let_go_locked(turns, turn, &due);
	set_timer_locked(turns);
	turns->expiring = true;
	pthread_mutex_unlock(&turns->lock);
	turns_go(&due);
	pthread_mutex_lock(&turns->lock);
	turns->expiring = false;
	pthread_cond_broadcast(&turns->expired);
	pthread_mutex_unlock(&turns->lock);
}

void turns_stop(struct turns *turns)
{
	GQueue due = G_QUEUE_INIT;

	pthread_mutex_lock(&turns->lock);
	turns->stopped = true;
	fill_locked(turns, &due);
	while (turns->expiring)
		pthread_cond_wait(&turns->expired, &turns->lock);
	pthread_mutex_unlock(&turns->lock);
	turns_go(&due);
}

void turns_note(struct turns *turns, bool conflict)
{
	pthread_mutex_lock(&turns->lock);
	if (conflict)
		turns->window = MAX(turns->window * WINDOW_DECREASE, WINDOW_MIN);
	else
		turns->window = MIN(turns->window + WINDOW_INCREASE, WINDOW_MAX);
	pthread_mutex_unlock(&turns->lock);
}
