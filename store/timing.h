/* How long the steps of a commit take: histograms for store_get_metrics, and a line in the
 * log for each commit that was slow. */
#pragma once

#include "store/store.h"

/* One group on its way: monotonic times, each set when the step before has ended. */
struct timing {
	int64_t taken_ns;     /* from the queue */
	int64_t evaluated_ns; /* 0: not yet */
	int64_t written_ns;   /* durable; the same as evaluated when nothing was written */
	guint commits;	      /* 0: nothing was written, or it failed */
};

int64_t timing_now_ns(void);

/* The group was evaluated, and written if it had to be. */
void timing_note_group(struct store_metrics *metrics, const struct timing *timing);
/* A program submitted at `submitted_ns` is about to be answered. */
void timing_note_program(struct store_metrics *metrics, const struct timing *timing,
			 int64_t submitted_ns);
/* All of the group are answered. */
void timing_note_told(struct store_metrics *metrics, const struct timing *timing);

/* Logs `commit` (answered just now) when it took longer than `slow_ms`. */
void timing_log_slow(const struct timing *timing, int64_t submitted_ns,
		     const struct log_entry *commit, uint64_t slow_ms);
