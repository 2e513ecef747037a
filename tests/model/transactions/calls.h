/* The calls of a history, done on a real tree of files. */
#pragma once

#include "history.h"

/* Does event->call below `directory` (a descriptor); sets event->error, and what was seen,
 * as text, in `result`. */
void call_do(int directory, struct event *event, GString *result);

/* The text of a control file, from its beginning, with one read; NULL: errno tells. */
const char *control_text(int fd);
/* The number in the line `NAME NUMBER` of `text`; false: there is none. */
bool control_number(const char *text, const char *name, uint64_t *ret);
