/* The options that tell the key of an encrypted store, for every command that opens one.
 *
 * A command whose only options these are has a struct key_options as data, and
 * KEY_OPTION_ENTRIES(key_option_set) in its table; others give a function of their own that
 * calls key_option_set with the one inside their data. */
#pragma once

#include "store/store.h"

#include <glib.h>

struct key_options {
	char *file; /* NULL: none */
	bool ask;   /* for a passphrase at the terminal */
	int fd;	    /* to read a passphrase from; -1: none */
};

#define KEY_OPTION(name, flags, callback, text, value)                                        \
	{                                                                                     \
		name, 0, flags, G_OPTION_ARG_CALLBACK, (gpointer)(uintptr_t)(callback), text, \
			value                                                                 \
	}

#define KEY_OPTION_ENTRIES(callback)                                                         \
	KEY_OPTION("key-file", 0, callback,                                                  \
		   "Key of an encrypted store: 32 bytes, or 64 hexadecimal digits", "FILE"), \
		KEY_OPTION("passphrase", G_OPTION_FLAG_NO_ARG, callback,                     \
			   "Ask for the passphrase of an encrypted store", NULL),            \
		KEY_OPTION("passphrase-fd", 0, callback,                                     \
			   "Read it from a descriptor, such as 0, up to a newline", "FD")

void key_options_init(struct key_options *options);
void key_options_done(struct key_options *options);

/* A GOptionArgFunc; data is a struct key_options. Also takes --new-key-file and the like. */
gboolean key_option_set(const char *name, const char *value, gpointer data, GError **error);

bool key_options_given(const struct key_options *options);

/* The key they tell of, in *ret (free with store_key_free; NULL: none was told). `question` is
 * asked at the terminal, twice where the key is to be a new one. Returns 0 or the exit code:
 * the error is printed. */
int key_options_read(const struct key_options *options, const char *question, bool twice,
		     struct store_key **ret);
