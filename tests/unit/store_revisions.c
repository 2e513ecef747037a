/* Revisions, versions, times; compares, what failed ones tell, and nested programs. */
#include "tests/unit/store_test.h"

static struct store *store;

static void setup(void)
{
	store = open_memory_store();
	cr_assert_eq(make_directory(store, "d"), 0); /* revision 2 */
	cr_assert_eq(put(store, "d/k", "one"), 0);   /* revision 3 */
}

static void teardown(void)
{
	store_close(store);
}

TestSuite(store_revisions, .init = setup, .fini = teardown);

#define expect_numbers(key, create, mod, attribute, changes)                              \
	do {                                                                              \
		g_autoptr(record) found_ = record_now(store, key);                        \
		cr_assert_not_null(found_, "%s", key);                                    \
		cr_expect_eq(found_->create_revision, create, "%s create", key);          \
		cr_expect_eq(found_->mod_revision, mod, "%s mod", key);                   \
		cr_expect_eq(found_->attribute_revision, attribute, "%s attribute", key); \
		cr_expect_eq(found_->version, changes, "%s version %d", key,              \
			     (int)found_->version);                                       \
	} while (0)

Test(store_revisions, a_new_store_has_its_root_at_revision_1)
{
	struct store *empty = open_memory_store();
	g_autoptr(record) root = record_now(empty, "");

	cr_expect_eq(store_revision(empty), 1);
	cr_expect_eq(root->create_revision, 1);
	cr_expect_eq(root->type, RECORD_DIRECTORY);
	cr_expect_eq(root->mode, 0755);
	store_close(empty);
}

Test(store_revisions, each_change_of_a_key_counts)
{
	expect_numbers("d/k", 3, 3, 0, 1);
	cr_expect_eq(put(store, "d/k", "one"), 0);
	expect_numbers("d/k", 3, 4, 0, 2);
	cr_expect_eq(change_mode(store, "d/k", 0644), 0);
	expect_numbers("d/k", 3, 5, 0, 3);
}

Test(store_revisions, a_deleted_key_begins_anew)
{
	cr_expect_eq(remove_key(store, OP_DELETE, "d/k"), 0);
	cr_expect_eq(put(store, "d/k", "two"), 0);
	expect_numbers("d/k", 5, 5, 0, 1);
}

Test(store_revisions, a_key_replaced_within_one_program_begins_anew)
{
	struct program *program = program_new(&test_root);

	program_add(program, OP_DELETE, "d/k");
	add_put(program, "d/k", "two");
	cr_expect_eq(run_error(store, program), 0);
	expect_numbers("d/k", 4, 4, 0, 1);
	expect_numbers("d", 2, 3, 2, 2);
}

Test(store_revisions, a_directory_changes_with_its_direct_entries)
{
	expect_numbers("d", 2, 3, 2, 2);
	expect_numbers("", 1, 2, 1, 2);
	cr_expect_eq(put(store, "d/k", "two"), 0);
	expect_numbers("d", 2, 3, 2, 2);
	cr_expect_eq(make_directory(store, "d/e"), 0); /* 5 */
	cr_expect_eq(put(store, "d/e/deep", ""), 0);   /* 6 */
	expect_numbers("d", 2, 5, 2, 3);
	expect_numbers("d/e", 5, 6, 5, 2);
	cr_expect_eq(change_mode(store, "d/e", 0700), 0); /* 7 */
	expect_numbers("d/e", 5, 6, 7, 3);
	expect_numbers("d", 2, 5, 2, 3);
	cr_expect_eq(remove_key(store, OP_DELETE, "d/k"), 0); /* 8 */
	expect_numbers("d", 2, 8, 2, 4);
}

Test(store_revisions, a_changed_type_changes_the_directory)
{
	struct program *program = program_new(&test_root);

	program_add(program, OP_DELETE, "d/k");
	add_mkdir(program, "d/k");
	cr_expect_eq(run_error(store, program), 0);
	expect_numbers("d", 2, 4, 2, 3);
	expect_numbers("d/k", 4, 4, 4, 1);
}

