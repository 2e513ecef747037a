/* A whole run: a fresh store, processes that work on it, and what they wrote down. */
#pragma once

#include "history.h"

struct run_options {
	const char *command; /* commitfs */
	uint64_t seed;
	uint64_t transactions;
	unsigned processes;
};

/* 0 and the history, to be freed; otherwise it has said what failed. Leaves no process, no
 * mount and no file, also when a signal ends it. */
int run_workload(const struct run_options *options, struct history **ret);
