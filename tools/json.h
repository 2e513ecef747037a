/* Writing JSON (RFC 8259). */
#pragma once

#include <glib.h>

/* Appends `text` as a string in quotes; what is not UTF-8 in it becomes U+FFFD. */
void json_append_string(GString *out, const char *text);
