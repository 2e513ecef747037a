#include "tools/daemon.h"

#include "tools/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the caller had open beyond stderr is not ours: a pipe kept open here would never
 * end for its reader. */
static void close_inherited(int keep)
{
	if (keep > STDERR_FILENO + 1)
		close_range(STDERR_FILENO + 1, (unsigned)keep - 1, 0);
	close_range((unsigned)keep + 1, ~0U, 0);
}

static int child_exit_code(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return command_fail(EXIT_NO_MOUNT, "cannot wait for the daemon: %s",
					    g_strerror(errno));
	if (WIFSIGNALED(status))
		return command_fail(EXIT_NO_MOUNT,
				    "cannot mount: the daemon was ended by signal %d (%s)",
				    WTERMSIG(status), strsignal(WTERMSIG(status)));
	/* It ended well, but without having been ready: unmounted while it was starting. */
	return WEXITSTATUS(status) == 0 ? EXIT_NO_MOUNT : WEXITSTATUS(status);
}

static int parent_wait(pid_t child, int ready)
{
	ssize_t count;
	char byte;

	do
		count = read(ready, &byte, 1);
	while (count < 0 && errno == EINTR);
	return count == 1 ? 0 : child_exit_code(child);
}

int daemon_fork(int *ret_ready)
{
	int fds[2];
	pid_t child;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return command_fail(EXIT_NO_MOUNT, "cannot make a pipe: %s", g_strerror(errno));
	child = fork();
	if (child < 0)
		return command_fail(EXIT_NO_MOUNT, "cannot start a process: %s", g_strerror(errno));
	if (child > 0) {
		close(fds[1]);
		return parent_wait(child, fds[0]);
	}
	close_inherited(fds[1]);
	*ret_ready = fds[1];
	return -1;
}

static void leave_stdio(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	/* Where stdio was closed, /dev/null took one of its numbers. */
	if (null > STDERR_FILENO)
		close(null);
}

void daemon_ready(int ready)
{
	/* Not earlier: an interrupt from the terminal must end a start that takes long. */
	setsid();
	/* Before the parent goes: whoever waits for the end of its output would wait for us. */
	leave_stdio();
	/* Nobody waits any more: whoever asked for the mount was killed, and has no use for
	 * it. The loop takes the signal as a request to end. */
	if (write(ready, "", 1) != 1)
		kill(getpid(), SIGTERM);
	close(ready);
}
