#include "tools/run_options.h"

#include <string.h>

enum { DEFAULT_RETRIES = 10, MAX_RETRIES = 1000000, MAX_EXIT_CODE = 255 };

void run_options_init(struct run_options *options)
{
	*options = (struct run_options){
		.retries = DEFAULT_RETRIES,
		.conflict_code = EXIT_CONFLICT,
	};
}

void run_options_done(struct run_options *options)
{
	g_free(options->script);
	g_free(options->isolation);
	g_free(options->message);
	g_free(options->at);
	g_free(options->path);
}

/* Options end at the first --; what follows is the command's. */
static char **split_words(int *argc, char **argv)
{
	for (int i = 1; i < *argc; i++)
		if (strcmp(argv[i], "--") == 0) {
			*argc = i;
			argv[i] = NULL;
			return argv + i + 1;
		}
	return argv + *argc;
}

static bool parse(struct run_options *options, const struct command *command, int argc, char **argv,
		  char ***ret_arguments, int *ret_exit)
{
	const GOptionEntry entries[] = {
		{ "script", 'c', 0, G_OPTION_ARG_FILENAME, &options->script,
		  "Run 'sh -eu -c SCRIPT' in the view; ARGs are its $1 and so on", "SCRIPT" },
		{ "in-view", 'C', 0, G_OPTION_ARG_NONE, &options->in_view,
		  "Run COMMAND with the view as its working directory", NULL },
		{ "at", 0, 0, G_OPTION_ARG_FILENAME, &options->at,
		  "Run COMMAND where the directory DIR is the view, for it alone", "DIR" },
		{ "path", 0, 0, G_OPTION_ARG_FILENAME, &options->path,
		  "Show there not the whole view, but the directory KEY in it", "KEY" },
		{ "retries", 0, 0, G_OPTION_ARG_INT, &options->retries,
		  "How often to run it again after a conflict (default 10)", "N" },
		{ "isolation", 0, 0, G_OPTION_ARG_FILENAME, &options->isolation,
		  "serializable-snapshot (the default), serializable or snapshot", "LEVEL" },
		{ "message", 'm', 0, G_OPTION_ARG_FILENAME, &options->message,
		  "Commit message, for the log and for those who conflict with it (default: COMMAND)",
		  "TEXT" },
		{ "keep", 0, 0, G_OPTION_ARG_NONE, &options->keep,
		  "Keep the transaction when it was not committed, to look at it", NULL },
		{ "conflict-exit-code", 'E', 0, G_OPTION_ARG_INT, &options->conflict_code,
		  "Exit with CODE instead of 75 after the last conflict", "CODE" },
		{ "verbose", 'v', 0, G_OPTION_ARG_NONE, &options->verbose,
		  "Say which revision was committed, and after how many retries", NULL },
		G_OPTION_ENTRY_NULL,
	};

	return command_parse(command, entries, NULL, 1, argc, argv, ret_arguments, ret_exit);
}

static int check(const struct run_options *options, char **words)
{
	if (options->script == NULL && words[0] == NULL)
		return command_fail(EXIT_USAGE,
				    "cannot run 'run': no command was given; expected: "
				    "commitfs run [options] MNT -- COMMAND ARG... or -c SCRIPT; "
				    "see: commitfs run --help");
	if (options->path != NULL && options->at == NULL)
		return command_fail(EXIT_USAGE,
				    "cannot run 'run': --path=%s: it goes with --at=DIR",
				    options->path);
	if (options->retries < 0 || options->retries > MAX_RETRIES)
		return command_fail(EXIT_USAGE, "cannot run 'run': --retries=%d: expected 0 to %d",
				    options->retries, MAX_RETRIES);
	if (options->conflict_code < 0 || options->conflict_code > MAX_EXIT_CODE)
		return command_fail(EXIT_USAGE, "cannot run 'run': -E %d: expected 0 to %d",
				    options->conflict_code, MAX_EXIT_CODE);
	return 0;
}

bool run_options_parse(struct run_options *options, const struct command *command, int argc,
		       char **argv, char ***ret_arguments, char ***ret_words, int *ret_exit)
{
	char **words = split_words(&argc, argv);
	g_auto(GStrv) arguments = NULL;

	if (!parse(options, command, argc, argv, &arguments, ret_exit))
		return false;
	*ret_exit = check(options, words);
	if (*ret_exit != 0)
		return false;
	*ret_arguments = g_steal_pointer(&arguments);
	*ret_words = words;
	return true;
}
