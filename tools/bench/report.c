/* One struct line per row has all figures as numbers, NaN for those that do not exist;
 * the three formats only write them down. */
#include "tools/bench/report.h"

#include "tools/bench/measure.h"

#include <math.h>
#include <string.h>

struct line {
	const struct row *row;
	double p50, p99;
	double per_second;
	double ratio;	    /* R */
	double requests;    /* per call */
	double floor;	    /* us */
	double floor_ratio; /* p50 / floor */
	double fairness;
	double times; /* p50 / p50 of row->against */
};

enum column {
	COLUMN_NAME,
	COLUMN_CLIENTS,
	COLUMN_KEYS,
	COLUMN_P50,
	COLUMN_P99,
	COLUMN_PER_SECOND,
	COLUMN_RATIO,
	COLUMN_REQUESTS,
	COLUMN_FLOOR,
	COLUMN_FLOOR_RATIO,
	COLUMN_NOTE,
	COLUMN_COUNT,
};

static const char *const titles[COLUMN_COUNT] = {
	"row", "clients",  "keys",     "p50 us",  "p99 us", "per second",
	"R",   "requests", "floor us", "x floor", "note",
};

/* ---- The figures ---------------------------------------------------------------- */

static const struct row *find_row(const struct bench *bench, const char *name, guint clients)
{
	for (guint i = 0; i < bench->rows->len; i++) {
		const struct row *row = g_ptr_array_index(bench->rows, i);

		if (strcmp(row->name, name) == 0 && row->clients == clients)
			return row;
	}
	return NULL;
}

static double p50_of(const struct bench *bench, const char *name, guint clients)
{
	const struct row *row = find_row(bench, name, clients);

	return row ? results_percentile(row->results, .5) : NAN;
}

static struct line make_line(const struct bench *bench, const struct row *row)
{
	const struct results *results = row->results;
	struct line line = {
		.row = row,
		.p50 = results_percentile(results, .5),
		.p99 = results_percentile(results, .99),
		.per_second = measure_median(results->per_second),
		.ratio = measure_median(results->ratios),
		.requests = NAN,
		.floor = NAN,
		.fairness = row->fairness ? measure_median(results->fairness) : NAN,
		.times = NAN,
	};

	if (row->kind != ROW_STORE && row->kind != ROW_OTHER && results->requests >= 0 &&
	    results->calls > 0)
		line.requests = results->requests / (double)results->calls;
	if (row->commits >= 0)
		line.floor = row->commits * bench->base_p50 + line.requests * bench->round_trip_us;
	line.floor_ratio = line.p50 / line.floor;
	if (row->against)
		line.times = line.p50 / p50_of(bench, row->against, row->clients);
	return line;
}

/* ---- As text -------------------------------------------------------------------- */

/* With the digits that mean something. */
static char *format_number(double number)
{
	if (isnan(number))
		return g_strdup("-");
	if (number >= 100)
		return g_strdup_printf("%.0f", number);
	return g_strdup_printf(number >= 10 ? "%.1f" : "%.2f", number);
}

static char *format_note(const struct line *line)
{
	g_autofree char *times = format_number(line->times);
	g_autofree char *fairness = format_number(line->fairness);

	if (!isnan(line->times))
		return g_strdup_printf("%s x %s", times, line->row->against);
	if (!isnan(line->fairness))
		return g_strdup_printf("most/least %s", fairness);
	if (line->row->results->bytes > 0)
		return g_strdup_printf("%.1f MB",
				       (double)line->row->results->bytes / (1024 * 1024));
	return g_strdup("");
}

static char *format_count(guint count)
{
	return count > 0 ? g_strdup_printf("%u", count) : g_strdup("-");
}

static void format_line(const struct line *line, char *ret[static COLUMN_COUNT])
{
	ret[COLUMN_NAME] = g_strdup(line->row->name);
	ret[COLUMN_CLIENTS] = format_count(line->row->clients);
	ret[COLUMN_KEYS] = format_count(line->row->keys);
	ret[COLUMN_P50] = format_number(line->p50);
	ret[COLUMN_P99] = format_number(line->p99);
	ret[COLUMN_PER_SECOND] = format_number(line->per_second);
	ret[COLUMN_RATIO] = format_number(line->ratio);
	ret[COLUMN_REQUESTS] = format_number(line->requests);
	ret[COLUMN_FLOOR] = format_number(line->floor);
	ret[COLUMN_FLOOR_RATIO] = format_number(line->floor_ratio);
	ret[COLUMN_NOTE] = format_note(line);
}

static void free_cells(gpointer cells)
{
	for (int i = 0; i < COLUMN_COUNT; i++)
		g_free(((char **)cells)[i]);
	g_free(cells);
}

