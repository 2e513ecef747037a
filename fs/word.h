/* Words that are written to control files. -EINVAL: it is none. */
#pragma once

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

/* A decimal number, perhaps between blanks. */
int word_number(const char *data, size_t size, uint64_t *ret);

/* A key, escaped as keys are where they are shown; a slash at its end means nothing, and so
 * does the newline behind it. Caller frees. */
int word_key(const char *data, size_t size, char **ret);
