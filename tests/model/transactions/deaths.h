/* What became of the calls that a dying mount left without an answer: its log tells, and what
 * was answered well must be in it. */
#pragma once

#include "history.h"

/* Gives such records the outcome they had, or takes them away when the call was not made.
 * Says what is wrong with the log. 0 or a negative errno; -EUCLEAN: it has a gap. */
int deaths_resolve(struct history *history, const char *point);
