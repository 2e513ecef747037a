/* Time: names of revisions, versions of a key, the log as a text, the commit at a time. */
#include "tests/unit/store_test.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS ((int64_t)1000000000)

static struct store *store;
static int64_t clock_offset_ns;

int clock_gettime(clockid_t clock, struct timespec *ret);

/* In place of the C library's: the wall clock can be set. */
int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ret);

	if (clock == CLOCK_REALTIME)
		ret->tv_sec += clock_offset_ns / SECOND_NS;
	return r;
}

static void setup(void)
{
	clock_offset_ns = 0;
	store = open_memory_store();
}

static void teardown(void)
{
	store_close(store);
}

TestSuite(store_time, .init = setup, .fini = teardown);

/* ---- Names ---------------------------------------------------------------------- */

static int append_named(const struct named_snapshot *snapshot, void *arg)
{
	cr_expect_gt(snapshot->time_ns, 0);
	g_string_append_printf(arg, "%s %d %d;", snapshot->name, (int)snapshot->revision,
			       (int)snapshot->uid);
	return 0;
}

static void expect_named(const char *expected)
{
	g_autoptr(GString) names = g_string_new("");

	cr_expect_eq(store_list_snapshots(store, append_named, names), 0);
	cr_expect_str_eq(names->str, expected);
}

Test(store_time, revisions_have_names)
{
	uint64_t revision = 0;

	cr_expect_eq(put(store, "k", "two"), 0);
	cr_expect_eq(put(store, "k", "three"), 0);
	expect_named("");
	cr_expect_eq(store_name_snapshot(store, "b", 2, 5, NULL), 0);
	cr_expect_eq(store_name_snapshot(store, "a", 0, 0, &revision), 0);
	cr_expect_eq(revision, 3);
	cr_expect_eq(store_name_snapshot(store, "c", 2, 0, NULL), 0);
	expect_named("a 3 0;b 2 5;c 2 0;");
	cr_expect_eq(store_find_snapshot(store, "b", &revision), 0);
	cr_expect_eq(revision, 2);
	cr_expect_eq(store_drop_snapshot(store, "b"), 0);
	cr_expect_eq(store_drop_snapshot(store, "b"), -ENOENT);
	cr_expect_eq(store_find_snapshot(store, "b", &revision), -ENOENT);
	expect_named("a 3 0;c 2 0;");
}

Test(store_time, names_are_refused)
{
	char name[STORE_NAME_MAX + 2];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	cr_expect_eq(store_name_snapshot(store, name, 1, 0, NULL), -ENAMETOOLONG);
	cr_expect_eq(store_name_snapshot(store, "", 1, 0, NULL), -EINVAL);
	cr_expect_eq(store_name_snapshot(store, "a/b", 1, 0, NULL), -EINVAL);
	cr_expect_eq(store_name_snapshot(store, "..", 1, 0, NULL), -EINVAL);
	cr_expect_eq(store_name_snapshot(store, "n", 2, 0, NULL), -ENOENT);
	cr_expect_eq(store_name_snapshot(store, "n", 1, 0, NULL), 0);
	cr_expect_eq(store_name_snapshot(store, "n", 1, 0, NULL), -EEXIST);
	expect_named("n 1 0;");
}

static int stop_at_first(const struct named_snapshot *snapshot, void *arg)
{
	(void)snapshot;
	(void)arg;
	return 7;
}

Test(store_time, a_visitor_of_names_stops)
{
	cr_expect_eq(store_name_snapshot(store, "n", 1, 0, NULL), 0);
	cr_expect_eq(store_list_snapshots(store, stop_at_first, NULL), 7);
}

/* ---- Versions of a key ---------------------------------------------------------- */

static int append_version(const struct version *version, void *arg)
{
	g_autofree char *text = text_of(version->record);

	g_string_append_printf(arg, "%d-%d %s;", (int)version->revision,
			       (int)version->superseded_revision,
			       version->record->type == RECORD_DIRECTORY ? "directory" : text);
	return 0;
}

