/* commitfs umount: returns when the daemon has ended, so that the store can be mounted
 * again at once. The mount itself cannot be asked for that, but its status names the
 * daemon. */
#include "tools/command.h"
#include "tools/holders.h"
#include "tools/mount_point.h"
#include "tools/mount_status.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <unistd.h>

#define CLOSE_TIMEOUT_MS (60 * 1000)

/* A handle on the process that serves `mount`, or -1 when it is not known. Made before the
 * unmount: afterwards the number may be another's. */
static int open_daemon(const struct mount *mount, int64_t *ret_scratch_files)
{
	g_autoptr(GString) text = NULL;
	pid_t pid;

	*ret_scratch_files = 0;
	if (mount_status_read(mount, &text) < 0)
		return -1;
	*ret_scratch_files = (int64_t)mount_status_get_number(text->str, "scratch_files");
	pid = (pid_t)mount_status_get_number(text->str, "pid");
	return pid > 0 ? pidfd_open(pid, 0) : -1;
}

static int wait_for_end(const char *path, int daemon)
{
	struct pollfd poll_fd = { .fd = daemon, .events = POLLIN };
	int r;

	do
		r = poll(&poll_fd, 1, CLOSE_TIMEOUT_MS);
	while (r < 0 && errno == EINTR);
	if (r > 0)
		return 0;
	return command_fail(EXIT_STORE,
			    "unmounted '%s', but its daemon still has the store open "
			    "after %d seconds; another mount namespace may show it too",
			    path, CLOSE_TIMEOUT_MS / 1000);
}

static int refuse_busy(const char *path, const struct mount *mount)
{
	g_autofree char *holders = holders_describe(mount);

	if (holders == NULL)
		return command_fail(EXIT_FAILED,
				    "cannot unmount '%s': it is in use, by a process that %s", path,
				    geteuid() == 0 ? "cannot be seen from here; try again later" :
						     "is another user's; as root you see whose");
	return command_fail(EXIT_FAILED,
			    "cannot unmount '%s': it is in use: %s; try again when that is over",
			    path, holders);
}

static int unmount(const char *path, const struct mount *mount)
{
	g_autofree char *message = NULL;
	int r;

	if (geteuid() != 0 && geteuid() != mount->user)
		return command_fail(EXIT_FAILED,
				    "cannot unmount '%s': user %u mounted it, and only "
				    "that user and root may unmount it",
				    path, (unsigned)mount->user);
	r = mount_point_unmount(mount->point, false, &message);
	if (r == -EBUSY)
		return refuse_busy(path, mount);
	if (r < 0)
		return command_fail(EXIT_FAILED, "cannot unmount '%s': %s", path, message);
	return 0;
}

static int run(const struct command *command, int argc, char **argv)
{
	g_auto(GStrv) arguments = NULL;
	g_autoptr(mount) mount = NULL;
	int64_t scratch_files;
	int exit_code, daemon;

	if (!command_parse(command, NULL, NULL, 1, argc, argv, &arguments, &exit_code))
		return exit_code;
	mount = mounts_find_commitfs(arguments[0], "unmount");
	if (mount == NULL)
		return EXIT_NO_MOUNT;
	daemon = open_daemon(mount, &scratch_files);
	exit_code = unmount(arguments[0], mount);
	if (daemon >= 0) {
		if (exit_code == 0)
			exit_code = wait_for_end(arguments[0], daemon);
		close(daemon);
	}
	if (exit_code == 0 && scratch_files > 0)
		printf("commitfs: unmounted '%s'; the scratch files of editors and tools there "
		       "are gone: %" G_GINT64_FORMAT "\n",
		       arguments[0], scratch_files);
	return exit_code;
}

const struct command umount_command = {
	.name = "umount",
	.arguments = "MNT",
	.summary = "Unmount, and wait until the store is closed",
	.description =
		"Unmounts MNT and returns when its store is closed and can be mounted again.\n"
		"\n"
		"Example:\n"
		"  commitfs umount /mnt",
	.run = run,
};
