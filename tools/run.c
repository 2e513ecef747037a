/* commitfs run: a command as a transaction. What it wrote is never written again by us: on
 * a conflict the command itself runs again, on a new snapshot and with the same input.
 *
 * The transaction belongs to this process, so that it ends with it however that ends, but
 * for one that may be kept: that belongs to nobody, because whoever is to look at it comes
 * when this process is gone. */
#include "tools/command.h"
#include "tools/run_options.h"
#include "tools/run_process.h"
#include "tools/txn_advice.h"
#include "tools/txn_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	EXIT_SIGNALED = 128, /* and the signal's number */
	CONFLICT = -1,	     /* in place of an exit code: it may be tried again */
	MAX_BACKOFF_MS = 10 * 1000,
	MAX_DESCRIPTION = 200, /* characters */
};

struct run_job {
	struct run_options options;
	const char *point; /* the mount, as it was given */
	char *command;	   /* what messages call it */
	char *what_runs;   /* the commit message where there is no other */
	struct mount *mount;
	struct txn_directory *txn;
	char *at_directory; /* with --at, absolute; else NULL */
	char *directory;    /* where COMMAND begins, if that is not where we are */
	struct run_at at;
	struct run_process process;
	struct run_signals signals;
	struct run_input *input;
	char *idle_timeout; /* what a kept transaction gets back; NULL: it has it */
	int retry;	    /* 0: the first run */
};

static void job_done(struct run_job *job)
{
	run_options_done(&job->options);
	g_free(job->command);
	g_free(job->what_runs);
	mount_free(job->mount);
	txn_directory_free(job->txn);
	g_strfreev(job->process.argv);
	g_strfreev(job->process.environment);
	run_signals_done(&job->signals);
	run_input_free(job->input);
	g_free(job->idle_timeout);
	g_free(job->at_directory);
	g_free(job->directory);
}

/* ---- The command -------------------------------------------------------------- */

/* The argument vector, with the view's path in place of every {}. A script finds the view
 * around it, and has braces of its own. */
static char **make_argv(const char *script, char **words, const char *view)
{
	g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

	if (script != NULL)
		g_strv_builder_add_many(builder, "sh", "-eu", "-c", script, "sh", NULL);
	for (char **word = words; *word != NULL; word++) {
		g_autoptr(GString) text = g_string_new(*word);

		g_string_replace(text, "{}", view, 0);
		g_strv_builder_add(builder, text->str);
	}
	return g_strv_builder_end(builder);
}

/* The command in a line, cut where it gets long. */
static char *describe(const char *script, char **words)
{
	g_autofree char *arguments = g_strjoinv(" ", words);
	g_autofree char *line = g_strconcat("run: ", script ? script : "",
					    script && *arguments ? " " : "", arguments, NULL);
	g_autofree char *valid = g_utf8_make_valid(line, -1);

	if (g_utf8_strlen(valid, -1) <= MAX_DESCRIPTION)
		return g_steal_pointer(&valid);
	*g_utf8_offset_to_pointer(valid, MAX_DESCRIPTION) = '\0';
	return g_strconcat(valid, "...", NULL);
}

/* The working directory of a process stays what it was when something is mounted on it, or
 * above. Who stands in DIR shall see the view there. */
static char *find_covered_directory(const char *at)
{
	g_autofree char *current = g_get_current_dir();
	char *real = realpath(at, NULL);
	size_t length = real != NULL ? strlen(real) : 0;
	bool covered = length > 0 && strncmp(current, real, length) == 0 &&
		       (current[length] == '/' || current[length] == '\0');

	free(real);
	return covered ? g_steal_pointer(&current) : NULL;
}

/* Where COMMAND finds the view. */
static const char *view_of(const struct run_job *job)
{
	return job->at_directory != NULL ? job->at_directory : job->txn->keys;
}

static void prepare_at(struct run_job *job)
{
	job->at = (struct run_at){
		.directory = job->at_directory,
		.view = job->txn->keys,
		.key = job->options.path,
	};
	job->process.at = &job->at;
	job->directory = find_covered_directory(job->at_directory);
	job->process.directory = job->directory;
}

