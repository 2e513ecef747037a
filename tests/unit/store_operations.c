/* Operations through the committer: their errors and what they leave. */
#include "tests/unit/store_test.h"

static struct store *store;

static void setup(void)
{
	store = open_memory_store();
	cr_assert_eq(make_directory(store, "d"), 0);
	cr_assert_eq(put(store, "d/k", "value"), 0);
	cr_assert_eq(make_link(store, "d/l", "k"), 0);
	cr_assert_eq(make_directory(store, "d/e"), 0);
}

static void teardown(void)
{
	store_close(store);
}

TestSuite(store_operations, .init = setup, .fini = teardown);

Test(store_operations, put_wants_a_directory_above)
{
	cr_expect_eq(put(store, "x/y", ""), -ENOENT);
	cr_expect_eq(put(store, "d/k/y", ""), -ENOTDIR);
	cr_expect_eq(put(store, "d/l/y", ""), -ENOTDIR);
	cr_expect_eq(put(store, "d/e/y", ""), 0);
}

Test(store_operations, put_writes_values_only)
{
	cr_expect_eq(put(store, "d", ""), -EISDIR);
	cr_expect_eq(put(store, "", ""), -EISDIR);
	cr_expect_eq(put(store, "d/l", ""), -ELOOP);
	cr_expect_eq(put(store, "d//k", ""), -EINVAL);
}

Test(store_operations, exclusive_put_refuses_anything_there)
{
	static const char *const keys[] = { "d/k", "d/l", "d/e" };

	for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
		struct program *program = program_new(&test_root);
		int r;

		add_put(program, keys[i], "")->flags = OP_EXCLUSIVE;
		r = run_error(store, program);
		cr_expect_lt(r, 0, "%s", keys[i]);
	}
	expect_value(store, "d/k", "value");
}

Test(store_operations, a_value_has_a_maximum)
{
	g_autofree char *big = g_strnfill(16 * 1024 * 1024 + 1, 'x');
	struct program *program = program_new(&test_root);

	cr_expect_eq(put(store, "big", big), -EFBIG);
	big[16 * 1024 * 1024] = '\0';
	cr_expect_eq(put(store, "big", big), 0);
	add_append(program, "big", "x");
	cr_expect_eq(run_error(store, program), -EFBIG);
}

Test(store_operations, delete_and_rmdir_take_their_own)
{
	cr_expect_eq(remove_key(store, OP_DELETE, "d/e"), -EISDIR);
	cr_expect_eq(remove_key(store, OP_RMDIR, "d/k"), -ENOTDIR);
	cr_expect_eq(remove_key(store, OP_RMDIR, "d/l"), -ENOTDIR);
	cr_expect_eq(remove_key(store, OP_RMDIR, "d"), -ENOTEMPTY);
	cr_expect_eq(remove_key(store, OP_RMDIR, ""), -EBUSY);
	cr_expect_eq(remove_key(store, OP_DELETE, "d/x"), -ENOENT);
	cr_expect_eq(remove_key(store, OP_RMDIR, "d/x"), -ENOENT);
	cr_expect_eq(remove_key(store, OP_DELETE, "d/l"), 0);
	cr_expect_eq(remove_key(store, OP_RMDIR, "d/e"), 0);
	expect_names(store, 0, "d", "k");
}

Test(store_operations, deleting_the_absent_changes_nothing)
{
	struct program *program = program_new(&test_root);
	struct outcome outcome;
	uint64_t before = store_revision(store);

	program_add(program, OP_DELETE, "d/x");
	program_add(program, OP_RMDIR, "x/y");
	outcome = run(store, program);
	cr_expect_eq(outcome.error, 0);
	cr_expect(outcome.succeeded);
	cr_expect_not(outcome.changed);
	cr_expect_eq(outcome.revision, before);
	cr_expect_eq(store_revision(store), before);
	outcome_clear(&outcome);
}

Test(store_operations, mkdir_and_symlink_want_nothing_there)
{
	cr_expect_eq(make_directory(store, "d/k"), -EEXIST);
	cr_expect_eq(make_directory(store, ""), -EEXIST);
	cr_expect_eq(make_link(store, "d/l", "x"), -EEXIST);
	cr_expect_eq(make_link(store, "x/l", "x"), -ENOENT);
	expect_value(store, "d/l", "k");
}

