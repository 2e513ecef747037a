/* Transactions over a store: views, the read set, the write set, isolation, the registry.
 *
 * Code outside txn/ includes this header and no other of txn/. Results are 0 or a
 * negative errno; what is returned through `ret` belongs to the caller. Everything may be
 * called from any thread. Lock order: registry -> transaction. A transaction's lock may be
 * held while its snapshot is read (a snapshot never changes and its engine never calls
 * back); no lock is held while submitting. */
#pragma once

#include "store/store.h"

/* ---- Processes ------------------------------------------------------------------ */

/* A process as /proc tells of it. The start time tells it from a later one with the same
 * number. */
struct process {
	pid_t pid; /* of the process, not of a thread */
	pid_t parent;
	uint64_t start_time; /* clock ticks since boot */
	unsigned flags;	     /* PF_*: PROCESS_SIGNALED */
	int exit_code;	     /* as wait(2) tells it; 0 while it runs */
	char command[64];    /* comm: as the kernel cuts it */
};

enum {
	PROCESS_EXITING = 0x4,	  /* PF_EXITING: it has given up its descriptors */
	PROCESS_SIGNALED = 0x400, /* PF_SIGNALED: ending, by a signal or by another thread's exit */
};

/* What is known of the process that the thread `tid` belongs to. -ESRCH: there is none,
 * or it is in a pid namespace that is not seen from here (tid 0). */
int process_read(pid_t tid, struct process *ret);

/* As process_read, of a process other than the one that waits for us. One that is in
 * execve(2) may hold a lock that reading it waits for, until its own requests are answered:
 * -ESRCH. */
int process_read_other(pid_t pid, struct process *ret);

/* True while that very process runs (a zombie does not). One that is_executing is taken to be. */
bool process_is_alive(const struct process *process);

/* True while the process replaces itself by execve(2). Then the kernel has locked most of what
 * /proc tells of it until its close-on-exec descriptors are closed: who answers that close
 * must not ask, or both wait for ever. */
bool process_is_executing(pid_t tid);

/* True when both are the same process, not merely the same number. */
bool process_equal(const struct process *a, const struct process *b);

/* The effective user of `tid`; (uid_t)-1 when it cannot be read. */
uid_t process_uid(pid_t tid);

/* Supplementary groups of `tid`, as an array of gid_t; NULL when they cannot be read. */
GArray *process_groups(pid_t tid);

/* The file mode creation mask of `tid`; 077 when it cannot be read. */
mode_t process_umask(pid_t tid);

/* The real-world number of the process that has `pid` in the pid namespace of `tid`, when
 * it is `tid`'s own process or an ancestor of it. -ESRCH: it is not. */
int process_claim(pid_t tid, pid_t pid, struct process *ret);

/* ---- Words ---------------------------------------------------------------------- */

/* A decimal number, perhaps between blanks. -EINVAL: it is none. */
int text_parse_number(const char *data, size_t size, uint64_t *ret);

/* Appends what text_append_escaped() made of. -EINVAL: it made no such thing. */
int text_unescape(const char *data, size_t size, GString *out);

/* A key, escaped as keys are where they are shown; a slash at its end means nothing, and so
 * does a newline behind it. Caller frees. -EINVAL: it is none. */
int text_parse_key(const char *data, size_t size, char **ret);

/* ---- Program texts --------------------------------------------------------------- */

struct program_limits {
	uint64_t max_text_bytes; /* -EFBIG */
	unsigned max_depth;	 /* of programs in programs */
	uint64_t max_lines;	 /* compares and operations, those of all nested programs too */
};

/* Defaults: 16 MiB, 1,000 deep, 1,000,000 lines. */
void program_limits_init(struct program_limits *limits);

/* Parses the `text` of a program (program_text.c has the grammar) and checks that what can
 * run together does not overlap: no key is written twice, or written and deleted. What puts
 * create is made as if by `credentials` (copied) with mode 0666, missing directories with
 * 0777, both less their umask; `checked` and outputs are left to the caller.
 * -EINVAL: it is no program, or overlaps; -EFBIG: it is too large. Then *ret_errors has a
 * line "ERROR LINE:COLUMN text" for each of the first 20 errors, in the order of the text;
 * columns count characters. */
