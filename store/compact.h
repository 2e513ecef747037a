/* The compactor: a thread that takes away what need not be kept, gives the space back, and
 * sleeps while there is nothing to do.
 *
 * What it removes, no commit ever looks at or writes again: a history record is written
 * once, when it is superseded, and a log entry once. So it writes beside the committer, in
 * batches of its own. Everything it does can be done again from the beginning, which is
 * what happens after a kill: a note in `meta` says that it is not finished. */
#pragma once

#include "store/layout.h"

#include <pthread.h>

struct local;
struct purge;
struct reseal;

/* Who is told of a pass. */
struct compaction_request {
	store_compaction_fn *progress; /* NULL: nobody */
	void *arg;
};

struct compactor {
	struct local *local; /* set once */
	pthread_t thread;
	bool running; /* set once: there is one */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop;		    /* lock to change, atomic to look at */
	bool wanted;		    /* lock: a pass is to be made */
	bool outgrown;		    /* lock: there are more revisions than are to be kept */
	GArray *requests;	    /* lock: struct compaction_request, for the next pass */
	GQueue purges;		    /* lock: struct purge, in order */
	struct compaction progress; /* lock */
	struct resealing resealing; /* lock */
	gint purges_waiting;	    /* atomic: some wait for snapshots to be let go of */
	guint64 outgrown_revision;  /* atomic: `outgrown` from this revision on */
	int64_t rest_until_ns;	    /* the thread's: not before this by itself, monotonic */
	int64_t retry_ns;	    /* the thread's: then once more what failed; 0: nothing did */
	struct reseal *reseal;	    /* the thread's; NULL: all is sealed by the current key */
	int64_t reseal_ns;	    /* the thread's: not before this, monotonic */
};

/* Takes up what was not finished when the store was last open. -EUCLEAN: *ret_damaged says what
 * is damaged. */
int compactor_start(struct compactor *compactor, struct local *local, const char **ret_damaged);
/* Tells everybody who waits that it was cancelled. */
void compactor_stop(struct compactor *compactor);

/* Asks for a pass; META_COMPACTING is written. REQUIRES(local->time_lock) */
void compactor_want(struct compactor *compactor, store_compaction_fn *progress, void *arg);

/* As store_compact, store_purge. */
int compactor_compact(struct compactor *compactor, uint64_t revision, store_compaction_fn *progress,
		      void *arg);
int compactor_purge(struct compactor *compactor, const char *key, store_compaction_fn *progress,
		    void *arg);

void compactor_get_progress(struct compactor *compactor, struct compaction *ret);
void compactor_get_resealing(struct compactor *compactor, struct resealing *ret);

/* From the committer: there are commits up to `revision`. */
void compactor_revision_grew(struct compactor *compactor, uint64_t revision);
/* A snapshot was let go of. */
void compactor_snapshot_freed(struct compactor *compactor);

/* ---- For the files of the compactor --------------------------------------------- */

bool compactor_is_stopping(struct compactor *compactor);
/* Tells of `progress`, also to `request`. */
void compactor_tell(struct compactor *compactor, const struct compaction *progress,
		    const struct compaction_request *requests, guint count);

/* One pass over history and log: pass.c. -ECANCELED: it is to stop. */
int compactor_pass(struct compactor *compactor, const GArray *requests);

/* Rewrites the tables of a family, in steps, where something was removed. -ECANCELED;
 * -ENOSPC: there is no room to do so. */
int compactor_rewrite(struct compactor *compactor, enum family family);
/* Rewrites all tables of a family at once, whatever they hold. For small ones. */
void compactor_rewrite_all(const struct layout *layout, enum family family);
/* Stored keys, both included. Borrows; NULL: no such end. */
struct key_range {
	const char *first, *last;
	size_t first_size, last_size;
};

/* Rewrites all that holds, or ever held, a stored key of the range, which has both ends.
 * -ECANCELED; -ENOSPC, -EIO: it could not, and something of it is as it was. */
int compactor_rewrite_keys(struct compactor *compactor, enum family family,
			   const struct key_range *range);
/* How many bytes of the disk that may take for a while, by what is in tables now. */
uint64_t compactor_rewrite_bytes(const struct layout *layout, enum family family,
				 const struct key_range *range);

/* Moves oldest_revision to what the store's options keep, if that is further: retention.c. */
int retention_move(struct local *local);
/* When it may be further next, by the monotonic clock; INT64_MAX: not known. */
int64_t retention_due_ns(struct local *local);
/* From which revision on there are more than are to be kept. */
uint64_t retention_outgrown(struct local *local);

/* Moves oldest_revision, with the note that there is something to do.
 * REQUIRES(local->time_lock) */
int compactor_move_oldest(struct compactor *compactor, uint64_t revision, bool sync);

int64_t compactor_clock_ns(void);
