/* A store of its own in a temporary directory, and the process that mounts it. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct mounted {
	const char *command; /* commitfs */
	char *base;	     /* the directory that holds all */
	char *store, *point, *log;
	pid_t daemon; /* 0: not mounted */
};

#ifdef __SANITIZE_THREAD__
#define BUILT_WITH_TSAN true
#else
#define BUILT_WITH_TSAN false
#endif

/* COMMITFS, or that of our own build: with the thread sanitizer in any case, since a mount
 * that many processes use is where races are found. Caller frees. */
char *mounted_find_command(void);

/* Makes the directory and the store. False: it has said why. */
bool mounted_init(struct mounted *mounted, const char *command);
/* Mounts and waits until the mount answers. */
bool mounted_start(struct mounted *mounted);
/* True when the mount's process is still there. */
bool mounted_is_alive(struct mounted *mounted);
/* Waits for the end of the process, `seconds` at most, and kills it then; leaves what is dead
 * mounted, for the next mount to clear. */
void mounted_wait_dead(struct mounted *mounted, double seconds);
/* Ends the process, kindly when `kindly`, and the mount in any case. False: it did not end
 * as it should, or reported something. */
bool mounted_stop(struct mounted *mounted, bool kindly);
/* Stops it if need be and removes everything. */
void mounted_done(struct mounted *mounted);
