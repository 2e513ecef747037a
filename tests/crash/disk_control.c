/* disk_control: what tests tell disk_shim.c.
 *
 *   disk_control FILE new                   makes the control file
 *   disk_control FILE arm KIND N ACTION [ERRNO]
 *                                           KIND: write sync open rename remove resize read
 *                                           reply; ACTION: fail fail-from kill-before
 *                                           kill-after; ERRNO: EIO ENOSPC ENOMEM EMFILE
 *   disk_control FILE off                   nothing is to happen
 *   disk_control FILE happened              prints how often it did
 *   disk_control FILE calls                 prints a line `KIND CALLS` for each, since `new`
 *   disk_control restore SHADOW STORE FORM SEED
 *       makes STORE what a disk may hold of it after a power cut. FORM: nothing of what was
 *       not synced; prefix: random beginnings of it; sectors: random sectors of it */
#define _GNU_SOURCE
#include "disk_shim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512, USAGE = 64 };

static const char *const kind_names[SHIM_KINDS] = {
	[SHIM_WRITE] = "write",	  [SHIM_SYNC] = "sync",	    [SHIM_OPEN] = "open",
	[SHIM_RENAME] = "rename", [SHIM_REMOVE] = "remove", [SHIM_RESIZE] = "resize",
	[SHIM_READ] = "read",	  [SHIM_REPLY] = "reply",
};

static const char *const action_names[] = {
	[SHIM_NOTHING] = "off",		  [SHIM_FAIL] = "fail",
	[SHIM_FAIL_FROM] = "fail-from",	  [SHIM_KILL_BEFORE] = "kill-before",
	[SHIM_KILL_AFTER] = "kill-after",
};

static void die(const char *what)
{
	fprintf(stderr, "disk_control: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int find(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	fprintf(stderr, "disk_control: what is '%s'?\n", name);
	exit(USAGE);
}

static int errno_of(const char *name)
{
	static const int errors[] = { EIO, ENOSPC, ENOMEM, EMFILE, EROFS };

	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++)
		if (strcmp(strerrorname_np(errors[i]), name) == 0)
			return errors[i];
	fprintf(stderr, "disk_control: which errno is '%s'?\n", name);
	exit(USAGE);
}

/* ---- Control -------------------------------------------------------------------- */

static void arm(struct shim_control *control, char **words, int count)
{
	atomic_store(&control->action, SHIM_NOTHING);
	atomic_store(&control->kind, find(kind_names, SHIM_KINDS, words[0]));
	atomic_store(&control->left, atoi(words[1]));
	atomic_store(&control->error, count > 3 ? errno_of(words[3]) : 0);
	atomic_store(&control->happened, 0);
	atomic_store(&control->action, find(action_names, SHIM_KILL_AFTER + 1, words[2]));
}

/* ---- What a disk may hold ------------------------------------------------------- */

struct restoring {
	int shadow;
	const char *form;
};

static void copy(int from, int to)
{
	char buffer[65536];
	ssize_t n;

	while ((n = read(from, buffer, sizeof(buffer))) > 0)
		if (write(to, buffer, (size_t)n) != n)
			die("write");
}

/* Of what was written to the file and not synced, over what it held or behind it: a beginning,
 * or some of the sectors. A file may have become longer by some of what it was to. */
static void add_unsynced(const struct restoring *restoring, int live, int fd)
{
	off_t size = lseek(live, 0, SEEK_END), synced = lseek(fd, 0, SEEK_END), end = synced;
	bool beginning = strcmp(restoring->form, "prefix") == 0;

	if (strcmp(restoring->form, "nothing") == 0)
		return;
	if (size > synced)
		end = synced + random() % (size - synced + 1);
	if (ftruncate(fd, end) < 0)
		die("ftruncate");
	for (off_t at = 0; at < end; at += SECTOR) {
		size_t wanted = (size_t)(end - at < SECTOR ? end - at : SECTOR);
		char written[SECTOR], held[SECTOR];
		ssize_t n = pread(live, written, wanted, at);

		if (n <= 0 || pread(fd, held, wanted, at) != (ssize_t)wanted)
			break; /* it is shorter now */
		if (memcmp(written, held, (size_t)n) == 0)
			continue;
		if (beginning ? random() % 4 == 0 : random() % 3 == 0) {
			if (beginning)
				break;
			continue;
		}
		if (pwrite(fd, written, (size_t)n, at) != n)
			die("write");
	}
}

