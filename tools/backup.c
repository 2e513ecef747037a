/* commitfs backup: copies of a mounted store, each at one revision, and stores made of
 * them again. The mount makes a checkpoint and keeps it while control/backup is open; the
 * copying is done here, so that it can be interrupted at any time. */
#include "store/backup.h"
#include "tools/command.h"
#include "tools/key_options.h"
#include "tools/mount_file.h"
#include "tools/mount_status.h"
#include "tools/number.h"
#include "tools/progress.h"
#include "txn/txn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NUMBER "%" G_GUINT64_FORMAT

struct options {
	gint keep;		/* create; 0: all */
	gint id;		/* verify, restore; 0: the newest */
	struct key_options key; /* verify */
};

/* Prints a message that was made whole. */
static int fail(int error, const char *message)
{
	bool disk = error == -EIO || error == -ENOSPC || error == -EROFS;

	return command_fail(disk ? EXIT_STORE : EXIT_FAILED, "%s", message);
}

/* ---- create --------------------------------------------------------------------- */

/* Below the mount it would be a part of what is to be saved. */
static bool lies_on_mount(const char *directory, const struct mount *mount)
{
	g_autofree char *path = g_strdup(directory);
	struct stat there, root;

	/* What is missing will lie on what it is made in. */
	while (stat(path, &there) < 0) {
		g_autofree char *below = g_steal_pointer(&path);

		path = g_path_get_dirname(below);
		if (strcmp(path, below) == 0)
			return false;
	}
	return stat(mount->point, &root) == 0 && there.st_dev == root.st_dev;
}

/* Has the mount make a checkpoint. */
static int begin(int fd, char **ret_checkpoint)
{
	g_autoptr(GString) text = g_string_new(NULL), path = g_string_new(NULL);
	g_autofree char *escaped = NULL;
	int r;

	r = mount_file_write(fd, "begin\n");
	if (r == 0)
		r = mount_file_read(fd, text);
	if (r < 0)
		return r;
	escaped = mount_status_get(text->str, "checkpoint");
	if (!escaped || text_unescape(escaped, strlen(escaped), path) < 0)
		return -EIO;
	*ret_checkpoint = g_string_free(g_steal_pointer(&path), FALSE);
	return 0;
}

static int create_from(const char *checkpoint, const char *directory, uint32_t keep)
{
	g_autofree char *message = NULL, *size = NULL;
	struct backup backup;
	int r;

	if (access(checkpoint, R_OK | X_OK) < 0)
		return command_fail(EXIT_FAILED,
				    "cannot read the store at '%s': %s; run this where the mount "
				    "was made, as its owner",
				    checkpoint, g_strerror(errno));
	umask(077); /* RocksDB gives its files what this allows */
	r = backup_create(checkpoint, directory, keep, &backup, &message);
	if (r < 0)
		return fail(r, message);
	size = number_format_size(backup.size_bytes);
	printf("commitfs: backup %u in '%s' is revision " NUMBER ", %s\n", backup.id, directory,
	       backup.revision, size);
	return 0;
}

static int create_on(const struct mount *mount, const struct options *options,
		     const char *directory)
{
	g_autofree char *checkpoint = NULL;
	int fd, r;

	fd = mount_file_open(mount, "control/backup", O_RDWR);
	if (fd < 0)
		return mount_file_fail(fd, "back up '%s'", mount->point);
	r = begin(fd, &checkpoint);
	if (r == -EOPNOTSUPP)
		r = command_fail(EXIT_FAILED,
				 "cannot back up '%s': its store is in memory; save it with: "
				 "commitfs export %s",
				 mount->point, mount->point);
	else if (r < 0)
		r = mount_file_fail(r, "back up '%s'", mount->point);
	else
		r = create_from(checkpoint, directory, (uint32_t)options->keep);
	close(fd);
	return r;
}

static int run_create(const struct options *options, char *const *arguments)
{
	g_autoptr(mount) mount = mounts_find_commitfs(arguments[0], "back up");

	if (mount == NULL)
		return EXIT_NO_MOUNT;
	if (lies_on_mount(arguments[1], mount))
		return command_fail(EXIT_USAGE,
				    "cannot back up to '%s': it lies on the mount itself; give a "
				    "directory elsewhere",
				    arguments[1]);
	return create_on(mount, options, arguments[1]);
}

/* ---- list ----------------------------------------------------------------------- */

static int print_backup(const struct backup *backup, void *arg)
{
	g_autoptr(GString) time = g_string_new(NULL);

	(void)arg;
	text_append_time(time, backup->time_s * 1000000000);
	printf("%u\t" NUMBER "\t%s\t" NUMBER "\n", backup->id, backup->revision, time->str,
	       backup->size_bytes);
	return 0;
}

static int run_list(const struct options *options, char *const *arguments)
{
	g_autofree char *message = NULL;
	int r = backup_list(arguments[0], print_backup, NULL, &message);

	(void)options;
	return r < 0 ? fail(r, message) : 0;
}

/* ---- verify, restore ------------------------------------------------------------ */

static void print_problem(const struct store_problem *problem, void *arg)
{
	(void)arg;
	progress_end();
	printf("%s: %s\n", problem->kind, problem->text);
}

