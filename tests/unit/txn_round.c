/* Read sets, restart and rebase, limits, time-outs, texts. */
#include "txn_test.h"

#include "txn/account.h"

#include <sys/wait.h>

Test(txn_round, records_what_was_seen_and_nothing_of_its_own)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = NULL;

	cr_assert_eq(put(bench.live, "x", "0"), 0);
	txn = begin(&bench, "a");
	cr_assert_eq(put(txn_view(txn), "new", "1"), 0);
	expect_value(txn_view(txn), "new", "1");
	expect_value(txn_view(txn), "x", "0");
	expect_text(txn_text_reads(txn), "exists\t2\tx\nvalue\t2\tx\n");
	expect_text(txn_text_writes(txn), "put\t1\tnew\n");
}

Test(txn_round, renaming_a_directory_reads_all_below_it)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = NULL;

	cr_assert_eq(apply(bench.live, OP_MKDIR, "d"), 0);
	cr_assert_eq(put(bench.live, "d/x", "1"), 0);
	txn = begin(&bench, "a");
	cr_assert_eq(rename_key(txn_view(txn), "d", "e"), 0);
	expect_in_text(txn_text_reads(txn), "list\t3\td/\n");
	expect_in_text(txn_text_reads(txn), "value\t3\td/x\n");
	cr_assert_eq(put(bench.live, "d/x", "2"), 0);
	cr_expect_eq(commit(txn, ""), -ECANCELED);
}

Test(txn_round, restart_forgets_everything_but_the_level)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = begin(&bench, "a");

	cr_assert_eq(txn_set_isolation(txn, "serializable"), 0);
	cr_assert_eq(txn_set_message(txn, "m", 1, false), 0);
	cr_assert_eq(put(txn_view(txn), "x", "1"), 0);
	cr_expect_eq(txn_set_isolation(txn, "snapshot"), -EBUSY);
	cr_expect_eq(txn_set_isolation(txn, "chaos"), -EINVAL);
	cr_assert_eq(put(bench.live, "y", "1"), 0);
	cr_assert_eq(txn_restart(txn), 0);
	expect_value(txn_view(txn), "x", "(absent)");
	expect_value(txn_view(txn), "y", "1");
	expect_text(txn_text_writes(txn), "");
	expect_text(txn_text_message(txn), "");
	expect_text(txn_text_isolation(txn), "serializable\n");
}

/* A transaction whose read of x was overtaken, with a write to y and one to x. */
static struct txn *overtaken(struct bench *bench)
{
	struct txn *txn;

	cr_assert_eq(put(bench->live, "x", "0"), 0);
	txn = begin(bench, "edit");
	expect_value(txn_view(txn), "x", "0");
	cr_assert_eq(put(txn_view(txn), "x", "mine"), 0);
	cr_assert_eq(put(txn_view(txn), "y", "mine"), 0);
	cr_assert_eq(put(bench->live, "x", "theirs"), 0);
	return txn;
}

Test(txn_round, rebase_keeps_an_edit_over_a_conflict)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = overtaken(&bench);

	cr_assert_eq(commit(txn, ""), -ECANCELED);
	cr_assert_eq(txn_rebase(txn), 0);
	cr_expect_eq(txn_state(txn), TXN_OPEN);
	expect_value(txn_view(txn), "x", "mine");
	cr_expect_eq(commit(txn, "after a look"), 0);
	expect_value(bench.live, "x", "mine");
	expect_value(bench.live, "y", "mine");
}

Test(txn_round, rebase_refuses_what_nobody_was_told_of)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = overtaken(&bench);

	/* Open, and nobody has read conflicts. */
	cr_expect_eq(txn_rebase(txn), -ECANCELED);
	expect_in_text(txn_text_conflicts(txn), "value\t2\t3\t");
	cr_assert_eq(put(bench.live, "x", "theirs again"), 0);
	cr_expect_eq(txn_rebase(txn), -ECANCELED);
	expect_in_text(txn_text_conflicts(txn), "value\t2\t4\t");
	cr_expect_eq(txn_rebase(txn), 0);
	cr_expect_eq(commit(txn, ""), 0);
}

Test(txn_round, rebase_after_a_conflict_refuses_a_second_change)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = overtaken(&bench);

	cr_assert_eq(commit(txn, ""), -ECANCELED);
	cr_assert_eq(put(bench.live, "x", "theirs again"), 0);
	cr_expect_eq(txn_rebase(txn), -ECANCELED);
	expect_in_text(txn_text_conflicts(txn), "value\t2\t4\t");
	cr_expect_eq(txn_rebase(txn), 0);
	cr_expect_eq(commit(txn, ""), 0);
}

