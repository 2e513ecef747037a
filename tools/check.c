/* commitfs check: whether all that a store keeps agrees, while it is not mounted. */
#include "store/check.h"
#include "tools/command.h"
#include "tools/key_options.h"
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

static int print_summary(const char *store, const struct store_check_result *result)
{
	printf("commitfs: checked '%s' up to revision " NUMBER ": " NUMBER " keys, " NUMBER
	       " past versions, " NUMBER " commits: ",
	       store, result->revision, result->keys, result->versions, result->commits);
	if (result->problems == 0) {
		puts("nothing found");
		return 0;
	}
	printf(NUMBER " problem%s", result->problems, result->problems == 1 ? "" : "s");
	if (result->repaired)
		printf(", " NUMBER " of them repaired; check it once more", result->repaired);
	else if (result->repairable)
		printf(", " NUMBER " of which --repair puts right", result->repairable);
	if (result->problems > result->repairable)
		fputs("; for the others restore a backup, or mount the store and save what can be "
		      "read with: commitfs export",
		      stdout);
	putchar('\n');
	return EXIT_FAILED;
}

static int check(const char *store, bool repair, const struct store_key *key)
{
	struct store_check_options options = { .repair = repair,
					       .problem = print_problem,
					       .checked = progress_checked };
	struct store_check_result result;
	g_autofree char *message = NULL;
	int r;

	store_options_init(&options.open);
	options.open.path = store;
	options.open.key = key;
	r = store_check(&options, &result, &message);
	progress_end();
	if (r < 0)
		return command_fail(EXIT_STORE, "%s%s", message,
				    r == -EBUSY ? "; unmount it, or check a backup of it" : "");
	return print_summary(store, &result);
}

static int run(const struct command *command, int argc, char **argv)
{
	gboolean repair = FALSE;
	const GOptionEntry entries[] = {
		{ "repair", 0, 0, G_OPTION_ARG_NONE, &repair,
		  "Put right what follows from the rest of the store, and say what", NULL },
		KEY_OPTION_ENTRIES(key_option_set),
		G_OPTION_ENTRY_NULL,
	};
	struct store_key *key = NULL;
	struct key_options key_options;
	g_auto(GStrv) arguments = NULL;
	int exit_code;

	key_options_init(&key_options);
	if (command_parse(command, entries, &key_options, 1, argc, argv, &arguments, &exit_code)) {
		exit_code = key_options_read(&key_options, "Passphrase", false, &key);
		if (exit_code == 0)
			exit_code = check(arguments[0], repair, key);
	}
	store_key_free(key);
	key_options_done(&key_options);
	return exit_code;
}

const struct command check_command = {
	.name = "check",
	.arguments = "[options] STORE",
	.summary = "Look for damage in a store that is not mounted",
	.description =
		"Reads everything in the store and looks whether it agrees: checksums, each\n"
		"record, directories, history, log, counters and named snapshots. Each problem\n"
		"is one line. Nothing is written without --repair, and with it only what is\n"
		"safe. An encrypted store is checked with its key. The exit status is 0 when\n"
		"nothing was found, 1 when something was.\n"
		"\n"
		"Example:\n"
		"  commitfs umount /mnt && commitfs check /srv/store",
	.run = run,
};
