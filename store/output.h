/* What operations tell of a program that wants to know. */
#pragma once

#include "store/store.h"

/* An array of struct output, which frees what they hold. */
GArray *outputs_new(void);

/* Adds `key` as `record`, found on `overlay`, to `output`, without its value when `bare`. The
 * record may be the program's own change, whose revision is not known yet. *left is what may
 * still be taken; -EDQUOT: it is not enough, and nothing is added. */
int output_add(struct output *output, struct overlay *overlay, const char *key,
	       struct record *record, bool bare, uint64_t *left);

/* The program's own changes have this revision. */
void outputs_finish(GArray *outputs, uint64_t revision);
