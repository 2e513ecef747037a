/* The contract of a store: a tree of records with revisions, changed only by programs.
 *
 * Code outside store/ includes this header and no other of store/. A key is a path
 * without leading or trailing slash ("etc/app/port"); the root directory is "". Keys are
 * NUL-terminated bytes, not text. Results are 0 or a negative errno. Everything here may
 * be called from any thread unless said otherwise. What is returned through `ret` belongs
 * to the caller; a `const char *` argument is borrowed for the call. */
#pragma once

#include "store/histogram.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define STORE_KEY_MAX 4000 /* bytes of a whole key */
#define STORE_NAME_MAX 255 /* bytes of one component */

/* Makes g_autoptr(name) work for `struct name`. GLib's own macro wants a typedef of the
 * same name, which every variable called after its type would then shadow. */
#define DEFINE_AUTOPTR(name, release)                                                          \
	typedef struct name *_GLIB_AUTOPTR_TYPENAME(name);                                     \
	static G_GNUC_UNUSED inline void _GLIB_AUTOPTR_FUNC_NAME(name)(struct name * *pointer) \
	{                                                                                      \
		release(*pointer);                                                             \
	}                                                                                      \
	struct name

/* 0 when `key` is a key ("" included); -ENAMETOOLONG when it or a component is too long;
 * -EINVAL for an empty component, ".", "..", or a leading or trailing slash. */
int key_check(const char *key);

/* The directory `key` lies in; "" for a top-level key and for "". Caller frees. */
char *key_parent(const char *key);

/* True when `key` is `directory` or lies below it; everything lies below "". */
bool key_is_below(const char *key, const char *directory);

/* ---- Text ----------------------------------------------------------------------- */

/* Appends `text` with backslash, control bytes, DEL, C1 and bidirectional controls and
 * invalid UTF-8 escaped as in C, so that it can neither end a field nor a line, nor speak
 * to a terminal. */
void text_append_escaped(GString *out, const char *text);

/* Appends `time_ns` since the epoch as RFC 3339 in UTC, with milliseconds. */
void text_append_time(GString *out, int64_t time_ns);

/* ---- Records -------------------------------------------------------------------- */

enum record_type {
	RECORD_VALUE = 1,
	RECORD_DIRECTORY = 2,
	RECORD_SYMLINK = 3,
};

/* What the store knows of one key. Immutable once shared; counted by reference. */
struct record {
	gint refs; /* atomic */
	enum record_type type;
	bool scratch;  /* made with OP_SCRATCH: in memory only, no part of any commit */
	uint32_t mode; /* permission bits, 07777 */
	uid_t uid;
	gid_t gid;
	int64_t mtime_ns;	  /* since the epoch: of the value, as set or as committed */
	int64_t own_mtime_ns;	  /* directory: as created or set, whatever came or went; else 0 */
	int64_t ctime_ns;	  /* of the last commit that changed the record */
	uint64_t ino;		  /* fixed at creation, kept by overwriting and renaming */
	uint64_t create_revision; /* a rename creates */
	uint64_t mod_revision;	  /* key: last change; directory: an entry came or went */
	uint64_t attribute_revision; /* directory: creation, chmod, chown, utimens; else 0 */
	uint64_t version;	     /* 1 at creation, +1 at each change */
	uint64_t size_bytes;	     /* of the value, or of the link text; directory: 0 */
	bool purged;   /* of the past: the value is forgotten, what is here is empty */
	GBytes *value; /* NULL: a directory, or a record from a listing */
};

/* A zeroed record of `type` with one reference. */
struct record *record_new(enum record_type type);
/* A copy with one reference; the value is shared. */
struct record *record_copy(const struct record *record);
struct record *record_ref(struct record *record);
void record_unref(struct record *record); /* accepts NULL */
/* Gives `record`, which nobody else may hold, another value (its reference is taken,
 * NULL: none) and the size of it. */
void record_take_value(struct record *record, GBytes *value);
DEFINE_AUTOPTR(record, record_unref);

/* ---- Snapshots ------------------------------------------------------------------ */

struct store;

/* The whole tree at one revision. Counted by reference; engines append their own fields. */
struct snapshot {
	gint refs; /* atomic */
	struct store *store;
	uint64_t revision; /* 0: the head, see store_head() */
};

/* The tree at `revision`, 0 for the newest. It stays as it is while it is held, whatever is
 * compacted or dropped meanwhile; but it keeps the space of all that was compacted since.
 * -ENOENT: not reached yet, or compacted; a revision that has a name, or that another
 * snapshot is held of, is not. */
int store_snapshot(struct store *store, uint64_t revision, struct snapshot **ret);

