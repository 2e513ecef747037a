/* commitfs import: the keys that export wrote, in one commit, or in several. */
#include "tools/command.h"
#include "tools/export_line.h"
#include "tools/lines.h"
#include "tools/mount_file.h"
#include "tools/mount_status.h"
#include "tools/path_copy.h"
#include "tools/progress.h"
#include "tools/undo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* A byte becomes six at most (\u0001), and all but the value is short: a path of 4,000 bytes
 * and some numbers. */
#define LINE_MAX_BYTES(value_bytes) (6 * (value_bytes) + 65536)

/* Longer lines than those of the largest value by default are not read where the mount allows
 * smaller ones; up to there a value that is too large is told by its key. */
#define VALUE_MIN_BYTES ((uint64_t)16 << 20)

struct import {
	const char *name; /* of the input, for messages */
	int input;	  /* seekable */
	gboolean replace;
	gint64 batch_keys; /* so many keys a commit; 0: all */
	struct export_head head;
	size_t max_line; /* what export writes of the largest value the mount allows */
	struct lines lines;
	const char *text; /* of the line read last */
	uint64_t number;  /* of that line, from 1 */
	uint64_t keys;	  /* made so far */

	/* Where the commit that is being made began, for trying again, and how far it got. */
	off_t begin;
	uint64_t begin_number, begin_keys;
	bool finished;
};

static int fail_line(const struct import *import, const char *path, const char *error)
{
	g_autoptr(GString) escaped = g_string_new(NULL);

	progress_end();
	if (path == NULL)
		return command_fail(EXIT_USAGE,
				    "cannot import '%s': line %" G_GUINT64_FORMAT ": %s",
				    import->name, import->number, error);
	text_append_escaped(escaped, *path ? path : "/");
	return command_fail(EXIT_FAILED,
			    "cannot import '%s': line %" G_GUINT64_FORMAT ": key '%s': %s",
			    import->name, import->number, escaped->str, error);
}

static int fail_to_read(const struct import *import, int error)
{
	return command_fail(EXIT_FAILED, "cannot read '%s': %s", import->name, g_strerror(-error));
}

/* ---- Making one key ------------------------------------------------------------- */

