/* commitfs edit: keys in the user's editor, as a transaction.
 *
 * The editor gets copies (edit_copies.c); what it changed is written into the transaction
 * and committed. The work of a person is never thrown away: after a conflict it is in the
 * transaction, which belongs to no process, and when something else fails it is in the
 * copies. Either is named then.
 *
 * After a conflict there are two ways to go on. `rebase` commits the writes as they are, in
 * place of what others did. Editing again begins a new round, on the newest snapshot, and
 * merges what others did into the copies, so that a key that is theirs in the end is not
 * written at all. */
#include "tools/colour.h"
#include "tools/command.h"
#include "tools/edit_copies.h"
#include "tools/mount_file.h"
#include "tools/run_process.h"
#include "tools/txn_advice.h"
#include "tools/txn_directory.h"

#include "txn/txn.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_SIGNALED = 128, EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127 };

/* What a person answers. */
enum choice { CHOICE_REBASE, CHOICE_AGAIN, CHOICE_DROP, CHOICE_KEEP };

/* Where the work goes when this process ends. */
enum rest {
	REST_NOTHING, /* it was committed, dropped, or never done */
	REST_COPIES,  /* stays in the copies */
	REST_TXN,     /* stays in the transaction */
};

struct edit_job {
	const char *point; /* the mount, as it was given */
	char *message;
	char *commit_text; /* the message where there is no other */
	struct mount *mount;
	struct txn_directory *txn;
	struct edit_copies copies;
	struct run_signals signals;
	struct run_input *input;
	char *idle_timeout; /* what a kept transaction gets back; NULL: it has it */
	bool is_terminal;   /* somebody can be asked */
	enum rest rest;
};

/* ---- What is said ----------------------------------------------------------------------- */

static int fail_in_txn(struct edit_job *job, const char *action, int error)
{
	g_autofree char *reason = txn_directory_explain(job->txn, error);

	job->rest = REST_COPIES;
	return command_fail(error == -ENOTCONN ? EXIT_NO_MOUNT : EXIT_STORE,
			    "cannot %s on '%s': %s", action, job->point, reason);
}

static int fail_with_key(const struct edit_job *job, const char *key, int error)
{
	switch (error) {
	case -EISDIR:
		return command_fail(EXIT_USAGE,
				    "cannot edit '%s': it is a directory; name the keys below it: "
				    "ls %s/keys/%s",
				    key, job->mount->point, key);
	case -EINVAL:
		return command_fail(EXIT_USAGE,
				    "cannot edit '%s': expected a key, such as app/port, whose "
				    "value is a file",
				    key);
	case -EXDEV:
		return command_fail(EXIT_FAILED,
				    "cannot edit '%s': a symbolic link leads out of the keys; "
				    "edit what it leads to",
				    key);
	default:
		return command_fail(EXIT_FAILED, "cannot edit '%s' on '%s': %s", key, job->point,
				    g_strerror(-error));
	}
}

/* ---- The transaction ---------------------------------------------------------------------- */

/* Each round anew, since a restart forgets it. */
static int set_message(struct edit_job *job)
{
	int r = 0;

	if (job->message != NULL && *job->message != '\0')
		r = txn_directory_write(job->txn, "message", job->message);
	if (r == -EFBIG)
		return command_fail(EXIT_USAGE,
				    "cannot edit: --message: it is longer than this mount takes; "
				    "for the limit: commitfs status %s",
				    job->point);
	return r < 0 ? fail_in_txn(job, "set the message", r) : 0;
}

static int begin(struct edit_job *job)
{
	int r = txn_directory_begin(job->mount, TXN_OWNER_NOBODY, &job->txn);

	if (r < 0)
		return mount_file_fail(r, "begin a transaction on '%s'", job->point);
	/* Somebody who edits may have lunch. */
	if (txn_directory_read(job->txn, "timeout", &job->idle_timeout) == 0)
		txn_directory_write(job->txn, "timeout", "max\n");
	return set_message(job);
}