/* The tree as it is at each call: not a snapshot but the newest state, always. Borrowed
 * from the store, valid until store_close. */
struct snapshot *store_head(struct store *store);

struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot); /* accepts NULL */
DEFINE_AUTOPTR(snapshot, snapshot_unref);

/* The record of `key`. -ENOENT: there is none. -EIO: the store is damaged or failed. */
int snapshot_get(struct snapshot *snapshot, const char *key, struct record **ret);

/* Called for one entry of a listing; `record` is borrowed and has no value. Nonzero stops
 * the listing, which returns it. */
typedef int snapshot_visit_fn(const char *name, struct record *record, void *arg);

/* Visits the entries of `directory` in the order of stored keys (a directory sorts as its
 * name with a slash behind), those after `after` only unless it is NULL. A directory that
 * is absent has no entries. Costs the entries, not what lies below them. */
int snapshot_list(struct snapshot *snapshot, const char *directory, const char *after,
		  snapshot_visit_fn *visit, void *arg);

/* ---- Programs ------------------------------------------------------------------- */

enum compare_target {
	COMPARE_VALUE, /* against an absent key: false */
	COMPARE_VERSION,
	COMPARE_CREATE,
	COMPARE_MOD,
	COMPARE_ATTRIBUTE,
	COMPARE_INO,
}; /* numbers of an absent key are 0 */

enum compare_operator {
	COMPARE_EQUAL,
	COMPARE_NOT_EQUAL,
	COMPARE_LESS,
	COMPARE_GREATER,
	COMPARE_LESS_EQUAL,
	COMPARE_GREATER_EQUAL,
};

/* Holds of one key, or, when `tree`, of every value and symbolic link that is `key` or lies
 * below it; where there is none it is as for an absent key. */
struct compare {
	enum compare_target target;
	enum compare_operator operator;
	char *key;
	uint64_t number;
	GBytes *value; /* COMPARE_VALUE only; compared as bytes */
	bool tree;
	unsigned line; /* where it stands in a text, from 1, for failures; 0: in none */
	unsigned column;
};

enum {
	ATTRIBUTE_MODE = 1 << 0,
	ATTRIBUTE_UID = 1 << 1,
	ATTRIBUTE_GID = 1 << 2,
	ATTRIBUTE_MTIME = 1 << 3,
	ATTRIBUTE_ALL = ATTRIBUTE_MODE | ATTRIBUTE_UID | ATTRIBUTE_GID | ATTRIBUTE_MTIME,
};

/* A change of attributes: of those in `mask`, the others are ignored. */
struct attributes {
	unsigned mask;
	uint32_t mode;
	uid_t uid;
	gid_t gid;
	int64_t mtime_ns;
};

enum edit_kind {
	EDIT_WRITE,    /* data at `offset`; a gap before it becomes zeros */
	EDIT_APPEND,   /* data at the end */
	EDIT_TRUNCATE, /* cut or extend with zeros to `offset` bytes */
};

struct edit {
	enum edit_kind kind;
	uint64_t offset;
	GBytes *data;
};

enum op_kind {
	OP_PUT,	    /* sets the value; creates the key where it is absent */
	OP_PATCH,   /* applies edits to the value as it is then; -ENOENT where absent */
	OP_DELETE,  /* removes a key that is no directory; absent: changes nothing */
	OP_MKDIR,   /* -EEXIST when there is anything */
	OP_RMDIR,   /* -ENOTEMPTY; absent: changes nothing */
	OP_SYMLINK, /* -EEXIST when there is anything */
	OP_RENAME,  /* moves a key, or a directory with all below it, as rename(2) does */
	OP_ATTR,    /* changes attributes; -ENOENT where absent */
	OP_PROGRAM, /* a nested program; its compares see the state before the whole */
	/* Removes the key and all below it (of the root: all below it); absent: changes
	 * nothing. */
	OP_DELETE_TREE,
	OP_GET,	   /* changes nothing; sees what earlier operations of the program did */
	OP_ADD,	   /* the value is a number and becomes its sum with `number` (see struct op) */
	OP_MIN,	   /* ... the smaller of the two */
	OP_MAX,	   /* ... the larger of the two */
	OP_APPEND, /* adds `value` at the end of the value; creates the key where it is absent */
};

