/* What may stand together in one program: duplicate keys, and deleted ones, in all nestings
 * and both orders. Where this differs from etcd's check on purpose: the order of operations
 * never matters; the then-branch of a nested program against its own else-branch is allowed
 * whatever surrounds them; what a delete covers is told by path components; add, min, max
 * and append are writes too. */
#include "txn/txn.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static const struct credentials somebody = { 0 };

/* The errors of a text, "" when there are none. Caller frees. */
static char *errors_of(const char *text)
{
	g_autoptr(program) program = NULL;
	struct program_limits limits;
	GString *errors = NULL;
	int r;

	program_limits_init(&limits);
	r = program_parse(text, strlen(text), &somebody, &limits, &program, &errors);
	cr_assert(r == 0 || r == -EINVAL);
	return r < 0 ? g_string_free(errors, FALSE) : g_strdup("");
}

static void expect_errors(const char *text, const char *expected)
{
	g_autofree char *found = errors_of(text);

	cr_expect_str_eq(found, expected, "%s\nis:        %s\nshould be: %s", text, found,
			 expected);
}

/* ---- Pairs of operations --------------------------------------------------------- */

static const struct {
	const char *first, *second;
	bool clash;
} pairs[] = {
	{ "put k 1", "put k 2", true },
	{ "put k 1", "put l 2", false },
	{ "put k 1", "add k 2", true },
	{ "min k 1", "max k 2", true },
	{ "append k 1", "append k 2", true },
	{ "put k 1", "del k", true },
	{ "append k 1", "del k", true },
	{ "add k 1", "del k --prefix", true },
	{ "put k 1", "get k", false },
	{ "del k", "get k", false },
	{ "del k", "del k", false },
	{ "del k", "del k --prefix", false },
	{ "del d --prefix", "del d/k", false },
	{ "put d/k 1", "del d --prefix", true },
	{ "put d/k 1", "del d/ --prefix", true },
	{ "put d/e/f/k 1", "del d --prefix", true },
	{ "put d/k 1", "del \"\" --prefix", true },
	{ "put k 1", "del / --prefix", true },
	{ "put d 1", "del d/k", false },
	{ "put d 1", "del d/k --prefix", false },
	/* A delete without --prefix is of its own key only. */
	{ "put d/k 1", "del d", false },
	/* Bytes before and behind the slash: none of these lies below d. */
	{ "put d-x 1", "del d --prefix", false },
	{ "put d.x/k 1", "del d --prefix", false },
	{ "put d0 1", "del d --prefix", false },
	{ "put \"d\\x01\" 1", "del d --prefix", false },
	{ "put dd 1", "del d --prefix", false },
	{ "put d/k-x 1", "del d/k --prefix", false },
};

/* How two operations are put into one text: %s and %s. */
static const struct {
	const char *format;
	bool together;
} nestings[] = {
	{ "%s\n%s\n", true },
	{ "mod(k) = 1\n\nget a\n\n%s\n%s\n", true },
	{ "then\n%s\nelse\n%s\n", false },
	{ "txn {\n%s\n}\n%s\n", true },
	{ "%s\ntxn {\n%s\n}\n", true },
	{ "txn {\n%s\n}\ntxn {\n%s\n}\n", true },
	{ "txn {\nelse\n%s\n}\ntxn {\n%s\n}\n", true },
	{ "txn {\nthen\n%s\nelse\n%s\n}\n", false },
	{ "txn {\nthen\n%s\nelse\ntxn {\ntxn {\n%s\n}\n}\n}\n", false },
	{ "txn {\nthen\ntxn {\nelse\n%s\n}\nelse\ntxn {\n%s\n}\n}\n", false },
	{ "then\ntxn {\n%s\n}\nelse\ntxn {\n%s\n}\n", false },
	{ "txn {\nthen\nget a\nelse\ntxn {\n%s\n}\n%s\n}\n", true },
	{ "txn {\nthen\nput b 1\nelse\nput b 2\n%s\n}\n%s\n", true },
};

Test(overlap, every_pair_in_every_nesting_and_order)
{
	for (guint i = 0; i < G_N_ELEMENTS(pairs); i++) {
		for (guint j = 0; j < G_N_ELEMENTS(nestings); j++) {
			bool expected = pairs[i].clash && nestings[j].together;

			for (int turned = 0; turned < 2; turned++) {
				const char *first = turned ? pairs[i].second : pairs[i].first;
				const char *second = turned ? pairs[i].first : pairs[i].second;
				g_autofree char *text = NULL, *found = NULL;

				text = g_strdup_printf(nestings[j].format, first, second);
				found = errors_of(text);
				cr_expect_eq(*found != '\0', expected, "%s\n%s", text, found);
			}
		}
	}
}

/* ---- Three and more -------------------------------------------------------------- */

Test(overlap, more_than_neighbours_matter)
{
	/* The delete next to the put is in the other branch, the one behind is not. */
	expect_errors("txn {\nthen\nput k 1\nelse\ndel k\n}\ndel k\n",
		      "ERROR 7:1 the key 'k' is written and deleted: in line 3 and here\n");
	expect_errors("del k\ntxn {\nthen\nput k 1\nelse\ndel k\n}\n",
		      "ERROR 4:1 the key 'k' is written and deleted: in line 1 and here\n");
	expect_errors("txn {\nthen\ndel k\nelse\nput k 1\n}\nget k\n", "");
	/* Two levels up, behind deletes that are all in other branches. */
	expect_errors("txn {\nthen\ntxn {\nthen\nput k 1\nelse\ndel k\ndel k --prefix\n}\n"
		      "else\ndel k\n}\ndel k\n",
		      "ERROR 13:1 the key 'k' is written and deleted: in line 5 and here\n");
	/* Of three writes, two are in different branches; the third is with both. */
	expect_errors("txn {\nthen\nput k 1\nelse\nput k 2\n}\nput k 3\n",
		      "ERROR 7:1 the key 'k' is written twice: here and in line 5\n");
	expect_errors("put k 3\ntxn {\nthen\nput k 1\nelse\nput k 2\n}\n",
		      "ERROR 4:1 the key 'k' is written twice: here and in line 1\n");
}

Test(overlap, everything_else_of_the_program_is_told_too)
{
	expect_errors("put a 1\n  put a 2\ndel d --prefix\nput d/k 1\nput b 1\n put b 2\n",
		      "ERROR 2:3 the key 'a' is written twice: here and in line 1\n"
		      "ERROR 4:1 the key 'd/k' is written and deleted: in line 3 and here\n"
		      "ERROR 6:2 the key 'b' is written twice: here and in line 5\n");
	/* A key cannot forge a line. */
	expect_errors("put \"a\\nb\" 1\nput \"a\\nb\" 1\n",
		      "ERROR 2:1 the key 'a\\nb' is written twice: here and in line 1\n");
}

/* Published cases of checks that depend on the order, or see no deletes through branches. */
Test(overlap, branches_of_one_program_may_do_opposite_things)
{
	expect_errors("if\nvalue(\"foo\") = \"bar\"\nthen\ntxn {\nif\nmod(\"x\") > \"0\"\nthen\n"
		      "put foo abc\nelse\ndel foo\n}\nelse\nput foo bar\n",
		      "");
	expect_errors("txn {\nthen\ndel \"\" --prefix\nelse\nput a/b 1\nput c 2\n}\n", "");
	expect_errors("txn {\nthen\ndel \"\" --prefix\nelse\nput a/b 1\n}\nput c 2\n",
		      "ERROR 7:1 the key 'c' is written and deleted: in line 3 and here\n");
}
