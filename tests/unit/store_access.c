/* Permissions, checked at the revision of the commit. */
#include "tests/unit/store_test.h"

static const struct credentials owner = { .uid = 1000, .gid = 100 };
static const struct credentials member = { .uid = 1001, .gid = 100 };
static const struct credentials other = { .uid = 1002, .gid = 102 };

static struct store *store;

static void add_owned(struct program *program, enum op_kind kind, const char *key, uint32_t mode)
{
	struct op *op = program_add(program, kind, key);

	op->mode = mode;
	op->value = kind == OP_PUT ? bytes_of("value") : NULL;
}

static void setup(void)
{
	struct program *program = program_new(&test_root);

	store = open_memory_store();
	add_owned(program, OP_MKDIR, "home", 0777);
	add_owned(program, OP_MKDIR, "tmp", 01777);
	add_owned(program, OP_PUT, "system", 0644);
	cr_assert_eq(run_error(store, program), 0);
	program = program_new(&owner);
	add_owned(program, OP_MKDIR, "home/d", 0750);
	add_owned(program, OP_PUT, "home/d/k", 0660);
	add_owned(program, OP_MKDIR, "home/d/private", 0700);
	add_owned(program, OP_PUT, "home/d/private/k", 0666);
	add_owned(program, OP_PUT, "home/readonly", 0444);
	add_owned(program, OP_PUT, "tmp/k", 0666);
	cr_assert_eq(run_error(store, program), 0);
}

static void teardown(void)
{
	store_close(store);
}

TestSuite(store_access, .init = setup, .fini = teardown);

static struct program *checked(const struct credentials *credentials)
{
	struct program *program = program_new(credentials);

	program->checked = true;
	return program;
}

static int put_as(const struct credentials *credentials, const char *key)
{
	struct program *program = checked(credentials);

	add_put(program, key, "by another");
	return run_error(store, program);
}

static int delete_as(const struct credentials *credentials, const char *key)
{
	struct program *program = checked(credentials);

	program_add(program, OP_DELETE, key);
	return run_error(store, program);
}

static int change_as(const struct credentials *credentials, const char *key,
		     struct attributes changes)
{
	struct program *program = checked(credentials);

	program_add(program, OP_ATTR, key)->changes = changes;
	return run_error(store, program);
}

Test(store_access, writing_needs_the_right_of_ones_class)
{
	cr_expect_eq(put_as(&owner, "home/d/k"), 0);
	cr_expect_eq(put_as(&member, "home/d/k"), 0);
	cr_expect_eq(put_as(&other, "home/d/k"), -EACCES, "no search permission");
	cr_expect_eq(put_as(&owner, "home/readonly"), -EACCES);
	cr_expect_eq(put_as(&other, "tmp/k"), 0);
	cr_expect_eq(put_as(&owner, "system"), -EACCES);
	cr_expect_eq(put_as(&test_root, "home/readonly"), 0);
}

Test(store_access, supplementary_groups_count)
{
	struct credentials with_group = other;
	gid_t group = 100;

	with_group.groups = g_array_new(FALSE, FALSE, sizeof(gid_t));
	g_array_append_val(with_group.groups, group);
	cr_expect_eq(put_as(&with_group, "home/d/k"), 0);
	g_array_unref(with_group.groups);
}

Test(store_access, every_directory_above_must_be_searchable)
{
	cr_expect_eq(put_as(&member, "home/d/private/k"), -EACCES);
	cr_expect_eq(put_as(&owner, "home/d/private/k"), 0);
}

Test(store_access, making_and_removing_needs_the_directory)
{
	cr_expect_eq(put_as(&member, "home/d/new"), -EACCES);
	cr_expect_eq(put_as(&owner, "home/d/new"), 0);
	cr_expect_eq(delete_as(&member, "home/d/new"), -EACCES);
	cr_expect_eq(delete_as(&owner, "home/d/new"), 0);
	cr_expect_eq(put_as(&other, "home/new"), 0);
	cr_expect_eq(put_as(&other, "top"), -EACCES);
	cr_expect_eq(delete_as(&other, "home/readonly"), 0);
}

Test(store_access, a_sticky_directory_keeps_what_others_made)
{
	cr_expect_eq(delete_as(&other, "tmp/k"), -EACCES);
	cr_expect_eq(put_as(&other, "tmp/mine"), 0);
	cr_expect_eq(delete_as(&other, "tmp/mine"), 0);
	cr_expect_eq(delete_as(&owner, "tmp/k"), 0);
}

