/* The Prometheus text format, version 0.0.4: families of samples. */
#pragma once

#include "store/store.h"

/* Begins a family: `type` is counter, gauge or histogram, `help` one line. All its samples
 * follow before the next begins. */
void exposition_family(GString *out, const char *name, const char *type, const char *help);

/* One sample of the family `name`; label NULL: none. `value` is escaped as the format has
 * it. */
void exposition_sample(GString *out, const char *name, const char *label, const char *value,
		       uint64_t number);

/* The samples of a histogram: bounds and sum are divided by `bound_unit` and `sum_unit`
 * (times: by 1e6 and 1e9). */
struct exposition_units {
	double bound_unit;
	double sum_unit;
};
extern const struct exposition_units exposition_seconds; /* filled with histogram_add_ns */
extern const struct exposition_units exposition_numbers; /* filled with histogram_add */

void exposition_histogram(GString *out, const char *name, const char *label, const char *value,
			  const struct histogram *histogram, const struct exposition_units *units);