enum {
	OP_EXCLUSIVE = 1 << 0,	/* put: -EEXIST when the key is there; rename: NOREPLACE */
	OP_EXCHANGE = 1 << 1,	/* rename: the two change places */
	OP_PRESENT = 1 << 2,	/* delete, rmdir: -ENOENT when absent */
	OP_PARENTS = 1 << 3,	/* put, append, numbers: missing directories above are made */
	OP_TREE = 1 << 4,	/* get: the key and everything below it */
	OP_KEYS_ONLY = 1 << 5,	/* get: records without values */
	OP_COUNT_ONLY = 1 << 6, /* get: no records */
	OP_PREVIOUS = 1 << 7,	/* what changes or removes keys: the output has what they were */
	OP_SCRATCH = 1 << 8,	/* put, symlink: what is created is a scratch file; to the store
				* itself it means nothing */
	OP_MOVED = 1 << 9,	/* what is created was elsewhere before, and keeps its owner and
				* group whoever moves it */
	OP_AS_OWNER = 1 << 10,	/* the modes of directories do not hold up their owner, who
				* opened them for a while */
	OP_ALONG = 1 << 11,	/* the key comes or goes with its directory: nobody has
				* changed anything in that */
};

struct program;

/* One operation. What is created takes `mode`, and uid and gid of the program's
 * credentials (the gid of a setgid directory, which a new directory is in turn); then, as
 * on what is there already, `changes` is applied. A put keeps the attributes it does not
 * change; the modification time becomes the commit's unless `changes` has it.
 * Numbers are signed 64-bit ones as decimal text: a value is an optional minus, digits, and
 * at most one newline at the end, which is kept. Absent counts as 0. -EDOM: the value is no
 * number; -ERANGE: the sum is too large. What leaves the number of a key as it was changes
 * nothing. */
struct op {
	enum op_kind kind;
	unsigned flags;
	char *key;
	char *target;	  /* rename: the new key */
	GBytes *value;	  /* put, append: the value; symlink: the text of the link */
	int64_t number;	  /* add, min, max */
	uint64_t limit;	  /* get: of the keys found, in byte order, so many; 0: all */
	GPtrArray *edits; /* patch: of struct edit, in order */
	uint32_t mode;	  /* of what is created */
	uint64_t ino;	  /* of what is created; 0: a new one */
	struct attributes changes;
	struct program *program; /* OP_PROGRAM */
	unsigned line;		 /* where it stands in a text, from 1, for failures; 0: in none */
	unsigned column;
};

/* On whose behalf something is done. */
struct credentials {
	uid_t uid;
	gid_t gid;
	GArray *groups; /* gid_t, supplementary; NULL: none */
	uint32_t umask; /* taken off the mode of what is created; 0: modes are as wanted */
	pid_t pid;	/* of the process, for the log; 0: not known */
	char *command;	/* its name, for the log; NULL: not known */
};

struct credentials *credentials_copy(const struct credentials *credentials);
void credentials_free(struct credentials *credentials); /* accepts NULL */
DEFINE_AUTOPTR(credentials, credentials_free);

/* Asked before outputs take so many bytes more in memory: 0, or -EDQUOT. From any thread. */
typedef int program_charge_fn(void *arg, uint64_t bytes);

/* A program: when all compares hold the then-operations run in order, otherwise the
 * else-operations; atomically, under one revision if they change anything. Whatever the
 * compares say it never removes a directory that is not empty, never writes below one
 * that is absent, and, when `checked`, never writes what its credentials may not write at
 * that revision: then nothing of it is applied. With `checked_reads` the same goes for what
 * it compares and gets: as by files, the directories above must be searchable, those of a
 * tree readable, and values that are compared or got readable. */
struct program {
	GPtrArray *compares;		 /* struct compare */
	GPtrArray *then_ops;		 /* struct op */
	GPtrArray *else_ops;		 /* struct op; NULL: none */
	struct credentials *credentials; /* author and owner of what is created; owned */
	bool checked;			 /* permissions are checked at the revision */
	bool checked_reads;		 /* those to read, too */
	uint64_t max_output_bytes;	 /* of keys and values in outputs: -EDQUOT; 0: no outputs */
	program_charge_fn *charge;	 /* NULL: nobody is asked */
	void *charge_arg;
	char *id;      /* of the transaction, for the log; NULL: none */
	char *message; /* for the log; NULL: none */
	void *origin;  /* the submitter's, handed to watchers; not owned */
};

/* An empty program on behalf of a copy of `credentials`. */
struct program *program_new(const struct credentials *credentials);
void program_free(struct program *program); /* accepts NULL */
DEFINE_AUTOPTR(program, program_free);

/* Adds a compare of a number and returns it (the program owns it). */
struct compare *program_compare(struct program *program, enum compare_target target,
				enum compare_operator relation, const char *key, uint64_t number);
