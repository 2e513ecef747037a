/* What programs say beyond puts and compares of numbers: trees, gets, numbers, text, and what
 * they tell of it. Results are written as text, so that a test reads like a reply. */
#include "tests/unit/store_test.h"

static const struct credentials alice = { .uid = 1000, .gid = 100 };
static const struct credentials bob = { .uid = 1001, .gid = 101, .umask = 027 };

static struct store *store;

static void setup(void)
{
	store = open_memory_store();
}

static void teardown(void)
{
	store_close(store);
}

TestSuite(store_programs, .init = setup, .fini = teardown);

/* ---- Programs and their results as text ----------------------------------------- */

static struct program *new_program(const struct credentials *credentials)
{
	struct program *program = program_new(credentials);

	program->max_output_bytes = 1024 * 1024;
	program->checked = true;
	program->checked_reads = true;
	return program;
}

static struct op *add_op(struct program *program, enum op_kind kind, const char *key,
			 unsigned flags)
{
	struct op *op = program_add(program, kind, key);

	op->flags = flags;
	op->mode = 0666;
	return op;
}

static void add_text(struct program *program, enum op_kind kind, const char *key, const char *text,
		     unsigned flags)
{
	add_op(program, kind, key, flags)->value = bytes_of(text);
}

static void add_number(struct program *program, enum op_kind kind, const char *key, int64_t number)
{
	add_op(program, kind, key, OP_PARENTS)->number = number;
}

/* "key@create,mod,version=value": the value is left out where it was not told. */
static void append_found(GString *text, const struct output *output)
{
	for (guint i = 0; output->found && i < output->found->len; i++) {
		const struct found *found = output->found->pdata[i];
		g_autofree char *value = text_of(found->record);

		g_string_append_printf(text, " %s@%d,%d,%d%s%s", found->key,
				       (int)found->record->create_revision,
				       (int)found->record->mod_revision,
				       (int)found->record->version, value ? "=" : "",
				       value ? value : "");
	}
}

static void append_outputs(GString *text, const GArray *outputs)
{
	for (guint i = 0; outputs && i < outputs->len; i++) {
		const struct output *output = &g_array_index(outputs, struct output, i);
		enum op_kind kind = output->op->kind;

		g_string_append(text, " |");
		if (kind == OP_ADD || kind == OP_MIN || kind == OP_MAX)
			g_string_append_printf(text, " number %d", (int)output->number);
		if (kind == OP_GET || kind == OP_DELETE || kind == OP_DELETE_TREE)
			g_string_append_printf(text, " %d", (int)output->count);
		append_found(text, output);
	}
}

static void append_failure(GString *text, const struct failure *failure)
{
	g_autofree char *value = NULL;

	g_string_append_printf(text, " ! %s", failure->key);
	if (failure->error)
		g_string_append_printf(text, " %s", g_strerror(-failure->error));
	cr_expect_eq(failure->compare, failure->expected != NULL);
	cr_expect_eq(failure->compare, failure->op == NULL);
	if (!failure->compare || failure->error)
		return;
	if (failure->found_value)
		value = g_strndup(g_bytes_get_data(failure->found_value, NULL),
				  g_bytes_get_size(failure->found_value));
	g_string_append_printf(text, "%s", failure->absent ? " absent" : "");
	if (failure->expected->target != COMPARE_VALUE)
		g_string_append_printf(text, " %d", (int)failure->found);
	else if (value)
		g_string_append_printf(text, " '%s'", value);
}

static void write_result(const struct program_result *result, void *arg)
{
	GString *text = arg;

	g_string_append_printf(text, "%s %d",
			       result->error	 ? "ERROR" :
			       result->succeeded ? "SUCCESS" :
						   "FAILURE",
			       (int)result->revision);
	append_outputs(text, result->outputs);
	for (guint i = 0; i < result->failures->len; i++)
		append_failure(text, result->failures->pdata[i]);
}

/* In one thread a result is there when store_submit returns. */
static char *result_of(struct program *program)
{
	GString *text = g_string_new("");

	store_submit(store, program, write_result, text);
	return g_string_free(text, FALSE);
}

#define expect_result(program, expected)                            \
	do {                                                        \
		g_autofree char *result_ = result_of(program);      \
		cr_expect_str_eq(result_, expected, "%s", result_); \
	} while (0)

