/* What a commit means for the mount: names the kernel must forget, attributes it must ask
 * for again, pollers to wake. */
#pragma once

#include "fs/mount.h"

/* A call that changed names and that the kernel made itself, so that it knows. */
struct name_change {
	enum op_kind kind; /* OP_RENAME, or what removes */
	unsigned flags;	   /* OP_EXCHANGE */
	struct node *parent;
	const char *name;
	struct node *new_parent; /* rename */
	const char *new_name;
};

/* Who submitted a program of this mount: the origin of its commit. */
struct origin {
	struct session *session;	 /* a session's commit, or */
	const struct name_change *names; /* a change of names, or neither */
};

/* The watcher of the store (arg: the fs). */
void commit_seen(const struct log_entry *commit, void *arg);

/* Changes the node table as the kernel changes its names: also for a transaction's tree,
 * where no commit is seen. */
void names_changed(struct fs *fs, const struct name_change *change);

/* The tree of a transaction has ended with it, or begins a new round with begin(txn), whose
 * result it returns: the kernel asks again for what it has cached; for names and pages once they
 * are told (tree_when_told). */
void tree_ended(struct fs *fs, struct txn *txn);
typedef int txn_round_fn(struct txn *txn);
int tree_new_round(struct fs *fs, struct txn *txn, txn_round_fn *begin);

/* -EAGAIN: no thread can be started. */
int notifier_new(struct fs *fs, struct notifier **ret);
/* False: its thread could not be ended in time, and what it uses must be left as it is.
 * Accepts NULL. */
bool notifier_free(struct notifier *notifier);
/* The kernel shall forget a name, which the node `node_id` had. Never waits. */
void notifier_forget_name(struct notifier *notifier, uint64_t parent_id, const char *name,
			  uint64_t node_id);

/* The kernel shall forget what it has cached of a file's content. It waits for READs of the
 * file that are under way, and for nothing else: of fs->pages. */
void notifier_forget_pages(struct notifier *notifier, uint64_t node_id);

typedef void notifier_done_fn(void *arg);
/* Calls done(arg) once when the kernel has forgotten all names until now, but at most a second
 * from now, and ten milliseconds once a name has not been told for long: a busy directory can
 * keep the notifier waiting, and nobody else shall be. Often before this returns. */
void notifier_when_told(struct notifier *notifier, notifier_done_fn *done, void *arg);

/* notifier_when_told of names and pages, at most a second from now for each: for a new round
 * of a transaction, which must not find names of the old one. */
void tree_when_told(struct fs *fs, notifier_done_fn *done, void *arg);

/* The kernel shall ask for the attributes of a node again. Never waits. */
void attributes_forget(struct fs *fs, uint64_t id);

/* Attributes as stat(2) shows them, and changes of them. */
void attributes_merge(struct attributes *into, const struct attributes *changes);
void attributes_show(const struct attributes *changes, struct stat *attributes);
