/* The three views: what they read, list, and refuse. */
#include "txn_test.h"

static int add_name(const char *name, struct record *record, void *arg)
{
	g_string_append_printf(arg, "%s%s ", name, record->type == RECORD_DIRECTORY ? "/" : "");
	return 0;
}

static void expect_list(struct view *view, const char *directory, const char *wanted)
{
	GString *names = g_string_new(NULL);

	cr_assert_eq(view_list(view, directory, add_name, names), 0);
	cr_expect_str_eq(names->str, wanted);
	g_string_free(names, TRUE);
}

Test(txn_view, every_view_lists_in_byte_order_of_names)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = NULL;
	g_autoptr(snapshot) snapshot = NULL;
	struct view *past;

	/* As stored keys a directory sorts as its name with a slash behind. */
	cr_assert_eq(apply(bench.live, OP_MKDIR, "a"), 0);
	cr_assert_eq(put(bench.live, "a-b", ""), 0);
	cr_assert_eq(put(bench.live, "a/x", ""), 0);
	cr_assert_eq(put(bench.live, "B", ""), 0);
	expect_list(bench.live, "", "B a/ a-b ");
	txn = begin(&bench, "t");
	expect_list(txn_view(txn), "", "B a/ a-b ");
	cr_assert_eq(store_snapshot(bench.store, store_revision(bench.store), &snapshot), 0);
	past = view_new_past(snapshot);
	expect_list(past, "", "B a/ a-b ");
	expect_list(past, "a", "x ");
	view_free(past);
}

Test(txn_view, a_past_view_shows_its_revision_and_refuses_changes)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(snapshot) snapshot = NULL;
	struct view *past;

	cr_assert_eq(put(bench.live, "x", "old"), 0);
	cr_assert_eq(store_snapshot(bench.store, store_revision(bench.store), &snapshot), 0);
	cr_assert_eq(put(bench.live, "x", "new"), 0);
	cr_assert_eq(put(bench.live, "y", "new"), 0);
	past = view_new_past(snapshot);
	expect_value(past, "x", "old");
	expect_value(past, "y", "(absent)");
	cr_expect_eq(put(past, "x", "other"), -EROFS);
	cr_expect_eq(apply(past, OP_DELETE, "x"), -EROFS);
	expect_value(bench.live, "x", "new");
	view_free(past);
}

Test(txn_view, a_transaction_lists_its_own_writes_with_the_snapshot)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = NULL;

	cr_assert_eq(put(bench.live, "gone", ""), 0);
	cr_assert_eq(put(bench.live, "kept", ""), 0);
	txn = begin(&bench, "t");
	cr_assert_eq(apply(txn_view(txn), OP_DELETE, "gone"), 0);
	cr_assert_eq(apply(txn_view(txn), OP_MKDIR, "new"), 0);
	cr_assert_eq(put(bench.live, "later", ""), 0);
	expect_list(txn_view(txn), "", "kept new/ ");
	expect_list(bench.live, "", "gone kept later ");
}

Test(txn_view, knows_what_it_has_recorded)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = NULL;

	cr_assert_eq(put(bench.live, "x", "0"), 0);
	txn = begin(&bench, "t");
	cr_expect_not(view_has_observed(txn_view(txn), OBSERVE_VALUE, "x"));
	expect_value(txn_view(txn), "x", "0");
	cr_expect(view_has_observed(txn_view(txn), OBSERVE_VALUE, "x"));
	cr_expect_not(view_has_observed(bench.live, OBSERVE_VALUE, "x"));
	cr_assert_eq(put(txn_view(txn), "own", "1"), 0);
	cr_expect(view_has_observed(txn_view(txn), OBSERVE_VALUE, "own"));
	cr_assert_eq(txn_restart(txn), 0);
	cr_expect_not(view_has_observed(txn_view(txn), OBSERVE_VALUE, "x"));
}
