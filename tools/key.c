/* commitfs key: makes key files, and changes the key of a store. */
#include "tools/command.h"
#include "tools/key_options.h"

#include <stdio.h>
#include <string.h>

struct options {
	struct key_options old_key, new_key;
};

static gboolean set_key(const char *name, const char *value, gpointer data, GError **error)
{
	struct options *options = data;
	bool is_new = g_str_has_prefix(name, "--new-");

	return key_option_set(name, value, is_new ? &options->new_key : &options->old_key, error);
}

static const GOptionEntry entries[] = {
	KEY_OPTION_ENTRIES(set_key),
	KEY_OPTION("new-key-file", 0, set_key, "The key that it is to have", "FILE"),
	KEY_OPTION("new-passphrase", G_OPTION_FLAG_NO_ARG, set_key,
		   "Ask for the passphrase that it is to have", NULL),
	KEY_OPTION("new-passphrase-fd", 0, set_key, "Read that from a descriptor", "FD"),
	G_OPTION_ENTRY_NULL,
};

static int make_file(const struct options *options, const char *path)
{
	g_autofree char *message = NULL;

	if (key_options_given(&options->old_key) || key_options_given(&options->new_key))
		return command_fail(EXIT_USAGE, "cannot make a key: 'key new' takes no options");
	if (store_key_write_file(path, &message) < 0)
		return command_fail(EXIT_FAILED, "%s", message);
	printf("commitfs: made key '%s'; keep a copy of it where the store is not: without it "
	       "nobody can read what it encrypts\n",
	       path);
	return 0;
}

static int change_with(const char *store, const struct store_key *old_key,
		       const struct store_key *new_key)
{
	g_autofree char *message = NULL;

	if (store_change_key(store, old_key, new_key, &message) < 0)
		return command_fail(EXIT_STORE, "%s", message);
	printf("commitfs: '%s' has the new key; what it holds is encrypted anew while it is "
	       "mounted, see 'reencrypting' in status\n",
	       store);
	return 0;
}

static int change(const struct options *options, const char *store)
{
	struct store_key *old_key = NULL, *new_key = NULL;
	int exit_code;

	if (!key_options_given(&options->old_key) || !key_options_given(&options->new_key))
		return command_fail(EXIT_USAGE,
				    "cannot change the key of '%s': give the key it has with "
				    "--key-file=FILE and the new one with --new-key-file=FILE (or "
				    "--passphrase, --new-passphrase)",
				    store);
	exit_code = key_options_read(&options->old_key, "Passphrase", false, &old_key);
	if (exit_code == 0)
		exit_code = key_options_read(&options->new_key, "New passphrase", true, &new_key);
	if (exit_code == 0)
		exit_code = change_with(store, old_key, new_key);
	store_key_free(old_key);
	store_key_free(new_key);
	return exit_code;
}

static int run_word(const struct options *options, const char *word, const char *path)
{
	if (strcmp(word, "new") == 0)
		return make_file(options, path);
	if (strcmp(word, "change") == 0)
		return change(options, path);
	return command_fail(EXIT_USAGE,
			    "cannot run 'key %s': expected 'key new FILE' or 'key change STORE'",
			    word);
}

static int run(const struct command *command, int argc, char **argv)
{
	g_auto(GStrv) arguments = NULL;
	struct options options;
	int exit_code;

	key_options_init(&options.old_key);
	key_options_init(&options.new_key);
	if (command_parse(command, entries, &options, 2, argc, argv, &arguments, &exit_code))
		exit_code = run_word(&options, arguments[0], arguments[1]);
	key_options_done(&options.old_key);
	key_options_done(&options.new_key);
	return exit_code;
}

const struct command key_command = {
	.name = "key",
	.arguments = "new FILE | change [options] STORE",
	.summary = "Make a key file, change the key of a store",
	.description =
		"'key new FILE' makes FILE, which only its owner may read, with a random key in\n"
		"it. 'key change STORE' has STORE, which must not be mounted, opened by a new key\n"
		"from now on and no longer by the one it had. While it is mounted next, everything\n"
		"in it is encrypted with a new data key, and the one before is forgotten.\n"
		"\n"
		"Example:\n"
		"  commitfs key new /root/new.key\n"
		"  commitfs key change --key-file=/root/key --new-key-file=/root/new.key "
		"/srv/store",
	.run = run,
};