static void end(struct edit_job *job)
{
	bool keep_copies = job->rest == REST_COPIES && job->copies.files != NULL &&
			   edit_copies_count_changed(&job->copies) > 0;

	if (keep_copies)
		command_fail(0, "what was edited is kept in %s", job->copies.directory);
	edit_copies_done(&job->copies, keep_copies);
	if (job->txn == NULL)
		return;
	if (job->rest == REST_TXN) {
		if (job->idle_timeout != NULL)
			txn_directory_write(job->txn, "timeout", job->idle_timeout);
		txn_advice_print_kept(job->mount, job->txn);
	} else {
		txn_directory_end(job->txn);
	}
}

/* A key may be given as the file it is, as shells complete it. */
static const char *strip_mount(const struct edit_job *job, const char *key)
{
	g_autofree char *keys = g_strconcat(job->mount->point, "/keys/", NULL);

	return g_str_has_prefix(key, keys) ? key + strlen(keys) : key;
}

static int make_copies(struct edit_job *job, char *const *keys)
{
	int r = edit_copies_init(&job->copies);

	if (r < 0)
		return command_fail(EXIT_FAILED, "cannot make a directory in '%s' to edit in: %s",
				    g_get_tmp_dir(), g_strerror(-r));
	for (char *const *key = keys; *key != NULL; key++) {
		const char *name = strip_mount(job, *key);

		r = edit_copies_add(&job->copies, job->txn->keys, name);
		if (r < 0)
			return fail_with_key(job, name, r);
	}
	return 0;
}

/* ---- The editor --------------------------------------------------------------------------- */

static const char *find_editor(void)
{
	const char *const names[] = { "VISUAL", "EDITOR" };

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		const char *editor = g_getenv(names[i]);

		if (editor != NULL && *editor != '\0')
			return editor;
	}
	return "vi";
}

/* These variables hold command lines. A single word needs no shell, and signals reach it. */
static char **make_argv(const struct edit_job *job, const char *editor)
{
	g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
	g_autofree char *script = g_strconcat(editor, " \"$@\"", NULL);

	if (strpbrk(editor, " \t\n|&;<>()$`\\\"'*?[#~=%{") != NULL)
		g_strv_builder_add_many(builder, "sh", "-c", script, NULL);
	g_strv_builder_add(builder, editor);
	for (guint i = 0; i < job->copies.files->len; i++) {
		const struct edit_copy *copy = g_ptr_array_index(job->copies.files, i);

		g_strv_builder_add(builder, copy->path);
	}
	return g_strv_builder_end(builder);
}

static int check_ending(const char *editor, const struct run_ending *ending)
{
	int number = ending->asked_by != 0 ? ending->asked_by : ending->killed_by;
	int exit_code = ending->exit_code;

	/* As a shell tells it. */
	if (number == 0 && exit_code > EXIT_SIGNALED && exit_code < EXIT_SIGNALED + NSIG)
		number = exit_code - EXIT_SIGNALED;
	if (number != 0)
		return command_fail(EXIT_SIGNALED + number,
				    "nothing is committed: '%s' was ended by signal %d (%s)",
				    editor, number, strsignal(number));
	if (exit_code == EXIT_NOT_FOUND || exit_code == EXIT_CANNOT_RUN)
		return command_fail(EXIT_FAILED,
				    "cannot run the editor '%s'; name another: "
				    "EDITOR=nano commitfs edit ...",
				    editor);
	if (exit_code != 0)
		return command_fail(EXIT_FAILED, "nothing is committed: '%s' ended with %d", editor,
				    exit_code);
	return 0;
}

static int run_editor(struct edit_job *job)
{
	const char *editor = find_editor();
	g_auto(GStrv) argv = make_argv(job, editor);
	g_auto(GStrv) environment = g_get_environ();
	struct run_process process = { .argv = argv };
	struct run_ending ending;
	int r;

	environment = g_environ_setenv(environment, "COMMITFS_TXN", job->txn->path, TRUE);
	environment = g_environ_setenv(environment, "COMMITFS_KEYS", job->txn->keys, TRUE);
	process.environment = environment;
	job->rest = REST_COPIES;
	r = run_process_to_end(&process, &job->signals, job->input, &ending);
	if (r < 0)
		return command_fail(EXIT_FAILED, "cannot run the editor '%s': %s", editor,
				    g_strerror(-r));
	return check_ending(editor, &ending);
}

