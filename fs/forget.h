/* control/compact and control/purge: taking history away. */
#pragma once

#include "fs/control.h"

/* From now on it is `fs` that is told how far it is; NULL: nobody, and no call is under way
 * when this returns. */
void forget_listen(struct fs *fs);

action_fn act_compact, act_purge;
/* How far it is. poll(2) wakes when it went on. */
text_fn text_compaction;