Test(store_operations, patch_wants_a_value)
{
	struct program *program = program_new(&test_root);

	add_append(program, "d/x", "x");
	cr_expect_eq(run_error(store, program), -ENOENT);
	program = program_new(&test_root);
	add_append(program, "d", "x");
	cr_expect_eq(run_error(store, program), -EISDIR);
	program = program_new(&test_root);
	add_append(program, "d/l", "x");
	cr_expect_eq(run_error(store, program), -ELOOP);
	program = program_new(&test_root);
	add_append(program, "d/k", "+");
	add_append(program, "d/k", "+");
	cr_expect_eq(run_error(store, program), 0);
	expect_value(store, "d/k", "value++");
}

Test(store_operations, attributes_want_something_there)
{
	cr_expect_eq(change_mode(store, "d/x", 0600), -ENOENT);
	cr_expect_eq(change_mode(store, "d/k", 07600), 0);
	cr_expect_eq(change_mode(store, "d", 02750), 0);
	{
		g_autoptr(record) value = record_now(store, "d/k");
		g_autoptr(record) directory = record_now(store, "d");

		cr_expect_eq(value->mode, 01600, "setuid and setgid are dropped");
		cr_expect_eq(directory->mode, 02750);
	}
}

Test(store_operations, what_is_created_takes_mode_owner_and_changes)
{
	const struct credentials user = { .uid = 7, .gid = 8 };
	struct program *program = program_new(&user);
	g_autoptr(record) record = NULL;
	struct op *op = add_put(program, "d/new", "");

	op->mode = 06640;
	op->ino = 99;
	op->changes = (struct attributes){ .mask = ATTRIBUTE_MTIME, .mtime_ns = 5 };
	cr_expect_eq(run_error(store, program), 0);
	record = record_now(store, "d/new");
	cr_expect_eq(record->mode, 0640);
	cr_expect_eq(record->uid, 7);
	cr_expect_eq(record->gid, 8);
	cr_expect_eq(record->ino, 99);
	cr_expect_eq(record->mtime_ns, 5);
	cr_expect_neq(record->ctime_ns, 5);
}

Test(store_operations, a_put_keeps_attributes_and_inode_number)
{
	g_autoptr(record) before = NULL;
	g_autoptr(record) after = NULL;

	cr_expect_eq(change_mode(store, "d/k", 0600), 0);
	before = record_now(store, "d/k");
	cr_expect_eq(put(store, "d/k", "other"), 0);
	after = record_now(store, "d/k");
	cr_expect_eq(after->mode, 0600);
	cr_expect_eq(after->ino, before->ino);
	cr_expect_eq(after->create_revision, before->create_revision);
}

Test(store_operations, a_setgid_directory_gives_its_group)
{
	const struct credentials user = { .uid = 7, .gid = 8 };
	struct program *program = program_new(&test_root);
	g_autoptr(record) below = NULL;
	g_autoptr(record) value = NULL;

	program_add(program, OP_ATTR, "d")->changes = (struct attributes){
		.mask = ATTRIBUTE_MODE | ATTRIBUTE_GID, .mode = 02777, .gid = 55
	};
	cr_expect_eq(run_error(store, program), 0);
	program = program_new(&user);
	add_mkdir(program, "d/sub");
	add_put(program, "d/sub/v", "");
	cr_expect_eq(run_error(store, program), 0);
	below = record_now(store, "d/sub");
	value = record_now(store, "d/sub/v");
	cr_expect_eq(below->gid, 55);
	cr_expect_eq(below->mode, 02755);
	cr_expect_eq(value->gid, 55);
	cr_expect_eq(value->mode, 0644);
}

/* ---- Renaming ------------------------------------------------------------------- */

