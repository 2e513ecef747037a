/* Texts of programs: what each means, and the error of each that means nothing.
 *
 * A program is written down in one line, so that the tables below can be read: compares in
 * brackets, then-operations, a bar, else-operations; strings as C has them.
 *
 * Where the texts differ from etcdctl's on purpose: the text may end after any section;
 * words then, else and if; <= and >=; quotes of all kinds everywhere; numbers may be bare; a
 * word that begins with one dash is an argument (so that -1 is a number); no range ends, no
 * leases, no negative revisions; keys are paths. */
#include "txn/txn.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static const struct credentials somebody = { .uid = 7, .gid = 8 };

/* ---- Writing down ---------------------------------------------------------------- */

static void append_string(GString *out, const char *bytes, size_t size)
{
	g_string_append_c(out, '"');
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (c >= ' ' && c < 0x7f && c != '"' && c != '\\')
			g_string_append_c(out, bytes[i]);
		else
			g_string_append_printf(out, "\\x%02x", c);
	}
	g_string_append_c(out, '"');
}

static void append_bytes(GString *out, GBytes *bytes)
{
	gsize size;
	const char *data = g_bytes_get_data(bytes, &size);

	append_string(out, data, size);
}

static void append_compare(GString *out, const struct compare *compare)
{
	static const char *const targets[] = { "value", "version", "create", "mod" };
	static const char *const operators[] = { "=", "!=", "<", ">", "<=", ">=" };

	g_string_append_printf(out, "%s%s ", targets[compare->target], compare->tree ? "*" : "");
	append_string(out, compare->key, strlen(compare->key));
	g_string_append_printf(out, " %s ", operators[compare->operator]);
	if (compare->target == COMPARE_VALUE)
		append_bytes(out, compare->value);
	else
		g_string_append_printf(out, "%" G_GUINT64_FORMAT, compare->number);
}

static void append_flags(GString *out, const struct op *op)
{
	static const struct {
		unsigned flag;
		const char *name;
	} flags[] = { { OP_TREE, "tree" },
		      { OP_KEYS_ONLY, "keys" },
		      { OP_COUNT_ONLY, "count" },
		      { OP_PREVIOUS, "prev" } };

	for (guint i = 0; i < G_N_ELEMENTS(flags); i++) {
		if (op->flags & flags[i].flag)
			g_string_append_printf(out, " %s", flags[i].name);
	}
	if (op->limit)
		g_string_append_printf(out, " limit %d", (int)op->limit);
}

static void append_program(GString *out, const struct program *program);

static void append_op(GString *out, const struct op *op)
{
	bool makes = op->kind == OP_PUT || op->kind == OP_APPEND || op->kind == OP_ADD ||
		     op->kind == OP_MIN || op->kind == OP_MAX;

	if (op->kind == OP_PROGRAM) {
		g_string_append(out, "{ ");
		append_program(out, op->program);
		g_string_append(out, " }");
		return;
	}
	cr_expect_eq(!!(op->flags & OP_PARENTS), makes);
	cr_expect_eq(op->mode, makes ? 0666 : 0);
	g_string_append(out, op->kind == OP_PUT		? "put " :
			     op->kind == OP_GET		? "get " :
			     op->kind == OP_DELETE	? "del " :
			     op->kind == OP_DELETE_TREE ? "deltree " :
			     op->kind == OP_ADD		? "add " :
			     op->kind == OP_MIN		? "min " :
			     op->kind == OP_MAX		? "max " :
							  "append ");
	append_string(out, op->key, strlen(op->key));
	append_flags(out, op);
	if (op->value) {
		g_string_append_c(out, ' ');
		append_bytes(out, op->value);
	} else if (makes) {
		g_string_append_printf(out, " %" G_GINT64_FORMAT, op->number);
	}
}

static void append_ops(GString *out, const GPtrArray *ops)
{
	for (guint i = 0; ops && i < ops->len; i++) {
		g_string_append(out, i ? ", " : "");
		append_op(out, ops->pdata[i]);
	}
}

static void append_program(GString *out, const struct program *program)
{
	g_string_append_c(out, '[');
	for (guint i = 0; i < program->compares->len; i++) {
		g_string_append(out, i ? ", " : "");
		append_compare(out, program->compares->pdata[i]);
	}
	g_string_append(out, "] ");
	append_ops(out, program->then_ops);
	if (program->else_ops) {
		g_string_append(out, " | ");
		append_ops(out, program->else_ops);
	}
}

