/* Room made in a log that this test writes in RocksDB's place. */
#include "store/wal_room.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static char *directory;
static struct wal_room room;
static int logs[2] = { -1, -1 };

static int open_log(int number)
{
	g_autofree char *path = g_strdup_printf("%s/%06d.log", directory, number);

	return open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static void setup(void)
{
	directory = g_dir_make_tmp("room-XXXXXX", NULL);
	cr_assert_not_null(directory);
}

static void begin(void)
{
	logs[0] = open_log(7);
	cr_assert_geq(logs[0], 0);
	cr_assert_eq(write(logs[0], "opened", 6), 6);
	wal_room_init(&room, directory);
}

static void teardown(void)
{
	g_autofree char *command =
		g_strdup_printf("umount -l '%s' 2>/dev/null; rm -r '%s'", directory, directory);

	wal_room_done(&room);
	for (int i = 0; i < 2; i++)
		if (logs[i] >= 0)
			close(logs[i]);
	cr_expect_eq(system(command), 0);
	g_free(directory);
}

TestSuite(wal_room, .init = setup, .fini = teardown);

/* As RocksDB: behind what it has written before. */
static int write_log(int log, size_t size, bool synced)
{
	g_autofree char *bytes = g_malloc(size);
	int r = wal_room_begin(&room, size);

	memset(bytes, 'x', size);
	if (r < 0)
		return r;
	cr_assert_eq(write(log, bytes, size), (ssize_t)size);
	wal_room_end(&room, synced);
	return 0;
}

static off_t size_of(int log)
{
	struct stat status;

	cr_assert_eq(fstat(log, &status), 0);
	return status.st_size;
}

/* What was written, and zeros from there on. */
static void expect_written(int number, size_t written)
{
	g_autofree char *path = g_strdup_printf("%s/%06d.log", directory, number);
	g_autofree char *bytes = NULL;
	gsize size, at = 0;

	cr_assert(g_file_get_contents(path, &bytes, &size, NULL));
	while (at < size && bytes[at])
		at++;
	cr_expect_eq(at, written, "written up to %zu", at);
	while (at < size && !bytes[at])
		at++;
	cr_expect_eq(at, size, "not zero at %zu", at);
}

Test(wal_room, zeros_are_ahead_of_the_log_and_never_in_it)
{
	size_t written = 6;
	off_t before;

	begin();
	for (int i = 0; i < 2000; i++) {
		size_t size = 1 + (size_t)i * 7 % 5000;

		cr_assert_eq(write_log(logs[0], size, true), 0);
		written += size;
		cr_assert_geq(size_of(logs[0]), (off_t)written);
	}
	expect_written(7, written);
	before = size_of(logs[0]);
	cr_expect_gt(before, (off_t)written);
	cr_expect_eq(write_log(logs[0], 1, true), 0);
	cr_expect_eq(size_of(logs[0]), before, "room that is there was made again");
}

Test(wal_room, a_log_that_begins_with_nothing_durable_has_no_zeros)
{
	begin();
	cr_assert_eq(write_log(logs[0], 100, true), 0);
	logs[1] = open_log(8);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(write_log(logs[1], 100, false), 0);
	cr_expect_eq(size_of(logs[1]), 300);
	cr_assert_eq(write_log(logs[1], 100, true), 0);
	cr_expect_eq(size_of(logs[1]), 400);
	cr_assert_eq(write_log(logs[1], (size_t)600 * 1024, true), 0);
	cr_expect_eq(size_of(logs[1]), 400 + 600 * 1024, "what is large was written twice");
	cr_assert_eq(write_log(logs[1], 1000, true), 0);
	cr_expect_gt(size_of(logs[1]), 1000 * 1024);
	expect_written(8, 1400 + 600 * 1024);
}

Test(wal_room, the_newest_log_is_followed)
{
	begin();
	cr_assert_eq(write_log(logs[0], 100, true), 0);
	logs[1] = open_log(10);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(write_log(logs[1], 100, true), 0);
	expect_written(10, 300);
	cr_expect_gt(size_of(logs[1]), 500000);
	cr_expect_eq(ftruncate(logs[0], 106), 0);
	expect_written(7, 106);
}

Test(wal_room, logs_that_are_read_or_elsewhere_are_not_taken)
{
	g_autofree char *path = g_strdup_printf("%s/000009.log", directory);
	g_autofree char *other = g_strdup_printf("%s/000009.txt", directory);
	int reading, text;

	begin();
	cr_assert(g_file_set_contents(path, "read", -1, NULL));
	reading = open(path, O_RDONLY | O_CLOEXEC);
	text = open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_expect_eq(write_log(logs[0], 100, true), 0);
	cr_expect_eq(size_of(logs[0]), 106, "before there was something durable");
	cr_expect_eq(write_log(logs[0], 100, true), 0);
	cr_expect_gt(size_of(logs[0]), 500000);
	cr_expect_eq(size_of(reading), 4);
	cr_expect_eq(size_of(text), 0);
	close(reading);
	close(text);
}

Test(wal_room, a_full_disk_refuses_before_anything_is_written)
{
	if (geteuid() != 0 || mount("tmpfs", directory, "tmpfs", 0, "size=1m") < 0)
		cr_skip("needs root");
	begin();
	cr_expect_eq(write_log(logs[0], (size_t)2 * 1024 * 1024, true), -ENOSPC);
	for (int i = 0; i < 9; i++)
		cr_expect_eq(write_log(logs[0], 100 * 1000, true), 0, "%d", i);
	cr_expect_eq(write_log(logs[0], (size_t)200 * 1000, true), -ENOSPC);
	expect_written(7, 6 + 900 * 1000);
	cr_expect_eq(write_log(logs[0], 50000, true), 0, "what there is is used");
}

Test(wal_room, without_a_log_nothing_is_done)
{
	wal_room_init(&room, NULL);
	cr_expect_eq(wal_room_begin(&room, 100), 0);
	wal_room_end(&room, true);
	wal_room_done(&room);
	wal_room_init(&room, directory);
	cr_expect_eq(wal_room_begin(&room, 100), 0);
	wal_room_end(&room, true);
}

/* RocksDB may have begun a log that nothing was written to yet. */
Test(wal_room, an_empty_log_stays_empty_until_it_is_written)
{
	begin();
	for (int i = 0; i < 3; i++)
		cr_assert_eq(write_log(logs[0], 100, true), 0);
	logs[1] = open_log(8);
	cr_assert_eq(wal_room_begin(&room, 100), 0);
	wal_room_end(&room, true); /* to neither */
	cr_assert_eq(wal_room_begin(&room, 100), 0);
	cr_expect_eq(size_of(logs[1]), 0);
	wal_room_end(&room, true);
	cr_assert_eq(wal_room_begin(&room, 100), 0);
	cr_expect_eq(size_of(logs[1]), 0);
	wal_room_end(&room, true);
}
