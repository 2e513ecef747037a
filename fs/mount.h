/* The mount from inside: what the files of fs/ share. */
#pragma once

#include "fs/node.h"

#include <fuse_lowlevel.h>

/* Seconds; the kernel's caches are told of what changes. */
#define TIMEOUT_LONG 86400.0
#define TIMEOUT_NONE 0.0

struct notifier;
struct housekeeper;
struct pruner;
struct requests;
struct watcher;
struct watch_hub;
struct gate;
struct lock_table;
struct scratch_names;

struct fs {
	struct fs_options options;    /* set once */
	struct store *store;	      /* set once */
	struct registry *registry;    /* set once */
	struct fuse_session *session; /* set once */
	struct tree *live;	      /* set once */
	struct node *live_root;	      /* set once: keys/, held */
	struct tree *meta;	      /* set once */
	struct node_table nodes;
	GHashTable *handles;		 /* of the node table's lock: all struct handle */
	uint64_t seen_revision;		 /* of the node table's lock: what it has followed */
	uint64_t shape_revision;	 /* of the same: of the last commit that did not just
					  * give keys other values */
	struct notifier *notifier;	 /* set once: of names */
	struct notifier *pages;		 /* set once: of pages, which never wait for names */
	struct housekeeper *housekeeper; /* set once */
	struct pruner *pruner;		 /* set once */
	struct requests *requests;	 /* set once: counts them */
	struct lock_table *locks;	 /* set once */
	struct gate *gate;		 /* set once */
	struct scratch_names *scratch;	 /* set once */
	uid_t owner_uid;		 /* set once: who mounted */
	gid_t owner_gid;		 /* set once */
	int64_t mounted_ns;		 /* set once */
	/* Grows before attributes of live directories are invalidated: who read them before
	 * must not let the kernel keep them. */
	gint directory_epoch; /* atomic */
	/* Grows before the kernel is told to forget names of the past: who looked one up before
	 * must not let it keep the name. */
	gint rights_epoch;     /* atomic */
	gint compaction_steps; /* atomic: how often it has told that it went on */
	gint compaction_error; /* atomic: what the last one ended with */
	gint sessions;	       /* atomic: that are open */
	gint blind_flushes;    /* atomic: the writer's descriptors could not be read */
	gint lost_sessions;    /* atomic: of killed writers, and those open at the end */
	pthread_mutex_t poll_lock;
	GHashTable *poll_handles; /* poll_lock: struct handle that somebody polls */
	GPtrArray *log_handles;	  /* poll_lock: struct handle of the log */
	struct watch_hub *watch;  /* set once */
	pthread_mutex_t provisional_lock;
	GHashTable *provisional; /* provisional_lock: tid -> struct provisional */
	gint provisional_count;	 /* atomic: of `provisional` */
};

/* ---- Replies -------------------------------------------------------------------- */

/* The only place that turns a negative errno for the kernel; 0 is success. */
void reply_error(fuse_req_t req, int error);
/* Replies with a node that was obtained with one lookup; takes it back when nobody waits
 * any more. */
void reply_entry(fuse_req_t req, struct node *node, const struct fuse_entry_param *entry);
/* Replies to READ with the part of `bytes` (NULL: empty) at `offset`. */
void reply_bytes(fuse_req_t req, GBytes *bytes, size_t size, off_t offset);

/* What stat(2) shows of a record in `tree`. */
void record_attributes(const struct tree *tree, const struct record *record,
		       struct stat *attributes);

/* ---- Callers -------------------------------------------------------------------- */

/* The caller of a request, with its process's number and name; groups only where they are
 * needed to check permissions. Caller frees. */
struct credentials *caller_credentials(fuse_req_t req);
/* The same, with what is known of the process; its pid is 0 when nothing is. */
struct credentials *caller_credentials_process(fuse_req_t req, struct process *ret_process);
/* The same without the process, which costs a look into /proc: for what is not a commit of
 * its own. */
struct credentials *caller_rights(fuse_req_t req);
/* The same with the umask of the caller, where the request does not bring it. */
struct credentials *opener_credentials(fuse_req_t req);

/* ---- Handles -------------------------------------------------------------------- */

struct listed_entry {
	char *name;
	enum record_type type;
	uint64_t ino;
	struct record *record; /* of a live tree's entry, for READDIRPLUS; NULL: none */
};

/* What the kernel calls an open file or directory. */
struct handle {
	struct fs *fs;
	struct node *node; /* held */
	int flags;	   /* of open(2) */
	uid_t opener;	   /* set once, before the reply to the open */
	gint charged;	   /* atomic: KiB that its opener is charged for what it holds */
	gint locked;	   /* atomic: something was locked through it */

	/* Keys. */
	struct session *session; /* live, opened for writing */
	GBytes *value;		 /* lock; live and past, for reading: that of OPEN, or when it
				  * was locked; NULL: empty */
	struct record *record;	 /* in a transaction, for reading: the record at OPEN */
	bool cached;		 /* in a transaction: reads through the kernel's page cache */
	uint64_t round;		 /* in a transaction: when it was opened */

	/* Directories: pinned at the first READDIR, and again after rewinddir. */
	pthread_mutex_t lock;
	GPtrArray *entries;	   /* lock: struct listed_entry */
	struct snapshot *snapshot; /* set once; of the past: what is listed; lock, of
				    * control/record: what is asked about */

	/* Control files. */
	GBytes *text;		       /* lock: made at a READ from the beginning */
	char *key;		       /* lock: of control/history and record: what is asked for */
	char *checkpoint;	       /* lock: of control/backup: goes with the handle */
	struct forgetting *forgetting; /* lock: compact, purge: asked for last; or NULL */
	bool begun;		       /* lock: commit or message was written */
	struct eval *eval;	       /* set once: of eval, opened for writing; NULL: no such */
	struct fuse_pollhandle *poll;  /* of fs->poll_lock: the newest, or NULL */
	uint64_t seen_revision;	 /* of fs->poll_lock: it, or compaction_steps, at the last READ */
	struct watcher *watcher; /* set once: of a stream of changes; or NULL */
	uint64_t log_begin;	 /* set once; of the log: where its first line was at OPEN */
	pid_t log_reader;	 /* set once; of the log: the process that opened it */
};

struct handle *handle_new(struct fs *fs, struct node *node, int flags);
void handle_free(struct handle *handle);

/* From now on it holds `bytes` in memory, in all: a value, a listing or a text. What is small
 * costs no more than the open file does anyway, and is free. -EDQUOT: that is more than its
 * opener may have; then it is charged as before. */
int handle_charge(struct handle *handle, uint64_t bytes);

static inline struct handle *handle_of(const struct fuse_file_info *info)
{
	return (struct handle *)(uintptr_t)info->fh;
}

/* Replies to OPEN or OPENDIR, with an error where the handle's value is more than its opener
 * may have; frees the handle then, and when nobody waits any more, since no RELEASE will
 * come. */
void reply_open(fuse_req_t req, struct handle *handle, struct fuse_file_info *info);