/* The program of a text in one line, or its errors. Caller frees. */
static char *read_text(const char *text, size_t size, int expected)
{
	g_autoptr(program) program = NULL;
	struct program_limits limits;
	GString *out = NULL;
	int r;

	program_limits_init(&limits);
	r = program_parse(text, size, &somebody, &limits, &program, &out);
	cr_expect_eq(r, expected, "%d: %.200s", r, text);
	if (r == 0) {
		cr_expect(program->credentials->uid == 7 && program->credentials->gid == 8);
		out = g_string_new(NULL);
		append_program(out, program);
	}
	return g_string_free(out, FALSE);
}

struct row {
	const char *text;
	const char *means;
};

static void expect_rows(const struct row *rows, size_t count, int expected)
{
	for (size_t i = 0; i < count; i++) {
		g_autofree char *found = read_text(rows[i].text, strlen(rows[i].text), expected);

		cr_expect_str_eq(found, rows[i].means, "%s\nis:        %s\nshould be: %s",
				 rows[i].text, found, rows[i].means);
	}
}

#define EXPECT_MEANS(rows) expect_rows(rows, G_N_ELEMENTS(rows), 0)
#define EXPECT_ERRORS(rows) expect_rows(rows, G_N_ELEMENTS(rows), -EINVAL)

/* ---- What texts mean ------------------------------------------------------------- */

Test(program_text, sections_are_parted_by_blank_lines)
{
	static const struct row rows[] = {
		{ "mod(\"k\") > \"0\"\n\nput k \"v\"\n\nput k \"w\"\nget k\n\n",
		  "[mod \"k\" > 0] put \"k\" \"v\" | put \"k\" \"w\", get \"k\"" },
		{ "\nput k v\n\n\n", "[] put \"k\" \"v\"" },
		{ "\n\nput k v\n", "[]  | put \"k\" \"v\"" },
		{ "mod(k) = 1\n\n\nput k v\n\n", "[mod \"k\" = 1]  | put \"k\" \"v\"" },
		{ "mod(k) = 1\n\n\n\n", "[mod \"k\" = 1] " },
		{ "mod(k) = 1\r\n\r\nput k v\r\n\t \r\nput k w", /* blanks are no lines */
		  "[mod \"k\" = 1] put \"k\" \"v\" | put \"k\" \"w\"" },
		{ "", "[] " },
		{ "\n\n\n\n\n", "[] " },
		{ "mod(k) = 1\n\n", "[mod \"k\" = 1] " },
	};

	EXPECT_MEANS(rows);
}

Test(program_text, words_stand_for_blank_lines)
{
	static const struct row rows[] = {
		{ "if\nmod(k) = 1\nthen\nput k v\nelse\nput k w\n",
		  "[mod \"k\" = 1] put \"k\" \"v\" | put \"k\" \"w\"" },
		{ "  if \n\nmod(k) = 1\n\n\nthen\n\nput k v\n\n\n  else\t\n\nput k w\n\n",
		  "[mod \"k\" = 1] put \"k\" \"v\" | put \"k\" \"w\"" },
		{ "\n\nif\nmod(k) = 1\nthen\nput k v\n", "[mod \"k\" = 1] put \"k\" \"v\"" },
		{ "mod(k) = 1\nthen\nput k v\n", "[mod \"k\" = 1] put \"k\" \"v\"" },
		{ "if\nmod(k) = 1\n\nput k v\n\nput k w\n",
		  "[mod \"k\" = 1] put \"k\" \"v\" | put \"k\" \"w\"" },
		{ "mod(k) = 1\n\nput k v\nelse\nput k w\n",
		  "[mod \"k\" = 1] put \"k\" \"v\" | put \"k\" \"w\"" },
		{ "if\nmod(k) = 1\nelse\nput k w\n", "[mod \"k\" = 1]  | put \"k\" \"w\"" },
		{ "then\nput k v\n", "[] put \"k\" \"v\"" },
		{ "if\nthen\nelse\n", "[] " },
	};

	EXPECT_MEANS(rows);
}

Test(program_text, operations_alone_are_a_program)
{
	static const struct row rows[] = {
		{ "put k v\nget k\ndel l", "[] put \"k\" \"v\", get \"k\", del \"l\"" },
		{ "  # a comment\nput k #v\n#\n", "[] put \"k\" \"#v\"" },
		{ "put k v\n\n\n", "[] put \"k\" \"v\"" },
		{ "put k v\n\nelse\nput k w", "[] put \"k\" \"v\" | put \"k\" \"w\"" },
	};

	EXPECT_MEANS(rows);
}

