/* How the figures grow with clients and with keys. */
#pragma once

#include "tools/bench/bench.h"

/* Measures on stores of its own, with bench->site as it was when it returns. `run` measures
 * the rows from `first` on that have been added to bench->rows. */
int scale_run(struct bench *bench, int (*run)(struct bench *bench, guint first));
