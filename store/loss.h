/* Going on without commits that a damaged write-ahead log has lost: only when asked to, never
 * with part of a commit or one behind a gap, and never without a word in the log of commits. */
#pragma once

#include "store/local.h"

struct wal_report;

/* What is known of a loss that was accepted but not yet logged. */
bool loss_is_pending(const struct local *local);

/* Notes durably that what is behind `report` is given up, and why, then cuts it off; what it
 * changes is kept in the directory `lost` of the store. -errno. */
int loss_accept(struct local *local, const struct wal_report *report, const char *why);

/* With the database open: makes sure that nothing in it is newer than its log, and logs the
 * loss as a commit that changes nothing. -EUCLEAN: something is newer; *ret_message says so. */
int loss_finish(struct local *local, char **ret_message);
