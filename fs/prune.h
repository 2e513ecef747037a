/* Memory that is given back. A limit on what the kernel holds by number: when it holds more, it is asked to forget what
 * it uses no more, the longest not looked up first. In use are open files, working directories,
 * directories with entries that it holds: of these there may be more than the limit. */
#pragma once

#include "fs/mount.h"

/* -EAGAIN: no thread can be started. */
int pruner_new(struct fs *fs, struct pruner **ret);
/* Ends its thread, before the session is unmounted. Accepts NULL. */
void pruner_stop(struct pruner *pruner);
void pruner_free(struct pruner *pruner); /* accepts NULL; no commit is seen any more */
/* A commit of so many changes was made: memory that it took goes back to the system in a
 * moment, if they are many. */
void pruner_note_commit(struct pruner *pruner, guint changes);
