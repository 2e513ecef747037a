#include "tools/last_commit.h"

#include "tools/mount_file.h"
#include "tools/mount_status.h"

#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

static char *field(const GString *text, const char *name)
{
	g_autofree char *value = mount_status_get(text->str, name);

	return value != NULL && strcmp(value, "-") != 0 ? g_steal_pointer(&value) : NULL;
}

/* The log may not reach back to the commit: then only its revision is known. */
static void append_author(GString *out, const GString *text)
{
	g_autofree char *uid = field(text, "uid"), *pid = field(text, "pid");
	g_autofree char *command = field(text, "command"), *time = field(text, "time");
	g_autofree char *message = field(text, "message");
	const struct passwd *user;

	if (uid == NULL || pid == NULL || time == NULL)
		return;
	user = getpwuid((uid_t)g_ascii_strtoull(uid, NULL, 10));
	g_string_append_printf(out, " by %s%s, %s[%s], at %s", user != NULL ? "" : "uid ",
			       user != NULL ? user->pw_name : uid,
			       command != NULL ? command : "process", pid, time);
	if (message != NULL)
		g_string_append_printf(out, ": %s", message);
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
		revision = field(text, "mod_revision");
	if (revision == NULL)
		return NULL;
	g_string_printf(out, "changed at revision %s", revision);
	append_author(out, text);
	return g_string_free(g_steal_pointer(&out), FALSE);
}
