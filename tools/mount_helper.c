/* mount(8) calls  mount.commitfs STORE MNT [-fnsv] [-o OPTION,...] [-t TYPE].
 *
 * An option that `commitfs mount` has is given to it (max-value=64M becomes
 * --max-value=64M), whatever options it may get; what fstab(5) says to others is left out;
 * the rest is FUSE's. */
#include "tools/mount_helper.h"

#include "tools/command.h"
#include "tools/mount_options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Exit codes of mount(8). */
enum { MOUNT_USAGE = 1, MOUNT_FAILED = 32 };

struct helper {
	bool fake;		/* -f: check only */
	bool sloppy;		/* -s: leave out what is not known */
	bool verbose;		/* -v */
	const char *spec, *dir; /* the store and the mount point */
	GPtrArray *words;	/* of `commitfs mount`, the command first */
	GString *fuse;		/* the options left for it */
};

bool mount_helper_is(const char *program)
{
	g_autofree char *name = g_path_get_basename(program);

	/* The second: what `mount -t fuse.commitfs` looks for first. */
	return strcmp(name, "mount.commitfs") == 0 || strcmp(name, "mount.fuse.commitfs") == 0;
}

/* Said to others, or about what this file system never has: times of access, devices,
 * programs that run as another user. */
static bool is_for_others(const char *option)
{
	static const char *const names[] = {
		"auto",		 "noauto",	"defaults", "user",   "nouser",	    "users",
		"owner",	 "group",	"nofail",   "suid",   "dev",	    "_netdev",
		"atime",	 "noatime",	"diratime", "rw",     "nodiratime", "relatime",
		"norelatime",	 "strictatime", "lazytime", "silent", "nolazytime", "loud",
		"nostrictatime", NULL,
	};

	return g_strv_contains(names, option) || g_str_has_prefix(option, "x-") ||
	       g_str_has_prefix(option, "X-") || g_str_has_prefix(option, "comment=") ||
	       g_str_has_prefix(option, "user=");
}

/* The option of `commitfs mount` that is meant, or NULL. Without a value `sync` is mount(8)'s
 * own word. */
static const GOptionEntry *find_own(const char *option)
{
	size_t length = strcspn(option, "=");

	if (strcmp(option, "sync") == 0)
		return NULL;
	for (const GOptionEntry *entry = mount_option_entries; entry->long_name; entry++)
		if (strlen(entry->long_name) == length &&
		    memcmp(entry->long_name, option, length) == 0)
			return entry->short_name ? NULL : entry;
	return NULL;
}

/* A word without its value would take the next one for it. */
static int add_own(struct helper *helper, const GOptionEntry *entry, const char *option)
{
	if (!(entry->flags & G_OPTION_FLAG_NO_ARG) && strchr(option, '=') == NULL)
		return command_fail(EXIT_USAGE, "cannot mount '%s': -o %s: expected %s=%s",
				    helper->dir, option, option, entry->arg_description);
	g_ptr_array_add(helper->words, g_strdup_printf("--%s", option));
	return 0;
}

static bool is_known_to_fuse(const char *option)
{
	static const char *const names[] = {
		"allow_other", "allow_root", "auto_unmount", "default_permissions",
		"ro",	       "nosuid",     "nodev",	     "noexec",
		"exec",	       "sync",	     "async",	     "dirsync",
		NULL,
	};

	return g_strv_contains(names, option) || g_str_has_prefix(option, "fsname=") ||
	       g_str_has_prefix(option, "subtype=") || g_str_has_prefix(option, "max_read=");
}

static int add_option(struct helper *helper, const char *option)
{
	const GOptionEntry *own = find_own(option);

	if (strcmp(option, "remount") == 0)
		return command_fail(EXIT_USAGE,
				    "cannot remount '%s': options are taken at the mount only; "
				    "unmount it with: commitfs umount %s, then mount it again",
				    helper->dir, helper->dir);
	if (*option == '\0' || is_for_others(option))
		return 0;
	if (own != NULL)
		return add_own(helper, own, option);
	if (!helper->sloppy || is_known_to_fuse(option))
		g_string_append_printf(helper->fuse, "%s%s", helper->fuse->len > 0 ? "," : "",
				       option);
	return 0;
}

