/* It is told by the kernel when the daemon's main thread is gone, which is so though another
 * thread hangs; a pidfd, or the end of a pipe, would come only after that thread. */
#include "tools/guardian.h"

#include "tools/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#define DEATH_SIGNAL SIGUSR1

/* The minor number of the mount's device, in memory that both processes have; 0: not mounted. */
static unsigned *guarded;

/* The device of the topmost mount on `point`; 0: none that is FUSE's. */
static unsigned find_device(const char *point)
{
	g_autoptr(mount) mount = NULL;

	return mounts_find(point, &mount) == 0 && mount_is_fuse(mount) ? mount->minor : 0;
}

/* A forced unmount breaks the connection first. That the mount is in use, here, keeps it in
 * its place: whoever goes on writing shall have an error, not the directory below it. */
static void break_connection(const char *point, unsigned device)
{
	g_autofree char *abort_path = g_strdup_printf("/sys/fs/fuse/connections/%u/abort", device);
	int use = open(point, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = open(abort_path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, "1", 1) == 1)
		return;
	if (use >= 0)
		umount2(point, MNT_FORCE | UMOUNT_NOFOLLOW);
}

/* The signal comes a moment before it can be seen. */
static bool is_dead(pid_t daemon)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)daemon);

	for (int i = 0; i < 100; i++) {
		g_autofree char *text = NULL;
		const char *name_end;

		if (!g_file_get_contents(path, &text, NULL, NULL))
			return true;
		name_end = strrchr(text, ')');
		if (name_end && strlen(name_end) > 2 && strchr("ZX", name_end[2]))
			return true;
		g_usleep(10000);
	}
	return false;
}

G_GNUC_NORETURN static void guard(const char *point, pid_t daemon, struct store_key *key)
{
	sigset_t signals;
	int number;

	store_key_free(key); /* it outlasts what the daemon keeps of it */
	sigfillset(&signals);
	sigprocmask(SIG_SETMASK, &signals, NULL);
	sigemptyset(&signals);
	sigaddset(&signals, DEATH_SIGNAL);
	prctl(PR_SET_NAME, "commitfs-guard");
	prctl(PR_SET_PDEATHSIG, DEATH_SIGNAL);
	close_range(0, ~0U, 0);
	/* As long as any thread is left it keeps its parent. */
	while (getppid() == daemon && !(sigwait(&signals, &number) == 0 && is_dead(daemon)))
		;
	if (*guarded && find_device(point) == *guarded)
		break_connection(point, *guarded);
	_exit(0);
}

void guardian_start(const char *point, struct store_key *key)
{
	pid_t daemon = getpid(), pid;

	guarded = mmap(NULL, sizeof(*guarded), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (guarded == MAP_FAILED) {
		guarded = NULL;
		return;
	}
	pid = fork();
	if (pid == 0)
		guard(point, daemon, key);
	if (pid < 0)
		g_warning("cannot start the process that breaks the mount's connection should the "
			  "daemon die: %s",
			  g_strerror(errno));
}

void guardian_note_mounted(const char *point)
{
	if (guarded)
		*guarded = find_device(point);
}
