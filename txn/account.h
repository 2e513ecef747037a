/* What each user has of the mount, over all transactions and sessions, so that none can
 * take all of it. The innermost lock: taken with any other held. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct accounts;

/* What an item of a read set takes beside its key, and a scratch file beside its entry in an
 * overlay, as was measured with a million of each. It counts, or short keys would take many
 * times what their user may have. */
enum { ACCOUNT_READ_BYTES = 128, ACCOUNT_SCRATCH_BYTES = 320 };

struct account_limits {
	uint64_t max_bytes;
	uint64_t max_reads;
	uint64_t max_transactions;
};

/* Amounts of one user, or changes of them. */
struct account {
	int64_t bytes;
	int64_t reads;
	int64_t transactions;
};

struct accounts *accounts_new(const struct account_limits *limits);
void accounts_free(struct accounts *accounts); /* accepts NULL */

/* Adds `change`, whose parts may be negative. -EDQUOT: a part that grows would exceed its
 * limit; then nothing is added. */
int accounts_charge(struct accounts *accounts, uid_t uid, const struct account *change);

/* Adds `change` whatever it exceeds: for what has happened already. */
void accounts_adjust(struct accounts *accounts, uid_t uid, const struct account *change);

/* What the user has now; zeros for one that has nothing. */
struct account accounts_get(struct accounts *accounts, uid_t uid);

/* What all users have together. */
struct account accounts_total(struct accounts *accounts);
