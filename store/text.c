/* Text for people and scripts: one TAB between fields, one line per thing. Whatever users
 * named or wrote is escaped, so that no text can forge a line or speak to a terminal. */
#include "store/store.h"

#include <string.h>
#include <time.h>

static bool is_bidirectional_control(gunichar c)
{
	return c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069);
}

static void append_octal(GString *out, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		g_string_append_printf(out, "\\%03o", (unsigned char)text[i]);
}

static void append_control(GString *out, const char *text)
{
	switch (*text) {
	case '\t':
		g_string_append(out, "\\t");
		break;
	case '\n':
		g_string_append(out, "\\n");
		break;
	case '\r':
		g_string_append(out, "\\r");
		break;
	default:
		append_octal(out, text, 1);
	}
}

/* How many bytes of ASCII that need no escape there are next: most often all of them. */
static size_t plain_length(const char *text)
{
	size_t length = 0;

	while (text[length] >= ' ' && text[length] < 0x7f && text[length] != '\\')
		length++;
	return length;
}

void text_append_escaped(GString *out, const char *text)
{
	for (;;) {
		size_t length = plain_length(text);
		gunichar c;

		g_string_append_len(out, text, (gssize)length);
		text += length;
		if (!*text)
			break;
		c = g_utf8_get_char_validated(text, -1);
		if (c == (gunichar)-1 || c == (gunichar)-2) {
			append_octal(out, text++, 1);
			continue;
		}
		length = (size_t)(g_utf8_next_char(text) - text);
		if (c == '\\')
			g_string_append(out, "\\\\");
		else if (c < 0x20 || c == 0x7f)
			append_control(out, text);
		else if ((c >= 0x80 && c < 0xa0) || is_bidirectional_control(c))
			append_octal(out, text, length);
		else
			g_string_append_len(out, text, (gssize)length);
		text += length;
	}
}

void text_append_time(GString *out, int64_t time_ns)
{
	const int64_t second_ns = 1000000000;
	int64_t rest_ns = (time_ns % second_ns + second_ns) % second_ns;
	time_t seconds = (time_t)((time_ns - rest_ns) / second_ns);
	char text[64];
	struct tm time;

	/* Not GDateTime, which takes several times as long: every commit makes a time. */
	if (!gmtime_r(&seconds, &time) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &time))
		g_string_append_c(out, '-');
	else
		g_string_append_printf(out, "%s.%03dZ", text, (int)(rest_ns / 1000000));
}
