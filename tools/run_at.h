/* run --at: a mount namespace of the command's own, in which a directory is the view of the
 * transaction, so that a program that knows one path, and nothing of transactions, works in
 * one. */
#pragma once

struct run_at {
	const char *directory; /* absolute: where the view shall be */
	const char *view;      /* MNT/txn/NAME/keys */
	const char *key;       /* a directory below it to be shown instead, or NULL */
};

/* The directory that `path` names, absolute, but otherwise as it was given: programs have it
 * so in their configuration. Caller frees. NULL: it is none that a view can be shown at, and
 * that was printed. */
char *run_at_find_directory(const char *path);

/* Takes this process, which has one thread, into such a namespace; for a child that is about
 * to run a command, since there is no way back. 0, or an exit code after printing why not. */
int run_at_enter(const struct run_at *at);