/* Adds a then-operation on `key` and returns it, to be completed (the program owns it). */
struct op *program_add(struct program *program, enum op_kind kind, const char *key);
/* The same for an else-operation. */
struct op *program_add_else(struct program *program, enum op_kind kind, const char *key);
/* Adds an edit to a patch; `data` (may be NULL) is referenced. */
void op_add_edit(struct op *op, enum edit_kind kind, uint64_t offset, GBytes *data);

/* Memory whose size a user chooses; without it GLib would abort. A copy of `size` bytes at
 * `data`; NULL: there is no memory for it. */
GBytes *bytes_try_new(const void *data, size_t size);
/* Makes room for `more` bytes at the end. False: there is no memory; it is as it was. */
bool string_try_reserve(GString *string, size_t more);

/* Applies `edits` to *value (NULL: empty), which becomes at most `max_bytes` long. Where its
 * reference is the only one the memory is changed in place, so that many small writes cost
 * what they write. On an error *value is as it was. -EFBIG: too long. -ENOMEM. */
int edits_change(GBytes **value, const GPtrArray *edits, uint64_t max_bytes);

/* Why a program did not do what it says: a compare that did not hold, or an operation
 * that was refused. */
struct failure {
	bool compare;			/* a compare, otherwise an operation */
	guint index;			/* of the compare in `compares`, or of the op in its path */
	const struct compare *expected; /* compare: which; borrowed */
	const struct op *op;		/* operation: which; borrowed */
	int error;			/* operation: negative errno; compare: why it could not
					 * be read, or 0 */
	char *key;			/* the key that stood in the way */
	bool absent;			/* compare: there was no such key */
	uint64_t found;			/* compare: the number found */
	GBytes *found_value;		/* compare of a value: that found; NULL: there was none */
	uint64_t change_revision;	/* of the commit that made it so; 0: unknown */
};

/* A key as a program found it. */
struct found {
	char *key;
	struct record *record; /* without its value where only keys were asked for */
};

/* What one operation of the path has to tell. */
struct output {
	const struct op *op; /* borrowed */
	uint64_t count;	     /* get: keys there are, whatever its limit; delete: keys removed;
			      * directories aside */
	int64_t number;	     /* add, min, max: the number as it is now */
	GPtrArray *found;    /* struct found, in byte order of keys: what a get found, or, for
			      * OP_PREVIOUS, what was there before; NULL: nothing */
};

struct program_result {
	int error;	     /* 0, or why nothing was applied (the first failure's error) */
	bool succeeded;	     /* all compares held */
	bool changed;	     /* it made a revision */
	uint64_t revision;   /* that revision, or the one the program saw */
	GPtrArray *failures; /* struct failure: compares, or all refused operations */
	GPtrArray *records;  /* struct record after each operation of the path, or NULL;
			      * a rename's is that of its target; empty where there are outputs */
	GArray *outputs;     /* struct output of each operation of the path, nested ones in
			      * their place; NULL: none were asked for, or nothing was done */
};

/* `result` and what it holds are valid during the call only. Called from any thread, with
 * no lock held, after the effects are durable and readable. */
typedef void program_done_fn(const struct program_result *result, void *arg);

/* Runs `program` (taken over) in its turn of the serial order and calls done(result, arg)
 * once, possibly before this returns. The caller may become the leader of a group and
 * then runs other callers' programs too; hold no lock.
 * Errors in the result: -EIO the store failed while writing and the outcome is unknown
 * until it is opened again; -EROFS it had failed before; -ENOSPC; -EFBIG a value is too
 * long; and of operations -ENOENT -EEXIST -ENOTDIR -EISDIR -ENOTEMPTY -EINVAL -ELOOP
 * -EACCES -EPERM -EDQUOT (too many keys, or outputs) -EDOM -ERANGE (numbers). */
void store_submit(struct store *store, struct program *program, program_done_fn *done, void *arg);

/* From now on lead(arg) is called by each thread that submits and finds that it has to lead a
 * group, before it does: it will wait for the disk, and run others' programs. It must not
 * submit. Set before the first submit. */
typedef void store_lead_fn(void *arg);
void store_on_lead(struct store *store, store_lead_fn *lead, void *arg);

/* Waits until everybody who has submitted is answered. */
void store_drain(struct store *store);

/* Evaluates the compares of `program` on the newest state without applying anything and
 * calls done before it returns. */
void store_evaluate(struct store *store, const struct program *program, program_done_fn *done,
		    void *arg);

/* ---- Overlays ------------------------------------------------------------------- */

/* Changes that lie over a snapshot and are not in the store: the write set of a
 * transaction, and what a group of programs is about to write. The same rules of
 * operations hold for both. Not thread-safe. */
struct overlay;

