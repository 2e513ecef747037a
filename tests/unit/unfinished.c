/* Directories of work that is not finished: what a killed process left goes, what a living one
 * works in stays, and so does what only looks alike. */
#include "store/unfinished.h"
#include "store/files.h"
#include "store/sorter.h"

#include <criterion/criterion.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static char *base;
static char *prefix;

static void setup(void)
{
	/* GLib keeps what TMPDIR was when it was first asked. */
	base = g_mkdtemp(g_strdup("/tmp/unfinished.XXXXXX"));
	cr_assert_not_null(base);
	prefix = g_build_filename(base, "store.commitfs-restore.", NULL);
	cr_assert(g_setenv("TMPDIR", base, TRUE));
}

static void teardown(void)
{
	files_remove_tree(base);
	g_free(prefix);
	g_free(base);
}

TestSuite(unfinished, .init = setup, .fini = teardown);

static void begin_work(void)
{
	struct unfinished unfinished;
	g_autofree char *file = NULL;

	if (unfinished_begin(prefix, &unfinished) < 0)
		_exit(1);
	file = g_build_filename(unfinished.path, "file", NULL);
	if (!g_file_set_contents(file, "text", -1, NULL))
		_exit(1);
}

static void begin_sorting(void)
{
	struct sorter *sorter;

	if (sorter_new(&sorter) < 0 || sorter_add(sorter, "entry", 5) < 0)
		_exit(1);
}

/* A process that has begun, and does not end. */
static pid_t start(void (*begin)(void))
{
	int pipes[2];
	pid_t child;
	char byte;

	cr_assert_eq(pipe(pipes), 0);
	child = fork();
	if (child == 0) {
		begin();
		if (write(pipes[1], "", 1) < 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(pipes[1]);
	cr_assert_eq(read(pipes[0], &byte, 1), 1);
	close(pipes[0]);
	return child;
}

static void end(pid_t child)
{
	kill(child, SIGKILL);
	cr_assert_eq(waitpid(child, NULL, 0), child);
}

static int count_entries(void)
{
	GDir *directory = g_dir_open(base, 0, NULL);
	int count = 0;

	while (g_dir_read_name(directory))
		count++;
	g_dir_close(directory);
	return count;
}

Test(unfinished, what_a_killed_process_left_goes_and_what_a_living_one_has_stays)
{
	pid_t killed = start(begin_work), living = start(begin_work);
	struct unfinished unfinished;

	end(killed);
	cr_assert_eq(count_entries(), 2);
	cr_assert_eq(unfinished_begin(prefix, &unfinished), 0);
	cr_expect_eq(count_entries(), 2);
	unfinished_remove(&unfinished);
	cr_expect_eq(count_entries(), 1);
	end(living);
	cr_assert_eq(unfinished_begin(prefix, &unfinished), 0);
	cr_expect_eq(count_entries(), 1);
	unfinished_remove(&unfinished);
	cr_expect_eq(count_entries(), 0);
}

Test(unfinished, what_only_looks_alike_is_not_removed)
{
	g_autofree char *longer = g_strconcat(prefix, "XXXXXX.old", NULL);
	g_autofree char *link = g_strconcat(prefix, "linked", NULL);
	g_autofree char *file = g_strconcat(prefix, "a-file", NULL);
	struct unfinished unfinished;

	cr_assert_eq(g_mkdir(longer, 0700), 0);
	cr_assert_eq(symlink(longer, link), 0);
	cr_assert(g_file_set_contents(file, "text", -1, NULL));
	cr_assert_eq(unfinished_begin(prefix, &unfinished), 0);
	unfinished_remove(&unfinished);
	cr_expect_eq(count_entries(), 3);
}

Test(unfinished, what_is_finished_stays)
{
	g_autofree char *store = g_build_filename(base, "store", NULL);
	struct unfinished unfinished, next;

	cr_assert_eq(unfinished_begin(prefix, &unfinished), 0);
	cr_assert_eq(g_rename(unfinished.path, store), 0);
	unfinished_keep(&unfinished);
	cr_assert_eq(unfinished_begin(prefix, &next), 0);
	unfinished_remove(&next);
	cr_expect_eq(g_access(store, F_OK), 0);
}

Test(unfinished, a_killed_check_leaves_its_sorter_to_the_next)
{
	pid_t killed = start(begin_sorting), living = start(begin_sorting);
	struct sorter *sorter;

	end(killed);
	cr_assert_eq(count_entries(), 2);
	cr_assert_eq(sorter_new(&sorter), 0);
	cr_expect_eq(count_entries(), 2);
	sorter_free(sorter);
	cr_expect_eq(count_entries(), 1);
	end(living);
}