Test(txn_round, rebase_keeps_every_kind_of_write)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = NULL;

	cr_assert_eq(apply(bench.live, OP_MKDIR, "old"), 0);
	cr_assert_eq(put(bench.live, "old/x", "1"), 0);
	cr_assert_eq(put(bench.live, "gone", "1"), 0);
	txn = begin(&bench, "a");
	cr_assert_eq(rename_key(txn_view(txn), "old", "new"), 0);
	cr_assert_eq(apply(txn_view(txn), OP_DELETE, "gone"), 0);
	cr_assert_eq(apply(txn_view(txn), OP_MKDIR, "d"), 0);
	cr_assert_eq(put(txn_view(txn), "d/y", "2"), 0);
	cr_assert_eq(put(bench.live, "else", "1"), 0);
	cr_assert_eq(txn_rebase(txn), 0);
	expect_value(txn_view(txn), "else", "1");
	cr_expect_eq(commit(txn, ""), 0);
	expect_value(bench.live, "new/x", "1");
	expect_value(bench.live, "old/x", "(absent)");
	expect_value(bench.live, "gone", "(absent)");
	expect_value(bench.live, "d/y", "2");
}

Test(txn_round, a_limit_refuses_one_call_and_says_which)
{
	struct registry_options options;
	BENCH bench = { 0 };
	g_autoptr(txn) txn = NULL;

	registry_options_init(&options);
	options.limits.max_keys = 2;
	bench = bench_open(&options);
	txn = begin(&bench, "a");
	cr_assert_eq(put(txn_view(txn), "a", "1"), 0);
	cr_assert_eq(put(txn_view(txn), "b", "1"), 0);
	cr_expect_eq(put(txn_view(txn), "c", "1"), -EDQUOT);
	expect_in_text(txn_text_status(txn), "last_error write refused: c: 2 of 2 keys");
	cr_expect_eq(put(txn_view(txn), "a", "2"), 0);
	cr_expect_eq(commit(txn, ""), 0);
}

Test(txn_round, one_user_cannot_take_more_than_its_share_in_several_transactions)
{
	struct registry_options options;
	BENCH bench = { 0 };
	g_autofree char *value = g_strnfill(400, 'v');
	g_autoptr(txn) a = NULL, b = NULL;
	int64_t bytes, reads;

	registry_options_init(&options);
	options.max_user_bytes = 2000;
	options.max_user_reads = 3;
	bench = bench_open(&options);
	a = begin(&bench, "a");
	b = begin(&bench, "b");
	cr_assert_eq(put(txn_view(a), "x", value), 0);
	cr_assert_eq(put(txn_view(b), "y", value), 0);
	cr_expect_eq(put(txn_view(b), "z", value), -EDQUOT);
	cr_assert_eq(view_observe(txn_view(a), OBSERVE_EXISTS, "1", NULL), 0);
	cr_assert_eq(view_observe(txn_view(a), OBSERVE_EXISTS, "2", NULL), 0);
	cr_assert_eq(view_observe(txn_view(b), OBSERVE_EXISTS, "3", NULL), 0);
	cr_expect_eq(view_observe(txn_view(b), OBSERVE_EXISTS, "4", NULL), -EDQUOT);
	cr_assert_eq(txn_restart(a), 0);
	cr_expect_eq(view_observe(txn_view(b), OBSERVE_EXISTS, "4", NULL), 0);
	cr_expect_eq(put(txn_view(b), "z", value), 0);
	txn_end(a);
	txn_end(b);
	g_clear_pointer(&a, txn_unref);
	g_clear_pointer(&b, txn_unref);
	registry_get_usage(bench.registry, &bytes, &reads);
	cr_expect_eq(bytes, 0);
	cr_expect_eq(reads, 0);
}

/* Puts keys of a byte or two until one is refused. */
static int count_puts(struct txn *txn)
{
	int count = 0, r = 0;

	while (r == 0 && count < 10000) {
		g_autofree char *key = g_strdup_printf("%x", count);

		r = put(txn_view(txn), key, "");
		count += r == 0;
	}
	cr_expect_eq(r, -EDQUOT);
	return count;
}

static int count_observations(struct txn *txn)
{
	int count = 0, r = 0;

	while (r == 0 && count < 10000) {
		g_autofree char *key = g_strdup_printf("%x", count);

		r = view_observe(txn_view(txn), OBSERVE_EXISTS, key, NULL);
		count += r == 0;
	}
	cr_expect_eq(r, -EDQUOT);
	return count;
}

