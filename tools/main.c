/* commitfs: a transactional key-value store, mounted as files. This file finds the
 * subcommand; each has a file of its own. Called as mount.commitfs it is what mount(8)
 * runs. */
#include "tools/command.h"
#include "tools/mount_helper.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

static const struct command *const commands[] = {
	&init_command,
	&key_command,
	&mount_command,
	&umount_command,
	&status_command,
	&run_command,
	&edit_command,
	&eval_command,
	&bench_command,
	&log_command,
	&diff_command,
	&watch_command,
	&restore_command,
	&revert_command,
	&compact_command,
	&purge_command,
	&check_command,
	&backup_command,
	&export_command,
	&import_command,
};

static const struct command *find_command(const char *name)
{
	for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static void print_usage(FILE *out)
{
	fputs("Usage: commitfs COMMAND [options] ARGUMENT...\n"
	      "\n"
	      "A transactional key-value store, mounted as files.\n"
	      "\n"
	      "Commands:\n",
	      out);
	for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
		fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
	fputs("  help       Show this, or the help of one command\n"
	      "\n"
	      "  --version  Show the version\n"
	      "\n"
	      "Example:\n"
	      "  commitfs init /srv/store\n"
	      "  commitfs mount /srv/store /mnt\n"
	      "  cat /mnt/README\n",
	      out);
}

static int unknown_command(const char *name)
{
	return command_fail(EXIT_USAGE,
			    "cannot run '%s': there is no such command; see: commitfs help", name);
}

static int run_help(int argc, char **argv)
{
	char help_option[] = "--help";
	char *help_argv[] = { NULL, help_option, NULL };
	const struct command *command;

	/* `help` itself has no more to tell than the list. */
	if (argc < 2 || argv[1][0] == '-' || strcmp(argv[1], "help") == 0) {
		print_usage(stdout);
		return 0;
	}
	command = find_command(argv[1]);
	if (command == NULL)
		return unknown_command(argv[1]);
	help_argv[0] = argv[1];
	return command->run(command, 2, help_argv);
}

static int dispatch(int argc, char **argv)
{
	const struct command *command = find_command(argv[0]);

	if (command != NULL)
		return command->run(command, argc, argv);
	if (strcmp(argv[0], "help") == 0 || strcmp(argv[0], "--help") == 0 ||
	    strcmp(argv[0], "-h") == 0)
		return run_help(argc, argv);
	if (strcmp(argv[0], "--version") == 0) {
		puts("commitfs " COMMITFS_VERSION);
		return 0;
	}
	return unknown_command(argv[0]);
}

int main(int argc, char **argv)
{
	int r;

	setlocale(LC_CTYPE, "");
	if (argc > 0 && mount_helper_is(argv[0]))
		return mount_helper(argc, argv);
	if (argc < 2) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	r = dispatch(argc - 1, argv + 1);
	/* What could not be printed, on a full disk for instance, was not done. */
	if ((fflush(stdout) != 0 || ferror(stdout)) && r == 0)
		return command_fail(EXIT_STORE, "cannot write to standard output: %s",
				    g_strerror(errno));
	return r;
}
