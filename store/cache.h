/* Records of the head that commits wrote lately: who reads or changes a key has often changed
 * it before, and a record from here costs a tenth of a look into RocksDB, of which a directory
 * needs two. Thread-safe.
 *
 * Before a group is written the committer takes out what it changes, and sets it when that is
 * through: so whoever reads at a revision finds here what it left, something newer, which is
 * refused, or nothing. */
#pragma once

#include "store/store.h"

struct cache;

struct cache *cache_new(void);
void cache_free(struct cache *cache); /* accepts NULL */

/* The record of `key` as it is at `revision`, 0: now (caller unrefs); or NULL: not known here. */
struct record *cache_get(struct cache *cache, const char *key, uint64_t revision);
/* `key` is `record` now, NULL: absent. */
void cache_set(struct cache *cache, const char *key, struct record *record);
/* Forgets everything. */
void cache_clear(struct cache *cache);

/* How often cache_get found something, and nothing. */
void cache_get_counts(const struct cache *cache, uint64_t *ret_hits, uint64_t *ret_misses);