Test(program_text, every_target_and_operator)
{
	static const struct row rows[] = {
		{ "value(\"k\") = \"v\"\nval(k) != v\nversion(k) < 1\nver(k)>\"2\"\n\n",
		  "[value \"k\" = \"v\", value \"k\" != \"v\", version \"k\" < 1, version \"k\" > 2] " },
		{ "create(k)<=3\nc( k )>= 4\nmod (k) = 5\n m(\"k\")=\"6\"\n\n",
		  "[create \"k\" <= 3, create \"k\" >= 4, mod \"k\" = 5, mod \"k\" = 6] " },
		{ "exists(\"k\")\nmissing( k )\n\n", "[create \"k\" > 0, create \"k\" = 0] " },
		{ "mod(prefix(\"d/\")) < \"9\"\nvalue( prefix ( d/e ) ) = x\nmissing(prefix(\"\"))\n"
		  "exists(prefix(/))\n\n",
		  "[mod* \"d\" < 9, value* \"d/e\" = \"x\", create* \"\" = 0, create* \"\" > 0] " },
		{ "mod(prefix) = 18446744073709551615\n\n",
		  "[mod \"prefix\" = 18446744073709551615] " },
		{ "value(k) = \"\"\nvalue(k) = 007\n\n",
		  "[value \"k\" = \"\", value \"k\" = \"007\"] " },
	};

	EXPECT_MEANS(rows);
}

Test(program_text, every_operation_and_flag)
{
	static const struct row rows[] = {
		{ "put k v --prev-kv\nput --prev-kv l v\nput m --prev-kv v",
		  "[] put \"k\" prev \"v\", put \"l\" prev \"v\", put \"m\" prev \"v\"" },
		{ "get --limit 5 d --prefix\nget \"\" --prefix --count-only\nget k --limit=0",
		  "[] get \"d\" tree limit 5, get \"\" tree count, get \"k\"" },
		{ "get d/ --prefix=true --keys-only\nget d --prefix=false",
		  "[] get \"d\" tree keys, get \"d\"" },
		{ "del k\ndel d/ --prefix\ndel --prefix --prev-kv e",
		  "[] del \"k\", deltree \"d\", deltree \"e\" prev" },
		{ "add a 1\nadd b -1\nmin c \"5\"\nmax d 9223372036854775807 --prev-kv\n"
		  "add e -9223372036854775808\nadd f 007",
		  "[] add \"a\" 1, add \"b\" -1, min \"c\" 5, max \"d\" prev 9223372036854775807, "
		  "add \"e\" -9223372036854775808, add \"f\" 7" },
		{ "append log \"line\\n\"", "[] append \"log\" \"line\\x0a\"" },
		{ "put -- --k --v\nput l \"--v\"\nput m -v",
		  "[] put \"--k\" \"--v\", put \"l\" \"--v\", put \"m\" \"-v\"" },
	};

	EXPECT_MEANS(rows);
}

Test(program_text, quotes_and_escapes)
{
	static const struct row rows[] = {
		{ "put k \"a b\\n\\t\\\"\\\\\\a\\b\\f\\r\\v\"",
		  "[] put \"k\" \"a b\\x0a\\x09\\x22\\x5c\\x07\\x08\\x0c\\x0d\\x0b\"" },
		{ "put k \"\\x00\\xff\\000\\377\\u00e9\\U0001F600\"",
		  "[] put \"k\" \"\\x00\\xff\\x00\\xff\\xc3\\xa9\\xf0\\x9f\\x98\\x80\"" },
		{ "put 'a b' 'it is \\n \"raw\"'",
		  "[] put \"a b\" \"it is \\x5cn \\x22raw\\x22\"" },
		{ "put `a b` `x\\y'`", "[] put \"a b\" \"x\\x5cy'\"" },
		{ "put \"\\xff\" \"\"", "[] put \"\\xff\" \"\"" },
		{ "put k {\"a\":1}\nput l it's",
		  "[] put \"k\" \"{\\x22a\\x22:1}\", put \"l\" \"it's\"" },
		{ "value(\"a)b\") = ')'\nvalue('x') = a\"b\n\n",
		  "[value \"a)b\" = \")\", value \"x\" = \"a\\x22b\"] " },
		/* Bytes that are no UTF-8 are taken as they are where they are quoted. */
		{ "put \"\xff\" '\xfe'", "[] put \"\\xff\" \"\\xfe\"" },
		{ "put \xc3\xa9 \xe2\x82\xac", "[] put \"\\xc3\\xa9\" \"\\xe2\\x82\\xac\"" },
	};

	EXPECT_MEANS(rows);
}

