/* The options of commitfs run. */
#pragma once

#include "tools/command.h"

struct run_options {
	char *script;
	char *isolation;
	char *message;
	char *at;   /* where the view is shown */
	char *path; /* the key that is shown there */
	int retries;
	int conflict_code; /* what to exit with after the last conflict */
	gboolean in_view;  /* the view as working directory */
	gboolean keep;
	gboolean verbose;
};

void run_options_init(struct run_options *options);
void run_options_done(struct run_options *options);

/* As command_parse, for what comes before the first --: *ret_arguments has the mount (free
 * with g_strfreev). What comes after it is in *ret_words, which borrows from argv: not
 * empty, unless there is a script. */
bool run_options_parse(struct run_options *options, const struct command *command, int argc,
		       char **argv, char ***ret_arguments, char ***ret_words, int *ret_exit);
