/* A descriptor, a working directory and a root hold a mount, and a mount has a number in its
 * namespace, which /proc tells of each descriptor; so those of others that look alike, such
 * as a bind mount somewhere else, are no holders. */
#include "tools/holders.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { MAX_NAMED = 5 };

/* Of the descriptor that /proc has as `name` in the directory `fdinfo`; 0: not known. */
static uint64_t mount_of_descriptor(const char *fdinfo, const char *name)
{
	g_autofree char *path = g_build_filename(fdinfo, name, NULL);
	g_autofree char *text = NULL;
	const char *line;

	if (!g_file_get_contents(path, &text, NULL, NULL))
		return 0;
	line = strstr(text, "mnt_id:");
	return line != NULL ? g_ascii_strtoull(line + strlen("mnt_id:"), NULL, 10) : 0;
}

/* Of what the link at `path` leads to. */
static uint64_t mount_of_link(const char *path)
{
	int fd = open(path, O_PATH | O_CLOEXEC);
	g_autofree char *name = g_strdup_printf("%d", fd);
	uint64_t id;

	if (fd < 0)
		return 0;
	id = mount_of_descriptor("/proc/self/fdinfo", name);
	close(fd);
	return id;
}

static char *describe_link(const struct mount *mount, const char *process, const char *link,
			   const char *format)
{
	g_autofree char *path = g_build_filename(process, link, NULL);
	g_autofree char *target = NULL;

	if (mount_of_link(path) != mount->id)
		return NULL;
	target = g_file_read_link(path, NULL);
	return target != NULL ? g_strdup_printf(format, target) : NULL;
}

static char *describe_open_file(const struct mount *mount, const char *process)
{
	g_autofree char *fdinfo = g_build_filename(process, "fdinfo", NULL);
	g_autoptr(GDir) directory = g_dir_open(fdinfo, 0, NULL);
	const char *name;

	while (directory != NULL && (name = g_dir_read_name(directory)) != NULL) {
		g_autofree char *link = g_build_filename(process, "fd", name, NULL);
		g_autofree char *target = NULL;

		if (mount_of_descriptor(fdinfo, name) != mount->id)
			continue;
		target = g_file_read_link(link, NULL);
		return g_strdup_printf("has %s open", target != NULL ? target : "a file");
	}
	return NULL;
}

static char *describe_mapping(const struct mount *mount, const char *process)
{
	g_autofree char *path = g_build_filename(process, "maps", NULL);
	g_autofree char *device = g_strdup_printf(" %02x:%02x ", mount->major, mount->minor);
	g_autofree char *text = NULL;

	if (!g_file_get_contents(path, &text, NULL, NULL) || strstr(text, device) == NULL)
		return NULL;
	return g_strdup("has a file mapped");
}

static char *describe_use(const struct mount *mount, const char *process)
{
	char *use = describe_link(mount, process, "cwd", "works in %s");

	if (use == NULL)
		use = describe_open_file(mount, process);
	if (use == NULL)
		use = describe_link(mount, process, "root", "has its root in %s");
	if (use == NULL)
		use = describe_link(mount, process, "exe", "runs %s");
	if (use == NULL)
		use = describe_mapping(mount, process);
	return use;
}

static void add_process(const struct mount *mount, const char *pid, GString *out, guint *count)
{
	g_autofree char *process = g_build_filename("/proc", pid, NULL);
	g_autofree char *comm = g_build_filename(process, "comm", NULL);
	g_autofree char *use = describe_use(mount, process);
	g_autofree char *command = NULL;

	if (use == NULL || ++*count > MAX_NAMED)
		return;
	if (!g_file_get_contents(comm, &command, NULL, NULL))
		command = g_strdup("process");
	g_string_append_printf(out, "%s%s[%s] %s", *count > 1 ? "; " : "", g_strchomp(command), pid,
			       use);
}

char *holders_describe(const struct mount *mount)
{
	g_autoptr(GDir) processes = g_dir_open("/proc", 0, NULL);
	g_autoptr(GString) out = g_string_new(NULL);
	g_autofree char *below = mounts_find_below(mount);
	const char *name;
	guint count = 0;

	if (below != NULL)
		return g_strdup_printf("something is mounted on %s", below);
	while (processes != NULL && (name = g_dir_read_name(processes)) != NULL)
		if (g_ascii_isdigit(name[0]))
			add_process(mount, name, out, &count);
	if (count == 0)
		return NULL;
	if (count > MAX_NAMED)
		g_string_append_printf(out, "; and %u more", count - MAX_NAMED);
	return g_string_free(g_steal_pointer(&out), FALSE);
}