Test(program_text, values_in_lines)
{
	static const struct row rows[] = {
		{ "put k <<END\na\n\n  \"b\nEND \n }\nEND\nget k",
		  "[] put \"k\" \"a\\x0a\\x0a  \\x22b\\x0aEND \\x0a }\\x0a\", get \"k\"" },
		{ "put k <<X\nX\nput l v", "[] put \"k\" \"\", put \"l\" \"v\"" },
		{ "put k --prev-kv <<X\r\n\xff\r\nX\n", "[] put \"k\" prev \"\\xff\\x0d\\x0a\"" },
		{ "put k <<X --prev-kv\na\nX", "[] put \"k\" prev \"a\\x0a\"" },
		{ "append k <<X\na\nX", "[] append \"k\" \"a\\x0a\"" },
		{ "put k \"<<X\"\n", "[] put \"k\" \"<<X\"" },
		{ "txn {\nput k <<}\na\n}\n}\n", "[] { [] put \"k\" \"a\\x0a\" }" },
	};

	EXPECT_MEANS(rows);
}

Test(program_text, programs_in_programs)
{
	static const struct row rows[] = {
		{ "txn {\nif\nmod(k) = 1\nthen\nput a 1\nelse\ntxn{\nput b 2\n}\n}\nput c 3\n",
		  "[] { [mod \"k\" = 1] put \"a\" \"1\" | { [] put \"b\" \"2\" } }, put \"c\" \"3\"" },
		{ "mod(k) = 1\n\ntxn {\nmod(l) = 2\n\nput a 1\n\nput a 2\n\n}\n\ntxn {\n}\n",
		  "[mod \"k\" = 1] { [mod \"l\" = 2] put \"a\" \"1\" | put \"a\" \"2\" } | { []  }" },
		{ "  txn  {  \n  put a 1\n  }  \n", "[] { [] put \"a\" \"1\" }" },
	};

	EXPECT_MEANS(rows);
}

Test(program_text, lines_and_columns_are_kept_for_replies)
{
	static const char text[] = "\n#\nput a 1\n\n  txn {\n\tmod(k) = 1\n\n  get b\n}\n";
	g_autoptr(program) program = NULL;
	struct program_limits limits;
	const struct op *op;
	const struct compare *compare;

	program_limits_init(&limits);
	cr_assert_eq(program_parse(text, strlen(text), &somebody, &limits, &program, NULL), 0);
	op = program->then_ops->pdata[0];
	cr_expect(op->line == 3 && op->column == 1);
	op = program->else_ops->pdata[0];
	cr_expect(op->line == 5 && op->column == 3);
	compare = op->program->compares->pdata[0];
	cr_expect(compare->line == 6 && compare->column == 2);
	op = op->program->then_ops->pdata[0];
	cr_expect(op->line == 8 && op->column == 3);
}

/* ---- What is wrong with others --------------------------------------------------- */

Test(program_text, compares_say_what_is_wrong)
{
	static const struct row rows[] = {
		{ "lease(k) = 1\n\n", "ERROR 1:1 expected value, version, create, mod, exists or "
				      "missing, found 'lease(k)'\n" },
		{ "Mod(k) = 1\n\n", "ERROR 1:1 expected value, version, create, mod, exists or "
				    "missing, found 'Mod(k)'\n" },
		{ "mod(k = 1\n\n", "ERROR 1:7 expected ')', found '='\n" },
		{ "mod() = 1\n\n", "ERROR 1:5 expected a key, found ')'\n" },
		{ "mod(\n\n", "ERROR 1:5 expected a key, found the end of the line\n" },
		{ "mod(prefix(d) = 1\n\n", "ERROR 1:15 expected ')', found '='\n" },
		{ "mod(k) == 1\n\n", "ERROR 1:8 expected one of = != < > <= >=, found '=='\n" },
		{ "mod(k) ~ 1\n\n", "ERROR 1:8 expected one of = != < > <= >=, found '~'\n" },
		{ "mod(k)\n\n",
		  "ERROR 1:7 expected one of = != < > <= >=, found the end of the line\n" },
		{ "mod(k) =\n\n", "ERROR 1:9 expected a number, found the end of the line\n" },
		{ "value(k) =\n\n", "ERROR 1:11 expected a value, found the end of the line\n" },
		{ "mod(k) = x\n\n", "ERROR 1:10 expected a number from 0 to 18446744073709551615, "
				    "found 'x'\n" },
		{ "ver(k) = -1\nc(k) = +1\nm(k) = 18446744073709551616\nm(k) = \"1 \"\n"
		  "m(k) = \"\"\nm(k) = 0x1\n\n",
		  "ERROR 1:10 expected a number from 0 to 18446744073709551615, found '-1'\n"
		  "ERROR 2:8 expected a number from 0 to 18446744073709551615, found '+1'\n"
		  "ERROR 3:8 expected a number from 0 to 18446744073709551615, found "
		  "'18446744073709551616'\n"
		  "ERROR 4:8 expected a number from 0 to 18446744073709551615, found '1 '\n"
		  "ERROR 5:8 expected a number from 0 to 18446744073709551615, found ''\n"
		  "ERROR 6:8 expected a number from 0 to 18446744073709551615, found '0x1'\n" },
		{ "mod(k) = 1 2\n\n", "ERROR 1:12 expected the end of the line, found '2'\n" },
		{ "exists(k) = 1\n\n", "ERROR 1:11 expected the end of the line, found '='\n" },
		{ "mod(k) = 1", "ERROR 1:11 expected a blank line or 'then' behind the compares, "
				"found the end of the text\n" },
		{ "mod(k) = 1\n", "ERROR 2:1 expected a blank line or 'then' behind the compares, "
				  "found the end of the text\n" },
	};

	EXPECT_ERRORS(rows);
}

