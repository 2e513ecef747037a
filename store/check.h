/* Checking a store that nobody has open: whether all that it keeps agrees.
 *
 * A header of its own beside store.h: nothing here is done to an open store, nor by those
 * who only use one. */
#pragma once

#include "store/store.h"

/* Something that is not as it must be. Borrowed for the call. */
struct store_problem {
	const char *kind; /* a word of lower-case letters and dashes, for programs */
	const char *text; /* where, what, and what it means; one line, keys escaped */
	bool repairable;  /* what is right follows from the rest of the store */
	bool repaired;	  /* it was put right, or will be by the next opening */
};

typedef void store_problem_fn(const struct store_problem *problem, void *arg);
/* One more of `what` (plural) was looked at. */
typedef void store_checked_fn(const char *what, void *arg);

struct store_check_options {
	struct store_options open; /* how: as for store_open */
	bool repair;		   /* puts right what is repairable; otherwise nothing is written */
	store_problem_fn *problem; /* NULL: nobody is told */
	store_checked_fn *checked; /* NULL: nobody is told */
	void *arg;		   /* of both */
};

struct store_check_result {
	uint64_t revision; /* 0: not known */
	uint64_t oldest_revision;
	uint64_t keys;	   /* there are now, directories included */
	uint64_t versions; /* in the history */
	uint64_t commits;  /* in the log */
	uint64_t problems;
	uint64_t repairable; /* of them */
	uint64_t repaired;   /* of them */
};

/* Reads everything in the store. 0: it was checked, and result tells what was found; a store
 * that cannot be opened because it is damaged is a problem like others. Otherwise the errors
 * of store_open, but -EUCLEAN, with a message for people in *ret_message (caller frees).
 *
 * Takes memory for one key and the directories above it, and in the directory for temporary
 * files space for 50 bytes a key and 35 a version (measured with 3 million keys). */
int store_check(const struct store_check_options *options, struct store_check_result *ret,
		char **ret_message);
