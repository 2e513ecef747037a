/* The file is read by a child: a mount whose daemon is stopped would keep a reader waiting
 * for good, and a child can be killed and can become another user. */
#include "tools/mount_status.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_MS 5000
#define STATUS_MAX_BYTES (1 << 20)

/* A mount that a user made admits nobody else, not even root. */
static int become_mounter(const struct mount *mount)
{
	if (geteuid() != 0 || mount->user == 0)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(mount->group, mount->group, mount->group) < 0 ||
	    setresuid(mount->user, mount->user, mount->user) < 0)
		return -errno;
	return 0;
}

/* Sends the text of `path` down the pipe `out`. */
static int send_file(const char *path, int out)
{
	char buffer[4096];
	ssize_t count;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	while ((count = read(fd, buffer, sizeof(buffer))) > 0)
		if (write(out, buffer, (size_t)count) != count)
			return -EIO;
	return count < 0 ? -errno : 0;
}

/* The child's exit code is the errno. */
static void child_main(const struct mount *mount, int out)
{
	g_autofree char *path = g_build_filename(mount->point, "status", NULL);
	int r;

	r = become_mounter(mount);
	if (r == 0)
		r = send_file(path, out);
	_exit(-r & 0xff);
}

/* Appends what comes from `in` to `text` until its end. */
static int receive(int in, GString *text)
{
	gint64 deadline = g_get_monotonic_time() + ANSWER_TIMEOUT_MS * G_TIME_SPAN_MILLISECOND;
	struct pollfd poll_fd = { .fd = in, .events = POLLIN };
	char buffer[4096];
	ssize_t count;

	do {
		gint64 left = (deadline - g_get_monotonic_time()) / G_TIME_SPAN_MILLISECOND;

		if (left <= 0 || poll(&poll_fd, 1, (int)left) == 0)
			return -ETIMEDOUT;
		count = read(in, buffer, sizeof(buffer));
		if (count > 0)
			g_string_append_len(text, buffer, count);
		if (text->len > STATUS_MAX_BYTES)
			return -EFBIG;
	} while (count > 0 || (count < 0 && errno == EINTR));
	return count < 0 ? -errno : 0;
}

/* Ends the child whose text was received with `result`. */
static int child_end(pid_t child, int result)
{
	int status;

	/* A request that a stopped daemon has already read outlasts even SIGKILL: the child
	 * is left to whoever inherits it. */
	if (result < 0) {
		kill(child, SIGKILL);
		return result;
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

int mount_status_read(const struct mount *mount, GString **ret)
{
	GString *text;
	int fds[2];
	pid_t child;
	int r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	child = fork();
	if (child == 0)
		child_main(mount, fds[1]);
	r = child < 0 ? -errno : 0;
	close(fds[1]);
	text = g_string_new(NULL);
	if (r == 0)
		r = receive(fds[0], text);
	close(fds[0]);
	if (child > 0)
		r = child_end(child, r);
	if (r < 0) {
		g_string_free(text, TRUE);
		return r;
	}
	*ret = text;
	return 0;
}

char *mount_status_get(const char *text, const char *name)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	size_t length = strlen(name);

	for (char **line = lines; *line != NULL; line++)
		if (strncmp(*line, name, length) == 0 && g_ascii_isspace((*line)[length]))
			return g_strdup(g_strstrip(*line + length));
	return NULL;
}

uint64_t mount_status_get_number(const char *text, const char *name)
{
	g_autofree char *value = mount_status_get(text, name);

	return value ? g_ascii_strtoull(value, NULL, 10) : 0;
}
