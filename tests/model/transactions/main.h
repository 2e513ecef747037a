/* What the two programs of the transaction checker share. */
#pragma once

#include <stdbool.h>

struct history;

/* Prints how many records there are of each outcome, then what is wrong with them. 1:
 * something is. */
int transactions_judge(const struct history *history);

int transactions_main(int argc, char **argv, bool self_test);
