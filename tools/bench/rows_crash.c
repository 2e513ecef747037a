/* How long a mount takes whose daemon was killed with all of its write-ahead log to be
 * replayed. The store is one of its own, killed anew in each round. */
#include "tools/bench/measure.h"
#include "tools/bench/rows.h"
#include "tools/bench/site.h"


/* Some 250 bytes of log each: more than the 24 MiB after which the store writes tables. */
#define KEYS 150000
#define KEYS_QUICK 2000
#define VALUE_SIZE 100

static int prepare(struct bench *bench, const struct row *row)
{
	struct site site;
	int r;

	(void)row;
	site_init_own(&site, bench->scratch, "crash");
	r = site_create(&site);
	site_done(&site);
	return r;
}

static int measure(struct bench *bench, const struct row *row, struct measurement *ret)
{
	struct site site;
	int64_t begin;
	float latency;
	int r;

	site_init_own(&site, bench->scratch, "crash");
	r = site_load(&site, row->keys, VALUE_SIZE, true);
	begin = measure_now();
	if (r == 0)
		r = site_mount(&site);
	if (r == 0) {
		latency = (float)(measure_now() - begin) / 1000;
		g_array_append_val(ret->latencies, latency);
		r = site_unmount(&site);
	}
	site_done(&site);
	return r;
}

const struct row crash_rows[] = {
	{ .name = "crash-open",
	  .clients = 1,
	  .keys = KEYS,
	  .quick_keys = KEYS_QUICK,
	  .kind = ROW_OTHER,
	  .commits = -1,
	  .prepare = prepare,
	  .measure = measure },
};
const guint crash_rows_count = G_N_ELEMENTS(crash_rows);
