/* Permissions, as path_resolution(7) has them, for programs that are `checked`. Root may
 * do everything. All answer 0, -EACCES, -EPERM, or an error of reading. */
#pragma once

#include "store/store.h"

/* Every directory above `key` may be searched; `as_owner`: whatever its mode by its owner. */
int access_check_search(struct overlay *overlay, const struct credentials *credentials,
			const char *key, bool as_owner);

/* The value of `record` may be read. */
int access_check_read(const struct credentials *credentials, const struct record *record);

/* The entries of `directory` may be listed and reached. */
int access_check_list(const struct credentials *credentials, const struct record *directory);

/* The value of `record` may be written; `changes` come with the write. */
int access_check_write(const struct credentials *credentials, const struct record *record,
		       const struct attributes *changes);

/* Entries of `parent` may come and go; of those there `entry` (NULL: a new one). `as_owner`:
 * as above. */
int access_check_entry(const struct credentials *credentials, const struct record *parent,
		       const struct record *entry, bool as_owner);

/* The attributes of `record` may be changed so. */
int access_check_attributes(const struct credentials *credentials, const struct record *record,
			    const struct attributes *changes);
