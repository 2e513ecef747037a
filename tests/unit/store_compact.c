/* Compaction: what goes, what stays, by itself, over a restart; and the space it frees. */
#include "store/local.h"
#include "tests/unit/store_test.h"

#include <glib/gstdio.h>

static struct store *store;
static char *path; /* of a store on the disk, or NULL */

static void setup(void)
{
	store = open_memory_store();
}

static void teardown(void)
{
	store_close(store);
	if (path) {
		g_autofree char *command = g_strdup_printf("rm -rf '%s'", path);

		cr_assert_eq(system(command), 0);
		g_clear_pointer(&path, g_free);
	}
}

TestSuite(store_compact, .init = setup, .fini = teardown);

static void open_options(struct store_options *options)
{
	char *message = NULL;

	cr_assert_eq(store_open(options, &store, &message), 0, "%s", message);
}

static void reopen(void)
{
	struct store_options options;

	store_close(store);
	store_options_init(&options);
	options.path = path;
	options.sync = STORE_SYNC_NONE;
	open_options(&options);
}

/* Goes on with a store on the disk. */
static void use_disk(void)
{
	char *message = NULL;

	path = g_dir_make_tmp("compact.XXXXXX", NULL);
	cr_assert_eq(store_create(path, &message), 0, "%s", message);
	reopen();
}

/* ---- Waiting -------------------------------------------------------------------- */

struct awaited {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool finished;
	int error;
	struct compaction last;
};

#define WAITING                                                                     \
	{                                                                           \
		.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER \
	}

static void progressed(const struct compaction *progress, bool finished, int error, void *arg)
{
	struct awaited *waiting = arg;

	pthread_mutex_lock(&waiting->lock);
	cr_expect_not(waiting->finished);
	waiting->finished = finished;
	waiting->error = error;
	waiting->last = *progress;
	pthread_cond_broadcast(&waiting->wake);
	pthread_mutex_unlock(&waiting->lock);
}

static void wait_finished(struct awaited *waiting)
{
	pthread_mutex_lock(&waiting->lock);
	while (!waiting->finished)
		pthread_cond_wait(&waiting->wake, &waiting->lock);
	pthread_mutex_unlock(&waiting->lock);
}

static uint64_t compact(uint64_t revision)
{
	struct awaited waiting = WAITING;

	cr_assert_eq(store_compact(store, revision, progressed, &waiting), 0);
	wait_finished(&waiting);
	cr_expect_eq(waiting.error, 0);
	cr_expect_not(waiting.last.running);
	return waiting.last.records_removed;
}

static uint64_t oldest(void)
{
	struct store_status status;

	store_get_status(store, &status);
	return status.oldest_revision;
}

static int snapshot_error(uint64_t revision)
{
	g_autoptr(snapshot) snapshot = NULL;

	return store_snapshot(store, revision, &snapshot);
}

#define expect_value_at(revision, key, text)                                          \
	do {                                                                          \
		g_autofree char *found_ = value_at(store, revision, key);             \
		cr_expect_str_eq(found_ ? found_ : "(absent)", text, "%s at %d", key, \
				 (int)(revision));                                    \
	} while (0)

/* Revision i gives "k" the value i. */
static void put_numbers(int last)
{
	for (int i = (int)store_revision(store) + 1; i <= last; i++) {
		g_autofree char *text = g_strdup_printf("%d", i);

		cr_assert_eq(put(store, "k", text), 0);
	}
}

/* ---- What goes ------------------------------------------------------------------ */

Test(store_compact, the_revision_itself_stays)
{
	struct log_entry *entry = NULL;

	put_numbers(10);
	/* Revisions 2 to 5 of "k", 1 of the root, and the entries of 1 to 5. */
	cr_expect_eq(compact(6), 4 + 1 + 5);
	cr_expect_eq(oldest(), 6);
	for (int i = 6; i <= 10; i++) {
		g_autofree char *text = g_strdup_printf("%d", i);

		expect_value_at(i, "k", text);
	}
	cr_expect_eq(snapshot_error(5), -ENOENT);
	cr_expect_eq(snapshot_error(1), -ENOENT);
	cr_expect_eq(store_log(store, 5, &entry), -ENOENT);
	cr_assert_eq(store_log(store, 6, &entry), 0);
	log_entry_free(entry);
}

Test(store_compact, the_past_is_not_compacted_twice_and_the_future_not_at_all)
{
	struct awaited waiting = WAITING;

	put_numbers(10);
	cr_expect_eq(store_compact(store, 11, progressed, &waiting), -ENOENT);
	cr_expect_not(waiting.finished);
	compact(7);
	cr_expect_eq(compact(3), 0);
	cr_expect_eq(oldest(), 7);
	expect_value_at(7, "k", "7");
}

