/* Programs submitted to a store that is open in this process. */
#pragma once

#include "store/store.h"

/* Runs `program` (taken over) and waits for it. *ret_succeeded: all compares held; nothing
 * was done when they did not, which is no error. Otherwise as store_submit() has it. */
int submit_and_wait(struct store *store, struct program *program, bool *ret_succeeded);

/* An empty one on behalf of this process. */
struct program *submit_new_program(void);
