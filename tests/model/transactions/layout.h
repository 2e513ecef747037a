/* What is in the store, known to those who change it and to those who check it. All
 * directories are there from the beginning, and so are bank, list, skew, count, mix, own.
 *
 *   bank/aNN        accounts `BALANCE TAG`; the sum never changes
 *   list/lN         lists of tags, to be appended to
 *   skew/pN.x, .y   `0 TAG` or `1 TAG`; of a pair at least one is 1
 *   crowd/N/eNN     at most CROWD_MOST in a directory
 *   claim/cN.x, .y  of a pair at most one is there
 *   count/cN        `NUMBER TAG`, grows by one
 *   box/N/tNN       BOX_TOKENS in each, renamed to and fro
 *   tree/dN/...     directories that come, go and move
 *   mix/fN          anything; never removed, since live writers write them too
 *   own/P.N         written live, by process P alone */
#pragma once

enum {
	ACCOUNTS = 12,
	BALANCE = 100,
	LISTS = 6,
	PAIRS = 6,
	CROWDS = 3,
	CROWD_NAMES = 10,
	CROWD_MOST = 5,
	CLAIMS = 6,
	COUNTERS = 6,
	BOXES = 3,
	BOX_NAMES = 12,
	BOX_TOKENS = 5,
	TREES = 6,
	MIXED = 8,
	OWN = 2,
};
