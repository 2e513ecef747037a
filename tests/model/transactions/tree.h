/* The model: a tree of keys that remembers every version of each, and views of it that run
 * the calls of a history as the mount should. */
#pragma once

#include "history.h"

enum content_type { CONTENT_ABSENT, CONTENT_DIRECTORY, CONTENT_VALUE };

struct content {
	enum content_type type;
	const char *value; /* of CONTENT_VALUE */
};

/* A name that was used some time. */
struct tree_node {
	char *key;
	const char *name; /* its last component */
	struct tree_node *parent;
	GArray *versions;    /* struct version, by revision */
	GPtrArray *children; /* struct tree_node, by name */
	bool written;	     /* by the view */
	struct content own;  /* what the view wrote */
};

struct tree;

struct tree *tree_new(void);
void tree_free(struct tree *tree); /* accepts NULL */
/* Makes it when the tree never heard of the key. */
struct tree_node *tree_find(struct tree *tree, const char *key);
struct content tree_content(const struct tree_node *node, uint64_t revision);
/* The revision that made the node what it is, 0: it never was anything else than absent. */
uint64_t tree_changed(const struct tree_node *node);

/* There is one view of a tree at a time: the tree as of a revision, and what the view has
 * written. It begins anew with every call of this. */
void tree_view(struct tree *tree, uint64_t revision);
struct content tree_view_content(const struct tree *tree, const struct tree_node *node);
/* Runs a call in the view: the errno, and the result in `result`. */
int tree_call(struct tree *tree, const struct event *event, GString *result);
/* The nodes that the view wrote (struct tree_node), also those that are as before. */
const GPtrArray *tree_written(const struct tree *tree);
/* True when what the view wrote to the node makes it other than it was. */
bool tree_is_change(const struct tree *tree, const struct tree_node *node);
/* Makes what the view wrote the state as of `revision`. */
void tree_apply(struct tree *tree, uint64_t revision);
