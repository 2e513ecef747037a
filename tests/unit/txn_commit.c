/* Committing: what conflicts, at which level, and what is left of a round. */
#include "txn_test.h"

Test(txn_commit, applies_everything_under_one_revision)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = begin(&bench, "a");
	uint64_t before = store_revision(bench.store);

	cr_assert_eq(apply(txn_view(txn), OP_MKDIR, "d"), 0);
	cr_assert_eq(put(txn_view(txn), "d/x", "1"), 0);
	cr_assert_eq(put(txn_view(txn), "d/y", "2"), 0);
	expect_value(bench.live, "d/x", "(absent)");
	cr_expect_eq(commit(txn, "why\n"), 0);
	cr_expect_eq(store_revision(bench.store), before + 1);
	expect_value(bench.live, "d/x", "1");
	expect_value(bench.live, "d/y", "2");
	cr_expect_eq(txn_state(txn), TXN_COMMITTED);
	cr_expect_eq(put(txn_view(txn), "d/x", "3"), -ESTALE);
}

Test(txn_commit, refuses_a_reader_whose_key_changed)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) slow = NULL, fast = NULL;

	cr_assert_eq(put(bench.live, "x", "0"), 0);
	slow = begin(&bench, "slow");
	fast = begin(&bench, "fast");
	expect_value(txn_view(slow), "x", "0");
	cr_assert_eq(put(txn_view(fast), "x", "1"), 0);
	cr_assert_eq(commit(fast, "first"), 0);
	cr_assert_eq(put(txn_view(slow), "y", "2"), 0);
	cr_expect_eq(commit(slow, "second"), -ECANCELED);
	expect_value(bench.live, "y", "(absent)");
	cr_expect_eq(put(txn_view(slow), "y", "3"), -ECANCELED);
}

Test(txn_commit, refuses_who_saw_a_name_absent_that_is_there_now)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = begin(&bench, "a");

	expect_value(txn_view(txn), "x", "(absent)");
	cr_assert_eq(put(bench.live, "x", "1"), 0);
	cr_assert_eq(put(txn_view(txn), "y", "2"), 0);
	cr_expect_eq(commit(txn, ""), -ECANCELED);
	expect_in_text(txn_text_conflicts(txn), "exists\t0\t2\t");
}

Test(txn_commit, forgives_what_was_absent_before_and_is_absent_now)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = begin(&bench, "a");

	expect_value(txn_view(txn), "x", "(absent)");
	cr_assert_eq(put(bench.live, "x", "1"), 0);
	cr_assert_eq(apply(bench.live, OP_DELETE, "x"), 0);
	cr_assert_eq(put(txn_view(txn), "y", "2"), 0);
	cr_expect_eq(commit(txn, ""), 0);
}

Test(txn_commit, gives_every_later_writer_the_same_outcome_until_restart)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = begin(&bench, "a");
	uint64_t revision;

	cr_assert_eq(put(txn_view(txn), "x", "1"), 0);
	cr_assert_eq(commit(txn, ""), 0);
	revision = store_revision(bench.store);
	cr_expect_eq(commit(txn, ""), 0);
	cr_expect_eq(store_revision(bench.store), revision);
	cr_assert_eq(txn_restart(txn), 0);
	cr_assert_eq(put(txn_view(txn), "x", "2"), 0);
	cr_expect_eq(commit(txn, ""), 0);
	expect_value(bench.live, "x", "2");
}

Test(txn_commit, commits_a_reader_without_a_revision)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = NULL;

	cr_assert_eq(put(bench.live, "x", "0"), 0);
	txn = begin(&bench, "a");
	expect_value(txn_view(txn), "x", "0");
	cr_assert_eq(put(bench.live, "x", "1"), 0);
	cr_expect_eq(commit(txn, ""), 0);
	expect_text(txn_text_commit(txn), "committed 2\n");
}

/* A blind write to a key that another changed meanwhile. */
static int blind_write(const char *level)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = NULL;

	cr_assert_eq(put(bench.live, "x", "0"), 0);
	txn = begin(&bench, "a");
	cr_assert_eq(txn_set_isolation(txn, level), 0);
	cr_assert_eq(put(txn_view(txn), "x", "2"), 0);
	cr_assert_eq(put(bench.live, "x", "1"), 0);
	return commit(txn, "");
}

Test(txn_commit, validates_blind_writes_as_the_level_says)
{
	cr_expect_eq(blind_write("serializable-snapshot"), -ECANCELED);
	cr_expect_eq(blind_write("serializable"), 0);
	cr_expect_eq(blind_write("snapshot"), -ECANCELED);
}

/* Two read both keys, each writes one. */
static int write_skew(const char *level)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) a = NULL, b = NULL;

	cr_assert_eq(put(bench.live, "x", "0"), 0);
	cr_assert_eq(put(bench.live, "y", "0"), 0);
	a = begin(&bench, "a");
	b = begin(&bench, "b");
	cr_assert_eq(txn_set_isolation(a, level), 0);
	cr_assert_eq(txn_set_isolation(b, level), 0);
	expect_value(txn_view(a), "x", "0");
	expect_value(txn_view(a), "y", "0");
	expect_value(txn_view(b), "x", "0");
	expect_value(txn_view(b), "y", "0");
	cr_assert_eq(put(txn_view(a), "x", "1"), 0);
	cr_assert_eq(put(txn_view(b), "y", "1"), 0);
	cr_assert_eq(commit(a, ""), 0);
	return commit(b, "");
}

