/* Group commit with many threads, watching, and the wrappers for tests. */
#include "tests/unit/store_test.h"

#define THREADS 8
#define ROUNDS 200

static struct store *store;

static void setup(void)
{
	store = open_memory_store();
	cr_assert_eq(put(store, "counter", ""), 0);
	cr_assert_eq(make_directory(store, "d"), 0);
}

static void teardown(void)
{
	store_close(store);
}

TestSuite(store_groups, .init = setup, .fini = teardown);

static void run_threads(void *(*body)(void *))
{
	pthread_t threads[THREADS];

	for (intptr_t i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, body, (void *)i), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void *append_often(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		struct program *program = program_new(&test_root);

		add_append(program, "counter", "x");
		cr_assert_eq(run_error(store, program), 0);
	}
	return NULL;
}

Test(store_groups, appends_of_many_threads_lose_nothing)
{
	struct store_status status;
	g_autoptr(record) record = NULL;

	run_threads(append_often);
	record = record_now(store, "counter");
	cr_expect_eq(record->size_bytes, THREADS * ROUNDS);
	cr_expect_eq(record->version, THREADS * ROUNDS + 1);
	store_get_status(store, &status);
	cr_expect_eq(status.commits, THREADS * ROUNDS + 2);
	cr_expect_leq(status.groups, status.commits);
}

/* Reads, and writes only if nobody else did meanwhile. */
static bool try_increment(void)
{
	g_autoptr(record) before = record_now(store, "counter");
	struct program *program = program_new(&test_root);
	struct outcome outcome;

	program_compare(program, COMPARE_MOD, COMPARE_EQUAL, "counter", before->mod_revision);
	add_append(program, "counter", "y");
	outcome = run(store, program);
	cr_expect_eq(outcome.error, 0);
	if (!outcome.succeeded) {
		const struct failure *failure = (const struct failure *)outcome.failures->data;

		cr_expect_gt(failure->change_revision, before->mod_revision);
	}
	outcome_clear(&outcome);
	return outcome.succeeded;
}

static gint succeeded;

static void *increment_often(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		if (try_increment())
			g_atomic_int_inc(&succeeded);
	}
	return NULL;
}

Test(store_groups, of_those_who_read_the_same_one_wins)
{
	g_autoptr(record) record = NULL;

	run_threads(increment_often);
	record = record_now(store, "counter");
	cr_expect_eq(record->size_bytes, (uint64_t)g_atomic_int_get(&succeeded));
	cr_expect_gt(succeeded, 0);
}

static void *make_names(void *arg)
{
	for (int i = 0; i < ROUNDS / 4; i++) {
		g_autofree char *key = g_strdup_printf("d/%d-%d", (int)(intptr_t)arg, i);

		cr_assert_eq(put(store, key, key), 0);
	}
	return NULL;
}

Test(store_groups, a_directory_sees_every_new_entry)
{
	g_autoptr(record) directory = NULL;

	run_threads(make_names);
	directory = record_now(store, "d");
	cr_expect_eq(directory->version, THREADS * ROUNDS / 4 + 1);
	cr_expect_eq(directory->mod_revision, store_revision(store));
}

/* ---- Watching ------------------------------------------------------------------- */

struct watched {
	uint64_t last; /* revision */
	GString *text;
	bool readable;
};

static void watch(const struct log_entry *commit, void *arg)
{
	struct watched *watched = arg;

	cr_expect_eq(commit->revision, watched->last + 1);
	watched->last = commit->revision;
	watched->readable = store_revision(store) >= commit->revision;
	for (guint i = 0; i < commit->changes->len; i++) {
		const struct change *change = commit->changes->pdata[i];

		g_string_append_printf(watched->text, "%s %s %d>%d;",
				       change_kind_name(change->kind), change->key,
				       change->before ? (int)change->before->version : 0,
				       change->after ? (int)change->after->version : 0);
	}
}

