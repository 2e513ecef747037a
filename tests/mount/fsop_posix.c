/* See fsop_posix.h. */
#define _GNU_SOURCE
#include "fsop_posix.h"
#include "fsop_words.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Times, permissions ---------------------------------------------------------- */

static struct timespec arg_time(char **args, int index)
{
	const char *word = arg_text(args, index);

	if (strcmp(word, "now") == 0)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	if (strcmp(word, "omit") == 0)
		return (struct timespec){ .tv_nsec = UTIME_OMIT };
	return (struct timespec){ .tv_sec = arg_number(args, index) };
}

int op_times(char **args)
{
	struct timespec times[2] = { arg_time(args, 1), arg_time(args, 2) };
	int flags = args[3] ? AT_SYMLINK_NOFOLLOW : 0;

	return utimensat(AT_FDCWD, arg_text(args, 0), times, flags) < 0 ? -errno : 0;
}

int op_ftimes(char **args)
{
	struct timespec times[2] = { arg_time(args, 1), arg_time(args, 2) };

	return futimens(*arg_slot(args, 0), times) < 0 ? -errno : 0;
}

int op_faccess(char **args)
{
	static const char *const words[] = { "effective", "nofollow", NULL };
	static const int known[] = { AT_EACCESS, AT_SYMLINK_NOFOLLOW };
	const char *how = arg_text(args, 1);
	int mode = (strchr(how, 'r') ? R_OK : 0) | (strchr(how, 'w') ? W_OK : 0) |
		   (strchr(how, 'x') ? X_OK : 0);
	int flags = args[2] ? known[arg_word(args, 2, words)] : 0;

	return faccessat(AT_FDCWD, arg_text(args, 0), mode, flags) < 0 ? -errno : 0;
}

int op_follow_chown(char **args)
{
	uid_t uid = (uid_t)arg_number(args, 1);

	return chown(arg_text(args, 0), uid, (gid_t)arg_number(args, 2)) < 0 ? -errno : 0;
}

int op_fchdir(char **args)
{
	return fchdir(*arg_slot(args, 0)) < 0 ? -errno : 0;
}

/* ---- Listings -------------------------------------------------------------------- */

int op_many(char **args)
{
	const char *directory = arg_text(args, 0);
	char path[4096];

	for (int i = 0; i < arg_number(args, 1); i++) {
		snprintf(path, sizeof path, "%s/%0200d", directory, i);
		if (mkdir(path, 0755) < 0)
			return -errno;
	}
	return 0;
}

enum { MAX_PLACES = 4096 };

struct place {
	char name[256]; /* of what comes next */
	long position;
};

/* How many entries there were, or a negative errno. */
static int read_places(DIR *dir, struct place *places)
{
	int count = 0;

	for (;;) {
		struct place *place = &places[count];
		struct dirent *entry;

		errno = 0;
		place->position = telldir(dir);
		entry = readdir(dir);
		if (!entry)
			return errno ? -errno : count;
		if (count == MAX_PLACES)
			usage("the directory is too large");
		count++;
		snprintf(place->name, sizeof place->name, "%s", entry->d_name);
	}
}

static bool comes_next(DIR *dir, const struct place *place)
{
	const struct dirent *entry = readdir(dir);

	return entry && strcmp(entry->d_name, place->name) == 0;
}

/* What was wrong, or NULL. */
static const char *check_places(DIR *dir, const struct place *places, int count)
{
	for (int i = count; i-- > 0;) {
		seekdir(dir, places[i].position);
		if (!comes_next(dir, &places[i]))
			return "seekdir led elsewhere";
	}
	rewinddir(dir);
	for (int i = 0; i < count; i++)
		if (!comes_next(dir, &places[i]))
			return "another order after rewinddir";
	return readdir(dir) ? "more after rewinddir" : NULL;
}

int op_walk(char **args)
{
	struct place *places = calloc(MAX_PLACES + 1, sizeof *places);
	DIR *dir = opendir(arg_text(args, 0));
	const char *wrong = NULL;
	int count = dir ? 0 : -errno;

	if (!places)
		count = -ENOMEM;
	if (count == 0)
		count = read_places(dir, places);
	if (count > 0)
		wrong = check_places(dir, places, count);
	if (wrong)
		print_escaped(wrong, strlen(wrong));
	if (dir)
		closedir(dir);
	free(places);
	return count < 0 ? count : 0;
}

static int remove_entry(int dir, const char *name)
{
	if (unlinkat(dir, name, 0) == 0 ||
	    (errno == EISDIR && unlinkat(dir, name, AT_REMOVEDIR) == 0))
		return 0;
	return -errno;
}

int op_empty(char **args)
{
	DIR *dir = opendir(arg_text(args, 0));
	const struct dirent *entry;
	int removed = 0, result = 0;

	if (!dir)
		return -errno;
	while (result == 0 && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		result = remove_entry(dirfd(dir), entry->d_name);
		removed++;
	}
	closedir(dir);
	if (result == 0)
		print_number(removed);
	return result;
}
