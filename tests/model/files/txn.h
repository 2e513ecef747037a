/* The model of a transaction: its view, and the exact sets of what it read and wrote. */
#pragma once

#include "tree.h"

enum level { LEVEL_SERIALIZABLE_SNAPSHOT, LEVEL_SERIALIZABLE, LEVEL_SNAPSHOT, LEVEL_COUNT };
extern const char *const level_names[LEVEL_COUNT];

enum txn_state { TXN_OPEN, TXN_COMMITTED, TXN_CONFLICT };
enum observed { OBSERVED_EXISTS = 1, OBSERVED_VALUE = 2, OBSERVED_LIST = 4 };

/* What was observed of a key, with the revisions it had in the snapshot. */
struct read {
	unsigned observed;
	bool directory;
	uint64_t exists, mod;
};

/* The last change of a key. */
struct write {
	struct item *base; /* in the snapshot; or NULL */
	struct item *now;  /* NULL: deleted */
	bool fresh;	   /* created here */
	bool value;	   /* its value was written */
	unsigned set;	   /* attributes set */
};

struct txn {
	char name[16];
	enum txn_state state;
	enum level level;
	uint64_t base_revision;
	uint64_t revision; /* committed as */
	unsigned rounds;   /* begun so far */
	struct tree *snapshot, *view;
	GTree *reads, *writes; /* by key */
	GHashTable *orphans;   /* id -> GBytes: files that were removed while open */
};

struct txn *txn_new(const char *name, const struct tree *live, uint64_t revision);
void txn_free(struct txn *txn); /* accepts NULL */
void txn_restart(struct txn *txn, const struct tree *live, uint64_t revision);

/* What is observed at `key` is recorded, unless it is the transaction's own doing. */
void txn_observe(struct txn *txn, enum observed what, const char *key);
/* What rename(2) observes of all it takes along. */
void txn_observe_moved(struct txn *txn, const char *key);
/* Does the changes in the view and keeps them as writes. */
void txn_write(struct txn *txn, const GArray *changes);

/* In a later round the kernel knows names from an earlier one, and calls that it answers with
 * a name alone (mkdir(2) of what is there) ask for nothing; reading on behind the end of what
 * was opened in an earlier round asks for more. So those `exists` are taken over from `reads`,
 * the text of the mount, when they have the revision of the snapshot. How many were not asked
 * for. */
unsigned txn_forget_unasked(struct txn *txn, const char *reads);

/* The texts of the control files; `conflicts` as lines `kind seen found key`. */
char *txn_reads_text(const struct txn *txn);
char *txn_writes_text(const struct txn *txn);
char *txn_conflicts_text(const struct txn *txn, const struct tree *live);

/* 0: `live` is committed to, as *revision + 1, when there is anything to commit.
 * -ECANCELED: nothing was done. */
int txn_commit(struct txn *txn, struct tree *live, uint64_t *revision);

/* Moves to the newest snapshot and keeps the writes. False: somebody has to decide first. */
bool txn_rebase(struct txn *txn, const struct tree *live, uint64_t revision);
