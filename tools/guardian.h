/* A small process beside the daemon, which breaks its mount's connection should it die.
 *
 * The kernel does so by itself when the last descriptor of /dev/fuse is closed. But a thread of
 * the daemon that tells the kernel of a name that is gone waits for the lock of a directory,
 * which a client holds that waits for an answer: where the daemon is killed just then, that
 * thread never ends, the descriptor stays open, and whoever uses the mount waits for ever, kill -9
 * or not. Seen once in some 100 kills under load. */
#pragma once

#include "store/store.h"

/* Starts it, for a mount on `point`. To be called by the main thread, and before any other
 * thread is there. It ends when the daemon does, and does not keep `key` (NULL: none).
 * Without it the mount works as well. */
void guardian_start(const char *point, struct store_key *key);

/* The mount is there: from now on it is this one that is guarded. */
void guardian_note_mounted(const char *point);