Test(store_operations, rename_follows_the_rules_of_rename_2)
{
	cr_expect_eq(rename_key(store, "x", "y", 0), -ENOENT);
	cr_expect_eq(rename_key(store, "", "y", 0), -EBUSY);
	cr_expect_eq(rename_key(store, "d", "", 0), -EBUSY);
	cr_expect_eq(rename_key(store, "d", "d/e/f", 0), -EINVAL);
	cr_expect_eq(rename_key(store, "d/k", "d/e", 0), -EISDIR);
	cr_expect_eq(rename_key(store, "d/e", "d/k", 0), -ENOTDIR);
	cr_expect_eq(rename_key(store, "d/e", "d", 0), -ENOTEMPTY);
	cr_expect_eq(rename_key(store, "d/k", "x/k", 0), -ENOENT);
	cr_expect_eq(rename_key(store, "d/k", "d/l/k", 0), -ENOTDIR);
	cr_expect_eq(rename_key(store, "d/k", "d/l", OP_EXCLUSIVE), -EEXIST);
	cr_expect_eq(rename_key(store, "d/k", "d/x", OP_EXCHANGE), -ENOENT);
	cr_expect_eq(rename_key(store, "d/e", "d", OP_EXCHANGE), -EINVAL);
	cr_expect_eq(rename_key(store, "d", "d/e", OP_EXCHANGE), -EINVAL);
	expect_names(store, 0, "d", "e/ k l");
}

Test(store_operations, rename_to_itself_changes_nothing)
{
	uint64_t before = store_revision(store);

	cr_expect_eq(rename_key(store, "d/k", "d/k", 0), 0);
	cr_expect_eq(rename_key(store, "d", "d", 0), 0);
	cr_expect_eq(store_revision(store), before);
}

Test(store_operations, rename_moves_a_tree_as_new_keys_with_old_inodes)
{
	g_autoptr(record) before = record_now(store, "d/k");
	g_autoptr(record) after = NULL;

	cr_expect_eq(rename_key(store, "d", "t", 0), 0);
	after = record_now(store, "t/k");
	cr_assert_not_null(after);
	cr_expect_eq(after->ino, before->ino);
	cr_expect_eq(after->mtime_ns, before->mtime_ns);
	cr_expect_eq(after->mode, before->mode);
	cr_expect_eq(after->version, 1);
	cr_expect_eq(after->create_revision, store_revision(store));
	cr_expect_eq(after->mod_revision, store_revision(store));
	expect_names(store, 0, "", "t/");
	expect_names(store, 0, "t", "e/ k l");
	expect_value(store, "t/l", "k");
}

Test(store_operations, rename_replaces_a_value_and_an_empty_directory)
{
	cr_expect_eq(put(store, "d/m", "other"), 0);
	cr_expect_eq(rename_key(store, "d/k", "d/m", 0), 0);
	expect_value(store, "d/m", "value");
	cr_expect_eq(rename_key(store, "d/m", "d/l", 0), 0);
	expect_value(store, "d/l", "value");
	cr_expect_eq(make_directory(store, "f"), 0);
	cr_expect_eq(rename_key(store, "d", "f", 0), 0);
	expect_names(store, 0, "f", "e/ l");
}

Test(store_operations, rename_exchanges_trees)
{
	cr_expect_eq(put(store, "k", "top"), 0);
	cr_expect_eq(rename_key(store, "d", "k", OP_EXCHANGE), 0);
	expect_value(store, "d", "top");
	expect_value(store, "k/k", "value");
	expect_names(store, 0, "k", "e/ k l");
}

Test(store_operations, renaming_too_many_keys_is_refused)
{
	struct store_options options;
	struct store *small = NULL;
	char *message = NULL;

	store_options_init(&options);
	options.max_program_keys = 8;
	cr_assert_eq(store_open(&options, &small, &message), 0);
	cr_expect_eq(make_directory(small, "a"), 0);
	for (int i = 0; i < 5; i++) {
		g_autofree char *key = g_strdup_printf("a/%d", i);

		cr_expect_eq(put(small, key, ""), 0);
	}
	cr_expect_eq(rename_key(small, "a", "b", 0), -EDQUOT);
	expect_names(small, 0, "a", "0 1 2 3 4");
	store_close(small);
}

