/* A reply of `eval` that begins with FAILURE, for people: which compares did not hold, what
 * was found instead, who made it so, and why. */
#pragma once

#include "tools/mounts.h"

/* Prints it on standard error. What is no such reply is left alone. */
void eval_advice_print(const struct mount *mount, const char *reply);
