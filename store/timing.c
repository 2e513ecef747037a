/* Times of commits. A program waits in the queue, its group is evaluated, written and
 * synced, and all are told; what one program waited for another of its group is part of
 * the group's steps. */
#include "store/timing.h"

#include <time.h>

int64_t timing_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void timing_note_group(struct store_metrics *metrics, const struct timing *timing)
{
	histogram_add_ns(&metrics->steps[STORE_STEP_EVALUATE],
			 timing->evaluated_ns - timing->taken_ns);
	if (timing->commits == 0)
		return;
	histogram_add_ns(&metrics->steps[STORE_STEP_WRITE],
			 timing->written_ns - timing->evaluated_ns);
	histogram_add(&metrics->group_sizes, timing->commits);
}

void timing_note_program(struct store_metrics *metrics, const struct timing *timing,
			 int64_t submitted_ns)
{
	histogram_add_ns(&metrics->steps[STORE_STEP_WAIT], timing->taken_ns - submitted_ns);
	histogram_add_ns(&metrics->commit_times, timing_now_ns() - submitted_ns);
}

void timing_note_told(struct store_metrics *metrics, const struct timing *timing)
{
	histogram_add_ns(&metrics->steps[STORE_STEP_TELL], timing_now_ns() - timing->written_ns);
}

/* Directories that were only touched are not what somebody changed. */
static guint count_keys(const struct log_entry *commit)
{
	guint keys = 0;

	for (guint i = 0; i < commit->changes->len; i++) {
		const struct change *change = g_ptr_array_index(commit->changes, i);

		keys += change->kind != CHANGE_TOUCH;
	}
	return keys;
}

static double ms(int64_t ns)
{
	return (double)ns / 1e6;
}

void timing_log_slow(const struct timing *timing, int64_t submitted_ns,
		     const struct log_entry *commit, uint64_t slow_ms)
{
	int64_t now_ns = timing_now_ns();
	g_autofree char *command = NULL;

	if ((uint64_t)(now_ns - submitted_ns) / 1000000 < slow_ms)
		return;
	command = g_strescape(commit->command, NULL); /* a process calls itself what it likes */
	g_message("slow commit: revision %" G_GUINT64_FORMAT ", %u keys, group of %u: "
		  "waited %.1f ms, evaluated %.1f ms, written %.1f ms, told %.1f ms; "
		  "by %u/%s/%s",
		  commit->revision, count_keys(commit), timing->commits,
		  ms(timing->taken_ns - submitted_ns), ms(timing->evaluated_ns - timing->taken_ns),
		  ms(timing->written_ns - timing->evaluated_ns), ms(now_ns - timing->written_ns),
		  commit->uid, *command ? command : "-", *commit->id ? commit->id : "-");
}
