/* commitfs bench: the plan of a run, and its rounds. What is measured is in rows_*.c. */
#include "tools/bench/bench.h"

#include "tools/bench/clients.h"
#include "tools/bench/measure.h"
#include "tools/bench/peers.h"
#include "tools/bench/plot.h"
#include "tools/bench/report.h"
#include "tools/bench/rows.h"
#include "tools/bench/scale.h"
#include "tools/bench/server.h"
#include "tools/bench/site.h"
#include "tools/command.h"
#include "tools/mounts.h"

#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_ROUNDS 5
#define DEFAULT_SECONDS 1.0
#define QUICK_ROUNDS 1
#define QUICK_SECONDS 0.1
#define MAX_ROUNDS 1000
#define MAX_SECONDS 3600

/* ---- Telling -------------------------------------------------------------------- */

static bool progress_shown;

void bench_progress(const char *format, ...)
{
	va_list args;

	if (!isatty(STDERR_FILENO))
		return;
	if (progress_shown)
		fputs("\r\033[K", stderr);
	progress_shown = format != NULL;
	if (format) {
		va_start(args, format);
		vfprintf(stderr, format, args);
		va_end(args);
	}
	fflush(stderr);
}

int bench_fail(int error, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	bench_progress(NULL);
	command_fail(EXIT_STORE, "%s", text);
	return error;
}

static volatile sig_atomic_t signal_received;

static void note_signal(int number)
{
	signal_received = number;
}

bool bench_interrupted(void)
{
	return signal_received != 0;
}

