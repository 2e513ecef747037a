/* Programs from their text to their reply, on a store in memory.
 *
 * The scenarios are those that etcd publishes for its transactions. Where we differ on
 * purpose: a prefix is a directory, told by path components, and "dir" and "dir/" are the
 * same; put makes the directories of a path; del of a directory needs --prefix; directories
 * are not counted as keys; <= and >= exist; all compares, nested ones included, see the state
 * before (etcd's too), and a program that changes nothing answers with the revision it saw;
 * one key is written at most once, and not deleted too, whatever the order. */
#include "tests/unit/store_test.h"
#include "txn/txn.h"

static struct store *store;

static void setup(void)
{
	store = open_memory_store();
}

static void teardown(void)
{
	store_close(store);
}

TestSuite(program_reply, .init = setup, .fini = teardown);

/* ---- Running --------------------------------------------------------------------- */

struct answer {
	GString *text;
	bool json;
};

static void take_answer(const struct program_result *result, void *arg)
{
	struct answer *answer = arg;

	answer->text = answer->json ? program_reply_json(result) : program_reply(result);
}

/* A store without other callers runs a program before submit returns. */
static char *run_text(const char *text, const struct credentials *credentials, bool json)
{
	struct program *program = NULL;
	struct program_limits limits;
	struct answer answer = { .json = json };

	program_limits_init(&limits);
	if (program_parse(text, strlen(text), credentials, &limits, &program, &answer.text) < 0)
		return g_string_free(answer.text, FALSE);
	program->checked = true;
	program->checked_reads = true;
	program->max_output_bytes = 1 << 20;
	store_submit(store, program, take_answer, &answer);
	cr_assert_not_null(answer.text);
	return g_string_free(answer.text, FALSE);
}

static void expect_reply(const char *text, const char *expected)
{
	g_autofree char *found = run_text(text, &test_root, false);

	cr_expect_str_eq(found, expected, "%s\nreplied:  %s\nexpected: %s", text, found, expected);
}

static void expect_json(const char *text, const char *expected)
{
	g_autofree char *found = run_text(text, &test_root, true);

	cr_expect_str_eq(found, expected, "%s\nreplied:  %s\nexpected: %s", text, found, expected);
}

/* ---- Compares -------------------------------------------------------------------- */

/* One compare; whether it holds of `present` (created at 2, changed at 3, version 2, value
 * "m") and of `absent`. %s is the key. */
static const struct {
	const char *format;
	bool present, absent;
} compares[] = {
	{ "value(%s) = m", true, false },     { "value(%s) = n", false, false },
	{ "value(%s) != n", true, false },    { "value(%s) != m", false, false },
	{ "value(%s) < n", true, false },     { "value(%s) < m", false, false },
	{ "value(%s) > l", true, false },     { "value(%s) > m", false, false },
	{ "value(%s) <= m", true, false },    { "value(%s) <= l", false, false },
	{ "value(%s) >= m", true, false },    { "value(%s) >= n", false, false },
	{ "value(%s) = \"\"", false, false }, { "value(%s) >= \"\"", true, false },
	{ "version(%s) = 2", true, false },   { "version(%s) = 0", false, true },
	{ "version(%s) != 0", true, false },  { "version(%s) != 2", false, true },
	{ "version(%s) < 3", true, true },    { "version(%s) < 2", false, true },
	{ "version(%s) > 1", true, false },   { "version(%s) > 2", false, false },
	{ "version(%s) <= 2", true, true },   { "version(%s) <= 1", false, true },
	{ "version(%s) >= 2", true, false },  { "version(%s) >= 0", true, true },
	{ "create(%s) = 2", true, false },    { "create(%s) = 0", false, true },
	{ "create(%s) != 2", false, true },   { "create(%s) != 0", true, false },
	{ "create(%s) < 3", true, true },     { "create(%s) < 2", false, true },
	{ "create(%s) > 0", true, false },    { "create(%s) > 2", false, false },
	{ "create(%s) <= 2", true, true },    { "create(%s) <= 0", false, true },
	{ "create(%s) >= 2", true, false },   { "create(%s) >= 0", true, true },
	{ "mod(%s) = 3", true, false },	      { "mod(%s) = 0", false, true },
	{ "mod(%s) != 3", false, true },      { "mod(%s) != 0", true, false },
	{ "mod(%s) < 4", true, true },	      { "mod(%s) < 3", false, true },
	{ "mod(%s) > 2", true, false },	      { "mod(%s) > 3", false, false },
	{ "mod(%s) <= 3", true, true },	      { "mod(%s) <= 2", false, true },
	{ "mod(%s) >= 3", true, false },      { "mod(%s) >= 0", true, true },
	{ "exists(%s)", true, false },	      { "missing(%s)", false, true },
};

