/* control/history: write a key, read the commits that changed it. */
#pragma once

#include "fs/control.h"

action_fn act_history;
/* The oldest first: what it did to the key, then its line of the log. */
text_fn text_history;
