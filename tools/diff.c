/* commitfs diff: what lies between two revisions, or what a transaction would change.
 *
 * Between revisions it walks both trees below at/ side by side, which cost nothing to
 * compare where no commit has changed a key: then its time of change is the same. For a
 * transaction it goes by `writes`, and compares `base` with what was written there; neither
 * is recorded. diff(1) compares texts. */
#include "tools/colour.h"
#include "tools/command.h"
#include "tools/mount_file.h"
#include "tools/path_copy.h"

#include "txn/txn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct side {
	char *root;  /* of its keys */
	char *label; /* as it is called in headers */
};

struct diff_job {
	struct side old, new;
};

/* One key on one side. */
struct entry {
	char *path, *label;
	struct stat status; /* st_mode 0: absent */
};

static void entry_done(struct entry *entry)
{
	g_free(entry->path);
	g_free(entry->label);
}

static int entry_init(struct entry *entry, const struct side *side, const char *key)
{
	g_autoptr(GString) escaped = g_string_new(NULL);

	text_append_escaped(escaped, key);
	entry->path = *key ? g_build_filename(side->root, key, NULL) : g_strdup(side->root);
	entry->label = g_strdup_printf("%s/%s", side->label, escaped->str);
	return path_stat(entry->path, &entry->status);
}

/* ---- Values --------------------------------------------------------------------- */

static bool is_value(const struct entry *entry)
{
	return S_ISREG(entry->status.st_mode);
}

