/* Why copies, and not the view itself: a key that the editor writes unchanged is no write of
 * the transaction, and what editors put beside a file is no key. The copies are read from
 * the view and written to it, so the transaction knows exactly what was looked at.
 *
 * Keys are opened beneath the view: where a symbolic link leads out of it, what is written
 * would not be the transaction's. */
#include "tools/edit_copies.h"

#include "tools/mount_file.h"
#include "tools/path_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DIRECTORY_MODE = 0777, FILE_MODE = 0666, PRIVATE_MODE = 0700 };

/* diff3(1) begins its marks so, in a line of its own, with our labels behind. */
#define OWN_MARK "<<<<<<< yours"

static void copy_free(void *data)
{
	struct edit_copy *copy = data;

	g_free(copy->key);
	g_free(copy->path);
	g_clear_pointer(&copy->began, g_bytes_unref);
	g_free(copy);
}

int edit_copies_init(struct edit_copies *copies)
{
	g_autofree char *directory =
		g_build_filename(g_get_tmp_dir(), "commitfs-edit.XXXXXX", NULL);

	if (g_mkdtemp(directory) == NULL)
		return -errno;
	copies->directory = g_steal_pointer(&directory);
	copies->files = g_ptr_array_new_with_free_func(copy_free);
	return 0;
}

void edit_copies_done(struct edit_copies *copies, bool keep)
{
	g_autofree char *failed_at = NULL;

	if (copies->directory != NULL && !keep)
		path_remove(copies->directory, &failed_at);
	g_clear_pointer(&copies->files, g_ptr_array_unref);
	g_clear_pointer(&copies->directory, g_free);
}

/* ---- Keys ----------------------------------------------------------------------------- */

static bool is_key(const char *key)
{
	g_auto(GStrv) parts = g_strsplit(key, "/", -1);

	for (char **part = parts; *part != NULL; part++)
		if (**part == '\0' || strcmp(*part, ".") == 0 || strcmp(*part, "..") == 0)
			return false;
	return *parts != NULL;
}

static int open_beneath(const char *root, const char *key, int flags)
{
	struct open_how how = {
		.flags = (unsigned)(flags | O_CLOEXEC),
		.mode = flags & O_CREAT ? FILE_MODE : 0,
		.resolve = RESOLVE_BENEATH,
	};
	int directory = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd, error;

	if (directory < 0)
		return -errno;
	fd = (int)syscall(SYS_openat2, directory, key, &how, sizeof(how));
	error = errno;
	close(directory);
	return fd < 0 ? -error : fd;
}

static int read_file(int fd, GBytes **ret)
{
	g_autoptr(GString) text = g_string_new(NULL);
	struct stat status;
	int r;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
	r = mount_file_read(fd, text);
	if (r == 0)
		*ret = g_string_free_to_bytes(g_steal_pointer(&text));
	return r;
}

int edit_copies_load(const char *root, const char *key, GBytes **ret)
{
	int fd = open_beneath(root, key, O_RDONLY);
	int r;

	if (fd == -ENOENT) {
		*ret = NULL;
		return 0;
	}
	if (fd < 0)
		return fd;
	r = read_file(fd, ret);
	close(fd);
	return r;
}

static int write_file(int fd, GBytes *value)
{
	gsize size;
	const char *data = g_bytes_get_data(value, &size);

	while (size > 0) {
		ssize_t count = write(fd, data, size);

		if (count < 0)
			return -errno;
		data += count;
		size -= (gsize)count;
	}
	return 0;
}

static int write_path(const char *path, GBytes *value)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_MODE);
	int r;

	if (fd < 0)
		return -errno;
	r = write_file(fd, value);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

/* ---- Copies --------------------------------------------------------------------------- */

/* Told before somebody works for nothing. Of what is absent open(2) tells in the end. */
static int check_writable(const char *view, const char *key)
{
	g_autofree char *path = g_build_filename(view, key, NULL);

	return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) < 0 && errno != ENOENT ? -errno : 0;
}

static bool is_added(const struct edit_copies *copies, const char *key)
{
	for (guint i = 0; i < copies->files->len; i++) {
		const struct edit_copy *copy = g_ptr_array_index(copies->files, i);

		if (strcmp(copy->key, key) == 0)
			return true;
	}
	return false;
}

