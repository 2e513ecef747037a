/* commitfs status: what MNT/status tells, in columns. */
#include "tools/command.h"
#include "tools/mount_status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int fail_to_read(const char *path, int error)
{
	if (error == -ENOTCONN)
		return command_fail(EXIT_NO_MOUNT,
				    "cannot read the status of '%s': its daemon is gone; "
				    "clean up with: commitfs umount %s",
				    path, path);
	return command_fail(EXIT_NO_MOUNT, "cannot read the status of '%s': %s", path,
			    g_strerror(-error));
}

static void print_aligned(char *text)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	size_t width = 0;

	for (char **line = lines; *line != NULL; line++)
		width = MAX(width, strcspn(*line, " \t"));
	for (char **line = lines; *line != NULL; line++) {
		int name = (int)strcspn(*line, " \t");

		if (**line != '\0')
			printf("%-*.*s  %s\n", (int)width, name, *line, g_strchug(*line + name));
	}
}

static int run(const struct command *command, int argc, char **argv)
{
	g_auto(GStrv) arguments = NULL;
	g_autoptr(mount) mount = NULL;
	g_autoptr(GString) text = NULL;
	int exit_code, r;

	if (!command_parse(command, NULL, NULL, 1, argc, argv, &arguments, &exit_code))
		return exit_code;
	mount = mounts_find_commitfs(arguments[0], "read the status of");
	if (mount == NULL)
		return EXIT_NO_MOUNT;
	r = mount_status_read(mount, &text);
	if (r < 0)
		return fail_to_read(arguments[0], r);
	print_aligned(text->str);
	return 0;
}

const struct command status_command = {
	.name = "status",
	.arguments = "MNT",
	.summary = "Show health, revision, counts and limits of a mount",
	.description = "Shows what MNT/status tells: health, revision, counts and limits.\n"
		       "\n"
		       "Example:\n"
		       "  commitfs status /mnt",
	.run = run,
};