Test(program_text, operations_say_what_is_wrong)
{
	static const struct row rows[] = {
		{ "set k v",
		  "ERROR 1:1 expected an operation: put, get, del, add, min, max, append "
		  "or txn {, found 'set'\n" },
		{ "\"put\" k v", "ERROR 1:1 expected an operation: put, get, del, add, min, max, "
				 "append or txn {, found 'put'\n" },
		{ "put", "ERROR 1:4 expected a key, found the end of the line\n" },
		{ "  put k", "ERROR 1:8 expected a value, found the end of the line\n" },
		{ "add k", "ERROR 1:6 expected a number, found the end of the line\n" },
		{ "get\ndel", "ERROR 1:4 expected a key, found the end of the line\n"
			      "ERROR 2:4 expected a key, found the end of the line\n" },
		{ "put k a b", "ERROR 1:9 expected the end of the line (a value with blanks is "
			       "quoted), found 'b'\n" },
		{ "put k v # two\n", "ERROR 1:9 expected the end of the line (a value with blanks "
				     "is quoted), found '#'\n" },
		{ "get a b", "ERROR 1:7 expected the end of the line (there are no range ends: "
			     "--prefix takes a key and all below it), found 'b'\n" },
		{ "del a b", "ERROR 1:7 expected the end of the line (there are no range ends: "
			     "--prefix takes a key and all below it), found 'b'\n" },
		{ "get k --from-key", "ERROR 1:7 expected a flag of get: --prefix, --limit=N, "
				      "--keys-only or --count-only, found '--from-key'\n" },
		{ "get k --prev-kv", "ERROR 1:7 expected a flag of get: --prefix, --limit=N, "
				     "--keys-only or --count-only, found '--prev-kv'\n" },
		{ "put k v --prefix", "ERROR 1:9 expected a flag of put: --prev-kv, found "
				      "'--prefix'\n" },
		{ "del k --limit=1", "ERROR 1:7 expected a flag of del: --prefix or --prev-kv, "
				     "found '--limit=1'\n" },
		{ "get k --limit\nget k --limit=\nget k --limit x\nget k --limit=-1",
		  "ERROR 1:7 expected --limit with a number from 0, found '--limit'\n"
		  "ERROR 2:7 expected --limit with a number from 0, found '--limit='\n"
		  "ERROR 3:15 expected --limit with a number from 0, found 'x'\n"
		  "ERROR 4:7 expected --limit with a number from 0, found '--limit=-1'\n" },
		{ "get k --prefix=maybe",
		  "ERROR 1:7 expected a flag without a value, found '--prefix=maybe'\n" },
		{ "get d --keys-only --count-only",
		  "ERROR 1:1 expected one of --keys-only and --count-only, found both\n" },
		{ "add k x\nadd k 9223372036854775808\nmin k +1\nmax k 1.5",
		  "ERROR 1:7 expected a number from -9223372036854775808 to 9223372036854775807, "
		  "found 'x'\n"
		  "ERROR 2:7 expected a number from -9223372036854775808 to 9223372036854775807, "
		  "found '9223372036854775808'\n"
		  "ERROR 3:7 expected a number from -9223372036854775808 to 9223372036854775807, "
		  "found '+1'\n"
		  "ERROR 4:7 expected a number from -9223372036854775808 to 9223372036854775807, "
		  "found '1.5'\n" },
		{ "put a b c d e f g h i j k l m n o p q", "ERROR 1:35 expected the end of the "
							   "line, found 'p'\n" },
	};

	EXPECT_ERRORS(rows);
}