struct overlay_entry {
	char *key;
	struct record *base; /* what lies below, without its value; NULL: absent */
	struct record *now;  /* NULL: deleted */
	bool fresh;	     /* `now` was created here, it does not continue `base` */
	bool value_written;  /* `now` has a value of its own */
	unsigned attributes; /* ATTRIBUTE_*: set here by name */
};

struct overlay_limits {
	uint64_t max_value_bytes;  /* of one value: -EFBIG */
	uint64_t max_keys;	   /* entries: -EDQUOT */
	uint64_t max_values_bytes; /* keys and values of all entries together: -EDQUOT */
	uint64_t max_memory_bytes; /* the same with what entries take beside; 0: any: -EDQUOT */
};

/* An empty overlay over `snapshot` (referenced). */
struct overlay *overlay_new(struct snapshot *snapshot, const struct overlay_limits *limits);
void overlay_free(struct overlay *overlay); /* accepts NULL */
DEFINE_AUTOPTR(overlay, overlay_free);

/* Other limits from now on; what exceeds them already stays. */
void overlay_set_limits(struct overlay *overlay, const struct overlay_limits *limits);

/* As snapshot_get and snapshot_list, with the overlay's changes; entries of a listing come
 * in byte order of their names. */
int overlay_get(struct overlay *overlay, const char *key, struct record **ret);
int overlay_list(struct overlay *overlay, const char *directory, snapshot_visit_fn *visit,
		 void *arg);

/* The entry of `key`, borrowed until the next change, or NULL when it is not changed. */
const struct overlay_entry *overlay_find(struct overlay *overlay, const char *key);

/* Calls visit for every entry in byte order of keys; nonzero stops and is returned. */
typedef int overlay_visit_fn(const struct overlay_entry *entry, void *arg);
int overlay_foreach(struct overlay *overlay, overlay_visit_fn *visit, void *arg);

/* Keys changed, and bytes of their names and values. */
uint64_t overlay_keys(const struct overlay *overlay);
uint64_t overlay_bytes(const struct overlay *overlay);
/* What it takes in memory: with short keys many times that. */
uint64_t overlay_memory(const struct overlay *overlay);

/* Runs one operation (not OP_PROGRAM) at the time `now_ns` on behalf of `credentials`;
 * permissions are checked when `checked`. All or nothing. Returns the errors of
 * store_submit; *ret_key (may be NULL; caller frees) is then the key in the way, *ret (may
 * be NULL) otherwise the record after it, or NULL. That of a patch shares its value:
 * whoever keeps it makes the next patch copy. */
int overlay_apply(struct overlay *overlay, const struct op *op,
		  const struct credentials *credentials, bool checked, int64_t now_ns,
		  struct record **ret, char **ret_key);

/* ---- The log, and what commits tell --------------------------------------------- */

enum change_kind {
	CHANGE_PUT = 1,
	CHANGE_DELETE,
	CHANGE_MKDIR,
	CHANGE_RMDIR,
	CHANGE_SYMLINK,
	CHANGE_ATTR,
	CHANGE_TOUCH, /* a directory whose entries changed; not in the log */
};

const char *change_kind_name(enum change_kind kind); /* "put", "delete", ... */

struct change {
	enum change_kind kind;
	char *key;
	struct record *before; /* NULL: absent; not in the log. Values may be missing. */
	struct record *after;  /* NULL: deleted; not in the log */
};

struct log_entry {
	uint64_t revision;
	int64_t time_ns;
	uid_t uid;
	gid_t gid;
	pid_t pid;
	char *id;	    /* "": no transaction */
	char *command;	    /* "": not known */
	char *message;	    /* "": none */
	GPtrArray *changes; /* struct change without records, in key order */
	void *origin;	    /* to watchers only: of the program */

	/* Where the commit's line lies in the log as a text, see store_log_text(). */
	uint64_t line_offset;
	uint32_t line_size;
	/* Of the newest commit up to this one that was earlier than the one before it, which
	 * happens when the clock is set back; 0: there was none. */
	uint64_t clock_revision;
};

void log_entry_free(struct log_entry *entry); /* accepts NULL */
DEFINE_AUTOPTR(log_entry, log_entry_free);

/* The commit of `revision`. -ENOENT: compacted, or not reached yet. */
int store_log(struct store *store, uint64_t revision, struct log_entry **ret);

/* Nonzero stops. `entry` is borrowed. */
typedef int store_log_fn(const struct log_entry *entry, void *arg);

/* Visits the commits from `from_revision` on (0: from the oldest retained) in the order of
 * revisions, up to the newest there is when it begins. Returns what visit stopped with.
 * -ENOENT: from_revision is compacted. From a revision that is not reached yet: visits
 * none. So whoever goes on from the last revision visited whenever a watcher says that
 * there is more misses none and sees none twice. */
