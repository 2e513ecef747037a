/* Records as bytes, and what else the store does with them.
 *
 * A stored record is a header and, behind it, the value (of a symbolic link: its text). The
 * header begins with the version of the format and a byte of flags: a record with a version
 * or a flag that is not known is refused, not misread. */
#pragma once

#include "store/store.h"

#define RECORD_HEADER_SIZE 79
#define RECORD_PURGED 1 /* the value was forgotten; nothing follows the header */

/* Writes the header of `record`; its value follows it where there is one. */
void record_encode_header(const struct record *record, guint8 ret[static RECORD_HEADER_SIZE]);

/* Reads a stored record, its value too when `with_value`. -EIO: it is damaged. -ENOMEM. */
int record_decode(const void *data, size_t size, bool with_value, struct record **ret);

/* A copy without the value; its size stays. */
struct record *record_copy_bare(const struct record *record);

/* The revision of the last commit that changed any of it. */
uint64_t record_last_revision(const struct record *record);
