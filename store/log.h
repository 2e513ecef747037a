/* Log entries as bytes: who committed what, without the values. */
#pragma once

#include "store/store.h"

struct log_entry *log_entry_new(void);
void log_entry_add(struct log_entry *entry, enum change_kind kind, const char *key,
		   struct record *before, struct record *after);

GBytes *log_encode(const struct log_entry *entry);
/* -EIO: it is damaged. */
int log_decode(uint64_t revision, const void *data, size_t size, struct log_entry **ret);
