/* control/compact and control/purge: taking history away. */
#pragma once

#include "fs/control.h"

action_fn act_compact, act_purge;
/* How far it is. poll(2) wakes when it went on. */
text_fn text_compaction;
