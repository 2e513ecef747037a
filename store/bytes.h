/* Memory of large bytes, which is got without aborting, and given back to who holds its last
 * reference. From any thread. */
#pragma once

#include "store/store.h"

/* From this size on bytes are large: smaller ones are GLib's, which aborts without memory. */
#define BYTES_LARGE ((size_t)65536)

/* Memory of large bytes while they are made or changed; nobody else has it. */
struct large;

/* Of `room` bytes, which hold anything; NULL: there is no memory. */
struct large *large_try_new(size_t room);
/* The memory of `*value`, which is gone then and NULL. NULL: it is not large, or others hold it
 * too; then *value is as it was. */
struct large *large_take(GBytes **value);
void large_free(struct large *large); /* accepts NULL */
guint8 *large_data(struct large *large);
/* Gives it `room` bytes, to which what it held is kept. False: there is no memory, and it is
 * as it was. */
bool large_resize(struct large *large, size_t room);
/* Its first `size` bytes, as a value. Takes `large`. */
GBytes *large_to_bytes(struct large *large, size_t size);
