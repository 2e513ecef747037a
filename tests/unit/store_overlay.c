/* Overlays: what a transaction has written, over a snapshot. */
#include "tests/unit/store_test.h"

static const struct overlay_limits wide = { 1 << 20, 1000, 10 << 20, 0 };

static struct store *store;
static struct overlay *overlay;

static void setup(void)
{
	store = open_memory_store();
	cr_assert_eq(make_directory(store, "d"), 0);
	cr_assert_eq(put(store, "d/a", "1"), 0);
	cr_assert_eq(put(store, "d/b", "2"), 0);
	cr_assert_eq(make_directory(store, "d/s"), 0);
	cr_assert_eq(put(store, "d/s/x", "deep"), 0);
	overlay = overlay_new(store_head(store), &wide);
}

static void teardown(void)
{
	overlay_free(overlay);
	store_close(store);
}

/* Applies the only operation of a program and frees it. */
static int apply(struct program *program)
{
	int r = overlay_apply(overlay, program->then_ops->pdata[0], &test_root, false, 1000, NULL,
			      NULL);

	program_free(program);
	return r;
}

static struct program *with_put(const char *key, const char *text)
{
	struct program *program = program_new(&test_root);

	add_put(program, key, text);
	return program;
}

static struct program *with(enum op_kind kind, const char *key)
{
	struct program *program = program_new(&test_root);

	program_add(program, kind, key)->mode = 0755;
	return program;
}

static struct program *with_rename(const char *from, const char *to, unsigned flags)
{
	struct program *program = program_new(&test_root);

	add_rename(program, from, to, flags);
	return program;
}

static char *overlay_value(const char *key)
{
	g_autoptr(record) record = NULL;

	return overlay_get(overlay, key, &record) == 0 ? text_of(record) : NULL;
}

static char *overlay_names(const char *directory)
{
	GString *names = g_string_new("");

	cr_assert_eq(overlay_list(overlay, directory, append_name, names), 0);
	return g_string_free(names, FALSE);
}

#define expect_overlay_names(directory, names)                      \
	do {                                                        \
		g_autofree char *found_ = overlay_names(directory); \
		cr_expect_str_eq(found_, names);                    \
	} while (0)

#define expect_overlay_value(key, text)                               \
	do {                                                          \
		g_autofree char *found_ = overlay_value(key);         \
		cr_expect_str_eq(found_ ? found_ : "(absent)", text); \
	} while (0)

TestSuite(store_overlay, .init = setup, .fini = teardown);

Test(store_overlay, shows_what_it_covers_and_what_it_changed)
{
	cr_expect_eq(apply(with_put("d/b", "new")), 0);
	cr_expect_eq(apply(with_put("d/c", "3")), 0);
	cr_expect_eq(apply(with(OP_DELETE, "d/a")), 0);
	expect_overlay_value("d/b", "new");
	expect_overlay_value("d/a", "(absent)");
	expect_overlay_names("d", "b c s/");
	expect_names(store, 0, "d", "a b s/");
}

Test(store_overlay, lists_in_byte_order_of_names)
{
	cr_expect_eq(apply(with_put("d/s-1", "sorts before s/ in the store")), 0);
	cr_expect_eq(apply(with_put("d/s1", "")), 0);
	cr_expect_eq(apply(with(OP_MKDIR, "d/s0")), 0);
	cr_expect_eq(apply(with_put("d/s0/hidden", "")), 0);
	expect_overlay_names("d", "a b s/ s-1 s0/ s1");
}

Test(store_overlay, lists_the_root)
{
	cr_expect_eq(apply(with_put("e", "")), 0);
	expect_overlay_names("", "d/ e");
}

Test(store_overlay, forgets_what_was_made_and_removed_again)
{
	cr_expect_eq(apply(with_put("d/c", "3")), 0);
	cr_expect_eq(overlay_keys(overlay), 1);
	cr_expect_eq(overlay_bytes(overlay), 4);
	cr_expect_eq(apply(with(OP_DELETE, "d/c")), 0);
	cr_expect_eq(overlay_keys(overlay), 0);
	cr_expect_eq(overlay_bytes(overlay), 0);
}

