/* The words that are written into control files and looked up in at/: what is accepted means
 * the same when it is written the way we write it, and nothing is read past its end. */
#include "fs/watch.h"
#include "fs/when.h"
#include "txn/transaction.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_number(const char *data, size_t size)
{
	g_autofree char *word = NULL;
	uint64_t number, again;

	if (text_parse_number(data, size, &number) < 0)
		return;
	word = g_strdup_printf("%" G_GUINT64_FORMAT, number);
	g_assert(text_parse_number(word, strlen(word), &again) == 0 && again == number);
}

static void check_key(const char *data, size_t size)
{
	g_autoptr(GString) escaped = g_string_new(NULL);
	g_autofree char *key = NULL, *again = NULL;

	if (text_parse_key(data, size, &key) < 0)
		return;
	g_assert(key_check(key) == 0);
	text_append_escaped(escaped, key);
	g_assert(text_parse_key(escaped->str, escaped->len, &again) == 0);
	g_assert_cmpstr(key, ==, again);
}

/* What is shown of any text can be read back, byte for byte. */
static void check_escape(const char *text)
{
	g_autoptr(GString) escaped = g_string_new(NULL), back = g_string_new(NULL);

	text_append_escaped(escaped, text);
	g_assert(text_unescape(escaped->str, escaped->len, back) == 0);
	g_assert_cmpstr(text, ==, back->str);
}

static void check_watch(const char *data, size_t size)
{
	g_autoptr(GString) request = g_string_new(NULL);
	g_autofree char *prefix = NULL, *again = NULL;
	uint64_t from, from_again;

	if (watch_parse(data, size, &prefix, &from) < 0)
		return;
	g_assert(key_check(prefix) == 0);
	/* A revision makes the last word of a prefix what it is: one is always told. */
	text_append_escaped(request, prefix);
	g_string_append_printf(request, " %" G_GUINT64_FORMAT, from ? from : 1);
	/* Blanks at the end of a key, which are not escaped, belong to it only in a view. */
	if (g_str_has_suffix(prefix, " "))
		return;
	g_assert(watch_parse(request->str, request->len, &again, &from_again) == 0);
	g_assert_cmpstr(prefix, ==, again);
	g_assert(from_again == (from ? from : 1));
}

static void check_revision(const char *name)
{
	uint64_t revision;
	int64_t time_ns;

	if (when_parse_revision(name, &revision) < 0)
		return;
	g_assert(revision > 0 && when_parse_time(name, &time_ns) == -EINVAL && !when_is_name(name));
}

/* A time is told in milliseconds, and means the last nanosecond of that. */
static void check_time(const char *name)
{
	g_autoptr(GString) told = g_string_new(NULL);
	int64_t time_ns, again;

	if (when_parse_time(name, &time_ns) < 0)
		return;
	g_assert(!when_is_name(name));
	if (time_ns < 0)
		return;
	text_append_time(told, time_ns);
	g_assert(when_parse_time(told->str, &again) == 0);
	g_assert(again >= time_ns && again / 1000000 == time_ns / 1000000);
}

static void check_isolation(const char *word)
{
	enum isolation level;

	if (isolation_parse(word, &level) == 0)
		g_assert_cmpstr(word, ==, isolation_name(level));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = (const char *)data;
	g_autofree char *text = g_strndup(bytes, size);

	check_number(bytes, size);
	check_key(bytes, size);
	check_escape(text);
	check_watch(bytes, size);
	check_revision(text);
	check_time(text);
	check_isolation(text);
	if (when_is_name(text))
		g_assert(!strchr(text, '/') && text[0] != '.' && strlen(text) <= 64);
	return 0;
}