static int write_value(const char *to, GBytes *value, bool replace)
{
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (replace ? O_TRUNC : O_EXCL);
	int fd = open(to, flags, 0600);
	gsize size;
	const char *bytes = g_bytes_get_data(value, &size);
	int r = 0;

	if (fd < 0)
		return -errno;
	while (r == 0 && size > 0) {
		ssize_t count = write(fd, bytes, size);

		if (count < 0) {
			r = -errno;
		} else {
			bytes += count;
			size -= (gsize)count;
		}
	}
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

static int write_link(const char *to, GBytes *target)
{
	gsize size;
	const char *bytes = g_bytes_get_data(target, &size);
	g_autofree char *text = g_strndup(bytes, size);

	return symlink(text, to) < 0 ? -errno : 0;
}

/* The time comes last: whatever else is changed sets it. `fresh`: the directory was made
 * here; that of another is the time of what changes in it. */
static int set_attributes(const char *to, const struct export_line *line, bool fresh)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, line->mtime };
	struct stat now;

	if (lstat(to, &now) < 0)
		return -errno;
	if ((now.st_uid != line->uid || now.st_gid != line->gid) &&
	    lchown(to, line->uid, line->gid) < 0)
		return -errno;
	if (line->type != RECORD_SYMLINK && chmod(to, line->mode) < 0)
		return -errno;
	if (line->type == RECORD_DIRECTORY && !fresh)
		return 0;
	return utimensat(AT_FDCWD, to, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static bool has_attributes(const struct stat *now, const struct export_line *line)
{
	return (now->st_mode & 07777) == line->mode && now->st_uid == line->uid &&
	       now->st_gid == line->gid;
}

/* A directory that is there already. The root always is. */
static int keep_directory(const struct import *import, const char *to, const struct stat *now,
			  const struct export_line *line)
{
	if (has_attributes(now, line))
		return 0;
	if (*line->path && !import->replace)
		return fail_line(import, line->path,
				 "the directory is there already, with another mode or owner; "
				 "--replace changes it");
	return set_attributes(to, line, false);
}

static int make_new(const struct import *import, const char *to, const struct export_line *line)
{
	int r = 0;

	if (line->type == RECORD_DIRECTORY && mkdir(to, 0700) < 0)
		r = -errno;
	else if (line->type == RECORD_SYMLINK)
		r = write_link(to, line->value);
	else if (line->type == RECORD_VALUE)
		r = write_value(to, line->value, import->replace);
	return r == 0 ? set_attributes(to, line, true) : r;
}

static int make_key(const struct import *import, const char *view, const struct export_line *line)
{
	g_autofree char *to = *line->path ? g_build_filename(view, line->path, NULL) :
					    g_strdup(view);
	g_autofree char *failed = NULL;
	struct stat now;
	int r = path_stat(to, &now);

	if (r == 0 && S_ISDIR(now.st_mode) && line->type == RECORD_DIRECTORY)
		return keep_directory(import, to, &now, line);
	if (r == 0 && now.st_mode && !import->replace)
		return fail_line(import, line->path,
				 "it is there already, or twice in the input; nothing was "
				 "committed; --replace writes over what is there");
	/* A value that stays one keeps its inode number. */
	if (r == 0 && now.st_mode && !(S_ISREG(now.st_mode) && line->type == RECORD_VALUE))
		r = path_remove(to, &failed);
	return r == 0 ? make_new(import, to, line) : r;
}

/* ---- The lines ------------------------------------------------------------------ */

/* 1: there is one, in import->text of *ret_size. 0: the input ends. */
static int read_line(struct import *import, size_t *ret_size)
{
	int r;

	import->number++;
	r = lines_read(&import->lines, &import->text, ret_size);
	if (r == -EMSGSIZE)
		return fail_line(import, NULL,
				 "it is longer than any with a value that the mount allows; see "
				 "its --max-value");
	if (r == 0)
		import->number--;
	return r;
}

/* It is not the line that is at fault, but the transaction or the mount. */
static bool is_of_all(int error)
{
	return error == -ECANCELED || error == -ESTALE || error == -ENOTCONN ||
	       error == -ECONNABORTED;
}

static const char *explain(int error)
{
	switch (error) {
	case -ENOENT:
		return "the directory it lies in is not there";
	case -EDQUOT:
		return "all of it is too large for one commit; nothing was committed; "
		       "--batch=10000 makes several";
	case -EFBIG:
		return "the value is larger than the mount allows; see its --max-value";
	case -EPERM:
		return "its owner cannot be set; import as root";
	default:
		return g_strerror(-error);
	}
}

static int import_line(struct import *import, const char *view, size_t size)
{
	struct export_line line = { 0 };
	g_autofree char *error = NULL;
	int r;

	if (!export_line_parse(import->text, size, &line, &error))
		return fail_line(import, NULL, error);
	r = make_key(import, view, &line);
	if (r < 0 && !is_of_all(r)) {
		fail_line(import, line.path, explain(r));
		r = mount_file_exit_code(r);
	}
	export_line_clear(&line);
	import->keys++;
	progress_step("keys read");
	return r;
}

/* The keys of one commit, from where the last one ended. */
static int import_batch(const struct txn_directory *txn, void *arg, char **ret_path)
{
	struct import *import = arg;
	uint64_t end = import->batch_keys ? import->begin_keys + (uint64_t)import->batch_keys :
					    UINT64_MAX;
	size_t size = 0;
	int r = 0;

	(void)ret_path;
	import->number = import->begin_number;
	import->keys = import->begin_keys;
	lines_seek(&import->lines, import->begin);
	while (r == 0 && import->keys < end) {
		r = read_line(import, &size);
		if (r != 1)
			break;
		r = import_line(import, txn->keys, size);
	}
	import->finished = lines_at_end(&import->lines);
	return r;
}

/* ---- The input ------------------------------------------------------------------ */

static void close_input(struct import *import)
{
	if (import->input > STDIN_FILENO)
		close(import->input);
}

static int copy_input(int from, int to)
{
	char buffer[65536];
	ssize_t count;

	while ((count = read(from, buffer, sizeof(buffer))) != 0) {
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0 || write(to, buffer, (size_t)count) < count)
			return -EIO;
	}
	return 0;
}

/* What can be read only once is kept, for trying again. */
static int keep_input(struct import *import)
{
	FILE *file = tmpfile();
	int kept = file ? fcntl(fileno(file), F_DUPFD_CLOEXEC, 0) : -1;
	int r = kept < 0 ? -errno : 0;

	if (file)
		fclose(file);
	if (r < 0)
		return r;
	r = copy_input(import->input, kept);
	if (r < 0) {
		close(kept);
		return r;
	}
	close_input(import);
	import->input = kept;
	return 0;
}

