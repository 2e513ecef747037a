/* The command `commitfs`: what all subcommands share.
 *
 * Each subcommand is one struct command in a file of its own; main.c has the table of
 * them. Whoever meets an error prints it, once, with command_fail(), and hands the exit
 * code up. Nothing here is used by more than one thread. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* As sysexits.h numbers them. */
enum {
	EXIT_FAILED = 1,    /* it could not be done, for a reason of its own */
	EXIT_USAGE = 64,    /* the words given make no sense */
	EXIT_NO_MOUNT = 69, /* there is no such mount, or none could be made */
	EXIT_STORE = 74,    /* the store could not be opened, or failed */
	EXIT_CONFLICT = 75, /* refused by a conflict: the same may work later */
};

struct command {
	const char *name;
	const char *arguments;	 /* as the usage line shows them */
	const char *summary;	 /* one line, for the list of commands */
	const char *description; /* what it does, with an example */
	guint optional;		 /* so many more arguments than are expected may be given */

	/* argv[0] is the command's name. Returns the exit code. */
	int (*run)(const struct command *command, int argc, char **argv);
};

extern const struct command init_command;
extern const struct command key_command;
extern const struct command mount_command;
extern const struct command umount_command;
extern const struct command status_command;
extern const struct command run_command;
extern const struct command edit_command;
extern const struct command eval_command;
extern const struct command bench_command;
extern const struct command log_command;
extern const struct command diff_command;
extern const struct command watch_command;
extern const struct command restore_command;
extern const struct command revert_command;
extern const struct command compact_command;
extern const struct command purge_command;
extern const struct command check_command;
extern const struct command backup_command;
extern const struct command export_command;
extern const struct command import_command;

/* Parses argv by `options`, whose callbacks get `data`, and expects `count` arguments
 * after them, or some of the command's optional ones more; *ret_arguments is NULL for none.
 * True: go on, *ret_arguments has them (free with g_strfreev). False: end with *ret_exit;
 * help was asked for and printed, or an error was. */
bool command_parse(const struct command *command, const GOptionEntry *options, void *data,
		   guint count, int argc, char **argv, char ***ret_arguments, int *ret_exit);

/* Prints `commitfs: MESSAGE` on stderr and returns `exit_code`. */
int command_fail(int exit_code, const char *format, ...) G_GNUC_PRINTF(2, 3);
