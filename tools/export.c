/* commitfs export: a whole tree as JSON lines, of one revision. */
#include "tools/command.h"
#include "tools/export_line.h"
#include "tools/mount_file.h"
#include "tools/mount_status.h"
#include "tools/number.h"
#include "tools/path_copy.h"
#include "tools/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct export
{
	const struct mount *mount;
	uint64_t revision;
	char *past;   /* MNT/at/REVISION */
	int record;   /* control/record, which also keeps the revision */
	char *failed; /* where; NULL: nowhere */
};

/* What only the store knows of it. */
static int read_revisions(struct export *export, struct export_line *line)
{
	g_autoptr(GString) question = g_string_new(NULL);
	char text[512]; /* six short lines, which come at once */
	ssize_t count;
	int r;

	g_string_append_printf(question, "%" G_GUINT64_FORMAT " ", export->revision);
	text_append_escaped(question, line->path);
	r = mount_file_write(export->record, question->str);
	if (r < 0)
		return r;
	count = pread(export->record, text, sizeof(text) - 1, 0);
	if (count < 0)
		return -errno;
	text[count] = '\0';
	line->create_revision = mount_status_get_number(text, "create_revision");
	line->mod_revision = mount_status_get_number(text, "mod_revision");
	line->version = mount_status_get_number(text, "version");
	return 0;
}

static int read_value(const char *path, GBytes **ret)
{
	GString *text = g_string_new(NULL);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : mount_file_read(fd, text);

	if (fd >= 0)
		close(fd);
	*ret = g_string_free_to_bytes(text);
	return r;
}

static int read_link(const char *path, GBytes **ret)
{
	char link[4096];
	ssize_t size = readlink(path, link, sizeof(link));

	if (size < 0)
		return -errno;
	*ret = g_bytes_new(link, (gsize)size);
	return 0;
}

static int read_content(const char *path, const struct stat *status, struct export_line *line)
{
	line->type = S_ISDIR(status->st_mode) ? RECORD_DIRECTORY :
		     S_ISLNK(status->st_mode) ? RECORD_SYMLINK :
						RECORD_VALUE;
	line->mode = status->st_mode & 07777;
	line->uid = status->st_uid;
	line->gid = status->st_gid;
	line->mtime = status->st_mtim;
	if (line->type == RECORD_VALUE)
		return read_value(path, &line->value);
	return line->type == RECORD_SYMLINK ? read_link(path, &line->value) : 0;
}

static int print_line(const struct export_line *line)
{
	g_autoptr(GString) text = g_string_new(NULL);

	export_line_append(line, text);
	progress_step("keys written");
	return fwrite(text->str, 1, text->len, stdout) == text->len ? 0 : -errno;
}

static int export_below(struct export *export, const char *path, const char *key);

/* `key` is at `path`. */
static int export_key(struct export *export, const char *path, const char *key)
{
	struct export_line line = { .path = g_strdup(key) };
	struct stat status;
	bool directory;
	int r = lstat(path, &status) < 0 ? -errno : 0;

	if (r == 0)
		r = read_content(path, &status, &line);
	if (r == 0)
		r = read_revisions(export, &line);
	if (r == 0)
		r = print_line(&line);
	directory = line.type == RECORD_DIRECTORY;
	export_line_clear(&line);
	if (r < 0 && !export->failed)
		export->failed = g_strdup(key);
	return r == 0 && directory ? export_below(export, path, key) : r;
}

static int export_below(struct export *export, const char *path, const char *key)
{
	g_autoptr(GPtrArray) names = NULL;
	int r = path_list(path, &names);

	if (r < 0)
		export->failed = g_strdup(key);
	for (guint i = 0; r == 0 && i < names->len; i++) {
		const char *name = g_ptr_array_index(names, i);
		g_autofree char *child = g_build_filename(path, name, NULL);
		g_autofree char *child_key = *key ? g_strconcat(key, "/", name, NULL) :
						    g_strdup(name);

		r = export_key(export, child, child_key);
	}
	return r;
}

static int print_head(struct export *export)
{
	g_autoptr(GString) status = NULL, text = g_string_new(NULL);
	struct export_head head = { .revision = export->revision };
	g_autofree char *id = NULL;
	int r = mount_status_read(export->mount, &status);

	if (r < 0)
		return r;
	id = mount_status_get(status->str, "store_id");
	g_strlcpy(head.store_id, id ? id : "", sizeof(head.store_id));
	export_head_append(&head, text);
	fputs(text->str, stdout);
	return 0;
}

/* The newest one, unless another is asked for. */
static int choose_revision(struct export *export, const char *at)
{
	g_autoptr(GString) text = g_string_new(NULL);
	int fd, r;

	if (at != NULL)
		return number_parse_count(at, G_MAXINT64, &export->revision);
	fd = mount_file_open(export->mount, "revision", O_RDONLY);
	if (fd < 0)
		return fd;
	r = mount_file_read(fd, text);
	close(fd);
	export->revision = g_ascii_strtoull(text->str, NULL, 10);
	return r;
}

static int export_all(struct export *export)
{
	g_autofree char *name = g_strdup_printf("at/%" G_GUINT64_FORMAT, export->revision);
	int r;

	export->past = mount_file_path(export->mount, name);
	export->record = mount_file_open(export->mount, "control/record", O_RDWR);
	if (export->record < 0)
		return export->record;
	r = print_head(export);
	if (r == 0)
		r = export_key(export, export->past, "");
	progress_end();
	close(export->record);
	return r;
}

static int run(const struct command *command, int argc, char **argv)
{
	g_autofree char *at = NULL;
	const GOptionEntry entries[] = {
		{ "at", 0, 0, G_OPTION_ARG_STRING, &at, "The tree of this revision, not the newest",
		  "REVISION" },
		G_OPTION_ENTRY_NULL,
	};
	g_auto(GStrv) arguments = NULL;
	g_autoptr(mount) mount = NULL;
	struct export export = { 0 };
	int exit_code, r;

	if (!command_parse(command, entries, NULL, 1, argc, argv, &arguments, &exit_code))
		return exit_code;
	mount = mounts_find_commitfs(arguments[0], "export");
	if (mount == NULL)
		return EXIT_NO_MOUNT;
	export.mount = mount;
	r = choose_revision(&export, at);
	if (r < 0 && at != NULL)
		return command_fail(EXIT_USAGE, "cannot export '%s': expected a revision", at);
	if (r == 0)
		r = export_all(&export);
	exit_code = 0;
	if (r == -ENOENT && export.failed && !*export.failed)
		exit_code = command_fail(EXIT_FAILED,
					 "cannot export revision %" G_GUINT64_FORMAT
					 " of '%s': it is compacted, or not reached yet",
					 export.revision, arguments[0]);
	else if (r < 0 && ferror(stdout))
		exit_code = command_fail(EXIT_STORE, "cannot write to standard output: %s",
					 g_strerror(-r));
	else if (r < 0)
		exit_code = mount_file_fail(r, "export '%s'%s%s", arguments[0],
					    export.failed ? " at key " : "",
					    export.failed ? export.failed : "");
	g_free(export.past);
	g_free(export.failed);
	return exit_code;
}

const struct command export_command = {
	.name = "export",
	.arguments = "[options] MNT",
	.summary = "Write a whole tree as JSON lines",
	.description =
		"Writes the tree as it is now, or was at a revision, to standard output: a line\n"
		"that says what it is, then one for each key, a directory before what lies in\n"
		"it. For the owner of the mount.\n"
		"\n"
		"Example:\n"
		"  commitfs export /mnt >tree.jsonl",
	.run = run,
};
