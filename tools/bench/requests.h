/* How many requests the kernel sent to a mount, as the mount counts them itself. */
#pragma once

#include "tools/bench/bench.h"

struct requests {
	double before; /* < 0: this mount does not tell */
	double own;    /* what one look costs */
};

void requests_begin(struct requests *requests, const struct site *site);

/* Since requests_begin(), without what looking cost, and without those that nobody waits
 * for: RELEASE, FORGET and INTERRUPT. < 0: not known. */
double requests_end(const struct requests *requests, const struct site *site);
