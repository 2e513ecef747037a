/* Stores on disk: opening, refusing to open, crashes, and a full disk. */
#include "store/layout.h"
#include "tests/unit/store_disk.h"

TestSuite(store_durability, .init = setup, .fini = teardown, .timeout = 120);

/* ---- Opening -------------------------------------------------------------------- */

/* The marker in the directory may have been copied from another store. */
static void change_format(uint64_t format)
{
	g_autofree char *database = g_build_filename(path, "db", NULL);
	rocksdb_writebatch_t *batch;
	struct layout layout = { 0 };
	char *error = NULL;

	create();
	cr_assert_eq(layout_open(&layout, database, LAYOUT_OPEN, &error), 0);
	batch = rocksdb_writebatch_create();
	layout_batch_number(&layout, batch, META_FORMAT, format);
	cr_assert_eq(layout_write(&layout, batch, true), 0);
	rocksdb_writebatch_destroy(batch);
	layout_close(&layout, true);
}

Test(store_durability, refuses_a_database_of_a_newer_format)
{
	change_format(LAYOUT_FORMAT_NEWEST + 1);
	expect_refused(-EPROTO, "use a newer release");
}

Test(store_durability, tells_what_marker_and_database_disagree_on)
{
	change_format(LAYOUT_FORMAT_ENCRYPTED);
	expect_refused(-EUCLEAN, "its database says that it is encrypted, its marker");
}

Test(store_durability, what_was_committed_is_there_again)
{
	struct store *store;
	struct store_status before, after;
	uint64_t ino;

	create();
	store = open_store();
	cr_expect_eq(make_directory(store, "d"), 0);
	cr_expect_eq(put(store, "d/k", "one"), 0);
	cr_expect_eq(put(store, "d/k", "two"), 0);
	store_get_status(store, &before);
	ino = store_new_ino(store);
	store_close(store);
	store = open_store();
	store_get_status(store, &after);
	cr_expect_str_eq(after.id, before.id);
	cr_expect_eq(strlen(after.id), 36);
	cr_expect_eq(after.revision, 4);
	cr_expect_gt(after.disk_bytes, 0);
	cr_expect_gt(store_new_ino(store), ino);
	expect_value(store, "d/k", "two");
	{
		g_autofree char *old = value_at(store, 3, "d/k");

		cr_expect_str_eq(old, "one");
	}
	store_close(store);
}

Test(store_durability, a_missing_directory_names_init)
{
	expect_refused(-ENOENT, "commitfs init");
}

Test(store_durability, another_directory_is_not_a_store)
{
	g_autofree char *file = g_build_filename(path, "file", NULL);
	g_autofree char *message = NULL;

	cr_assert_eq(mkdir(path, 0700), 0);
	cr_assert(g_file_set_contents(file, "x", 1, NULL));
	expect_refused(-EINVAL, "not a commitfs store");
	cr_expect_eq(store_create(path, &message), -ENOTEMPTY);
	cr_expect_not_null(strstr(message, "not empty"), "%s", message);
}

Test(store_durability, a_new_store_is_in_the_directory_above_durably)
{
	g_autofree char *slashes = g_strconcat(path, "//", NULL);
	g_autofree char *above = g_strconcat("\n", base, "\n", NULL);
	g_autofree char *message = NULL;

	synced = g_string_new("\n");
	cr_assert_eq(store_create(slashes, &message), 0, "%s", message);
	cr_expect_not_null(strstr(synced->str, above), "synced:%s", synced->str);
	g_string_free(g_steal_pointer(&synced), TRUE);
}

Test(store_durability, a_store_is_not_made_twice)
{
	g_autofree char *message = NULL;

	create();
	cr_expect_eq(store_create(path, &message), -EEXIST);
	cr_expect_not_null(strstr(message, path));
}

Test(store_durability, another_format_is_refused)
{
	g_autofree char *marker = g_build_filename(path, "commitfs-store", NULL);

	create();
	cr_assert(g_file_set_contents(marker, "commitfs store, format 4\n", -1, NULL));
	expect_refused(-EPROTO, "newer release");
	cr_assert(g_file_set_contents(marker, "commitfs store, format 1\n", -1, NULL));
	expect_refused(-EPROTO, "before the first release");
	cr_assert(g_file_set_contents(marker, "something else\n", -1, NULL));
	expect_refused(-EINVAL, "not a commitfs store");
}

Test(store_durability, a_store_is_open_once)
{
	struct store *store;

	create();
	store = open_store();
	expect_refused(-EBUSY, "another process");
	store_close(store);
	store = open_store();
	store_close(store);
}

Test(store_durability, a_database_that_is_gone_is_told)
{
	g_autofree char *database = g_build_filename(path, "db", NULL);

	create();
	remove_tree(database);
	expect_refused(-EUCLEAN, "database is missing");
}