static void restore_file(const struct restoring *restoring, unsigned long ino, const char *live,
			 const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	char name[32];
	int from;

	if (fd < 0)
		die(path);
	snprintf(name, sizeof(name), "o.%lu", ino);
	from = openat(restoring->shadow, name, O_RDONLY | O_CLOEXEC);
	if (from >= 0) {
		copy(from, fd);
		close(from);
	}
	from = open(live, O_RDONLY | O_CLOEXEC);
	if (from >= 0) {
		struct stat status;

		/* Another file of that name is another file. */
		if (fstat(from, &status) == 0 && status.st_ino == ino)
			add_unsynced(restoring, from, fd);
		close(from);
	}
	close(fd);
}

/* The names of a directory: those it had at its last sync, or those it has. */
static FILE *open_names(const struct restoring *restoring, unsigned long ino, const char *live)
{
	char name[32];
	FILE *names;
	DIR *directory;
	struct dirent *entry;
	int fd;

	snprintf(name, sizeof(name), "d.%lu", ino);
	fd = openat(restoring->shadow, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	if (strcmp(restoring->form, "nothing") == 0 || random() % 2 == 0)
		return fdopen(fd, "r");
	close(fd);
	names = tmpfile();
	directory = opendir(live);
	while (names && directory && (entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			fprintf(names, "%lu %s\n", (unsigned long)entry->d_ino, entry->d_name);
	if (!names || !directory)
		die(live);
	closedir(directory);
	rewind(names);
	return names;
}

static void restore_directory(const struct restoring *restoring, FILE *names, const char *live,
			      const char *path)
{
	unsigned long ino;
	char name[256];

	if (mkdir(path, 0700) < 0)
		die(path);
	while (fscanf(names, "%lu %255s", &ino, name) == 2) {
		char live_child[PATH_MAX], child[PATH_MAX];
		FILE *below;

		snprintf(live_child, sizeof(live_child), "%s/%s", live, name);
		snprintf(child, sizeof(child), "%s/%s", path, name);
		below = open_names(restoring, ino, live_child);
		if (below)
			restore_directory(restoring, below, live_child, child);
		else
			restore_file(restoring, ino, live_child, child);
	}
	fclose(names);
}

/* The store as it was is left beside it. */
static int restore(char **words)
{
	struct restoring restoring = { .form = words[2] };
	char live[PATH_MAX];
	struct stat status;
	FILE *names;

	srandom((unsigned)atoi(words[3]));
	restoring.shadow = open(words[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(live, sizeof(live), "%s.cut", words[1]);
	if (restoring.shadow < 0 || stat(words[1], &status) < 0 || rename(words[1], live) < 0)
		die(words[1]);
	names = open_names(&restoring, (unsigned long)status.st_ino, live);
	if (!names)
		die(words[0]);
	restore_directory(&restoring, names, live, words[1]);
	return 0;
}

int main(int argc, char **argv)
{
	struct shim_control *control;
	bool new;

	if (argc == 6 && strcmp(argv[1], "restore") == 0)
		return restore(argv + 2);
	if (argc < 3) {
		fprintf(stderr, "usage: disk_control FILE new|arm|off|happened|calls, or "
				"disk_control restore SHADOW STORE FORM SEED\n");
		return USAGE;
	}
	new = strcmp(argv[2], "new") == 0;
	control = shim_control_map(argv[1], new ? O_CREAT | O_TRUNC : 0);
	if (!control)
		die(argv[1]);
	if (new)
		return 0;
	if (argc >= 6 && strcmp(argv[2], "arm") == 0) {
		arm(control, argv + 3, argc - 3);
	} else if (strcmp(argv[2], "off") == 0) {
		atomic_store(&control->action, SHIM_NOTHING);
	} else if (strcmp(argv[2], "happened") == 0) {
		printf("%d\n", atomic_load(&control->happened));
	} else if (strcmp(argv[2], "calls") == 0) {
		for (int i = 0; i < SHIM_KINDS; i++)
			printf("%s %u\n", kind_names[i], atomic_load(&control->calls[i]));
	} else {
		fprintf(stderr, "disk_control: what is '%s'?\n", argv[2]);
		return USAGE;
	}
	return 0;
}
