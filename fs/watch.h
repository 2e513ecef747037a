/* MNT/watch: streams of changes, one for each handle that is open for reading and writing. */
#pragma once

#include "fs/control.h"

/* What a handle reads that nothing was written to. */
text_fn text_watch;
/* A write to it: from where on it watches what. */
action_fn act_watch;

/* `PREFIX [FROM_REVISION]`: a last word of digits behind a blank is the revision (0: there is
 * none), the rest an escaped key (caller frees). -EINVAL: it is not so. */
int watch_parse(const char *data, size_t size, char **ret_prefix, uint64_t *ret_from);

/* -EAGAIN: no thread can be started. */
int watch_hub_new(struct fs *fs, struct watch_hub **ret);
/* Answers who waits, and ends its thread. Accepts NULL. */
void watch_hub_stop(struct watch_hub *hub);
void watch_hub_free(struct watch_hub *hub); /* accepts NULL */

/* From the committing thread, for each commit in turn. */
void watch_commit_seen(struct watch_hub *hub, const struct log_entry *commit);

int watch_open(struct handle *handle, struct fuse_file_info *info);
void watch_read(struct handle *handle, fuse_req_t req, size_t size, int flags);
void watch_poll(struct handle *handle, fuse_req_t req, struct fuse_pollhandle *poll);
void watch_release(struct handle *handle); /* of any handle */
