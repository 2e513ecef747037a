/* Who keeps a mount from being unmounted. */
#pragma once

#include "tools/mounts.h"

/* What holds `mount`, for people: processes that have a file of it open, work in it, have
 * their root in it, run or map a file of it, or what is mounted below it; NULL: nothing that
 * this user may see. Asks nothing of the mount. */
char *holders_describe(const struct mount *mount);