Test(store_compact, what_is_deleted_leaves_nothing)
{
	cr_expect_eq(make_directory(store, "d"), 0);
	cr_expect_eq(put(store, "d/a", ""), 0);
	cr_expect_eq(put(store, "d/a", "1"), 0);
	cr_expect_eq(remove_key(store, OP_DELETE, "d/a"), 0);
	cr_expect_eq(remove_key(store, OP_RMDIR, "d"), 0); /* 6 */
	compact(6);
	expect_names(store, 6, "", "");
	cr_expect_eq(compact(6), 0);
}

Test(store_compact, a_name_keeps_its_revision)
{
	put_numbers(10);
	cr_assert_eq(store_name_snapshot(store, "n", 4, 0, NULL), 0);
	compact(8);
	expect_value_at(4, "k", "4");
	expect_names(store, 4, "", "k");
	cr_expect_eq(snapshot_error(5), -ENOENT);
	cr_expect_eq(snapshot_error(3), -ENOENT);
	cr_expect_eq(store_name_snapshot(store, "m", 4, 0, NULL), 0);
	cr_expect_eq(store_name_snapshot(store, "l", 5, 0, NULL), -ENOENT);
	cr_expect_eq(store_drop_snapshot(store, "n"), 0);
	compact(8);
	expect_value_at(4, "k", "4");
	cr_expect_eq(store_drop_snapshot(store, "m"), 0);
	cr_expect_eq(snapshot_error(4), -ENOENT);
	cr_expect_eq(store_name_snapshot(store, "m", 4, 0, NULL), -ENOENT);
}

Test(store_compact, dropping_a_name_frees_what_it_kept)
{
	struct store_status status;

	put_numbers(10);
	cr_assert_eq(store_name_snapshot(store, "n", 4, 0, NULL), 0);
	compact(8);
	cr_expect_eq(store_drop_snapshot(store, "n"), 0);
	for (int i = 0; i < 5000; i++) {
		store_get_status(store, &status);
		/* That pass finds "k" as of 4. The root is as it was. */
		if (!status.compaction.running && status.compaction.records_removed == 1)
			return;
		g_usleep(1000);
	}
	cr_assert_fail("nothing was removed");
}

Test(store_compact, a_snapshot_that_is_held_does_not_move)
{
	g_autoptr(snapshot) past = NULL;
	g_autoptr(snapshot) again = NULL;
	g_autoptr(snapshot) now = NULL;
	g_autoptr(record) record = NULL;
	g_autofree char *text = NULL;
	g_autofree char *names = NULL;

	put_numbers(10);
	cr_assert_eq(store_snapshot(store, 3, &past), 0);
	cr_assert_eq(store_snapshot(store, 0, &now), 0);
	put_numbers(20);
	compact(20);
	cr_assert_eq(snapshot_get(past, "k", &record), 0);
	text = text_of(record);
	cr_expect_str_eq(text, "3");
	names = names_in(past, "", NULL);
	cr_expect_str_eq(names, "k");
	/* While they are held, others can be taken of the same. */
	expect_value_at(3, "k", "3");
	expect_value_at(10, "k", "10");
	cr_expect_eq(snapshot_error(4), -ENOENT);
	cr_assert_eq(store_snapshot(store, 3, &again), 0);
	g_clear_pointer(&past, snapshot_unref);
	expect_value_at(3, "k", "3");
	g_clear_pointer(&again, snapshot_unref);
	cr_expect_eq(snapshot_error(3), -ENOENT);
	g_clear_pointer(&now, snapshot_unref);
	cr_expect_eq(snapshot_error(10), -ENOENT);
}

static int append_version(const struct version *version, void *arg)
{
	g_string_append_printf(arg, "%d-%d;", (int)version->revision,
			       (int)version->superseded_revision);
	return 0;
}

Test(store_compact, versions_that_are_kept_are_told)
{
	g_autoptr(GString) versions = g_string_new("");

	put_numbers(6);
	cr_assert_eq(store_name_snapshot(store, "n", 3, 0, NULL), 0);
	compact(5);
	cr_expect_eq(store_history(store, "k", false, append_version, versions), 0);
	cr_expect_str_eq(versions->str, "6-0;5-6;3-4;");
}

/* ---- The log -------------------------------------------------------------------- */

