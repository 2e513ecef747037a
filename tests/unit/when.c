/* What a name in at/ says: fs/when.c. */
#include "fs/when.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <glib.h>
#include <string.h>

static int64_t time_of(const char *name)
{
	int64_t ns = -1;

	cr_expect_eq(when_parse_time(name, &ns), 0, "of '%s'", name);
	return ns;
}

/* 2001-09-09T01:46:40Z */
#define BILLION (G_GINT64_CONSTANT(1000000000) * 1000000000)

Test(when, a_revision_is_a_decimal_number_without_zeros_before_it)
{
	static const char *const others[] = { "",   "0",  "007", "+7",	"-7", " 7",
					      "7 ", "7a", "0x7", "1e3", "1.5" };
	uint64_t revision = 5;

	cr_assert_eq(when_parse_revision("7", &revision), 0);
	cr_expect_eq(revision, 7);
	cr_assert_eq(when_parse_revision("18446744073709551615", &revision), 0);
	cr_expect_eq(revision, G_MAXUINT64);
	/* More than any can be: not reached, like others. */
	cr_assert_eq(when_parse_revision("99999999999999999999999", &revision), 0);
	cr_expect_eq(revision, G_MAXUINT64);
	revision = 5;
	for (guint i = 0; i < G_N_ELEMENTS(others); i++)
		cr_expect_eq(when_parse_revision(others[i], &revision), -EINVAL, "'%s'", others[i]);
	cr_expect_eq(revision, 5, "written only on success");
}

Test(when, a_time_is_that_of_its_zone)
{
	cr_expect_eq(time_of("2001-09-09T01:46:40Z"), BILLION);
	cr_expect_eq(time_of("2001-09-09t01:46:40z"), BILLION);
	cr_expect_eq(time_of("2001-09-09T03:46:40+02:00"), BILLION);
	cr_expect_eq(time_of("2001-09-08T20:16:40-05:30"), BILLION);
	cr_expect_eq(time_of("2001-09-09T01:46:40-00:00"), BILLION);
	cr_expect_eq(time_of("1970-01-01T00:00:00Z"), 0);
	/* The first day may be the one before elsewhere. */
	cr_expect_eq(time_of("1970-01-01T00:00:00+01:00"), G_GINT64_CONSTANT(-3600000000000));
}

Test(when, a_fraction_means_all_of_its_last_digit)
{
	cr_expect_eq(time_of("2001-09-09T01:46:40.5Z"), BILLION + 599999999);
	cr_expect_eq(time_of("2001-09-09T01:46:40.000Z"), BILLION + 999999);
	cr_expect_eq(time_of("2001-09-09T01:46:40.123Z"), BILLION + 123999999);
	cr_expect_eq(time_of("2001-09-09T01:46:40.123456789Z"), BILLION + 123456789);
	/* More digits than nanoseconds have are cut off. */
	cr_expect_eq(time_of("2001-09-09T01:46:40.1234567899Z"), BILLION + 123456789);
	cr_expect_eq(time_of("2001-09-09T03:46:40.250+02:00"), BILLION + 250999999);
}

Test(when, times_end_where_nanoseconds_of_64_bits_do)
{
	int64_t ns;

	cr_expect_eq(time_of("2261-12-31T23:59:59.999999999Z"),
		     G_GINT64_CONSTANT(9214646399) * 1000000000 + 999999999);
	cr_expect_eq(when_parse_time("2262-01-01T00:00:00Z", &ns), -EINVAL);
	cr_expect_eq(when_parse_time("1969-12-31T23:59:59Z", &ns), -EINVAL);
	cr_expect_eq(when_parse_time("9999-12-31T23:59:59Z", &ns), -EINVAL);
}

Test(when, what_is_no_time_is_refused)
{
	static const char *const others[] = {
		"",
		"2001-09-09",
		"2001-09-09T01:46:40",	 /* whose? */
		"2001-09-09T01:46:40.Z", /* a fraction of what? */
		"2001-09-09T01:46:40,5Z",
		"2001-09-09T01:46:40ZZ",
		"2001-09-09T01:46:40+0200",
		"2001-09-09T01:46:40+24:00",
		"2001-09-09T01:46:40+02:60",
		"2001-09-09T01:46:40+02:00x",
		"2001-09-09T01:46:40+2:00",
		"2001-09-09 01:46:40Z",
		"2001-13-09T01:46:40Z",
		"2001-02-29T01:46:40Z",
		"2001-09-09T24:46:40Z",
		"2001-09-09T01:60:40Z",
		"2001-09-09T01:46:60Z",
		"01-09-09T01:46:40Z",
		"-001-09-09T01:46:40Z",
		" 2001-09-09T01:46:40Z",
	};
	int64_t ns = 5;

	for (guint i = 0; i < G_N_ELEMENTS(others); i++)
		cr_expect_eq(when_parse_time(others[i], &ns), -EINVAL, "'%s'", others[i]);
	cr_expect_eq(ns, 5, "written only on success");
	cr_expect_eq(time_of("2004-02-29T00:00:00Z"), G_GINT64_CONSTANT(1078012800) * 1000000000);
}

Test(when, a_name_is_one_that_can_be_mistaken_for_nothing_else)
{
	static const char *const names[] = { "a",	   "before-the-move", "A.b_c-9", "1st",
					     "2026-11-21", "v1.2.3",	      "1.2.3",	 "x1e3" };
	static const char *const others[] = { "",    ".",   ".a",  "new",      "self", "5",
					      "007", "-1",  "1.5", "1e3",      "0x10", "-inf",
					      "a b", "a/b", "a\n", "\303\244", "a:b" };
	char longest[66];

	memset(longest, 'a', sizeof(longest));
	longest[64] = '\0';
	cr_expect(when_is_name(longest));
	longest[64] = 'a';
	longest[65] = '\0';
	cr_expect_not(when_is_name(longest));
	for (guint i = 0; i < G_N_ELEMENTS(names); i++)
		cr_expect(when_is_name(names[i]), "'%s'", names[i]);
	for (guint i = 0; i < G_N_ELEMENTS(others); i++)
		cr_expect_not(when_is_name(others[i]), "'%s'", others[i]);
}

Test(when, a_name_is_neither_a_revision_nor_a_time)
{
	static const char *const words[] = { "7", "2001-09-09T01:46:40Z", "2001-09-09t01:46:40z",
					     "2001-09-09T01:46:40.5-02:00" };
	uint64_t revision;
	int64_t ns;

	for (guint i = 0; i < G_N_ELEMENTS(words); i++)
		cr_expect_eq(when_is_name(words[i]) +
				     (when_parse_revision(words[i], &revision) == 0) +
				     (when_parse_time(words[i], &ns) == 0),
			     1, "'%s'", words[i]);
}
