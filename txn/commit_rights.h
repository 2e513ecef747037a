/* Which operations of a commit are not held up by modes of directories. A transaction did its
 * calls one by one, each with the rights of that moment; its commit has only what came of
 * them, where a directory may be closed that was open while it was filled, or was not yet
 * open when it was emptied. */
#pragma once

#include "store/store.h"

struct commit_rights;

/* Of the entries of `writes`, a transaction's, for whom it commits. All are borrowed. */
struct commit_rights *commit_rights_new(struct overlay *writes, const GPtrArray *entries,
					const struct credentials *credentials);
void commit_rights_free(struct commit_rights *rights); /* accepts NULL */
DEFINE_AUTOPTR(commit_rights, commit_rights_free);

/* OP_AS_OWNER, OP_ALONG, OP_MOVED or 0: for the operation that removes the base of the entry, or
 * for that which makes or changes it. */
unsigned commit_rights_of_removal(const struct commit_rights *rights,
				  const struct overlay_entry *entry);
unsigned commit_rights_of_change(const struct commit_rights *rights,
				 const struct overlay_entry *entry);
