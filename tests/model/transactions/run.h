/* A whole run: a fresh store, processes that work on it, and what they wrote down. */
#pragma once

#include "history.h"

#include <sys/types.h>

/* How the mount is to die, again and again. Any may be NULL. */
struct run_deaths {
	unsigned cycles;
	/* Before the mount of a cycle, whose store this is. */
	void (*prepare)(unsigned cycle, const char *store, void *arg);
	/* Under the load: sees to it that `daemon` dies within `*ret_seconds`. */
	void (*bring_about)(unsigned cycle, pid_t daemon, double *ret_seconds, void *arg);
	/* Before the next mount. */
	void (*bury)(unsigned cycle, const char *store, void *arg);
	void *arg;
};

struct run_options {
	const char *command; /* commitfs */
	uint64_t seed;
	uint64_t transactions;
	unsigned processes;
	const struct run_deaths *deaths; /* NULL: it lives through the whole run */
};

/* 0 and the history, to be freed; otherwise it has said what failed. Leaves no process, no
 * mount and no file, also when a signal ends it. */
int run_workload(const struct run_options *options, struct history **ret);
