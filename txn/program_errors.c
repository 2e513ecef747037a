/* Errors in program texts, in the form of the reply: one line each, in the order of the
 * text, and no more than a person would read. */
#include "txn/program.h"

#include <string.h>

static void error_clear(gpointer data)
{
	struct program_error *error = data;

	g_free(error->text);
}

void program_errors_init(struct program_errors *errors)
{
	errors->list = g_array_new(FALSE, FALSE, sizeof(struct program_error));
	g_array_set_clear_func(errors->list, error_clear);
	errors->full = false;
}

void program_errors_done(struct program_errors *errors)
{
	g_clear_pointer(&errors->list, g_array_unref);
}

void program_errors_add(struct program_errors *errors, unsigned line, unsigned column,
			const char *format, ...)
{
	struct program_error error = { line, column, NULL };
	va_list arguments;

	if (errors->list->len == PROGRAM_ERRORS_MAX) {
		errors->full = true;
		return;
	}
	va_start(arguments, format);
	error.text = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	g_array_append_val(errors->list, error);
}

static gint error_order(gconstpointer left, gconstpointer right)
{
	const struct program_error *a = left, *b = right;

	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return a->column < b->column ? -1 : a->column > b->column;
}

GString *program_errors_text(struct program_errors *errors)
{
	GString *text = g_string_new(NULL);
	const struct program_error *last = NULL;

	g_array_sort(errors->list, error_order);
	for (guint i = 0; i < errors->list->len; i++) {
		last = &g_array_index(errors->list, struct program_error, i);
		g_string_append_printf(text, "ERROR %u:%u %s\n", last->line, last->column,
				       last->text);
	}
	if (errors->full && last)
		g_string_append_printf(text, "ERROR %u:%u there are more errors\n", last->line,
				       last->column);
	return text;
}

size_t text_shorten(const char *bytes, size_t size, size_t limit)
{
	size_t length = MIN(size, limit);

	while (length < size && length > 0 && ((unsigned char)bytes[length] & 0xc0) == 0x80)
		length--;
	return length;
}

void text_append_shortened(GString *out, const char *bytes, size_t size, size_t limit, char quote)
{
	size_t length = text_shorten(bytes, size, limit);
	const char *end = bytes + length;
	size_t part;

	for (; bytes < end; bytes += part) {
		for (part = 0; bytes + part < end && bytes[part] && bytes[part] != quote;)
			part++;
		if (part > 0) {
			g_autofree char *text = g_strndup(bytes, part);

			text_append_escaped(out, text);
			continue;
		}
		part = 1;
		if (*bytes == '\0')
			g_string_append(out, "\\000");
		else
			g_string_append_printf(out, "\\%c", quote);
	}
	if (length < size)
		g_string_append(out, "...");
}