Test(txn_round, short_keys_count_for_what_they_take)
{
	struct registry_options options;
	g_autofree char *long_key = g_strnfill(255, 'k');
	BENCH bench = { 0 };
	g_autoptr(txn) txn = NULL;
	int64_t bytes, reads;
	int puts;

	registry_options_init(&options);
	options.max_user_bytes = 64 * 1024;
	bench = bench_open(&options);
	txn = begin(&bench, "a");
	puts = count_puts(txn);
	cr_expect(puts > 150 && puts < 210, "%d", puts);
	cr_assert_eq(txn_restart(txn), 0);
	cr_expect_eq(count_puts(txn), puts);
	cr_assert_eq(txn_restart(txn), 0);
	puts = count_observations(txn);
	cr_expect(puts > 400 && puts < 520, "%d", puts);
	cr_expect_eq(put(txn_view(txn), long_key, ""), -EDQUOT);
	cr_assert_eq(txn_restart(txn), 0);
	cr_expect_eq(put(txn_view(txn), long_key, ""), 0);
	txn_end(txn);
	g_clear_pointer(&txn, txn_unref);
	registry_get_usage(bench.registry, &bytes, &reads);
	cr_expect_eq(bytes, 0);
	cr_expect_eq(reads, 0);
}

Test(txn_round, what_was_seen_and_cannot_be_recorded_is_not_committed)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = begin(&bench, "a");

	cr_assert_eq(put(txn_view(txn), "x", "1"), 0);
	txn_lose_reads(txn);
	cr_expect_eq(commit(txn, ""), -EDQUOT);
	cr_assert_eq(txn_restart(txn), 0);
	cr_assert_eq(put(txn_view(txn), "x", "1"), 0);
	cr_expect_eq(commit(txn, ""), 0);
}

/* Waits for `wanted`, at most ten seconds. */
static bool eventually(struct txn *txn, enum txn_state wanted)
{
	for (int i = 0; i < 1000 && txn_state(txn) != wanted; i++)
		g_usleep(10000);
	return txn_state(txn) == wanted;
}

Test(txn_round, one_of_no_process_expires_and_keeps_its_name_until_it_is_ended)
{
	struct registry_options options;
	BENCH bench = { 0 };
	g_autoptr(txn) txn = NULL, again = NULL;

	registry_options_init(&options);
	options.idle_timeout_s = 1;
	bench = bench_open(&options);
	txn = begin(&bench, "job");
	cr_assert_eq(put(txn_view(txn), "x", "1"), 0);
	cr_assert(eventually(txn, TXN_OVER));
	cr_expect_not(txn_is_gone(txn));
	cr_expect_eq(put(txn_view(txn), "x", "1"), -ESTALE);
	cr_expect_eq(commit(txn, ""), -ESTALE);
	cr_expect_eq(txn_restart(txn), -ESTALE);
	cr_expect_eq(registry_begin(bench.registry, "job", getpid(), &test_user, &again), -EEXIST);
	txn_end(txn);
	cr_expect(txn_is_gone(txn));
	cr_expect_eq(registry_begin(bench.registry, "job", getpid(), &test_user, &again), 0);
	cr_expect_eq(registry_abandoned(bench.registry), 1);
}

Test(txn_round, is_not_idle_while_a_file_is_open_in_it)
{
	struct registry_options options;
	BENCH bench = { 0 };
	g_autoptr(txn) txn = NULL;

	registry_options_init(&options);
	options.idle_timeout_s = 1;
	bench = bench_open(&options);
	txn = begin(&bench, "job");
	txn_hold(txn);
	g_usleep(2500000);
	cr_expect_eq(txn_state(txn), TXN_OPEN);
	txn_release(txn);
	cr_expect(eventually(txn, TXN_OVER));
}

Test(txn_round, a_timeout_of_its_own_counts)
{
	BENCH bench = bench_open(NULL);
	g_autoptr(txn) txn = begin(&bench, "job");

	expect_text(txn_text_timeout(txn), "3600\n");
	cr_expect_eq(txn_set_timeout(txn, "soon"), -EINVAL);
	cr_expect_eq(txn_set_timeout(txn, "max"), 0);
	expect_text(txn_text_timeout(txn), "max\n");
	cr_expect_eq(txn_set_timeout(txn, "1"), 0);
	cr_expect(eventually(txn, TXN_OVER));
}

Test(txn_round, ends_with_the_process_that_owns_it)
{
	BENCH bench = bench_open(NULL);
	struct credentials me = { .uid = getuid(), .gid = getgid() };
	g_autoptr(txn) txn = NULL;
	pid_t child = fork();

	if (child == 0) {
		pause();
		_exit(0);
	}
	cr_assert_eq(registry_begin(bench.registry, NULL, child, &me, &txn), 0);
	cr_assert_eq(put(txn_view(txn), "x", "1"), 0);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	cr_expect(eventually(txn, TXN_OVER));
	cr_expect(txn_is_gone(txn));
}