static void expect_versions(const char *key, const char *expected)
{
	g_autoptr(GString) versions = g_string_new("");

	cr_expect_eq(store_history(store, key, true, append_version, versions), 0);
	cr_expect_str_eq(versions->str, expected);
}

Test(store_time, a_key_has_its_versions_in_both_forms)
{
	cr_expect_eq(put(store, "k", "two"), 0);
	cr_expect_eq(put(store, "k", "three"), 0);
	cr_expect_eq(remove_key(store, OP_DELETE, "k"), 0);
	cr_expect_eq(make_directory(store, "k"), 0);
	cr_expect_eq(put(store, "k/x", "six"), 0);
	cr_expect_eq(remove_key(store, OP_DELETE, "k/x"), 0);
	cr_expect_eq(remove_key(store, OP_RMDIR, "k"), 0);
	cr_expect_eq(put(store, "k", "nine"), 0);
	cr_expect_eq(put(store, "k0", "other"), 0);
	expect_versions("k", "9-0 nine;7-8 directory;6-7 directory;5-6 directory;"
			     "3-4 three;2-3 two;");
	expect_versions("k/x", "6-7 six;");
	expect_versions("nothing", "");
}

Test(store_time, the_root_has_versions)
{
	cr_expect_eq(put(store, "k", ""), 0);
	expect_versions("", "2-0 directory;1-2 directory;");
}

static int count_bare(const struct version *version, void *arg)
{
	cr_expect_null(version->record->value);
	return ++*(int *)arg == 2 ? -ECANCELED : 0;
}

Test(store_time, versions_come_without_values_and_a_visitor_stops)
{
	int count = 0;

	for (int i = 0; i < 3; i++)
		cr_expect_eq(put(store, "k", "v"), 0);
	cr_expect_eq(store_history(store, "k", false, count_bare, &count), -ECANCELED);
	cr_expect_eq(count, 2);
	cr_expect_eq(store_history(store, "k/", false, count_bare, &count), -EINVAL);
}

/* ---- The log -------------------------------------------------------------------- */

static int append_revision(const struct log_entry *entry, void *arg)
{
	g_string_append_printf(arg, "%d ", (int)entry->revision);
	return 0;
}

Test(store_time, the_log_is_listed_from_a_revision)
{
	g_autoptr(GString) all = g_string_new("");
	g_autoptr(GString) some = g_string_new("");
	g_autoptr(GString) none = g_string_new("");

	for (int i = 0; i < 4; i++)
		cr_expect_eq(put(store, "k", "v"), 0);
	cr_expect_eq(store_log_list(store, 0, append_revision, all), 0);
	cr_expect_eq(store_log_list(store, 4, append_revision, some), 0);
	cr_expect_eq(store_log_list(store, 6, append_revision, none), 0);
	cr_expect_str_eq(all->str, "1 2 3 4 5 ");
	cr_expect_str_eq(some->str, "4 5 ");
	cr_expect_str_eq(none->str, "");
}

static char *whole_text(void)
{
	GString *text = g_string_new("");
	uint64_t begin, end;

	cr_assert_eq(store_log_span(store, &begin, &end), 0);
	cr_assert_eq(store_log_text(store, begin, end - begin, text), 0);
	cr_expect_eq(text->len, end - begin);
	return g_string_free(text, FALSE);
}

Test(store_time, a_line_says_who_and_what)
{
	const struct credentials author = { .uid = 5, .pid = 7, .command = (char *)"v\ti" };
	struct program *program = program_new(&author);
	g_autoptr(log_entry) entry = NULL;
	g_autoptr(GString) line = g_string_new("");
	g_autofree char *text = NULL;
	g_auto(GStrv) fields = NULL;

	program->id = g_strdup("t-1");
	program->message = g_strdup("be\ncause\xff");
	add_mkdir(program, "a");
	add_put(program, "a/x", "");
	cr_expect_eq(run_error(store, program), 0);
	cr_assert_eq(store_log(store, 2, &entry), 0);
	log_entry_format(entry, line);
	text = whole_text();
	cr_expect(g_str_has_suffix(text, line->str));
	fields = g_strsplit(line->str, "\t", -1);
	cr_assert_eq(g_strv_length(fields), 8);
	cr_expect_str_eq(fields[0], "t-1");
	cr_expect_str_eq(fields[1], "2");
	cr_expect_eq(fields[2][strlen(fields[2]) - 1], 'Z');
	cr_expect_str_eq(fields[3], "5");
	cr_expect_str_eq(fields[4], "7");
	cr_expect_str_eq(fields[5], "v\\ti");
	cr_expect_str_eq(fields[6], "2");
	cr_expect_str_eq(fields[7], "be\\ncause\\377\n");
}