Test(program_text, keys_are_those_of_files)
{
	static const struct row rows[] = {
		{ "put /a v\nput a/ v\nput a//b v\nput a/../b v\nput . v\nput \"\" v",
		  "ERROR 1:5 a key does not begin with '/'\n"
		  "ERROR 2:5 only the key of a prefix may end with '/'\n"
		  "ERROR 3:5 a component of the key is empty\n"
		  "ERROR 4:5 a component of the key is '.' or '..'\n"
		  "ERROR 5:5 a component of the key is '.' or '..'\n"
		  "ERROR 6:5 expected a key, found an empty one\n" },
		{ "get \"a\\x00b\"\nget a// --prefix\nget /a --prefix",
		  "ERROR 1:5 a key has no NUL byte\n"
		  "ERROR 2:5 only the key of a prefix may end with '/'\n"
		  "ERROR 3:5 a key does not begin with '/'\n" },
		{ "exists(/a)\nmod(a/) = 1\nmod(\"\") = 1\nmod(prefix(a//)) = 1\n\n",
		  "ERROR 1:8 a key does not begin with '/'\n"
		  "ERROR 2:5 only the key of a prefix may end with '/'\n"
		  "ERROR 3:5 expected a key, found an empty one\n"
		  "ERROR 4:12 only the key of a prefix may end with '/'\n" },
	};
	g_autofree char *name = g_strnfill(STORE_NAME_MAX + 1, 'n');
	g_autofree char *path = g_strnfill(2 * STORE_KEY_MAX + 1, 'n');
	g_autofree char *text = NULL, *found = NULL;

	EXPECT_ERRORS(rows);
	for (int i = 1; i < 2 * STORE_KEY_MAX; i += 2)
		path[i] = '/';
	text = g_strdup_printf("get %s\nget %s", name, path);
	found = read_text(text, strlen(text), -EINVAL);
	cr_expect_str_eq(found, "ERROR 1:5 a component of the key is longer than 255 bytes\n"
				"ERROR 2:5 the key is longer than 4000 bytes\n");
}

Test(program_text, quotes_say_what_is_wrong)
{
	static const struct row rows[] = {
		{ "put k \"a b\nput l v", "ERROR 1:7 expected a closing quote \" before the end of "
					  "the line\n" },
		{ "put k 'a\nmod('k) = 1",
		  "ERROR 1:7 expected a closing quote ' before the end of the line\n"
		  "ERROR 2:1 expected an operation (compares come first, before a blank line or "
		  "'then'), found 'mod('k)'\n" },
		{ "put k \"a\"b", "ERROR 1:10 expected a blank after the closing quote, found "
				  "'b'\n" },
		{ "put k \"\\q\\x1\\400\\18\\ud800\\U00110000\\'\"",
		  "ERROR 1:8 expected an escape: \\a \\b \\f \\n \\r \\t \\v \\\\ \\\" \\ooo \\xhh "
		  "\\uhhhh \\Uhhhhhhhh\n"
		  "ERROR 1:10 expected an escape: \\a \\b \\f \\n \\r \\t \\v \\\\ \\\" \\ooo \\xhh "
		  "\\uhhhh \\Uhhhhhhhh\n"
		  "ERROR 1:13 expected an escape: \\a \\b \\f \\n \\r \\t \\v \\\\ \\\" \\ooo \\xhh "
		  "\\uhhhh \\Uhhhhhhhh\n"
		  "ERROR 1:17 expected an escape: \\a \\b \\f \\n \\r \\t \\v \\\\ \\\" \\ooo \\xhh "
		  "\\uhhhh \\Uhhhhhhhh\n"
		  "ERROR 1:20 expected an escape: \\a \\b \\f \\n \\r \\t \\v \\\\ \\\" \\ooo \\xhh "
		  "\\uhhhh \\Uhhhhhhhh\n"
		  "ERROR 1:26 expected an escape: \\a \\b \\f \\n \\r \\t \\v \\\\ \\\" \\ooo \\xhh "
		  "\\uhhhh \\Uhhhhhhhh\n"
		  "ERROR 1:36 expected an escape: \\a \\b \\f \\n \\r \\t \\v \\\\ \\\" \\ooo \\xhh "
		  "\\uhhhh \\Uhhhhhhhh\n" },
		{ "put k \"a\\",
		  "ERROR 1:7 expected a closing quote \" before the end of the line\n"
		  "ERROR 1:9 expected an escape: \\a \\b \\f \\n \\r \\t \\v \\\\ "
		  "\\\" \\ooo \\xhh \\uhhhh \\Uhhhhhhhh\n" },
	};

	EXPECT_ERRORS(rows);
}