Test(store_operations, a_rename_into_too_long_a_key_is_refused)
{
	g_autofree char *name = g_strnfill(STORE_NAME_MAX, 'n');
	g_autoptr(GString) deep = g_string_new(name);

	cr_assert_eq(make_directory(store, deep->str), 0);
	while (deep->len + 1 + STORE_NAME_MAX <= STORE_KEY_MAX) {
		g_string_append_printf(deep, "/%s", name);
		cr_assert_eq(make_directory(store, deep->str), 0);
	}
	g_string_append_printf(deep, "/%0*d", (int)(STORE_KEY_MAX - deep->len - 1), 0);
	cr_assert_eq(deep->len, STORE_KEY_MAX);
	cr_assert_eq(put(store, deep->str, "as deep as can be"), 0);
	expect_value(store, deep->str, "as deep as can be");
	{
		g_autofree char *target = g_strconcat("d/", name, NULL);

		cr_expect_eq(rename_key(store, name, target, 0), -ENAMETOOLONG);
	}
	expect_names(store, 0, "d", "e/ k l");
	cr_expect_eq(rename_key(store, name, "short", 0), 0);
	expect_names(store, 0, "", "d/ short/");
}

/* ---- Programs ------------------------------------------------------------------- */

Test(store_operations, a_program_is_all_or_nothing)
{
	struct program *program = program_new(&test_root);
	uint64_t before = store_revision(store);

	add_put(program, "d/k", "changed");
	add_put(program, "d/new", "");
	add_put(program, "x/y", "");
	cr_expect_eq(run_error(store, program), -ENOENT);
	cr_expect_eq(store_revision(store), before);
	expect_value(store, "d/k", "value");
	expect_names(store, 0, "d", "e/ k l");
}

Test(store_operations, all_refused_operations_are_told)
{
	struct program *program = program_new(&test_root);
	struct outcome outcome;

	add_put(program, "d", "");
	add_put(program, "d/fine", "");
	program_add(program, OP_RMDIR, "d");
	add_put(program, "x/y/z", "");
	outcome = run(store, program);
	cr_expect_eq(outcome.error, -EISDIR);
	cr_assert_eq(outcome.failures->len, 3);
	cr_expect_eq(g_array_index(outcome.failures, struct failure, 0).index, 0);
	cr_expect_eq(g_array_index(outcome.failures, struct failure, 1).error, -ENOTEMPTY);
	cr_expect_eq(g_array_index(outcome.failures, struct failure, 2).index, 3);
	cr_expect_str_eq(g_array_index(outcome.failures, struct failure, 2).key, "x");
	outcome_clear(&outcome);
}

Test(store_operations, operations_see_those_before_them)
{
	struct program *program = program_new(&test_root);
	struct outcome outcome;
	const struct record *record;

	add_mkdir(program, "n");
	add_put(program, "n/a", "1");
	add_append(program, "n/a", "2");
	add_rename(program, "n", "m", 0);
	program_add(program, OP_DELETE, "d/k");
	outcome = run(store, program);
	cr_expect_eq(outcome.error, 0);
	expect_value(store, "m/a", "12");
	expect_names(store, 0, "", "d/ m/");
	cr_assert_eq(outcome.records->len, 5);
	record = outcome.records->pdata[3];
	cr_expect_eq(record->create_revision, outcome.revision);
	record = outcome.records->pdata[1];
	cr_expect_eq(record->mod_revision, outcome.revision);
	cr_expect_null(outcome.records->pdata[4]);
	outcome_clear(&outcome);
}

Test(store_operations, what_is_made_and_removed_again_leaves_no_revision)
{
	struct program *program = program_new(&test_root);
	uint64_t before = store_revision(store);

	add_mkdir(program, "n");
	add_put(program, "n/a", "1");
	program_add(program, OP_DELETE, "n/a");
	program_add(program, OP_RMDIR, "n");
	cr_expect_eq(run_error(store, program), 0);
	cr_expect_eq(store_revision(store), before);
}

Test(store_operations, inode_numbers_are_never_given_twice)
{
	uint64_t first = store_new_ino(store);
	uint64_t second = store_new_ino(store);
	g_autoptr(record) record = NULL;

	cr_expect_neq(first, second);
	cr_expect_eq(put(store, "n", ""), 0);
	record = record_now(store, "n");
	cr_expect_neq(record->ino, first);
	cr_expect_neq(record->ino, second);
	cr_expect_neq(record->ino, 0);
}