static void prepare_process(struct run_job *job, char **words)
{
	char **environment = g_get_environ();

	environment = g_environ_setenv(environment, "COMMITFS_TXN", job->txn->path, TRUE);
	environment = g_environ_setenv(environment, "COMMITFS_KEYS", view_of(job), TRUE);
	job->process.environment = environment;
	job->process.argv = make_argv(job->options.script, words, view_of(job));
	if (job->at_directory != NULL)
		prepare_at(job);
	if (job->options.in_view || job->options.script != NULL)
		job->process.directory = view_of(job);
}

/* ---- What is said --------------------------------------------------------------- */

static int fail_to_begin(const struct run_job *job, int error)
{
	if (error == -ENOTCONN)
		return command_fail(EXIT_NO_MOUNT,
				    "cannot begin a transaction on '%s': its daemon is gone; "
				    "clean up with: commitfs umount %s",
				    job->point, job->point);
	if (error == -EACCES)
		return command_fail(EXIT_NO_MOUNT,
				    "cannot begin a transaction on '%s': %s: user %u mounted it",
				    job->point, g_strerror(-error), (unsigned)job->mount->user);
	if (error == -EDQUOT)
		return command_fail(EXIT_STORE,
				    "cannot begin a transaction on '%s': too many are open; for "
				    "the limits: commitfs status %s; to end one: rmdir %s/txn/NAME",
				    job->point, job->point, job->mount->point);
	return command_fail(EXIT_STORE, "cannot begin a transaction on '%s': %s", job->point,
			    g_strerror(-error));
}

static int fail_in_txn(const struct run_job *job, const char *action, int error)
{
	g_autofree char *reason = txn_directory_explain(job->txn, error);

	return command_fail(error == -ENOTCONN ? EXIT_NO_MOUNT : EXIT_STORE,
			    "cannot %s for %s on '%s': %s", action, job->command, job->point,
			    reason);
}

static void print_retry(const struct run_job *job, int delay_ms)
{
	g_autofree char *conflict = txn_advice_read_conflict(job->txn);

	command_fail(0, "cannot commit %s on '%s': %s; running it again in %d ms, retry %d of %d",
		     job->command, job->point, conflict, delay_ms, job->retry + 1,
		     job->options.retries);
}

static void print_committed(const struct run_job *job)
{
	g_autofree char *line = NULL;

	if (!job->options.verbose || txn_directory_read(job->txn, "commit", &line) < 0)
		return;
	command_fail(0, "%s on '%s': %s, after %d %s", job->command, job->point, line, job->retry,
		     job->retry == 1 ? "retry" : "retries");
}

/* ---- The transaction ------------------------------------------------------------ */

static bool may_be_kept(const struct run_job *job)
{
	return job->options.keep || run_input_is_terminal(job->input);
}

static int begin_txn(struct run_job *job)
{
	const char *isolation = job->options.isolation;
	bool kept = may_be_kept(job);
	int r;

	r = txn_directory_begin(job->mount, kept ? TXN_OWNER_NOBODY : TXN_OWNER_PROCESS, &job->txn);
	if (r < 0)
		return fail_to_begin(job, r);
	/* Somebody who edits may have lunch. */
	if (kept && txn_directory_read(job->txn, "timeout", &job->idle_timeout) == 0)
		txn_directory_write(job->txn, "timeout", "max\n");
	/* Written even when it is the default: a transaction in which nothing was done would
	 * not end with this process, but pass to its parent. */
	r = txn_directory_write(job->txn, "isolation",
				isolation != NULL ? isolation : "serializable-snapshot");
	if (r == -EINVAL)
		return command_fail(EXIT_USAGE,
				    "cannot run 'run': --isolation=%s: expected "
				    "serializable-snapshot, serializable or snapshot",
				    isolation);
	return r < 0 ? fail_in_txn(job, "set the isolation", r) : 0;
}

/* Before each run, since a restart forgets it; the command may set another. */
static int set_message(const struct run_job *job)
{
	int r;

	if (job->options.message == NULL || *job->options.message == '\0')
		return 0;
	r = txn_directory_write(job->txn, "message", job->options.message);
	if (r == -EFBIG)
		return command_fail(EXIT_USAGE,
				    "cannot run 'run': --message: it is longer than this mount "
				    "takes; for the limit: commitfs status %s",
				    job->point);
	return r < 0 ? fail_in_txn(job, "set the message", r) : 0;
}

static int commit_txn(const struct run_job *job)
{
	/* Where nobody gave a message: `sh` alone would tell others nothing. */
	int r = txn_directory_write(job->txn, "commit", job->what_runs);

	/* What it may no longer do, the next run is told by the call that tries it. */
	if (r == -ECANCELED || r == -EACCES)
		return CONFLICT;
	if (r < 0)
		return fail_in_txn(job, "commit", r);
	print_committed(job);
	return 0;
}

