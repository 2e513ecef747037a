/* The cache of records: one place for each hash of a key, the newest wins. */
#include "store/cache.h"

#include "store/record.h"

#include <pthread.h>
#include <string.h>

#define SLOTS 16384 /* a power of two */
/* Larger values cost more to keep than a lookup does. */
#define VALUE_SIZE_MAX 512

struct slot {
	char *key; /* NULL: empty */
	struct record *record;
};

struct cache {
	pthread_mutex_t lock;
	struct slot slots[SLOTS]; /* lock */
	uint64_t hits;		  /* atomic */
	uint64_t misses;	  /* atomic */
};

static guint slot_of(const char *key)
{
	return g_str_hash(key) & (SLOTS - 1);
}

static void clear_slot(struct slot *slot)
{
	g_clear_pointer(&slot->key, g_free);
	g_clear_pointer(&slot->record, record_unref);
}

struct cache *cache_new(void)
{
	struct cache *cache = g_new0(struct cache, 1);

	pthread_mutex_init(&cache->lock, NULL);
	return cache;
}

void cache_clear(struct cache *cache)
{
	pthread_mutex_lock(&cache->lock);
	for (guint i = 0; i < SLOTS; i++)
		clear_slot(&cache->slots[i]);
	pthread_mutex_unlock(&cache->lock);
}

void cache_free(struct cache *cache)
{
	if (!cache)
		return;
	cache_clear(cache);
	pthread_mutex_destroy(&cache->lock);
	g_free(cache);
}

struct record *cache_get(struct cache *cache, const char *key, uint64_t revision)
{
	const struct slot *slot = &cache->slots[slot_of(key)];
	struct record *record = NULL;

	pthread_mutex_lock(&cache->lock);
	if (slot->key && strcmp(slot->key, key) == 0 &&
	    (!revision || record_last_revision(slot->record) <= revision))
		record = record_ref(slot->record);
	pthread_mutex_unlock(&cache->lock);
	__atomic_fetch_add(record ? &cache->hits : &cache->misses, 1, __ATOMIC_RELAXED);
	return record;
}

void cache_get_counts(const struct cache *cache, uint64_t *ret_hits, uint64_t *ret_misses)
{
	*ret_hits = __atomic_load_n(&cache->hits, __ATOMIC_RELAXED);
	*ret_misses = __atomic_load_n(&cache->misses, __ATOMIC_RELAXED);
}

static void set_slot(struct slot *slot, const char *key, struct record *record)
{
	bool same = slot->key && strcmp(slot->key, key) == 0;

	if (!record || record->size_bytes > VALUE_SIZE_MAX) {
		if (same)
			clear_slot(slot);
		return;
	}
	if (!same) {
		clear_slot(slot);
		slot->key = g_strdup(key);
	}
	record_unref(slot->record);
	slot->record = record_ref(record);
}

void cache_set(struct cache *cache, const char *key, struct record *record)
{
	pthread_mutex_lock(&cache->lock);
	set_slot(&cache->slots[slot_of(key)], key, record);
	pthread_mutex_unlock(&cache->lock);
}