Test(store_groups, a_watcher_hears_of_every_commit_with_its_records)
{
	struct watched watched = { .last = store_revision(store), .text = g_string_new("") };

	store_watch(store, watch, &watched);
	cr_expect_eq(put(store, "d/a", ""), 0);
	cr_expect_str_eq(watched.text->str, "touch d 1>2;put d/a 0>1;");
	cr_expect(watched.readable);
	g_string_truncate(watched.text, 0);
	cr_expect_eq(rename_key(store, "d", "e", 0), 0);
	cr_expect_str_eq(watched.text->str,
			 "touch  3>4;rmdir d 2>0;delete d/a 1>0;mkdir e 0>1;put e/a 0>1;");
	g_string_truncate(watched.text, 0);
	run_threads(append_often);
	cr_expect_eq(watched.last, store_revision(store));
	g_string_free(watched.text, TRUE);
}

/* ---- Wrappers ------------------------------------------------------------------- */

static void collect_line(const char *line, void *arg)
{
	g_string_append_printf(arg, "%s\n", line);
}

Test(store_groups, a_traced_store_tells_every_call)
{
	g_autoptr(GString) lines = g_string_new("");
	struct store *traced = store_trace_new(open_memory_store(), collect_line, lines);
	g_autoptr(snapshot) snapshot = NULL;
	g_autofree char *names = NULL;

	cr_expect_eq(put(traced, "k", ""), 0);
	cr_expect_eq(put(traced, "x/y", ""), -ENOENT);
	cr_assert_eq(store_snapshot(traced, 0, &snapshot), 0);
	names = names_in(snapshot, "", NULL);
	cr_expect_str_eq(names, "k");
	g_clear_pointer(&snapshot, snapshot_unref);
	store_close(traced);
	cr_expect_str_eq(lines->str,
			 "submit 0 compares, 1 operations: ok, succeeded, revision 2\n"
			 "submit 0 compares, 1 operations: No such file or directory, succeeded, "
			 "revision 2\n"
			 "snapshot 0: ok\n"
			 "list '' at 2: ok\n"
			 "close\n");
}

Test(store_groups, a_faulty_store_fails_exactly_the_nth_call)
{
	struct store *faulty = store_fault_new(open_memory_store(), 0, -EIO);
	struct snapshot *head = store_head(faulty);
	struct record *record = NULL;

	cr_expect_eq(put(faulty, "k", "1"), 0);
	store_fault_set(faulty, 2, -ENOSPC);
	cr_expect_eq(snapshot_get(head, "k", &record), 0);
	record_unref(record);
	cr_expect_eq(put(faulty, "k", "2"), -ENOSPC);
	cr_expect_eq(put(faulty, "k", "3"), 0);
	expect_value(faulty, "k", "3");
	cr_expect_eq(store_revision(faulty), 3);
	store_close(faulty);
}

Test(store_groups, an_overlay_survives_every_failing_read)
{
	struct store *faulty = store_fault_new(open_memory_store(), 0, -EIO);
	const struct overlay_limits limits = { 1000, 1000, 1000, 0 };
	g_autoptr(program) program = program_new(&test_root);
	const struct op *op = add_rename(program, "a", "b", 0);
	bool failed = true;

	cr_expect_eq(make_directory(faulty, "a"), 0);
	cr_expect_eq(put(faulty, "a/x", ""), 0);
	for (guint nth = 1; failed; nth++) {
		g_autoptr(overlay) overlay = overlay_new(store_head(faulty), &limits);
		int r;

		store_fault_set(faulty, nth, -EIO);
		r = overlay_apply(overlay, op, &test_root, true, 0, NULL, NULL);
		store_fault_set(faulty, 0, 0);
		failed = r < 0;
		cr_expect(!failed || r == -EIO, "call %u: %d", nth, r);
		cr_expect_eq(overlay_keys(overlay), failed ? 0 : 4, "call %u", nth);
		cr_assert_lt(nth, 50);
	}
	store_close(faulty);
}
