/* Numbers on the command line. */
#include "tools/number.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <glib.h>
#include <string.h>

#define GIB (UINT64_C(1) << 30)

static uint64_t size_of(const char *text)
{
	uint64_t size = 0;

	cr_expect_eq(number_parse_size(text, 4 * GIB, &size), 0, "%s", text);
	return size;
}

Test(number, size_takes_bytes_and_binary_suffixes)
{
	cr_expect_eq(size_of("1"), 1);
	cr_expect_eq(size_of("64k"), 64 << 10);
	cr_expect_eq(size_of("16M"), 16 << 20);
	cr_expect_eq(size_of("4G"), 4 * GIB);
}

Test(number, size_refuses_what_is_no_size)
{
	static const char *const texts[] = {
		"", "x", "1T", "1KB", "-1", "+1", " 1", "1 K", "0x10"
	};
	uint64_t size = 7;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		cr_expect_eq(number_parse_size(texts[i], GIB, &size), -EINVAL, "'%s'", texts[i]);
	cr_expect_eq(size, 7, "written on an error");
}

Test(number, size_keeps_within_its_maximum_without_overflow)
{
	uint64_t size;

	cr_expect_eq(number_parse_size("0", GIB, &size), -ERANGE);
	cr_expect_eq(number_parse_size("1073741825", GIB, &size), -ERANGE);
	cr_expect_eq(number_parse_size("2G", GIB, &size), -ERANGE);
	/* 2^34 + 1 GiB is 1 GiB modulo 2^64. */
	cr_expect_eq(number_parse_size("17179869185G", GIB, &size), -ERANGE);
	cr_expect_eq(number_parse_size("18446744073709551616", GIB, &size), -ERANGE);
}

Test(number, count_takes_no_suffix)
{
	uint64_t count;

	cr_expect_eq(number_parse_count("1000", 1000, &count), 0);
	cr_expect_eq(count, 1000);
	cr_expect_eq(number_parse_count("1K", 2000, &count), -EINVAL);
	cr_expect_eq(number_parse_count("1001", 1000, &count), -ERANGE);
}

/* Frees `text`. */
static void expect_text(char *text, const char *wanted)
{
	cr_expect_str_eq(text, wanted);
	g_free(text);
}

Test(number, sizes_are_shown_in_the_largest_binary_unit)
{
	expect_text(number_format_size(0), "0 B");
	expect_text(number_format_size(1023), "1023 B");
	expect_text(number_format_size(1024), "1 KiB");
	expect_text(number_format_size(1536), "1.5 KiB");
	expect_text(number_format_size(16 << 20), "16 MiB");
	expect_text(number_format_size(GIB + 1), "1.0 GiB");
	expect_text(number_format_size(UINT64_MAX), "16.0 EiB");
}

Test(number, durations_are_shown_in_the_largest_unit_that_divides_them)
{
	expect_text(number_format_duration(0), "0 s");
	expect_text(number_format_duration(61), "61 s");
	expect_text(number_format_duration(5400), "90 min");
	expect_text(number_format_duration(3600), "1 h");
	expect_text(number_format_duration(30 * 86400), "30 d");
}