/* ---- A conflict --------------------------------------------------------------------------- */

static const struct edit_copy *find_copy(const struct edit_job *job, const char *escaped_key)
{
	for (guint i = 0; i < job->copies.files->len; i++) {
		const struct edit_copy *copy = g_ptr_array_index(job->copies.files, i);
		g_autoptr(GString) escaped = g_string_new(NULL);

		text_append_escaped(escaped, copy->key);
		if (strcmp(escaped->str, escaped_key) == 0)
			return copy;
	}
	return NULL;
}

/* What others made of the key since it was read. */
static void print_difference(const struct edit_job *job, const struct edit_copy *copy,
			     const struct txn_conflict *conflict)
{
	g_autofree char *keys = g_build_filename(job->mount->point, "keys", NULL);
	g_autofree char *old_label =
		g_strdup_printf("%s (as you began, revision %s)", conflict->key, conflict->seen);
	g_autofree char *new_label =
		g_strdup_printf("%s (theirs, revision %s)", conflict->key, conflict->found);
	const char *labels[2] = { old_label, new_label };
	g_autoptr(GBytes) now = NULL;
	g_autofree char *text = NULL;

	if (edit_copies_load(keys, copy->key, &now) < 0)
		return;
	if (now == NULL)
		fprintf(stderr, "  it was deleted\n");
	text = edit_copies_diff(&job->copies, (GBytes *const[2]){ copy->began, now }, labels,
				colour_diff_option(STDERR_FILENO));
	if (text != NULL)
		fputs(text, stderr);
}

static void print_conflicts(const struct edit_job *job)
{
	g_autoptr(GPtrArray) conflicts = NULL;
	const char *last = NULL;

	command_fail(0,
		     "cannot commit on '%s': others have changed meanwhile what you edit; "
		     "nothing of yours is lost",
		     job->point);
	if (txn_conflicts_read(job->txn, &conflicts) < 0)
		return;
	for (guint i = 0; i < conflicts->len; i++) {
		const struct txn_conflict *conflict = g_ptr_array_index(conflicts, i);
		const struct edit_copy *copy = find_copy(job, conflict->key);
		g_autofree char *description = txn_conflict_describe(conflict);

		/* One key may conflict as a value, as a name and as a write. */
		if (last != NULL && strcmp(last, conflict->key) == 0)
			continue;
		last = conflict->key;
		fprintf(stderr, "%s: %s\n", conflict->key, description);
		if (copy != NULL)
			print_difference(job, copy, conflict);
	}
}

/* ---- Asking ------------------------------------------------------------------------------- */

/* Signals that would end us are waited for, too: then the transaction is to be kept. Zero is
 * the end of the input, or a signal. */
static char read_answer(const struct edit_job *job)
{
	struct pollfd poll_fds[] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = job->signals.fd, .events = POLLIN },
	};
	char line[64];
	ssize_t count;

	/* Signals that mean nothing to us come, too, as of a diff(1) that has ended. */
	while ((poll_fds[0].revents & (POLLIN | POLLHUP | POLLERR)) == 0) {
		if (poll(poll_fds, G_N_ELEMENTS(poll_fds), -1) < 0 && errno != EINTR)
			return '\0';
		if (run_signals_wait(&job->signals, 0) != 0)
			return '\0';
	}
	/* A terminal gives a line at a time. */
	count = read(STDIN_FILENO, line, sizeof(line));
	if (count <= 0)
		return '\0';
	return g_ascii_isalpha(line[0]) ? g_ascii_tolower(line[0]) : '?';
}

static enum choice ask(const struct edit_job *job, const char *commit_it, const char *edit_it)
{
	for (;;) {
		fprintf(stderr,
			"  r  %s\n"
			"  e  %s\n"
			"  d  drop what you edited\n"
			"  k  keep it for later, and end\n"
			"What now? [r, e, d, k] ",
			commit_it, edit_it);
		switch (read_answer(job)) {
		case 'r':
			return CHOICE_REBASE;
		case 'e':
			return CHOICE_AGAIN;
		case 'd':
			return CHOICE_DROP;
		case 'k':
			return CHOICE_KEEP;
		case '\0':
			fputc('\n', stderr);
			return CHOICE_KEEP;
		default:
			break;
		}
	}
}

