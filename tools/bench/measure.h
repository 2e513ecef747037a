/* Clocks, samples, and what is made of them. */
#pragma once

#include "tools/bench/bench.h"

/* Nanoseconds of a clock that only goes forward, the same in every process. */
int64_t measure_now(void);

void measurement_init(struct measurement *measurement);
void measurement_done(struct measurement *measurement);

/* What the rounds of one row gave. */
struct results {
	GArray *latencies;  /* float, us, of all rounds */
	GArray *per_second; /* double, one a round */
	GArray *ratios;	    /* double, to the base of that round */
	GArray *fairness;   /* double, most / least */
	double requests;    /* < 0: not known */
	uint64_t calls;
	uint64_t bytes; /* the newest */
};

struct results *results_new(void);
void results_free(struct results *results); /* accepts NULL */

/* `base`: what the same round gave for the base, in calls per second. */
void results_add(struct results *results, const struct measurement *measurement, double base);

/* The value below which `fraction` of the latencies are; NaN when there are none. */
double results_percentile(const struct results *results, double fraction);
/* The middle one of doubles; NaN when there are none. */
double measure_median(const GArray *values);