Test(store_overlay, tells_a_new_record_from_a_changed_one)
{
	const struct overlay_entry *entry;

	cr_expect_eq(apply(with_put("d/a", "changed")), 0);
	entry = overlay_find(overlay, "d/a");
	cr_expect_not(entry->fresh);
	cr_expect(entry->value_written);
	cr_expect_eq(apply(with(OP_DELETE, "d/a")), 0);
	entry = overlay_find(overlay, "d/a");
	cr_expect_null(entry->now);
	cr_expect_not_null(entry->base);
	cr_expect_null(entry->base->value);
	cr_expect_eq(apply(with_put("d/a", "again")), 0);
	entry = overlay_find(overlay, "d/a");
	cr_expect(entry->fresh);
	cr_expect_not_null(entry->base);
	cr_expect_neq(entry->now->ino, entry->base->ino);
}

Test(store_overlay, keeps_the_value_below_when_only_attributes_change)
{
	struct program *program = with(OP_ATTR, "d/a");
	struct op *op = program->then_ops->pdata[0];
	const struct overlay_entry *entry;

	op->changes = (struct attributes){ .mask = ATTRIBUTE_MODE, .mode = 0600 };
	cr_expect_eq(apply(program), 0);
	entry = overlay_find(overlay, "d/a");
	cr_expect_not(entry->value_written);
	cr_expect_null(entry->now->value);
	cr_expect_eq(entry->attributes, ATTRIBUTE_MODE);
	expect_overlay_value("d/a", "1");
	program = program_new(&test_root);
	add_append(program, "d/a", "+");
	cr_expect_eq(apply(program), 0);
	expect_overlay_value("d/a", "1+");
	cr_expect(overlay_find(overlay, "d/a")->value_written);
	cr_expect_eq(overlay_find(overlay, "d/a")->now->mode, 0600);
}

Test(store_overlay, renames_a_tree_over_and_under_changes)
{
	const struct overlay_entry *entry;

	cr_expect_eq(apply(with_put("d/s/y", "own")), 0);
	cr_expect_eq(apply(with(OP_DELETE, "d/a")), 0);
	cr_expect_eq(apply(with_rename("d", "e", 0)), 0);
	expect_overlay_names("", "e/");
	expect_overlay_names("d", "");
	expect_overlay_names("e", "b s/");
	expect_overlay_names("e/s", "x y");
	expect_overlay_value("e/s/x", "deep");
	expect_overlay_value("e/s/y", "own");
	expect_overlay_value("d/b", "(absent)");
	entry = overlay_find(overlay, "e/b");
	cr_expect(entry->fresh && entry->value_written);
	cr_expect_eq(entry->attributes, ATTRIBUTE_ALL);
	cr_expect_null(entry->base);
	cr_expect_null(overlay_find(overlay, "d/s/y"), "made here and moved away");
}

Test(store_overlay, renames_there_and_back)
{
	cr_expect_eq(apply(with_rename("d", "e", 0)), 0);
	cr_expect_eq(apply(with_rename("e", "d", 0)), 0);
	expect_overlay_names("d", "a b s/");
	expect_overlay_value("d/s/x", "deep");
	cr_expect_null(overlay_find(overlay, "e"));
	cr_expect(overlay_find(overlay, "d/a")->fresh);
}

Test(store_overlay, exchanges_a_value_and_a_directory)
{
	cr_expect_eq(apply(with_rename("d/a", "d/s", OP_EXCHANGE)), 0);
	expect_overlay_value("d/s", "1");
	expect_overlay_value("d/a/x", "deep");
	expect_overlay_names("d", "a/ b s");
}

Test(store_overlay, writes_into_a_tree_it_removed)
{
	cr_expect_eq(apply(with(OP_RMDIR, "d/s")), -ENOTEMPTY);
	cr_expect_eq(apply(with(OP_DELETE, "d/s/x")), 0);
	cr_expect_eq(apply(with(OP_RMDIR, "d/s")), 0);
	cr_expect_eq(apply(with_put("d/s/z", "")), -ENOENT);
	cr_expect_eq(apply(with(OP_MKDIR, "d/s")), 0);
	cr_expect_eq(apply(with_put("d/s/z", "new")), 0);
	expect_overlay_names("d/s", "z");
	cr_expect_eq(apply(with(OP_RMDIR, "d/s")), -ENOTEMPTY);
}

