/* Taking turns: txn/turns.c. */
#include "txn/turns.h"

#include <criterion/criterion.h>
#include <poll.h>

static struct turns *turns;
static int went[100]; /* who went, in that order */
static int went_count;

static void go(void *arg)
{
	went[went_count++] = *(int *)arg;
}

static int names[100];
static struct turn turn[100];

static void start(void)
{
	cr_assert_eq(turns_new(&turns), 0);
	went_count = 0;
	for (int i = 0; i < 100; i++) {
		names[i] = i;
		turn[i] = (struct turn){ 0 };
	}
}

static void stop(void)
{
	GQueue due = G_QUEUE_INIT;

	turns_stop(turns);
	for (int i = 0; i < 100; i++)
		turns_end(turns, &turn[i], &due);
	turns_go(&due);
	turns_free(turns);
}

static void take(int i)
{
	turns_take(turns, &turn[i], go, &names[i]);
}

static void end(int i)
{
	GQueue due = G_QUEUE_INIT;

	turns_end(turns, &turn[i], &due);
	turns_go(&due);
}

/* Until one may be under way only. */
static void lose_often(void)
{
	for (int i = 0; i < 100; i++)
		turns_note(turns, true);
}

TestSuite(turns, .init = start, .fini = stop);

Test(turns, nobody_waits_while_there_are_no_conflicts)
{
	for (int i = 0; i < 60; i++)
		take(i);
	cr_assert_eq(went_count, 60);
}

Test(turns, after_many_conflicts_one_goes_at_a_time_first_come_first_served)
{
	lose_often();
	for (int i = 0; i < 5; i++)
		take(i);
	cr_assert_eq(went_count, 1);
	for (int i = 0; i < 4; i++) {
		end(i);
		cr_assert_eq(went_count, i + 2);
		cr_assert_eq(went[i + 1], i + 1);
	}
}

Test(turns, successes_let_more_go_at_once)
{
	lose_often();
	for (int i = 0; i < 21; i++)
		turns_note(turns, false);
	for (int i = 0; i < 5; i++)
		take(i);
	cr_assert_eq(went_count, 3);
}

Test(turns, taking_again_ends_the_turn_before)
{
	lose_often();
	take(0);
	take(1);
	cr_assert_eq(went_count, 1);
	take(0); /* behind 1 */
	cr_assert_eq(went_count, 2);
	cr_assert_eq(went[1], 1);
	end(1);
	cr_assert_eq(went_count, 3);
	cr_assert_eq(went[2], 0);
}

Test(turns, who_waits_and_ends_is_called_all_the_same)
{
	lose_often();
	take(0);
	take(1);
	take(2);
	end(1);
	cr_assert_eq(went_count, 2);
	cr_assert_eq(went[1], 1);
	end(0);
	cr_assert_eq(went[2], 2);
}

/* A round that takes long keeps nobody, and the timer tells when. */
Test(turns, a_long_round_counts_no_more)
{
	struct pollfd timer = { .fd = turns_timer_fd(turns), .events = POLLIN };

	lose_often();
	take(0);
	cr_assert_eq(poll(&timer, 1, 0), 0);
	take(1);
	cr_assert_eq(went_count, 1);
	cr_assert_eq(poll(&timer, 1, 10000), 1);
	turns_expire(turns);
	cr_assert_eq(went_count, 2);
	cr_assert_eq(poll(&timer, 1, 0), 0); /* nobody waits */
}

Test(turns, nobody_waits_when_they_are_stopped)
{
	lose_often();
	for (int i = 0; i < 5; i++)
		take(i);
	turns_stop(turns);
	cr_assert_eq(went_count, 5);
	take(5);
	cr_assert_eq(went_count, 6);
}
