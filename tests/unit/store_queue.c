/* Who waits for the committer: store/queue.c. */
#include "store/queue.h"

#include <criterion/criterion.h>

enum { MS = 1000 * 1000, MIB = 1024 * 1024 };

static struct queue queue;
static struct waiting programs[8];

static void start(void)
{
	queue_init(&queue);
}

static void stop(void)
{
	struct waiting *cut;

	do
		queue_take(&queue, INT64_MAX, &cut);
	while (cut);
	queue_done(&queue);
}

TestSuite(store_queue, .init = start, .fini = stop);

static bool add(int number, uid_t uid, uint64_t bytes, int64_t now_ns)
{
	programs[number] = (struct waiting){ .uid = uid, .bytes = bytes };
	return queue_add(&queue, &programs[number], now_ns);
}

/* How many are taken, which are those from `first` on. */
static int take(int64_t now_ns, int first)
{
	struct waiting *cut;
	int count = 0;

	queue_take(&queue, now_ns, &cut);
	for (; cut; cut = cut->next)
		cr_expect_eq(cut, &programs[first + count++]);
	return count;
}

Test(store_queue, ordinary_programs_are_taken_in_order_and_together)
{
	cr_expect_eq(queue_due_ns(&queue), INT64_MAX);
	for (int i = 0; i < 3; i++)
		cr_expect_not(add(i, 1, 100, 0));
	cr_expect_eq(queue_due_ns(&queue), 0);
	cr_expect_eq(take(0, 0), 3);
	cr_expect_eq(take(0, 0), 0);
}

Test(store_queue, a_group_of_heavy_ones_has_a_bounded_size)
{
	for (int i = 0; i < 4; i++)
		cr_expect(add(i, 1, 9 * MIB, 0));
	cr_expect_eq(take(0, 0), 1);
	cr_expect_eq(take(0, 1), 1);
	add(4, 1, 200 * MIB, 0);
	cr_expect_eq(take(0, 2), 1);
	cr_expect_eq(take(0, 3), 1);
	cr_expect_eq(take(0, 4), 1);
}

Test(store_queue, heavy_ones_go_on_at_once_while_nobody_else_waits)
{
	add(0, 1, 2 * MIB, 0);
	add(1, 1, 20 * MIB, 0);
	cr_expect_eq(take(0, 0), 1);
	queue_heavy_done(&queue, 100 * MS, 100 * MS);
	cr_expect_eq(queue_due_ns(&queue), 0);
	cr_expect_eq(take(100 * MS, 1), 1);
}

Test(store_queue, others_get_four_times_as_much_time_as_a_heavy_group_took)
{
	add(0, 1, 2 * MIB, 0);
	cr_expect_eq(take(0, 0), 1);
	add(1, 2, 10, 50 * MS);
	add(2, 1, 2 * MIB, 60 * MS);
	queue_heavy_done(&queue, 100 * MS, 100 * MS);
	cr_expect_eq(take(100 * MS, 1), 1);
	cr_expect_eq(take(101 * MS, 2), 0);
	cr_expect_eq(queue_due_ns(&queue), 500 * MS);
	add(3, 2, 10, 450 * MS);
	cr_expect_eq(take(450 * MS, 3), 1);
	/* It is not put off for ever either. */
	add(4, 2, 10, 499 * MS);
	cr_expect_eq(take(500 * MS, 2), 1);
	cr_expect_eq(take(501 * MS, 4), 1);
}

Test(store_queue, a_user_whose_program_took_long_is_heavy_for_that_long)
{
	cr_expect_not(queue_is_costly(1 * MS));
	cr_expect(queue_is_costly(150 * MS));
	queue_note_cost(&queue, 1, 50 * MS, 100 * MS);
	cr_expect(add(0, 1, 10, 120 * MS));
	cr_expect_not(add(1, 2, 10, 120 * MS));
	cr_expect_not(add(2, 1, 10, 150 * MS));
}