Test(txn_round, passes_to_the_parent_while_nothing_was_done_in_it)
{
	BENCH bench = bench_open(NULL);
	struct credentials me = { .uid = getuid(), .gid = getgid() };
	g_autoptr(txn) txn = NULL, own = NULL;
	pid_t child = fork();

	if (child == 0) {
		pause();
		_exit(0);
	}
	cr_assert_eq(registry_begin(bench.registry, NULL, child, &me, &txn), 0);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	for (int i = 0; i < 1000 && !own; i++) {
		g_usleep(10000);
		(void)registry_find_own(bench.registry, getuid(), getpid(), &own);
	}
	cr_expect_eq(own, txn);
	cr_expect_eq(txn_state(txn), TXN_OPEN);
}

Test(txn_round, names_are_checked)
{
	static const char *const bad[] = { "", ".x", "new", "self", "a/b", "a b", "\xc3\xa9" };
	BENCH bench = bench_open(NULL);
	g_autofree char *longest = g_strnfill(64, 'n'), *longer = g_strnfill(65, 'n');
	g_autoptr(txn) txn = NULL, other = NULL;

	for (guint i = 0; i < G_N_ELEMENTS(bad); i++)
		cr_expect_eq(registry_begin(bench.registry, bad[i], getpid(), &test_user, &other),
			     -EINVAL, "%s", bad[i]);
	cr_expect_eq(registry_begin(bench.registry, longer, getpid(), &test_user, &other), -EINVAL);
	cr_expect_eq(registry_begin(bench.registry, longest, getpid(), &test_user, &txn), 0);
	cr_expect_eq(registry_begin(bench.registry, "999999999", getpid(), &test_user, &other),
		     -ESRCH);
}

Test(txn_text, escapes_what_could_forge_a_line_or_reach_a_terminal)
{
	static const struct {
		const char *text, *escaped;
	} rows[] = {
		{ "plain \xc3\xa9", "plain \xc3\xa9" },
		{ "a\tb\nc\\", "a\\tb\\nc\\\\" },
		{ "\x1b[31m", "\\033[31m" },
		{ "\x7f", "\\177" },
		{ "\xc2\x9b", "\\302\\233" },
		{ "\xe2\x80\xae", "\\342\\200\\256" },
		{ "\xff\xfe", "\\377\\376" },
		{ "\xe2\x80", "\\342\\200" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		GString *out = g_string_new(NULL);

		text_append_escaped(out, rows[i].text);
		expect_text(out, rows[i].escaped);
	}
}

Test(txn_text, times_are_rfc_3339_with_milliseconds)
{
	GString *out = g_string_new(NULL);

	text_append_time(out, G_GINT64_CONSTANT(1795262400123456789));
	expect_text(out, "2026-11-21T12:00:00.123Z");
}

Test(txn_account, charges_up_to_the_limit_and_gives_back)
{
	const struct account_limits limits = { .max_bytes = 10,
					       .max_reads = 1,
					       .max_transactions = 1 };
	struct accounts *accounts = accounts_new(&limits);
	const struct account ten = { .bytes = 10 }, one = { .bytes = 1 }, back = { .bytes = -10 };

	cr_expect_eq(accounts_charge(accounts, 1, &ten), 0);
	cr_expect_eq(accounts_charge(accounts, 1, &one), -EDQUOT);
	cr_expect_eq(accounts_charge(accounts, 2, &one), 0);
	cr_expect_eq(accounts_charge(accounts, 1, &back), 0);
	cr_expect_eq(accounts_get(accounts, 1).bytes, 0);
	cr_expect_eq(accounts_total(accounts).bytes, 1);
	accounts_free(accounts);
}

Test(txn_round, a_million_keys_commit_at_once_and_one_more_is_refused, .timeout = 280)
{
	struct registry_options options;
	BENCH bench = { 0 };
	g_autoptr(txn) txn = NULL;
	uint64_t before;

	registry_options_init(&options);
	bench = bench_open(&options);
	txn = begin(&bench, "big");
	for (guint i = 0; i < 1000000; i++) {
		char key[32];

		if (i % 10000 == 0)
			g_snprintf(key, sizeof(key), "d%u", i / 10000);
		else
			g_snprintf(key, sizeof(key), "d%u/%u", i / 10000, i);
		cr_assert_eq(i % 10000 == 0 ? apply(txn_view(txn), OP_MKDIR, key) :
					      put(txn_view(txn), key, "v"),
			     0, "%s", key);
	}
	cr_expect_eq(put(txn_view(txn), "one more", "v"), -EDQUOT);
	before = store_revision(bench.store);
	cr_assert_eq(commit(txn, "all"), 0);
	cr_expect_eq(store_revision(bench.store), before + 1);
	expect_value(bench.live, "d0/1", "v");
	expect_value(bench.live, "d99/999999", "v");
}
