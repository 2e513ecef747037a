/* mount.commitfs: what mount(8) runs for `mount -t commitfs STORE MNT` and for fstab. */
#pragma once

#include <stdbool.h>

/* True when the program was called by that name: `program` is argv[0]. */
bool mount_helper_is(const char *program);

/* Does it. Returns the exit code in the numbers of mount(8). */
int mount_helper(int argc, char **argv);
