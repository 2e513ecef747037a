/* commitfs restore: the keys as they were, in one commit. */
#include "tools/command.h"
#include "tools/mount_file.h"
#include "tools/path_copy.h"
#include "tools/undo.h"

#include <string.h>
#include <sys/stat.h>

struct restore_job {
	char *past;	   /* MNT/at/REVISION */
	char *const *keys; /* NULL, or none: all */
};

/* A key may have lost its directories since. */
static int make_parents(const struct restore_job *job, const char *view, const char *key,
			char **ret_path)
{
	const char *slash = key;
	int r = 0;

	while (r == 0 && (slash = strchr(slash, '/')) != NULL) {
		g_autofree char *parent = g_strndup(key, (size_t)(slash++ - key));
		g_autofree char *from = g_build_filename(job->past, parent, NULL);
		g_autofree char *to = g_build_filename(view, parent, NULL);
		struct stat was, now;

		r = path_stat(from, &was);
		if (r == 0)
			r = path_stat(to, &now);
		/* Where it is a directory now, it is not this key's to change. */
		if (r == 0 && S_ISDIR(was.st_mode) && !S_ISDIR(now.st_mode))
			r = path_copy(from, to, false, ret_path);
	}
	return r;
}

static int restore_key(const struct restore_job *job, const char *view, const char *key,
		       char **ret_path)
{
	g_autofree char *from = g_build_filename(job->past, key, NULL);
	g_autofree char *to = g_build_filename(view, key, NULL);
	struct stat was, now;
	int r = path_stat(from, &was);

	if (r == 0)
		r = path_stat(to, &now);
	if (r == 0 && was.st_mode == 0 && now.st_mode == 0)
		return command_fail(
			EXIT_FAILED,
			"cannot restore '%s': there is no such key, then or now; to see "
			"what there was: ls %s",
			key, job->past);
	if (r == 0 && was.st_mode)
		r = make_parents(job, view, key, ret_path);
	return r == 0 ? path_copy(from, to, true, ret_path) : r;
}

static int restore_all(const struct txn_directory *txn, void *arg, char **ret_path)
{
	const struct restore_job *job = arg;
	int r = 0;

	if (*job->keys == NULL)
		return path_copy(job->past, txn->keys, true, ret_path);
	for (char *const *key = job->keys; *key != NULL && r == 0; key++)
		r = restore_key(job, txn->keys, *key, ret_path);
	return r;
}

static int run(const struct command *command, int argc, char **argv)
{
	g_autofree char *names = NULL, *message = NULL, *action = NULL, *name = NULL;
	g_auto(GStrv) arguments = NULL;
	g_autoptr(mount) mount = NULL;
	struct restore_job job = { 0 };
	struct stat status;
	int exit_code;

	if (!command_parse(command, NULL, NULL, 2, argc, argv, &arguments, &exit_code))
		return exit_code;
	mount = mounts_find_commitfs(arguments[0], "restore keys of");
	if (mount == NULL)
		return EXIT_NO_MOUNT;
	name = g_build_filename("at", arguments[1], NULL);
	job.past = mount_file_path(mount, name);
	job.keys = arguments + 2;
	if (stat(job.past, &status) < 0) {
		g_free(job.past);
		return command_fail(EXIT_FAILED,
				    "cannot restore to '%s': there is no such revision, or it is "
				    "compacted; see: commitfs status %s",
				    arguments[1], arguments[0]);
	}
	umask(0);
	names = g_strjoinv(" ", arguments + 2);
	message = g_strdup_printf("restore to %s%s%s", arguments[1], *names ? ": " : "", names);
	action = g_strdup_printf("restore '%s' to %s", arguments[0], arguments[1]);
	exit_code = undo_in_transaction(mount, action, message, restore_all, &job);
	g_free(job.past);
	return exit_code;
}

const struct command restore_command = {
	.name = "restore",
	.arguments = "MNT REVISION [KEY...]",
	.summary = "Make keys what they were at a revision, in one commit",
	.description =
		"Makes each KEY, with all below it, what it was at REVISION (a number, a time or\n"
		"the name of a snapshot); without KEY the whole tree. What was not there then is\n"
		"removed. It is one commit, and can be undone like any other.\n"
		"\n"
		"Examples:\n"
		"  commitfs restore /mnt 1000 app/port\n"
		"  commitfs restore /mnt 2026-11-21T12:00:00Z",
	.optional = G_MAXINT,
	.run = run,
};
