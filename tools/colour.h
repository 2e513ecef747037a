/* When to colour what is printed. */
#pragma once

#include <stdbool.h>

/* True when `fd` is a terminal that has colours, and nobody asked for none: NO_COLOR (see
 * https://no-color.org) is empty or not set. */
bool colour_is_wanted(int fd);

/* The same for diff(1), as one of its options. */
const char *colour_diff_option(int fd);
