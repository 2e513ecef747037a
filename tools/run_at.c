/* As root a mount namespace is all it takes. Anybody else gets the right to mount from a user
 * namespace in which every file and process keeps the one user and group it can have there:
 * the caller's own. The command has no rights in it: they go with its exec(2), as its user is
 * not 0.
 *
 * Mounts of others still arrive (an automounter would have the command wait for ever
 * otherwise), ours never leave: in the terms of mount_namespaces(7) everything becomes a slave. */
#include "tools/run_at.h"

#include "tools/command.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { EXIT_CANNOT_RUN = 126 };

/* ---- The directory ------------------------------------------------------------------ */

static char *make_absolute(const char *path)
{
	g_autofree char *current = NULL;

	if (g_path_is_absolute(path))
		return g_strdup(path);
	current = g_get_current_dir();
	return g_build_filename(current, path, NULL);
}

char *run_at_find_directory(const char *path)
{
	char *real = realpath(path, NULL);
	bool is_root = real != NULL && strcmp(real, "/") == 0;
	struct stat status;
	int error = real == NULL || stat(real, &status) < 0 ? errno : 0;

	free(real);
	if (error == 0 && !S_ISDIR(status.st_mode))
		error = ENOTDIR;
	if (error == 0 && !is_root)
		return make_absolute(path);
	if (error == 0)
		command_fail(EXIT_USAGE,
			     "cannot show a transaction at '%s': nothing else would be "
			     "left; name a directory below it",
			     path);
	else if (error == ENOENT)
		command_fail(EXIT_USAGE,
			     "cannot show a transaction at '%s': %s; make it with: mkdir -p %s",
			     path, g_strerror(error), path);
	else
		command_fail(EXIT_USAGE, "cannot show a transaction at '%s': %s", path,
			     g_strerror(error));
	return NULL;
}

/* ---- The namespace ------------------------------------------------------------------ */

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static int map_id(const char *path, unsigned id)
{
	g_autofree char *line = g_strdup_printf("%u %u 1\n", id, id);

	return write_text(path, line);
}

static int unshare_as_user(void)
{
	/* Within, they are unknown until they are mapped. */
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int r;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return -errno;
	r = map_id("/proc/self/uid_map", uid);
	/* Or one could leave a group that has fewer rights than others. */
	if (r == 0)
		r = write_text("/proc/self/setgroups", "deny");
	if (r == 0)
		r = map_id("/proc/self/gid_map", gid);
	return r;
}

/* Some systems let a user have the namespace, but no rights in it: then it is this mount(2)
 * that fails. */
static int make_namespace(void)
{
	int r = unshare(CLONE_NEWNS) < 0 ? -errno : 0;

	if (r == -EPERM)
		r = unshare_as_user();
	if (r == 0 && mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		r = -errno;
	return r;
}

static bool holds(const char *path, const char *value)
{
	g_autofree char *text = NULL;

	return g_file_get_contents(path, &text, NULL, NULL) && strcmp(g_strstrip(text), value) == 0;
}

/* What the administrator may have set, in the order in which the kernel asks. */
static const char *advise(int error)
{
	if (holds("/proc/sys/kernel/unprivileged_userns_clone", "0"))
		return "this system gives users no namespaces; root can change that: "
		       "sysctl kernel.unprivileged_userns_clone=1";
	if (holds("/proc/sys/user/max_user_namespaces", "0") || error == -ENOSPC)
		return "this system gives users no more namespaces; root can change that: "
		       "sysctl user.max_user_namespaces=10000";
	if (holds("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"))
		return "AppArmor gives users no rights in namespaces; root can change that: "
		       "sysctl kernel.apparmor_restrict_unprivileged_userns=0";
	if (error == -EINVAL)
		return "this kernel has no user namespaces; run it as root";
	return "a container or a filter forbids it; run it as root outside of that";
}

static int fail_to_unshare(const struct run_at *at, int error)
{
	return command_fail(EXIT_CANNOT_RUN,
			    "cannot show the transaction at '%s': no mount namespace can be made: "
			    "%s: %s; without --at, COMMAND finds the view in {} and COMMITFS_KEYS",
			    at->directory, g_strerror(-error), advise(error));
}

/* ---- The view ----------------------------------------------------------------------- */

/* Of this namespace's own mounts; a key is not followed out of the view, where what is done
 * would be no part of the transaction. */
static int open_view(const struct run_at *at)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH };
	int view = open(at->view, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd, error;

	if (view < 0 || at->key == NULL)
		return view < 0 ? -errno : view;
	fd = (int)syscall(SYS_openat2, view, at->key, &how, sizeof(how));
	error = errno;
	close(view);
	return fd < 0 ? -error : fd;
}

static int fail_to_open(const struct run_at *at, int error)
{
	const char *key = at->key != NULL ? at->key : at->view;

	if (error == -EXDEV)
		return command_fail(EXIT_CANNOT_RUN,
				    "cannot show '%s' at '%s': it leads out of the transaction's "
				    "view; --path takes a key, such as app/conf",
				    key, at->directory);
	if (error == -ENOENT && at->key != NULL)
		return command_fail(EXIT_CANNOT_RUN,
				    "cannot show '%s' at '%s': there is no such key; make the "
				    "directory MNT/keys/%s first",
				    key, at->directory, key);
	return command_fail(EXIT_CANNOT_RUN, "cannot show '%s' at '%s': %s", key, at->directory,
			    g_strerror(-error));
}

int run_at_enter(const struct run_at *at)
{
	g_autofree char *source = NULL;
	int fd, r = make_namespace();

	if (r < 0)
		return fail_to_unshare(at, r);
	fd = open_view(at);
	if (fd < 0)
		return fail_to_open(at, fd);
	source = g_strdup_printf("/proc/self/fd/%d", fd);
	r = mount(source, at->directory, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
	close(fd);
	if (r < 0)
		return command_fail(
			EXIT_CANNOT_RUN,
			"cannot show the transaction at '%s': the bind mount failed: %s",
			at->directory, g_strerror(-r));
	return 0;
}
