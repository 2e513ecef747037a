/* Random file operations of several processes on a mount, on the live tree and in views of
 * transactions, beside a model in memory: every result, errno, content and attribute is
 * compared, the exact sets `reads`, `writes` and `conflicts`, and the outcome of every
 * commit. For 20 seconds, or with COMMITFS_FULL for a million calls; each round has a mount
 * and a seed of its own. `files SEED STEPS` is one round. */
#include "files/world.h"

#include <errno.h>
#include <stdlib.h>

/* One thread, which makes the thread sanitizer's run a short one. */
#ifdef __SANITIZE_THREAD__
enum { SECONDS = 3 };
#else
enum { SECONDS = 20 };
#endif
enum { ROUND_STEPS = 10000, CALLS = 1000000, USAGE = 64 };

static bool number(const char *text, uint64_t *ret)
{
	return g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT64, ret, NULL);
}

static bool run_rounds(uint64_t seed)
{
	gint64 end = g_get_monotonic_time() + SECONDS * G_USEC_PER_SEC;
	bool full = g_getenv("COMMITFS_FULL") != NULL;

	for (uint64_t round = 0;; round++) {
		if (!world_run(seed * 1000 + round, ROUND_STEPS))
			return false;
		if (full ? world_calls() >= CALLS : g_get_monotonic_time() >= end)
			return true;
	}
}

int main(int argc, char **argv)
{
	uint64_t seed = 1, steps = 0;
	bool equal;

	if (argc > 3 || (argc > 1 && !number(argv[1], &seed)) ||
	    (argc > 2 && !number(argv[2], &steps))) {
		fprintf(stderr, "usage: files [SEED [STEPS]]\n");
		return USAGE;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("seed %" G_GUINT64_FORMAT "\n", seed);
	equal = steps > 0 ? world_run(seed, steps) : run_rounds(seed);
	world_tell_counts();
	printf("%s\n", equal ? "0 differences" : "a difference");
	return equal ? 0 : 1;
}
