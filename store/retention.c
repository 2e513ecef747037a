/* How much history is kept by itself: so many revisions, or all the trees there were in so
 * long a time. Neither is exact: a pass costs as much as there is, so it is worth its while
 * only when an eighth has come together. */
#include "store/compact.h"
#include "store/local.h"
#include "store/log_reader.h"

#include <errno.h>

#define SLACK_PART 8
#define SLACK_MAX_NS ((int64_t)3600 * 1000000000)
#define SLEEP_MAX_NS ((int64_t)24 * 3600 * 1000000000) /* the wall clock may be set meanwhile */

/* The first revision that is to be kept. */
static int find_first(struct local *local, uint64_t *ret)
{
	const struct store_options *options = &local->options;
	uint64_t newest = local_revision(local);
	uint64_t first = local_oldest(local);
	int r = 0;

	if (options->history_revisions && newest - first >= options->history_revisions)
		first = newest - options->history_revisions + 1;
	if (options->history_age_ns) {
		uint64_t then;

		/* The tree as it was then is still to be seen. */
		r = log_reader_find_revision(local, local_now_ns() - options->history_age_ns,
					     &then);
		if (r == 0)
			first = MAX(first, then);
	}
	*ret = first;
	return r == -ENOENT ? 0 : r;
}

int retention_move(struct local *local)
{
	uint64_t first;
	int r;

	r = find_first(local, &first);
	if (r == 0 && first > local_oldest(local))
		r = compactor_move_oldest(&local->compactor, first, false);
	return r;
}

int64_t retention_due_ns(struct local *local)
{
	int64_t age_ns = local->options.history_age_ns;
	int64_t wait_ns = age_ns;
	struct log_entry second;

	if (!age_ns)
		return INT64_MAX;
	/* The oldest is no longer needed when the one after it is that old; one that is not
	 * there yet will be in `age_ns` at the earliest. */
	if (log_reader_get_numbers(local, local_oldest(local) + 1, &second) == 0)
		wait_ns = second.time_ns + age_ns - local_now_ns();
	wait_ns = MAX(wait_ns, MIN(age_ns / SLACK_PART, SLACK_MAX_NS));
	return compactor_clock_ns() + MIN(wait_ns, SLEEP_MAX_NS);
}

uint64_t retention_outgrown(struct local *local)
{
	uint64_t revisions = local->options.history_revisions;
	uint64_t oldest = local_oldest(local);

	if (!revisions || revisions > UINT64_MAX / 4)
		return UINT64_MAX;
	return oldest + revisions + revisions / SLACK_PART;
}