Test(txn_commit, prevents_write_skew_but_at_the_snapshot_level)
{
	cr_expect_eq(write_skew("serializable-snapshot"), -ECANCELED);
	cr_expect_eq(write_skew("serializable"), -ECANCELED);
	cr_expect_eq(write_skew("snapshot"), 0);
}

Test(txn_commit, never_writes_below_a_directory_that_is_gone)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = NULL;

	cr_assert_eq(apply(bench.live, OP_MKDIR, "d"), 0);
	txn = begin(&bench, "a");
	cr_assert_eq(txn_set_isolation(txn, "snapshot"), 0);
	cr_assert_eq(put(txn_view(txn), "d/x", "1"), 0);
	cr_assert_eq(apply(bench.live, OP_RMDIR, "d"), 0);
	cr_expect_eq(commit(txn, ""), -ECANCELED);
}

Test(txn_commit, never_removes_a_directory_that_is_not_empty_then)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = NULL;

	cr_assert_eq(apply(bench.live, OP_MKDIR, "d"), 0);
	txn = begin(&bench, "a");
	cr_assert_eq(txn_set_isolation(txn, "serializable"), 0);
	cr_assert_eq(apply(txn_view(txn), OP_RMDIR, "d"), 0);
	cr_assert_eq(put(bench.live, "d/x", "1"), 0);
	cr_expect_eq(commit(txn, ""), -ECANCELED);
	expect_value(bench.live, "d/x", "1");
}

Test(txn_commit, deletes_a_tree_and_writes_into_it_again)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = NULL;

	cr_assert_eq(apply(bench.live, OP_MKDIR, "d"), 0);
	cr_assert_eq(put(bench.live, "d/x", "1"), 0);
	txn = begin(&bench, "a");
	cr_assert_eq(apply(txn_view(txn), OP_DELETE, "d/x"), 0);
	cr_assert_eq(apply(txn_view(txn), OP_RMDIR, "d"), 0);
	cr_assert_eq(put(txn_view(txn), "d", "a file now"), 0);
	cr_assert_eq(apply(txn_view(txn), OP_DELETE, "d"), 0);
	cr_assert_eq(apply(txn_view(txn), OP_MKDIR, "d"), 0);
	cr_assert_eq(put(txn_view(txn), "d/y", "2"), 0);
	cr_expect_eq(commit(txn, ""), 0);
	expect_value(bench.live, "d/x", "(absent)");
	expect_value(bench.live, "d/y", "2");
}

Test(txn_commit, tells_who_changed_what_and_why)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) slow = NULL, fast = NULL;

	cr_assert_eq(put(bench.live, "x", "0"), 0);
	slow = begin(&bench, "slow");
	fast = begin(&bench, "fast");
	expect_value(txn_view(slow), "x", "0");
	cr_assert_eq(put(txn_view(slow), "x", "2"), 0);
	cr_assert_eq(put(txn_view(fast), "x", "1"), 0);
	cr_assert_eq(commit(fast, "two\twords\n"), 0);
	expect_in_text(txn_text_conflicts(slow), "\t77\ttest\ttwo\\twords\tx\n");
	cr_expect_eq(txn_state(slow), TXN_OPEN);
	cr_assert_eq(commit(slow, ""), -ECANCELED);
	expect_in_text(txn_text_conflicts(slow), "value\t2\t3\t");
	expect_in_text(txn_text_conflicts(slow), "write\t2\t3\t");
	expect_in_text(txn_text_commit(slow), "conflict (2 items");
}

Test(txn_commit, refuses_a_message_that_is_too_long_and_stays_usable)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = begin(&bench, "a");
	g_autofree char *message = g_strnfill(4097, 'm');

	cr_assert_eq(put(txn_view(txn), "x", "1"), 0);
	cr_expect_eq(commit(txn, message), -EFBIG);
	cr_expect_eq(txn_state(txn), TXN_OPEN);
	message[4096] = '\n';
	cr_expect_eq(commit(txn, message), 0);
}

Test(txn_commit, a_store_that_fails_leaves_the_outcome_unknown)
{
	struct store_options store_options;
	struct registry_options options;
	struct store *inner = NULL, *faulty;
	struct registry *registry = NULL;
	g_autoptr(txn) txn = NULL;
	char *message = NULL;

	store_options_init(&store_options);
	registry_options_init(&options);
	cr_assert_eq(store_open(&store_options, &inner, &message), 0);
	faulty = store_fault_new(inner, 0, -EIO);
	cr_assert_eq(registry_new(faulty, &options, &registry), 0);
	cr_assert_eq(registry_begin(registry, "a", getpid(), &test_user, &txn), 0);
	cr_assert_eq(put(txn_view(txn), "x", "1"), 0);
	store_fault_set(faulty, 1, -EIO);
	cr_expect_eq(commit(txn, ""), -EIO);
	cr_expect_eq(txn_state(txn), TXN_FAILED);
	cr_expect_eq(commit(txn, ""), -EIO);
	expect_in_text(txn_text_commit(txn), "over (commit: the store failed");
	g_clear_pointer(&txn, txn_unref);
	registry_free(registry);
	store_close(faulty);
}
