#include "tools/json.h"

/* Control bytes must be escaped; DEL need not be, but must not reach a terminal. */
static void append_byte(GString *out, char c)
{
	if (c == '"' || c == '\\')
		g_string_append_printf(out, "\\%c", c);
	else if (g_ascii_iscntrl(c))
		g_string_append_printf(out, "\\u%04x", (unsigned)(guchar)c);
	else
		g_string_append_c(out, c);
}

void json_append_string(GString *out, const char *text)
{
	g_autofree char *valid = g_utf8_make_valid(text, -1);

	g_string_append_c(out, '"');
	for (const char *c = valid; *c != '\0'; c++)
		append_byte(out, *c);
	g_string_append_c(out, '"');
}
