/* control/compact and control/purge: taking history away. */
#pragma once

#include "fs/control.h"

/* From now on it is `fs` that is told how far it is; NULL: nobody, and no call is under way
 * when this returns. */
void forget_listen(struct fs *fs);

/* A compaction or a purge that was asked for through a handle. */
struct forgetting;
void forgetting_unref(struct forgetting *forgetting); /* accepts NULL */

action_fn act_compact, act_purge;
/* How far it is: what was asked for through this handle; otherwise what the store does.
 * poll(2) wakes when it went on. */
text_fn text_compaction;