static bool holds(guint row, const char *key)
{
	g_auto(GStrv) parts = g_strsplit(compares[row].format, "%s", 2);
	g_autofree char *text = g_strconcat(parts[0], key, parts[1], "\n\n", NULL);
	g_autofree char *reply = run_text(text, &test_root, false);

	cr_expect(g_str_has_prefix(reply, "SUCCESS 3\n") || g_str_has_prefix(reply, "FAILURE 3\n"),
		  "%s%s", text, reply);
	return *reply == 'S';
}

Test(program_reply, every_compare_of_present_and_absent_keys)
{
	expect_reply("put present l", "SUCCESS 2\nput\n");
	expect_reply("put present m", "SUCCESS 3\nput\n");
	for (guint i = 0; i < G_N_ELEMENTS(compares); i++) {
		cr_expect_eq(holds(i, "present"), compares[i].present, "%s", compares[i].format);
		cr_expect_eq(holds(i, "absent"), compares[i].absent, "%s", compares[i].format);
		/* A prefix with one key is like that key, one without any like an absent one. */
		cr_expect_eq(holds(i, "prefix(present)"), compares[i].present, "%s",
			     compares[i].format);
		cr_expect_eq(holds(i, "prefix(absent/)"), compares[i].absent, "%s",
			     compares[i].format);
	}
}

Test(program_reply, a_compare_of_a_prefix_must_hold_of_every_key)
{
	expect_reply("put d/a 1\nput d/b/c 1\nput d-x 9", "SUCCESS 2\nput\nput\nput\n");
	expect_reply("value(prefix(d)) = 1\nmod(prefix(\"d/\")) = 2\nversion(prefix(d/b)) = 1\n\n",
		     "SUCCESS 2\n");
	expect_reply("put d/b/c 2", "SUCCESS 3\nput\n");
	expect_reply("value(prefix(d)) = 1\nmod(prefix(\"d/\")) < \"3\"\nexists(prefix(d/e))\n"
		     "missing(prefix(d))\n\n",
		     "FAILURE 3\n"
		     "compare 1 value 1 \"2\" d/b/c\n"
		     "compare 2 mod 3 d/b/c\n"
		     "compare 3 create 0 d/e\n"
		     "compare 4 create 2 d/a\n");
}

Test(program_reply, a_failure_says_which_compare_and_what_was_found)
{
	expect_reply("put a \"yes\\n\"\nput d/e x\nput \"k \\\"\\n\" \"\\x00\\\"\\xff\"",
		     "SUCCESS 2\nput\nput\nput\n");
	expect_reply("value(a) = yes\nvalue(a) = no\n# a comment\nvalue(absent) = x\n"
		     "value(d) = x\nmod(a) > 7\nvalue(\"k \\\"\\n\") = x\nexists(a)\n\n"
		     "put a no\n\nget a\n",
		     "FAILURE 2\n"
		     "compare 1 value 4 \"yes\\n\" a\n"
		     "differs only by a final newline\n"
		     "compare 2 value 4 \"yes\\n\" a\n"
		     "compare 4 value absent absent\n"
		     "compare 5 value directory d\n"
		     "compare 6 mod 2 a\n"
		     "compare 7 value 3 \"\\000\\\"\\377\" k \"\\n\n"
		     "get 1\n2 4 a\nyes\n\n");
	expect_reply(
		"value(a) = \"yes\\n\\n\"\n\n",
		"FAILURE 2\ncompare 1 value 4 \"yes\\n\" a\ndiffers only by a final newline\n");
	expect_reply("put b <<X\n\nX", "SUCCESS 3\nput\n");
	expect_reply("value(b) = \"\"\n\n",
		     "FAILURE 3\ncompare 1 value 1 \"\\n\" b\ndiffers only by a final newline\n");
}

