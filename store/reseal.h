/* After the key was changed: everything is sealed by the current data key, in the background,
 * and the old data keys are dropped. For the compacting thread.
 *
 * How far it is lies in `meta`, written with each step; a kill costs a step at most. Where
 * something is damaged that is written no more, and the next opening begins there. Old data
 * keys go when nothing in the files needs them any more: after the tables were rewritten. */
#pragma once

#include "store/layout.h"

struct local;
struct reseal;

/* NULL: there is nothing to do. -EIO. */
int reseal_new(struct local *local, struct reseal **ret);
void reseal_free(struct reseal *reseal); /* accepts NULL */

/* One step. 1: there is more. 0: all is done. -ENOSPC: to be tried again; -ECANCELED: it is to
 * stop; -EROFS, -EIO, -ENOMEM; -EBADMSG: it is at the end, but something is damaged, so that
 * the old data keys stay. */
int reseal_step(struct reseal *reseal);

void reseal_get_progress(const struct reseal *reseal, uint64_t *ret_done, uint64_t *ret_total);
