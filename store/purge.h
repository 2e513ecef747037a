/* Purging: a key's past values are forgotten, on the disk as well. */
#pragma once

#include "store/store.h"

struct local;
struct purge;

/* Notes durably that `key` is to be purged. -ENOENT: there is nothing of it. */
int purge_request(struct local *local, const char *key, store_compaction_fn *progress, void *arg,
		  struct purge **ret);
/* One that was noted before; `bytes` is what the note has. */
struct purge *purge_resume(struct local *local, const char *key, const void *bytes, size_t size);
void purge_free(struct purge *purge);

/* When it can go on, by the monotonic clock: INT64_MAX while snapshots are held that may still
 * read what is to be forgotten; later than now where the disk had no room for it. */
int64_t purge_due_ns(const struct purge *purge);
/* Goes on as far as it can now. True: it is finished, or failed, and whoever asked knows. */
bool purge_go_on(struct purge *purge);
/* Tells whoever asked that it goes on at the next opening. */
void purge_cancel(struct purge *purge);