int program_parse(const char *text, size_t text_bytes, const struct credentials *credentials,
		  const struct program_limits *limits, struct program **ret, GString **ret_errors);

/* The reply to a program that was parsed from a text and came to `result` (program_reply.c
 * has its form): "SUCCESS REVISION" or "FAILURE REVISION", the compares that failed, and what
 * each operation has to tell; or ERROR lines as above when it was refused, or the store
 * failed. NULL: there is no memory for it. */
GString *program_reply(const struct program_result *result);

/* The same as one JSON object (program_json.c has its form). What is no valid UTF-8 is base64
 * under a name of its own, "value_base64" in place of "value". */
GString *program_reply_json(const struct program_result *result);

/* ERROR lines as the JSON object that program_reply_json gives for them. */
GString *program_errors_json(const GString *errors);

/* ---- Views ---------------------------------------------------------------------- */

/* What is read of a view, and so depended upon. */
enum observation {
	OBSERVE_EXISTS = 1 << 0, /* presence or absence; of a directory its attributes too */
	OBSERVE_VALUE = 1 << 1,	 /* the value and the attributes of a key */
	OBSERVE_LIST = 1 << 2,	 /* the entries of a directory */
};

struct registry;

/* A tree as files see it: the live one, a transaction's, or a past one. */
struct view;

/* The live tree: reads see the newest state, each program is a commit. Borrowed store. */
struct view *view_new_live(struct store *store);
/* The tree of `snapshot` (referenced): -EROFS for every program. */
struct view *view_new_past(struct snapshot *snapshot);
/* From now on the live view keeps what is created with OP_SCRATCH in memory, until it is renamed:
 * then a put of it is the commit. Charged to `registry`. `watch(change, arg)` is told of each
 * change of scratch files as of a commit, with revision 0, before its caller is. They are not
 * in the store: snapshots, transactions and the log do not have them. Only programs of fs/'s
 * form (one change of a name, or of a file) find them. */
void view_keep_scratch(struct view *view, struct registry *registry, store_watch_fn *watch,
		       void *arg);
/* To be called with every commit of the store, first of all that its watcher does: scratch
 * files follow their directories, and go when a key takes their place. */
void view_commit_seen(struct view *view, const struct log_entry *commit);
/* How many scratch files there are, and their bytes. */
void view_count_scratch(struct view *view, uint64_t *ret_files, uint64_t *ret_bytes);
void view_free(struct view *view); /* live and past ones; accepts NULL */

/* As snapshot_get and snapshot_list (in byte order of names). Nothing is recorded.
 * -ESTALE: the transaction is over. */
int view_get(struct view *view, const char *key, struct record **ret);
int view_list(struct view *view, const char *directory, snapshot_visit_fn *visit, void *arg);

/* Records that `what` of `key` was observed, where this view records: `record` is what
 * view_get gave, NULL for absent. What the transaction wrote itself is not recorded.
 * -EDQUOT: the user's read sets are full; then the caller must not be told. */
int view_observe(struct view *view, enum observation what, const char *key,
		 const struct record *record);

/* True when observing `what` of `key` would record nothing more: it is in the read set, or
 * the transaction's own. False where a view can change under its observers. */
bool view_has_observed(struct view *view, enum observation what, const char *key);

/* Runs `program` (taken over) on the view. The live view submits it: see store_submit; the
 * others call done before they return. A transaction's errors are those of overlay_apply,
 * and -ECANCELED after a conflict, -ESTALE when it is committed, was restarted or is over,
 * -EBUSY while it commits. */
void view_apply(struct view *view, struct program *program, program_done_fn *done, void *arg);

/* ---- Transactions --------------------------------------------------------------- */

struct txn;

