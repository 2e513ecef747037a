#include "tools/colour.h"

#include <glib.h>
#include <string.h>
#include <unistd.h>

bool colour_is_wanted(int fd)
{
	const char *refused = g_getenv("NO_COLOR");
	const char *terminal = g_getenv("TERM");

	return (refused == NULL || *refused == '\0') && terminal != NULL &&
	       strcmp(terminal, "dumb") != 0 && isatty(fd);
}

const char *colour_diff_option(int fd)
{
	return colour_is_wanted(fd) ? "--color=always" : "--color=never";
}
