/* How far long work is, in a line on standard error that is written over, where that is a
 * terminal. For one thread. */
#pragma once

/* One more of `what` (plural) is done. */
void progress_step(const char *what);
/* The same for who wants a store_checked_fn. */
void progress_checked(const char *what, void *arg);

/* Takes the line away, before something else is printed, and begins to count anew. */
void progress_end(void);