Test(store_overlay, does_not_touch_parents)
{
	cr_expect_eq(apply(with_put("d/c", "")), 0);
	cr_expect_null(overlay_find(overlay, "d"));
}

static int count_entry(const struct overlay_entry *entry, void *arg)
{
	g_string_append_printf(arg, "%s ", entry->key);
	return 0;
}

Test(store_overlay, visits_entries_in_byte_order_of_keys)
{
	g_autoptr(GString) keys = g_string_new("");

	cr_expect_eq(apply(with_put("d/b", "")), 0);
	cr_expect_eq(apply(with_put("d-1", "")), 0);
	cr_expect_eq(apply(with_put("d/a", "")), 0);
	cr_expect_eq(apply(with(OP_MKDIR, "c")), 0);
	cr_expect_eq(overlay_foreach(overlay, count_entry, keys), 0);
	cr_expect_str_eq(keys->str, "c d-1 d/a d/b ");
}

Test(store_overlay, refuses_what_crosses_its_limits_and_stays_as_it_was)
{
	const struct overlay_limits narrow = { 8, 3, 30, 0 };
	g_autofree char *names = NULL;

	overlay_free(overlay);
	overlay = overlay_new(store_head(store), &narrow);
	cr_expect_eq(apply(with_put("k", "123456789")), -EFBIG);
	cr_expect_eq(apply(with_rename("d", "e", 0)), -EDQUOT);
	cr_expect_eq(overlay_keys(overlay), 0);
	cr_expect_eq(apply(with_put("k", "12345678")), 0);
	cr_expect_eq(apply(with_put("l", "12345678")), 0);
	cr_expect_eq(apply(with_put("m", "12345678")), 0);
	cr_expect_eq(apply(with_put("n", "")), -EDQUOT);
	cr_expect_eq(apply(with_put("k", "1")), 0);
	cr_expect_eq(overlay_bytes(overlay), 20);
	names = overlay_names("");
	cr_expect_str_eq(names, "d/ k l m");
}

#ifndef __SANITIZE_ADDRESS__ /* every realloc copies there */
Test(store_overlay, many_small_appends_to_a_big_value_cost_what_they_write)
{
	g_autoptr(program) program = program_new(&test_root);
	g_autofree char *big = g_strnfill(900 * 1024, 'x');
	const struct op *op = add_append(program, "big", "y");
	g_autoptr(record) record = NULL;
	gint64 start;

	cr_expect_eq(apply(with_put("big", big)), 0);
	start = g_get_monotonic_time();
	/* As many copies would be 18 GB and take seconds. */
	for (int i = 0; i < 20000; i++)
		cr_assert_eq(overlay_apply(overlay, op, &test_root, false, i, NULL, NULL), 0);
	cr_expect_lt(g_get_monotonic_time() - start, (gint64)G_USEC_PER_SEC);
	cr_assert_eq(overlay_get(overlay, "big", &record), 0);
	cr_expect_eq(record->size_bytes, 900 * 1024 + 20000);
}
#endif

Test(store_overlay, a_record_handed_out_does_not_change_afterwards)
{
	g_autoptr(record) before = NULL;
	g_autofree char *text = NULL;
	struct program *program = program_new(&test_root);

	cr_expect_eq(apply(with_put("k", "abc")), 0);
	cr_assert_eq(overlay_get(overlay, "k", &before), 0);
	add_append(program, "k", "def");
	cr_expect_eq(apply(program), 0);
	text = text_of(before);
	cr_expect_str_eq(text, "abc");
	expect_overlay_value("k", "abcdef");
}

Test(store_overlay, names_the_key_in_the_way)
{
	g_autoptr(program) program = with_put("d/a/b/c", "");
	g_autofree char *key = NULL;

	cr_expect_eq(overlay_apply(overlay, program->then_ops->pdata[0], &test_root, false, 0, NULL,
				   &key),
		     -ENOTDIR);
	cr_expect_str_eq(key, "d/a");
}
