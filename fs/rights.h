/* Permissions where the kernel cannot check them: what it has not looked up, and what holds
 * now for what is shown as it was. */
#pragma once

#include "fs/mount.h"

enum { RIGHT_SEARCH = 1, RIGHT_WRITE = 2, RIGHT_READ = 4 };

/* Whether the mode of `record` gives the caller the rights `wanted`. Root has all. */
bool rights_allow(fuse_req_t req, const struct record *record, unsigned wanted);

/* Whether the caller may know what has gone meanwhile: the owner of the mount, and root. */
bool rights_of_owner(fuse_req_t req);

/* True when both give the same rights to everyone. */
bool rights_equal(const struct record *a, const struct record *b);