enum txn_state {
	TXN_OPEN,	/* reads are recorded, writes collected */
	TXN_COMMITTING, /* submitted; the outcome is on its way */
	TXN_COMMITTED,	/* until restart: read-only */
	TXN_CONFLICT,	/* until restart: nothing was applied */
	TXN_FAILED,	/* the store failed while writing: outcome unknown */
	TXN_OVER,	/* ended: nothing works any more */
};

struct registry_options {
	struct overlay_limits limits;	/* of one transaction's write set */
	uint64_t max_transactions;	/* in all */
	uint64_t max_user_transactions; /* of one user */
	uint64_t max_user_bytes;	/* of one user: write sets and what fs/ charges */
	uint64_t max_user_reads;	/* of one user: items of read sets */
	uint64_t max_message_bytes;
	uint64_t idle_timeout_s; /* of a transaction that belongs to no process */
	uint64_t max_age_s;	 /* of any transaction */
};

void registry_options_init(struct registry_options *options);

/* Told once of each transaction that ended, by whatever cause. It must not end another. */
typedef void registry_ended_fn(struct txn *txn, void *arg);

/* -errno: no thread can be started, or no descriptor be had. */
int registry_new(struct store *store, const struct registry_options *options,
		 struct registry **ret);
/* Ends all transactions. No call may be under way. Accepts NULL. */
void registry_free(struct registry *registry);
/* NULL: tell nobody any more; then no call is under way when this returns. */
void registry_on_end(struct registry *registry, registry_ended_fn *ended, void *arg);
const struct registry_options *registry_get_options(const struct registry *registry);
uint64_t registry_count(struct registry *registry);
/* Transactions that ended with writes that were not committed. */
uint64_t registry_abandoned(struct registry *registry);

enum { TXN_CONFLICT_KINDS = 5 };

/* What came of transactions since the registry was made. */
struct registry_metrics {
	uint64_t begun;
	uint64_t committed; /* of those that wrote something */
	uint64_t conflicts; /* commits refused: something had changed, or permission was gone */
	uint64_t failed;    /* commits the store could not make */
	uint64_t conflict_kinds[TXN_CONFLICT_KINDS]; /* of the conflicts: a commit counts once
						      * for each kind of item it failed for */
};

void registry_get_metrics(struct registry *registry, struct registry_metrics *ret);

/* "exists", "value", "list", "write", "access". */
const char *txn_conflict_kind_name(unsigned kind);

/* Begins a transaction on the newest snapshot. `name` NULL: one is chosen, and the process
 * `owner` owns it. A name of digits, also digits, dot and anything, claims the process of
 * that number as `tid` sees it. `credentials` (copied) are the beginner's.
 * -EINVAL: no name for a transaction; -EEXIST; -ESRCH: that process may not be claimed;
 * -EDQUOT: a limit; errors of store_snapshot. */
int registry_begin(struct registry *registry, const char *name, pid_t tid,
		   const struct credentials *credentials, struct txn **ret);

/* Nobody waits for a turn any more (txn_take_turn), now and later. */
void registry_stop_turns(struct registry *registry);

/* Charges `bytes` (negative: gives back) to the user `uid`. -EDQUOT: more than one user may
 * have; nothing is charged then. */
int registry_charge(struct registry *registry, uid_t uid, int64_t bytes);

/* The same, whatever it exceeds: for what has been made already. */
void registry_charge_made(struct registry *registry, uid_t uid, int64_t bytes);

/* Bytes charged to all users together, and items in all read sets. */
void registry_get_usage(struct registry *registry, int64_t *ret_bytes, int64_t *ret_reads);

/* The transaction of that name. -ENOENT: there is none. */
int registry_find(struct registry *registry, const char *name, struct txn **ret);

/* The newest transaction of `uid` that the process of `tid` or its nearest ancestor owns.
 * -ENOENT: there is none. */
int registry_find_own(struct registry *registry, uid_t uid, pid_t tid, struct txn **ret);

/* All open transactions, in byte order of their names: of struct txn, references. */
GPtrArray *registry_list(struct registry *registry);

struct txn *txn_ref(struct txn *txn);
void txn_unref(struct txn *txn); /* accepts NULL */
DEFINE_AUTOPTR(txn, txn_unref);

