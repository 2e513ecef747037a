/* Checkpoints, see store_checkpoint(). */
#pragma once

#include "store/local.h"

int checkpoint_make(struct local *local, char **ret_path);
/* Removes those that were left in the store `path`. */
void checkpoint_remove_all(const char *path);
