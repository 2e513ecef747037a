/* Histograms: how often a number was up to 1, 2, 4, 8, ... Fixed, small and without locks:
 * any thread adds to one while any other reads it, and what is read is at worst a moment
 * old. Included by store.h, so that every layer measures in the same way. */
#pragma once

#include <stdint.h>

/* Up to 2^0, 2^1, ... 2^(HISTOGRAM_BOUNDS - 1), and all above: of microseconds, half a
 * minute. */
enum { HISTOGRAM_BOUNDS = 26, HISTOGRAM_BUCKETS = HISTOGRAM_BOUNDS + 1 };

struct histogram {
	uint64_t buckets[HISTOGRAM_BUCKETS]; /* atomic: each by itself, not summed up */
	uint64_t sum;			     /* atomic */
};

/* The bucket of `number`. */
static inline unsigned histogram_bucket(uint64_t number)
{
	unsigned bucket = number <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(number - 1);

	return bucket < HISTOGRAM_BOUNDS ? bucket : HISTOGRAM_BOUNDS;
}

/* Adds a number, such as a size. */
static inline void histogram_add(struct histogram *histogram, uint64_t number)
{
	__atomic_fetch_add(&histogram->buckets[histogram_bucket(number)], 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&histogram->sum, number, __ATOMIC_RELAXED);
}

/* Adds a time: buckets are of microseconds, the sum is of nanoseconds. A clock that went
 * backwards counts as no time. */
static inline void histogram_add_ns(struct histogram *histogram, int64_t ns)
{
	uint64_t time = ns > 0 ? (uint64_t)ns : 0;

	__atomic_fetch_add(&histogram->buckets[histogram_bucket((time + 999) / 1000)], 1,
			   __ATOMIC_RELAXED);
	__atomic_fetch_add(&histogram->sum, time, __ATOMIC_RELAXED);
}

/* Adds what `from` holds, which may be growing meanwhile. */
static inline void histogram_add_all(struct histogram *into, const struct histogram *from)
{
	for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->buckets[i] += __atomic_load_n(&from->buckets[i], __ATOMIC_RELAXED);
	into->sum += __atomic_load_n(&from->sum, __ATOMIC_RELAXED);
}

static inline uint64_t histogram_count(const struct histogram *histogram)
{
	uint64_t count = 0;

	for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
		count += histogram->buckets[i];
	return count;
}