static struct program *one(enum op_kind kind, const char *key, unsigned flags)
{
	struct program *program = new_program(&test_root);

	add_op(program, kind, key, flags);
	return program;
}

static struct program *one_number(enum op_kind kind, const char *key, int64_t number)
{
	struct program *program = new_program(&test_root);

	add_number(program, kind, key, number);
	return program;
}

/* Revision 2: a-b, a/x, a/y/z, a/link, a.c and an empty directory a/void. */
static void plant(void)
{
	struct program *program = new_program(&test_root);

	add_text(program, OP_PUT, "a-b", "1", 0);
	add_text(program, OP_PUT, "a/x", "2", OP_PARENTS);
	add_text(program, OP_PUT, "a/y/z", "3", OP_PARENTS);
	add_text(program, OP_SYMLINK, "a/link", "x", 0);
	add_op(program, OP_MKDIR, "a/void", 0)->mode = 0755;
	add_text(program, OP_PUT, "a.c", "4", 0);
	cr_assert_eq(run_error(store, program), 0);
}

/* ---- Getting -------------------------------------------------------------------- */

Test(store_programs, a_get_tells_value_and_numbers_of_one_key)
{
	plant();
	expect_result(one(OP_GET, "a/x", 0), "SUCCESS 2 | 1 a/x@2,2,1=2");
	expect_result(one(OP_GET, "a/x", OP_KEYS_ONLY), "SUCCESS 2 | 1 a/x@2,2,1");
	expect_result(one(OP_GET, "a/x", OP_COUNT_ONLY), "SUCCESS 2 | 1");
	expect_result(one(OP_GET, "nothing", 0), "SUCCESS 2 | 0");
	expect_result(one(OP_GET, "a/x/below", 0), "SUCCESS 2 | 0");
	expect_result(one(OP_GET, "a", 0), "SUCCESS 2 | 0");
}

Test(store_programs, a_get_of_a_tree_comes_in_byte_order_of_keys_without_directories)
{
	plant();
	expect_result(one(OP_GET, "", OP_TREE),
		      "SUCCESS 2 | 5 a-b@2,2,1=1 a.c@2,2,1=4 a/link@2,2,1=x a/x@2,2,1=2 "
		      "a/y/z@2,2,1=3");
}

Test(store_programs, the_tree_of_a_key_is_whole_components)
{
	plant();
	expect_result(one(OP_GET, "a", OP_TREE),
		      "SUCCESS 2 | 3 a/link@2,2,1=x a/x@2,2,1=2 a/y/z@2,2,1=3");
	expect_result(one(OP_GET, "a-b", OP_TREE), "SUCCESS 2 | 1 a-b@2,2,1=1");
	expect_result(one(OP_GET, "a/void", OP_TREE), "SUCCESS 2 | 0");
	expect_result(one(OP_GET, "nothing", OP_TREE), "SUCCESS 2 | 0");
}

Test(store_programs, a_limit_cuts_what_is_told_not_what_is_counted)
{
	struct program *program = one(OP_GET, "a", OP_TREE);
	struct op *op = program->then_ops->pdata[0];

	plant();
	op->limit = 2;
	expect_result(program, "SUCCESS 2 | 3 a/link@2,2,1=x a/x@2,2,1=2");
	expect_result(one(OP_GET, "a", OP_TREE | OP_COUNT_ONLY), "SUCCESS 2 | 3");
}

Test(store_programs, gets_see_earlier_changes_with_the_numbers_they_will_have)
{
	struct program *program = new_program(&test_root);

	plant();
	add_op(program, OP_GET, "a/x", 0);
	add_text(program, OP_PUT, "a/x", "new", 0);
	add_op(program, OP_GET, "a/x", 0);
	add_text(program, OP_PUT, "a/w", "made", 0);
	add_op(program, OP_DELETE_TREE, "a/y", 0);
	add_op(program, OP_GET, "a", OP_TREE);
	expect_result(program, "SUCCESS 3 | 1 a/x@2,2,1=2 | | 1 a/x@2,3,2=new | | 1 | 3 "
			       "a/link@2,2,1=x a/w@3,3,1=made a/x@2,3,2=new");
}

