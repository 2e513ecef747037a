/* commitfs compact and purge: a line to a file in control/, and how far it is. */
#include "tools/command.h"
#include "tools/mount_file.h"
#include "tools/mount_status.h"
#include "tools/number.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What it waits for. */
enum wait { WAIT_NONE, WAIT_SNAPSHOTS, WAIT_ROOM };

static enum wait print_wait(const char *text, enum wait before)
{
	uint64_t held = mount_status_get_number(text, "held_snapshots");
	uint64_t needed = mount_status_get_number(text, "needed_bytes");
	enum wait wait = held > 0 ? WAIT_SNAPSHOTS : needed > 0 ? WAIT_ROOM : WAIT_NONE;

	if (wait == WAIT_SNAPSHOTS && before != wait)
		command_fail(0,
			     "waiting for what can still see it: %" G_GUINT64_FORMAT
			     " %s, of transactions (they are in txn/) and open files; it goes on "
			     "when they have ended, also without this command",
			     held, held == 1 ? "snapshot" : "snapshots");
	if (wait == WAIT_ROOM && before != wait)
		command_fail(0,
			     "waiting for room on the disk of the store: %s when %" G_GUINT64_FORMAT
			     " MiB are free, also without this command",
			     mount_status_get_number(text, "unreadable") ?
				     "its files still hold what was purged, which the mount does "
				     "not show any more; they are rewritten" :
				     "what is to be purged can still be read; it goes on",
			     (needed >> 20) + 1);
	return wait;
}

static void print_progress(const char *text)
{
	uint64_t read = mount_status_get_number(text, "records_read");
	uint64_t total = mount_status_get_number(text, "records_total");

	if (isatty(STDERR_FILENO) && total > 0)
		fprintf(stderr, "\rcommitfs: %3u %%", (unsigned)(100 * MIN(read, total) / total));
}

/* The mount says when it went on. */
static int follow(int fd, GString *text)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	enum wait waits_for = WAIT_NONE;
	int r;

	for (;;) {
		g_string_truncate(text, 0);
		r = mount_file_read(fd, text);
		if (r < 0 || mount_status_get_number(text->str, "running") == 0)
			break;
		print_progress(text->str);
		waits_for = print_wait(text->str, waits_for);
		if (poll(&wait, 1, -1) < 0 && errno != EINTR)
			return -errno;
	}
	if (isatty(STDERR_FILENO))
		fputc('\r', stderr);
	return r;
}

static int start_and_follow(const struct mount *mount, const char *file, const char *word,
			    GString *text)
{
	int fd = mount_file_open(mount, file, O_RDWR);
	int r;

	if (fd < 0)
		return fd;
	r = mount_file_write(fd, word);
	if (r == 0)
		r = follow(fd, text);
	close(fd);
	return r;
}

static int finish(const char *text, const char *done)
{
	g_autofree char *error = mount_status_get(text, "last_error");

	if (error != NULL && strcmp(error, "-") != 0)
		return command_fail(EXIT_STORE, "cannot finish for now: %s; it goes on by itself",
				    error);
	printf("commitfs: %s; the oldest revision is %" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT
	       " MiB on disk\n",
	       done, mount_status_get_number(text, "oldest_revision"),
	       mount_status_get_number(text, "disk_bytes") >> 20);
	return 0;
}

static int run_compact(const struct command *command, int argc, char **argv)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_auto(GStrv) arguments = NULL;
	g_autoptr(mount) mount = NULL;
	uint64_t revision;
	int exit_code, r;

	if (!command_parse(command, NULL, NULL, 2, argc, argv, &arguments, &exit_code))
		return exit_code;
	if (number_parse_count(arguments[1], G_MAXUINT64, &revision) < 0)
		return command_fail(EXIT_USAGE,
				    "cannot compact up to '%s': expected a revision; see: commitfs "
				    "status %s",
				    arguments[1], arguments[0]);
	mount = mounts_find_commitfs(arguments[0], "compact");
	if (mount == NULL)
		return EXIT_NO_MOUNT;
	r = start_and_follow(mount, "control/compact", arguments[1], text);
	if (r == -ENOENT)
		return command_fail(EXIT_FAILED,
				    "cannot compact up to revision %s: it is not reached yet; see: "
				    "commitfs status %s",
				    arguments[1], arguments[0]);
	if (r < 0)
		return mount_file_fail(r, "compact '%s'", arguments[0]);
	return finish(text->str, "compacted");
}

const struct command compact_command = {
	.name = "compact",
	.arguments = "MNT REVISION",
	.summary = "Forget what was before a revision, and give its space back",
	.description = "Forgets what was before REVISION, which can still be entered itself, and\n"
		       "waits until the space is given back. Named snapshots are kept.\n"
		       "\n"
		       "Example:\n"
		       "  commitfs compact /mnt 1000",
	.run = run_compact,
};

static int run_purge(const struct command *command, int argc, char **argv)
{
	g_autoptr(GString) text = g_string_new(NULL), key = g_string_new(NULL);
	g_autofree char *done = NULL;
	g_auto(GStrv) arguments = NULL;
	g_autoptr(mount) mount = NULL;
	int exit_code, r;

	if (!command_parse(command, NULL, NULL, 2, argc, argv, &arguments, &exit_code))
		return exit_code;
	mount = mounts_find_commitfs(arguments[0], "purge a key of");
	if (mount == NULL)
		return EXIT_NO_MOUNT;
	text_append_escaped(key, arguments[1]);
	r = start_and_follow(mount, "control/purge", key->str, text);
	if (r == -ENOENT)
		return command_fail(
			EXIT_FAILED,
			"cannot purge '%s': there is no such key, now or in the past; to "
			"see what there is: commitfs log %s",
			arguments[1], arguments[0]);
	if (r == -EISDIR)
		return command_fail(
			EXIT_USAGE,
			"cannot purge '%s': it is a directory, which has no value; name "
			"the keys below it: ls %s/keys/%s",
			arguments[1], mount->point, key->str);
	if (r == -EINVAL)
		return mount_file_fail_key("purge", arguments[1]);
	if (r < 0)
		return mount_file_fail(r, "purge '%s'", arguments[1]);
	done = g_strdup_printf("purged '%s'", key->str);
	return finish(text->str, done);
}

const struct command purge_command = {
	.name = "purge",
	.arguments = "MNT KEY",
	.summary = "Take what a key was out of history and off the disk",
	.description =
		"Forgets every past value of KEY, as when a secret was put there by mistake,\n"
		"and waits until no trace of them is left in the store. The current value\n"
		"stays: change it first. Copies under other keys stay, too.\n"
		"\n"
		"Example:\n"
		"  echo changed > /mnt/keys/app/password\n"
		"  commitfs purge /mnt app/password",
	.run = run_purge,
};
