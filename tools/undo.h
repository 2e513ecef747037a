/* What restore and revert share: they work in a transaction, so that permissions, validation
 * and the log hold for them as for everybody, and begin again when it conflicts. */
#pragma once

#include "tools/mounts.h"
#include "tools/txn_directory.h"

/* Makes the changes in the transaction's view. 0; a negative errno, and *ret_path (caller
 * frees) where; or a positive exit code, when it has said itself why it was not done. */
typedef int undo_fn(const struct txn_directory *txn, void *arg, char **ret_path);

/* Runs change() in a transaction and commits it with `message`, again after a conflict.
 * Prints what was done or why not, as failing to `action`; gives the exit code. */
int undo_in_transaction(const struct mount *mount, const char *action, const char *message,
			undo_fn *change, void *arg);