/* Ends it, at any time, any number of times; never waits. A commit under way keeps its
 * outcome. */
void txn_end(struct txn *txn);

/* While it is held open it is not idle. */
void txn_hold(struct txn *txn);
void txn_release(struct txn *txn);

/* True when it has ended and its name is free. One that belongs to no process and was idle
 * for too long is over, but keeps its name until its rmdir, so that a late mkdir -p cannot
 * revive half a change; its control files can be read. */
bool txn_is_gone(struct txn *txn);

const char *txn_name(const struct txn *txn);
const char *txn_id(const struct txn *txn);  /* unique, also in the log */
uint64_t txn_number(const struct txn *txn); /* counts the transactions of this mount */
const struct credentials *txn_credentials(const struct txn *txn);
int64_t txn_begun_ns(const struct txn *txn);
uint64_t txn_base_revision(struct txn *txn); /* of the snapshot of this round */
struct view *txn_view(struct txn *txn);	     /* borrowed: lives as long as the transaction */
enum txn_state txn_state(struct txn *txn);
/* It has read or written so much that to commit or to forget that takes long. */
bool txn_is_large(struct txn *txn);
/* Grows with every restart: what was opened in an earlier round is stale. */
uint64_t txn_round(struct txn *txn);

typedef void txn_done_fn(int error, void *arg);

/* Validates and applies; the first call of a round decides, later ones get its outcome.
 * `text` is the commit message unless one was set. done(error, arg) is called once,
 * possibly before this returns, with 0 or
 * -ECANCELED a conflict; -EACCES permission is gone; -ESTALE it is over; -EFBIG the text
 * is longer than a message may be; -ENOSPC; -EIO, -EROFS the store failed. */
void txn_commit(struct txn *txn, const char *text, size_t text_bytes, txn_done_fn *done, void *arg);

/* Forgets reads and writes and begins again on the newest snapshot. -ESTALE; -EBUSY. */
int txn_restart(struct txn *txn);

/* Calls go(arg) once, now or from another thread, when it is this transaction's turn to
 * restart: at once unless it lost to others lately, and then a tenth of a second from now at
 * most. The caller keeps the transaction until then. */
typedef void txn_turn_fn(void *arg);
void txn_take_turn(struct txn *txn, txn_turn_fn *go, void *arg);

/* Something was observed that could not be recorded: its commit is refused with -EDQUOT
 * until a restart. */
void txn_lose_reads(struct txn *txn);

/* Moves to the newest snapshot and keeps the writes. What changed of its items since the old
 * one must have been shown by txn_text_conflicts() as it is now: that counts as seen.
 * -ECANCELED: something changed that was not; then the conflicts tell it, and nothing
 * else has changed. -ESTALE: it is over, or committed; -EBUSY. */
int txn_rebase(struct txn *txn);

/* `word` is a number of seconds, or "max": as long as it may live. -EINVAL; -ESTALE. */
int txn_set_timeout(struct txn *txn, const char *word);

/* `word` is one of the levels. -EINVAL: it is none; -EBUSY: read or written already;
 * -ESTALE. */
int txn_set_isolation(struct txn *txn, const char *word);

/* Sets the commit message, or appends to it. -EFBIG: too long; -ESTALE. */
int txn_set_message(struct txn *txn, const char *text, size_t text_bytes, bool append);

/* Puts a line into `last_error` of the status. */
void txn_set_last_error(struct txn *txn, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Takes `text` back when it is still the last error. */
void txn_clear_last_error(struct txn *txn, const char *text);

/* The texts of the control files. */
GString *txn_text_commit(struct txn *txn);
GString *txn_text_message(struct txn *txn);
GString *txn_text_isolation(struct txn *txn);
GString *txn_text_timeout(struct txn *txn);
GString *txn_text_status(struct txn *txn);
GString *txn_text_reads(struct txn *txn);
GString *txn_text_writes(struct txn *txn);
GString *txn_text_conflicts(struct txn *txn);
