/* Edits of values. */
#pragma once

#include "store/store.h"

/* The size of a value of `size` bytes after `edits`, and the largest on the way there.
 * -EFBIG: larger than `max_bytes` on the way. */
int edits_size(uint64_t size, const GPtrArray *edits, uint64_t max_bytes, uint64_t *ret_size,
	       uint64_t *ret_peak);