/* As people see it: without NUL, in UTF-8. An absent value is an empty text. */
static int load(const struct entry *entry, GBytes **ret)
{
	g_autoptr(GString) text = g_string_new(NULL);
	int fd, r;

	if (is_value(entry)) {
		fd = open(entry->path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		r = mount_file_read(fd, text);
		close(fd);
		if (r < 0)
			return r;
	}
	*ret = g_string_free_to_bytes(g_steal_pointer(&text));
	return 0;
}

static bool is_text(GBytes *value)
{
	gsize size;
	const char *data = g_bytes_get_data(value, &size);

	return g_utf8_validate_len(data, size, NULL);
}

static const char *file_of(const struct entry *entry)
{
	return is_value(entry) ? entry->path : "/dev/null";
}

static const char *label_of(const struct entry *entry)
{
	return is_value(entry) ? entry->label : "/dev/null";
}

static int print_texts(const struct entry *old, const struct entry *new)
{
	const char *argv[] = { "diff",	      "-u",	     colour_diff_option(STDOUT_FILENO),
			       "--label",     label_of(old), "--label",
			       label_of(new), "--",	     file_of(old),
			       file_of(new),  NULL };
	g_autoptr(GError) error = NULL;

	fflush(stdout);
	if (g_spawn_sync(NULL, (char **)argv, NULL,
			 G_SPAWN_SEARCH_PATH | G_SPAWN_CHILD_INHERITS_STDIN, NULL, NULL, NULL, NULL,
			 NULL, &error))
		return 0;
	command_fail(EXIT_FAILED, "cannot run diff(1), which compares texts: %s", error->message);
	return -ENOEXEC;
}

static int print_values(const struct entry *old, const struct entry *new)
{
	g_autoptr(GBytes) before = NULL, after = NULL;
	int r = load(old, &before);

	if (r == 0)
		r = load(new, &after);
	if (r == -ENODATA) {
		printf("--- %s\n+++ %s\npurged: the value is forgotten\n", label_of(old),
		       label_of(new));
		return 0;
	}
	if (r < 0 || (g_bytes_equal(before, after) && is_value(old) && is_value(new)))
		return r;
	/* diff(1) says nothing of an empty file that comes or goes. */
	if (g_bytes_get_size(before) + g_bytes_get_size(after) == 0)
		printf("--- %s\n+++ %s\n", label_of(old), label_of(new));
	else if (is_text(before) && is_text(after))
		return print_texts(old, new);
	else
		printf("--- %s\n+++ %s\nbinary: %zu -> %zu bytes\n", label_of(old), label_of(new),
		       g_bytes_get_size(before), g_bytes_get_size(after));
	return 0;
}

/* ---- Links and attributes ------------------------------------------------------- */

static void append_link(GString *text, char sign, const struct entry *entry)
{
	char link[4096];
	ssize_t length =
		S_ISLNK(entry->status.st_mode) ? readlink(entry->path, link, sizeof(link) - 1) : -1;

	if (length < 0)
		return;
	link[length] = '\0';
	g_string_append_printf(text, "%clink ", sign);
	text_append_escaped(text, link);
	g_string_append_c(text, '\n');
}

static void append_type(GString *text, char sign, const struct entry *entry)
{
	if (S_ISDIR(entry->status.st_mode))
		g_string_append_printf(text, "%cdirectory\n", sign);
	append_link(text, sign, entry);
}

static void append_attributes(GString *text, const struct stat *old, const struct stat *new)
{
	if ((old->st_mode & 07777) != (new->st_mode & 07777))
		g_string_append_printf(text, "-mode %04o\n+mode %04o\n", old->st_mode & 07777,
				       new->st_mode & 07777);
	if (old->st_uid != new->st_uid || old->st_gid != new->st_gid)
		g_string_append_printf(text, "-owner %u:%u\n+owner %u:%u\n", old->st_uid,
				       old->st_gid, new->st_uid, new->st_gid);
}

/* What is no value: links, directories that come and go, modes and owners. */
static void print_rest(const struct entry *old, const struct entry *new)
{
	g_autoptr(GString) before = g_string_new(NULL), after = g_string_new(NULL);
	bool both = old->status.st_mode && new->status.st_mode;

	append_type(before, '-', old);
	append_type(after, '+', new);
	if (strcmp(before->len ? before->str + 1 : "", after->len ? after->str + 1 : "") == 0)
		g_string_truncate(before, 0);
	else
		g_string_append(before, after->str);
	if (both && (old->status.st_mode & S_IFMT) == (new->status.st_mode &S_IFMT))
		append_attributes(before, &old->status, &new->status);
	if (before->len > 0)
		printf("--- %s\n+++ %s\n%s", old->status.st_mode ? old->label : "/dev/null",
		       new->status.st_mode ? new->label : "/dev/null", before->str);
}

/* ---- Walking -------------------------------------------------------------------- */

static int diff_key(struct diff_job *job, const char *key, bool deep);

static int list_side(const struct entry *entry, GPtrArray **ret)
{
	if (S_ISDIR(entry->status.st_mode))
		return path_list(entry->path, ret);
	*ret = g_ptr_array_new();
	return 0;
}

static int diff_below(struct diff_job *job, const struct entry *old, const struct entry *new,
		      const char *key)
{
	g_autoptr(GPtrArray) before = NULL, after = NULL;
	guint i = 0, j = 0;
	int r = list_side(old, &before);

	if (r == 0)
		r = list_side(new, &after);
	while (r == 0 && (i < before->len || j < after->len)) {
		const char *left = i < before->len ? g_ptr_array_index(before, i) : NULL;
		const char *right = j < after->len ? g_ptr_array_index(after, j) : NULL;
		int order = !left ? 1 : !right ? -1 : strcmp(left, right);
		const char *name = order <= 0 ? left : right;
		g_autofree char *child = *key ? g_build_filename(key, name, NULL) : g_strdup(name);

		i += order <= 0;
		j += order >= 0;
		r = diff_key(job, child, true);
	}
	return r;
}

static int diff_entries(struct diff_job *job, const struct entry *old, const struct entry *new,
			const char *key, bool deep)
{
	int r = 0;

	if (path_is_same(&old->status, &new->status))
		return 0;
	print_rest(old, new);
	if (is_value(old) || is_value(new))
		r = print_values(old, new);
	if (r == 0 && deep && (S_ISDIR(old->status.st_mode) || S_ISDIR(new->status.st_mode)))
		r = diff_below(job, old, new, key);
	return r;
}

static int diff_key(struct diff_job *job, const char *key, bool deep)
{
	struct entry old = { 0 }, new = { 0 };
	int r = entry_init(&old, &job->old, key);

	if (r == 0)
		r = entry_init(&new, &job->new, key);
	if (r == 0)
		r = diff_entries(job, &old, &new, key, deep);
	entry_done(&old);
	entry_done(&new);
	return r;
}

/* ---- Transactions --------------------------------------------------------------- */

/* The attributes of what was written, as the kernel knows them from the lookup: asking for
 * them anew would be an observation. */
static int stat_quietly(const char *path, struct stat *ret)
{
	struct statx status;

	memset(ret, 0, sizeof(*ret));
	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, STATX_BASIC_STATS,
		  &status) < 0)
		return errno == ENOENT ? 0 : -errno;
	ret->st_mode = status.stx_mode;
	ret->st_uid = status.stx_uid;
	ret->st_gid = status.stx_gid;
	ret->st_size = (off_t)status.stx_size;
	return 0;
}

/* A write of attributes does not make the value the transaction's own: it is that of the
 * base, and is not looked at. */
static int diff_write(struct diff_job *job, const char *kind, const char *key)
{
	bool removed = strcmp(kind, "delete") == 0 || strcmp(kind, "rmdir") == 0;
	struct entry old = { 0 }, new = { 0 };
	int r = entry_init(&old, &job->old, key);

	new.path = g_build_filename(job->new.root, key, NULL);
	new.label = g_strconcat(job->new.label, old.label + strlen(job->old.label), NULL);
	if (r == 0 && !removed)
		r = stat_quietly(new.path, &new.status);
	if (r == 0 && strcmp(kind, "attr") == 0)
		print_rest(&old, &new);
	else if (r == 0)
		r = diff_entries(job, &old, &new, key, false);
	entry_done(&old);
	entry_done(&new);
	return r;
}

