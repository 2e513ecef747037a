/* commitfs init: an empty store in a new directory. */
#include "store/store.h"
#include "tools/command.h"

#include <stdio.h>

static int run(const struct command *command, int argc, char **argv)
{
	g_auto(GStrv) arguments = NULL;
	g_autofree char *message = NULL;
	int exit_code;

	if (!command_parse(command, NULL, NULL, 1, argc, argv, &arguments, &exit_code))
		return exit_code;
	if (store_create(arguments[0], &message) < 0)
		return command_fail(EXIT_STORE, "%s", message);
	printf("commitfs: created store '%s'; mount it with: commitfs mount %s MNT\n", arguments[0],
	       arguments[0]);
	return 0;
}

const struct command init_command = {
	.name = "init",
	.arguments = "STORE",
	.summary = "Make an empty store",
	.description = "Makes an empty store in the directory STORE, which must be empty or not\n"
		       "exist yet.\n"
		       "\n"
		       "Example:\n"
		       "  commitfs init /srv/store",
	.run = run,
};
