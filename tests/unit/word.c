/* Words that people write where texts are read: txn/word.c. */
#include "txn/txn.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static int number(const char *text, uint64_t *ret)
{
	return text_parse_number(text, strlen(text), ret);
}

Test(word, a_number_is_decimal_digits_perhaps_between_blanks)
{
	static const char *const others[] = { "",   " ",   "x",	  "-1",	  "+1",
					      "1x", "1 2", "1.5", "0x10", "18446744073709551616" };
	uint64_t got = 77;

	cr_assert_eq(number("0", &got), 0);
	cr_expect_eq(got, 0);
	cr_assert_eq(number(" \t1000\n", &got), 0);
	cr_expect_eq(got, 1000);
	cr_assert_eq(number("18446744073709551615", &got), 0);
	cr_expect_eq(got, G_MAXUINT64);
	got = 77;
	for (guint i = 0; i < G_N_ELEMENTS(others); i++)
		cr_expect_eq(number(others[i], &got), -EINVAL, "'%s'", others[i]);
	cr_expect_eq(got, 77, "written only on success");
}

Test(word, a_number_ends_where_its_size_says)
{
	uint64_t got;

	cr_assert_eq(text_parse_number("12345", 3, &got), 0);
	cr_expect_eq(got, 123);
	cr_expect_eq(text_parse_number("12\0"
				       "3",
				       4, &got),
		     0, "a NUL ends it");
	cr_expect_eq(got, 12);
}

static void expect_unescaped(const char *text, const char *wanted)
{
	g_autoptr(GString) out = g_string_new("before ");

	cr_assert_eq(text_unescape(text, strlen(text), out), 0, "'%s'", text);
	cr_expect_str_eq(out->str + strlen("before "), wanted);
}

Test(word, escapes_are_those_of_c)
{
	expect_unescaped("", "");
	expect_unescaped("plain / text", "plain / text");
	expect_unescaped("\\a\\b\\t\\n\\v\\f\\r\\\\", "\a\b\t\n\v\f\r\\");
	expect_unescaped("\\001\\177\\377x", "\001\177\377x");
	expect_unescaped("\\0018", "\0018");
	expect_unescaped("\303\244", "\303\244");
}

static int unescape(const char *data, size_t size)
{
	g_autoptr(GString) out = g_string_new(NULL);

	return text_unescape(data, size, out);
}

Test(word, what_is_no_escape_is_refused)
{
	static const char *const texts[] = { "\\",    "x\\",  "\\x41", "\\8",	"\\18",
					     "\\1",   "\\12", "\\128", "\\400", "\\777",
					     "\\000", "\\ ",  "\\\n" };

	for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
		cr_expect_eq(unescape(texts[i], strlen(texts[i])), -EINVAL, "'%s'", texts[i]);
	cr_expect_eq(unescape("a\0b", 3), -EINVAL, "a NUL");
	/* Digits behind the end are none of it. */
	cr_expect_eq(unescape("\\0017", 3), -EINVAL);
	cr_expect_eq(unescape("\\n", 1), -EINVAL);
}

Test(word, what_was_escaped_is_found_again)
{
	g_autoptr(GString) text = g_string_new(NULL);

	for (int c = 1; c < 256; c++)
		g_string_append_c(text, (char)c);
	g_string_append(text, "\303\244 \342\200\256 \360\237\230\200 \302\233");
	for (gsize from = 0; from < text->len; from++) {
		g_autoptr(GString) escaped = g_string_new(NULL);
		g_autoptr(GString) again = g_string_new(NULL);

		text_append_escaped(escaped, text->str + from);
		for (const char *c = escaped->str; *c; c++)
			cr_assert((unsigned char)*c >= ' ' && *c != 0x7f);
		cr_assert_eq(text_unescape(escaped->str, escaped->len, again), 0);
		cr_assert_str_eq(again->str, text->str + from);
	}
}

static void expect_key(const char *text, const char *wanted)
{
	g_autofree char *key = NULL;
	int r = text_parse_key(text, strlen(text), &key);

	if (wanted)
		cr_expect(r == 0 && strcmp(key, wanted) == 0, "'%s' gave %d, '%s'", text, r, key);
	else
		cr_expect(r == -EINVAL && !key, "'%s' gave %d, '%s'", text, r, key);
}

Test(word, a_key_may_end_with_a_slash_and_then_a_newline)
{
	expect_key("app/port", "app/port");
	expect_key("app/port\n", "app/port");
	expect_key("app/", "app");
	expect_key("app/\n", "app");
	expect_key("", "");
	expect_key("\n", "");
	expect_key("/", "");
	expect_key("a\\n", "a\n");
	expect_key("a b\t", "a b\t");
	expect_key("a\\\\b\\t", "a\\b\t");
}

Test(word, what_is_no_key_is_refused)
{
	g_autofree char *longest = g_strnfill(256, 'a');

	expect_key("/app", NULL);
	expect_key("app//port", NULL);
	expect_key("app//", NULL);
	expect_key("../app", NULL);
	expect_key("app/./port", NULL);
	expect_key("app\\q", NULL);
	expect_key(longest, NULL);
	expect_key(longest + 1, longest + 1);
}