/* Title and lines, each an array of cells. */
static GPtrArray *make_cells(const struct bench *bench)
{
	GPtrArray *all = g_ptr_array_new_with_free_func(free_cells);
	char **cells = g_new0(char *, COLUMN_COUNT);

	for (int i = 0; i < COLUMN_COUNT; i++)
		cells[i] = g_strdup(titles[i]);
	g_ptr_array_add(all, cells);
	for (guint i = 0; i < bench->rows->len; i++) {
		struct line line = make_line(bench, g_ptr_array_index(bench->rows, i));

		cells = g_new0(char *, COLUMN_COUNT);
		format_line(&line, cells);
		g_ptr_array_add(all, cells);
	}
	return all;
}

static void measure_columns(const GPtrArray *all, int ret[static COLUMN_COUNT])
{
	memset(ret, 0, sizeof(*ret) * COLUMN_COUNT);
	for (guint i = 0; i < all->len; i++)
		for (int column = 0; column < COLUMN_COUNT; column++) {
			char **cells = g_ptr_array_index(all, i);

			ret[column] = MAX(ret[column], (int)strlen(cells[column]));
		}
}

static bool is_text(int column)
{
	return column == COLUMN_NAME || column == COLUMN_NOTE;
}

static void print_cells(char *const *cells, const int *widths, bool markdown, FILE *out)
{
	g_autoptr(GString) text = g_string_new(markdown ? "| " : "");

	for (int column = 0; column < COLUMN_COUNT; column++)
		g_string_append_printf(text, "%s%*s",
				       column == 0 ? "" :
				       markdown	   ? " | " :
						     "  ",
				       is_text(column) ? -widths[column] : widths[column],
				       cells[column]);
	fprintf(out, "%s%s\n", markdown ? text->str : g_strchomp(text->str), markdown ? " |" : "");
}

static void print_rule(const int *widths, FILE *out)
{
	for (int column = 0; column < COLUMN_COUNT; column++) {
		g_autofree char *dashes = g_strnfill((gsize)widths[column] + 1, '-');

		fprintf(out, "|%s%c", dashes, is_text(column) ? '-' : ':');
	}
	fputs("|\n", out);
}

static void print_table(const struct bench *bench, bool markdown, FILE *out)
{
	g_autoptr(GPtrArray) all = make_cells(bench);
	int widths[COLUMN_COUNT];

	measure_columns(all, widths);
	for (guint i = 0; i < all->len; i++) {
		print_cells(g_ptr_array_index(all, i), widths, markdown, out);
		if (i == 0 && markdown)
			print_rule(widths, out);
	}
}

/* ---- As JSON -------------------------------------------------------------------- */

static void print_member(const char *name, double number, FILE *out)
{
	if (isfinite(number))
		fprintf(out, ", \"%s\": %.6g", name, number);
	else
		fprintf(out, ", \"%s\": null", name);
}

/* Names are words of our own: nothing in them needs escaping. */
static void print_object(const struct line *line, FILE *out)
{
	const struct row *row = line->row;

	fprintf(out, "{\"name\": \"%s\", \"clients\": %u", row->name, row->clients);
	print_member("p50_us", line->p50, out);
	print_member("p99_us", line->p99, out);
	print_member("per_second", line->per_second, out);
	print_member("ratio", line->ratio, out);
	print_member("requests", line->requests, out);
	if (row->keys > 0)
		fprintf(out, ", \"keys\": %u", row->keys);
	if (row->commits >= 0) {
		print_member("floor_us", line->floor, out);
		print_member("floor_ratio", line->floor_ratio, out);
	}
	if (row->fairness)
		print_member("fairness", line->fairness, out);
	if (row->against) {
		fprintf(out, ", \"against\": \"%s\"", row->against);
		print_member("times", line->times, out);
	}
	if (row->results->bytes > 0)
		fprintf(out, ", \"bytes\": %" G_GUINT64_FORMAT, row->results->bytes);
	fputc('}', out);
}

static void print_json(const struct bench *bench, FILE *out)
{
	fputs("[\n", out);
	for (guint i = 0; i < bench->rows->len; i++) {
		struct line line = make_line(bench, g_ptr_array_index(bench->rows, i));

		fputs("  ", out);
		print_object(&line, out);
		fputs(i + 1 < bench->rows->len ? ",\n" : "\n", out);
	}
	fputs("]\n", out);
}

void report_print(const struct bench *bench, enum report_format format, FILE *out)
{
	if (format == REPORT_JSON)
		print_json(bench, out);
	else
		print_table(bench, format == REPORT_MARKDOWN, out);
}
