/* commitfs check: whether all that a store keeps agrees, while it is not mounted. */
#include "store/check.h"
#include "tools/command.h"
#include "tools/progress.h"

#include <errno.h>
#include <stdio.h>

#define NUMBER "%" G_GUINT64_FORMAT

static void print_problem(const struct store_problem *problem, void *arg)
{
	const char *note = "";

	(void)arg;
	progress_end();
	if (problem->repaired)
		note = " (repaired)";
	else if (problem->repairable)
		note = " (--repair puts it right)";
	printf("%s: %s%s\n", problem->kind, problem->text, note);
}

static void print_progress(const char *what, void *arg)
{
	(void)arg;
	progress_step(what);
}

static int print_summary(const char *store, const struct store_check_result *result)
{
	uint64_t left = result->problems - result->repaired;

	printf("commitfs: checked '%s' up to revision " NUMBER ": " NUMBER " keys, " NUMBER
	       " past versions, " NUMBER " commits: ",
	       store, result->revision, result->keys, result->versions, result->commits);
	if (result->problems == 0) {
		puts("nothing found");
		return 0;
	}
	printf(NUMBER " problems", result->problems);
	if (result->repaired)
		printf(", " NUMBER " of them repaired; check it once more", result->repaired);
	else if (result->repairable)
		printf(", " NUMBER " of which --repair puts right", result->repairable);
	if (left > result->repairable - result->repaired)
		fputs("; for the others restore a backup, or mount the store and save what can be "
		      "read with: commitfs export",
		      stdout);
	putchar('\n');
	return EXIT_FAILED;
}

static int run(const struct command *command, int argc, char **argv)
{
	gboolean repair = FALSE;
	const GOptionEntry entries[] = {
		{ "repair", 0, 0, G_OPTION_ARG_NONE, &repair,
		  "Put right what follows from the rest of the store, and say what", NULL },
		G_OPTION_ENTRY_NULL,
	};
	struct store_check_options options = { .problem = print_problem,
					       .checked = print_progress };
	struct store_check_result result;
	g_auto(GStrv) arguments = NULL;
	g_autofree char *message = NULL;
	int exit_code, r;

	if (!command_parse(command, entries, NULL, 1, argc, argv, &arguments, &exit_code))
		return exit_code;
	store_options_init(&options.open);
	options.open.path = arguments[0];
	options.repair = repair;
	r = store_check(&options, &result, &message);
	progress_end();
	if (r < 0)
		return command_fail(EXIT_STORE, "%s%s", message,
				    r == -EBUSY ? "; unmount it, or check a backup of it" : "");
	return print_summary(arguments[0], &result);
}

const struct command check_command = {
	.name = "check",
	.arguments = "STORE",
	.summary = "Look for damage in a store that is not mounted",
	.description =
		"Reads everything in the store and looks whether it agrees: checksums, each\n"
		"record, directories, history, log, counters and named snapshots. Each problem\n"
		"is one line. Nothing is written without --repair, and with it only what is\n"
		"safe. The exit status is 0 when nothing was found, 1 when something was.\n"
		"\n"
		"Example:\n"
		"  commitfs umount /mnt && commitfs check /srv/store",
	.run = run,
};