int store_log_list(struct store *store, uint64_t from_revision, store_log_fn *visit, void *arg);

/* Appends the line of a commit, fields separated by a TAB, with a newline: id, revision,
 * time, uid, pid, command, number of keys changed, message; "-" for an empty field. */
void log_entry_format(const struct log_entry *entry, GString *out);

/* The log as a text that grows: each line has its place from the day of its commit on, and
 * keeps it when older ones are compacted. *ret_begin: where the oldest retained line
 * begins; *ret_end: where the newest ends. A file that begins with the first retained line
 * is that text less the ret_begin of its open. */
int store_log_span(struct store *store, uint64_t *ret_begin, uint64_t *ret_end);

/* Appends at most `size` bytes of it from `offset` on; fewer at the end only.
 * -ENOENT: `offset` lies in what is compacted. */
int store_log_text(struct store *store, uint64_t offset, size_t size, GString *out);

/* The newest revision whose commit was at `time_ns` or before; where the clock was set
 * back, of several stretches of time the newest that has one counts. A time to come finds the
 * newest revision, but may find another one later. -ENOENT: all retained commits were
 * later. */
int store_find_revision(struct store *store, int64_t time_ns, uint64_t *ret);

/* `commit` has its changes with records, touched directories included; valid during the
 * call. */
typedef void store_watch_fn(const struct log_entry *commit, void *arg);

/* From now on calls watch(commit, arg) for every commit, in the order of revisions, from
 * the committing thread, when it is durable and readable and before anybody is told. It
 * must not wait and not submit. One watcher; set before the first submit. */
void store_watch(struct store *store, store_watch_fn *watch, void *arg);

/* ---- Time ----------------------------------------------------------------------- */

/* What a key was for a while. Before oldest_revision only what named snapshots need is
 * there; what lies between two versions is a time without the key, or compacted. */
struct version {
	struct record *record;	      /* borrowed */
	uint64_t revision;	      /* of the commit that made it so */
	uint64_t superseded_revision; /* of the one that changed or removed it; 0: it is so now */
};

/* Nonzero stops. */
typedef int store_history_fn(const struct version *version, void *arg);

/* Visits the retained versions of `key`, newest first, whether a value, a link or a
 * directory; records have their values when `with_values`. A directory has a version each
 * time an entry came or went. Visits none when the key never was. Returns what visit
 * stopped with. */
int store_history(struct store *store, const char *key, bool with_values, store_history_fn *visit,
		  void *arg);

struct named_snapshot {
	const char *name; /* borrowed */
	uint64_t revision;
	int64_t time_ns; /* when it was named */
	uid_t uid;	 /* by whom */
};

/* Gives `revision` (0: the newest) a name, durable when this returns, and keeps it from
 * compaction; *ret (may be NULL) is the revision. -EEXIST: the name is in use. -ENOENT:
 * the revision is not reached yet, or compacted and has no name. -EINVAL, -ENAMETOOLONG:
 * the name is not a component of a key. -EROFS, -EIO as of store_submit. */
int store_name_snapshot(struct store *store, const char *name, uint64_t revision, uid_t uid,
			uint64_t *ret);

/* -ENOENT; -EROFS, -EIO. Snapshots held of it stay. */
int store_drop_snapshot(struct store *store, const char *name);

/* The revision called `name`. -ENOENT. */
int store_find_snapshot(struct store *store, const char *name, uint64_t *ret);

/* Nonzero stops. */
typedef int store_snapshot_fn(const struct named_snapshot *snapshot, void *arg);

/* Visits them in byte order of their names; returns what visit stopped with. */
int store_list_snapshots(struct store *store, store_snapshot_fn *visit, void *arg);

/* How far a compaction or a purge is. */
struct compaction {
	bool running;		  /* or about to: it was asked for */
	uint64_t records_read;	  /* of history, in this pass */
	uint64_t records_total;	  /* an estimate of how many there are to read */
	uint64_t records_removed; /* so far */
	bool unreadable;	  /* purge: past values cannot be read any more */
	uint64_t held_snapshots;  /* purge: it waits for so many to be let go of; else 0 */
	uint64_t needed_bytes;	  /* purge: it waits for so many to be free on the disk; else 0 */
};

/* Called from the compacting thread now and then with `finished` false, and once, the last
 * time, with true. `error` is then 0; -ECANCELED when the store is closed before: it goes on
 * when it is opened next; -EIO, -EROFS, -ENOSPC: it could not, it is tried again later. */