Test(store_revisions, a_rename_creates)
{
	cr_expect_eq(put(store, "d/k", "two"), 0);
	cr_expect_eq(rename_key(store, "d/k", "d/m", 0), 0);
	expect_numbers("d/m", 5, 5, 0, 1);
	expect_numbers("d", 2, 5, 2, 3);
}

Test(store_revisions, all_of_a_commit_has_one_revision)
{
	struct program *program = program_new(&test_root);

	add_put(program, "d/a", "");
	add_mkdir(program, "d/b");
	add_put(program, "d/b/c", "");
	cr_expect_eq(run_error(store, program), 0);
	expect_numbers("d/a", 4, 4, 0, 1);
	expect_numbers("d/b", 4, 4, 4, 1);
	expect_numbers("d/b/c", 4, 4, 0, 1);
	expect_numbers("d", 2, 4, 2, 3);
	cr_expect_eq(store_revision(store), 4);
}

Test(store_revisions, times_are_those_of_commits_unless_set)
{
	g_autoptr(record) before = record_now(store, "d/k");
	g_autoptr(record) after = NULL;
	g_autoptr(record) directory = NULL;
	struct program *program;

	cr_expect_eq(change_mode(store, "d/k", 0600), 0);
	after = record_now(store, "d/k");
	cr_expect_eq(after->mtime_ns, before->mtime_ns);
	cr_expect_gt(after->ctime_ns, before->ctime_ns);
	program = program_new(&test_root);
	add_put(program, "d/new", "")->changes =
		(struct attributes){ .mask = ATTRIBUTE_MTIME, .mtime_ns = 42 };
	program_add(program, OP_ATTR, "d")->changes =
		(struct attributes){ .mask = ATTRIBUTE_MTIME, .mtime_ns = 43 };
	cr_expect_eq(run_error(store, program), 0);
	g_clear_pointer(&after, record_unref);
	after = record_now(store, "d/new");
	directory = record_now(store, "d");
	cr_expect_eq(after->mtime_ns, 42);
	cr_expect_eq(directory->mtime_ns, 43, "set in the same program");
	cr_expect_eq(put(store, "d/newer", ""), 0);
	g_clear_pointer(&directory, record_unref);
	directory = record_now(store, "d");
	cr_expect_gt(directory->mtime_ns, 43);
	cr_expect_eq(directory->attribute_revision, 5);
	cr_expect_eq(directory->mod_revision, 6);
}

/* ---- Compares ------------------------------------------------------------------- */

static bool holds(struct program *program)
{
	struct outcome outcome = run(store, program);

	cr_expect_eq(outcome.error, 0);
	outcome_clear(&outcome);
	return outcome.succeeded;
}

static bool number_holds(enum compare_target target, enum compare_operator relation,
			 const char *key, uint64_t number)
{
	struct program *program = program_new(&test_root);

	program_compare(program, target, relation, key, number);
	return holds(program);
}

static bool value_holds(enum compare_operator relation, const char *key, const char *text)
{
	struct program *program = program_new(&test_root);

	program_compare(program, COMPARE_VALUE, relation, key, 0)->value = bytes_of(text);
	return holds(program);
}

Test(store_revisions, numbers_compare_by_all_operators)
{
	cr_expect(number_holds(COMPARE_MOD, COMPARE_EQUAL, "d/k", 3));
	cr_expect_not(number_holds(COMPARE_MOD, COMPARE_NOT_EQUAL, "d/k", 3));
	cr_expect(number_holds(COMPARE_MOD, COMPARE_LESS, "d/k", 4));
	cr_expect_not(number_holds(COMPARE_MOD, COMPARE_LESS, "d/k", 3));
	cr_expect(number_holds(COMPARE_MOD, COMPARE_LESS_EQUAL, "d/k", 3));
	cr_expect(number_holds(COMPARE_MOD, COMPARE_GREATER, "d/k", 2));
	cr_expect(number_holds(COMPARE_MOD, COMPARE_GREATER_EQUAL, "d/k", 3));
	cr_expect(number_holds(COMPARE_VERSION, COMPARE_EQUAL, "d/k", 1));
	cr_expect(number_holds(COMPARE_CREATE, COMPARE_EQUAL, "d", 2));
	cr_expect(number_holds(COMPARE_ATTRIBUTE, COMPARE_EQUAL, "d", 2));
	cr_expect(number_holds(COMPARE_INO, COMPARE_GREATER, "d", 0));
}

