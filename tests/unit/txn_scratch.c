/* Scratch files over the live tree: txn/scratch.c. */
#include "txn_test.h"

static GString *seen; /* what the watcher of scratch files was told */

static void note_scratch(const struct log_entry *change, void *arg)
{
	(void)arg;
	cr_expect_eq(change->revision, 0);
	for (guint i = 0; i < change->changes->len; i++) {
		const struct change *one = g_ptr_array_index(change->changes, i);

		g_string_append_printf(seen, "%s%s ", one->after ? "+" : "-", one->key);
	}
}

static void note_commit(const struct log_entry *commit, void *arg)
{
	view_commit_seen(arg, commit);
}

/* As fs/ sets it up. */
static struct bench bench_with_scratch(const struct registry_options *options)
{
	struct bench bench = bench_open(options);

	if (seen)
		g_string_free(seen, TRUE);
	seen = g_string_new(NULL);
	view_keep_scratch(bench.live, bench.registry, note_scratch, NULL);
	store_watch(bench.store, note_commit, bench.live);
	return bench;
}

static int run(struct view *view, struct program *program)
{
	int error = 1;

	view_apply(view, program, keep_error, &error);
	return error;
}

static int put_scratch(struct view *view, const char *key, const char *value)
{
	struct op *op;
	struct program *program = program_of(OP_PUT, key, &op);

	op->flags = OP_SCRATCH;
	op->value = g_bytes_new(value, strlen(value));
	return run(view, program);
}

static int rename_with(struct view *view, const char *from, const char *to, unsigned flags)
{
	struct op *op;
	struct program *program = program_of(OP_RENAME, from, &op);

	op->target = g_strdup(to);
	op->flags = flags;
	return run(view, program);
}

static void expect_count(const struct bench *bench, uint64_t wanted_files, uint64_t least_bytes)
{
	uint64_t files, bytes;

	view_count_scratch(bench->live, &files, &bytes);
	cr_expect_eq(files, wanted_files);
	cr_expect(wanted_files ? bytes >= least_bytes : bytes == 0);
}

static int add_name(const char *name, struct record *record, void *arg)
{
	g_string_append_printf(arg, "%s%s ", name, record->scratch ? "*" : "");
	return 0;
}

static void expect_list(struct view *view, const char *directory, const char *wanted)
{
	g_autoptr(GString) names = g_string_new(NULL);

	cr_assert_eq(view_list(view, directory, add_name, names), 0);
	cr_expect_str_eq(names->str, wanted);
}

Test(txn_scratch, it_is_read_and_listed_but_is_no_revision_and_in_no_snapshot)
{
	BENCH bench = bench_with_scratch(NULL);
	g_autoptr(txn) txn = NULL;
	uint64_t before;

	cr_assert_eq(put(bench.live, "f", "key"), 0);
	before = store_revision(bench.store);
	cr_assert_eq(put_scratch(bench.live, ".f.swp", "one"), 0);
	expect_value(bench.live, ".f.swp", "one");
	expect_list(bench.live, "", ".f.swp* f ");
	cr_assert_eq(put(bench.live, ".f.swp", "three"), 0);
	expect_value(bench.live, ".f.swp", "three");
	txn = begin(&bench, "a");
	expect_value(txn_view(txn), ".f.swp", "(absent)");
	expect_list(txn_view(txn), "", "f ");
	expect_count(&bench, 1, strlen("three"));
	cr_assert_eq(apply(bench.live, OP_DELETE, ".f.swp"), 0);
	expect_value(bench.live, ".f.swp", "(absent)");
	expect_count(&bench, 0, 0);
	cr_expect_eq(store_revision(bench.store), before);
	cr_expect_str_eq(seen->str, "+.f.swp +.f.swp -.f.swp ");
}

