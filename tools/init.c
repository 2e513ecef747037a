/* commitfs init: an empty store in a new directory. */
#include "store/store.h"
#include "tools/command.h"
#include "tools/key_options.h"

#include <stdio.h>

static const GOptionEntry entries[] = {
	KEY_OPTION_ENTRIES(key_option_set),
	G_OPTION_ENTRY_NULL,
};

/* How to tell the key once more, for the example. */
static char *key_words(const struct key_options *options)
{
	if (options->file) {
		g_autofree char *quoted = g_shell_quote(options->file);

		return g_strdup_printf("--key-file=%s ", quoted);
	}
	return g_strdup(key_options_given(options) ? "--passphrase " : "");
}

static int create(const struct key_options *options, const char *path)
{
	g_autofree char *words = key_words(options);
	g_autofree char *message = NULL;
	struct store_key *key;
	int r;

	r = key_options_read(options, "Passphrase for the new store", true, &key);
	if (r != 0)
		return r;
	r = key ? store_create_encrypted(path, key, &message) : store_create(path, &message);
	store_key_free(key);
	if (r < 0)
		return command_fail(EXIT_STORE, "%s", message);
	printf("commitfs: created %sstore '%s'; mount it with: commitfs mount %s%s MNT\n",
	       *words ? "encrypted " : "", path, words, path);
	return 0;
}

static int run(const struct command *command, int argc, char **argv)
{
	g_auto(GStrv) arguments = NULL;
	struct key_options options;
	int exit_code;

	key_options_init(&options);
	if (command_parse(command, entries, &options, 1, argc, argv, &arguments, &exit_code))
		exit_code = create(&options, arguments[0]);
	key_options_done(&options);
	return exit_code;
}

const struct command init_command = {
	.name = "init",
	.arguments = "[options] STORE",
	.summary = "Make an empty store",
	.description =
		"Makes an empty store in the directory STORE, which must be empty or not\n"
		"exist yet. With a key it is encrypted, and opened by that key alone: there\n"
		"is no way to what it holds without it.\n"
		"\n"
		"Example:\n"
		"  commitfs init /srv/store\n"
		"  commitfs key new /root/key; commitfs init --key-file=/root/key /srv/secret",
	.run = run,
};
