/* commitfs revert: undoes one commit, if nobody has changed since what it did.
 *
 * The keys it changed are what MNT/watch tells of it. Each must be now what the commit made
 * it, and becomes what it was before. */
#include "tools/command.h"
#include "tools/last_commit.h"
#include "tools/mount_file.h"
#include "tools/number.h"
#include "tools/path_copy.h"
#include "tools/undo.h"

#include "txn/txn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct revert_job {
	const struct mount *mount;
	uint64_t revision;
	char *before, *after; /* MNT/at/REVISION, of the one before and of the commit */
	GPtrArray *keys;      /* in key order */
	gboolean force;
};

/* ---- What it changed ------------------------------------------------------------ */

static int read_keys(struct revert_job *job, FILE *stream)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t length;
	int r = 0;

	while (r == 0 && (length = getline(&line, &size, stream)) > 1) {
		g_auto(GStrv) words = g_strsplit(line, "\t", 3);
		char *key;

		if (g_strv_length(words) != 3 ||
		    g_ascii_strtoull(words[1], NULL, 10) != job->revision)
			r = -ENOENT; /* it is compacted */
		else
			r = text_parse_key(words[2], strlen(words[2]), &key);
		if (r == 0)
			g_ptr_array_add(job->keys, key);
	}
	free(line);
	return r;
}

static int find_keys(struct revert_job *job)
{
	FILE *stream;
	int r = mount_file_watch(job->mount, "", job->revision, &stream);

	if (r < 0)
		return r;
	r = read_keys(job, stream);
	fclose(stream);
	return r;
}

/* ---- Conflicts ------------------------------------------------------------------ */

static bool is_unchanged(const struct stat *after, const struct stat *now)
{
	if (S_ISDIR(after->st_mode))
		return after->st_mode == now->st_mode && after->st_uid == now->st_uid &&
		       after->st_gid == now->st_gid;
	return path_is_same(after, now);
}

static void print_conflict(const struct revert_job *job, const char *key)
{
	g_autofree char *commit = last_commit_describe(job->mount, key);
	g_autoptr(GString) escaped = g_string_new(NULL);

	text_append_escaped(escaped, key);
	fprintf(stderr, "%s\t%s\n", escaped->str,
		commit != NULL ? commit : "is another or gone now");
}

static int check_keys(const struct revert_job *job, const char *view)
{
	guint conflicts = 0;

	for (guint i = 0; i < job->keys->len; i++) {
		const char *key = g_ptr_array_index(job->keys, i);
		g_autofree char *after_path = g_build_filename(job->after, key, NULL);
		g_autofree char *now_path = g_build_filename(view, key, NULL);
		struct stat after, now;
		int r = path_stat(after_path, &after);

		if (r == 0)
			r = path_stat(now_path, &now);
		if (r < 0)
			return r;
		if (is_unchanged(&after, &now))
			continue;
		conflicts++;
		print_conflict(job, key);
	}
	if (conflicts == 0)
		return 0;
	return command_fail(EXIT_CONFLICT,
			    "cannot revert revision %" G_GUINT64_FORMAT
			    ": %u of its keys changed since; to undo it all the same: --force",
			    job->revision, conflicts);
}

/* ---- Undoing -------------------------------------------------------------------- */

/* What others have put into a directory that it made is theirs. */
static int remove_made(const struct revert_job *job, const char *key, const char *path,
		       char **ret_path)
{
	struct stat now;
	int r = path_stat(path, &now);

	if (r < 0 || now.st_mode == 0)
		return r;
	if ((S_ISDIR(now.st_mode) ? rmdir(path) : unlink(path)) == 0)
		return 0;
	if (errno != ENOTEMPTY) {
		*ret_path = g_strdup(path);
		return -errno;
	}
	if (job->force) {
		command_fail(0, "'%s' stays: others have put keys into it since", key);
		return 0;
	}
	return command_fail(EXIT_CONFLICT,
			    "cannot revert revision %" G_GUINT64_FORMAT
			    ": '%s', which it made, is not empty; to undo the rest: --force",
			    job->revision, key);
}