Test(txn_scratch, renaming_it_is_the_one_commit_and_keeps_its_inode_number)
{
	BENCH bench = bench_with_scratch(NULL);
	g_autoptr(record) before = NULL;
	g_autoptr(record) after = NULL;
	uint64_t revision;

	cr_assert_eq(put(bench.live, "f", "old"), 0);
	cr_assert_eq(put_scratch(bench.live, ".f.AbC123", "new"), 0);
	cr_assert_eq(view_get(bench.live, ".f.AbC123", &before), 0);
	revision = store_revision(bench.store);
	cr_assert_eq(rename_key(bench.live, ".f.AbC123", "f"), 0);
	cr_expect_eq(store_revision(bench.store), revision + 1);
	cr_assert_eq(view_get(bench.live, "f", &after), 0);
	cr_expect_eq(after->ino, before->ino);
	cr_expect_eq(after->version, 1);
	cr_expect_not(after->scratch);
	expect_value(bench.live, "f", "new");
	expect_list(bench.live, "", "f ");
	expect_count(&bench, 0, 0);
}

Test(txn_scratch, what_a_rename_refuses_leaves_it_where_it_is)
{
	BENCH bench = bench_with_scratch(NULL);

	cr_assert_eq(put(bench.live, "f", "key"), 0);
	cr_assert_eq(apply(bench.live, OP_MKDIR, "d"), 0);
	cr_assert_eq(put_scratch(bench.live, ".f.swp", "one"), 0);
	cr_expect_eq(rename_with(bench.live, ".f.swp", "f", OP_EXCLUSIVE), -EEXIST);
	cr_expect_eq(rename_with(bench.live, ".f.swp", "f", OP_EXCHANGE), -EINVAL);
	cr_expect_eq(rename_with(bench.live, "f", ".f.swp", OP_EXCLUSIVE), -EEXIST);
	cr_expect_eq(rename_with(bench.live, ".f.swp", "none/f", 0), -ENOENT);
	cr_expect_eq(rename_with(bench.live, ".f.swp", ".f.swp", 0), 0);
	expect_value(bench.live, ".f.swp", "one");
	expect_value(bench.live, "f", "key");
	/* It can be tried again: nothing is on its way. */
	cr_expect_eq(rename_with(bench.live, ".f.swp", "g", OP_EXCLUSIVE), 0);
	expect_list(bench.live, "", "d f g ");
}

Test(txn_scratch, what_is_made_where_a_key_is_or_without_being_asked_for_is_a_key)
{
	BENCH bench = bench_with_scratch(NULL);
	uint64_t revision;

	cr_assert_eq(put(bench.live, "f", "key"), 0);
	revision = store_revision(bench.store);
	cr_assert_eq(put_scratch(bench.live, "f", "again"), 0);
	cr_assert_eq(put(bench.live, ".g.swp", "a person's"), 0);
	cr_expect_eq(store_revision(bench.store), revision + 2);
	expect_count(&bench, 0, 0);
	expect_list(bench.live, "", ".g.swp f ");
}

Test(txn_scratch, its_directory_must_be_there_and_is_not_empty_with_it)
{
	BENCH bench = bench_with_scratch(NULL);

	cr_expect_eq(put_scratch(bench.live, "d/.f.swp", "one"), -ENOENT);
	cr_assert_eq(apply(bench.live, OP_MKDIR, "d"), 0);
	cr_assert_eq(apply(bench.live, OP_MKDIR, "e"), 0);
	cr_assert_eq(put_scratch(bench.live, "d/.f.swp", "one"), 0);
	cr_expect_eq(apply(bench.live, OP_RMDIR, "d"), -ENOTEMPTY);
	cr_expect_eq(rename_key(bench.live, "e", "d"), -ENOTEMPTY);
	cr_assert_eq(apply(bench.live, OP_DELETE, "d/.f.swp"), 0);
	cr_expect_eq(apply(bench.live, OP_RMDIR, "d"), 0);
}