typedef void store_compaction_fn(const struct compaction *progress, bool finished, int error,
				 void *arg);

/* Forgets what was before `revision`, which stays readable itself: oldest_revision is then
 * `revision`, durable when this returns, unless it was later already. The space is given
 * back in the background, beside commits, in small steps; progress (may be NULL) is told of
 * it. What named snapshots need is kept. Safe at any kill: the next opening goes on.
 * -ENOENT: not reached yet (then progress is never called). -EROFS, -EIO. */
int store_compact(struct store *store, uint64_t revision, store_compaction_fn *progress, void *arg);

/* Forgets every past value of `key`, in the background; what it is now stays. Past records
 * stay, without a value and `purged`. Messages in the log that hold such a value (of four
 * bytes or more, without its last newline) have asterisks in its place. Then the files of
 * the store are rewritten so that no trace of it is left, which can be only when all
 * snapshots that are held have been let go of, and the disk has room for it: progress (may be
 * NULL) is told when the past cannot be read any more, and what is waited for. The request is
 * durable when this returns, and goes on after any kill. Values that lie under other keys, by
 * a rename or copy, stay. -ENOENT: there is no such key and no past value of it. -ENOSPC: it
 * cannot be noted. -EROFS, -EIO. */
int store_purge(struct store *store, const char *key, store_compaction_fn *progress, void *arg);

/* A checkpoint: a directory beside the database that holds all of it as it was at one
 * revision, by links to the same files, to be copied from (see backup.h). It keeps space as a
 * snapshot that is held does; whoever made it removes it, and the next opening those that
 * were left. Waits for the disk. *ret_path: caller frees. -EOPNOTSUPP: the store is in
 * memory. -ENOSPC, -EROFS, -EIO. */
int store_checkpoint(struct store *store, char **ret_path);
void store_remove_checkpoint(const char *path); /* accepts NULL */

/* ---- The store ------------------------------------------------------------------ */

enum store_sync { STORE_SYNC_ALWAYS, STORE_SYNC_NONE, STORE_SYNC_INTERVAL };

struct store_options {
	const char *path; /* of the directory; NULL: in memory */
	enum store_sync sync;
	uint64_t sync_interval_ms; /* STORE_SYNC_INTERVAL */
	uint64_t max_value_bytes;
	uint64_t max_program_keys; /* keys one program may change: -EDQUOT */

	/* Go on without the commits that a damaged write-ahead log has lost, and say so in the
	 * log of commits. */
	bool accept_loss;

	uint64_t slow_ms; /* commits that take as long are logged; 0: none */
	/* History is compacted by itself, some time after it has come to more than so many
	 * revisions, or to trees that ended longer ago than that. 0: no such limit. */
	uint64_t history_revisions;
	int64_t history_age_ns;
	const struct store_key *key; /* of an encrypted store; store_open alone uses it */
};

/* Defaults: sync always, 16 MiB values, 1,000,000 keys, 30 days of history. */
void store_options_init(struct store_options *options);

/* Encrypting everything with a new data key, after the key was changed. */
struct resealing {
	bool running;
	uint64_t records_done;
	uint64_t records_total; /* an estimate */
};

struct store_status {
	char id[37]; /* of the store, a UUID */
	uint64_t revision;
	uint64_t oldest_revision;
	uint64_t keys; /* an estimate, directories included */
	uint64_t disk_bytes;
	uint64_t commits;	      /* since it was opened */
	uint64_t groups;	      /* batches they were written in */
	bool read_only;		      /* it failed */
	uint64_t snapshots;	      /* that have a name */
	struct compaction compaction; /* the one under way, or the last */
	uint64_t data_key;	      /* number of the one used; 0: it is not encrypted */
	struct resealing resealing;
};

/* Makes an empty store, root directory 0755 of the caller, in a directory that is missing
 * or empty. -EEXIST: it is a store already; -ENOTEMPTY; others of mkdir(2), open(2). A
 * message for people, made whole, in *ret_message (caller frees) on an error. */
int store_create(const char *path, char **ret_message);
/* One that is encrypted with `key`. -ENOMEM too. */
int store_create_encrypted(const char *path, const struct store_key *key, char **ret_message);

/* Opens a store; in memory, creates it. *ret_message as above. -ENOENT no such directory;
 * -EINVAL not a store; -EPROTO a newer format; -EBUSY another process has it open;
 * -EUCLEAN damaged, nothing was changed; -EACCES, -EROFS and others of open(2). -ENOKEY: it is
 * encrypted and there is no key, -EKEYREJECTED: the key is another one, -EINVAL: it is not
 * encrypted but there is a key, or that is no file but a passphrase or the other way round;
 * nothing was changed then. */