static int verify(const struct options *options, const struct store_key *key,
		  char *const *arguments)
{
	struct store_check_options check = { .problem = print_problem, .checked = progress_checked };
	struct store_check_result result;
	g_autofree char *message = NULL;
	struct backup backup;
	int r;

	store_options_init(&check.open);
	check.open.key = key;
	umask(077);
	r = backup_verify(arguments[0], (uint32_t)options->id, &check, &backup, &result, &message);
	progress_end();
	if (r < 0)
		return fail(r, message);
	printf("commitfs: backup %u in '%s' is revision " NUMBER ": " NUMBER " keys, " NUMBER
	       " past versions, " NUMBER " commits: ",
	       backup.id, arguments[0], backup.revision, result.keys, result.versions,
	       result.commits);
	if (result.problems)
		printf(NUMBER " problem%s\n", result.problems, result.problems == 1 ? "" : "s");
	else
		puts("nothing found");
	return result.problems ? EXIT_FAILED : 0;
}

static int run_verify(const struct options *options, char *const *arguments)
{
	struct store_key *key;
	int exit_code = key_options_read(&options->key, "Passphrase", false, &key);

	if (exit_code == 0)
		exit_code = verify(options, key, arguments);
	store_key_free(key);
	return exit_code;
}

static int run_restore(const struct options *options, char *const *arguments)
{
	g_autofree char *message = NULL;
	struct backup backup;
	int r;

	umask(077);
	r = backup_restore(arguments[0], (uint32_t)options->id, arguments[1], &backup, &message);
	if (r < 0)
		return fail(r, message);
	printf("commitfs: restored backup %u to '%s', revision " NUMBER
	       "; mount it with: commitfs mount %s MNT\n",
	       backup.id, arguments[1], backup.revision, arguments[1]);
	return 0;
}

/* ---- The command ---------------------------------------------------------------- */

static const struct word {
	const char *name;
	guint arguments;
	bool keep, id, key; /* it knows these options */
	int (*run)(const struct options *options, char *const *arguments);
} words[] = {
	{ "create", 2, true, false, false, run_create },
	{ "list", 1, false, false, false, run_list },
	{ "verify", 1, false, true, true, run_verify },
	{ "restore", 2, false, true, false, run_restore },
};

static int run_word(const struct word *word, const struct options *options, char *const *arguments)
{
	if (g_strv_length((char **)arguments) != word->arguments)
		return command_fail(EXIT_USAGE,
				    "cannot run 'backup %s': expected %u arguments; see: commitfs "
				    "backup --help",
				    word->name, word->arguments);
	if (options->keep < 0 || options->id < 0 || (options->keep && !word->keep) ||
	    (options->id && !word->id))
		return command_fail(
			EXIT_USAGE,
			"cannot run 'backup %s': --keep=N is of create, --id=N of verify "
			"and restore, and N is above 0",
			word->name);
	if (key_options_given(&options->key) && !word->key)
		return command_fail(EXIT_USAGE,
				    "cannot run 'backup %s': it needs no key: what is copied stays "
				    "encrypted; only 'backup verify' does",
				    word->name);
	return word->run(options, arguments);
}

static int run_words(const struct options *options, char *const *arguments)
{
	for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
		if (strcmp(words[i].name, arguments[0]) == 0)
			return run_word(&words[i], options, arguments + 1);
	}
	return command_fail(
		EXIT_USAGE,
		"cannot run 'backup %s': expected create, list, verify or restore; see: "
		"commitfs backup --help",
		arguments[0]);
}

static int run(const struct command *command, int argc, char **argv)
{
	struct options options = { 0 };
	const GOptionEntry entries[] = {
		{ "keep", 0, 0, G_OPTION_ARG_INT, &options.keep,
		  "create: drop all but the newest N backups", "N" },
		{ "id", 0, 0, G_OPTION_ARG_INT, &options.id,
		  "verify, restore: the backup of this number, not the newest", "N" },
		KEY_OPTION_ENTRIES(key_option_set),
		G_OPTION_ENTRY_NULL,
	};
	g_auto(GStrv) arguments = NULL;
	int exit_code;

	key_options_init(&options.key);
	if (command_parse(command, entries, &options.key, 2, argc, argv, &arguments, &exit_code))
		exit_code = run_words(&options, arguments);
	key_options_done(&options.key);
	return exit_code;
}

const struct command backup_command = {
	.name = "backup",
	.arguments = "create [options] MNT DIR | list DIR | verify [options] DIR | "
		     "restore [options] DIR STORE",
	.summary = "Save a mounted store, and make stores of what was saved",
	.description =
		"'create' copies the store of a mount, as it is at one revision, which is\n"
		"printed, to the directory DIR; what the backups there have already is not\n"
		"copied again. Others go on working meanwhile. Interrupted at any time, older\n"
		"backups stay good. 'list' prints number, revision, time and bytes of each.\n"
		"'verify' restores one below DIR for a trial, checks it as 'commitfs check' does,\n"
		"and removes it again. 'restore' makes STORE, which must not be there, of one.\n"
		"Of an encrypted store they are encrypted with the key it had; only 'verify' needs it.\n"
		"\n"
		"Example:\n"
		"  commitfs backup create --keep=7 /mnt /srv/backup\n"
		"  commitfs backup verify /srv/backup\n"
		"  commitfs backup restore /srv/backup /srv/store2",
	.optional = 1,
	.run = run,
};