Test(store_access, attributes_are_the_owners)
{
	const struct attributes mode = { .mask = ATTRIBUTE_MODE, .mode = 0600 };
	const struct attributes to_group = { .mask = ATTRIBUTE_GID, .gid = 102 };
	const struct attributes to_own_group = { .mask = ATTRIBUTE_GID, .gid = 100 };
	const struct attributes to_other = { .mask = ATTRIBUTE_UID, .uid = 1002 };
	const struct attributes to_self = { .mask = ATTRIBUTE_UID, .uid = 1000 };

	cr_expect_eq(change_as(&member, "home/d/k", mode), -EPERM);
	cr_expect_eq(change_as(&owner, "home/d/k", mode), 0);
	cr_expect_eq(change_as(&owner, "home/d/k", to_group), -EPERM);
	cr_expect_eq(change_as(&owner, "home/d/k", to_own_group), 0);
	cr_expect_eq(change_as(&owner, "home/d/k", to_other), -EPERM);
	cr_expect_eq(change_as(&owner, "home/d/k", to_self), 0);
	cr_expect_eq(change_as(&test_root, "home/d/k", to_other), 0);
}

Test(store_access, the_owner_may_write_and_take_the_right_away_at_once)
{
	struct program *program = checked(&owner);

	add_put(program, "home/readonly", "x")->changes =
		(struct attributes){ .mask = ATTRIBUTE_MODE, .mode = 0444 };
	cr_expect_eq(run_error(store, program), 0);
}

Test(store_access, a_program_may_use_what_it_made)
{
	struct program *program = checked(&other);

	add_mkdir(program, "home/mine")->mode = 0700;
	add_put(program, "home/mine/k", "");
	program_add(program, OP_ATTR, "home/mine/k")->changes =
		(struct attributes){ .mask = ATTRIBUTE_MODE, .mode = 0400 };
	cr_expect_eq(run_error(store, program), 0);
}

Test(store_access, all_denied_keys_are_told)
{
	struct program *program = checked(&other);
	struct outcome outcome;

	add_put(program, "system", "");
	add_put(program, "home/fine", "");
	program_add(program, OP_DELETE, "tmp/k");
	outcome = run(store, program);
	cr_expect_eq(outcome.error, -EACCES);
	cr_assert_eq(outcome.failures->len, 2);
	cr_expect_str_eq(g_array_index(outcome.failures, struct failure, 0).key, "system");
	cr_expect_str_eq(g_array_index(outcome.failures, struct failure, 1).key, "tmp/k");
	outcome_clear(&outcome);
	expect_names(store, 0, "home", "d/ readonly");
}

Test(store_access, renaming_needs_both_directories)
{
	struct program *program = checked(&other);

	add_rename(program, "home/readonly", "tmp/mine", 0);
	cr_expect_eq(run_error(store, program), 0);
	program = checked(&other);
	add_rename(program, "tmp/k", "home/k", 0);
	cr_expect_eq(run_error(store, program), -EACCES, "sticky");
	program = checked(&other);
	add_rename(program, "home/d", "tmp/d", 0);
	cr_expect_eq(run_error(store, program), -EACCES, "its dot-dot changes");
}

Test(store_access, what_is_moved_by_delete_and_create_keeps_its_owner)
{
	g_autoptr(record) record = record_now(store, "home/readonly");
	const struct attributes all = {
		.mask = ATTRIBUTE_ALL, .mode = 0444, .uid = 1000, .gid = 100
	};
	struct program *program = checked(&other);
	struct op *op;

	program_add(program, OP_DELETE, "home/readonly");
	op = add_put(program, "home/moved", "value");
	op->ino = record->ino;
	op->changes = all;
	cr_expect_eq(run_error(store, program), 0);
	program = checked(&other);
	op = add_put(program, "home/forged", "value");
	op->ino = record->ino;
	op->changes = all;
	cr_expect_eq(run_error(store, program), -EPERM);
}

Test(store_access, unchecked_programs_are_not_checked)
{
	struct program *program = program_new(&other);

	add_put(program, "system", "");
	cr_expect_eq(run_error(store, program), 0);
}
