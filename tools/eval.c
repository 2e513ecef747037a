/* commitfs eval: writes a program to MNT/eval and prints the reply, or checks a text without
 * any mount. */
#include "tools/command.h"
#include "tools/eval_advice.h"
#include "tools/mounts.h"

#include "fs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_FAILURE_BRANCH = 1, CHUNK_BYTES = 1 << 17 };

struct eval_options {
	gboolean check;
	gboolean json;
	gboolean verbose;
};

/* ---- Reading and writing -------------------------------------------------------- */

/* Appends what `fd` has until its end, or until there is more than `max_bytes`. */
static int read_all(int fd, uint64_t max_bytes, GString *text)
{
	g_autofree char *buffer = g_malloc(CHUNK_BYTES);
	ssize_t count;

	while ((count = read(fd, buffer, CHUNK_BYTES)) != 0) {
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		g_string_append_len(text, buffer, count);
		if (text->len > max_bytes)
			break;
	}
	return 0;
}

static int write_all(int fd, const GString *text)
{
	size_t done = 0;

	while (done < text->len) {
		ssize_t count = write(fd, text->str + done, MIN(text->len - done, CHUNK_BYTES));

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		done += (size_t)count;
	}
	return 0;
}

/* The text of a program from a file, NULL or "-": from standard input. What is too long is
 * read only so far that this can be told. */
static int read_program(const char *file, GString *text)
{
	struct program_limits limits;
	int fd = STDIN_FILENO;
	int r;

	program_limits_init(&limits);
	if (file && strcmp(file, "-") != 0)
		fd = open(file, O_RDONLY | O_CLOEXEC);
	r = fd < 0 ? -errno : read_all(fd, limits.max_text_bytes, text);
	if (fd > STDIN_FILENO)
		close(fd);
	return r;
}

static void print(const GString *text)
{
	fwrite(text->str, 1, text->len, stdout); /* main() tells when that failed */
}

/* ---- Checking ------------------------------------------------------------------- */

static int check(const struct eval_options *options, const GString *text)
{
	const struct credentials own = { .uid = geteuid(), .gid = getegid() };
	g_autoptr(program) program = NULL;
	struct program_limits limits;
	GString *errors = NULL;
	GString *json;

	program_limits_init(&limits);
	if (program_parse(text->str, text->len, &own, &limits, &program, &errors) == 0)
		return 0;
	json = options->json ? program_errors_json(errors) : NULL;
	print(json ? json : errors);
	if (json)
		g_string_free(json, TRUE);
	g_string_free(errors, TRUE);
	return EXIT_USAGE;
}

/* ---- Running -------------------------------------------------------------------- */

/* Prints the reply and tells what it means. */
static int take_reply(int fd, const char *path, const struct mount *advised)
{
	g_autoptr(GString) reply = g_string_new(NULL);
	int r = read_all(fd, UINT64_MAX, reply);

	if (r < 0)
		return command_fail(EXIT_STORE, "cannot read the reply from '%s': %s", path,
				    g_strerror(-r));
	print(reply);
	if (advised != NULL) {
		fflush(stdout);
		eval_advice_print(advised, reply->str);
	}
	if (g_str_has_prefix(reply->str, "SUCCESS") ||
	    g_str_has_prefix(reply->str, "{\"status\":\"success\""))
		return 0;
	if (g_str_has_prefix(reply->str, "FAILURE") ||
	    g_str_has_prefix(reply->str, "{\"status\":\"failure\""))
		return EXIT_FAILURE_BRANCH;
	/* Whether the program or the store is at fault, its fsync tells. */
	return fsync(fd) == 0 || errno == EINVAL ? EXIT_USAGE : EXIT_STORE;
}

/* The reply is for programs: people get it in words, too. */
static const struct mount *who_is_advised(const struct mount *mount,
					  const struct eval_options *options)
{
	return options->verbose || (!options->json && isatty(STDERR_FILENO)) ? mount : NULL;
}

static int run_on(int fd, const char *path, const struct mount *mount,
		  const struct eval_options *options, GString *text)
{
	int r;

	if (options->json && ioctl(fd, FS_IOCTL_EVAL_JSON) < 0)
		return command_fail(EXIT_STORE, "cannot ask '%s' for JSON: %s", path,
				    g_strerror(errno));
	/* What is not written is not run, not even to be told that it is no program. */
	if (text->len == 0)
		g_string_append_c(text, '\n');
	r = write_all(fd, text);
	if (r == -EFBIG)
		return command_fail(
			EXIT_USAGE,
			"cannot run the program on '%s': it is too long; for the limit: "
			"commitfs status %s",
			path, mount->point);
	if (r < 0)
		return command_fail(EXIT_STORE, "cannot write the program to '%s': %s", path,
				    g_strerror(-r));
	return take_reply(fd, path, who_is_advised(mount, options));
}

