/* Lines of a file: whatever their bytes and lengths, where they begin, and the bound. */
#include "tools/lines.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>

static struct lines lines;

static void open_lines(const char *bytes, size_t size, size_t max_line)
{
	g_autofree char *name = NULL;
	int fd = g_file_open_tmp("lines.XXXXXX", &name, NULL);

	cr_assert_geq(fd, 0);
	cr_assert_eq(unlink(name), 0);
	cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
	lines_init(&lines, fd, max_line);
}

static void teardown(void)
{
	close(lines.fd);
	lines_done(&lines);
}

TestSuite(lines, .fini = teardown);

static void expect_line(const char *text, size_t size)
{
	const char *line;
	size_t found;

	cr_assert_eq(lines_read(&lines, &line, &found), 1);
	cr_assert_eq(found, size);
	cr_expect_eq(memcmp(line, text, size), 0);
}

static void expect_result(int wanted)
{
	const char *line;
	size_t size;

	cr_expect_eq(lines_read(&lines, &line, &size), wanted);
}

Test(lines, any_bytes_are_lines_and_the_last_needs_no_newline)
{
	open_lines("one\n\nt\0o\nend", 12, 100);
	expect_line("one\n", 4);
	expect_line("\n", 1);
	cr_expect_eq(lines_tell(&lines), 5);
	cr_expect_not(lines_at_end(&lines));
	expect_line("t\0o\n", 4);
	expect_line("end", 3);
	cr_expect(lines_at_end(&lines));
	expect_result(0);
	lines_seek(&lines, 5);
	expect_line("t\0o\n", 4);
}

Test(lines, an_empty_file_has_none)
{
	open_lines("", 0, 100);
	cr_expect(lines_at_end(&lines));
	expect_result(0);
}

Test(lines, they_are_whole_wherever_blocks_end)
{
	g_autoptr(GString) text = g_string_new("");
	gsize at = 0;

	for (int i = 0; i < 3000; i++) {
		g_string_append_printf(text, "%d:", i);
		for (int j = 0; j < i * 37 % 1000; j++)
			g_string_append_c(text, (char)('a' + j % 26));
		g_string_append_c(text, '\n');
	}
	open_lines(text->str, text->len, 2000);
	while (at < text->len) {
		gsize size = (gsize)(strchr(text->str + at, '\n') - (text->str + at)) + 1;

		cr_assert_eq(lines_tell(&lines), (off_t)at);
		expect_line(text->str + at, size);
		at += size;
	}
	expect_result(0);
}

Test(lines, a_line_is_as_long_as_it_may_be_and_no_longer)
{
	g_autofree char *text = g_strnfill(300001, 'x');

	text[199999] = '\n';
	open_lines(text, 300001, 200000);
	expect_line(text, 200000);
	expect_line(text + 200000, 100001);
	teardown();
	open_lines(text, 300001, 199999);
	expect_result(-EMSGSIZE);
}

/* /dev/zero does not end. */
Test(lines, an_endless_line_takes_no_more_memory_than_the_longest)
{
	lines_init(&lines, open("/dev/zero", O_RDONLY), 1 << 20);
	expect_result(-EMSGSIZE);
	cr_expect_eq(lines.room, 1 << 20);
}
