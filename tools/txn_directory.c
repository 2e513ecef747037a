#include "tools/txn_directory.h"

#include "tools/mount_status.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_TEXT_BYTES = 1 << 20, MAX_NAME_TRIES = 16 };

/* That of errno. Calls that are under way when the daemon dies have an error of their own. */
static int last_error(void)
{
	return errno == ECONNABORTED ? -ENOTCONN : -errno;
}

static int read_text(const char *path, char **ret)
{
	g_autoptr(GString) text = g_string_new(NULL);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char buffer[4096];
	ssize_t count;

	if (fd < 0)
		return last_error();
	do {
		count = read(fd, buffer, sizeof(buffer));
		if (count > 0)
			g_string_append_len(text, buffer, count);
	} while (count > 0 && text->len < MAX_TEXT_BYTES);
	if (count < 0) {
		count = last_error();
		close(fd);
		return (int)count;
	}
	close(fd);
	if (text->len > 0 && text->str[text->len - 1] == '\n')
		g_string_truncate(text, text->len - 1);
	*ret = g_string_free(g_steal_pointer(&text), FALSE);
	return 0;
}

/* The process that reads `new` is the owner, so it is read here and not by a child. */
static int begin_owned(const char *directory, char **ret_name)
{
	g_autofree char *path = g_build_filename(directory, "new", NULL);
	int r = read_text(path, ret_name);

	if (r < 0)
		return r;
	return **ret_name != '\0' ? 0 : -EIO;
}

/* A name without a number in front of it belongs to no process. */
static int begin_named(const char *directory, char **ret_name)
{
	for (int i = 0; i < MAX_NAME_TRIES; i++) {
		g_autofree char *name = g_strdup_printf("run-%08x", g_random_int());
		g_autofree char *path = g_build_filename(directory, name, NULL);

		if (mkdir(path, 0700) == 0) {
			*ret_name = g_steal_pointer(&name);
			return 0;
		}
		if (errno != EEXIST)
			return last_error();
	}
	return -EEXIST;
}

int txn_directory_begin(const struct mount *mount, enum txn_owner owner, struct txn_directory **ret)
{
	g_autofree char *directory = g_build_filename(mount->point, "txn", NULL);
	g_autofree char *name = NULL;
	struct txn_directory *txn;
	int r;

	r = owner == TXN_OWNER_PROCESS ? begin_owned(directory, &name) :
					 begin_named(directory, &name);
	if (r < 0)
		return r;
	txn = g_new0(struct txn_directory, 1);
	txn->path = g_build_filename(directory, name, NULL);
	txn->keys = g_build_filename(txn->path, "keys", NULL);
	*ret = txn;
	return 0;
}

void txn_directory_free(struct txn_directory *txn)
{
	if (txn == NULL)
		return;
	g_free(txn->path);
	g_free(txn->keys);
	g_free(txn);
}

int txn_directory_write(const struct txn_directory *txn, const char *file, const char *text)
{
	g_autofree char *path = g_build_filename(txn->path, file, NULL);
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	int r;

	if (fd < 0)
		return last_error();
	r = write(fd, text, strlen(text)) < 0 ? last_error() : 0;
	close(fd);
	return r;
}

int txn_directory_read(const struct txn_directory *txn, const char *file, char **ret)
{
	g_autofree char *path = g_build_filename(txn->path, file, NULL);

	return read_text(path, ret);
}

char *txn_directory_explain(const struct txn_directory *txn, int error)
{
	g_autofree char *status = NULL;
	g_autofree char *reason = NULL;

	if (error == -ENOENT || error == -ESTALE)
		return g_strdup("its transaction was ended meanwhile");
	if (error == -ENOTCONN)
		return g_strdup("the daemon of the mount is gone");
	if (txn_directory_read(txn, "status", &status) == 0)
		reason = mount_status_get(status, "last_error");
	if (reason != NULL && strcmp(reason, "-") != 0)
		return g_steal_pointer(&reason);
	return g_strdup(g_strerror(-error));
}

int txn_directory_end(const struct txn_directory *txn)
{
	return rmdir(txn->path) < 0 ? last_error() : 0;
}
