/* The daemon stays in the foreground, so that it is our child and known by its pid; it gets a
 * SIGTERM should we die. */
#include "mounted.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_SECONDS = 60, STOP_SECONDS = 60 };

char *mounted_find_command(void)
{
	const char *given = g_getenv("COMMITFS");
	g_autofree char *self = NULL, *directory = NULL;

	if (given && !BUILT_WITH_TSAN)
		return g_strdup(given);
	self = g_file_read_link("/proc/self/exe", NULL);
	directory = g_path_get_dirname(self ? self : ".");
	return g_build_filename(directory, "../../tools/commitfs", NULL);
}

/* Runs the command with its output in the log; does not wait. */
static pid_t start(const struct mounted *mounted, const char *const *arguments)
{
	pid_t pid = fork();
	int fd;

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	fd = open(mounted->log, O_WRONLY | O_CREAT | O_APPEND, 0666);
	if (fd >= 0) {
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		close(fd);
	}
	execv(mounted->command, (char *const *)arguments);
	perror(mounted->command);
	_exit(127);
}

static void show_log(const struct mounted *mounted)
{
	g_autofree char *text = NULL;

	if (g_file_get_contents(mounted->log, &text, NULL, NULL))
		fprintf(stderr, "the mount's log:\n%.8000s\n", text);
}

/* Waits for the end of `pid`, at most for `seconds`. False: it still runs. */
static bool wait_for(pid_t pid, int seconds, int *ret_status)
{
	gint64 end = g_get_monotonic_time() + (gint64)seconds * G_USEC_PER_SEC;
	pid_t ended;

	while ((ended = waitpid(pid, ret_status, WNOHANG)) == 0) {
		if (g_get_monotonic_time() > end)
			return false;
		g_usleep(10000);
	}
	return ended == pid;
}

bool mounted_init(struct mounted *mounted, const char *command)
{
	const char *arguments[] = { command, "init", NULL, NULL };
	int status = -1;
	pid_t pid;

	memset(mounted, 0, sizeof(*mounted));
	mounted->command = command;
	mounted->base = g_build_filename(g_get_tmp_dir(), "commitfs-transactions.XXXXXX", NULL);
	if (!g_mkdtemp(mounted->base)) {
		fprintf(stderr, "cannot make %s: %s\n", mounted->base, strerror(errno));
		return false;
	}
	mounted->store = g_build_filename(mounted->base, "store", NULL);
	mounted->point = g_build_filename(mounted->base, "mnt", NULL);
	mounted->log = g_build_filename(mounted->base, "log", NULL);
	g_mkdir(mounted->point, 0755);
	arguments[2] = mounted->store;
	pid = start(mounted, arguments);
	if (pid > 0 && wait_for(pid, START_SECONDS, &status) && status == 0)
		return true;
	fprintf(stderr, "cannot make the store %s\n", mounted->store);
	show_log(mounted);
	return false;
}

bool mounted_is_alive(struct mounted *mounted)
{
	siginfo_t info = { 0 };

	return mounted->daemon > 0 &&
	       waitid(P_PID, (id_t)mounted->daemon, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == 0;
}

bool mounted_start(struct mounted *mounted)
{
	const char *arguments[] = { mounted->command, "mount",	      "-f",
				    mounted->store,   mounted->point, NULL };
	g_autofree char *revision = g_build_filename(mounted->point, "revision", NULL);
	gint64 end = g_get_monotonic_time() + START_SECONDS * (gint64)G_USEC_PER_SEC;

	mounted->daemon = start(mounted, arguments);
	while (mounted_is_alive(mounted) && g_get_monotonic_time() < end) {
		int fd = open(revision, O_RDONLY | O_CLOEXEC);

		if (fd >= 0) {
			close(fd);
			return true;
		}
		g_usleep(20000);
	}
	fprintf(stderr, "the mount did not come\n");
	show_log(mounted);
	return false;
}

static bool is_mounted(const struct mounted *mounted)
{
	g_autofree char *needle = g_strdup_printf(" %s ", mounted->point);
	g_autofree char *text = NULL;

	return g_file_get_contents("/proc/self/mountinfo", &text, NULL, NULL) &&
	       strstr(text, needle);
}

static void unmount(const struct mounted *mounted)
{
	const char *arguments[] = { "fusermount3", "-uz", mounted->point, NULL };

	if (umount2(mounted->point, MNT_DETACH) < 0)
		g_spawn_sync(NULL, (char **)arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
			     NULL, NULL, NULL);
}

bool mounted_stop(struct mounted *mounted, bool kindly)
{
	int status = 0;

	if (mounted->daemon <= 0)
		return true;
	kill(mounted->daemon, kindly ? SIGTERM : SIGKILL);
	if (!wait_for(mounted->daemon, STOP_SECONDS, &status)) {
		kill(mounted->daemon, SIGKILL);
		waitpid(mounted->daemon, &status, 0);
	}
	mounted->daemon = 0;
	if (is_mounted(mounted))
		unmount(mounted);
	if (kindly && status != 0) {
		fprintf(stderr, "the mount's process ended with wait status 0x%x\n",
			(unsigned)status);
		show_log(mounted);
	}
	return status == 0;
}

void mounted_wait_dead(struct mounted *mounted, double seconds)
{
	gint64 end = g_get_monotonic_time() + (gint64)(seconds * G_USEC_PER_SEC);
	int status;

	while (mounted_is_alive(mounted) && g_get_monotonic_time() < end)
		g_usleep(1000);
	kill(mounted->daemon, SIGKILL);
	waitpid(mounted->daemon, &status, 0);
	mounted->daemon = 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(path);
}

void mounted_done(struct mounted *mounted)
{
	mounted_stop(mounted, false);
	if (mounted->store && is_mounted(mounted))
		unmount(mounted);
	if (mounted->store && !is_mounted(mounted))
		nftw(mounted->base, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	g_free(mounted->base);
	g_free(mounted->store);
	g_free(mounted->point);
	g_free(mounted->log);
}