Test(store_programs, a_program_of_gets_makes_no_revision)
{
	plant();
	expect_result(one(OP_GET, "", OP_TREE | OP_COUNT_ONLY), "SUCCESS 2 | 5");
	cr_expect_eq(store_revision(store), 2);
}

Test(store_programs, outputs_have_a_limit)
{
	struct program *program = one(OP_GET, "", OP_TREE);

	plant();
	program->max_output_bytes = 400;
	cr_expect_eq(run_error(store, program), -EDQUOT);
	program = one(OP_DELETE_TREE, "", OP_PREVIOUS);
	program->max_output_bytes = 400;
	cr_expect_eq(run_error(store, program), -EDQUOT);
	expect_value(store, "a-b", "1");
}

/* ---- Compares of trees, and what failures tell ---------------------------------- */

static struct program *if_tree(enum compare_target target, enum compare_operator relation,
			       const char *key, uint64_t number)
{
	struct program *program = new_program(&test_root);

	program_compare(program, target, relation, key, number)->tree = true;
	return program;
}

Test(store_programs, a_compare_of_a_tree_holds_for_every_key_or_names_the_first_it_does_not)
{
	plant();
	cr_assert_eq(put(store, "a/x", "again"), 0);
	expect_result(if_tree(COMPARE_MOD, COMPARE_LESS, "a", 4), "SUCCESS 3");
	expect_result(if_tree(COMPARE_MOD, COMPARE_LESS, "a", 3), "FAILURE 3 ! a/x 3");
	expect_result(if_tree(COMPARE_MOD, COMPARE_LESS, "a/y", 3), "SUCCESS 3");
	expect_result(if_tree(COMPARE_MOD, COMPARE_LESS, "", 3), "FAILURE 3 ! a/x 3");
	expect_result(if_tree(COMPARE_VERSION, COMPARE_EQUAL, "a/x", 2), "SUCCESS 3");
}

Test(store_programs, directories_do_not_count_in_compares_of_trees)
{
	struct program *program = one(OP_MKDIR, "late", 0);

	plant();
	cr_assert_eq(run_error(store, program), 0);
	expect_result(if_tree(COMPARE_MOD, COMPARE_EQUAL, "", 2), "SUCCESS 3");
	expect_result(if_tree(COMPARE_MOD, COMPARE_EQUAL, "late", 0), "SUCCESS 3");
}

Test(store_programs, a_tree_without_keys_compares_as_an_absent_key)
{
	struct program *program = if_tree(COMPARE_VALUE, COMPARE_NOT_EQUAL, "none", 0);
	struct compare *compare = program->compares->pdata[0];

	plant();
	compare->value = bytes_of("x");
	expect_result(program, "FAILURE 2 ! none absent");
	expect_result(if_tree(COMPARE_MOD, COMPARE_EQUAL, "none", 0), "SUCCESS 2");
	expect_result(if_tree(COMPARE_CREATE, COMPARE_GREATER, "a/void", 0),
		      "FAILURE 2 ! a/void absent 0");
}

Test(store_programs, a_failed_compare_of_values_tells_the_value_found)
{
	struct program *program = if_tree(COMPARE_VALUE, COMPARE_LESS, "a", 0);
	struct compare *compare = program->compares->pdata[0];

	plant();
	compare->value = bytes_of("3");
	expect_result(program, "FAILURE 2 ! a/link 'x'");
	program = new_program(&test_root);
	compare = program_compare(program, COMPARE_VALUE, COMPARE_EQUAL, "a/x", 0);
	compare->value = bytes_of("9");
	program_compare(program, COMPARE_MOD, COMPARE_EQUAL, "a/x", 2);
	program_compare(program, COMPARE_CREATE, COMPARE_GREATER, "none", 0);
	expect_result(program, "FAILURE 2 ! a/x '2' ! none absent 0");
}

Test(store_programs, nested_compares_see_the_state_before_and_their_operations_run_in_place)
{
	struct program *program = new_program(&test_root);
	struct program *nested = new_program(&test_root);

	plant();
	program_compare(nested, COMPARE_CREATE, COMPARE_EQUAL, "n", 0);
	add_op(nested, OP_GET, "n", 0);
	program_add_else(nested, OP_DELETE_TREE, "a");
	add_text(program, OP_PUT, "n", "1", 0);
	program_add(program, OP_PROGRAM, "")->program = nested;
	add_op(program, OP_GET, "", OP_TREE | OP_COUNT_ONLY);
	expect_result(program, "SUCCESS 3 | | 1 n@3,3,1=1 | 6");
}

