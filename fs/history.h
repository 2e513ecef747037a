/* control/history: write a key, read the commits that changed it. control/record: write a
 * revision, a blank and a key, read what it was then. */
#pragma once

#include "fs/control.h"

action_fn act_history;
/* The oldest first: what it did to the key, then its line of the log. */
text_fn text_history;

action_fn act_record;
/* `type none` for what was not there. The revision stays while it is open, and no other is
 * asked for. */
text_fn text_record;
