/* What a name in at/ says. All answer -EINVAL when it does not say that. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A decimal number without anything before it, zeros included. */
int when_parse_revision(const char *name, uint64_t *ret);

/* A time as RFC 3339 has it (2026-11-21T12:00:00Z, 2026-11-21T13:00:00.250+01:00), in
 * nanoseconds since the epoch. A fraction means all of its last digit: what the log cuts to
 * milliseconds is found by what it shows. */
int when_parse_time(const char *name, int64_t *ret);

/* True for a name that may be given to a snapshot: as that of a transaction, but no number. */
bool when_is_name(const char *name);