/* ---- Removing trees ------------------------------------------------------------- */

Test(store_programs, removing_a_tree_counts_keys_and_leaves_nothing)
{
	g_autofree char *names = NULL;
	g_autofree char *old = NULL;

	plant();
	expect_result(one(OP_DELETE_TREE, "a", 0), "SUCCESS 3 | 3");
	names = names_at(store, 0, "");
	cr_expect_str_eq(names, "a-b a.c");
	old = value_at(store, 2, "a/y/z");
	cr_expect_str_eq(old, "3");
	expect_result(one(OP_DELETE_TREE, "a", 0), "SUCCESS 3 | 0");
	expect_result(one(OP_DELETE_TREE, "a-b", 0), "SUCCESS 4 | 1");
}

Test(store_programs, removing_the_tree_of_the_root_leaves_the_root)
{
	plant();
	expect_result(one(OP_DELETE_TREE, "", 0), "SUCCESS 3 | 5");
	cr_expect_eq(put(store, "again", "1"), 0);
	expect_result(one(OP_GET, "", OP_TREE), "SUCCESS 4 | 1 again@4,4,1=1");
}

Test(store_programs, a_removed_tree_can_be_made_again_by_the_same_program)
{
	struct program *program = new_program(&test_root);

	plant();
	add_op(program, OP_DELETE_TREE, "a", 0);
	add_text(program, OP_PUT, "a/y/z", "new", OP_PARENTS);
	add_op(program, OP_GET, "a", OP_TREE);
	expect_result(program, "SUCCESS 3 | 3 | | 1 a/y/z@3,3,1=new");
	expect_value(store, "a/y/z", "new");
	expect_value(store, "a/x", "(absent)");
}

Test(store_programs, a_directory_is_removed_only_as_a_tree)
{
	plant();
	expect_result(one(OP_DELETE, "a", 0), "ERROR 2 ! a Is a directory");
	expect_result(one(OP_DELETE, "a/x", 0), "SUCCESS 3 | 1");
	expect_result(one(OP_DELETE, "a/x", 0), "SUCCESS 3 | 0");
}

Test(store_programs, what_was_there_before_is_told_on_request)
{
	struct program *program = new_program(&test_root);

	plant();
	add_text(program, OP_PUT, "a/x", "new", OP_PREVIOUS);
	add_text(program, OP_PUT, "a/new", "new", OP_PREVIOUS);
	add_op(program, OP_DELETE, "a-b", OP_PREVIOUS);
	add_op(program, OP_DELETE, "none", OP_PREVIOUS);
	add_op(program, OP_ADD, "a.c", OP_PREVIOUS)->number = 1;
	add_op(program, OP_DELETE_TREE, "a/y", OP_PREVIOUS);
	expect_result(program, "SUCCESS 3 | a/x@2,2,1=2 | | 1 a-b@2,2,1=1 | 0 | number 5 "
			       "a.c@2,2,1=4 | 1 a/y/z@2,2,1=3");
}

Test(store_programs, a_large_tree_goes_in_one_revision)
{
	struct program *program = new_program(&test_root);

	for (int i = 0; i < 20000; i++) {
		g_autofree char *key = g_strdup_printf("big/%d/%d", i % 100, i);

		add_text(program, OP_PUT, key, "v", OP_PARENTS);
	}
	program->max_output_bytes = 0;
	cr_assert_eq(run_error(store, program), 0);
	expect_result(one(OP_DELETE_TREE, "big", 0), "SUCCESS 3 | 20000");
	expect_result(one(OP_GET, "", OP_TREE), "SUCCESS 3 | 0");
}

/* ---- Numbers and text ----------------------------------------------------------- */