static void catch_signals(void)
{
	/* Without SA_RESTART: what waits is to be woken. */
	const struct sigaction action = { .sa_handler = note_signal };
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction before;

	for (guint i = 0; i < G_N_ELEMENTS(numbers); i++)
		/* nohup(1) and a shell's & have some ignored. */
		if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* ---- Which rows ----------------------------------------------------------------- */

/* What all ratios are to. */
static bool is_base(const struct row *row)
{
	return strcmp(row->name, ROW_BASE) == 0 && row->clients == 1;
}

bool bench_wants(const struct bench *bench, const char *name)
{
	g_auto(GStrv) names = NULL;

	if (!bench->options.only)
		return true;
	names = g_strsplit(bench->options.only, ",", -1);
	return g_strv_contains((const char *const *)names, name);
}

static bool is_round_trip(const struct row *row)
{
	return strcmp(row->name, ROW_ROUND_TRIP) == 0 && row->clients == 1;
}

static bool is_wanted(const struct bench *bench, const struct row *row)
{
	return is_base(row) || is_round_trip(row) || bench_wants(bench, row->name);
}

static void free_row(gpointer data)
{
	struct row *row = data;

	results_free(row->results);
	g_free(row);
}

static void add_rows(struct bench *bench, const struct row *rows, guint count)
{
	for (guint i = 0; i < count; i++) {
		const char *missing = rows[i].missing ? rows[i].missing(bench) : NULL;
		struct row *row;

		if (!is_wanted(bench, &rows[i]))
			continue;
		if (missing && i > 0 && strcmp(rows[i].name, rows[i - 1].name) == 0)
			continue;
		if (missing) {
			bench_progress(NULL);
			fprintf(stderr, "commitfs: left out: %s: %s\n", rows[i].name, missing);
			continue;
		}
		row = g_memdup2(&rows[i], sizeof(rows[i]));
		row->results = results_new();
		if (bench->options.quick && row->quick_keys > 0)
			row->keys = row->quick_keys;
		g_ptr_array_add(bench->rows, row);
	}
}

static const struct {
	const struct row *rows;
	const guint *count;
	bool peers;
} tables[] = {
	{ store_rows, &store_rows_count, false },   { mount_rows, &mount_rows_count, false },
	{ stream_rows, &stream_rows_count, false }, { shell_rows, &shell_rows_count, false },
	{ tree_rows, &tree_rows_count, false },	    { crash_rows, &crash_rows_count, false },
	{ disk_rows, &disk_rows_count, true },	    { sqlite_rows, &sqlite_rows_count, true },
	{ lmdb_rows, &lmdb_rows_count, true },	    { redis_rows, &redis_rows_count, true },
	{ etcd_rows, &etcd_rows_count, true },
};

static bool is_row(const char *name, bool peers)
{
	if (strcmp(name, ROW_MEMORY) == 0)
		return true;
	for (guint i = 0; i < G_N_ELEMENTS(tables); i++)
		for (guint j = 0; j < *tables[i].count && (peers || !tables[i].peers); j++)
			if (strcmp(tables[i].rows[j].name, name) == 0)
				return true;
	return false;
}

/* ---- Rounds --------------------------------------------------------------------- */

static int measure_row(struct bench *bench, struct row *row)
{
	bool base = is_base(row);
	struct measurement measurement;
	int r;

	measurement_init(&measurement);
	r = row->measure ? row->measure(bench, row, &measurement) :
			   clients_measure(bench, row, &measurement);
	if (r == 0 && base)
		bench->round_base = (double)measurement.calls / measurement.seconds;
	if (r == 0)
		results_add(row->results, &measurement, bench->round_base);
	if (base)
		bench->base_p50 = results_percentile(row->results, .5);
	if (is_round_trip(row))
		bench->round_trip_us = results_percentile(row->results, .5);
	measurement_done(&measurement);
	return r;
}

static int run_round(struct bench *bench, int round, guint first)
{
	for (guint i = 0; i < bench->rows->len; i++) {
		struct row *row = g_ptr_array_index(bench->rows, i);
		int r;

		if (i < first && !is_base(row))
			continue;
		bench_progress("round %d of %d: %s, %u client%s", round + 1, bench->options.rounds,
			       row->name, row->clients, row->clients == 1 ? "" : "s");
		r = measure_row(bench, row);
		if (r == 0 && bench_interrupted())
			r = -EINTR;
		if (r < 0)
			return r;
	}
	return 0;
}

static int prepare_rows(struct bench *bench, guint first)
{
	for (guint i = first; i < bench->rows->len; i++) {
		struct row *row = g_ptr_array_index(bench->rows, i);
		int r;

		if (!row->prepare)
			continue;
		bench_progress("preparing %s", row->name);
		r = row->prepare(bench, row);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The rows from `first` on, and the base beside them. */
static int run_rows(struct bench *bench, guint first)
{
	int r = prepare_rows(bench, first);

	for (int round = 0; round < bench->options.rounds && r == 0; round++)
		r = run_round(bench, round, first);
	return r;
}

/* ---- Around them ---------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(path);
}

/* Never goes into what is mounted below. */
static void remove_tree(const char *path)
{
	nftw(path, remove_entry, 64, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static int run_site(struct bench *bench)
{
	int r = site_prepare(&bench->site);

	if (r < 0)
		return r;
	for (guint i = 0; i < G_N_ELEMENTS(tables); i++)
		if (bench->options.peers || !tables[i].peers)
			add_rows(bench, tables[i].rows, *tables[i].count);
	r = run_rows(bench, 0);
	servers_stop(bench);
	return r == 0 && bench->options.scale ? scale_run(bench, run_rows) : r;
}

static enum report_format report_format(const struct bench_options *options)
{
	if (options->json)
		return REPORT_JSON;
	return options->markdown ? REPORT_MARKDOWN : REPORT_TABLE;
}

/* The exit code of a run. */
static int end(struct bench *bench, int r)
{
	bench_progress(NULL);
	if (r == 0)
		report_print(bench, report_format(&bench->options), stdout);
	if (bench_interrupted())
		return 128 + signal_received;
	if (r < 0)
		return EXIT_STORE;
	return bench->options.plot ? plot_write(bench, bench->options.plot) : 0;
}

/* On the disk of the store, which is beside it; where that cannot be, says so. */
static int make_scratch(struct bench *bench, const char *store)
{
	g_autofree char *beside = g_path_get_dirname(store);
	const char *parent = bench->options.scratch;

	if (!parent && g_path_is_absolute(store) && access(beside, W_OK) == 0)
		parent = beside;
	if (!parent) {
		parent = g_get_tmp_dir();
		fprintf(stderr,
			"commitfs: measuring the base in '%s', which may be another disk than "
			"the store's; to choose: --scratch=DIR\n",
			parent);
	}
	bench->scratch = g_build_filename(parent, "commitfs-bench-XXXXXX", NULL);
	if (g_mkdtemp(bench->scratch))
		return 0;
	g_clear_pointer(&bench->scratch, g_free);
	return bench_fail(-errno, "cannot make a directory in '%s': %s", parent, g_strerror(errno));
}

static int run_on_mount(struct bench *bench, const char *path)
{
	g_autoptr(mount) mount = mounts_find_commitfs(path, "measure");
	int r, cleared;

	if (!mount)
		return EXIT_NO_MOUNT;
	r = make_scratch(bench, mount->source);
	if (r < 0)
		return EXIT_STORE;
	site_init_mounted(&bench->site, mount->point);
	r = run_site(bench);
	bench_progress("removing keys/%s", bench->site.name);
	cleared = site_clear(&bench->site);
	remove_tree(bench->scratch);
	return end(bench, r < 0 ? r : cleared);
}

/* `made`: whether the directory was missing. */
static int check_directory(const char *path, bool *ret_made)
{
	GDir *directory;
	bool empty;

	*ret_made = mkdir(path, 0700) == 0;
	if (*ret_made)
		return 0;
	directory = g_dir_open(path, 0, NULL);
	if (!directory)
		return command_fail(EXIT_STORE, "cannot measure in '%s': %s", path,
				    g_strerror(errno));
	empty = g_dir_read_name(directory) == NULL;
	g_dir_close(directory);
	return empty ? 0 :
		       command_fail(EXIT_USAGE,
				    "cannot measure in '%s': it is not empty; give a directory "
				    "that is missing or empty",
				    path);
}

static int run_on_own(struct bench *bench)
{
	int r = site_create(&bench->site);

	if (r == 0)
		r = site_mount(&bench->site);
	if (r == 0)
		r = run_site(bench);
	bench_progress("unmounting");
	site_unmount(&bench->site);
	return r;
}

static int run_on_store(struct bench *bench, const char *path)
{
	char *absolute;
	bool made;
	int r = check_directory(path, &made);

	if (r != 0)
		return r;
	absolute = realpath(path, NULL);
	bench->scratch = g_build_filename(absolute, "commitfs-bench-XXXXXX", NULL);
	if (!g_mkdtemp(bench->scratch)) {
		r = command_fail(EXIT_STORE, "cannot make a directory in '%s': %s", path,
				 g_strerror(errno));
	} else {
		site_init_own(&bench->site, bench->scratch, "store");
		r = end(bench, run_on_own(bench));
		remove_tree(bench->scratch);
	}
	if (made)
		rmdir(absolute);
	free(absolute);
	return r;
}

/* ---- Words ---------------------------------------------------------------------- */

static int check_names(const struct bench_options *options)
{
	g_auto(GStrv) names = g_strsplit(options->only, ",", -1);

	for (guint i = 0; names[i]; i++)
		if (!is_row(names[i], options->peers))
			return command_fail(EXIT_USAGE,
					    "cannot measure '%s': there is no such row%s; "
					    "see: commitfs bench --help",
					    names[i],
					    is_row(names[i], true) ? " without --peers" : "");
	return 0;
}

static int complete_options(struct bench_options *options)
{
	if (options->rounds == 0)
		options->rounds = options->quick ? QUICK_ROUNDS : DEFAULT_ROUNDS;
	if (options->seconds == 0)
		options->seconds = options->quick ? QUICK_SECONDS : DEFAULT_SECONDS;
	if (options->rounds < 0 || options->rounds > MAX_ROUNDS)
		return command_fail(EXIT_USAGE, "cannot run %d rounds: expected 1 to %d",
				    options->rounds, MAX_ROUNDS);
	if (!(options->seconds > 0 && options->seconds <= MAX_SECONDS))
		return command_fail(EXIT_USAGE,
				    "cannot measure for %g seconds: expected more than 0, up to %d",
				    options->seconds, MAX_SECONDS);
	if (options->json && options->markdown)
		return command_fail(EXIT_USAGE, "cannot print JSON and markdown at once");
	return options->only ? check_names(options) : 0;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct bench bench = { 0 };
	struct bench_options *options = &bench.options;
	const GOptionEntry entries[] = {
		{ "store", 0, 0, G_OPTION_ARG_NONE, &options->store,
		  "Measure a store of its own, made in the directory", NULL },
		{ "rounds", 0, 0, G_OPTION_ARG_INT, &options->rounds,
		  "How often each row is measured (default 5)", "N" },
		{ "seconds", 0, 0, G_OPTION_ARG_DOUBLE, &options->seconds,
		  "How long each time (default 1)", "S" },
		{ "only", 0, 0, G_OPTION_ARG_STRING, &options->only, "These rows only",
		  "NAME,..." },
		{ "quick", 0, 0, G_OPTION_ARG_NONE, &options->quick,
		  "One short round: to see that it works, not how fast", NULL },
		{ "peers", 0, 0, G_OPTION_ARG_NONE, &options->peers,
		  "Also what else is installed: SQLite, LMDB, redis, etcd, plain files", NULL },
		{ "scale", 0, 0, G_OPTION_ARG_NONE, &options->scale,
		  "Also with 1e3 to 1e6 keys and 1 to 64 clients, and the memory needed", NULL },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &options->json, "Print an array of rows", NULL },
		{ "markdown", 0, 0, G_OPTION_ARG_NONE, &options->markdown,
		  "Print a table in markdown", NULL },
		{ "plot", 0, 0, G_OPTION_ARG_FILENAME, &options->plot,
		  "Draw latency and throughput into DIR, as SVG; with --scale", "DIR" },
		{ "scratch", 0, 0, G_OPTION_ARG_FILENAME, &options->scratch,
		  "Where to measure the base (default: beside the store)", "DIR" },
		G_OPTION_ENTRY_NULL,
	};
	g_auto(GStrv) arguments = NULL;
	int exit_code;

	if (command_parse(command, entries, NULL, 1, argc, argv, &arguments, &exit_code)) {
		exit_code = complete_options(options);
		if (exit_code == 0 && options->plot)
			exit_code = plot_check(options->plot);
		bench.rows = g_ptr_array_new_with_free_func(free_row);
		bench.servers = g_ptr_array_new();
		catch_signals();
		if (exit_code == 0)
			exit_code = options->store ? run_on_store(&bench, arguments[0]) :
						     run_on_mount(&bench, arguments[0]);
		g_ptr_array_unref(bench.rows);
		g_ptr_array_unref(bench.servers);
	}
	site_done(&bench.site);
	g_free(bench.scratch);
	g_free(options->only);
	g_free(options->plot);
	g_free(options->scratch);
	return exit_code;
}

const struct command bench_command = {
	.name = "bench",
	.arguments = "[options] MNT | --store DIR",
	.summary = "Measure the speed of a mount, against that of the disk",
	.description =
		"Measures the store mounted on MNT, in a directory of its own below keys/ which\n"
		"it removes in the end; with --store a fresh store in DIR, which must be empty or\n"
		"missing and is left so. Every row is measured in each of several rounds, beside\n"
		"the base: durable puts of one key into RocksDB, on the same disk. R is calls per\n"
		"second as a multiple of the base's; the floor, what a call would take if it cost\n"
		"nothing but its commits and its requests.\n"
		"\n"
		"Example:\n"
		"  commitfs bench --only=transfer,read /mnt\n"
		"  commitfs bench --json --store /srv/bench",
	.run = run,
};
