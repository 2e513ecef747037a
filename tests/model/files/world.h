/* The mount beside its model: every call is made on both, and what they answer compared. */
#pragma once

#include "calls.h"
#include "txn.h"

#include <stdio.h>

#define TXNS 4
#define PAST_MAX 32 /* revisions that are kept to be compared */
#define RECENT 60   /* calls that are told when something differs */
#define OPEN_MAX (PROCESSES * SLOTS)

/* Where a call goes: the live tree, or the view of a transaction. */
struct place {
	struct tree *tree;
	struct txn *txn;  /* NULL: the live tree */
	char root[128];	  /* its path */
	GHashTable *inos; /* id -> st_ino */
};

struct edit {
	bool truncate;
	uint64_t offset;
	GBytes *data;
};

struct open_file {
	bool used;
	int process, slot;
	int flags;
	char path[KEY_MAX];    /* the key it was opened by, to be told */
	struct txn *txn;       /* NULL: live */
	uint64_t id;	       /* of its item */
	bool old;	       /* of an earlier round of its transaction */
	bool moved;	       /* live: a transaction gave the file another name */
	GBytes *value;	       /* what it reads: live, or `old` */
	bool replace, pending; /* of a session */
	GArray *edits;	       /* struct edit; of a session */
};

struct past {
	uint64_t revision;
	struct tree *tree;
};

struct world {
	GRand *random;
	const char *point; /* of the mount */
	uint64_t steps;
	struct tree *live;
	uint64_t revision;
	uint64_t last_id;
	GHashTable *live_inos;
	struct txn *txns[TXNS]; /* or NULL */
	GHashTable *txn_inos[TXNS];
	unsigned txns_begun;
	struct open_file files[OPEN_MAX];
	struct past past[PAST_MAX];
	int revision_fd;
	struct call call;
	struct answer answer;
	int process; /* that makes the call */
	char *recent[RECENT];
	uint64_t told;
	uint64_t counts[CALL_COUNT], refused[CALL_COUNT], commits, conflicts, unasked;
	bool differs;
};

/* ---- Chance ---------------------------------------------------------------------- */

int chance(struct world *world, int below); /* 0..below-1 */
bool one_in(struct world *world, int count);
void random_key(struct world *world, char ret[static KEY_MAX]);
GBytes *random_data(struct world *world);

/* ---- Calls ----------------------------------------------------------------------- */

/* Begins a call of `kind`; its fields are in world->call. */
struct call *call_begin(struct world *world, enum call_kind kind);
void call_set_path(struct world *world, const struct place *place, const char *key);
void call_set_data(struct world *world, GBytes *data);
/* Makes it; the answer is in world->answer. */
void call_make(struct world *world);
/* Makes it and compares the result, 0 and more or a negative errno. */
void call_expect(struct world *world, int64_t wanted);
/* Something differs from the model: tells it, and how to see it again. */
G_GNUC_PRINTF(2, 3) void differ(struct world *world, const char *format, ...);
void compare_bytes(struct world *world, const char *what, GBytes *wanted);
void compare_text(struct world *world, const char *what, const char *wanted);
/* The answer of a stat. */
void compare_status(struct world *world, const struct place *place, const struct item *item);

/* ---- Steps ----------------------------------------------------------------------- */

void place_live(struct world *world, struct place *ret);
void place_txn(struct world *world, int index, struct place *ret);
/* An item that nobody has seen yet, of no data. */
struct item *new_item(struct world *world, enum item_type type, unsigned mode);
/* Walks to `key` as the kernel does, with what is observed on the way. 0, or -ENOENT or
 * -ENOTDIR of what is above; then nothing is told of the key itself. */
int walk(const struct place *place, const char *key);
/* The same, and observes that the key itself exists or not: *ret is the item, or NULL. */
int look_up(const struct place *place, const char *key, struct item **ret);
/* Makes the changes there: a commit, or writes of the transaction. 0, or what refuses them. */
int64_t change_place(struct world *world, const struct place *place, const GArray *changes);
int64_t refusal(const struct place *place);
const char *key_of(const struct tree *tree, uint64_t id); /* of the item; NULL: none */
void note_commit(struct world *world);

void step_path(struct world *world, const struct place *place); /* a call on a path */
void step_open(struct world *world, const struct place *place);
void step_file(struct world *world); /* a call on an open file */
void close_file(struct world *world, struct open_file *file);
/* Marks what is open on the live tree and has another key there than in `before`. */
void note_moved(struct world *world, const struct tree *before);
void keep_orphans(struct world *world, const struct place *place, const GArray *changes);
/* What the process writes to the file of the live tree; NULL: nothing. */
const struct open_file *find_session(const struct world *world, int process, uint64_t id);
GBytes *apply_edit(GBytes *value, const struct edit *edit);
/* A new value of what is there: change_place() with it. */
int64_t change_data(struct world *world, const struct place *place, const char *key, GBytes *data);
void step_txn(struct world *world); /* begins, commits, ends */
void check_sets(struct world *world, int index);
/* See txn_forget_unasked(). */
void forget_unasked(struct world *world, struct txn *txn);
void step_look(struct world *world); /* at the past, at meta/ */

/* Runs `steps` of `seed` on a new mount. False: it differs. */
bool world_run(uint64_t seed, uint64_t steps);
/* Of all runs. */
void world_tell_counts(void);
uint64_t world_calls(void);
