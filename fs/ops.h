/* The kernel's requests, handed to whoever they concern. */
#pragma once

#include "fs/mount.h"

extern const struct fuse_lowlevel_ops fs_operations;
