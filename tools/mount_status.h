/* The text of MNT/status: one `name value` per line. */
#pragma once

#include "tools/mounts.h"

/* Reads it, as the user who mounted it when we are root and so may not enter otherwise.
 * Never waits long: -ETIMEDOUT when the mount does not answer. -ENOTCONN: its daemon is
 * gone. Others of open(2) and read(2). */
int mount_status_read(const struct mount *mount, GString **ret);

/* The value of the line `name`, or NULL. Caller frees. */
char *mount_status_get(const char *text, const char *name);

/* The same of a number; 0 when there is none. */
uint64_t mount_status_get_number(const char *text, const char *name);