Test(store_revisions, what_is_absent_has_number_0_and_no_value)
{
	cr_expect(number_holds(COMPARE_MOD, COMPARE_EQUAL, "x/y", 0));
	cr_expect(number_holds(COMPARE_CREATE, COMPARE_LESS, "x", 1));
	cr_expect(number_holds(COMPARE_INO, COMPARE_EQUAL, "x", 0));
	cr_expect_not(value_holds(COMPARE_EQUAL, "x", ""));
	cr_expect_not(value_holds(COMPARE_NOT_EQUAL, "x", "something"));
	cr_expect_not(value_holds(COMPARE_EQUAL, "d", ""));
}

Test(store_revisions, values_compare_as_bytes)
{
	cr_expect(value_holds(COMPARE_EQUAL, "d/k", "one"));
	cr_expect_not(value_holds(COMPARE_EQUAL, "d/k", "one\n"));
	cr_expect(value_holds(COMPARE_LESS, "d/k", "one\n"));
	cr_expect(value_holds(COMPARE_LESS, "d/k", "\xff"));
	cr_expect(value_holds(COMPARE_GREATER, "d/k", "On"));
}

Test(store_revisions, all_failed_compares_are_told_with_who_is_to_blame)
{
	struct program *program;
	struct outcome outcome;
	const struct failure *failures;

	cr_expect_eq(put(store, "d/k", "two"), 0);		 /* 4 */
	cr_expect_eq(change_mode(store, "d", 0700), 0);		 /* 5 */
	cr_expect_eq(put(store, "d/gone", ""), 0);		 /* 6 */
	cr_expect_eq(remove_key(store, OP_DELETE, "d/gone"), 0); /* 7 */
	cr_expect_eq(put(store, "z", ""), 0);			 /* 8 */
	program = program_new(&test_root);
	program_compare(program, COMPARE_MOD, COMPARE_EQUAL, "d/k", 3);
	program_compare(program, COMPARE_CREATE, COMPARE_EQUAL, "d/k", 3);
	program_compare(program, COMPARE_ATTRIBUTE, COMPARE_EQUAL, "d", 2);
	program_compare(program, COMPARE_MOD, COMPARE_EQUAL, "d/gone", 6);
	program_compare(program, COMPARE_MOD, COMPARE_EQUAL, "d/never", 6);
	add_put(program, "d/k", "three");
	outcome = run(store, program);
	cr_expect_eq(outcome.error, 0);
	cr_expect_not(outcome.succeeded);
	cr_expect_not(outcome.changed);
	cr_expect_eq(outcome.revision, 8);
	cr_assert_eq(outcome.failures->len, 4);
	failures = (const struct failure *)outcome.failures->data;
	cr_expect(failures[0].compare && failures[0].index == 0);
	cr_expect_eq(failures[0].found, 4);
	cr_expect_eq(failures[0].change_revision, 4);
	cr_expect_eq(failures[1].index, 2);
	cr_expect_eq(failures[1].found, 5);
	cr_expect_eq(failures[1].change_revision, 5);
	cr_expect_str_eq(failures[2].key, "d/gone");
	cr_expect_eq(failures[2].found, 0);
	cr_expect_eq(failures[2].change_revision, 7);
	cr_expect_eq(failures[3].change_revision, 0);
	expect_value(store, "d/k", "two");
	outcome_clear(&outcome);
}