Test(store_compact, lines_of_the_log_keep_their_places)
{
	g_autoptr(GString) before = g_string_new("");
	g_autoptr(GString) after = g_string_new("");
	uint64_t begin, end, new_begin, new_end;
	GString *listed = g_string_new("");

	put_numbers(40);
	cr_assert_eq(store_log_span(store, &begin, &end), 0);
	cr_expect_eq(begin, 0);
	cr_assert_eq(store_log_text(store, 0, end, before), 0);
	compact(21);
	cr_assert_eq(store_log_span(store, &new_begin, &new_end), 0);
	cr_expect_eq(new_end, end);
	cr_expect_gt(new_begin, 0);
	cr_assert_eq(store_log_text(store, new_begin, 100000, after), 0);
	cr_expect_str_eq(after->str, before->str + new_begin);
	cr_expect_eq(store_log_text(store, new_begin - 1, 10, after), -ENOENT);
	cr_expect_eq(strncmp(after->str, "-\t21\t", 5), 0);
	/* A listing from what is gone says so. */
	cr_expect_eq(store_log_list(store, 20, NULL, NULL), -ENOENT);
	g_string_free(listed, TRUE);
}

/* ---- On the disk, and by itself ------------------------------------------------- */

Test(store_compact, names_and_the_oldest_revision_last)
{
	use_disk();
	put_numbers(10);
	cr_assert_eq(store_name_snapshot(store, "n", 4, 9, NULL), 0);
	compact(8);
	reopen();
	cr_expect_eq(oldest(), 8);
	expect_value_at(4, "k", "4");
	cr_expect_eq(snapshot_error(5), -ENOENT);
	cr_expect_eq(store_drop_snapshot(store, "n"), 0);
	reopen();
	cr_expect_eq(snapshot_error(4), -ENOENT);
}

Test(store_compact, closing_cancels_and_the_next_opening_goes_on)
{
	struct awaited waiting = WAITING;
	struct store_status status;

	use_disk();
	put_numbers(3000);
	cr_assert_eq(store_compact(store, 3000, progressed, &waiting), 0);
	reopen();
	cr_assert(waiting.finished);
	cr_expect(waiting.error == -ECANCELED || waiting.error == 0);
	cr_expect_eq(oldest(), 3000);
	do {
		g_usleep(1000);
		store_get_status(store, &status);
	} while (status.compaction.running);
	cr_expect_eq(compact(3000), 0);
}

static void put_noise(const char *key, GRand *random, size_t size)
{
	struct program *program = program_new(&test_root);
	struct op *op = program_add(program, OP_PUT, key);
	guint32 *noise = g_malloc(size);

	for (size_t i = 0; i < size / sizeof(*noise); i++)
		noise[i] = g_rand_int(random);
	op->value = g_bytes_new_take(noise, size);
	cr_assert_eq(run_error(store, program), 0);
}

/* Bytes of all tables; what is allocated ahead for the write-ahead log does not matter. */
static int64_t table_bytes(void)
{
	g_autofree char *database = g_build_filename(path, "db", NULL);
	g_autoptr(GDir) directory = g_dir_open(database, 0, NULL);
	int64_t bytes = 0;
	const char *name;

	while ((name = g_dir_read_name(directory))) {
		g_autofree char *file = g_build_filename(database, name, NULL);
		GStatBuf status;

		if (g_str_has_suffix(name, ".sst") && g_stat(file, &status) == 0)
			bytes += status.st_size;
	}
	return bytes;
}

Test(store_compact, the_space_is_given_back)
{
	g_autoptr(GRand) random = g_rand_new_with_seed(1);

	use_disk();
	for (int i = 0; i < 1000; i++) {
		g_autofree char *key = g_strdup_printf("k%d", i % 50);

		put_noise(key, random, 40000);
	}
	reopen(); /* what is in the write-ahead log goes to tables */
	cr_assert_gt(table_bytes(), 35000000);
	compact(store_revision(store));
	/* Fifty values of 40,000 bytes are left, in the tree itself. */
	cr_expect_lt(table_bytes(), 4000000, "%d KiB", (int)(table_bytes() / 1024));
}

Test(store_compact, so_many_revisions_are_kept)
{
	struct store_options options;

	store_close(store);
	store_options_init(&options);
	options.history_revisions = 10;
	open_options(&options);
	put_numbers(100);
	for (int i = 0; i < 10000 && oldest() < 90; i++)
		g_usleep(1000);
	cr_expect_geq(oldest(), 90);
	cr_expect_leq(oldest(), 91);
	expect_value_at(91, "k", "91");
}