static int diff_writes(struct diff_job *job, const char *writes)
{
	g_auto(GStrv) lines = g_strsplit(writes, "\n", -1);
	int r = 0;

	for (char **line = lines; *line != NULL && r == 0; line++) {
		g_auto(GStrv) words = g_strsplit(*line, "\t", 3);
		g_autofree char *key = NULL;

		if (g_strv_length(words) != 3)
			continue;
		r = text_parse_key(words[2], strlen(words[2]), &key);
		if (r == 0)
			r = diff_write(job, words[0], key);
	}
	return r;
}

static int diff_txn(struct diff_job *job, const struct mount *mount, const char *txn)
{
	g_autofree char *writes = g_build_filename(txn, "writes", NULL);
	g_autoptr(GString) text = g_string_new(NULL);
	int fd = mount_file_open(mount, writes, O_RDONLY);
	int r;

	if (fd < 0)
		return fd;
	r = mount_file_read(fd, text);
	close(fd);
	return r == 0 ? diff_writes(job, text->str) : r;
}

/* ---- The command ---------------------------------------------------------------- */

static void side_init(struct side *side, const struct mount *mount, const char *directory,
		      const char *name)
{
	side->label = g_build_filename(directory, name, NULL);
	side->root = mount_file_path(mount, side->label);
}

static void side_done(struct side *side)
{
	g_free(side->label);
	g_free(side->root);
}

/* `txn`: the transaction it is of, or NULL. */
static int check_side(const struct side *side, const char *txn, const char *point)
{
	struct stat status;

	if (stat(side->root, &status) == 0)
		return 0;
	if (errno != ENOENT)
		return mount_file_fail(-errno, "compare '%s'", side->label);
	if (txn)
		return command_fail(EXIT_FAILED,
				    "cannot show what '%s' changes: there is no such transaction; "
				    "those there are: ls %s/txn",
				    txn, point);
	return command_fail(EXIT_FAILED,
			    "cannot compare '%s': there is no such revision, or it is compacted; "
			    "see: commitfs status %s",
			    side->label, point);
}

static int compare(struct diff_job *job, const struct mount *mount, char *const *words)
{
	bool txn = words[2] == NULL;
	int r;

	side_init(&job->old, mount, txn ? words[1] : "at", txn ? "base" : words[1]);
	side_init(&job->new, mount, txn ? words[1] : "at", txn ? "keys" : words[2]);
	r = check_side(&job->old, txn ? words[1] : NULL, words[0]);
	if (r == 0 && !txn)
		r = check_side(&job->new, NULL, words[0]);
	if (r != 0)
		return r;
	r = txn ? diff_txn(job, mount, words[1]) : diff_key(job, words[3] ? words[3] : "", true);
	if (r == -ENOEXEC)
		return EXIT_FAILED;
	return r < 0 ? mount_file_fail(r, "compare '%s' with '%s'", job->old.label,
				       job->new.label) :
		       0;
}

static int run(const struct command *command, int argc, char **argv)
{
	g_auto(GStrv) arguments = NULL;
	g_autoptr(mount) mount = NULL;
	struct diff_job job = { 0 };
	int exit_code;

	if (!command_parse(command, NULL, NULL, 2, argc, argv, &arguments, &exit_code))
		return exit_code;
	if (arguments[2] == NULL && !g_str_has_prefix(arguments[1], "txn/"))
		return command_fail(
			EXIT_USAGE,
			"cannot compare '%s': expected two revisions, or txn/NAME; see: "
			"commitfs diff --help",
			arguments[1]);
	mount = mounts_find_commitfs(arguments[0], "compare revisions of");
	if (mount == NULL)
		return EXIT_NO_MOUNT;
	exit_code = compare(&job, mount, arguments);
	side_done(&job.old);
	side_done(&job.new);
	return exit_code;
}

const struct command diff_command = {
	.name = "diff",
	.arguments = "MNT A B [KEY] | MNT txn/NAME",
	.summary = "Show what lies between two revisions, or what a transaction changes",
	.description =
		"Shows what was changed from A to B (numbers, times or names of snapshots), below\n"
		"KEY if it is given: texts as diff -u does, of other values their size, modes and\n"
		"owners. With txn/NAME: what the transaction would change; it records nothing.\n"
		"\n"
		"Examples:\n"
		"  commitfs diff /mnt 1000 1005 app\n"
		"  commitfs diff /mnt txn/new-1",
	.optional = 2,
	.run = run,
};
