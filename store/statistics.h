/* What RocksDB tells of itself. */
#pragma once

#include "store/layout.h"

/* Takes note of what the calling thread has read since it called this last. */
void statistics_gather(void);

/* As store_visit_statistics. */
void statistics_visit(const struct layout *layout, store_statistic_fn *visit, void *arg);