static void end_txn(const struct run_job *job, bool keep)
{
	if (!keep) {
		txn_directory_end(job->txn);
		return;
	}
	if (job->idle_timeout != NULL)
		txn_directory_write(job->txn, "timeout", job->idle_timeout);
	txn_advice_print_kept(job->mount, job->txn);
}

/* ---- Running -------------------------------------------------------------------- */

static int fail_signaled(const struct run_job *job, int number, const char *what)
{
	return command_fail(EXIT_SIGNALED + number,
			    "cannot commit %s on '%s': %s by signal %d (%s)", job->command,
			    job->point, what, number, strsignal(number));
}

/* Runs the command once and commits what it did. An exit code, or CONFLICT. */
static int run_once(struct run_job *job)
{
	struct run_ending ending;
	int exit_code, r;

	exit_code = set_message(job);
	if (exit_code != 0)
		return exit_code;
	r = run_process_to_end(&job->process, &job->signals, job->input, &ending);
	if (r < 0)
		return command_fail(EXIT_STORE,
				    "cannot run %s on '%s': its process or its input "
				    "could not be made: %s",
				    job->command, job->point, g_strerror(-r));
	if (ending.asked_by == 0)
		ending.asked_by = run_signals_wait(&job->signals, 0);
	if (ending.asked_by != 0)
		return fail_signaled(job, ending.asked_by, "ended");
	if (ending.killed_by != 0)
		return fail_signaled(job, ending.killed_by, "it was killed");
	return ending.exit_code != 0 ? ending.exit_code : commit_txn(job);
}

/* Anything up to twice as long for each retry, in runs of this command: what others need
 * is likely as long, and those who conflicted at once should not do so again. */
static int choose_delay_ms(gint64 run_us, int retry)
{
	gint64 window_ms = (run_us / G_TIME_SPAN_MILLISECOND + 1) << MIN(retry + 1, 20);

	return g_random_int_range(0, (int)MIN(window_ms, MAX_BACKOFF_MS) + 1);
}

/* Waits, and begins again on a new snapshot: as late as can be, because every commit from
 * then on may be the next conflict. */
static int begin_again(struct run_job *job, gint64 run_us)
{
	int delay_ms = choose_delay_ms(run_us, job->retry);
	int number, r;

	print_retry(job, delay_ms);
	number = run_signals_wait(&job->signals, delay_ms);
	if (number != 0)
		return fail_signaled(job, number, "ended");
	job->retry++;
	r = txn_directory_write(job->txn, "restart", "\n");
	return r < 0 ? fail_in_txn(job, "begin again", r) : 0;
}

static int give_up(const struct run_job *job)
{
	g_autofree char *conflict = txn_advice_read_conflict(job->txn);

	if (run_input_is_terminal(job->input))
		command_fail(0, "cannot commit %s on '%s': %s", job->command, job->point, conflict);
	else
		command_fail(0,
			     "cannot commit %s on '%s': %s; no more retries (of %d); try "
			     "later, with more --retries%s",
			     job->command, job->point, conflict, job->options.retries,
			     job->options.keep ? "" : ", or with --keep to see all of it");
	txn_advice_print_others(job->txn);
	return job->options.conflict_code;
}

static int run_job(struct run_job *job)
{
	bool terminal = run_input_is_terminal(job->input);
	int exit_code;

	for (;;) {
		gint64 begun_us = g_get_monotonic_time();

		exit_code = run_once(job);
		if (exit_code != CONFLICT)
			break;
		if (terminal || job->retry >= job->options.retries) {
			exit_code = give_up(job);
			end_txn(job, job->options.keep || terminal);
			return exit_code;
		}
		exit_code = begin_again(job, g_get_monotonic_time() - begun_us);
		if (exit_code != 0)
			break;
	}
	end_txn(job, job->options.keep && exit_code != 0);
	return exit_code;
}

