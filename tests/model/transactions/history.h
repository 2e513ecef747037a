/* What processes did to a mount and what they saw of it: a record for each transaction and
 * each call on the live tree, written to one file per process and read back to be checked.
 *
 * A call is one change or one look, and its result is text, so that the same call can be
 * run on the model and the two results compared. Values hold no TAB and no line end; what
 * was read and holds some is escaped, and so equals nothing that was ever written. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum call {
	CALL_READ,   /* result: the value */
	CALL_STAT,   /* result: `directory` or the size */
	CALL_LIST,   /* result: the names, a blank between, directories with a slash */
	CALL_PUT,    /* text: the value */
	CALL_APPEND, /* text: what to append */
	CALL_REMOVE,
	CALL_MKDIR,
	CALL_RMDIR,
	CALL_RENAME, /* text: the new name */
	CALL_COUNT,
};

struct event {
	enum call call;
	int error; /* an errno, 0: none */
	const char *key;
	const char *text;   /* "" for most */
	const char *result; /* "" for changes and errors */
};

enum level {
	LEVEL_SERIALIZABLE_SNAPSHOT,
	LEVEL_SERIALIZABLE,
	LEVEL_SNAPSHOT,
	LEVEL_LIVE, /* no transaction: a single call on the live tree */
	LEVEL_COUNT,
};

enum outcome {
	OUTCOME_COMMITTED,
	OUTCOME_CONFLICT,
	OUTCOME_ABORTED, /* never committed: only looked, or thought better of it */
	OUTCOME_LIVE,
	OUTCOME_CUT,	/* the mount died before it answered: either is right */
	OUTCOME_UNSEEN, /* it was answered well; the mount died before more was asked */
	OUTCOME_COUNT,
};

struct record {
	unsigned process, sequence;
	const char *kind;
	enum level level;
	enum outcome outcome;
	uint64_t base;	   /* the revision of the snapshot */
	uint64_t revision; /* of the commit. Live: 0 when it is not known */
	uint64_t floor;	   /* was acknowledged to somebody before this began */
	uint64_t ceiling;  /* live: the store's revision afterwards */
	pid_t pid;	   /* of the process */
	const char *id;	   /* of the transaction, as in the log; "": not asked for */
	GArray *events;	   /* struct event */
};

struct history {
	GStringChunk *strings; /* what records point to */
	GPtrArray *records;    /* struct record */
	uint64_t first;	       /* the revision before the first record */
	uint64_t last;	       /* the revision after the last one */
};

const char *call_name(enum call call);
const char *level_name(enum level level);
static inline bool call_changes(enum call call)
{
	return call >= CALL_PUT;
}

void record_init(struct record *record);
void record_done(struct record *record);
/* Borrows the strings. */
void record_add(struct record *record, const struct event *event);
struct event *record_event(const struct record *record, unsigned index);
/* True when a call of it changed something in its own view. */
bool record_has_changes(const struct record *record);
/* For a file of records. */
void record_write(const struct record *record, FILE *file);
/* For people. */
void record_describe(const struct record *record, GString *out);

struct history *history_new(void);
void history_free(struct history *history); /* accepts NULL */
/* Adds the records of a file. 0 or a negative errno; -EINVAL: that is no file of records. */
int history_read(struct history *history, const char *path);
/* A deep copy, but for the strings. */
struct history *history_copy(const struct history *history);
/* A copy of `text` that lives as long as the history and its copies. */
const char *history_string(struct history *history, const char *text);

/* `bytes` as text, what is not printable as \ooo. */
void escape_bytes(GString *out, const char *bytes, size_t size);
