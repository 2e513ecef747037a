#include "tools/mount_file.h"

#include "tools/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

char *mount_file_path(const struct mount *mount, const char *name)
{
	return g_build_filename(mount->point, name, NULL);
}

int mount_file_open(const struct mount *mount, const char *name, int flags)
{
	g_autofree char *path = mount_file_path(mount, name);
	int fd = open(path, flags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int mount_file_write(int fd, const char *text)
{
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int mount_file_read(int fd, GString *out)
{
	char buffer[65536];
	off_t offset = 0;
	ssize_t count;

	while ((count = pread(fd, buffer, sizeof(buffer), offset)) > 0) {
		g_string_append_len(out, buffer, count);
		offset += count;
	}
	return count < 0 ? -errno : 0;
}

int mount_file_watch(const struct mount *mount, const char *prefix, uint64_t from, FILE **ret)
{
	g_autoptr(GString) text = g_string_new(NULL);
	int fd = mount_file_open(mount, "watch", O_RDWR);
	int r;

	if (fd < 0)
		return fd;
	text_append_escaped(text, prefix);
	/* A number behind a blank would be a revision. */
	g_string_replace(text, " ", "\\040", 0);
	if (from)
		g_string_append_printf(text, " %" G_GUINT64_FORMAT, from);
	g_string_append_c(text, '\n');
	r = mount_file_write(fd, text->str);
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret = fdopen(fd, "r");
	return 0;
}

static const char *reason(int error)
{
	switch (error) {
	case -ENOTCONN:
	case -ECONNABORTED:
		return "the daemon of the mount is gone";
	case -EACCES:
	case -EPERM:
		return "Permission denied: that is for the owner of the mount";
	case -EIO:
	case -EROFS:
		return "the store failed and takes no writes; see its health with: commitfs status";
	default:
		return g_strerror(-error);
	}
}

int mount_file_fail_key(const char *action, const char *key)
{
	return command_fail(
		EXIT_USAGE,
		"cannot %s '%s': expected a key, such as app/port: its path below keys/", action,
		key);
}

int mount_file_exit_code(int error)
{
	switch (error) {
	case -ENOTCONN:
	case -ECONNABORTED:
		return EXIT_NO_MOUNT;
	case -EIO:
	case -EROFS:
	case -ENOSPC:
		return EXIT_STORE;
	default:
		return EXIT_FAILED;
	}
}

int mount_file_fail(int error, const char *format, ...)
{
	g_autofree char *action = NULL;
	va_list args;

	va_start(args, format);
	action = g_strdup_vprintf(format, args);
	va_end(args);
	return command_fail(error == -EINVAL ? EXIT_USAGE : mount_file_exit_code(error),
			    "cannot %s: %s", action, reason(error));
}
