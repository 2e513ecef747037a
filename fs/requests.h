/* Counting and timing requests: every one the kernel sends and every reply, at the two
 * places they all pass. */
#pragma once

#include "store/store.h"

struct fuse_session;

enum { REQUEST_KINDS = 64, NOTICE_KINDS = 8 };

struct requests;

struct requests *requests_new(void);
void requests_free(struct requests *requests); /* accepts NULL */

/* From now on the session's requests and replies are counted; when it is mounted, before it
 * is served. Negative errno. */
int requests_watch(struct fuse_session *session);

/* What one kind of request came to. */
struct request_count {
	uint64_t received;
	struct histogram seconds; /* from its arrival until its reply */
};

/* What has been counted until now: of each kind of request (its number is the kernel's), and
 * of each kind of notification. */
struct request_counts {
	struct request_count kinds[REQUEST_KINDS];
	uint64_t notices[NOTICE_KINDS];
};

void requests_get(const struct requests *requests, struct request_counts *ret);

/* The name of a kind, in lower case; NULL: there is no such kind. */
const char *request_name(unsigned kind);
const char *notice_name(unsigned kind);
