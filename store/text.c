/* Text for people and scripts: one TAB between fields, one line per thing. Whatever users
 * named or wrote is escaped, so that no text can forge a line or speak to a terminal. */
#include "store/store.h"

#include <string.h>

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

void text_append_escaped(GString *out, const char *text)
{
	while (*text) {
		gunichar c = g_utf8_get_char_validated(text, -1);
		size_t length;

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
	g_autoptr(GDateTime)
		time = g_date_time_new_from_unix_utc(time_ns / G_GINT64_CONSTANT(1000000000));
	int64_t ms = time_ns / 1000000 % 1000;

	if (!time) {
		g_string_append_c(out, '-');
		return;
	}
	g_string_append_printf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
			       g_date_time_get_year(time), g_date_time_get_month(time),
			       g_date_time_get_day_of_month(time), g_date_time_get_hour(time),
			       g_date_time_get_minute(time), g_date_time_get_second(time),
			       (int)(ms < 0 ? ms + 1000 : ms));
}
