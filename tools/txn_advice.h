/* What people are told of a transaction that could not be committed: which keys, by whom and
 * why they were changed, and what can be done now. On standard error. */
#pragma once

#include "tools/author.h"
#include "tools/txn_directory.h"

/* One line of `conflicts`. Texts are escaped, as they stand there; a "-" is not known. */
struct txn_conflict {
	char **fields;
	const char *kind, *seen, *found, *key;
	struct author author;
};

/* All of `conflicts`, in key order: of struct txn_conflict *. A negative errno of reading. */
int txn_conflicts_read(const struct txn_directory *txn, GPtrArray **ret);

/* "seen at revision 5, found 7, by alice, vim[123], at TIME: why". Caller frees. */
char *txn_conflict_describe(const struct txn_conflict *conflict);

/* The line in `commit` without the advice at its end, which is for those who began the
 * transaction themselves. Caller frees. */
char *txn_advice_read_conflict(const struct txn_directory *txn);

/* Prints what conflicts besides the first, which that line tells; some of it, if it is much. */
void txn_advice_print_others(const struct txn_directory *txn);

/* Says that the transaction is kept, and how to look at it, commit or drop it. Nothing where
 * it is over. */
void txn_advice_print_kept(const struct mount *mount, const struct txn_directory *txn);
