/* commitfs log: the lines of MNT/log that were asked for. With --key those of one key,
 * which the mount knows without reading all of it: control/history. */
#include "tools/command.h"
#include "tools/json.h"
#include "tools/mount_file.h"
#include "tools/number.h"

#include "txn/txn.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum field {
	FIELD_ID,
	FIELD_REVISION,
	FIELD_TIME,
	FIELD_UID,
	FIELD_PID,
	FIELD_COMMAND,
	FIELD_KEYS,
	FIELD_MESSAGE,
	FIELDS
};

static const struct {
	const char *name;
	bool number;
} fields[FIELDS] = {
	[FIELD_ID] = { "id", false },	  [FIELD_REVISION] = { "revision", true },
	[FIELD_TIME] = { "time", false }, [FIELD_UID] = { "uid", true },
	[FIELD_PID] = { "pid", true },	  [FIELD_COMMAND] = { "command", false },
	[FIELD_KEYS] = { "keys", true },  [FIELD_MESSAGE] = { "message", false },
};

struct log_job {
	uint64_t since;
	char *since_text, *author, *key;
	gboolean json;
	uid_t uid; /* of the author */
	guint printed;
};

/* JSON has no bytes that are no text: those stay escaped as the log has them. */
static void print_string(const char *escaped)
{
	g_autoptr(GString) text = g_string_new(NULL), json = g_string_new(NULL);

	if (text_unescape(escaped, strlen(escaped), text) < 0 ||
	    !g_utf8_validate(text->str, (gssize)text->len, NULL))
		g_string_assign(text, escaped);
	json_append_string(json, text->str);
	fputs(json->str, stdout);
}

static void print_json(struct log_job *job, const char *change, char *const *words)
{
	printf("%s{", job->printed ? ",\n" : "[\n");
	if (change != NULL)
		printf("\"change\":\"%s\",", change);
	for (int i = 0; i < FIELDS; i++) {
		printf("%s\"%s\":", i > 0 ? "," : "", fields[i].name);
		if (fields[i].number)
			fputs(words[i], stdout);
		else if (strcmp(words[i], "-") == 0)
			fputs("null", stdout);
		else
			print_string(words[i]);
	}
	putchar('}');
}

static void print_line(struct log_job *job, const char *line)
{
	g_auto(GStrv) words = g_strsplit(line, "\t", -1);
	guint first = job->key != NULL; /* what was done to the key comes before */
	char *const *word = words + first;

	if (g_strv_length(words) != FIELDS + first)
		return;
	if (strtoull(word[FIELD_REVISION], NULL, 10) < job->since ||
	    (job->author != NULL && strtoul(word[FIELD_UID], NULL, 10) != job->uid))
		return;
	if (job->json)
		print_json(job, first ? words[0] : NULL, word);
	else
		puts(line);
	job->printed++;
}

static int print_all(struct log_job *job, FILE *file)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t length;
	int r;

	errno = 0;
	while ((length = getline(&line, &size, file)) > 0) {
		if (line[length - 1] == '\n')
			line[length - 1] = '\0';
		print_line(job, line);
	}
	r = ferror(file) ? -errno : 0;
	free(line);
	if (job->json)
		puts(job->printed ? "\n]" : "[]");
	return r;
}

static int open_history(const struct mount *mount, const char *key)
{
	g_autoptr(GString) text = g_string_new(NULL);
	int fd = mount_file_open(mount, "control/history", O_RDWR);
	int r;

	if (fd < 0)
		return fd;
	text_append_escaped(text, key);
	r = mount_file_write(fd, text->str);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

static int print_log(struct log_job *job, const struct mount *mount)
{
	int fd = job->key ? open_history(mount, job->key) : mount_file_open(mount, "log", O_RDONLY);
	FILE *file;
	int r;

	if (fd < 0)
		return fd;
	file = fdopen(fd, "r");
	r = print_all(job, file);
	fclose(file);
	return r;
}

static int check_words(struct log_job *job)
{
	const struct passwd *user = job->author ? getpwnam(job->author) : NULL;
	uint64_t uid;

	if (job->since_text && number_parse_count(job->since_text, G_MAXUINT64, &job->since) < 0)
		return command_fail(
			EXIT_USAGE,
			"cannot show the log: --since=%s: expected a revision, such as 1000",
			job->since_text);
	if (user != NULL)
		job->uid = user->pw_uid;
	else if (job->author &&
		 g_ascii_string_to_unsigned(job->author, 10, 0, G_MAXUINT32, &uid, NULL))
		job->uid = (uid_t)uid;
	else if (job->author)
		return command_fail(
			EXIT_USAGE,
			"cannot show the log: --author=%s: there is no such user; a number is "
			"taken as one",
			job->author);
	return 0;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct log_job job = { 0 };
	const GOptionEntry options[] = {
		{ "since", 0, 0, G_OPTION_ARG_STRING, &job.since_text,
		  "Only commits from this revision on", "REVISION" },
		{ "key", 0, 0, G_OPTION_ARG_FILENAME, &job.key,
		  "Only commits that changed this key; what they did comes first in a line",
		  "KEY" },
		{ "author", 0, 0, G_OPTION_ARG_STRING, &job.author, "Only commits of this user",
		  "USER" },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &job.json, "As JSON: an array of objects",
		  NULL },
		G_OPTION_ENTRY_NULL,
	};
	g_auto(GStrv) arguments = NULL;
	g_autoptr(mount) mount = NULL;
	int exit_code, r;

	if (!command_parse(command, options, NULL, 1, argc, argv, &arguments, &exit_code))
		return exit_code;
	exit_code = check_words(&job);
	if (exit_code == 0) {
		mount = mounts_find_commitfs(arguments[0], "show the log of");
		exit_code = mount == NULL ? EXIT_NO_MOUNT : 0;
	}
	if (exit_code == 0) {
		r = print_log(&job, mount);
		if (r == -EINVAL && job.key)
			exit_code = mount_file_fail_key("show the log of", job.key);
		else if (r < 0)
			exit_code = mount_file_fail(r, "show the log of '%s'", arguments[0]);
	}
	g_free(job.since_text);
	g_free(job.author);
	g_free(job.key);
	return exit_code;
}

const struct command log_command = {
	.name = "log",
	.arguments = "[options] MNT",
	.summary = "Show who changed what, when and why",
	.description = "Shows the commits of a mount, the oldest retained first: id of the\n"
		       "transaction, revision, time, uid, pid, command, number of keys changed,\n"
		       "message; a TAB between them, `-` for what is not known.\n"
		       "\n"
		       "Examples:\n"
		       "  commitfs log /mnt\n"
		       "  commitfs log --key app/port /mnt\n"
		       "  commitfs log --since 1000 --author alice --json /mnt",
	.run = run,
};