Test(store_durability, a_directory_without_permission_is_refused)
{
	pid_t child;
	int status;

	if (geteuid() != 0)
		cr_skip("needs root");
	create();
	cr_assert_eq(chmod(base, 0755), 0);
	child = fork();
	if (child == 0) {
		struct store *store = NULL;
		char *message = NULL;

		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(2);
		_exit(try_open(&store, &message) == -EACCES && message ? 0 : 1);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_expect_eq(status, 0);
}

/* ---- The log of RocksDB --------------------------------------------------------- */

Test(store_durability, a_clean_close_leaves_an_empty_log)
{
	struct store *store;
	g_autofree char *wal = NULL;
	struct stat status;
	gsize size;

	create();
	store = open_store();
	for (int i = 0; i < 3; i++)
		cr_expect_eq(put(store, "k", "value"), 0);
	wal = find_wal(&size);
	cr_assert_eq(stat(wal, &status), 0);
	cr_expect_gt(size, 0);
	cr_expect_gt(status.st_size, 500000, "no room was made");
	g_free(wal);
	store_close(store);
	wal = find_wal(&size);
	cr_assert_eq(stat(wal, &status), 0);
	cr_expect_eq(status.st_size, 0);
}

Test(store_durability, a_killed_writer_loses_nothing_acknowledged)
{
	create();
	for (int i = 0; i < 3; i++) {
		uint64_t last = kill_a_writer(100, STORE_SYNC_ALWAYS);
		struct store *store = open_store();

		cr_expect_geq(store_revision(store), last);
		expect_whole(store);
		store_close(store);
	}
}

Test(store_durability, other_ways_of_syncing_survive_a_killed_process)
{
	create();
	cr_expect_gt(kill_a_writer(100, STORE_SYNC_INTERVAL), 0);
	cr_expect_gt(kill_a_writer(100, STORE_SYNC_NONE), 0);
	{
		struct store *store = open_store();

		expect_whole(store);
		store_close(store);
	}
}

/* ---- A full disk ---------------------------------------------------------------- */

static int fill(const char *file)
{
	g_autofree char *block = g_malloc0(1 << 20);
	int fd = open(file, O_WRONLY | O_CREAT | O_APPEND, 0600);
	ssize_t size = 1 << 20;

	while (size > 0) {
		if (write(fd, block, (size_t)size) < size)
			size /= 2;
	}
	return close(fd);
}

Test(store_durability, a_full_disk_refuses_growth_and_nothing_else)
{
	g_autofree char *filler = g_build_filename(base, "filler", NULL);
	g_autofree char *big = random_text(1 << 20);
	struct store *store;
	int r = 0;

	if (geteuid() != 0 || mount("tmpfs", base, "tmpfs", 0, "size=160m") < 0)
		cr_skip("cannot mount a small disk");
	create();
	store = open_store();
	cr_expect_eq(put(store, "small", "1"), 0);
	for (int i = 0; i < 1000 && r == 0; i++) {
		g_autofree char *key = g_strdup_printf("big%d", i);

		r = put(store, key, big);
		/* RocksDB may give space back just then. */
		r = r == -ENOSPC ? put(store, "small", "1") : r;
	}
	cr_expect_eq(r, -ENOSPC);
	cr_expect_eq(store_check_space(store, 1), -ENOSPC);
	expect_value(store, "small", "1");
	cr_expect_eq(remove_key(store, OP_DELETE, "small"), 0, "deleting has a reserve");
	r = 0;
	/* RocksDB may give space back while it is filled. */
	for (int i = 0; i < 20 && r == 0; i++) {
		g_autofree char *key = g_strdup_printf("big%d", i);

		cr_assert_eq(fill(filler), 0);
		g_usleep(G_USEC_PER_SEC / 10); /* free space is looked at now and then */
		r = remove_key(store, OP_DELETE, key);
	}
	cr_expect_eq(r, -ENOSPC);
	{
		struct store_status status;

		store_get_status(store, &status);
		cr_expect_not(status.read_only);
	}
	cr_assert_eq(truncate(filler, 0), 0);
	cr_assert_eq(mount("tmpfs", base, "tmpfs", MS_REMOUNT, "size=320m"), 0);
	g_usleep(G_USEC_PER_SEC / 10);
	cr_expect_eq(store_check_space(store, 1), 0);
	/* RocksDB looks every few seconds whether it can write again. */
	for (int i = 0; i < 30 && put(store, "small", "3") == -ENOSPC; i++)
		g_usleep(G_USEC_PER_SEC);
	expect_value(store, "small", "3");
	store_close(store);
	store = open_store();
	expect_value(store, "small", "3");
	store_close(store);
	cr_expect_eq(umount2(base, MNT_DETACH), 0);
}

/* A limit on the size of files makes RocksDB's own write fail. */
Test(store_durability, a_failed_write_leaves_the_store_read_only)
{
	g_autofree char *big = random_text(256 * 1024);
	const struct rlimit limit = { 128 * 1024, RLIM_INFINITY };
	const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
	struct store_metrics before, after;
	struct store_status status;
	struct store *store;
	uint64_t revision;

	create();
	store = open_store();
	cr_expect_eq(put(store, "k", "1"), 0);
	store_get_metrics(store, &before);
	revision = store_revision(store);
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	cr_expect_eq(put(store, "k", big), -EIO);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
	store_get_status(store, &status);
	cr_expect(status.read_only);
	cr_expect_eq(status.revision, revision);
	cr_expect_eq(put(store, "k", "2"), -EROFS);
	store_get_metrics(store, &after);
	cr_expect_eq(after.batch_bytes, before.batch_bytes);
	cr_expect_eq(after.syncs, before.syncs);
	cr_expect_eq(store_check_space(store, 1), -EROFS);
	expect_value(store, "k", "1");
	store_close(store);
	store = open_store();
	cr_expect_geq(store_revision(store), revision);
	cr_expect_eq(put(store, "k", "3"), 0);
	expect_value(store, "k", "3");
	store_close(store);
}