Test(program_reply, what_a_failure_shows_is_bounded)
{
	GString *text = g_string_new("put a ");
	g_autofree char *reply = NULL;

	for (int i = 0; i < 300; i++)
		g_string_append(text, "\xc3\xa9");
	expect_reply(text->str, "SUCCESS 2\nput\n");
	g_string_assign(text, "");
	for (int i = 0; i < 1005; i++)
		g_string_append(text, "value(a) = x\n");
	g_string_append(text, "\n");
	reply = run_text(text->str, &test_root, false);
	cr_expect(g_str_has_suffix(reply, "\xc3\xa9...\" a\nmore 5\n"));
	cr_expect(strlen(reply) < 1005 * 250);
	g_string_free(text, TRUE);
}

/* ---- Paths ----------------------------------------------------------------------- */

/* Which of the operations of a nested program run: of each compare, "1" holds. */
Test(program_reply, compares_select_a_path)
{
	static const struct {
		const char *outer, *first, *second;
		const char *reply;
	} rows[] = {
		{ "1", "1", "1", "SUCCESS 2\nadd 1\nadd 3\nadd 5\nadd 6\n" },
		{ "1", "1", "0", "SUCCESS 2\nadd 1\nadd 4\nadd 5\nadd 6\n" },
		{ "1", "0", "1", "SUCCESS 2\nadd 2\nadd 5\nadd 6\n" },
		{ "1", "0", "0", "SUCCESS 2\nadd 2\nadd 5\nadd 6\n" },
		{ "0", "1", "1", "FAILURE 2\ncompare 2 create 0 k\nadd 7\n" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *text = g_strdup_printf(
			"if\n%s(k)\nthen\n"
			"txn {\nif\n%s(k)\nthen\nadd a 1\ntxn {\n%s(k)\n\nadd b 3\n\nadd b 4\n}\n"
			"else\nadd a 2\n}\n"
			"add c 5\nadd d 6\nelse\nadd e 7\n",
			*rows[i].outer == '1' ? "missing" : "exists",
			*rows[i].first == '1' ? "missing" : "exists",
			*rows[i].second == '1' ? "missing" : "exists");

		teardown();
		setup();
		expect_reply(text, rows[i].reply);
	}
}

Test(program_reply, nested_compares_see_the_state_before)
{
	expect_reply("put k old", "SUCCESS 2\nput\n");
	expect_reply("put k new\nget k\ntxn {\nvalue(k) = old\n\nput seen old\n\nput seen new\n}\n"
		     "get seen",
		     "SUCCESS 3\nput\nget 1\n3 3 k\nnew\nput\nget 1\n3 3 seen\nold\n");
}

/* ---- Revisions ------------------------------------------------------------------- */

Test(program_reply, one_revision_for_all_and_none_for_nothing)
{
	expect_reply("", "SUCCESS 1\n");
	expect_reply("get a", "SUCCESS 1\nget 0\n");
	expect_reply("put a 1\nput b/c 2\ndel d", "SUCCESS 2\nput\nput\ndel 0\n");
	expect_reply("get a\nget b/c", "SUCCESS 2\nget 1\n2 1 a\n1\nget 1\n2 1 b/c\n2\n");
	/* The header of a failure has the revision it saw, or, if it wrote, its own. */
	expect_reply("exists(x)\n\nput a 9\n\nget a", "FAILURE 2\ncompare 1 create 0 x\n"
						      "get 1\n2 1 a\n1\n");
	expect_reply("exists(x)\n\nput a 9\n\nput y 1\nget y",
		     "FAILURE 3\ncompare 1 create 0 x\nput\nget 1\n3 1 y\n1\n");
	/* Setting what it was already is a change too. */
	expect_reply("put a 1", "SUCCESS 4\nput\n");
	expect_reply("del x\ndel x --prefix", "SUCCESS 4\ndel 0\ndel 0\n");
	expect_reply("version(a) = 2\ncreate(a) = 2\nmod(a) = 4\n\n", "SUCCESS 4\n");
}

Test(program_reply, gets_see_what_ran_before_them)
{
	expect_reply("get k\nput k 1\nget k", "SUCCESS 2\nget 0\nput\nget 1\n2 1 k\n1\n");
	expect_reply("get k\ndel k\nget k", "SUCCESS 3\nget 1\n2 1 k\n1\ndel 1\nget 0\n");
}

/* ---- Results --------------------------------------------------------------------- */

Test(program_reply, counts_limits_and_keys)
{
	expect_reply("put d/a 1\nput d/b/c 22\nput d/e \"3\\n3\"\nput d-x 4",
		     "SUCCESS 2\nput\nput\nput\nput\n");
	expect_reply("get d --prefix",
		     "SUCCESS 2\nget 3\n2 1 d/a\n1\n2 2 d/b/c\n22\n2 3 d/e\n3\n3\n");
	expect_reply("get d/ --prefix --limit=2 --keys-only",
		     "SUCCESS 2\nget 3\n2 1 d/a\n2 2 d/b/c\n");
	expect_reply("get \"\" --prefix --count-only\nget d --prefix --count-only --limit 1",
		     "SUCCESS 2\nget 4\nget 3\n");
	expect_reply("get d/e --keys-only\nget d/e --count-only\nget d\nget x --prefix",
		     "SUCCESS 2\nget 1\n2 3 d/e\nget 1\nget 0\nget 0\n");
	expect_reply("del d/ --prefix --prev-kv\nget \"\" --prefix --keys-only",
		     "SUCCESS 3\ndel 3\n2 1 d/a\n1\n2 2 d/b/c\n22\n2 3 d/e\n3\n3\n"
		     "get 1\n2 1 d-x\n");
}

Test(program_reply, numbers_and_text)
{
	expect_reply("add n 5\nmin m -3\nmax o -3\nappend t \"a\\n\"",
		     "SUCCESS 2\nadd 5\nmin -3\nmax 0\nappend\n");
	expect_reply("add n -7\nmin m 2\nmax o 9 --prev-kv\nappend t b --prev-kv\nget t",
		     "SUCCESS 3\nadd -2\nmin -3\nmax 9\n2 1 o\n0\nappend\n2 2 t\na\n\n"
		     "get 1\n3 3 t\na\nb\n");
	expect_reply("put n x --prev-kv\nput u y --prev-kv", "SUCCESS 4\nput\n3 2 n\n-2\nput\n");
}

Test(program_reply, keys_cannot_forge_lines)
{
	expect_reply("put \"a\\nERROR\" 1\nput \"\\xff b\" 2", "SUCCESS 2\nput\nput\n");
	expect_reply("get \"\" --prefix", "SUCCESS 2\nget 2\n2 1 a\\nERROR\n1\n2 1 \\377 b\n2\n");
}

/* ---- Refusals -------------------------------------------------------------------- */

Test(program_reply, a_refused_operation_tells_where_and_why)
{
	expect_reply("put e/x x\nput d/a x\nput n 9223372036854775807",
		     "SUCCESS 2\nput\nput\nput\n");
	expect_reply("put new 1\n  add d/a 1\nadd n 1\ndel d\nput e 1\nput d/a/b 1",
		     "ERROR 2:3 cannot add 'd/a': the value is no number of 64 bits\n"
		     "ERROR 3:1 cannot add 'n': the sum is no number of 64 bits\n"
		     "ERROR 4:1 cannot del 'd': it is a directory, which needs --prefix\n"
		     "ERROR 5:1 cannot put 'e': it is a directory\n"
		     "ERROR 6:1 cannot put 'd/a/b': 'd/a': it is no directory\n");
	expect_reply("get new\nget \"\" --prefix --count-only", "SUCCESS 2\nget 0\nget 3\n");
}

Test(program_reply, permissions_are_those_of_files)
{
	static const struct credentials alice = { .uid = 1000, .gid = 100, .umask = 027 };
	g_autofree char *denied = NULL, *unread = NULL;

	expect_reply("put secret x", "SUCCESS 2\nput\n");
	cr_assert_eq(change_mode(store, "secret", 0600), 0);
	denied = run_text("put mine 1\nget secret\ndel secret", &alice, false);
	cr_expect_str_eq(denied, "ERROR 1:1 cannot put 'mine': Permission denied\n"
				 "ERROR 2:1 cannot get 'secret': Permission denied\n"
				 "ERROR 3:1 cannot del 'secret': Permission denied\n");
	unread = run_text("  value(secret) = x\n\n", &alice, false);
	cr_expect_str_eq(unread, "ERROR 1:3 cannot compare 'secret': Permission denied\n");
}

Test(program_reply, a_store_that_failed_is_told)
{
	g_autoptr(GPtrArray) failures = g_ptr_array_new();
	struct program_result result = { .error = -EIO, .failures = failures };
	g_autoptr(GString) reply = program_reply(&result);
	g_autoptr(GString) json = program_reply_json(&result);

	cr_expect_str_eq(reply->str, "ERROR 1:1 cannot run the program: Input/output error\n");
	cr_expect_str_eq(json->str, "{\"status\":\"error\",\"errors\":[{\"line\":1,\"column\":1,"
				    "\"text\":\"cannot run the program: Input/output error\"}]}\n");
}

/* ---- JSON ------------------------------------------------------------------------ */

Test(program_reply, json_says_the_same)
{
	expect_json("put a \"x\\n\\x01\\\"\\\\\\x00\"\nput \"b\\xff\" \"\\xff\\xfe\"\n"
		    "add n -5\nput e \"\"",
		    "{\"status\":\"success\",\"revision\":2,\"failed\":[],\"more\":0,\"results\":["
		    "{\"op\":\"put\"},{\"op\":\"put\"},{\"op\":\"add\",\"number\":-5},"
		    "{\"op\":\"put\"}]}\n");
	expect_json("get a\nget \"b\\xff\"\nget e --keys-only\nget x\nget n --count-only",
		    "{\"status\":\"success\",\"revision\":2,\"failed\":[],\"more\":0,\"results\":["
		    "{\"op\":\"get\",\"count\":1,\"keys\":[{\"key\":\"a\",\"mod_revision\":2,"
		    "\"length\":6,\"value\":\"x\\n\\u0001\\\"\\\\\\u0000\"}]},"
		    "{\"op\":\"get\",\"count\":1,\"keys\":[{\"key_base64\":\"Yv8=\","
		    "\"mod_revision\":2,\"length\":2,\"value_base64\":\"//4=\"}]},"
		    "{\"op\":\"get\",\"count\":1,\"keys\":[{\"key\":\"e\",\"mod_revision\":2,"
		    "\"length\":0}]},"
		    "{\"op\":\"get\",\"count\":0,\"keys\":[]},{\"op\":\"get\",\"count\":1}]}\n");
	expect_json("value(a) = x\nvalue(y) = x\nvalue(e) = \"\\n\"\nmod(n) > 2\n\n\n"
		    "del e --prev-kv\nput n 1 --prev-kv\n",
		    "{\"status\":\"failure\",\"revision\":3,\"failed\":["
		    "{\"line\":1,\"target\":\"value\",\"key\":\"a\","
		    "\"found\":\"x\\n\\u0001\\\"\\\\\\u0000\",\"length\":6},"
		    "{\"line\":2,\"target\":\"value\",\"key\":\"y\",\"found\":null},"
		    "{\"line\":3,\"target\":\"value\",\"key\":\"e\",\"found\":\"\",\"length\":0,"
		    "\"only_newline\":true},"
		    "{\"line\":4,\"target\":\"mod\",\"key\":\"n\",\"found\":2}],\"more\":0,"
		    "\"results\":["
		    "{\"op\":\"del\",\"count\":1,\"previous\":[{\"key\":\"e\",\"mod_revision\":2,"
		    "\"length\":0,\"value\":\"\"}]},"
		    "{\"op\":\"put\",\"previous\":[{\"key\":\"n\",\"mod_revision\":2,\"length\":2,"
		    "\"value\":\"-5\"}]}]}\n");
}

Test(program_reply, json_has_the_errors_of_a_text)
{
	g_autoptr(GString) errors = g_string_new("ERROR 2:3 expected 'x', found '\"\\n'\n"
						 "ERROR 4:1 another\n");
	g_autoptr(GString) json = program_errors_json(errors);

	cr_expect_str_eq(json->str, "{\"status\":\"error\",\"errors\":["
				    "{\"line\":2,\"column\":3,"
				    "\"text\":\"expected 'x', found '\\\"\\\\n'\"},"
				    "{\"line\":4,\"column\":1,\"text\":\"another\"}]}\n");
}
