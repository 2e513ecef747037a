/* The built-in patterns never match by the name alone where a person could have chosen it:
 * `sedentary` and `.bashrc.backup` look like what mkstemp(3) makes, `4913` like a number of
 * something. So each says also how the tool creates it, as seen with strace. */
#include "fs/scratch.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <glib.h>
#include <string.h>

#define RANDOM1 "[0-9A-Za-z]"
#define RANDOM6 RANDOM1 RANDOM1 RANDOM1 RANDOM1 RANDOM1 RANDOM1

enum made {
	MADE_ANYHOW,
	MADE_NEW,     /* with O_EXCL */
	MADE_MKSTEMP, /* by mkstemp(3): with O_EXCL, for reading too */
	MADE_BY_VIM,  /* with O_EXCL and O_NOFOLLOW */
};

struct pattern {
	const char *glob;
	enum made made;
};

static const struct pattern built_in[] = {
	{ ".*.sw?", MADE_NEW },	 /* vim, nano: the file that says who edits */
	{ ".*.sw?x", MADE_NEW }, /* vim: can names be that long here */
	{ "4913", MADE_BY_VIM }, /* vim: can files be made here */
	{ ".#*", MADE_NEW },	 /* emacs: who edits */
	{ "#*#", MADE_ANYHOW },	 /* emacs: what is not saved yet */
	{ "sed" RANDOM6, MADE_MKSTEMP },
	{ "XX" RANDOM6, MADE_MKSTEMP },	     /* perl -i */
	{ "*.gawk." RANDOM6, MADE_MKSTEMP }, /* gawk -i inplace */
	{ ".*." RANDOM6, MADE_MKSTEMP },     /* rsync */
	{ "tmp_*_" RANDOM6, MADE_MKSTEMP },  /* git: objects, packs, indices */
	{ ".git/*.lock", MADE_MKSTEMP },
};

struct scratch_names {
	GArray *patterns; /* struct pattern */
	char **words;	  /* what they point into */
};

struct scratch_names *scratch_names_new(const char *patterns)
{
	struct scratch_names *names = g_new0(struct scratch_names, 1);

	names->patterns = g_array_new(FALSE, FALSE, sizeof(struct pattern));
	names->words = g_strsplit(patterns ? patterns : "default", ",", -1);
	for (char **word = names->words; *word; word++) {
		struct pattern pattern = { *word, MADE_ANYHOW };

		if (strcmp(*word, "default") == 0)
			g_array_append_vals(names->patterns, built_in, G_N_ELEMENTS(built_in));
		else if (**word && strcmp(*word, "none") != 0)
			g_array_append_val(names->patterns, pattern);
	}
	return names;
}

void scratch_names_free(struct scratch_names *names)
{
	if (!names)
		return;
	g_array_unref(names->patterns);
	g_strfreev(names->words);
	g_free(names);
}

/* A glob with slashes is of the last components of a path, however many `*` stands for. */
static bool matches_path(const char *glob, const char *key)
{
	for (const char *at = key; at; at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL) {
		if (fnmatch(glob, at, 0) == 0)
			return true;
	}
	return false;
}

static bool matches(const struct pattern *pattern, const char *key)
{
	const char *slash = strrchr(key, '/');

	if (strchr(pattern->glob, '/'))
		return matches_path(pattern->glob, key);
	return fnmatch(pattern->glob, slash ? slash + 1 : key, 0) == 0;
}

static bool is_made(enum made made, int flags)
{
	switch (made) {
	case MADE_ANYHOW:
		return true;
	case MADE_NEW:
		return flags & O_EXCL;
	case MADE_MKSTEMP:
		return (flags & O_EXCL) && (flags & O_ACCMODE) == O_RDWR;
	case MADE_BY_VIM:
		return (flags & O_EXCL) && (flags & O_NOFOLLOW);
	}
	g_assert_not_reached();
}

bool scratch_names_file(const struct scratch_names *names, const char *key, int flags)
{
	for (guint i = 0; i < names->patterns->len; i++) {
		const struct pattern *pattern = &g_array_index(names->patterns, struct pattern, i);

		if (*key && is_made(pattern->made, flags) && matches(pattern, key))
			return true;
	}
	return false;
}

/* symlink(2) makes what is new, and never for reading or writing. */
bool scratch_names_link(const struct scratch_names *names, const char *key)
{
	return scratch_names_file(names, key, O_EXCL | O_WRONLY);
}
