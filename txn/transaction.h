/* A transaction from inside: shared by the files of txn/. */
#pragma once

#include "txn/account.h"
#include "txn/turns.h"
#include "txn/view.h"

#include <pthread.h>

enum isolation {
	ISOLATION_SERIALIZABLE_SNAPSHOT, /* the read set, and that no written key changed */
	ISOLATION_SERIALIZABLE,		 /* the read set, and that written names are as they were */
	ISOLATION_SNAPSHOT,		 /* only that no written key changed */
};

const char *isolation_name(enum isolation level);
int isolation_parse(const char *word, enum isolation *ret); /* -EINVAL: no such level */

/* What was observed of one key, and the revisions that were seen. */
struct read_item {
	char *key;
	unsigned observed; /* OBSERVE_* */
	bool directory;
	uint64_t exists_revision; /* create revision; of a directory its attribute revision */
	uint64_t mod_revision;	  /* of value and list */
};

enum conflict_kind {
	CONFLICT_EXISTS,
	CONFLICT_VALUE,
	CONFLICT_LIST,
	CONFLICT_WRITE,
	CONFLICT_ACCESS
};

G_STATIC_ASSERT(CONFLICT_ACCESS + 1 == TXN_CONFLICT_KINDS);

/* One line of `conflicts`: what was seen, what was found, and the commit that made it so. */
struct conflict {
	enum conflict_kind kind;
	char *key;
	uint64_t seen;
	uint64_t found;
	struct log_entry *commit; /* NULL: not known */
};

/* Somebody who waits for the outcome of the commit. */
struct waiter {
	txn_done_fn *done;
	void *arg;
};

struct txn {
	gint refs; /* atomic */
	struct view view;
	struct store *store;		 /* set once */
	struct registry *registry;	 /* set once; borrowed */
	struct accounts *accounts;	 /* set once; borrowed from the registry */
	char *name;			 /* set once */
	char *id;			 /* set once */
	uint64_t number;		 /* set once */
	struct credentials *credentials; /* set once */
	int64_t begun_ns;		 /* set once */

	/* Of the registry, under its lock. */
	bool registered;
	bool owned;	/* ends with its owner */
	bool inherited; /* passes on to the next ancestor while nothing was done in it */
	struct process owner;
	GArray *heirs; /* struct process: ancestors of the same user, nearest first */
	int owner_fd;  /* pidfd, -1: none */

	struct turn turn; /* of the registry's turns */

	pthread_mutex_t lock;
	/* All that follows is under it. */
	enum txn_state state;
	enum isolation isolation;
	uint64_t round;
	struct snapshot *snapshot;
	struct overlay *writes;
	GHashTable *reads; /* key -> struct read_item */
	uint64_t read_items;
	int64_t read_bytes; /* what the user is charged for `reads` */
	bool reads_lost;    /* something observed is not in `reads` */
	bool scratch;	    /* there may be scratch files in `writes` */
	bool used;	    /* something was read, written, set or committed in it */
	char *message;
	char *last_error;
	int outcome;		/* of the round's commit: 0 or negative errno */
	uint64_t revision;	/* committed: of the commit, or of the snapshot */
	GPtrArray *conflicts;	/* struct conflict, after a conflict */
	GArray *waiters;	/* struct waiter */
	GPtrArray *shown;	/* struct conflict: what `conflicts` told last, for a rebase */
	struct account charged; /* to the user, for this transaction */
	int64_t last_used_us;	/* monotonic */
	int64_t begun_us;	/* monotonic */
	uint64_t timeout_s;	/* of idleness; UINT64_MAX: none */
	guint holds;		/* open files: it is not idle */
	guint contended;	/* rounds for which it takes turns: it lost a while ago */
	bool expired;		/* over, but its name is kept until rmdir */
};

/* Made by the registry. `snapshot` is referenced, `credentials` copied. */
struct txn *txn_new(struct registry *registry, const char *name, const char *id, uint64_t number,
		    const struct credentials *credentials, struct snapshot *snapshot);

/* Marks it over; true for the first call. Its registry does the rest. */
bool txn_mark_over(struct txn *txn, bool *ret_abandoned);

/* Under the transaction's lock. */
void txn_note_use(struct txn *txn);
/* Returns `error`, after last_error has been told that `what` cannot be done in the state the
 * round is in, and what can. Under the lock. */
int txn_refuse_state_locked(struct txn *txn, const char *what, int error);
/* The keys a commit would change. Under the lock. */
uint64_t txn_count_writes_locked(struct txn *txn);
/* True for what an editor or a tool made for itself in the view. */
static inline bool txn_is_scratch(const struct overlay_entry *entry)
{
	return entry->now && entry->now->scratch;
}
/* Its revisions are those of `record`, NULL: absent. */
void read_item_set(struct read_item *item, const struct record *record);
struct read_item *txn_read_item(struct txn *txn, const char *key);
int txn_observe_locked(struct txn *txn, enum observation what, const char *key,
		       const struct record *record);
void txn_clear_round_locked(struct txn *txn);
/* The overlay has grown or shrunk: the user is charged for what it is now. */
void txn_account_locked(struct txn *txn);
/* Microseconds until it expires by idleness or age; 0: now; INT64_MAX: not while it is
 * open. */
int64_t txn_time_left_us(struct txn *txn, int64_t now_us);
void txn_set_last_error_locked(struct txn *txn, char *text); /* takes `text` */

/* Called by txn_end with no lock held: forgets its name, tells the hook. */
void registry_forget(struct registry *registry, struct txn *txn, bool abandoned);
/* Counts a commit that came back with `outcome`; `conflicts` (may be NULL) of struct conflict. */
void registry_note_outcome(struct registry *registry, int outcome, const GPtrArray *conflicts);
struct turns *registry_turns(struct registry *registry);
struct accounts *registry_accounts(struct registry *registry);
struct store *registry_store(struct registry *registry);
/* A time-out may be due earlier than it was. */
void registry_wake(struct registry *registry);

/* What the program's compares and operations mean to the transaction that made it: a
 * struct commit_item for each compare, in the same order. */
struct commit_item {
	enum conflict_kind kind;
	uint64_t seen;
};

/* The program that commits the transaction, or with `compares_only` that finds out whether
 * it would conflict. Under the transaction's lock. */
struct program *txn_build_program(struct txn *txn, bool compares_only, GArray **ret_items);

/* What would conflict if it committed now; of struct conflict. */
GPtrArray *txn_would_conflict(struct txn *txn);

/* The conflicts a result speaks of, in key order; of struct conflict. */
GPtrArray *conflicts_from_result(struct store *store, const struct program_result *result,
				 const GArray *items);