/* -s may come after the options it is about. */
static int add_options(struct helper *helper, const GPtrArray *lists)
{
	for (guint i = 0; i < lists->len; i++) {
		g_auto(GStrv) options = g_strsplit(g_ptr_array_index(lists, i), ",", -1);

		for (char **option = options; *option != NULL; option++) {
			int r = add_option(helper, *option);

			if (r != 0)
				return r;
		}
	}
	return 0;
}

static int parse(struct helper *helper, int argc, char **argv)
{
	g_autoptr(GPtrArray) lists = g_ptr_array_new();
	int c;

	opterr = 0;
	while ((c = getopt(argc, argv, "fnsvo:t:")) != -1) {
		if (c == '?')
			return command_fail(EXIT_USAGE,
					    "cannot mount: option -%c is not known or lacks its "
					    "value; expected: mount.commitfs STORE MNT "
					    "[-fnsv] [-o OPTION,...]",
					    optopt);
		helper->fake |= c == 'f';
		helper->sloppy |= c == 's';
		helper->verbose |= c == 'v';
		if (c == 'o')
			g_ptr_array_add(lists, optarg);
	}
	if (argc - optind != 2)
		return command_fail(EXIT_USAGE, "cannot mount: expected: mount.commitfs STORE MNT "
						"[-fnsv] [-o OPTION,...]");
	helper->spec = argv[optind];
	helper->dir = argv[optind + 1];
	return add_options(helper, lists);
}

static void complete_words(struct helper *helper)
{
	if (helper->fuse->len > 0) {
		g_ptr_array_add(helper->words, g_strdup("-o"));
		g_ptr_array_add(helper->words, g_strdup(helper->fuse->str));
	}
	g_ptr_array_add(helper->words, g_strdup("--"));
	g_ptr_array_add(helper->words, g_strdup(helper->spec));
	g_ptr_array_add(helper->words, g_strdup(helper->dir));
	g_ptr_array_add(helper->words, NULL);
}

static void print_words(const struct helper *helper)
{
	printf("mount.commitfs: commitfs");
	for (guint i = 0; i + 1 < helper->words->len; i++) {
		g_autofree char *word = g_shell_quote(g_ptr_array_index(helper->words, i));

		printf(" %s", word);
	}
	printf("\n");
	fflush(stdout);
}

static int check_words(int argc, char **argv)
{
	struct mount_options options;
	g_auto(GStrv) arguments = NULL;
	int exit_code = 0;

	mount_options_init(&options);
	command_parse(&mount_command, mount_option_entries, &options, 2, argc, argv, &arguments,
		      &exit_code);
	mount_options_done(&options);
	return exit_code;
}

static int run_words(struct helper *helper)
{
	int argc = (int)helper->words->len - 1;
	/* The parser of options moves words about: the array frees its own. */
	g_autofree char **argv =
		g_memdup2(helper->words->pdata, helper->words->len * sizeof(*helper->words->pdata));

	if (helper->fake)
		return check_words(argc, argv);
	/* mount(8) is silent when all is well. */
	if (!helper->verbose && freopen("/dev/null", "w", stdout) == NULL)
		return command_fail(EXIT_NO_MOUNT, "cannot open /dev/null: %s", g_strerror(errno));
	return mount_command.run(&mount_command, argc, argv);
}

int mount_helper(int argc, char **argv)
{
	struct helper helper = { .words = g_ptr_array_new_with_free_func(g_free),
				 .fuse = g_string_new(NULL) };
	int r;

	g_ptr_array_add(helper.words, g_strdup("mount"));
	r = parse(&helper, argc, argv);
	if (r == 0) {
		complete_words(&helper);
		if (helper.verbose)
			print_words(&helper);
		r = run_words(&helper);
	}
	g_ptr_array_unref(helper.words);
	g_string_free(helper.fuse, TRUE);
	if (r == 0)
		return 0;
	return r == EXIT_USAGE ? MOUNT_USAGE : MOUNT_FAILED;
}