int store_open(const struct store_options *options, struct store **ret, char **ret_message);

/* Makes `new_key` the key of a store that nobody has open, at once, and has it make a new data
 * key, with which everything is encrypted when it is opened next. Killed at any moment, it has
 * the one key or the other. Errors as of store_open; -EBUSY also: it was changed very often
 * since it was opened last. */
int store_change_key(const char *path, const struct store_key *old_key,
		     const struct store_key *new_key, char **ret_message);

/* No call may be under way and no snapshot open. Accepts NULL. */
void store_close(struct store *store);

uint64_t store_revision(struct store *store);
void store_get_status(struct store *store, struct store_status *ret);

/* ---- Keys of encrypted stores --------------------------------------------------- */

/* A key lies in memory that is not swapped; and a process that reads or makes one leaves no
 * core dump, and is closed to other processes of its user, from then on. It is borrowed where
 * it is given; free it when the store is open. *ret_message as above. */
struct store_key;

/* From a file: 32 bytes, or 64 hexadecimal digits. -EPERM: it is no file of the caller's or of
 * root's alone; -ELOOP: it is a link; -EINVAL: it holds no key; others of open(2). */
int store_key_read_file(const char *path, struct store_key **ret, char **ret_message);
/* Makes such a file, of a random key; it must not be there. -EEXIST and others of open(2). */
int store_key_write_file(const char *path, char **ret_message);
/* A passphrase: the line that comes from `fd`, or is typed at the terminal after a question,
 * twice the same. -ENODATA: it is empty; -EMSGSIZE: it is too long; -EINVAL: not the same;
 * -ENXIO: there is no terminal. */
int store_key_read_passphrase(int fd, struct store_key **ret, char **ret_message);
int store_key_ask_passphrase(const char *question, bool twice, struct store_key **ret,
			     char **ret_message);
void store_key_free(struct store_key *key); /* accepts NULL */

/* ---- Measuring ------------------------------------------------------------------ */

enum store_step {
	STORE_STEP_WAIT,     /* of a program: in the queue */
	STORE_STEP_EVALUATE, /* of a group: compares and operations */
	STORE_STEP_WRITE,    /* of a group: writing and syncing its batch */
	STORE_STEP_TELL,     /* of a group: the watcher, and all who wait for it */
	STORE_STEPS,
};

/* What programs came to since the store was opened; readable at any time. */
struct store_metrics {
	struct histogram commit_times; /* of programs, from submit until done is called */
	struct histogram steps[STORE_STEPS];
	struct histogram group_sizes; /* commits of one batch */
	uint64_t batch_bytes;	      /* atomic: written to the log of the engine */
	uint64_t syncs;		      /* atomic: of that log, by those who commit */
	uint64_t cache_hits;	      /* atomic: records found in memory */
	uint64_t cache_misses;	      /* atomic */
};

void store_get_metrics(struct store *store, struct store_metrics *ret);

/* A number that the engine, or what lies below it, tells of itself. All of one name come one
 * after the other. Borrowed for the call. */
struct store_statistic {
	const char *name; /* lower case and underscores; a counter's ends with _total */
	const char *help; /* one line */
	bool counter;	  /* it only grows; otherwise it comes and goes */
	const char *label;
	const char *value; /* of `label`; both NULL: none */
	uint64_t number;
};

typedef void store_statistic_fn(const struct store_statistic *statistic, void *arg);
void store_visit_statistics(struct store *store, store_statistic_fn *visit, void *arg);

/* A new inode number, never given before and never again in this store. */
uint64_t store_new_ino(struct store *store);

/* 0 when `bytes` more can be written as far as can be known now; -ENOSPC; -EROFS. */
int store_check_space(struct store *store, uint64_t bytes);

/* Size of the disk and what is free on it; both 0 when not known. */
void store_get_space(struct store *store, uint64_t *ret_total_bytes, uint64_t *ret_free_bytes);

/* ---- Wrappers for tests --------------------------------------------------------- */

/* `line` describes one call and its outcome; valid during the call. */
typedef void store_trace_fn(const char *line, void *arg);

/* A store that hands every call to `inner` (taken over, closed with it) and tells of it. */
struct store *store_trace_new(struct store *inner, store_trace_fn *trace, void *arg);

/* A store whose `nth` failing-capable call from now (1: the next; get, list, snapshot,
 * submit, and all of the log and of time count) fails with `error`, a negative errno, without
 * reaching `inner` (taken over). 0: none fails. */
struct store *store_fault_new(struct store *inner, guint nth, int error);
void store_fault_set(struct store *fault, guint nth, int error);
