/* A session from inside: shared by session.c and session_commit.c. */
#pragma once

#include "fs/housekeeper.h"
#include "fs/session.h"

/* Who asked for a commit while one was on its way. */
struct queued_commit {
	session_done_fn *done;
	void *arg;
};

struct session {
	gint refs;		    /* atomic */
	struct fs *fs;		    /* set once */
	struct node *node;	    /* set once, held */
	struct credentials *author; /* set once: who opened it */
	struct process opener;	    /* set once */
	bool append;		    /* set once */
	bool synchronous;	    /* set once: O_SYNC, O_DSYNC: every write commits */

	bool over; /* of the node table's lock: the name it had reserved is another's file by now */

	pthread_mutex_t lock;
	/* All that follows is under it. */
	bool committing;  /* a commit is on its way: the next one waits for it */
	GArray *queued;	  /* struct queued_commit: who waits for the next one */
	bool replace;	  /* the commit sets the whole value */
	bool created;	  /* and so does its first one of a new name, if it still is */
	bool releasing;	  /* its RELEASE is being answered */
	bool pending;	  /* there is something to commit */
	bool written;	  /* by a write, truncation or attributes, since the last commit */
	int refused;	  /* the error of a write that was refused: nothing is committed */
	bool discarded;	  /* its file is gone */
	bool closed;	  /* nobody it knows of holds a descriptor */
	GBytes *image;	  /* the value as the handle sees it; NULL: empty */
	GPtrArray *edits; /* struct edit, not committed, unless `replace` */
	uint64_t uncommitted_bytes;
	int64_t charged_bytes;	   /* to the opener's user */
	struct attributes changes; /* not committed */
	int64_t last_write_us;	   /* monotonic */
};

/* An empty list of struct edit. */
GPtrArray *session_edits_new(void);
