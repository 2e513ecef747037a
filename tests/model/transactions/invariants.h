/* What holds at every revision of the store that layout.h describes. */
#pragma once

#include "tree.h"

/* Appends a sentence for each sum that does not hold at `revision`, of those that a change
 * of `written` (struct tree_node) can have touched. */
void invariants_check(struct tree *tree, const GPtrArray *written, uint64_t revision, GString *out);

/* The number a value begins with; 0 for what is no number. */
long value_number(const char *value);
