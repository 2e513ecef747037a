/* control/backup: a checkpoint of the store for whoever has it open, to be copied from. It
 * is there from the write of `begin` until that descriptor is closed, however it is. */
#pragma once

#include "fs/control.h"

action_fn act_backup;
/* Where it is. */
text_fn text_backup;

/* Removes that of a handle which is no more. */
void backup_release(struct handle *handle);