static int make_copy(const struct edit_copy *copy)
{
	g_autofree char *parent = g_path_get_dirname(copy->path);

	if (g_mkdir_with_parents(parent, PRIVATE_MODE) < 0)
		return -errno;
	return copy->began != NULL ? write_path(copy->path, copy->began) : 0;
}

int edit_copies_add(struct edit_copies *copies, const char *view, const char *key)
{
	g_autoptr(GBytes) value = NULL;
	struct edit_copy *copy;
	int r = is_key(key) ? 0 : -EINVAL;

	if (r < 0 || is_added(copies, key))
		return r;
	r = edit_copies_load(view, key, &value);
	if (r == 0)
		r = check_writable(view, key);
	if (r < 0)
		return r;
	copy = g_new0(struct edit_copy, 1);
	copy->key = g_strdup(key);
	copy->path = g_build_filename(copies->directory, key, NULL);
	copy->began = g_steal_pointer(&value);
	g_ptr_array_add(copies->files, copy);
	return make_copy(copy);
}

int edit_copy_read(const struct edit_copy *copy, GBytes **ret)
{
	int fd = open(copy->path, O_RDONLY | O_CLOEXEC);
	int r;

	if (fd < 0 && errno != ENOENT)
		return -errno;
	if (fd < 0) {
		*ret = NULL;
		return 0;
	}
	r = read_file(fd, ret);
	close(fd);
	return r;
}

bool edit_copy_is_changed(const struct edit_copy *copy)
{
	g_autoptr(GBytes) now = NULL;

	if (edit_copy_read(copy, &now) < 0)
		return true; /* storing it tells why it cannot be read */
	return now != NULL && (copy->began == NULL || !g_bytes_equal(now, copy->began));
}

guint edit_copies_count_changed(const struct edit_copies *copies)
{
	guint count = 0;

	for (guint i = 0; i < copies->files->len; i++)
		count += edit_copy_is_changed(g_ptr_array_index(copies->files, i));
	return count;
}

static int make_parents(const char *view, const char *key)
{
	int directory = open(view, O_PATH | O_DIRECTORY | O_CLOEXEC);
	const char *slash = key;
	int r = directory < 0 ? -errno : 0;

	while (r == 0 && (slash = strchr(slash, '/')) != NULL) {
		g_autofree char *parent = g_strndup(key, (size_t)(slash++ - key));

		if (mkdirat(directory, parent, DIRECTORY_MODE) < 0 && errno != EEXIST)
			r = -errno;
	}
	if (directory >= 0)
		close(directory);
	return r;
}

