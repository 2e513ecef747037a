/* The self-test of the checker: a good history, spoilt. */
#pragma once

#include "history.h"

/* Puts one anomaly of each sort into copies of `history` and has them checked. 0: each was
 * found, and under the name it should have; otherwise says which was not. */
int anomalies_test(struct history *history);
