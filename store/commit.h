/* From what a program changed to a commit: touched directories, revisions, the batch. */
#pragma once

#include "store/evaluate.h"
#include "store/layout.h"

/* Marks the directories whose entries came, went or changed their type. */
int commit_touch_parents(struct overlay *overlay, int64_t now_ns);

/* Gives what changed its `revision`, and tells of it all (caller frees). */
struct log_entry *commit_make(struct overlay *overlay, const struct program *program,
			      uint64_t revision, int64_t now_ns);

/* Gives the records of a result that are no longer in `overlay` their revisions too. */
void commit_finish_records(struct overlay *overlay, struct evaluation *evaluation,
			   uint64_t revision);

/* Adds everything a commit writes. -ENOMEM: a part of it may have been added. */
int commit_write(const struct layout *layout, rocksdb_writebatch_t *batch,
		 const struct log_entry *commit);

/* True when the commit does more than remove. */
bool commit_grows(const struct log_entry *commit);
/* About the bytes it writes. */
uint64_t commit_bytes(const struct layout *layout, const struct log_entry *commit);