Test(store_revisions, a_deleted_directory_is_blamed_too)
{
	struct program *program = program_new(&test_root);
	struct outcome outcome;

	cr_expect_eq(make_directory(store, "e"), 0);
	cr_expect_eq(remove_key(store, OP_RMDIR, "e"), 0); /* 5 */
	program_compare(program, COMPARE_CREATE, COMPARE_NOT_EQUAL, "e", 0);
	outcome = run(store, program);
	cr_assert_eq(outcome.failures->len, 1);
	cr_expect_eq(g_array_index(outcome.failures, struct failure, 0).change_revision, 5);
	outcome_clear(&outcome);
}

Test(store_revisions, evaluating_applies_nothing)
{
	g_autoptr(program) program = program_new(&test_root);
	struct outcome outcome = { .lock = PTHREAD_MUTEX_INITIALIZER,
				   .wake = PTHREAD_COND_INITIALIZER };

	program_compare(program, COMPARE_MOD, COMPARE_EQUAL, "d/k", 9);
	program_compare(program, COMPARE_MOD, COMPARE_EQUAL, "d/k", 3);
	add_put(program, "d/k", "changed");
	store_evaluate(store, program, keep_outcome, &outcome);
	cr_assert(outcome.done);
	cr_expect_not(outcome.succeeded);
	cr_expect_eq(outcome.failures->len, 1);
	cr_expect_eq(outcome.revision, 3);
	expect_value(store, "d/k", "one");
	outcome_clear(&outcome);
}

/* ---- Branches ------------------------------------------------------------------- */

Test(store_revisions, a_failed_compare_runs_the_else_operations)
{
	struct program *program = program_new(&test_root);
	struct op *op;
	struct outcome outcome;

	program_compare(program, COMPARE_MOD, COMPARE_EQUAL, "d/k", 99);
	add_put(program, "d/k", "then");
	op = program_add_else(program, OP_PUT, "d/k");
	op->value = bytes_of("else");
	outcome = run(store, program);
	cr_expect_eq(outcome.error, 0);
	cr_expect_not(outcome.succeeded);
	cr_expect(outcome.changed);
	cr_expect_eq(outcome.revision, 4);
	cr_expect_eq(outcome.failures->len, 1);
	expect_value(store, "d/k", "else");
	outcome_clear(&outcome);
}

Test(store_revisions, nested_programs_compare_the_state_before_the_whole)
{
	struct program *program = program_new(&test_root);
	struct program *nested = program_new(&test_root);
	struct program *other = program_new(&test_root);
	struct outcome outcome;

	add_put(program, "d/k", "outer");
	program_compare(nested, COMPARE_VALUE, COMPARE_EQUAL, "d/k", 0)->value = bytes_of("one");
	add_put(nested, "d/n", "then");
	program_add(program, OP_PROGRAM, "")->program = nested;
	program_compare(other, COMPARE_VALUE, COMPARE_EQUAL, "d/k", 0)->value = bytes_of("outer");
	add_put(other, "d/o", "then");
	program_add_else(other, OP_PUT, "d/o")->value = bytes_of("else");
	program_add(program, OP_PROGRAM, "")->program = other;
	outcome = run(store, program);
	cr_expect(outcome.succeeded);
	cr_expect_eq(outcome.records->len, 3);
	cr_expect_eq(outcome.failures->len, 0);
	expect_value(store, "d/k", "outer");
	expect_value(store, "d/n", "then");
	expect_value(store, "d/o", "else");
	cr_expect_eq(store_revision(store), 4);
	outcome_clear(&outcome);
}

Test(store_revisions, an_error_deep_inside_undoes_everything)
{
	struct program *program = program_new(&test_root);
	struct program *nested = program_new(&test_root);

	add_put(program, "d/k", "outer");
	add_put(nested, "x/y", "");
	program_add(program, OP_PROGRAM, "")->program = nested;
	cr_expect_eq(run_error(store, program), -ENOENT);
	expect_value(store, "d/k", "one");
}
