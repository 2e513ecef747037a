/* What operations tell of a program that wants to know. */
#pragma once

#include "store/store.h"

/* An array of struct output, which frees what they hold. */
GArray *outputs_new(void);

/* What outputs of a program may still take. */
struct output_room {
	const struct program *program;
	uint64_t left_bytes;	/* of its limit */
	uint64_t charged_bytes; /* of those, already charged for and not taken */
};

/* Adds `key` as `record`, found on `overlay`, to `output`, without its value when `bare`. The
 * record may be the program's own change, whose revision is not known yet. -EDQUOT: there
 * is not enough room, and nothing is added. */
int output_add(struct output *output, struct overlay *overlay, const char *key,
	       struct record *record, bool bare, struct output_room *room);

/* The program's own changes have this revision. */
void outputs_finish(GArray *outputs, uint64_t revision);