Test(store_programs, numbers_merge_and_absent_counts_as_zero)
{
	expect_result(one_number(OP_ADD, "n/hits", 3), "SUCCESS 2 | number 3");
	expect_result(one_number(OP_ADD, "n/hits", -5), "SUCCESS 3 | number -2");
	expect_result(one_number(OP_MAX, "n/hits", 7), "SUCCESS 4 | number 7");
	expect_result(one_number(OP_MIN, "n/hits", 6), "SUCCESS 5 | number 6");
	expect_result(one_number(OP_MIN, "n/low", 6), "SUCCESS 6 | number 0");
	expect_value(store, "n/hits", "6");
	expect_value(store, "n/low", "0");
}

Test(store_programs, a_number_that_stays_what_it_was_changes_nothing)
{
	cr_assert_eq(put(store, "n", "007\n"), 0);
	expect_result(one_number(OP_MAX, "n", 6), "SUCCESS 2 | number 7");
	expect_result(one_number(OP_MIN, "n", 7), "SUCCESS 2 | number 7");
	expect_result(one_number(OP_ADD, "n", 0), "SUCCESS 2 | number 7");
	expect_value(store, "n", "007\n");
}

Test(store_programs, a_final_newline_of_a_number_is_kept)
{
	cr_assert_eq(put(store, "n", "41\n"), 0);
	expect_result(one_number(OP_ADD, "n", 1), "SUCCESS 3 | number 42");
	expect_value(store, "n", "42\n");
}

Test(store_programs, what_is_no_number_is_refused_and_nothing_is_applied)
{
	static const char *const texts[] = { "",   "\n", "-",	  "x",	 "1x",	" 1",
					     "1 ", "+1", "1\n\n", "0x1", "1.0", "1\n2" };

	for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
		struct program *program = new_program(&test_root);

		cr_assert_eq(put(store, "n", texts[i]), 0);
		add_text(program, OP_PUT, "other", "1", 0);
		add_number(program, OP_ADD, "n", 1);
		cr_expect_eq(run_error(store, program), -EDOM, "'%s'", texts[i]);
		expect_value(store, "n", texts[i]);
		expect_value(store, "other", "(absent)");
	}
}

Test(store_programs, numbers_are_of_64_bits_and_overflow_is_refused)
{
	cr_assert_eq(put(store, "n", "9223372036854775806"), 0);
	expect_result(one_number(OP_ADD, "n", 2), "ERROR 2 ! n Numerical result out of range");
	cr_expect_eq(run_error(store, one_number(OP_ADD, "n", 1)), 0);
	expect_value(store, "n", "9223372036854775807");
	cr_assert_eq(put(store, "n", "-9223372036854775807"), 0);
	cr_expect_eq(run_error(store, one_number(OP_ADD, "n", -1)), 0);
	expect_value(store, "n", "-9223372036854775808");
	cr_expect_eq(run_error(store, one_number(OP_ADD, "n", -1)), -ERANGE);
	cr_assert_eq(put(store, "n", "9223372036854775808"), 0);
	cr_expect_eq(run_error(store, one_number(OP_ADD, "n", -1)), -ERANGE);
}

Test(store_programs, numbers_are_values_of_keys_only)
{
	plant();
	cr_expect_eq(run_error(store, one_number(OP_ADD, "a", 1)), -EISDIR);
	cr_expect_eq(run_error(store, one_number(OP_ADD, "a/link", 1)), -ELOOP);
	cr_expect_eq(run_error(store, one_number(OP_ADD, "a-b/x", 1)), -ENOTDIR);
}

Test(store_programs, text_is_appended_to_what_is_there)
{
	struct program *program = new_program(&test_root);

	add_text(program, OP_APPEND, "d/log", "one\n", OP_PARENTS);
	add_text(program, OP_APPEND, "d/log", "two\n", OP_PREVIOUS);
	add_op(program, OP_GET, "d/log", 0);
	expect_result(program, "SUCCESS 2 | | d/log@2,2,1=one\n | 1 d/log@2,2,1=one\ntwo\n");
	program = new_program(&test_root);
	add_text(program, OP_APPEND, "d/log", "three\n", 0);
	expect_result(program, "SUCCESS 3 |");
	expect_value(store, "d/log", "one\ntwo\nthree\n");
	cr_expect_eq(run_error(store, one(OP_APPEND, "d", 0)), -EISDIR);
}

struct adder {
	pthread_t thread;
	int count;
};

