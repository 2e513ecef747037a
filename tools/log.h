/* Where messages of the daemon go: what the layers below say with g_warning() and its
 * kind. */
#pragma once

#include <glib.h>

/* The log level called `word` (error, warning, info, debug). -EINVAL: there is none. */
int log_parse_level(const char *word, GLogLevelFlags *ret);

/* Sends messages of `level` and graver ones to stderr. Once, before there are threads. */
void log_start(GLogLevelFlags level);

/* From now on to syslog instead. From any thread. */
void log_to_syslog(void);

/* Writes one line to stderr: `commitfs: TEXT`, or with the level where the journal reads
 * it. From any thread. */
void log_print(GLogLevelFlags level, const char *text);
