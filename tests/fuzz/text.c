/* Escaping: no text can end a field or a line, or reach a terminal; keys are checked
 * without reading past their end. */
#include "txn/txn.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autofree char *text = g_strndup((const char *)data, size);
	g_autofree char *parent = NULL;
	GString *out = g_string_new(NULL);

	text_append_escaped(out, text);
	g_assert(g_utf8_validate(out->str, (gssize)out->len, NULL));
	for (const char *c = out->str; *c; c = g_utf8_next_char(c)) {
		gunichar character = g_utf8_get_char(c);

		g_assert(character >= 0x20 && !(character >= 0x7f && character < 0xa0));
	}
	g_string_free(out, TRUE);
	if (key_check(text) == 0) {
		parent = key_parent(text);
		g_assert(key_check(parent) == 0 && key_is_below(text, parent));
	}
	return 0;
}
