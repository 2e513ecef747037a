/* Plain file calls, each as a careful program would do it. What a call of several steps gives
 * as its error is that of the first step that failed. */
#include "calls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_all(int fd, GString *result)
{
	char buffer[4096];
	ssize_t n;

	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		escape_bytes(result, buffer, (size_t)n);
	return n < 0 ? errno : 0;
}

static int do_read(int directory, const char *key, GString *result)
{
	int fd = openat(directory, key, O_RDONLY | O_CLOEXEC);
	int error;

	if (fd < 0)
		return errno;
	error = read_all(fd, result);
	if (close(fd) < 0 && error == 0)
		error = errno;
	return error;
}

static int do_stat(int directory, const char *key, GString *result)
{
	struct stat status;

	if (fstatat(directory, key, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno;
	if (S_ISDIR(status.st_mode))
		g_string_append(result, "directory");
	else
		g_string_append_printf(result, "%jd", (intmax_t)status.st_size);
	return 0;
}

/* In the order in which they come: that is part of the contract. */
static int list_entries(DIR *stream, GString *result)
{
	struct dirent *entry;

	for (errno = 0; (entry = readdir(stream)); errno = 0) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (result->len > 0)
			g_string_append_c(result, ' ');
		escape_bytes(result, entry->d_name, strlen(entry->d_name));
		if (entry->d_type == DT_DIR)
			g_string_append_c(result, '/');
	}
	return errno;
}

static int do_list(int directory, const char *key, GString *result)
{
	int fd = openat(directory, *key ? key : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream;
	int error;

	if (fd < 0)
		return errno;
	stream = fdopendir(fd);
	if (!stream) {
		error = errno;
		close(fd);
		return error;
	}
	error = list_entries(stream, result);
	closedir(stream);
	return error;
}

static int do_write(int directory, const char *key, int flags, const char *text)
{
	int fd = openat(directory, key, flags | O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	size_t length = strlen(text);
	int error = 0;
	ssize_t n;

	if (fd < 0)
		return errno;
	n = write(fd, text, length);
	if (n < 0)
		error = errno;
	else if ((size_t)n < length)
		error = EIO;
	if (close(fd) < 0 && error == 0)
		error = errno;
	return error;
}

static int do_call(int directory, const struct event *event, GString *result)
{
	int r = 0;

	switch (event->call) {
	case CALL_READ:
		return do_read(directory, event->key, result);
	case CALL_STAT:
		return do_stat(directory, event->key, result);
	case CALL_LIST:
		return do_list(directory, event->key, result);
	case CALL_PUT:
		return do_write(directory, event->key, O_TRUNC, event->text);
	case CALL_APPEND:
		return do_write(directory, event->key, O_APPEND, event->text);
	case CALL_REMOVE:
		r = unlinkat(directory, event->key, 0);
		break;
	case CALL_MKDIR:
		r = mkdirat(directory, event->key, 0777);
		break;
	case CALL_RMDIR:
		r = unlinkat(directory, event->key, AT_REMOVEDIR);
		break;
	case CALL_RENAME:
		r = renameat(directory, event->key, directory, event->text);
		break;
	case CALL_COUNT:
		g_assert_not_reached();
	}
	return r < 0 ? errno : 0;
}

void call_do(int directory, struct event *event, GString *result)
{
	g_string_truncate(result, 0);
	event->error = do_call(directory, event, result);
	if (event->error != 0)
		g_string_truncate(result, 0);
}

const char *control_text(int fd)
{
	static char text[4096];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return NULL;
	text[n] = '\0';
	return text;
}

bool control_number(const char *text, const char *name, uint64_t *ret)
{
	size_t length = strlen(name);

	while (text) {
		if (strncmp(text, name, length) == 0 && text[length] == ' ') {
			*ret = g_ascii_strtoull(text + length + 1, NULL, 10);
			return true;
		}
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	return false;
}