Test(store_compact, what_is_old_goes_by_itself)
{
	struct store_options options;

	store_close(store);
	store_options_init(&options);
	options.history_age_ns = 300000000;
	open_options(&options);
	put_numbers(20);
	cr_expect_lt(oldest(), 20);
	for (int i = 0; i < 10000 && oldest() < 20; i++)
		g_usleep(1000);
	cr_expect_eq(oldest(), 20);
	expect_value_at(20, "k", "20");
}

Test(store_compact, without_a_limit_all_is_kept)
{
	struct store_options options;

	store_close(store);
	store_options_init(&options);
	options.history_age_ns = 0;
	open_options(&options);
	put_numbers(100);
	g_usleep(50000);
	cr_expect_eq(oldest(), 1);
}

/* ---- Purging -------------------------------------------------------------------- */

static int purge(const char *key)
{
	struct awaited waiting = WAITING;
	int r = store_purge(store, key, progressed, &waiting);

	if (r < 0)
		return r;
	wait_finished(&waiting);
	return waiting.error;
}

/* Whether any file of the store holds `text`. */
static bool is_on_disk(const char *text)
{
	g_autofree char *command = g_strdup_printf("grep -qraF '%s' '%s'", text, path);

	return system(command) == 0;
}

static int put_message(const char *key, const char *text, const char *message)
{
	struct program *program = program_new(&test_root);

	add_put(program, key, text);
	program->message = g_strdup(message);
	return run_error(store, program);
}

Test(store_compact, a_purged_value_is_nowhere)
{
	const char *secret = "qJ7x!zW0pL-9vK3@mR5t";
	g_autoptr(record) past = NULL;
	g_autofree char *text = NULL;

	use_disk();
	cr_expect_eq(put(store, "a", "first"), 0);
	cr_expect_eq(put(store, "k", "old secret"), 0);
	cr_expect_eq(put(store, "k", secret), 0); /* 4 */
	reopen();
	cr_expect_eq(put_message("k", "harmless", secret), 0);
	cr_expect_eq(put(store, "k0", "other"), 0);
	cr_assert(is_on_disk(secret));
	cr_expect_eq(purge("k"), 0);
	cr_expect_not(is_on_disk(secret));
	cr_expect_not(is_on_disk("old secret"));
	/* The rest is there. */
	past = record_at(store, 4, "k");
	cr_assert_not_null(past);
	cr_expect(past->purged);
	cr_expect_eq(past->mod_revision, 4);
	cr_expect_eq(past->size_bytes, 0);
	text = text_of(past);
	cr_expect_str_eq(text, "");
	expect_value(store, "k", "harmless");
	expect_value_at(4, "a", "first");
	expect_value(store, "k0", "other");
	reopen();
	cr_expect_not(is_on_disk(secret));
	expect_value(store, "k", "harmless");
}

Test(store_compact, a_purged_deleted_key_is_nowhere)
{
	use_disk();
	cr_expect_eq(put(store, "k", "a value to be forgotten"), 0);
	cr_expect_eq(remove_key(store, OP_DELETE, "k"), 0);
	cr_expect_eq(purge("k"), 0);
	cr_expect_not(is_on_disk("a value to be forgotten"));
	cr_expect_eq(purge("nothing"), -ENOENT);
}

Test(store_compact, blanked_messages_keep_their_length)
{
	g_autoptr(log_entry) entry = NULL;
	uint64_t begin, end, new_begin, new_end;
	g_autoptr(GString) text = g_string_new("");

	cr_expect_eq(put(store, "k", "sec\tret\n"), 0);
	cr_expect_eq(put_message("k", "abc", "was sec\tret and abc"), 0);
	cr_expect_eq(put_message("k", "d", "nothing"), 0);
	cr_assert_eq(store_log_span(store, &begin, &end), 0);
	cr_expect_eq(purge("k"), 0);
	cr_assert_eq(store_log(store, 3, &entry), 0);
	/* One more, since the tab was two in the line; "abc" is too short to be looked for. */
	cr_expect_str_eq(entry->message, "was ******* and abc*");
	cr_assert_eq(store_log_span(store, &new_begin, &new_end), 0);
	cr_expect_eq(new_end, end);
	cr_assert_eq(store_log_text(store, 0, end, text), 0);
	cr_expect(g_str_has_suffix(text->str, "nothing\n"));
	cr_expect_eq(text->len, end);
}

