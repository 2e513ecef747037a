/* The cache of records: what it knows at which revision. */
#include "store/cache.h"
#include "tests/unit/store_test.h"

static struct cache *cache;

static void setup(void)
{
	cache = cache_new();
}

static void teardown(void)
{
	cache_free(cache);
}

TestSuite(store_cache, .init = setup, .fini = teardown);

static void set(const char *key, enum record_type type, uint64_t mod, uint64_t attribute,
		const char *value)
{
	g_autoptr(record) record = record_new(type);

	record->mod_revision = mod;
	record->attribute_revision = attribute;
	if (value)
		record_take_value(record, g_bytes_new(value, strlen(value)));
	cache_set(cache, key, record);
}

static bool knows(const char *key, uint64_t revision)
{
	g_autoptr(record) record = cache_get(cache, key, revision);

	return record != NULL;
}

Test(store_cache, a_record_is_not_known_before_its_revision)
{
	set("k", RECORD_VALUE, 7, 0, "seven");
	cr_expect(knows("k", 0));
	cr_expect(knows("k", 8));
	cr_expect(knows("k", 7));
	cr_expect_not(knows("k", 6));
	cr_expect_not(knows("l", 0));
}

Test(store_cache, a_directory_is_of_the_later_of_its_two_revisions)
{
	set("entries", RECORD_DIRECTORY, 9, 3, NULL);
	set("attributes", RECORD_DIRECTORY, 3, 9, NULL);
	cr_expect_not(knows("entries", 8));
	cr_expect_not(knows("attributes", 8));
	cr_expect(knows("entries", 9));
	cr_expect(knows("attributes", 9));
}

Test(store_cache, what_goes_or_grows_is_forgotten)
{
	g_autofree char *large = g_strnfill(4096, 'x');

	set("k", RECORD_VALUE, 2, 0, "two");
	cache_set(cache, "k", NULL);
	cr_expect_not(knows("k", 0));
	set("k", RECORD_VALUE, 3, 0, "three");
	set("k", RECORD_VALUE, 4, 0, large);
	cr_expect_not(knows("k", 0));
	set("k", RECORD_VALUE, 5, 0, "five");
	cache_clear(cache);
	cr_expect_not(knows("k", 0));
}

/* ---- Beside commits ------------------------------------------------------------- */

struct reading {
	struct store *store;
	gint stop;  /* atomic */
	gint wrong; /* atomic: snapshots that did not have the value of their revision */
};

/* Each commit changes the key: what a snapshot has of it is of the snapshot's revision. */
static void *read_newest(void *arg)
{
	struct reading *reading = arg;

	while (!g_atomic_int_get(&reading->stop)) {
		g_autoptr(snapshot) snapshot = NULL;
		g_autoptr(record) record = NULL;

		if (store_snapshot(reading->store, 0, &snapshot) < 0 ||
		    snapshot_get(snapshot, "k", &record) < 0 ||
		    record->mod_revision != snapshot->revision)
			g_atomic_int_inc(&reading->wrong);
	}
	return NULL;
}

Test(store_cache, a_snapshot_taken_while_a_commit_is_written_has_the_value_of_its_revision)
{
	struct reading reading = { .store = open_memory_store() };
	pthread_t readers[2];

	cr_assert_eq(put(reading.store, "k", "0"), 0);
	for (size_t i = 0; i < G_N_ELEMENTS(readers); i++)
		cr_assert_eq(pthread_create(&readers[i], NULL, read_newest, &reading), 0);
	for (int i = 0; i < 20000; i++)
		cr_assert_eq(put(reading.store, "k", "1"), 0);
	g_atomic_int_set(&reading.stop, 1);
	for (size_t i = 0; i < G_N_ELEMENTS(readers); i++)
		pthread_join(readers[i], NULL);
	cr_expect_eq(reading.wrong, 0);
	store_close(reading.store);
}