static int fail_to_open(const char *path, const char *mount_point, int error)
{
	if (error == ENOTCONN)
		return command_fail(EXIT_NO_MOUNT,
				    "cannot open '%s': its daemon is gone; "
				    "clean up with: commitfs umount %s",
				    path, mount_point);
	return command_fail(EXIT_NO_MOUNT, "cannot open '%s': %s", path, g_strerror(error));
}

static int evaluate(const char *mount_point, const struct eval_options *options, GString *text)
{
	g_autoptr(mount) mount = mounts_find_commitfs(mount_point, "run a program on");
	g_autofree char *path = NULL;
	int fd, exit_code;

	if (mount == NULL)
		return EXIT_NO_MOUNT;
	path = g_build_filename(mount->point, "eval", NULL);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return fail_to_open(path, mount_point, errno);
	exit_code = run_on(fd, path, mount, options, text);
	close(fd);
	return exit_code;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct eval_options options = { 0 };
	const GOptionEntry entries[] = {
		{ "check", 0, 0, G_OPTION_ARG_NONE, &options.check,
		  "Only check the program; there is no MNT then", NULL },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &options.json, "Print the reply as JSON", NULL },
		{ "verbose", 'v', 0, G_OPTION_ARG_NONE, &options.verbose,
		  "Explain on standard error which compares failed (on a terminal: always)", NULL },
		G_OPTION_ENTRY_NULL,
	};
	g_autoptr(GString) text = g_string_new(NULL);
	g_auto(GStrv) arguments = NULL;
	const char *file;
	guint count;
	int exit_code, r;

	if (!command_parse(command, entries, NULL, 0, argc, argv, &arguments, &exit_code))
		return exit_code;
	count = arguments ? g_strv_length(arguments) : 0;
	if (options.check ? count > 1 : count < 1)
		return command_fail(EXIT_USAGE,
				    "cannot run 'eval': expected: commitfs eval MNT [FILE] or "
				    "commitfs eval --check [FILE]; see: commitfs eval --help");
	file = options.check ? (count > 0 ? arguments[0] : NULL) :
			       (count > 1 ? arguments[1] : NULL);
	r = read_program(file, text);
	if (r < 0)
		return command_fail(EXIT_USAGE, "cannot read the program from '%s': %s",
				    file ? file : "standard input", g_strerror(-r));
	return options.check ? check(&options, text) : evaluate(arguments[0], &options, text);
}

const struct command eval_command = {
	.name = "eval",
	.arguments = "[options] MNT [FILE]",
	.optional = 2,
	.summary = "Run an If/Then/Else program atomically and print its reply",
	.description =
		"Runs the program in FILE, or on standard input: compares, a line 'then' or a blank\n"
		"one, operations, a line 'else' or a blank one, operations. All compares look at the\n"
		"state before; the operations they choose are applied as one revision, or none is.\n"
		"\n"
		"Compares:    value(\"KEY\") = \"TEXT\"; version, create and mod of a KEY; operators\n"
		"             = != < > <= >=; exists(\"KEY\"), missing(\"KEY\"); prefix(\"DIR/\") in\n"
		"             place of a key: it must hold for all keys below.\n"
		"Operations:  put KEY VALUE, put KEY <<END, get KEY, del KEY, with --prefix --limit\n"
		"             --keys-only --count-only --prev-kv; add KEY N, min KEY N, max KEY N,\n"
		"             append KEY TEXT; and txn {, a program, }.\n"
		"\n"
		"When a compare did not hold, a person at a terminal (or with --verbose) is told\n"
		"which one, what is there instead, and who put it there and why.\n"
		"\n"
		"Exits with 0 when the compares held, 1 when they did not, 64 when it is no program\n"
		"or was refused, and 74 when the store failed.\n"
		"\n"
		"Examples:\n"
		"  echo 'add hits 1' | commitfs eval /mnt\n"
		"\n"
		"  commitfs eval /mnt <<'END'\n"
		"  missing(\"app/leader\")\n"
		"  then\n"
		"  put app/leader host-1\n"
		"  else\n"
		"  get app/leader\n"
		"  END\n"
		"\n"
		"  commitfs eval --check program.txt",
	.run = run,
};