Test(store_compact, a_purge_waits_for_snapshots_that_are_held)
{
	struct awaited waiting = WAITING;
	g_autoptr(snapshot) held = NULL;
	g_autoptr(record) record = NULL;
	g_autofree char *text = NULL;

	use_disk();
	cr_expect_eq(put(store, "k", "it is still being read"), 0);
	cr_assert_eq(store_snapshot(store, 0, &held), 0);
	cr_expect_eq(put(store, "k", "new"), 0);
	cr_assert_eq(store_purge(store, "k", progressed, &waiting), 0);
	pthread_mutex_lock(&waiting.lock);
	while (waiting.last.held_snapshots == 0)
		pthread_cond_wait(&waiting.wake, &waiting.lock);
	cr_expect_eq(waiting.last.held_snapshots, 1);
	cr_expect_not(waiting.finished);
	pthread_mutex_unlock(&waiting.lock);
	cr_assert_eq(snapshot_get(held, "k", &record), 0);
	text = text_of(record);
	cr_expect_str_eq(text, "it is still being read");
	/* Other work goes on meanwhile. */
	compact(2);
	g_clear_pointer(&held, snapshot_unref);
	wait_finished(&waiting);
	cr_expect_eq(waiting.error, 0);
	cr_expect_not(is_on_disk("it is still being read"));
}

/* What RocksDB compacted while a snapshot was held lies in the lowest level, with nothing
 * above it. RocksDB comes to it by itself, but at a time of its own: here, never. */
Test(store_compact, a_purge_rewrites_what_was_kept_for_a_snapshot)
{
	const char *const option[] = { "disable_auto_compactions" }, *const off[] = { "true" };
	const char *value = "Zq8w!xT3pN-2vH6@kR9s";
	struct awaited waiting = WAITING;
	g_autoptr(snapshot) held = NULL;
	struct layout *layout;
	char *error = NULL;

	use_disk();
	layout = &((struct local *)store)->layout;
	for (int i = 0; i < FAMILY_COUNT; i++)
		rocksdb_set_options_cf(layout->db, layout->families[i], 1, option, off, &error);
	cr_assert_null(error);
	cr_expect_eq(put(store, "k", value), 0);
	cr_assert_eq(store_snapshot(store, 0, &held), 0);
	cr_expect_eq(put(store, "k", "new"), 0);
	cr_assert_eq(store_purge(store, "k", progressed, &waiting), 0);
	pthread_mutex_lock(&waiting.lock);
	while (waiting.last.held_snapshots == 0)
		pthread_cond_wait(&waiting.wake, &waiting.lock);
	pthread_mutex_unlock(&waiting.lock);
	cr_assert_eq(layout_flush(layout), 0);
	for (int i = 0; i < FAMILY_COUNT; i++)
		rocksdb_compact_range_cf(layout->db, layout->families[i], NULL, 0, NULL, 0);
	cr_assert(is_on_disk(value));
	g_clear_pointer(&held, snapshot_unref);
	wait_finished(&waiting);
	cr_expect_eq(waiting.error, 0);
	cr_expect_not(is_on_disk(value));
}

Test(store_compact, a_purge_goes_on_at_the_next_opening)
{
	struct awaited waiting = WAITING;
	struct snapshot *held = NULL;

	use_disk();
	cr_expect_eq(put(store, "k", "it is not finished yet"), 0);
	cr_expect_eq(put(store, "k", "new"), 0);
	cr_assert_eq(store_snapshot(store, 2, &held), 0);
	cr_assert_eq(store_purge(store, "k", progressed, &waiting), 0);
	pthread_mutex_lock(&waiting.lock);
	while (waiting.last.held_snapshots == 0)
		pthread_cond_wait(&waiting.wake, &waiting.lock);
	pthread_mutex_unlock(&waiting.lock);
	/* No snapshot may be open at the close, and without one it would finish: a copy of
	 * the files is what a kill leaves. */
	{
		g_autofree char *command = g_strdup_printf(
			"cp -a '%s' '%s.copy' && rm -f '%s.copy/db/LOCK'", path, path, path);

		cr_assert_eq(system(command), 0);
	}
	snapshot_unref(held);
	wait_finished(&waiting);
	{
		g_autofree char *command =
			g_strdup_printf("rm -rf '%s.old' && mv '%s' '%s.old' && mv '%s.copy' '%s'",
					path, path, path, path, path);
		g_autofree char *tidy = g_strdup_printf("rm -rf '%s.old'", path);

		store_close(store);
		cr_assert_eq(system(command), 0);
		cr_assert(is_on_disk("it is not finished yet"));
		store = open_memory_store();
		reopen();
		cr_assert_eq(system(tidy), 0);
	}
	for (int i = 0; i < 5000 && is_on_disk("it is not finished yet"); i++)
		g_usleep(10000);
	cr_expect_not(is_on_disk("it is not finished yet"));
	expect_value(store, "k", "new");
}