Test(txn_scratch, it_follows_its_directory_and_goes_with_it)
{
	BENCH bench = bench_with_scratch(NULL);
	g_autoptr(txn) txn = NULL;

	cr_assert_eq(apply(bench.live, OP_MKDIR, "d"), 0);
	cr_assert_eq(apply(bench.live, OP_MKDIR, "d/e"), 0);
	cr_assert_eq(put_scratch(bench.live, "d/e/.f.swp", "one"), 0);
	cr_assert_eq(rename_key(bench.live, "d", "g"), 0);
	expect_value(bench.live, "g/e/.f.swp", "one");
	expect_value(bench.live, "d/e/.f.swp", "(absent)");
	expect_list(bench.live, "g/e", ".f.swp* ");
	expect_count(&bench, 1, strlen("one"));
	/* A transaction sees no file there, and takes the directory. */
	txn = begin(&bench, "a");
	cr_assert_eq(apply(txn_view(txn), OP_RMDIR, "g/e"), 0);
	cr_assert_eq(commit(txn, ""), 0);
	expect_value(bench.live, "g/e/.f.swp", "(absent)");
	expect_count(&bench, 0, 0);
}

Test(txn_scratch, a_key_that_a_transaction_makes_takes_its_place)
{
	BENCH bench = bench_with_scratch(NULL);
	g_autoptr(txn) txn = NULL;

	cr_assert_eq(put_scratch(bench.live, ".f.swp", "one"), 0);
	txn = begin(&bench, "a");
	cr_assert_eq(put(txn_view(txn), ".f.swp", "key"), 0);
	cr_assert_eq(commit(txn, ""), 0);
	expect_value(bench.live, ".f.swp", "key");
	expect_count(&bench, 0, 0);
}

Test(txn_scratch, its_bytes_are_the_users_and_are_given_back)
{
	struct registry_options options;
	BENCH bench = { 0 };
	g_autofree char *large = g_strnfill(3000, 'x');

	registry_options_init(&options);
	options.max_user_bytes = 5000;
	bench = bench_with_scratch(&options);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(put_scratch(bench.live, ".a.swp", large), 0);
		cr_expect_eq(put_scratch(bench.live, ".b.swp", large), -EDQUOT);
		expect_count(&bench, 1, 3000);
		expect_value(bench.live, ".b.swp", "(absent)");
		cr_assert_eq(i % 2 ? rename_key(bench.live, ".a.swp", "a") :
				     apply(bench.live, OP_DELETE, ".a.swp"),
			     0);
		expect_count(&bench, 0, 0);
	}
}

Test(txn_scratch, empty_ones_count_for_what_they_take)
{
	struct registry_options options;
	BENCH bench = { 0 };
	int count = 0, r = 0;

	registry_options_init(&options);
	options.max_user_bytes = 64 * 1024;
	bench = bench_with_scratch(&options);
	while (r == 0 && count < 10000) {
		g_autofree char *name = g_strdup_printf(".%d.swp", count);

		r = put_scratch(bench.live, name, "");
		count += r == 0;
	}
	cr_expect_eq(r, -EDQUOT);
	cr_expect(count > 50 && count < 110, "%d", count);
	cr_assert_eq(apply(bench.live, OP_DELETE, ".0.swp"), 0);
	cr_expect_eq(put_scratch(bench.live, ".0.swp", ""), 0);
}

Test(txn_scratch, others_have_the_rights_of_its_directory_and_no_more)
{
	BENCH bench = bench_with_scratch(NULL);
	struct credentials other = { .uid = getuid() + 1, .gid = getgid() + 1, .pid = 78 };
	struct program *program;

	cr_assert_eq(put_scratch(bench.live, ".f.swp", "one"), 0);
	program = program_new(&other);
	program->checked = true;
	program_add(program, OP_DELETE, ".f.swp");
	cr_expect_eq(run(bench.live, program), -EACCES);
	program = program_new(&other);
	program->checked = true;
	program_add(program, OP_RENAME, ".f.swp")->target = g_strdup("f");
	cr_expect_eq(run(bench.live, program), -EACCES);
	expect_value(bench.live, ".f.swp", "one");
	expect_count(&bench, 1, 3);
}
