/* Sorting more than fits in memory: small entries, in a database of their own in the
 * directory for temporary files, which goes with it, or with the next
 * one when the process is killed. For one thread. */
#pragma once

#include <glib.h>
#include <stddef.h>

struct sorter;

/* -EIO: it cannot be made, which was said. */
int sorter_new(struct sorter **ret);
void sorter_free(struct sorter *sorter); /* accepts NULL */

/* Adds an entry, unless it is there. -EIO */
int sorter_add(struct sorter *sorter, const void *entry, size_t size);

/* Visits all entries in the order of their bytes; nonzero stops and is returned. */
typedef int sorter_visit_fn(const void *entry, size_t size, void *arg);
int sorter_visit(struct sorter *sorter, sorter_visit_fn *visit, void *arg);