static int store_copy(const struct edit_copy *copy, const char *view)
{
	g_autoptr(GBytes) value = NULL;
	int fd, r = edit_copy_read(copy, &value);

	if (r == 0 && copy->began == NULL)
		r = make_parents(view, copy->key);
	if (r < 0)
		return r;
	fd = open_beneath(view, copy->key, O_WRONLY | O_CREAT | O_TRUNC);
	if (fd < 0)
		return fd;
	r = write_file(fd, value);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

int edit_copies_store(const struct edit_copies *copies, const char *view, const char **ret_key)
{
	int r = 0;

	for (guint i = 0; i < copies->files->len && r == 0; i++) {
		const struct edit_copy *copy = g_ptr_array_index(copies->files, i);

		*ret_key = copy->key;
		if (edit_copy_is_changed(copy))
			r = store_copy(copy, view);
	}
	return r;
}

/* ---- Comparing and merging ------------------------------------------------------------ */

/* A value in a file, for diff(1) and diff3(1); NULL is an empty one. Caller frees. */
static char *spill(const struct edit_copies *copies, const char *name, GBytes *value)
{
	g_autofree char *path = g_strconcat(copies->directory, ".", name, NULL);
	g_autoptr(GBytes) empty = g_bytes_new_static("", 0);

	/* Beside the directory, not in it, where a key may have any name. */
	return write_path(path, value != NULL ? value : empty) == 0 ? g_steal_pointer(&path) : NULL;
}

static void unspill(char *path)
{
	if (path != NULL)
		unlink(path);
	g_free(path);
}

/* Runs it for its output. The exit status, or -ENOEXEC. */
static int capture(const char *const *argv, char **ret_output)
{
	int status;

	if (!g_spawn_sync(NULL, (char **)argv, NULL,
			  G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, ret_output,
			  NULL, &status, NULL))
		return -ENOEXEC;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -ENOEXEC;
}

char *edit_copies_diff(const struct edit_copies *copies, GBytes *const values[2],
		       const char *const labels[2], const char *colour)
{
	char *old = spill(copies, "old", values[0]);
	char *new = spill(copies, "new", values[1]);
	const char *argv[] = { "diff",	  "-u", colour, "--label", labels[0], "--label",
			       labels[1], "--", old,	new,	   NULL };
	char *output = NULL;

	if (old != NULL && new != NULL && capture(argv, &output) < 0)
		output = NULL;
	unspill(old);
	unspill(new);
	return output;
}

/* *ret: both changes, NULL where they cannot be merged. True: with marks. */
static bool merge_texts(const struct edit_copies *copies, GBytes *own, GBytes *began,
			GBytes *theirs, GBytes **ret)
{
	char *own_path = spill(copies, "own", own);
	char *began_path = spill(copies, "began", began);
	char *theirs_path = spill(copies, "theirs", theirs);
	const char *argv[] = { "diff3",	       "-m",	    "-L",     "yours", "-L",
			       "as you began", "-L",	    "theirs", "--",    own_path,
			       began_path,     theirs_path, NULL };
	char *merged = NULL;
	int status = -ENOEXEC;

	/* It refuses what is no text, so there is no NUL in what it makes. */
	if (own_path != NULL && began_path != NULL && theirs_path != NULL)
		status = capture(argv, &merged);
	*ret = status == 0 || status == 1 ? g_bytes_new(merged, strlen(merged)) : NULL;
	g_free(merged);
	unspill(own_path);
	unspill(began_path);
	unspill(theirs_path);
	return status == 1;
}

static bool is_same(GBytes *a, GBytes *b)
{
	return a == NULL || b == NULL ? a == b : g_bytes_equal(a, b);
}

/* What the copy is to hold, NULL: it stays as it is. */
static GBytes *merge(const struct edit_copies *copies, GBytes *own, GBytes *began, GBytes *theirs,
		     enum edit_merge *ret)
{
	GBytes *merged;
	bool marked;

	*ret = EDIT_MERGE_NOTHING;
	if (is_same(began, theirs) || is_same(own, theirs))
		return NULL;
	*ret = EDIT_MERGE_REFUSED;
	if (theirs == NULL)
		return NULL;
	*ret = EDIT_MERGE_CLEAN;
	if (own == NULL || is_same(own, began))
		return g_bytes_ref(theirs);
	marked = merge_texts(copies, own, began, theirs, &merged);
	if (merged == NULL)
		*ret = EDIT_MERGE_REFUSED;
	else if (marked)
		*ret = EDIT_MERGE_MARKED;
	return merged;
}

int edit_copy_merge(struct edit_copies *copies, struct edit_copy *copy, const char *view,
		    enum edit_merge *ret)
{
	g_autoptr(GBytes) own = NULL, theirs = NULL, merged = NULL;
	int r = edit_copy_read(copy, &own);

	if (r == 0)
		r = edit_copies_load(view, copy->key, &theirs);
	if (r < 0)
		return r;
	merged = merge(copies, own, copy->began, theirs, ret);
	if (merged != NULL)
		r = write_path(copy->path, merged);
	if (r < 0)
		return r;
	g_clear_pointer(&copy->began, g_bytes_unref);
	copy->began = g_steal_pointer(&theirs);
	return 0;
}

bool edit_copy_has_marks(const struct edit_copy *copy)
{
	g_autoptr(GBytes) now = NULL;
	g_autofree char *text = NULL;
	gsize size;
	const char *data;

	if (edit_copy_read(copy, &now) < 0 || now == NULL)
		return false;
	data = g_bytes_get_data(now, &size);
	text = g_strndup(data != NULL ? data : "", size);
	return g_str_has_prefix(text, OWN_MARK "\n") || strstr(text, "\n" OWN_MARK "\n") != NULL;
}