static int undo_key(const struct revert_job *job, const char *view, const char *key, bool remove,
		    char **ret_path)
{
	g_autofree char *from = g_build_filename(job->before, key, NULL);
	g_autofree char *to = g_build_filename(view, key, NULL);
	struct stat before;
	int r = path_stat(from, &before);

	if (r < 0 || (before.st_mode == 0) != remove)
		return r;
	return remove ? remove_made(job, key, to, ret_path) : path_copy(from, to, false, ret_path);
}

/* What it made goes from below, what it removed comes from above. */
static int undo(const struct txn_directory *txn, void *arg, char **ret_path)
{
	const struct revert_job *job = arg;
	int r = job->force ? 0 : check_keys(job, txn->keys);

	for (guint i = job->keys->len; i-- > 0 && r == 0;)
		r = undo_key(job, txn->keys, g_ptr_array_index(job->keys, i), true, ret_path);
	for (guint i = 0; i < job->keys->len && r == 0; i++)
		r = undo_key(job, txn->keys, g_ptr_array_index(job->keys, i), false, ret_path);
	return r;
}

static int refuse_missing(const struct revert_job *job, const char *point)
{
	return command_fail(EXIT_FAILED,
			    "cannot revert revision %" G_GUINT64_FORMAT
			    ": it or the one before is compacted, or not reached yet; see: "
			    "commitfs status %s",
			    job->revision, point);
}

static int find_revisions(struct revert_job *job, const char *point)
{
	g_autofree char *before = g_strdup_printf("at/%" G_GUINT64_FORMAT, job->revision - 1);
	g_autofree char *after = g_strdup_printf("at/%" G_GUINT64_FORMAT, job->revision);
	struct stat status;

	job->before = mount_file_path(job->mount, before);
	job->after = mount_file_path(job->mount, after);
	if (stat(job->after, &status) == 0 && stat(job->before, &status) == 0)
		return 0;
	return refuse_missing(job, point);
}

static int revert(struct revert_job *job, const char *point)
{
	g_autofree char *action =
		g_strdup_printf("revert revision %" G_GUINT64_FORMAT, job->revision);
	int r = find_revisions(job, point);

	if (r != 0)
		return r;
	r = find_keys(job);
	if (r == -ENOENT) /* compacted since */
		return refuse_missing(job, point);
	if (r < 0)
		return mount_file_fail(r, "%s", action);
	umask(0);
	return undo_in_transaction(job->mount, action, action, undo, job);
}

static int run(const struct command *command, int argc, char **argv)
{
	struct revert_job job = { 0 };
	const GOptionEntry options[] = {
		{ "force", 0, 0, G_OPTION_ARG_NONE, &job.force,
		  "Also where later commits changed the same keys", NULL },
		G_OPTION_ENTRY_NULL,
	};
	g_auto(GStrv) arguments = NULL;
	g_autoptr(mount) mount = NULL;
	int exit_code;

	if (!command_parse(command, options, NULL, 2, argc, argv, &arguments, &exit_code))
		return exit_code;
	if (number_parse_count(arguments[1], G_MAXUINT64, &job.revision) < 0)
		return command_fail(
			EXIT_USAGE,
			"cannot revert '%s': expected a revision; to find one: commitfs "
			"log %s",
			arguments[1], arguments[0]);
	mount = mounts_find_commitfs(arguments[0], "revert a commit of");
	if (mount == NULL)
		return EXIT_NO_MOUNT;
	job.mount = mount;
	job.keys = g_ptr_array_new_with_free_func(g_free);
	exit_code = revert(&job, arguments[0]);
	g_ptr_array_unref(job.keys);
	g_free(job.before);
	g_free(job.after);
	return exit_code;
}

const struct command revert_command = {
	.name = "revert",
	.arguments = "[options] MNT REVISION",
	.summary = "Undo one commit, in a new one",
	.description =
		"Makes the keys that the commit of REVISION changed what they were before it, in\n"
		"one commit. Where later commits have changed them it does nothing, tells which,\n"
		"and exits with 75.\n"
		"\n"
		"Example:\n"
		"  commitfs revert /mnt 1000",
	.run = run,
};
