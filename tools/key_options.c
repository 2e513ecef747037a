#include "tools/key_options.h"

#include "tools/command.h"
#include "tools/number.h"

#include <string.h>

#define FD_MAX 1000000

void key_options_init(struct key_options *options)
{
	*options = (struct key_options){ .fd = -1 };
}

void key_options_done(struct key_options *options)
{
	g_clear_pointer(&options->file, g_free);
}

bool key_options_given(const struct key_options *options)
{
	return options->file || options->ask || options->fd >= 0;
}

static gboolean refuse(GError **error, const char *name, const char *why)
{
	g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s: %s", name, why);
	return FALSE;
}

gboolean key_option_set(const char *name, const char *value, gpointer data, GError **error)
{
	struct key_options *options = data;
	uint64_t fd = 0;

	if (key_options_given(options))
		return refuse(error, name, "a key was given already; there is one only");
	if (g_str_has_suffix(name, "key-file")) {
		options->file = g_strdup(value);
	} else if (g_str_has_suffix(name, "passphrase")) {
		options->ask = true;
	} else {
		if (strcmp(value, "0") != 0 && number_parse_count(value, FD_MAX, &fd) < 0)
			return refuse(error, name, "expected the number of an open descriptor");
		options->fd = (int)fd;
	}
	return TRUE;
}

int key_options_read(const struct key_options *options, const char *question, bool twice,
		     struct store_key **ret)
{
	g_autofree char *message = NULL;
	int r = 0;

	*ret = NULL;
	if (options->file)
		r = store_key_read_file(options->file, ret, &message);
	else if (options->ask)
		r = store_key_ask_passphrase(question, twice, ret, &message);
	else if (options->fd >= 0)
		r = store_key_read_passphrase(options->fd, ret, &message);
	return r < 0 ? command_fail(EXIT_STORE, "%s", message) : 0;
}