static void count_result(const struct program_result *result, void *arg)
{
	if (result->error == 0)
		g_atomic_int_inc((gint *)arg);
}

static gint added;

static void *keep_adding(void *arg)
{
	const struct adder *adder = arg;

	for (int i = 0; i < adder->count; i++)
		store_submit(store, one_number(OP_ADD, "hits", 1), count_result, &added);
	return NULL;
}

Test(store_programs, additions_of_many_threads_all_count)
{
	struct adder adders[8];

	for (int i = 0; i < 8; i++) {
		adders[i].count = 500;
		pthread_create(&adders[i].thread, NULL, keep_adding, &adders[i]);
	}
	for (int i = 0; i < 8; i++)
		pthread_join(adders[i].thread, NULL);
	for (int i = 0; i < 1000 && g_atomic_int_get(&added) < 4000; i++)
		g_usleep(10000); /* the committer may have a thread that goes on */
	cr_expect_eq(g_atomic_int_get(&added), 4000);
	expect_value(store, "hits", "4000");
}

/* ---- Directories above ---------------------------------------------------------- */

Test(store_programs, missing_directories_are_made_with_the_modes_of_the_creator)
{
	struct program *program = new_program(&bob);
	g_autoptr(record) directory = NULL;
	g_autoptr(record) key = NULL;

	cr_assert_eq(change_mode(store, "", 0777), 0);
	add_text(program, OP_PUT, "p/q/k", "1", OP_PARENTS);
	expect_result(program, "SUCCESS 3 |");
	directory = record_now(store, "p/q");
	key = record_now(store, "p/q/k");
	cr_expect_eq(directory->mode, 0750);
	cr_expect_eq(directory->uid, bob.uid);
	cr_expect_eq(key->mode, 0640);
	cr_expect_eq(key->gid, bob.gid);
	cr_expect_eq(run_error(store, one(OP_PUT, "no/k", 0)), -ENOENT);
}

Test(store_programs, a_refused_key_leaves_no_directories)
{
	struct program *program = new_program(&bob);

	plant();
	add_text(program, OP_PUT, "p/q/k", "1", OP_PARENTS);
	expect_result(program, "ERROR 2 ! p/q/k Permission denied");
	expect_result(one(OP_PUT, "a-b/q/k", OP_PARENTS), "ERROR 2 ! a-b Not a directory");
	cr_expect_null(record_now(store, "p"));
}

/* ---- Permissions ---------------------------------------------------------------- */

/* alice's: pub (0755) with open (0644) and secret (0600); priv (0700) with k. */
static void plant_of_alice(void)
{
	struct program *program = new_program(&alice);

	cr_assert_eq(change_mode(store, "", 0777), 0);
	add_op(program, OP_MKDIR, "pub", 0)->mode = 0755;
	add_text(program, OP_PUT, "pub/open", "1", 0);
	add_text(program, OP_PUT, "pub/secret", "2", 0);
	((struct op *)program->then_ops->pdata[2])->mode = 0600;
	add_op(program, OP_MKDIR, "priv", 0)->mode = 0700;
	add_text(program, OP_PUT, "priv/k", "3", 0);
	cr_assert_eq(run_error(store, program), 0);
}

static struct program *by_bob(enum op_kind kind, const char *key, unsigned flags)
{
	struct program *program = new_program(&bob);

	add_op(program, kind, key, flags);
	return program;
}

Test(store_programs, gets_need_the_right_to_read_values_and_to_search_and_list_directories)
{
	plant_of_alice();
	expect_result(by_bob(OP_GET, "pub/open", 0), "SUCCESS 3 | 1 pub/open@3,3,1=1");
	expect_result(by_bob(OP_GET, "pub/secret", 0), "ERROR 3 ! pub/secret Permission denied");
	expect_result(by_bob(OP_GET, "pub/secret", OP_KEYS_ONLY), "SUCCESS 3 | 1 pub/secret@3,3,1");
	expect_result(by_bob(OP_GET, "pub", OP_TREE | OP_COUNT_ONLY), "SUCCESS 3 | 2");
	expect_result(by_bob(OP_GET, "pub", OP_TREE), "ERROR 3 ! pub/secret Permission denied");
	expect_result(by_bob(OP_GET, "", OP_TREE | OP_COUNT_ONLY),
		      "ERROR 3 ! priv Permission denied");
	expect_result(by_bob(OP_GET, "priv/k", 0), "ERROR 3 ! priv/k Permission denied");
	expect_result(by_bob(OP_GET, "priv/none", 0), "ERROR 3 ! priv/none Permission denied");
}

