/* Reading the log: entries, the text they make, and when commits were. As the calls of
 * store.h they are for. */
#pragma once

#include "store/store.h"

struct local;

int log_reader_get(struct local *local, uint64_t revision, struct log_entry **ret);
/* Only the numbers of an entry; its texts and changes are NULL. */
int log_reader_get_numbers(struct local *local, uint64_t revision, struct log_entry *ret);
int log_reader_list(struct local *local, uint64_t from_revision, store_log_fn *visit, void *arg);
int log_reader_get_span(struct local *local, uint64_t *ret_begin, uint64_t *ret_end);
int log_reader_get_text(struct local *local, uint64_t offset, size_t size, GString *out);
int log_reader_find_revision(struct local *local, int64_t time_ns, uint64_t *ret);