Test(program_text, bytes_that_are_no_text)
{
	static const struct row rows[] = {
		{ "put \xc3\xa9\xff v", "ERROR 1:6 expected UTF-8, found the byte \\xff; put it in "
					"quotes\n" },
		{ "p\xffut k v", "ERROR 1:2 expected UTF-8, found the byte \\xff; put it in "
				 "quotes\n" },
		{ "\xff(k) = 1", "ERROR 1:1 expected UTF-8, found the byte \\xff; put it in "
				 "quotes\n" },
		{ "mod(k) = \xed\xa0\x80\n\n",
		  "ERROR 1:10 expected UTF-8, found the byte \\xed; put "
		  "it in quotes\n" },
		/* Columns count characters. What is shown cannot speak to a terminal. */
		{ "put \xc3\xa9 \xc3\xa9 \x1b[2J",
		  "ERROR 1:9 expected the end of the line (a value with blanks is quoted), found "
		  "'\\033[2J'\n" },
	};
	static const char nul[] = "get a\nput k <<X\na\0b\nX\n";
	g_autofree char *found = read_text(nul, sizeof(nul) - 1, -EINVAL);

	EXPECT_ERRORS(rows);
	cr_expect_str_eq(found,
			 "ERROR 3:2 expected text, found a NUL byte; in quotes it is written "
			 "as \\000\n");
}

Test(program_text, sections_say_what_is_wrong)
{
	static const char ambiguous[] = "expected 'else' before this operation, or no blank line: "
					"behind one it would be an else-operation\n";
	g_autofree char *worded = g_strconcat("ERROR 5:1 ", ambiguous, NULL);
	g_autofree char *alone = g_strconcat("ERROR 3:1 ", ambiguous, NULL);
	const struct row rows[] = {
		{ "mod(k) = 1\nput k v", "ERROR 2:1 expected a compare, a blank line or 'then', "
					 "found 'put'\n" },
		{ "put k v\nmod(k) = 1",
		  "ERROR 2:1 expected an operation (compares come first, before a blank line or "
		  "'then'), found 'mod(k)'\n" },
		{ "mod(k) = 1\nthen\nput k v\n\nput l v", worded },
		{ "put k v\n\nput l v", alone },
		{ "\nput k v\n\nput k w\n\nput k x", "ERROR 6:1 expected nothing behind the blank "
						     "line that ends the else-operations, "
						     "found 'put'\n" },
		{ "if\nthen\nelse\nput k v\n\nput l w", "ERROR 6:1 expected nothing behind the "
							"blank line that ends the "
							"else-operations, found 'put'\n" },
		{ "then\nif",
		  "ERROR 2:1 expected 'if', 'then' and 'else' once each, in this order, "
		  "found 'if'\n" },
		{ "if\nif\nthen\nthen\nelse\nelse",
		  "ERROR 2:1 expected 'if', 'then' and 'else' once each, in this order, found "
		  "'if'\n"
		  "ERROR 4:1 expected 'if', 'then' and 'else' once each, in this order, found "
		  "'then'\n"
		  "ERROR 6:1 expected 'if', 'then' and 'else' once each, in this order, found "
		  "'else'\n" },
	};

	EXPECT_ERRORS(rows);
}

Test(program_text, values_in_lines_say_what_is_wrong)
{
	static const struct row rows[] = {
		{ "put k <<END\na\n END\n", "ERROR 4:1 expected a line 'END' to end the value of "
					    "line 1, found the end of the text\n" },
		{ "put k <<\na\n",
		  "ERROR 1:7 expected <<WORD, or in quotes a value that begins with "
		  "<<, found '<<'\n"
		  "ERROR 2:1 expected an operation: put, get, del, add, min, max, "
		  "append or txn {, found 'a'\n" },
		/* The lines are passed over, whatever is wrong. */
		{ "pot k <<X\nput\nX\nput /k <<X\nput\nX\nput \"\\q\" <<X\nput\nX\nget",
		  "ERROR 1:1 expected an operation: put, get, del, add, min, max, append or txn {, "
		  "found 'pot'\n"
		  "ERROR 4:5 a key does not begin with '/'\n"
		  "ERROR 7:6 expected an escape: \\a \\b \\f \\n \\r \\t \\v \\\\ \\\" \\ooo \\xhh "
		  "\\uhhhh \\Uhhhhhhhh\n"
		  "ERROR 10:4 expected a key, found the end of the line\n" },
		{ "put <<X v\n1\nX\nput k <<X <<Y\nX\n",
		  "ERROR 1:5 expected <<WORD only as a value, found '<<X'\n"
		  "ERROR 4:11 expected the end of the line (a value with blanks is quoted), found "
		  "'<<Y'\n" },
		{ "add k <<X\n1\nX\nget <<X\nX\nget d --limit <<X\nX\n",
		  "ERROR 1:7 expected <<WORD only as a value, found '<<X'\n"
		  "ERROR 4:5 expected <<WORD only as a value, found '<<X'\n"
		  "ERROR 6:15 expected --limit with a number from 0, found '<<X'\n" },
	};

	EXPECT_ERRORS(rows);
}

