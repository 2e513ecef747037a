/* gnuplot draws; here are its words. A line of a picture is all rows of one name, by their
 * clients or by their keys, where there are at least two. */
#include "tools/bench/plot.h"

#include "tools/bench/measure.h"
#include "tools/command.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct picture {
	const char *file;
	const char *title;
	const char *x_label;
	const char *y_label;
	bool by_keys; /* otherwise by clients */
	bool latency; /* otherwise calls per second */
};

static const struct picture pictures[] = {
	{ "clients-latency.svg", "Latency (p50) against clients", "clients", "microseconds", false,
	  true },
	{ "clients-throughput.svg", "Throughput against clients", "clients", "calls per second",
	  false, false },
	{ "keys-latency.svg", "Latency (p50) against keys, 1 client", "keys in the store",
	  "microseconds", true, true },
	{ "keys-throughput.svg", "Throughput against keys, 1 client", "keys in the store",
	  "calls per second", true, false },
};

int plot_check(const char *directory)
{
	g_autofree char *gnuplot = g_find_program_in_path("gnuplot");

	if (!gnuplot)
		return command_fail(EXIT_NO_MOUNT,
				    "cannot draw: gnuplot is not installed; on Debian: apt-get "
				    "install gnuplot-nox");
	if (mkdir(directory, 0755) < 0 && errno != EEXIST)
		return command_fail(EXIT_STORE, "cannot make directory '%s': %s", directory,
				    g_strerror(errno));
	return 0;
}

/* ---- What to draw --------------------------------------------------------------- */

static double x_of(const struct picture *picture, const struct row *row)
{
	return picture->by_keys ? row->keys : row->clients;
}

/* Rows of a picture: those that differ in nothing but what it shows. */
static bool belongs(const struct picture *picture, const struct row *row)
{
	if (picture->by_keys)
		return row->clients == 1 && row->keys > 0 && row->kind == ROW_MOUNT &&
		       !row->program;
	return row->clients > 0 && !row->fairness && (row->keys == 0 || row->keys == 1000);
}

static gint compare_points(gconstpointer left, gconstpointer right)
{
	const double *a = left, *b = right;

	return (a[0] > b[0]) - (a[0] < b[0]);
}

/* The points of all rows called `name`, x and y each, by x; of two at one place the last,
 * which is the one that was grown. */
static GArray *points_of(const struct bench *bench, const struct picture *picture, const char *name)
{
	GArray *points = g_array_new(FALSE, FALSE, 2 * sizeof(double));

	for (guint i = bench->rows->len; i-- > 0;) {
		const struct row *row = g_ptr_array_index(bench->rows, i);
		double point[2];
		bool known = false;

		if (strcmp(row->name, name) != 0 || !belongs(picture, row))
			continue;
		point[0] = x_of(picture, row);
		point[1] = picture->latency ? results_percentile(row->results, .5) :
					      measure_median(row->results->per_second);
		for (guint j = 0; j < points->len; j++)
			known = known || ((double *)(void *)points->data)[2 * j] == point[0];
		if (!known && isfinite(point[1]))
			g_array_append_val(points, point);
	}
	g_array_sort(points, compare_points);
	return points;
}

/* Adds the lines of a picture: data blocks to `blocks`, how to draw them to `plots`. */
static void add_lines(const struct bench *bench, const struct picture *picture, GString *blocks,
		      GString *plots)
{
	g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

	for (guint i = 0; i < bench->rows->len; i++) {
		const struct row *row = g_ptr_array_index(bench->rows, i);
		g_autoptr(GArray) points = NULL;
		const double *numbers;

		if (!g_hash_table_add(seen, (gpointer)row->name))
			continue;
		points = points_of(bench, picture, row->name);
		if (points->len < 2)
			continue;
		numbers = (const double *)(const void *)points->data;
		g_string_append_printf(blocks, "$line%u << END\n", i);
		for (guint j = 0; j < points->len; j++)
			g_string_append_printf(blocks, "%.0f %.3f\n", numbers[2 * j],
					       numbers[2 * j + 1]);
		g_string_append(blocks, "END\n");
		g_string_append_printf(plots, "%s$line%u with linespoints title '%s'",
				       plots->len > 0 ? ", " : "plot ", i, row->name);
	}
}

/* The words for one picture; NULL when there is nothing to be seen in it. */
static char *draw(const struct bench *bench, const struct picture *picture)
{
	g_autoptr(GString) blocks = g_string_new(NULL);
	g_autoptr(GString) plots = g_string_new(NULL);

	add_lines(bench, picture, blocks, plots);
	if (plots->len == 0)
		return NULL;
	return g_strdup_printf("reset\n"
			       "set terminal svg size 800,500 background '#ffffff'\n"
			       "set output '%s'\n"
			       "set title '%s'\nset xlabel '%s'\nset ylabel '%s'\n"
			       "set logscale x\nset logscale y\nset grid\nset key outside right\n"
			       "%s%s\nset output\n",
			       picture->file, picture->title, picture->x_label, picture->y_label,
			       blocks->str, plots->str);
}

/* ---- gnuplot -------------------------------------------------------------------- */

/* In `directory`, so that its name needs no quoting. */
static int run_gnuplot(const char *directory, const char *words)
{
	g_autofree char *script = g_build_filename(directory, ".plot", NULL);
	g_autofree char *errors = NULL;
	char *argv[] = { "gnuplot", ".plot", NULL };
	g_autoptr(GError) error = NULL;
	int status = 0;

	if (!g_file_set_contents(script, words, -1, &error))
		return command_fail(EXIT_STORE, "cannot draw in '%s': %s", directory,
				    error->message);
	g_spawn_sync(directory, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, NULL,
		     NULL, NULL, &errors, &status, &error);
	unlink(script);
	if (error)
		return command_fail(EXIT_NO_MOUNT, "cannot run gnuplot: %s", error->message);
	if (status != 0)
		return command_fail(EXIT_STORE, "cannot draw in '%s': gnuplot said: %s", directory,
				    g_strchomp(errors));
	return 0;
}

int plot_write(const struct bench *bench, const char *directory)
{
	g_autoptr(GString) words = g_string_new(NULL);

	for (guint i = 0; i < G_N_ELEMENTS(pictures); i++) {
		g_autofree char *picture = draw(bench, &pictures[i]);

		if (picture)
			g_string_append(words, picture);
		else
			fprintf(stderr, "commitfs: left out: %s: too few rows; see --scale\n",
				pictures[i].file);
	}
	return words->len > 0 ? run_gnuplot(directory, words->str) : 0;
}