static int open_input(struct import *import, const char *path)
{
	off_t begin;
	int r = 0;

	import->name = path ? path : "(standard input)";
	import->input = path ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	if (import->input < 0)
		return -errno;
	begin = lseek(import->input, 0, SEEK_CUR);
	if (begin < 0)
		r = keep_input(import);
	lines_init(&import->lines, import->input, import->max_line);
	lines_seek(&import->lines, MAX(begin, 0));
	return r;
}

/* Reads all lines once, so that nothing is begun that cannot be finished. */
static int check_input(struct import *import)
{
	size_t size = 0;
	int r;

	r = read_line(import, &size);
	if (r == 1) {
		g_autofree char *error = NULL;

		if (!export_head_parse(import->text, size, &import->head, &error))
			return fail_line(import, NULL, error);
	} else if (r == 0) {
		return command_fail(EXIT_USAGE, "cannot import '%s': it is empty", import->name);
	}
	import->begin = lines_tell(&import->lines);
	import->begin_number = import->number;
	while (r == 1 && (r = read_line(import, &size)) == 1) {
		struct export_line line = { 0 };
		g_autofree char *error = NULL;

		if (!export_line_parse(import->text, size, &line, &error))
			return fail_line(import, NULL, error);
		export_line_clear(&line);
		progress_step("lines checked");
	}
	progress_end();
	return r < 0 ? fail_to_read(import, r) : r;
}

static int import_all(struct import *import, const struct mount *mount)
{
	g_autofree char *action = g_strdup_printf("import '%s'", import->name);
	g_autofree char *message =
		g_strdup_printf("import of store %s, revision %" G_GUINT64_FORMAT,
				import->head.store_id, import->head.revision);
	int r = 0;

	while (r == 0 && !import->finished) {
		r = undo_in_transaction(mount, action, message, import_batch, import);
		import->begin = lines_tell(&import->lines);
		import->begin_number = import->number;
		import->begin_keys = import->keys;
	}
	if (r == 0)
		printf("commitfs: imported %" G_GUINT64_FORMAT
		       " keys of revision %" G_GUINT64_FORMAT " of store %s\n",
		       import->keys, import->head.revision, import->head.store_id);
	return r;
}

static int read_limit(struct import *import, const struct mount *mount)
{
	g_autoptr(GString) status = NULL;
	int r = mount_status_read(mount, &status);

	if (r < 0)
		return mount_file_fail(r, "read the limits of '%s'", mount->point);
	import->max_line = LINE_MAX_BYTES(
		MAX(mount_status_get_number(status->str, "max_value_bytes"), VALUE_MIN_BYTES));
	return 0;
}

static int import_from(struct import *import, const char *path, const char *point)
{
	g_autoptr(mount) mount = mounts_find_commitfs(point, "import to");
	int r;

	if (mount == NULL)
		return EXIT_NO_MOUNT;
	umask(0);
	r = read_limit(import, mount);
	if (r != 0)
		return r;
	r = open_input(import, path);
	if (r < 0)
		r = fail_to_read(import, r);
	else
		r = check_input(import);
	if (r == 0)
		r = import_all(import, mount);
	lines_done(&import->lines);
	close_input(import);
	return r;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct import import = { 0 };
	const GOptionEntry entries[] = {
		{ "replace", 0, 0, G_OPTION_ARG_NONE, &import.replace,
		  "Write over keys that are there", NULL },
		{ "batch", 0, 0, G_OPTION_ARG_INT64, &import.batch_keys,
		  "Commit after each N keys, not all at once", "N" },
		G_OPTION_ENTRY_NULL,
	};
	g_auto(GStrv) arguments = NULL;
	int exit_code;

	if (!command_parse(command, entries, NULL, 1, argc, argv, &arguments, &exit_code))
		return exit_code;
	if (import.batch_keys < 0)
		return command_fail(EXIT_USAGE,
				    "cannot commit after each %" G_GINT64_FORMAT
				    " keys: expected a count",
				    import.batch_keys);
	return import_from(&import, arguments[1], arguments[0]);
}

const struct command import_command = {
	.name = "import",
	.arguments = "[options] MNT [FILE]",
	.summary = "Make the keys that export wrote",
	.description =
		"Reads what `commitfs export` wrote, from FILE or standard input, and makes its\n"
		"keys in one commit: all of them or none. Revisions are those of new commits.\n"
		"Keys that are there already are refused, unless --replace is given.\n"
		"\n"
		"Example:\n"
		"  commitfs import /mnt tree.jsonl",
	.optional = 1,
	.run = run,
};
