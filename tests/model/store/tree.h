/* The naive model of store_model.c: every path there is in an array, and what programs do to
 * it. It shares nothing with the store but the names of operations. */
#pragma once

#include "store/store.h"

#define OPS_MAX 4
#define COMPARES_MAX 2
#define TREE_MAX 160

struct node {
	char key[16];
	enum record_type type;
	char value[64];
	uint64_t create, mod, attribute, version;
	uint32_t mode;
	bool created, written, touched, changed; /* by the program under way */
};

struct tree {
	struct node nodes[TREE_MAX];
	int count;
};

/* ---- Programs, as both sides understand them ------------------------------------ */

struct step {
	enum op_kind kind;
	unsigned flags;
	char key[16];
	char target[16];
	char value[32]; /* any number of 64 bits */
	uint32_t mode;
	int64_t number;
};

struct check {
	enum compare_target target;
	enum compare_operator relation;
	char key[16];
	uint64_t number;
	bool tree;
};

struct history {
	struct check checks[COMPARES_MAX];
	int checks_count;
	struct step steps[OPS_MAX];
	int steps_count;
	int error;
	bool succeeded, changed, done;
	int64_t told; /* counts and numbers of all operations, summed up */
	uint64_t revision;
};

struct replayed {
	int error;
	bool succeeded, changed;
	int64_t told;
};

/* The tree of a new store. */
struct tree model_first_tree(void);

/* The node of a key, or NULL. */
const struct node *model_find(const struct tree *tree, const char *key);
/* True when `key` is below `directory`; not when it is the same. */
bool model_lies_in(const char *key, const char *directory);

/* Runs `program` on `tree`, which stays as it was when the program fails. */
struct replayed model_replay(struct tree *tree, const struct history *program, uint64_t revision);