Test(store_time, the_text_is_the_same_in_pieces_of_any_size)
{
	g_autofree char *all = NULL;

	for (int i = 0; i < 50; i++)
		cr_expect_eq(put(store, i % 3 ? "k" : "longer", "v"), 0);
	all = whole_text();
	for (size_t size = 1; size < 400; size = size * 2 + 1) {
		g_autoptr(GString) text = g_string_new("");
		size_t before;

		do {
			before = text->len;
			cr_assert_eq(store_log_text(store, text->len, size, text), 0);
			cr_assert_leq(text->len - before, size);
		} while (text->len > before);
		cr_expect_str_eq(text->str, all);
	}
}

/* ---- The commit at a time ------------------------------------------------------- */

static void put_at(int64_t seconds)
{
	struct timespec now;

	syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
	clock_offset_ns = (seconds - now.tv_sec) * SECOND_NS;
	cr_expect_eq(put(store, "k", "v"), 0);
}

static int found_at(int64_t seconds)
{
	uint64_t revision = 0;
	int r = store_find_revision(store, (seconds + 1) * SECOND_NS - 1, &revision);

	return r < 0 ? r : (int)revision;
}

Test(store_time, a_time_finds_the_newest_commit_before_it)
{
	struct log_entry *entry = NULL;
	uint64_t revision;
	int64_t base;

	cr_assert_eq(store_log(store, 1, &entry), 0);
	base = entry->time_ns / SECOND_NS;
	log_entry_free(entry);
	cr_expect_eq(found_at(base - 1), -ENOENT);
	for (int i = 1; i <= 40; i++)
		put_at(base + i * 10); /* revision 1 + i */
	for (int i = 1; i <= 40; i++) {
		cr_expect_eq(found_at(base + i * 10), 1 + i);
		cr_expect_eq(found_at(base + i * 10 - 1), i);
		cr_expect_eq(found_at(base + i * 10 + 9), 1 + i);
	}
	cr_expect_eq(found_at(base + 100000), 41);
	cr_assert_eq(store_log(store, 20, &entry), 0);
	cr_expect_eq(store_find_revision(store, entry->time_ns, &revision), 0);
	cr_expect_eq(revision, 20);
	cr_expect_eq(store_find_revision(store, entry->time_ns - 1, &revision), 0);
	cr_expect_eq(revision, 19);
	log_entry_free(entry);
}

Test(store_time, where_the_clock_was_set_back_the_newer_commits_count)
{
	struct log_entry *entry = NULL;
	int64_t base;

	cr_assert_eq(store_log(store, 1, &entry), 0);
	base = entry->time_ns / SECOND_NS;
	log_entry_free(entry);
	put_at(base + 100);
	put_at(base + 200);
	put_at(base + 300); /* 4 */
	put_at(base + 150);
	put_at(base + 250); /* 6 */
	put_at(base + 50);
	put_at(base + 220); /* 8 */
	cr_expect_eq(found_at(base + 400), 8);
	cr_expect_eq(found_at(base + 220), 8);
	cr_expect_eq(found_at(base + 219), 7);
	cr_expect_eq(found_at(base + 50), 7);
	cr_expect_eq(found_at(base + 49), 1);
}

Test(store_time, a_time_before_the_epoch_has_a_text)
{
	g_autoptr(GString) text = g_string_new("");

	text_append_time(text, -1);
	g_string_append_c(text, ' ');
	text_append_time(text, 1234567890 * SECOND_NS + 7 * 1000000);
	cr_expect_str_eq(text->str, "1969-12-31T23:59:59.999Z 2009-02-13T23:31:30.007Z");
}
