/* Histograms, the text format, and what a store measures. */
#include "fs/exposition.h"
#include "tests/unit/store_test.h"

Test(metrics, a_number_is_in_the_first_bucket_that_reaches_it)
{
	cr_expect_eq(histogram_bucket(0), 0);
	cr_expect_eq(histogram_bucket(1), 0);
	cr_expect_eq(histogram_bucket(2), 1);
	cr_expect_eq(histogram_bucket(3), 2);
	cr_expect_eq(histogram_bucket(4), 2);
	cr_expect_eq(histogram_bucket(5), 3);
	for (int i = 0; i < HISTOGRAM_BOUNDS; i++)
		cr_expect_eq(histogram_bucket(UINT64_C(1) << i), (unsigned)i);
	cr_expect_eq(histogram_bucket((UINT64_C(1) << (HISTOGRAM_BOUNDS - 1)) + 1),
		     HISTOGRAM_BOUNDS);
	cr_expect_eq(histogram_bucket(UINT64_MAX), HISTOGRAM_BOUNDS);
}

Test(metrics, times_are_rounded_up_to_microseconds_and_their_sum_is_exact)
{
	struct histogram histogram = { 0 };

	histogram_add_ns(&histogram, 1000);
	histogram_add_ns(&histogram, 1001);
	histogram_add_ns(&histogram, -5);
	cr_expect_eq(histogram.buckets[0], 2);
	cr_expect_eq(histogram.buckets[1], 1);
	cr_expect_eq(histogram.sum, 2001);
	cr_expect_eq(histogram_count(&histogram), 3);
}

#define ADDERS 4
#define EACH 100000

static void *add_often(void *arg)
{
	for (int i = 0; i < EACH; i++)
		histogram_add(arg, (uint64_t)i);
	return NULL;
}

Test(metrics, many_threads_lose_nothing)
{
	struct histogram histogram = { 0 }, sum = { 0 };
	pthread_t threads[ADDERS];

	for (int i = 0; i < ADDERS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, add_often, &histogram), 0);
	for (int i = 0; i < ADDERS; i++)
		pthread_join(threads[i], NULL);
	histogram_add_all(&sum, &histogram);
	histogram_add_all(&sum, &histogram);
	cr_expect_eq(histogram_count(&sum), 2 * ADDERS * EACH);
	cr_expect_eq(sum.sum, UINT64_C(2) * ADDERS * EACH * (EACH - 1) / 2);
}

Test(metrics, labels_are_escaped)
{
	GString *out = g_string_new(NULL);

	exposition_family(out, "x_total", "counter", "Some help.");
	exposition_sample(out, "x_total", NULL, NULL, UINT64_MAX);
	exposition_sample(out, "x_total", "path", "a\"b\\c\nd\xff", 1);
	cr_expect_str_eq(out->str, "# HELP x_total Some help.\n# TYPE x_total counter\n"
				   "x_total 18446744073709551615\n"
				   "x_total{path=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\"} 1\n");
	g_string_free(out, TRUE);
}

Test(metrics, a_histogram_is_summed_up_in_seconds)
{
	GString *out = g_string_new(NULL);
	struct histogram histogram = { 0 };

	histogram_add_ns(&histogram, 1500);
	histogram_add_ns(&histogram, 3000000);
	histogram_add_ns(&histogram, INT64_C(100) * 1000000000);
	exposition_histogram(out, "t_seconds", "op", "x", &histogram, &exposition_seconds);
	cr_expect(g_str_has_prefix(out->str, "t_seconds_bucket{op=\"x\",le=\"1e-06\"} 0\n"
					     "t_seconds_bucket{op=\"x\",le=\"2e-06\"} 1\n"));
	cr_expect(strstr(out->str, "t_seconds_bucket{op=\"x\",le=\"0.002048\"} 1\n"
				   "t_seconds_bucket{op=\"x\",le=\"0.004096\"} 2\n"));
	cr_expect(g_str_has_suffix(out->str, "t_seconds_bucket{op=\"x\",le=\"33.554432\"} 2\n"
					     "t_seconds_bucket{op=\"x\",le=\"+Inf\"} 3\n"
					     "t_seconds_sum{op=\"x\"} 100.0030015\n"
					     "t_seconds_count{op=\"x\"} 3\n"));
	g_string_free(out, TRUE);
}

Test(metrics, sizes_have_whole_bounds_and_no_label)
{
	GString *out = g_string_new(NULL);
	struct histogram histogram = { 0 };

	histogram_add(&histogram, 3);
	exposition_histogram(out, "size", NULL, NULL, &histogram, &exposition_numbers);
	cr_expect(g_str_has_prefix(out->str, "size_bucket{le=\"1\"} 0\nsize_bucket{le=\"2\"} 0\n"
					     "size_bucket{le=\"4\"} 1\n"));
	cr_expect(g_str_has_suffix(out->str, "size_sum 3\nsize_count 1\n"));
	g_string_free(out, TRUE);
}

Test(metrics, a_store_measures_its_commits)
{
	struct store *store = open_memory_store();
	struct store_metrics before, after;
	struct program *program = program_new(&test_root);

	store_get_metrics(store, &before);
	cr_expect_eq(histogram_count(&before.commit_times), 0);
	cr_assert_eq(put(store, "a", "1"), 0);
	cr_assert_eq(put(store, "a", "2"), 0);
	program_compare(program, COMPARE_MOD, COMPARE_EQUAL, "a", 1);
	cr_assert_eq(run_error(store, program), 0);
	store_get_metrics(store, &after);
	/* Who only looks is no commit. */
	cr_expect_eq(histogram_count(&after.commit_times), 2);
	cr_expect_eq(histogram_count(&after.group_sizes), 2);
	cr_expect_eq(after.group_sizes.sum, 2);
	cr_expect_eq(histogram_count(&after.steps[STORE_STEP_WAIT]), 2);
	cr_expect_eq(histogram_count(&after.steps[STORE_STEP_EVALUATE]), 2);
	cr_expect_eq(histogram_count(&after.steps[STORE_STEP_WRITE]), 2);
	cr_expect_eq(after.syncs, 2);
	cr_expect_gt(after.batch_bytes, before.batch_bytes);
	cr_expect_gt(after.cache_hits, 0);
	cr_expect_gt(after.cache_misses, 0);
	store_close(store);
}

static void collect(const struct store_statistic *statistic, void *arg)
{
	GHashTable *names = arg;

	cr_expect_eq(statistic->counter, g_str_has_suffix(statistic->name, "_total"), "%s",
		     statistic->name);
	cr_expect_eq(statistic->label == NULL, statistic->value == NULL);
	g_hash_table_add(names, g_strdup(statistic->name));
}

Test(metrics, a_store_tells_what_lies_below_through_any_wrapper)
{
	struct store *store = store_fault_new(open_memory_store(), 0, 0);
	GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

	store_visit_statistics(store, collect, names);
	cr_expect(g_hash_table_contains(names, "rocksdb_files"));
	cr_expect(g_hash_table_contains(names, "rocksdb_memtable_bytes"));
	cr_expect(g_hash_table_contains(names, "rocksdb_block_cache_hits_total"));
	cr_expect(g_hash_table_contains(names, "rocksdb_stall_microseconds_total"));
	g_hash_table_unref(names);
	store_close(store);
}
