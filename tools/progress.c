#include "tools/progress.h"

#include <stdio.h>
#include <unistd.h>

/* What takes less than a thousand steps is over before anybody could read it. */
enum { STEPS_SHOWN = 1000 };

static unsigned long steps; /* of this piece of work */
static int shown;	    /* characters in the line, 0: there is none */

void progress_step(const char *what)
{
	if (++steps % STEPS_SHOWN == 0 && isatty(STDERR_FILENO))
		shown = fprintf(stderr, "\rcommitfs: %lu %s", steps, what);
}

void progress_checked(const char *what, void *arg)
{
	(void)arg;
	progress_step(what);
}

void progress_end(void)
{
	if (shown > 0)
		fprintf(stderr, "\r%*s\r", shown, "");
	steps = 0;
	shown = 0;
}
