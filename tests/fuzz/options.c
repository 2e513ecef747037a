/* What is said on a command line, and what others tell the command: numbers, the options of
 * mount, patterns of scratch names, lines of the mount table, strings that become JSON. */
#include "fs/scratch.h"
#include "tools/json.h"
#include "tools/mount_options.h"
#include "tools/mounts.h"
#include "tools/number.h"

#include <fcntl.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_numbers(const char *text)
{
	const uint64_t max = UINT64_C(1) << 40;
	g_autofree char *shown = NULL;
	uint64_t number;

	if (number_parse_count(text, max, &number) == 0)
		g_assert(number > 0 && number <= max);
	if (number_parse_size(text, max, &number) == 0) {
		g_assert(number > 0 && number <= max);
		shown = number_format_size(number);
		g_assert(*shown);
	}
	if (number_parse_duration(text, max, &number) == 0) {
		g_autofree char *duration = number_format_duration(number);

		g_assert(number > 0 && number <= max && *duration);
	}
}

/* Each line is an argument. Limits that are accepted are limits. */
static void check_options(const char *text)
{
	GOptionContext *context = g_option_context_new(NULL);
	GOptionGroup *group;
	g_auto(GStrv) argv = g_strsplit(text, "\n", 20);
	g_autoptr(GError) error = NULL;
	struct mount_options options;

	mount_options_init(&options);
	group = g_option_group_new("mount", "", "", &options, NULL);
	g_option_group_add_entries(group, mount_option_entries);
	g_option_context_set_main_group(context, group);
	g_option_context_set_help_enabled(context, FALSE);
	if (g_option_context_parse_strv(context, &argv, &error)) {
		g_assert(options.store.max_value_bytes > 0 && options.registry.idle_timeout_s > 0);
		g_assert(options.store.history_age_ns >= 0);
	} else {
		g_assert(error && *error->message);
	}
	g_option_context_free(context);
	mount_options_done(&options);
}

static const char *line_after(const char *text)
{
	const char *end = strchr(text, '\n');

	return end ? end + 1 : "";
}

/* The first line are patterns, the second is a key. */
static void check_patterns(const char *text)
{
	g_autofree char *patterns = g_strndup(text, strcspn(text, "\n"));
	const char *key = line_after(text);
	struct scratch_names *names;

	/* fnmatch(3) may take exponential time for patterns of many stars. */
	if (strlen(patterns) > 40 || strlen(key) > 40 || key_check(key) < 0)
		return;
	names = scratch_names_new(patterns);
	if (scratch_names_link(names, key))
		g_assert(*key && *patterns && strcmp(patterns, "none") != 0);
	if (scratch_names_file(names, key, O_CREAT))
		g_assert(*patterns && strcmp(patterns, "none") != 0);
	if (strcmp(patterns, "*") == 0 && *key)
		g_assert(scratch_names_file(names, key, O_CREAT));
	scratch_names_free(names);
}

static void check_mount(const char *line)
{
	g_autoptr(mount) mount = mount_parse(line);

	if (!mount)
		return;
	g_assert(mount->point && mount->type && mount->source);
	g_assert(!mount_is_commitfs(mount) || mount_is_fuse(mount));
}

static void check_json(const char *text)
{
	g_autoptr(GString) out = g_string_new(NULL);

	json_append_string(out, text);
	g_assert(g_utf8_validate(out->str, (gssize)out->len, NULL));
	g_assert(out->len >= 2 && out->str[0] == '"' && out->str[out->len - 1] == '"');
	for (gsize i = 1; i < out->len - 1; i++) {
		g_assert((guchar)out->str[i] >= ' ' && out->str[i] != '"');
		if (out->str[i] == '\\')
			i++;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autofree char *text = g_strndup((const char *)data, size);

	check_numbers(text);
	check_options(text);
	check_patterns(text);
	check_mount(text);
	check_json(text);
	return 0;
}
