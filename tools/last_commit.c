#include "tools/last_commit.h"

#include "tools/author.h"
#include "tools/mount_file.h"
#include "tools/mount_status.h"

#include <fcntl.h>
#include <unistd.h>

/* The log may not reach back to the commit: then only its revision is known. */
static void append_author(GString *out, const char *text)
{
	g_autofree char *uid = mount_status_get(text, "uid");
	g_autofree char *pid = mount_status_get(text, "pid");
	g_autofree char *command = mount_status_get(text, "command");
	g_autofree char *time = mount_status_get(text, "time");
	g_autofree char *message = mount_status_get(text, "message");
	const struct author author = {
		.uid = uid,
		.pid = pid,
		.command = command,
		.time = time,
		.message = message,
	};

	author_append(out, " ", &author);
}

char *last_commit_describe(const struct mount *mount, const char *key)
{
	g_autofree char *name = g_build_filename("meta", key, NULL);
	g_autoptr(GString) text = g_string_new(NULL), out = g_string_new(NULL);
	g_autofree char *revision = NULL;
	int fd = mount_file_open(mount, name, O_RDONLY);
	int r;

	if (fd < 0)
		return NULL;
	r = mount_file_read(fd, text);
	close(fd);
	if (r == 0)
		revision = mount_status_get(text->str, "mod_revision");
	if (revision == NULL)
		return NULL;
	g_string_printf(out, "changed at revision %s", revision);
	append_author(out, text->str);
	return g_string_free(g_steal_pointer(&out), FALSE);
}