/* Where standard descriptors are closed, files opened here would take their numbers. */
static void open_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static int start(struct run_job *job, char **words)
{
	int exit_code, r;

	open_standard_descriptors();
	job->what_runs = describe(job->options.script, words);
	job->command = job->options.script != NULL ? g_strdup("the script") :
						     g_strdup_printf("'%s'", words[0]);
	job->mount = mounts_find_commitfs(job->point, "run a command on");
	if (job->mount == NULL)
		return EXIT_NO_MOUNT;
	if (job->options.at != NULL) {
		job->at_directory = run_at_find_directory(job->options.at);
		if (job->at_directory == NULL)
			return EXIT_USAGE;
	}
	job->input = run_input_new();
	r = run_signals_init(&job->signals);
	if (r < 0)
		return command_fail(EXIT_STORE, "cannot wait for signals: %s", g_strerror(-r));
	exit_code = begin_txn(job);
	if (exit_code == 0) {
		prepare_process(job, words);
		return run_job(job);
	}
	if (job->txn != NULL)
		end_txn(job, false);
	return exit_code;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct run_job job = { .signals = { .fd = -1 } };
	g_auto(GStrv) arguments = NULL;
	char **words;
	int exit_code;

	run_options_init(&job.options);
	if (run_options_parse(&job.options, command, argc, argv, &arguments, &words, &exit_code)) {
		job.point = arguments[0];
		exit_code = start(&job, words);
	}
	job_done(&job);
	return exit_code;
}

const struct command run_command = {
	.name = "run",
	.arguments = "[options] MNT -- COMMAND ARG...",
	.summary = "Run a command as a transaction, and again when it conflicts",
	.description =
		"Begins a transaction on the mount MNT, runs COMMAND, and commits when it exits\n"
		"with 0: all that it wrote into the transaction's view of the keys, at once, or\n"
		"nothing. When it exits otherwise, or by a signal, nothing is committed.\n"
		"\n"
		"COMMAND finds the view\n"
		"  as its working directory, with -C or -c\n"
		"  in place of every {} in its arguments\n"
		"  in the environment: COMMITFS_KEYS is the view, MNT/txn/NAME/keys, and\n"
		"  COMMITFS_TXN the transaction, MNT/txn/NAME\n"
		"What it does elsewhere, in MNT/keys too, is not part of the transaction.\n"
		"\n"
		"With --at DIR the view, or the directory KEY in it, is shown at DIR, to COMMAND\n"
		"alone, so that a program that knows only its path becomes a transaction. DIR must\n"
		"exist; it is what -C, {} and COMMITFS_KEYS mean then. As an ordinary user this\n"
		"takes user namespaces; files of others seem to be nobody's there.\n"
		"\n"
		"When somebody else has changed what COMMAND read or wrote meanwhile, nothing is\n"
		"committed either: the conflict is told on standard error, and after a random\n"
		"time, twice as long at each retry, COMMAND runs again on a new snapshot. So it\n"
		"should change nothing outside the view that must not be changed twice.\n"
		"Standard input is kept and given to each run from its beginning; what no run\n"
		"reads stays there for others.\n"
		"\n"
		"When standard input is a terminal, what was typed cannot be given again: a\n"
		"conflict keeps the transaction, prints its path, and says how to compare, rebase\n"
		"or drop it. With < /dev/null it runs again instead.\n"
		"\n"
		"Signals are passed on to COMMAND. SIGINT, SIGTERM, SIGHUP and SIGQUIT also end\n"
		"the transaction, whatever COMMAND makes of them; an interrupt typed at the\n"
		"terminal is COMMAND's own business, as below a shell.\n"
		"\n"
		"A kept transaction belongs to no process: it is over when it was idle too long\n"
		"(see mount --txn-timeout), and goes with: rmdir MNT/txn/NAME\n"
		"\n"
		"Exit status:\n"
		"  0      committed\n"
		"  64     the words make no sense\n"
		"  69     there is no such mount\n"
		"  74     the store refused or failed\n"
		"  75     a conflict after the last retry (-E: CODE)\n"
		"  126    COMMAND cannot be executed\n"
		"  127    COMMAND was not found\n"
		"  128+N  ended by signal N\n"
		"  else   that of COMMAND, which was not 0\n"
		"\n"
		"Examples:\n"
		"  commitfs run /mnt -c 'echo $(($(cat count) + 1)) > count'\n"
		"  commitfs run -m 'new prices' /mnt -- cp -r prices {}/shop\n"
		"  commitfs run -C /mnt -- make config < answers\n"
		"  commitfs run --at /etc/app --path app /mnt -- make install\n"
		"  commitfs run --retries=0 --keep /mnt -- sed -i s/old/new/ {}/etc/hosts",
	.run = run,
};
