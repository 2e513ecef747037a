/* commitfs watch: MNT/watch on standard output, or a command for each commit. */
#include "tools/command.h"
#include "tools/mount_file.h"
#include "tools/number.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

struct watch_job {
	char *from_text, *command;
	uint64_t from;
	GString *commit; /* what the command gets: the revision, then the keys */
};

static char *field(const char *line, int index)
{
	g_auto(GStrv) words = g_strsplit(line, "\t", 3);

	return g_strdup(g_strv_length(words) == 3 ? words[index] : "");
}

/* One at a time: whatever comes meanwhile waits in the mount. */
static void run_for_commit(struct watch_job *job)
{
	void (*when_broken)(int);
	FILE *pipe;
	int status;

	fflush(stdout);
	pipe = popen(job->command, "we");
	if (pipe == NULL) {
		command_fail(EXIT_FAILED, "cannot run '%s': %s", job->command, g_strerror(errno));
		return;
	}
	/* A command need not read what it is told: nothing is left in a buffer, whose writing
	 * would fail in place of the command. It has started by now, and with what the signal
	 * did before. */
	setvbuf(pipe, NULL, _IONBF, 0);
	when_broken = signal(SIGPIPE, SIG_IGN);
	fwrite(job->commit->str, 1, job->commit->len, pipe);
	status = pclose(pipe);
	signal(SIGPIPE, when_broken);
	if (status < 0)
		command_fail(EXIT_FAILED, "cannot wait for '%s': %s", job->command,
			     g_strerror(errno));
	else if (WIFSIGNALED(status))
		command_fail(EXIT_FAILED, "'%s' was killed by signal %d", job->command,
			     WTERMSIG(status));
	else if (status != 0)
		command_fail(EXIT_FAILED, "'%s' ended with %d", job->command, WEXITSTATUS(status));
}

static void collect(struct watch_job *job, const char *line)
{
	g_autofree char *revision = field(line, 1), *key = field(line, 2);

	if (*line == '\0') {
		if (job->commit->len > 0)
			run_for_commit(job);
		g_string_truncate(job->commit, 0);
		return;
	}
	if (g_str_has_prefix(line, "lost ")) {
		command_fail(EXIT_FAILED,
			     "%s revisions were compacted before they were read: what they "
			     "changed is not told",
			     line + strlen("lost "));
		return;
	}
	if (job->commit->len == 0)
		g_string_append_printf(job->commit, "%s\n", revision);
	g_string_append_printf(job->commit, "%s\n", key);
}

/* What cannot be written to is the end: the reader has seen enough. */
static int follow(struct watch_job *job, FILE *stream, const char *point)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t length;
	int r = 0;

	errno = 0;
	while (r == 0 && (length = getline(&line, &size, stream)) > 0) {
		line[length - 1] = '\0';
		if (g_str_has_prefix(line, "compacted "))
			r = command_fail(EXIT_FAILED,
					 "cannot watch '%s' from revision %s: it is compacted; "
					 "the oldest is %s",
					 point, job->from_text, line + strlen("compacted "));
		else if (job->command != NULL)
			collect(job, line);
		else if (puts(line) == EOF || (*line == '\0' && fflush(stdout) == EOF))
			r = command_fail(EXIT_STORE, "cannot write to standard output: %s",
					 g_strerror(errno));
	}
	if (r == 0 && ferror(stream))
		r = mount_file_fail(-errno, "watch '%s'", point);
	free(line);
	return r;
}

static int watch(struct watch_job *job, char *const *arguments)
{
	g_autoptr(mount) mount = NULL;
	FILE *stream;
	int r;

	if (job->from_text && number_parse_count(job->from_text, G_MAXUINT64, &job->from) < 0)
		return command_fail(EXIT_USAGE,
				    "cannot watch: --from=%s: expected a revision, such as 1000",
				    job->from_text);
	mount = mounts_find_commitfs(arguments[0], "watch");
	if (mount == NULL)
		return EXIT_NO_MOUNT;
	r = mount_file_watch(mount, arguments[1] ? arguments[1] : "", job->from, &stream);
	if (r == -EINVAL && arguments[1])
		return mount_file_fail_key("watch", arguments[1]);
	if (r < 0)
		return mount_file_fail(r, "watch '%s'", arguments[0]);
	job->commit = g_string_new(NULL);
	r = follow(job, stream, arguments[0]);
	g_string_free(job->commit, TRUE);
	fclose(stream);
	return r;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct watch_job job = { 0 };
	const GOptionEntry options[] = {
		{ "from", 0, 0, G_OPTION_ARG_STRING, &job.from_text,
		  "Begin with the commits from this revision on, then go on", "REVISION" },
		{ "exec", 0, 0, G_OPTION_ARG_STRING, &job.command,
		  "Run this command for each commit instead of printing it", "COMMAND" },
		G_OPTION_ENTRY_NULL,
	};
	g_auto(GStrv) arguments = NULL;
	int exit_code;

	if (!command_parse(command, options, NULL, 1, argc, argv, &arguments, &exit_code))
		return exit_code;
	exit_code = watch(&job, arguments);
	g_free(job.from_text);
	g_free(job.command);
	return exit_code;
}

const struct command watch_command = {
	.name = "watch",
	.arguments = "[options] MNT [PREFIX]",
	.summary = "Follow the changes below a key, or run a command for each",
	.description =
		"Prints each change below PREFIX (all, without it) as a line: what was done,\n"
		"the revision, the key; the changes of one commit together, then a blank line.\n"
		"With --exec a shell runs COMMAND once for each commit, one at a time, with the\n"
		"revision and then the changed keys on its standard input, a line each.\n"
		"\n"
		"Examples:\n"
		"  commitfs watch /mnt app\n"
		"  commitfs watch --from 1000 /mnt\n"
		"  commitfs watch --exec 'systemctl reload app' /mnt app",
	.optional = 1,
	.run = run,
};
