/* GOptionContext does the parsing. Its own help is not used: it writes a character that
 * is not ASCII and ends the process by itself. */
#include "tools/command.h"

#include <stdarg.h>
#include <stdio.h>

struct parse {
	gboolean help;
	char **arguments;
};

int command_fail(int exit_code, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	fprintf(stderr, "commitfs: %s\n", text);
	return exit_code;
}

static GOptionContext *context_new(const struct command *command, const GOptionEntry *options,
				   void *data, struct parse *parse)
{
	const GOptionEntry common[] = {
		{ "help", 'h', 0, G_OPTION_ARG_NONE, &parse->help, "Show this help", NULL },
		{ G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &parse->arguments, NULL,
		  NULL },
		G_OPTION_ENTRY_NULL,
	};
	GOptionContext *context = g_option_context_new(command->arguments);
	GOptionGroup *group = g_option_group_new(command->name, NULL, NULL, data, NULL);

	if (options != NULL)
		g_option_group_add_entries(group, options);
	g_option_group_add_entries(group, common);
	g_option_context_set_main_group(context, group);
	g_option_context_set_help_enabled(context, FALSE);
	g_option_context_set_description(context, command->description);
	return context;
}

static void print_help(GOptionContext *context)
{
	g_autofree char *help = g_option_context_get_help(context, TRUE, NULL);
	g_auto(GStrv) parts = g_strsplit(help, " [OPTION\xe2\x80\xa6]", 2);
	g_autofree char *text = g_strjoinv("", parts);

	fputs(text, stdout);
}

bool command_parse(const struct command *command, const GOptionEntry *options, void *data,
		   guint count, int argc, char **argv, char ***ret_arguments, int *ret_exit)
{
	struct parse parse = { 0 };
	g_autoptr(GOptionContext) context = context_new(command, options, data, &parse);
	g_autofree char *program = g_strdup_printf("commitfs %s", command->name);
	g_autoptr(GError) error = NULL;
	g_auto(GStrv) arguments = NULL;
	guint given;
	bool parsed;

	g_set_prgname(program);
	parsed = g_option_context_parse(context, &argc, &argv, &error);
	arguments = parse.arguments;
	if (!parsed) {
		*ret_exit = command_fail(EXIT_USAGE,
					 "cannot read the options of '%s': %s; see: %s --help",
					 command->name, error->message, program);
		return false;
	}
	if (parse.help) {
		print_help(context);
		*ret_exit = 0;
		return false;
	}
	given = arguments == NULL ? 0 : g_strv_length(arguments);
	if (given < count || given > count + command->optional) {
		*ret_exit = command_fail(EXIT_USAGE,
					 "cannot run '%s': expected: %s %s; see: %s --help",
					 command->name, program, command->arguments, program);
		return false;
	}
	*ret_arguments = g_steal_pointer(&arguments);
	return true;
}
