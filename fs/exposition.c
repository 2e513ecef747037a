/* The Prometheus text format. Numbers of samples are whole; bounds and sums of times are
 * decimal fractions, exact as far as they are measured. */
#include "fs/exposition.h"

#include <math.h>

const struct exposition_units exposition_seconds = { 1e6, 1e9 };
const struct exposition_units exposition_numbers = { 1, 1 };

void exposition_family(GString *out, const char *name, const char *type, const char *help)
{
	g_string_append_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* What the format asks for: backslash, quote and newline; and valid UTF-8. */
static void append_escaped(GString *out, const char *text)
{
	g_autofree char *valid = g_utf8_make_valid(text, -1);

	for (const char *c = valid; *c; c++) {
		if (*c == '\n')
			g_string_append(out, "\\n");
		else if (*c == '\\' || *c == '"')
			g_string_append_printf(out, "\\%c", *c);
		else
			g_string_append_c(out, *c);
	}
}

static void append_label(GString *out, const char *label, const char *value)
{
	g_string_append_printf(out, "%s=\"", label);
	append_escaped(out, value);
	g_string_append_c(out, '"');
}

void exposition_sample(GString *out, const char *name, const char *label, const char *value,
		       uint64_t number)
{
	g_string_append(out, name);
	if (label) {
		g_string_append_c(out, '{');
		append_label(out, label, value);
		g_string_append_c(out, '}');
	}
	g_string_append_printf(out, " %" G_GUINT64_FORMAT "\n", number);
}

/* Up to 15 digits, which is what a bound or a sum has; the point whatever the locale. */
static void append_number(GString *out, double number)
{
	char text[G_ASCII_DTOSTR_BUF_SIZE];

	g_string_append(out, g_ascii_formatd(text, sizeof(text), "%.15g", number));
}

static void append_bucket(GString *out, const char *name, const char *label, const char *value,
			  double bound, uint64_t count)
{
	g_string_append_printf(out, "%s_bucket{", name);
	if (label) {
		append_label(out, label, value);
		g_string_append_c(out, ',');
	}
	g_string_append(out, "le=\"");
	if (isinf(bound))
		g_string_append(out, "+Inf");
	else
		append_number(out, bound);
	g_string_append_printf(out, "\"} %" G_GUINT64_FORMAT "\n", count);
}

void exposition_histogram(GString *out, const char *name, const char *label, const char *value,
			  const struct histogram *histogram, const struct exposition_units *units)
{
	g_autofree char *sum_name = g_strconcat(name, "_sum", NULL);
	g_autofree char *count_name = g_strconcat(name, "_count", NULL);
	uint64_t count = 0;

	for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		double bound = i < HISTOGRAM_BOUNDS ?
				       (double)(UINT64_C(1) << i) / units->bound_unit :
				       INFINITY;

		count += histogram->buckets[i];
		append_bucket(out, name, label, value, bound, count);
	}
	g_string_append(out, sum_name);
	if (label) {
		g_string_append_c(out, '{');
		append_label(out, label, value);
		g_string_append_c(out, '}');
	}
	g_string_append_c(out, ' ');
	append_number(out, (double)histogram->sum / units->sum_unit);
	g_string_append_c(out, '\n');
	exposition_sample(out, count_name, label, value, count);
}
