/* Reading at past revisions, listings, and the log. */
#include "tests/unit/store_test.h"

static struct store *store;

static void setup(void)
{
	store = open_memory_store();
}

static void teardown(void)
{
	store_close(store);
}

TestSuite(store_history, .init = setup, .fini = teardown);

#define expect_value_at(revision, key, text)                                          \
	do {                                                                          \
		g_autofree char *found_ = value_at(store, revision, key);             \
		cr_expect_str_eq(found_ ? found_ : "(absent)", text, "%s at %d", key, \
				 (int)(revision));                                    \
	} while (0)

Test(store_history, every_revision_has_its_values)
{
	cr_expect_eq(put(store, "k", "two"), 0);
	cr_expect_eq(put(store, "k", "three"), 0);
	cr_expect_eq(remove_key(store, OP_DELETE, "k"), 0);
	cr_expect_eq(put(store, "k", "five"), 0);
	expect_value_at(1, "k", "(absent)");
	expect_value_at(2, "k", "two");
	expect_value_at(3, "k", "three");
	expect_value_at(4, "k", "(absent)");
	expect_value_at(5, "k", "five");
}

Test(store_history, a_key_can_have_been_a_directory)
{
	cr_expect_eq(make_directory(store, "k"), 0);
	cr_expect_eq(put(store, "k/a", "deep"), 0);
	cr_expect_eq(remove_key(store, OP_DELETE, "k/a"), 0);
	cr_expect_eq(remove_key(store, OP_RMDIR, "k"), 0);
	cr_expect_eq(put(store, "k", "six"), 0);
	expect_names(store, 1, "", "");
	expect_names(store, 2, "", "k/");
	expect_names(store, 3, "", "k/");
	expect_names(store, 3, "k", "a");
	expect_names(store, 4, "k", "");
	expect_names(store, 5, "", "");
	expect_names(store, 6, "", "k");
	expect_value_at(3, "k/a", "deep");
	expect_value_at(3, "k", "(absent)");
	expect_value_at(6, "k", "six");
}

Test(store_history, a_directory_has_the_numbers_it_had)
{
	g_autoptr(record) then = NULL;

	cr_expect_eq(make_directory(store, "d"), 0);
	cr_expect_eq(put(store, "d/a", ""), 0);
	cr_expect_eq(change_mode(store, "d", 0700), 0);
	cr_expect_eq(put(store, "d/b", ""), 0);
	then = record_at(store, 3, "d");
	cr_expect_eq(then->mod_revision, 3);
	cr_expect_eq(then->mode, 0755);
	cr_expect_eq(then->version, 2);
	g_clear_pointer(&then, record_unref);
	then = record_at(store, 4, "d");
	cr_expect_eq(then->mod_revision, 3);
	cr_expect_eq(then->attribute_revision, 4);
	cr_expect_eq(then->mode, 0700);
}

Test(store_history, past_listings_pass_over_whole_trees)
{
	cr_expect_eq(make_directory(store, "a"), 0);
	cr_expect_eq(make_directory(store, "a/b"), 0);
	cr_expect_eq(put(store, "a/b/c", ""), 0);
	cr_expect_eq(put(store, "a-b", ""), 0);
	cr_expect_eq(put(store, "a0", ""), 0);
	cr_expect_eq(put(store, "b", ""), 0); /* 7 */
	cr_expect_eq(rename_key(store, "a", "z", 0), 0);
	cr_expect_eq(remove_key(store, OP_DELETE, "a-b"), 0);
	cr_expect_eq(remove_key(store, OP_DELETE, "a0"), 0);
	expect_names(store, 7, "", "a-b a/ a0 b");
	expect_names(store, 7, "a", "b/");
	expect_names(store, 7, "a/b", "c");
	expect_names(store, 7, "z", "");
	expect_names(store, 8, "", "a-b a0 b z/");
	expect_names(store, 0, "", "b z/");
	expect_names(store, 3, "", "a/");
}

Test(store_history, a_listing_goes_on_after_a_name)
{
	g_autoptr(snapshot) now = NULL;
	g_autoptr(snapshot) past = NULL;

	cr_expect_eq(make_directory(store, "b"), 0);
	cr_expect_eq(put(store, "b/x", ""), 0);
	cr_expect_eq(put(store, "a", ""), 0);
	cr_expect_eq(put(store, "a", "again"), 0);
	cr_expect_eq(put(store, "a-1", ""), 0);
	cr_expect_eq(put(store, "b-1", ""), 0);
	cr_expect_eq(put(store, "c", ""), 0); /* 8 */
	cr_expect_eq(put(store, "a", "later"), 0);
	cr_assert_eq(store_snapshot(store, 0, &now), 0);
	cr_assert_eq(store_snapshot(store, 8, &past), 0);
	for (int i = 0; i < 2; i++) {
		struct snapshot *snapshot = i ? past : now;
		g_autofree char *all = names_in(snapshot, "", NULL);
		g_autofree char *after_value = names_in(snapshot, "", "a");
		g_autofree char *after_directory = names_in(snapshot, "", "b");
		g_autofree char *after_absent = names_in(snapshot, "", "a-0");
		g_autofree char *after_last = names_in(snapshot, "", "c");

		cr_expect_str_eq(all, "a a-1 b-1 b/ c");
		cr_expect_str_eq(after_value, "a-1 b-1 b/ c");
		cr_expect_str_eq(after_directory, "c");
		cr_expect_str_eq(after_absent, "a-1 b-1 b/ c");
		cr_expect_str_eq(after_last, "");
	}
}