static enum choice ask_about_conflict(const struct edit_job *job)
{
	if (!job->is_terminal)
		return CHOICE_KEEP;
	return ask(job, "rebase: commit yours as it is, in place of theirs",
		   "edit again, with what they changed merged in");
}

/* ---- Rounds ------------------------------------------------------------------------------- */

static const char *const merge_texts[] = {
	[EDIT_MERGE_NOTHING] = NULL,
	[EDIT_MERGE_CLEAN] = "both changes are in it now",
	[EDIT_MERGE_MARKED] = "both changed the same lines, which are marked: <<<<<<< yours, "
			      "||||||| as you began, >>>>>>> theirs",
	[EDIT_MERGE_REFUSED] = "it cannot be merged, and is as you left it",
};

/* Takes the newest state into the copies, for the editor to go on with. */
static int begin_again(struct edit_job *job)
{
	int r = txn_directory_write(job->txn, "restart", "\n");

	/* From here on the transaction has nothing of it. */
	job->rest = REST_COPIES;
	if (r < 0)
		return fail_in_txn(job, "begin again", r);
	for (guint i = 0; i < job->copies.files->len; i++) {
		struct edit_copy *copy = g_ptr_array_index(job->copies.files, i);
		enum edit_merge merge;

		r = edit_copy_merge(&job->copies, copy, job->txn->keys, &merge);
		if (r < 0)
			return fail_with_key(job, copy->key, r);
		if (merge_texts[merge] != NULL)
			fprintf(stderr, "%s: %s\n", copy->key, merge_texts[merge]);
	}
	return set_message(job);
}

/* True when there is something to commit. Marks that were forgotten are none of the value. */
static bool is_finished(const struct edit_job *job)
{
	for (guint i = 0; i < job->copies.files->len; i++) {
		const struct edit_copy *copy = g_ptr_array_index(job->copies.files, i);

		if (edit_copy_is_changed(copy) && edit_copy_has_marks(copy)) {
			command_fail(0, "'%s' still has marks of both changes (<<<<<<< yours)",
				     copy->key);
			return false;
		}
	}
	return true;
}

/* The editor, until what it made can be committed. 0: go on. */
static int edit_round(struct edit_job *job, bool *ret_drop)
{
	int exit_code;

	*ret_drop = false;
	for (;;) {
		exit_code = run_editor(job);
		if (exit_code != 0 || !job->is_terminal || is_finished(job))
			return exit_code;
		switch (ask(job, "commit it with the marks", "edit again")) {
		case CHOICE_REBASE:
			return 0;
		case CHOICE_AGAIN:
			break;
		case CHOICE_DROP:
			*ret_drop = true;
			return 0;
		case CHOICE_KEEP:
			return EXIT_CONFLICT;
		}
	}
}

static int store_changes(struct edit_job *job)
{
	const char *key = NULL;
	int r = edit_copies_store(&job->copies, job->txn->keys, &key);
	g_autofree char *action = NULL;

	if (r == 0)
		return 0;
	if (r == -EACCES || r == -EXDEV) {
		job->rest = REST_COPIES;
		return fail_with_key(job, key, r);
	}
	action = g_strdup_printf("write '%s'", key);
	return fail_in_txn(job, action, r);
}

static int finish_without_commit(struct edit_job *job, bool dropped)
{
	job->rest = REST_NOTHING;
	printf("commitfs: %s\n", dropped ? "dropped, nothing is committed" : "nothing was changed");
	return dropped ? EXIT_CONFLICT : 0;
}

static int commit(struct edit_job *job)
{
	g_autofree char *outcome = NULL;
	int r = txn_directory_write(job->txn, "commit", job->commit_text);

	if (r == 0 && txn_directory_read(job->txn, "commit", &outcome) == 0)
		printf("commitfs: %s\n", outcome);
	return r;
}

/* Commits what is in the transaction, by rebasing it as often as somebody wants that.
 * 0: done. -EAGAIN: it is to be edited again. */
