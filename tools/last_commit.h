/* Who changed a key last, and why: what MNT/meta tells of it. */
#pragma once

#include "tools/mounts.h"

/* "changed at revision 7 by alice, vim[123], at TIME: why", as far as it is known. Caller
 * frees. NULL: there is no such key now, or it may not be looked at. */
char *last_commit_describe(const struct mount *mount, const char *key);
