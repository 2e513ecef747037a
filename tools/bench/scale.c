/* A store of its own for each number of keys, loaded in process and then mounted; the rows
 * are those of rows_*.c with other numbers. The memory of the daemon is looked at when the
 * rows have run: what it needs at work, not what it needs to be there. */
#include "tools/bench/scale.h"

#include "tools/bench/measure.h"
#include "tools/bench/rows.h"
#include "tools/bench/site.h"

#include <stdio.h>
#include <string.h>

#define VALUE_SIZE 100

static const guint all_keys[] = { 1000, 10000, 100000, 1000000 };
static const guint all_clients[] = { 1, 2, 4, 8, 16, 32, 64 };
/* Of these, where the mount has them. */
static const char *const grown_by_keys[] = { "transfer", "program", "durable-write", "read" };
static const char *const grown_by_clients[] = { "transfer", "program" };

/* A quick run shows that it works. */
static guint steps(const struct bench *bench, guint all)
{
	return bench->options.quick ? 2 : all;
}

static const struct row *template_of(const char *name)
{
	for (guint i = 0; i < mount_rows_count; i++)
		if (strcmp(mount_rows[i].name, name) == 0)
			return &mount_rows[i];
	for (guint i = 0; i < stream_rows_count; i++)
		if (strcmp(stream_rows[i].name, name) == 0)
			return &stream_rows[i];
	g_assert_not_reached();
}

static void add_row(struct bench *bench, const char *name, guint clients, guint keys)
{
	const struct row *template = template_of(name);
	struct row *row;

	if (!bench_wants(bench, name) || (template->missing && template->missing(bench)))
		return;
	row = g_memdup2(template, sizeof(*template));
	row->clients = clients;
	row->keys = keys;
	row->commits = clients == 1 ? template->commits : -1;
	row->results = results_new();
	g_ptr_array_add(bench->rows, row);
}

/* ---- Memory --------------------------------------------------------------------- */

static uint64_t resident_bytes(pid_t pid)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/status", pid);
	g_autofree char *text = NULL;
	const char *line;

	if (!g_file_get_contents(path, &text, NULL, NULL))
		return 0;
	line = strstr(text, "\nVmRSS:");
	return line ? g_ascii_strtoull(line + strlen("\nVmRSS:"), NULL, 10) * 1024 : 0;
}

static void add_memory(struct bench *bench, guint keys)
{
	struct row *row;

	if (!bench_wants(bench, ROW_MEMORY))
		return;
	row = g_new0(struct row, 1);
	row->name = ROW_MEMORY;
	row->keys = keys;
	row->kind = ROW_OTHER;
	row->commits = -1;
	row->results = results_new();
	row->results->bytes = resident_bytes(bench->site.daemon);
	g_ptr_array_add(bench->rows, row);
}

/* ---- The stores ----------------------------------------------------------------- */

static void add_rows(struct bench *bench, guint keys)
{
	for (guint i = 0; i < G_N_ELEMENTS(grown_by_keys); i++)
		add_row(bench, grown_by_keys[i], 1, keys);
	if (keys == all_keys[0])
		for (guint i = 0; i < G_N_ELEMENTS(grown_by_clients); i++)
			/* One client was the last loop's. */
			for (guint j = 1; j < steps(bench, G_N_ELEMENTS(all_clients)); j++)
				add_row(bench, grown_by_clients[i], all_clients[j], keys);
	else
		add_row(bench, "transfer", 16, keys);
}

static int run_mounted(struct bench *bench, guint keys,
		       int (*run)(struct bench *bench, guint first))
{
	guint first = bench->rows->len;
	int r = site_mount(&bench->site);

	if (r < 0)
		return r;
	if (keys > 0) {
		add_rows(bench, keys);
		r = run(bench, first);
	}
	if (r == 0)
		add_memory(bench, keys);
	site_unmount(&bench->site);
	return r;
}

static int run_with_keys(struct bench *bench, guint keys,
			 int (*run)(struct bench *bench, guint first))
{
	g_autofree char *name = g_strdup_printf("scale-%u", keys);
	struct site outer = bench->site;
	int r;

	bench_progress("loading %u keys", keys);
	site_init_own(&bench->site, bench->scratch, name);
	r = site_create(&bench->site);
	if (r == 0 && keys > 0)
		r = site_load(&bench->site, keys, VALUE_SIZE, false);
	if (r == 0)
		r = run_mounted(bench, keys, run);
	site_done(&bench->site);
	bench->site = outer;
	return r;
}

int scale_run(struct bench *bench, int (*run)(struct bench *bench, guint first))
{
	int r = run_with_keys(bench, 0, run);

	for (guint i = 0; i < steps(bench, G_N_ELEMENTS(all_keys)) && r == 0; i++)
		r = run_with_keys(bench, all_keys[i], run);
	return r;
}
