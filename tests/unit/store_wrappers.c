/* The engines around another: what is asked through them is answered as by the store itself,
 * told of, and failed where it is to fail. */
#include "tests/unit/store_test.h"

static int count_log(const struct log_entry *entry, void *arg)
{
	(void)entry;
	++*(guint *)arg;
	return 0;
}

static int count_version(const struct version *version, void *arg)
{
	(void)version;
	++*(guint *)arg;
	return 0;
}

static int count_entry(const char *name, struct record *record, void *arg)
{
	(void)name;
	(void)record;
	++*(guint *)arg;
	return 0;
}

static int count_name(const struct named_snapshot *snapshot, void *arg)
{
	(void)snapshot;
	++*(guint *)arg;
	return 0;
}

static void finished(const struct compaction *progress, bool done, int error, void *arg)
{
	(void)progress;
	(void)error;
	if (done)
		g_atomic_int_set((gint *)arg, 1);
}

static void wait_for(gint *done)
{
	while (!g_atomic_int_get(done))
		g_usleep(1000);
}

static int put_port(struct store *store, const char *text)
{
	static const struct credentials somebody = { 0 };
	struct program *program = program_new(&somebody);

	add_put(program, "port", text);
	return run_error(store, program);
}

static int compact(struct store *store)
{
	gint done = 0;
	int r = store_compact(store, store_revision(store), finished, &done);

	if (r == 0)
		wait_for(&done);
	return r;
}

static int purge(struct store *store)
{
	gint done = 0;
	int r = store_purge(store, "port", finished, &done);

	if (r == 0)
		wait_for(&done);
	return r;
}

/* What can fail, one call of the store each, in an order in which all succeed. */
enum { CALLS = 16 };

static int call_number(struct store *store, guint number)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(log_entry) entry = NULL;
	g_autoptr(snapshot) snapshot = NULL;
	g_autoptr(record) record = NULL;
	uint64_t begin, end;
	guint count = 0;

	switch (number) {
	case 0:
		return put_port(store, "8080");
	case 1:
		return store_snapshot(store, 0, &snapshot);
	case 2:
		return snapshot_get(store_head(store), "port", &record);
	case 3:
		return snapshot_list(store_head(store), "", NULL, count_entry, &count);
	case 4:
		return store_log(store, store_revision(store), &entry);
	case 5:
		return store_log_list(store, 1, count_log, &count);
	case 6:
		return store_log_span(store, &begin, &end);
	case 7:
		return store_log_text(store, 0, 100, text);
	case 8:
		return store_find_revision(store, g_get_real_time() * 1000, &begin);
	case 9:
		return store_history(store, "port", true, count_version, &count);
	case 10:
		return store_name_snapshot(store, "before", 0, 0, &begin);
	case 11:
		return store_find_snapshot(store, "before", &begin);
	case 12:
		return store_list_snapshots(store, count_name, &count);
	case 13:
		return store_drop_snapshot(store, "before");
	case 14:
		return compact(store);
	default:
		return purge(store);
	}
}

static void collect_line(const char *line, void *arg)
{
	g_ptr_array_add(arg, g_strdup(line));
}

Test(store_wrappers, each_call_is_told_with_its_outcome)
{
	g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
	struct store *store = store_trace_new(open_memory_store(), collect_line, lines);

	for (guint i = 0; i < CALLS; i++) {
		guint before = lines->len;

		cr_expect_eq(call_number(store, i), 0, "call %u", i);
		cr_expect_gt(lines->len, before, "call %u", i);
	}
	cr_expect_eq(store_revision(store), 2);
	store_close(store);
}

Test(store_wrappers, each_call_fails_once_where_it_is_to_fail)
{
	struct store *store = store_fault_new(open_memory_store(), 0, 0);

	for (guint i = 0; i < CALLS; i++) {
		store_fault_set(store, 1, -EIO);
		cr_expect_eq(call_number(store, i), -EIO, "call %u", i);
		cr_expect_eq(call_number(store, i), 0, "call %u again", i);
	}
	store_close(store);
}

static void count_statistic(const struct store_statistic *statistic, void *arg)
{
	(void)statistic;
	++*(guint *)arg;
}

Test(store_wrappers, what_cannot_fail_is_what_the_store_says)
{
	struct store *store = store_fault_new(open_memory_store(), 0, 0);
	struct store_metrics metrics;
	struct store_status status;
	uint64_t total, left;
	guint statistics = 0;

	put_port(store, "1");
	store_fault_set(store, 1, -EIO);
	store_get_status(store, &status);
	cr_expect_eq(status.revision, store_revision(store));
	store_get_metrics(store, &metrics);
	store_visit_statistics(store, count_statistic, &statistics);
	cr_expect_gt(statistics, 0);
	cr_expect_neq(store_new_ino(store), store_new_ino(store));
	store_get_space(store, &total, &left);
	store_close(store);
}