Test(program_text, nesting_says_what_is_wrong)
{
	static const struct row rows[] = {
		{ "txn {\nput k v\n", "ERROR 3:1 expected '}' for the 'txn {' of line 1, found the "
				      "end of the text\n" },
		{ "txn {\ntxn {\n}", "ERROR 3:2 expected '}' for the 'txn {' of line 1, found the "
				     "end of the text\n" },
		{ "put k v\n}",
		  "ERROR 2:1 expected an operation (no 'txn {' is open), found '}'\n" },
		{ "txn\n}", "ERROR 1:4 expected '{', found the end of the line\n" },
		{ "txn { put k v\n}", "ERROR 1:7 expected the end of the line, found 'put'\n" },
		{ "txn {\n} else {\n", "ERROR 2:3 expected the end of the line, found 'else'\n" },
		{ "txn {\nmod(k) = 1\n}", "ERROR 3:1 expected a blank line or 'then' behind the "
					  "compares, found '}'\n" },
		{ "mod(k) = 1\ntxn {\n}", "ERROR 2:1 expected a compare, a blank line or 'then', "
					  "found 'txn'\n" },
	};

	EXPECT_ERRORS(rows);
}

/* ---- Limits ---------------------------------------------------------------------- */

static char *nested_text(unsigned depth)
{
	GString *text = g_string_new(NULL);

	for (unsigned i = 0; i < depth; i++)
		g_string_append(text, "txn {\n");
	g_string_append(text, "put k v\n");
	for (unsigned i = 0; i < depth; i++)
		g_string_append(text, "}\n");
	return g_string_free(text, FALSE);
}

Test(program_text, nests_a_thousand_deep_and_no_deeper)
{
	g_autofree char *deep = nested_text(1000), *too_deep = nested_text(100000);
	g_autofree char *found = read_text(deep, strlen(deep), 0);
	g_autofree char *error = read_text(too_deep, strlen(too_deep), -EFBIG);

	cr_expect(strstr(found, "{ [] put \"k\" \"v\" }"));
	cr_expect_str_eq(error, "ERROR 1001:1 programs are nested more than 1000 deep\n");
}

Test(program_text, has_limits_of_bytes_and_lines)
{
	struct program_limits limits = { .max_text_bytes = 20, .max_depth = 1, .max_lines = 2 };
	static const char *const texts[] = { "get a\nget b\n#3456789", "get a\nget b\n#34567890",
					     "get a\nget b\nget c" };
	static const char *const errors[] = {
		NULL, "ERROR 1:1 the program has 21 bytes, more than 20\n",
		"ERROR 3:1 the program has more than 2 compares and operations\n"
	};

	for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
		g_autoptr(program) program = NULL;
		g_autoptr(GString) found = NULL;
		int r = program_parse(texts[i], strlen(texts[i]), &somebody, &limits, &program,
				      &found);

		cr_expect_eq(r, errors[i] ? -EFBIG : 0);
		if (errors[i])
			cr_expect_str_eq(found->str, errors[i]);
	}
}

Test(program_text, tells_of_twenty_errors_at_once)
{
	GString *text = g_string_new(NULL);
	g_autofree char *found = NULL;
	g_auto(GStrv) lines = NULL;

	for (int i = 0; i < 100; i++)
		g_string_append(text, "wrong\n");
	found = read_text(text->str, text->len, -EINVAL);
	lines = g_strsplit(found, "\n", -1);
	cr_assert_eq(g_strv_length(lines), 22);
	cr_expect(g_str_has_prefix(lines[19], "ERROR 20:1 expected an operation"));
	cr_expect_str_eq(lines[20], "ERROR 20:1 there are more errors");
	g_string_free(text, TRUE);
}
