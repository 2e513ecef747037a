/* Purging on a disk with little room: it waits for what it needs and for no more, the past cannot
 * be read meanwhile, and what was not rewritten is never called purged. */
#include "tests/unit/store_disk.h"

#define MIB ((gsize)1024 * 1024)
#define SECRET "qJ7x!zW0pL-9vK3@mR5t"

static struct store *store;

struct awaited {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool finished;
	int error;
	struct compaction last;
};

static struct awaited awaited = { .lock = PTHREAD_MUTEX_INITIALIZER,
				  .wake = PTHREAD_COND_INITIALIZER };

static void progressed(const struct compaction *progress, bool finished, int error, void *arg)
{
	(void)arg;
	pthread_mutex_lock(&awaited.lock);
	awaited.finished = finished;
	awaited.error = error;
	awaited.last = *progress;
	pthread_cond_broadcast(&awaited.wake);
	pthread_mutex_unlock(&awaited.lock);
}

/* Until it is finished, or waits for room. */
static struct compaction wait_for_purge(void)
{
	struct compaction last;

	pthread_mutex_lock(&awaited.lock);
	while (!awaited.finished && awaited.last.needed_bytes == 0)
		pthread_cond_wait(&awaited.wake, &awaited.lock);
	last = awaited.last;
	pthread_mutex_unlock(&awaited.lock);
	return last;
}

static void wait_finished(void)
{
	pthread_mutex_lock(&awaited.lock);
	while (!awaited.finished)
		pthread_cond_wait(&awaited.wake, &awaited.lock);
	pthread_mutex_unlock(&awaited.lock);
}

static void use_disk(void)
{
	setup();
	if (geteuid() != 0 || mount("tmpfs", base, "tmpfs", 0, "size=112m") < 0)
		cr_skip("cannot mount a small disk");
	create();
	store = open_store();
}

static void leave_disk(void)
{
	cr_expect_eq(umount2(base, MNT_DETACH), 0);
	teardown();
}

TestSuite(store_purge_room, .init = use_disk, .fini = leave_disk, .timeout = 120);

static int put_message(const char *key, const char *text, const char *message)
{
	struct program *program = program_new(&test_root);

	add_put(program, key, text);
	program->message = g_strdup(message);
	return run_error(store, program);
}

/* "k" was the secret at revision 2, among so many values of a MiB; all of it is in tables. */
static void make_past(int count)
{
	g_autofree char *big = random_text(MIB);

	cr_assert_eq(put(store, "k", SECRET), 0);
	for (int i = 0; i < count; i++) {
		g_autofree char *key = g_strdup_printf("%c%d", i % 2 ? 'a' : 'z', i);

		cr_assert_eq(put(store, key, big), 0);
		cr_assert_eq(put(store, key, ""), 0);
	}
	cr_assert_eq(put_message("k", "new", "was " SECRET), 0);
	store_close(store);
	store = open_store();
}

static bool is_on_disk(const char *text)
{
	g_autofree char *command = g_strdup_printf("grep -qraF '%s' '%s'", text, path);

	return system(command) == 0;
}

static uint64_t free_bytes(void)
{
	uint64_t total, left;

	store_get_space(store, &total, &left);
	return left;
}

/* Others fill the disk but for so many bytes; the store looks at it now and then. */
static void leave_free(uint64_t bytes)
{
	g_autofree char *filler = g_build_filename(base, "filler", NULL);
	int fd = open(filler, O_WRONLY | O_CREAT, 0600);
	struct stat status;

	cr_assert_eq(fstat(fd, &status), 0);
	cr_assert_eq(posix_fallocate(fd, status.st_size, (off_t)(free_bytes() - bytes)), 0);
	close(fd);
	g_usleep(G_USEC_PER_SEC / 10);
}

static void free_all(void)
{
	g_autofree char *filler = g_build_filename(base, "filler", NULL);

	cr_assert_eq(g_unlink(filler), 0);
}

static bool past_is_purged(void)
{
	g_autoptr(record) past = record_at(store, 2, "k");

	return past && past->purged;
}

Test(store_purge_room, a_purge_waits_for_room_and_goes_on_by_itself)
{
	struct compaction last;

	make_past(14);
	leave_free(6 * MIB);
	cr_assert_eq(store_purge(store, "k", progressed, NULL), 0);
	last = wait_for_purge();
	cr_assert_not(awaited.finished, "%d", awaited.error);
	cr_expect(last.running);
	cr_expect(last.unreadable);
	cr_expect_gt(last.needed_bytes, 6 * MIB);
	cr_expect(past_is_purged());
	expect_value(store, "k", "new");
	free_all();
	wait_finished();
	cr_expect_eq(awaited.error, 0);
	cr_expect_eq(awaited.last.needed_bytes, 0);
	cr_expect_not(is_on_disk(SECRET));
	expect_value(store, "k", "new");
	store_close(store);
}

Test(store_purge_room, a_purge_that_waits_for_room_goes_on_at_the_next_opening)
{
	make_past(14);
	leave_free(6 * MIB);
	cr_assert_eq(store_purge(store, "k", progressed, NULL), 0);
	wait_for_purge();
	store_close(store);
	cr_expect(awaited.finished);
	cr_expect_eq(awaited.error, -ECANCELED);
	cr_assert(is_on_disk(SECRET));
	store = open_store();
	cr_expect(past_is_purged());
	free_all();
	for (int i = 0; i < 300 && is_on_disk(SECRET); i++)
		g_usleep(G_USEC_PER_SEC / 10);
	cr_expect_not(is_on_disk(SECRET));
	store_close(store);
}

/* Of the reserve that compactions keep there is less on the whole disk. */
Test(store_purge_room, a_small_store_needs_little_room)
{
	make_past(2);
	leave_free(8 * MIB);
	cr_assert_eq(store_purge(store, "k", progressed, NULL), 0);
	wait_for_purge();
	cr_assert(awaited.finished);
	cr_expect_eq(awaited.error, 0);
	cr_expect_not(is_on_disk(SECRET));
	store_close(store);
}

/* Files that may not be longer stand for a disk that fails. */
Test(store_purge_room, tables_that_could_not_be_rewritten_are_not_called_purged)
{
	const struct rlimit limit = { MIB, RLIM_INFINITY };
	const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };

	make_past(4);
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	cr_assert_eq(store_purge(store, "k", progressed, NULL), 0);
	wait_finished();
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
	cr_expect_eq(awaited.error, -EIO);
	cr_expect(is_on_disk(SECRET));
	cr_expect(past_is_purged());
	store_close(store);
	store = open_store();
	for (int i = 0; i < 300 && is_on_disk(SECRET); i++)
		g_usleep(G_USEC_PER_SEC / 10);
	cr_expect_not(is_on_disk(SECRET));
	store_close(store);
}