static int commit_or_ask(struct edit_job *job)
{
	int r = commit(job);

	while (r == -ECANCELED || r == -EACCES) {
		job->rest = REST_TXN;
		print_conflicts(job);
		switch (ask_about_conflict(job)) {
		case CHOICE_REBASE:
			r = txn_directory_write(job->txn, "rebase", "\n");
			if (r == 0)
				r = commit(job);
			break;
		case CHOICE_AGAIN:
			return -EAGAIN;
		case CHOICE_DROP:
			return finish_without_commit(job, true);
		case CHOICE_KEEP:
			return EXIT_CONFLICT;
		}
	}
	if (r < 0)
		return fail_in_txn(job, "commit", r);
	job->rest = REST_NOTHING;
	return 0;
}

static int edit(struct edit_job *job)
{
	bool drop = false;
	int r;

	for (;;) {
		r = edit_round(job, &drop);
		if (r != 0)
			return r;
		if (drop || edit_copies_count_changed(&job->copies) == 0)
			return finish_without_commit(job, drop);
		r = store_changes(job);
		if (r == 0)
			r = commit_or_ask(job);
		if (r != -EAGAIN)
			return r;
		r = begin_again(job);
		if (r != 0)
			return r;
	}
}

/* ---- The command -------------------------------------------------------------------------- */

static int start(struct edit_job *job, char *const *keys)
{
	g_autofree char *names = g_strjoinv(" ", (char **)keys);
	int r;

	job->mount = mounts_find_commitfs(job->point, "edit keys of");
	if (job->mount == NULL)
		return EXIT_NO_MOUNT;
	job->commit_text = g_strconcat("edit: ", names, NULL);
	job->is_terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
	job->input = run_input_new();
	r = run_signals_init(&job->signals);
	if (r < 0)
		return command_fail(EXIT_FAILED, "cannot wait for signals: %s", g_strerror(-r));
	r = begin(job);
	if (r == 0)
		r = make_copies(job, keys);
	return r == 0 ? edit(job) : r;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct edit_job job = { .signals = { .fd = -1 } };
	const GOptionEntry options[] = {
		{ "message", 'm', 0, G_OPTION_ARG_FILENAME, &job.message,
		  "Commit message, for the log and for those who conflict with it", "TEXT" },
		G_OPTION_ENTRY_NULL,
	};
	g_auto(GStrv) arguments = NULL;
	int exit_code;

	if (command_parse(command, options, NULL, 2, argc, argv, &arguments, &exit_code)) {
		job.point = arguments[0];
		exit_code = start(&job, arguments + 1);
		end(&job);
	}
	run_signals_done(&job.signals);
	run_input_free(job.input);
	mount_free(job.mount);
	txn_directory_free(job.txn);
	g_free(job.message);
	g_free(job.commit_text);
	g_free(job.idle_timeout);
	return exit_code;
}

const struct command edit_command = {
	.name = "edit",
	.arguments = "[options] MNT KEY...",
	.optional = G_MAXINT - 2,
	.summary = "Edit keys with your editor, as one commit",
	.description =
		"Opens each KEY in your editor (VISUAL, EDITOR or vi) and commits what you changed,\n"
		"all of it at once, when the editor has ended. A KEY that is not there is made, and\n"
		"so are directories for it. What was not changed is not committed.\n"
		"\n"
		"When others changed the same keys meanwhile, your work is kept: you are shown what\n"
		"they did, who and why, and can\n"
		"  rebase      commit yours as it is, in place of theirs\n"
		"  edit again  with what they changed merged in\n"
		"  drop        what you edited\n"
		"  keep        the transaction, for later; it says how to go on\n"
		"Where nobody can be asked, since standard input is no terminal, it is kept.\n"
		"\n"
		"The editor works on copies, so what it puts beside them (backups, swap files) is\n"
		"not in the store. When it fails, or a signal ends it, the copies are kept.\n"
		"\n"
		"Exit status: 0 when committed, or nothing was changed; 1 when the editor or a key\n"
		"failed; 75 when a conflict was kept or dropped; 128+N when signal N ended it.\n"
		"\n"
		"Examples:\n"
		"  commitfs edit /mnt app/port app/host\n"
		"  EDITOR='code --wait' commitfs edit -m 'new port' /mnt app/port",
	.run = run,
};
