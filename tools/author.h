/* Whoever made a commit, as people are told of it. */
#pragma once

#include <glib.h>

/* Texts as control files have them, borrowed; NULL or "-": not known. */
struct author {
	const char *uid, *pid, *command, *time, *message;
};

/* Appends `separator` and "by NAME, COMMAND[PID], at TIME", if that is known, and ": MESSAGE",
 * if there is one. */
void author_append(GString *out, const char *separator, const struct author *author);
