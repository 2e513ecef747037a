/* The threads that serve requests: see loop.c. */
#pragma once

#include <fuse_lowlevel.h>

/* Serves `session` until it is unmounted or SIGTERM, SIGINT or SIGHUP comes, whose handlers
 * are this function's meanwhile. 0, or the negative errno of what could not be had. */
int loop_run(struct fuse_session *session);

/* To be called by whoever serves a request before it waits for the disk or works for long:
 * another thread receives the next requests from then on. Any number of times; nothing on
 * threads that serve none. */
void loop_step_down(void);
