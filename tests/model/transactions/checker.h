/* The checker: does a history of a mount have a serial order, that of its revisions?
 *
 * Every revision must be somebody's. What a transaction saw must be its snapshot, and
 * unless it was only a `snapshot` one, also the state just before its commit; and no key
 * that it wrote may have changed in between (but a `serializable` one may write blindly).
 * A live call took effect between its beginning and its end. The sums hold at each
 * revision. */
#pragma once

#include "history.h"

enum complaint {
	COMPLAINT_REVISION,    /* nobody's, two records', or out of its time */
	COMPLAINT_OUTCOME,     /* a revision without a change, or the other way round */
	COMPLAINT_OUTDATED,    /* a snapshot older than what was acknowledged before */
	COMPLAINT_SNAPSHOT,    /* what was seen is not the snapshot */
	COMPLAINT_STALE,       /* what was seen is not so just before the commit */
	COMPLAINT_LOST_UPDATE, /* a written key was changed since the snapshot */
	COMPLAINT_LIVE,	       /* a live call that no state explains */
	COMPLAINT_INVARIANT,   /* a sum does not hold */
	COMPLAINT_COUNT,
};

struct verdict {
	unsigned counts[COMPLAINT_COUNT];
	unsigned total;
	GString *report; /* the first ones, readable */
};

void verdict_init(struct verdict *verdict);
void verdict_done(struct verdict *verdict);
const char *complaint_name(enum complaint complaint);

/* Adds to the verdict. */
void check_history(const struct history *history, struct verdict *verdict);