static int stop_at_second(const char *name, struct record *record, void *arg)
{
	int *count = arg;

	(void)name;
	(void)record;
	return ++*count == 2 ? -ECANCELED : 0;
}

Test(store_history, a_visitor_stops_a_listing)
{
	g_autoptr(snapshot) snapshot = NULL;
	int count = 0;

	for (char name[] = "a"; *name < 'e'; (*name)++)
		cr_expect_eq(put(store, name, ""), 0);
	cr_assert_eq(store_snapshot(store, 0, &snapshot), 0);
	cr_expect_eq(snapshot_list(snapshot, "", NULL, stop_at_second, &count), -ECANCELED);
	cr_expect_eq(count, 2);
}

Test(store_history, a_snapshot_does_not_move)
{
	g_autoptr(snapshot) snapshot = NULL;
	g_autoptr(record) record = NULL;
	g_autofree char *names = NULL;

	cr_expect_eq(put(store, "a", "old"), 0);
	cr_assert_eq(store_snapshot(store, 0, &snapshot), 0);
	cr_expect_eq(snapshot->revision, 2);
	cr_expect_eq(put(store, "a", "new"), 0);
	cr_expect_eq(put(store, "b", ""), 0);
	cr_assert_eq(snapshot_get(snapshot, "a", &record), 0);
	cr_expect_eq(record->mod_revision, 2);
	names = names_in(snapshot, "", NULL);
	cr_expect_str_eq(names, "a");
}

Test(store_history, the_head_moves)
{
	struct snapshot *head = store_head(store);
	g_autoptr(record) record = NULL;

	cr_expect_eq(head->revision, 0);
	cr_expect_eq(put(store, "a", "1"), 0);
	cr_expect_eq(put(store, "a", "2"), 0);
	cr_assert_eq(snapshot_get(head, "a", &record), 0);
	cr_expect_eq(record->mod_revision, 3);
}

Test(store_history, revisions_not_reached_are_not_there)
{
	struct snapshot *snapshot = NULL;
	struct log_entry *entry = NULL;

	cr_expect_eq(store_snapshot(store, 2, &snapshot), -ENOENT);
	cr_expect_eq(store_snapshot(store, UINT64_MAX, &snapshot), -ENOENT);
	cr_expect_eq(store_log(store, 2, &entry), -ENOENT);
	cr_expect_eq(store_log(store, 0, &entry), -ENOENT);
	cr_expect_null(snapshot);
}

Test(store_history, what_is_no_key_is_not_read)
{
	struct record *record = NULL;

	cr_expect_eq(make_directory(store, "d"), 0);
	cr_expect_eq(snapshot_get(store_head(store), "d/", &record), -EINVAL);
	cr_expect_eq(snapshot_get(store_head(store), "/", &record), -EINVAL);
	cr_expect_null(record);
}

Test(store_history, the_log_has_who_and_what)
{
	const struct credentials author = { .uid = 5, .gid = 6, .pid = 7, .command = (char *)"vi" };
	struct program *program = program_new(&author);
	g_autoptr(log_entry) entry = NULL;
	g_autoptr(log_entry) first = NULL;
	g_autoptr(GString) changes = g_string_new("");

	program->id = g_strdup("t-1");
	program->message = g_strdup("because");
	add_put(program, "b", "");
	add_mkdir(program, "a");
	add_put(program, "a/x", "");
	cr_expect_eq(run_error(store, program), 0);
	cr_assert_eq(store_log(store, 2, &entry), 0);
	cr_expect_eq(entry->uid, 5);
	cr_expect_eq(entry->gid, 6);
	cr_expect_eq(entry->pid, 7);
	cr_expect_str_eq(entry->command, "vi");
	cr_expect_str_eq(entry->id, "t-1");
	cr_expect_str_eq(entry->message, "because");
	for (guint i = 0; i < entry->changes->len; i++) {
		const struct change *change = entry->changes->pdata[i];

		g_string_append_printf(changes, "%s %s;", change_kind_name(change->kind),
				       change->key);
	}
	cr_expect_str_eq(changes->str, "mkdir a;put a/x;put b;");
	cr_expect_eq(store_log(store, 1, &first), 0);
}

Test(store_history, the_log_names_every_kind_of_change)
{
	static const char *const expected[] = { "mkdir d",  "put k",   "symlink l",	"attr k",
						"delete k", "rmdir d", "delete l;put m" };

	cr_expect_eq(make_directory(store, "d"), 0);
	cr_expect_eq(put(store, "k", ""), 0);
	cr_expect_eq(make_link(store, "l", "x"), 0);
	cr_expect_eq(change_mode(store, "k", 0600), 0);
	cr_expect_eq(remove_key(store, OP_DELETE, "k"), 0);
	cr_expect_eq(remove_key(store, OP_RMDIR, "d"), 0);
	cr_expect_eq(put(store, "m", ""), 0);
	cr_expect_eq(remove_key(store, OP_DELETE, "m"), 0);
	for (guint i = 0; i < 6; i++) {
		g_autoptr(log_entry) entry = NULL;
		g_autofree char *line = NULL;
		const struct change *change;

		cr_assert_eq(store_log(store, i + 2, &entry), 0);
		cr_assert_eq(entry->changes->len, 1);
		change = entry->changes->pdata[0];
		line = g_strdup_printf("%s %s", change_kind_name(change->kind), change->key);
		cr_expect_str_eq(line, expected[i]);
	}
}
