/* MNT/status: the store, the limits and what is in use, one `name value` a line. */
#pragma once

#include "fs/control.h"

text_fn text_status;
