/* Opening what is encrypted with the key that users have. */
#pragma once

#include "store/seal.h"

/* The data keys of the store in `layout`. As sealer_open; -ENOENT: it has none. */
int unlock(const struct layout *layout, const struct store_key *key, struct sealer **ret);

/* 0: a store that is `encrypted` or not goes with `key` (NULL: none) so far. -ENOKEY,
 * -EINVAL: it does not, and *ret_message says so. */
int unlock_check(const char *path, bool encrypted, const struct store_key *key, char **ret_message);

/* Says what an error of unlock(), or of making data keys, means for who was to `action` ("open")
 * the store. Returns the error for store_open. */
int unlock_refuse(const char *action, const char *path, int error, const struct store_key *key,
		  char **ret_message);
