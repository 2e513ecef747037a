/* Signals and the end of the child come through one signalfd, beside its standard input.
 *
 * A signal that was sent to this process is passed on, and nothing is committed after it.
 * One that the terminal made went to the whole group of processes, the command included:
 * it is the command that decides what it means, by how it ends. So an interpreter that
 * takes an interrupt as the end of a line goes on, as it does below a shell. */
#include "tools/run_process.h"

#include "tools/command.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* env(1) and shells agree on these. */
enum { EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127, EXIT_SIGNALED = 128 };

static const struct {
	int number;
	bool ends; /* otherwise it is for the command alone */
} passed_on[] = {
	{ SIGHUP, true },  { SIGINT, true },   { SIGQUIT, true },
	{ SIGTERM, true }, { SIGUSR1, false }, { SIGUSR2, false },
};

static bool is_ignored(int number)
{
	struct sigaction action;

	return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

int run_signals_init(struct run_signals *signals)
{
	sigset_t waited_for, blocked;

	sigemptyset(&waited_for);
	for (guint i = 0; i < G_N_ELEMENTS(passed_on); i++)
		/* nohup(1) and a shell's & ignore some, and a blocked signal would come. */
		if (!is_ignored(passed_on[i].number))
			sigaddset(&waited_for, passed_on[i].number);
	sigaddset(&waited_for, SIGCHLD);
	blocked = waited_for;
	/* A command that does not read its input is no error. */
	sigaddset(&blocked, SIGPIPE);
	/* Were it ignored, there would be nobody to wait for. */
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_BLOCK, &blocked, &signals->before);
	signals->fd = signalfd(-1, &waited_for, SFD_CLOEXEC | SFD_NONBLOCK);
	return signals->fd < 0 ? -errno : 0;
}

void run_signals_done(struct run_signals *signals)
{
	if (signals->fd >= 0)
		close(signals->fd);
}

static bool asks_to_end(int number)
{
	for (guint i = 0; i < G_N_ELEMENTS(passed_on); i++)
		if (passed_on[i].number == number)
			return passed_on[i].ends;
	return false;
}

static bool next_signal(const struct run_signals *signals, struct signalfd_siginfo *ret)
{
	return read(signals->fd, ret, sizeof(*ret)) == (ssize_t)sizeof(*ret);
}

int run_signals_wait(const struct run_signals *signals, int timeout_ms)
{
	gint64 end = g_get_monotonic_time() + timeout_ms * G_TIME_SPAN_MILLISECOND;
	struct pollfd poll_fd = { .fd = signals->fd, .events = POLLIN };
	struct signalfd_siginfo info;
	gint64 left_us;

	do {
		while (next_signal(signals, &info))
			if (asks_to_end((int)info.ssi_signo))
				return (int)info.ssi_signo;
		left_us = end - g_get_monotonic_time();
		if (left_us > 0)
			poll(&poll_fd, 1, (int)((left_us + 999) / 1000));
	} while (left_us > 0);
	return 0;
}

/* ---- The child ------------------------------------------------------------------ */

static _Noreturn void child_main(const struct run_process *process,
				 const struct run_signals *signals, int input_fd)
{
	int exit_code;

	sigprocmask(SIG_SETMASK, &signals->before, NULL);
	if (input_fd != STDIN_FILENO && dup2(input_fd, STDIN_FILENO) < 0)
		_exit(command_fail(EXIT_CANNOT_RUN, "cannot give '%s' its input: %s",
				   process->argv[0], g_strerror(errno)));
	exit_code = process->at != NULL ? run_at_enter(process->at) : 0;
	if (exit_code != 0)
		_exit(exit_code);
	if (process->directory != NULL && chdir(process->directory) < 0)
		_exit(command_fail(EXIT_CANNOT_RUN, "cannot run '%s' in '%s': %s", process->argv[0],
				   process->directory, g_strerror(errno)));
	execvpe(process->argv[0], process->argv, process->environment);
	_exit(command_fail(errno == ENOENT || errno == ENOTDIR ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN,
			   "cannot run '%s': %s", process->argv[0], g_strerror(errno)));
}

/* True when the child has ended. */
static bool reap(pid_t child, struct run_ending *ending)
{
	int status;

	if (waitpid(child, &status, WNOHANG) != child)
		return false;
	if (WIFSIGNALED(status)) {
		ending->killed_by = WTERMSIG(status);
		ending->exit_code = EXIT_SIGNALED + ending->killed_by;
	} else {
		ending->exit_code = WEXITSTATUS(status);
	}
	return true;
}

static void handle_signal(pid_t child, const struct signalfd_siginfo *info,
			  struct run_ending *ending)
{
	int number = (int)info->ssi_signo;

	/* The child's own can only be one to its whole group. */
	if (number == SIGCHLD || info->ssi_code == SI_KERNEL || (pid_t)info->ssi_pid == child)
		return;
	if (asks_to_end(number))
		ending->asked_by = number;
	kill(child, number);
}

/* Handles what has come. True: the child may have ended. Of several signals the kernel gives
 * the lowest first, so those that ended the child come before SIGCHLD. */
static bool handle_signals(pid_t child, const struct run_signals *signals,
			   struct run_ending *ending)
{
	struct signalfd_siginfo info;
	bool changed = false;

	while (next_signal(signals, &info)) {
		changed = changed || info.ssi_signo == SIGCHLD;
		handle_signal(child, &info, ending);
	}
	return changed;
}

static void wait_for_child(pid_t child, const struct run_signals *signals, struct run_input *input,
			   struct run_ending *ending)
{
	for (;;) {
		struct pollfd poll_fds[] = {
			{ .fd = signals->fd, .events = POLLIN },
			run_input_wait(input),
		};

		poll(poll_fds, G_N_ELEMENTS(poll_fds), -1);
		if (poll_fds[1].revents != 0)
			run_input_feed(input);
		/* Not only when poll(2) saw a signal: it may have come since. */
		if (handle_signals(child, signals, ending) && reap(child, ending))
			return;
	}
}

int run_process_to_end(const struct run_process *process, const struct run_signals *signals,
		       struct run_input *input, struct run_ending *ret)
{
	struct run_ending ending = { 0 };
	int input_fd;
	pid_t child;
	int r;

	r = run_input_begin(input, &input_fd);
	if (r < 0)
		return r;
	child = fork();
	if (child == 0)
		child_main(process, signals, input_fd);
	if (child > 0) {
		run_input_started(input);
		wait_for_child(child, signals, input, &ending);
	} else {
		r = -errno;
	}
	run_input_end(input);
	if (r == 0)
		*ret = ending;
	return r;
}
