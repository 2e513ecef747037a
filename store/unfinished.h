/* Directories of work that is not finished, which goes with the process that does it: what one
 * that was killed left behind, the next to begin the same removes. Results are 0 or a negative
 * errno. */
#pragma once

struct unfinished {
	char *path; /* of the directory; NULL: there is none */
	int lock;   /* a descriptor of it, locked */
};

/* Makes the directory `prefix` and six characters (0700), after removing those of our user that
 * are called so and that nobody works in any more: `prefix` has to be one that nobody chooses. */
int unfinished_begin(const char *prefix, struct unfinished *ret);

/* It is finished, and called otherwise now. */
void unfinished_keep(struct unfinished *unfinished);

/* Removes the directory with all that is in it, if there is one. */
void unfinished_remove(struct unfinished *unfinished);