Test(store_programs, what_may_not_be_reached_looks_the_same_present_or_absent)
{
	static const enum op_kind kinds[] = { OP_PUT, OP_DELETE, OP_DELETE_TREE, OP_APPEND,
					      OP_ADD, OP_GET,	 OP_MAX };

	plant_of_alice();
	for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
		cr_expect_eq(run_error(store, by_bob(kinds[i], "priv/k", OP_PARENTS)), -EACCES);
		cr_expect_eq(run_error(store, by_bob(kinds[i], "priv/k/x", OP_PARENTS)), -EACCES);
		cr_expect_eq(run_error(store, by_bob(kinds[i], "priv/no/x", OP_PARENTS)), -EACCES);
	}
}

static struct program *compare_by_bob(enum compare_target target, const char *key, bool tree)
{
	struct program *program = new_program(&bob);
	struct compare *compare = program_compare(program, target, COMPARE_LESS, key, 9);

	compare->tree = tree;
	if (target == COMPARE_VALUE)
		compare->value = bytes_of("9");
	return program;
}

Test(store_programs, compares_need_what_files_would_need)
{
	plant_of_alice();
	expect_result(compare_by_bob(COMPARE_VALUE, "pub/open", false), "SUCCESS 3");
	expect_result(compare_by_bob(COMPARE_VALUE, "pub/secret", false),
		      "ERROR 3 ! pub/secret Permission denied");
	expect_result(compare_by_bob(COMPARE_MOD, "pub/secret", false), "SUCCESS 3");
	expect_result(compare_by_bob(COMPARE_MOD, "priv/k", false),
		      "ERROR 3 ! priv/k Permission denied");
	expect_result(compare_by_bob(COMPARE_MOD, "priv/none", false),
		      "ERROR 3 ! priv/none Permission denied");
	expect_result(compare_by_bob(COMPARE_MOD, "pub", true), "SUCCESS 3");
	expect_result(compare_by_bob(COMPARE_VALUE, "pub", true),
		      "ERROR 3 ! pub/secret Permission denied");
	expect_result(compare_by_bob(COMPARE_MOD, "priv", true),
		      "ERROR 3 ! priv Permission denied");
}

Test(store_programs, a_nested_compare_that_may_not_be_read_is_an_error_too)
{
	struct program *program = new_program(&bob);

	plant_of_alice();
	program_add(program, OP_PROGRAM, "")->program =
		compare_by_bob(COMPARE_MOD, "priv/k", false);
	expect_result(program, "ERROR 3 ! priv/k Permission denied");
}

Test(store_programs, trees_are_removed_by_who_could_remove_them_file_by_file)
{
	plant_of_alice();
	expect_result(by_bob(OP_DELETE_TREE, "pub", 0), "ERROR 3 ! pub/open Permission denied");
	expect_result(by_bob(OP_DELETE_TREE, "priv", 0), "ERROR 3 ! priv Permission denied");
	cr_assert_eq(change_mode(store, "pub", 0777), 0);
	expect_result(by_bob(OP_DELETE_TREE, "pub", OP_PREVIOUS),
		      "ERROR 4 ! pub/secret Permission denied");
	expect_result(by_bob(OP_DELETE_TREE, "pub", 0), "SUCCESS 5 | 2");
	cr_assert_eq(change_mode(store, "", 01777), 0);
	expect_result(by_bob(OP_DELETE_TREE, "", 0), "ERROR 6 ! priv Permission denied");
}

Test(store_programs, adding_to_a_number_needs_the_right_to_read_it)
{
	struct program *program = by_bob(OP_ADD, "pub/secret", 0);

	plant_of_alice();
	cr_assert_eq(change_mode(store, "pub/secret", 0622), 0);
	expect_result(program, "ERROR 4 ! pub/secret Permission denied");
	program = new_program(&bob);
	add_text(program, OP_APPEND, "pub/secret", "!", 0);
	expect_result(program, "SUCCESS 5 |");
}
