/* Records of the head that commits wrote lately. The committer reads most of what it
 * compares and supersedes from here, since who changes a key has often changed it before.
 * Only the leader uses it: it has no lock. */
#pragma once

#include "store/store.h"

struct cache;

struct cache *cache_new(void);
void cache_free(struct cache *cache); /* accepts NULL */

/* The record of `key` (caller unrefs), or NULL: not known here. */
struct record *cache_get(struct cache *cache, const char *key);
/* `key` is `record` now, NULL: absent. */
void cache_set(struct cache *cache, const char *key, struct record *record);
/* Forgets everything. */
void cache_clear(struct cache *cache);

/* How often cache_get found something, and nothing; from any thread. */
void cache_get_counts(const struct cache *cache, uint64_t *ret_hits, uint64_t *ret_misses);
