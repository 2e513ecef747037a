/* proc(5) has the format: numbered fields, then any number of optional ones, a lone dash,
 * then type, source and options of the file system. */
#include "tools/mounts.h"

#include "tools/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MOUNT_TYPE "fuse.commitfs"

void mount_free(struct mount *mount)
{
	if (mount == NULL)
		return;
	g_free(mount->point);
	g_free(mount->type);
	g_free(mount->source);
	g_free(mount);
}

/* The number behind `name=` in a list of options, 0 when it is not there. */
static unsigned option_number(const char *options, const char *name)
{
	g_auto(GStrv) list = g_strsplit(options, ",", -1);
	size_t length = strlen(name);

	for (char **option = list; *option != NULL; option++)
		if (strncmp(*option, name, length) == 0 && (*option)[length] == '=')
			return (unsigned)g_ascii_strtoull(*option + length + 1, NULL, 10);
	return 0;
}

static char **find_dash(char **fields)
{
	for (char **field = fields; *field != NULL; field++)
		if (strcmp(*field, "-") == 0)
			return field;
	return NULL;
}

struct mount *mount_parse(const char *line)
{
	enum {
		FIELD_ID,
		FIELD_PARENT,
		FIELD_DEVICE,
		FIELD_POINT = 4,
		FIELDS_BEFORE_DASH = 6,
		FIELDS_BEHIND_DASH = 3
	};
	g_auto(GStrv) fields = g_strsplit(line, " ", -1);
	struct mount *mount;
	char **dash, *minor;

	if (g_strv_length(fields) < FIELDS_BEFORE_DASH)
		return NULL;
	dash = find_dash(fields + FIELDS_BEFORE_DASH);
	if (dash == NULL || g_strv_length(dash + 1) < FIELDS_BEHIND_DASH)
		return NULL;
	mount = g_new0(struct mount, 1);
	mount->id = g_ascii_strtoull(fields[FIELD_ID], NULL, 10);
	mount->parent = g_ascii_strtoull(fields[FIELD_PARENT], NULL, 10);
	mount->major = (unsigned)g_ascii_strtoull(fields[FIELD_DEVICE], &minor, 10);
	mount->minor = *minor == ':' ? (unsigned)g_ascii_strtoull(minor + 1, NULL, 10) : 0;
	/* Blanks, line ends and backslashes are written in octal. */
	mount->point = g_strcompress(fields[FIELD_POINT]);
	mount->type = g_strcompress(dash[1]);
	mount->source = g_strcompress(dash[2]);
	mount->user = option_number(dash[3], "user_id");
	mount->group = option_number(dash[3], "group_id");
	return mount;
}

/* NULL: the table cannot be read. */
static char **read_table(void)
{
	g_autofree char *table = NULL;

	if (!g_file_get_contents("/proc/self/mountinfo", &table, NULL, NULL))
		return NULL;
	return g_strsplit(table, "\n", -1);
}

char *mounts_find_below(const struct mount *mount)
{
	g_auto(GStrv) lines = read_table();

	for (char **line = lines; line != NULL && *line != NULL; line++) {
		g_autoptr(mount) other = mount_parse(*line);

		if (other != NULL && other->parent == mount->id)
			return g_steal_pointer(&other->point);
	}
	return NULL;
}

int mounts_find(const char *point, struct mount **ret)
{
	g_autoptr(mount) found = NULL;
	g_auto(GStrv) lines = read_table();

	if (lines == NULL)
		return -EIO;
	for (char **line = lines; *line != NULL; line++) {
		g_autoptr(mount) mount = mount_parse(*line);

		/* A later mount on the same point covers an earlier one. */
		if (mount != NULL && strcmp(mount->point, point) == 0) {
			mount_free(found);
			found = g_steal_pointer(&mount);
		}
	}
	if (found == NULL)
		return -ENOENT;
	*ret = g_steal_pointer(&found);
	return 0;
}

struct mount *mounts_find_commitfs(const char *path, const char *action)
{
	g_autoptr(mount) mount = NULL;
	/* realpath reads links only: it neither waits for a daemon nor needs a living one. */
	char *point = realpath(path, NULL);
	int r;

	if (point == NULL) {
		command_fail(EXIT_NO_MOUNT, "cannot %s '%s': %s", action, path, g_strerror(errno));
		return NULL;
	}
	r = mounts_find(point, &mount);
	free(point);
	if (r == -EIO) {
		command_fail(EXIT_NO_MOUNT, "cannot %s '%s': /proc/self/mountinfo cannot be read",
			     action, path);
		return NULL;
	}
	if (r < 0 || !mount_is_commitfs(mount)) {
		command_fail(EXIT_NO_MOUNT,
			     "cannot %s '%s': no commitfs is mounted there; "
			     "those that are: findmnt -t " MOUNT_TYPE,
			     action, path);
		return NULL;
	}
	return g_steal_pointer(&mount);
}

bool mount_is_commitfs(const struct mount *mount)
{
	return strcmp(mount->type, MOUNT_TYPE) == 0;
}

bool mount_is_fuse(const struct mount *mount)
{
	return strcmp(mount->type, "fuse") == 0 || g_str_has_prefix(mount->type, "fuse.");
}
