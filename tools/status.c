/* commitfs status: what MNT/status tells, for people or as JSON. It knows no line by name:
 * the ending of a name tells the unit. */
#include "tools/command.h"
#include "tools/json.h"
#include "tools/mount_status.h"
#include "tools/number.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int fail_to_read(const char *path, int error)
{
	if (error == -ENOTCONN)
		return command_fail(EXIT_NO_MOUNT,
				    "cannot read the status of '%s': its daemon is gone; "
				    "clean up with: commitfs umount %s",
				    path, path);
	return command_fail(EXIT_NO_MOUNT, "cannot read the status of '%s': %s", path,
			    g_strerror(-error));
}

/* Cuts `line` into a name and a value. False: it is empty. */
static bool split_line(char *line, const char **ret_name, const char **ret_value)
{
	char *end = line + strcspn(line, " \t");

	if (end == line)
		return false;
	if (*end != '\0')
		*end++ = '\0';
	*ret_name = line;
	*ret_value = g_strchug(end);
	return true;
}

static bool is_number(const char *value, uint64_t *ret)
{
	return g_ascii_string_to_unsigned(value, 10, 0, G_MAXUINT64, ret, NULL);
}

/* ---- For people ------------------------------------------------------------------ */

/* How a unit is written in a name, what a person is shown in its place, and how. */
static const struct {
	const char *ending, *label;
	char *(*format)(uint64_t number);
} units[] = {
	{ "_bytes", " size", number_format_size },
	{ "_s", "", number_format_duration },
};

/* `max_value_bytes 4096` becomes `max value size` and `4 KiB`. */
static void humanize(const char *name, const char *value, char **ret_label, char **ret_text)
{
	uint64_t number;

	for (guint i = 0; i < G_N_ELEMENTS(units); i++) {
		size_t stem = strlen(name) - MIN(strlen(name), strlen(units[i].ending));

		if (strcmp(name + stem, units[i].ending) != 0 || !is_number(value, &number))
			continue;
		*ret_label = g_strdup_printf("%.*s%s", (int)stem, name, units[i].label);
		g_strdelimit(*ret_label, "_", ' ');
		*ret_text = units[i].format(number);
		return;
	}
	*ret_label = g_strdelimit(g_strdup(name), "_", ' ');
	*ret_text = g_strdup(value);
}

static void print_aligned(char **lines)
{
	g_autoptr(GPtrArray) labels = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
	const char *name, *value;
	size_t width = 0;

	for (char **line = lines; *line != NULL; line++) {
		char *label, *text;

		if (!split_line(*line, &name, &value))
			continue;
		humanize(name, value, &label, &text);
		g_ptr_array_add(labels, label);
		g_ptr_array_add(texts, text);
		width = MAX(width, strlen(label));
	}
	for (guint i = 0; i < labels->len; i++)
		printf("%-*s  %s\n", (int)width, (char *)labels->pdata[i], (char *)texts->pdata[i]);
}

/* ---- For programs ---------------------------------------------------------------- */

/* A store_id that happens to have digits only is text still. */
static void print_json(char **lines)
{
	g_autoptr(GString) out = g_string_new("{");
	const char *name, *value;
	uint64_t number;

	for (char **line = lines; *line != NULL; line++) {
		if (!split_line(*line, &name, &value))
			continue;
		g_string_append(out, out->len > 1 ? ",\n  " : "\n  ");
		json_append_string(out, name);
		g_string_append(out, ": ");
		if (is_number(value, &number) && !g_str_has_suffix(name, "_id"))
			g_string_append(out, value);
		else
			json_append_string(out, value);
	}
	printf("%s\n}\n", out->str);
}

static int run(const struct command *command, int argc, char **argv)
{
	gboolean json = FALSE;
	const GOptionEntry options[] = {
		{ "json", 0, 0, G_OPTION_ARG_NONE, &json,
		  "One JSON object, with names and numbers as in MNT/status", NULL },
		G_OPTION_ENTRY_NULL,
	};
	g_auto(GStrv) arguments = NULL, lines = NULL;
	g_autoptr(mount) mount = NULL;
	g_autoptr(GString) text = NULL;
	int exit_code, r;

	if (!command_parse(command, options, NULL, 1, argc, argv, &arguments, &exit_code))
		return exit_code;
	mount = mounts_find_commitfs(arguments[0], "read the status of");
	if (mount == NULL)
		return EXIT_NO_MOUNT;
	r = mount_status_read(mount, &text);
	if (r < 0)
		return fail_to_read(arguments[0], r);
	lines = g_strsplit(text->str, "\n", -1);
	if (json)
		print_json(lines);
	else
		print_aligned(lines);
	return 0;
}

const struct command status_command = {
	.name = "status",
	.arguments = "[options] MNT",
	.summary = "Show health, revision, counts and limits of a mount",
	.description =
		"Shows what MNT/status tells: health, revision, counts and limits, sizes and\n"
		"times in units for people. MNT/status itself, and --json, have plain bytes\n"
		"and seconds.\n"
		"\n"
		"Examples:\n"
		"  commitfs status /mnt\n"
		"  commitfs status --json /mnt | jq .revision",
	.run = run,
};
