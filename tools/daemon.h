/* A process that starts in the sight of its caller and then stays behind on its own.
 *
 * The child keeps the caller's stderr until it is ready, so that why it could not start is
 * read where the command was typed. */
#pragma once

/* Forks. In the child returns -1, and *ret_ready is for daemon_ready(). In the parent
 * waits until the child is ready, or has ended, and returns the exit code: 0 or the
 * child's. A failing fork is reported on stderr. Before there are threads. */
int daemon_fork(int *ret_ready);

/* Leaves the terminal, gives up stdin, stdout and stderr, and lets the parent go. From any
 * thread, once. */
void daemon_ready(int ready);
