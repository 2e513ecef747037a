#include "tools/path_copy.h"

#include "tools/progress.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)1 << 20)

static int fail_at(const char *path, char **ret_path)
{
	int r = -errno;

	if (*ret_path == NULL)
		*ret_path = g_strdup(path);
	return r;
}

int path_stat(const char *path, struct stat *ret)
{
	if (lstat(path, ret) == 0)
		return 0;
	memset(ret, 0, sizeof(*ret));
	return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
}

bool path_is_same(const struct stat *a, const struct stat *b)
{
	if (a->st_mode == 0 || b->st_mode == 0)
		return a->st_mode == b->st_mode;
	return !S_ISDIR(a->st_mode) && a->st_mode == b->st_mode && a->st_size == b->st_size &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static gint by_name(gconstpointer a, gconstpointer b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int path_list(const char *path, GPtrArray **ret)
{
	GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
	DIR *directory = opendir(path);
	struct dirent *entry;

	if (directory == NULL) {
		g_ptr_array_unref(names);
		return -errno;
	}
	while ((entry = readdir(directory)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			g_ptr_array_add(names, g_strdup(entry->d_name));
	closedir(directory);
	g_ptr_array_sort(names, by_name);
	*ret = names;
	return 0;
}

int path_remove(const char *path, char **ret_path)
{
	g_autoptr(GPtrArray) names = NULL;
	int r;

	if (unlink(path) == 0)
		return 0;
	if (errno != EISDIR)
		return fail_at(path, ret_path);
	r = path_list(path, &names);
	if (r < 0) {
		errno = -r;
		return fail_at(path, ret_path);
	}
	for (guint i = 0; i < names->len && r == 0; i++) {
		g_autofree char *child = g_build_filename(path, g_ptr_array_index(names, i), NULL);

		r = path_remove(child, ret_path);
	}
	if (r == 0 && rmdir(path) < 0)
		r = fail_at(path, ret_path);
	return r;
}

/* ---- Copying -------------------------------------------------------------------- */

static int copy_value(int in, int out)
{
	g_autofree char *buffer = g_malloc(CHUNK_BYTES);
	ssize_t count;

	while ((count = read(in, buffer, CHUNK_BYTES)) > 0) {
		for (ssize_t done = 0, n; done < count; done += n) {
			n = write(out, buffer + done, (size_t)(count - done));
			if (n < 0)
				return -errno;
		}
	}
	return count < 0 ? -errno : 0;
}

/* True when two files of one size hold the same. What cannot be read is not the same: who
 * writes then says why. */
static bool is_same_value(const char *a, const char *b)
{
	g_autofree char *left = g_malloc(CHUNK_BYTES), *right = g_malloc(CHUNK_BYTES);
	int first = open(a, O_RDONLY | O_CLOEXEC), second = open(b, O_RDONLY | O_CLOEXEC);
	bool same = first >= 0 && second >= 0;
	ssize_t count = 1;

	while (same && count > 0) {
		count = read(first, left, CHUNK_BYTES);
		same = count >= 0 && read(second, right, CHUNK_BYTES) == count &&
		       memcmp(left, right, (size_t)count) == 0;
	}
	if (first >= 0)
		close(first);
	if (second >= 0)
		close(second);
	return same;
}

static int write_file(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC), out, r;

	if (in < 0)
		return -errno;
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (out < 0) {
		r = -errno;
		close(in);
		return r;
	}
	r = copy_value(in, out);
	close(in);
	if (close(out) < 0 && r == 0)
		r = -errno;
	return r;
}

static int write_link(const char *from, const char *to)
{
	char link[4096], now[4096];
	ssize_t length = readlink(from, link, sizeof(link) - 1);

	if (length < 0)
		return -errno;
	link[length] = '\0';
	if (readlink(to, now, sizeof(now)) == length && memcmp(link, now, (size_t)length) == 0)
		return 0;
	if (unlink(to) < 0 && errno != ENOENT)
		return -errno;
	return symlink(link, to) < 0 ? -errno : 0;
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* The time comes last: whatever else is changed sets it. */
static int set_attributes(const struct stat *wanted, const struct stat *now, const char *to)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, wanted->st_mtim };

	if ((wanted->st_uid != now->st_uid || wanted->st_gid != now->st_gid) &&
	    lchown(to, wanted->st_uid, wanted->st_gid) < 0)
		return -errno;
	if (!S_ISLNK(wanted->st_mode) && wanted->st_mode != now->st_mode &&
	    chmod(to, wanted->st_mode & 07777) < 0)
		return -errno;
	if (!S_ISDIR(wanted->st_mode) && !is_same_time(&wanted->st_mtim, &now->st_mtim) &&
	    utimensat(AT_FDCWD, to, times, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int make_same(const char *from, const struct stat *wanted, const struct stat *now,
		     const char *to)
{
	struct stat made;
	int r = 0;

	if (S_ISREG(wanted->st_mode) &&
	    !(now->st_mode && now->st_size == wanted->st_size && is_same_value(from, to)))
		r = write_file(from, to);
	else if (S_ISLNK(wanted->st_mode))
		r = write_link(from, to);
	else if (S_ISDIR(wanted->st_mode) && now->st_mode == 0 && mkdir(to, 0700) < 0)
		r = -errno;
	if (r == 0)
		r = path_stat(to, &made);
	return r == 0 ? set_attributes(wanted, &made, to) : r;
}

static int copy_below(const char *from, const char *to, char **ret_path);

int path_copy(const char *from, const char *to, bool deep, char **ret_path)
{
	struct stat wanted, now;
	int r = path_stat(from, &wanted);

	progress_step("keys looked at");
	if (r == 0)
		r = path_stat(to, &now);
	if (r < 0) {
		errno = -r;
		return fail_at(to, ret_path);
	}
	if (path_is_same(&wanted, &now))
		return 0;
	if (now.st_mode && (wanted.st_mode & S_IFMT) != (now.st_mode & S_IFMT)) {
		r = path_remove(to, ret_path);
		memset(&now, 0, sizeof(now));
	}
	if (r < 0 || wanted.st_mode == 0)
		return r;
	r = make_same(from, &wanted, &now, to);
	if (r < 0) {
		errno = -r;
		return fail_at(to, ret_path);
	}
	return deep && S_ISDIR(wanted.st_mode) ? copy_below(from, to, ret_path) : 0;
}

static int copy_names(const GPtrArray *names, const char *from, const char *to, char **ret_path)
{
	int r = 0;

	for (guint i = 0; i < names->len && r == 0; i++) {
		const char *name = g_ptr_array_index(names, i);
		g_autofree char *source = g_build_filename(from, name, NULL);
		g_autofree char *target = g_build_filename(to, name, NULL);

		r = path_copy(source, target, true, ret_path);
	}
	return r;
}

/* First what is there now, which removes what was not; then what was. */
static int copy_below(const char *from, const char *to, char **ret_path)
{
	g_autoptr(GPtrArray) now = NULL, wanted = NULL;
	int r = path_list(to, &now);

	if (r == 0)
		r = path_list(from, &wanted);
	if (r < 0) {
		errno = -r;
		return fail_at(to, ret_path);
	}
	for (guint i = now->len; i-- > 0;)
		if (g_ptr_array_find_with_equal_func(wanted, g_ptr_array_index(now, i), g_str_equal,
						     NULL))
			g_ptr_array_remove_index(now, i);
	r = copy_names(now, from, to, ret_path);
	return r == 0 ? copy_names(wanted, from, to, ret_path) : r;
}
