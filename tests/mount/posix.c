/* Calls of several users on two directories at once, one of an ordinary filesystem and one of
 * a mount: they must answer the same and leave the same behind.
 *
 *   posix [--view] FSOP CALLS REFERENCE SUBJECT
 *   posix --same REFERENCE SUBJECT             compares what is there, but for times
 *
 * CALLS is a file of cases. Each begins with a line `case: TEXT`, in an empty directory of
 * mode 0755 of root in both trees, which stays; then a call a line, in words of fsop:
 *
 *   USER CALL ARGUMENT... [-> ANSWER [| OTHER]]
 *
 * USER is root, ann, bob, or clerk (ann in the group staff). ANSWER is what both must say: the
 * name of an errno; without it `ok`, or whatever is no errno; OTHER is what the subject says
 * where it differs by its contract, and from then on nothing but answers is compared in that
 * case. After each call whatever can be seen is compared: names, types, modes, owners,
 * sizes, values, whether mtime and ctime moved (times before 2020: what they are). A line that
 * begins with `-` is compared together with the next that does not; `times differ` as a line
 * leaves out times, up to the end of the case.
 *
 * In arguments, :ann, :bob, :staff and :root are their numbers, :keep is -1, @N is a name of N
 * bytes, @N/NAME a path of N bytes that leads to NAME.
 *
 * Run by an ordinary user, all are that user. A directory of a case that is there already, from
 * an earlier run, is gone on with.
 *
 * --view: the subject is within a transaction, where times of directories do not move. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_WORDS = 16, MAX_SHOWN = 20, SHOWN_BYTES = 80, SET_BEFORE = 1577836800 };
enum { ROOT = 0, ANN = 54321, BOB = 54322, STAFF = 54330, KEEP = -1 };

static const struct user {
	const char *name;
	uid_t uid;
	gid_t group; /* one more than its own; 0: none */
} users[] = {
	{ "root", ROOT, 0 },
	{ "ann", ANN, 0 },
	{ "bob", BOB, 0 },
	{ "clerk", ANN, STAFF },
};

enum { USERS = G_N_ELEMENTS(users) };

/* An fsop that runs as a user, with the directory of the case as its working directory. */
struct worker {
	pid_t pid; /* 0: none yet */
	FILE *in, *out;
};

struct tree {
	const char *name, *path;
	bool is_view;
	int top;	   /* descriptors: of the tree, of the directory of the case */
	int directory;	   /* -1: no case has begun */
	GHashTable *files; /* guint64 inode -> struct file, as it was last seen */
	struct worker workers[USERS];
};

/* What was seen of a file last. */
struct file {
	guint64 ino;
	struct timespec mtime, ctime;
};

enum { REFERENCE, SUBJECT, TREES };

static struct tree trees[TREES];
static const char *fsop, *calls;

static unsigned line_number, cases, made, differing;
static char *case_name;
static bool compares, compares_times; /* in this case, from now on */

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "posix: %s:%u: %s: %s\n", calls, line_number, what, strerror(errno));
	exit(2);
}

static _Noreturn void bad_line(const char *what)
{
	fprintf(stderr, "posix: %s:%u: %s\n", calls, line_number, what);
	exit(64);
}

static void differs(const char *line, const char *what)
{
	if (++differing <= MAX_SHOWN)
		printf("%s:%u: case '%s': %s: %s\n", calls, line_number, case_name, line, what);
}

/* ---- Workers --------------------------------------------------------------------- */

/* Whoever is not root stays who he is. */
static bool become(const struct user *user)
{
	if (geteuid() != ROOT)
		return true;
	return setgroups(user->group ? 1 : 0, &user->group) == 0 &&
	       setresgid(user->uid, user->uid, user->uid) == 0 &&
	       setresuid(user->uid, user->uid, user->uid) == 0;
}

static _Noreturn void run_worker(const struct tree *tree, const struct user *user, int in, int out)
{
	signal(SIGPIPE, SIG_DFL);
	umask(022);
	if (fchdir(tree->directory) < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || !become(user))
		_exit(126);
	execl(fsop, "fsop", "-i", NULL);
	_exit(127);
}

static void worker_start(const struct tree *tree, const struct user *user, struct worker *worker)
{
	int to[2], from[2];

	if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0)
		die("pipe");
	worker->pid = fork();
	if (worker->pid < 0)
		die("fork");
	if (worker->pid == 0)
		run_worker(tree, user, to[0], from[1]);
	close(to[0]);
	close(from[1]);
	worker->in = fdopen(to[1], "w");
	worker->out = fdopen(from[0], "r");
}

static void worker_end(struct worker *worker)
{
	if (worker->pid == 0)
		return;
	fclose(worker->in);
	fclose(worker->out);
	waitpid(worker->pid, NULL, 0);
	*worker = (struct worker){ 0 };
}

/* What the call answers; the caller frees it. `words`: the call and its arguments. */
static char *ask(struct tree *tree, size_t user, char **words)
{
	struct worker *worker = &tree->workers[user];
	g_autofree char *line = g_strjoinv("\t", words);
	char answer[1 << 17];

	if (worker->pid == 0)
		worker_start(tree, &users[user], worker);
	fprintf(worker->in, "%s\n", line);
	fflush(worker->in);
	if (!fgets(answer, sizeof(answer), worker->out))
		bad_line("fsop has ended");
	return g_strdup(g_strchomp(answer));
}

/* ---- What can be seen ------------------------------------------------------------ */

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* A time that was set is told; of others, whether they moved. */
static void show_time(GString *text, const char *name, const struct timespec *now,
		      const struct timespec *before)
{
	if (now->tv_sec < SET_BEFORE)
		g_string_append_printf(text, " %s=%lld", name, (long long)now->tv_sec);
	else if (!before || !same_time(now, before))
		g_string_append_printf(text, " %s moved", name);
}

static void show_times(struct tree *tree, GString *text, const struct stat *st, GHashTable *seen)
{
	const struct file *before = g_hash_table_lookup(tree->files, &st->st_ino);
	struct file *now = g_new(struct file, 1);

	*now = (struct file){ st->st_ino, st->st_mtim, st->st_ctim };
	g_hash_table_replace(seen, &now->ino, now);
	if (!compares_times || (trees[SUBJECT].is_view && S_ISDIR(st->st_mode)))
		return;
	show_time(text, "mtime", &st->st_mtim, before ? &before->mtime : NULL);
	show_time(text, "ctime", &st->st_ctim, before ? &before->ctime : NULL);
}

static void show_value(GString *text, int directory, const char *name, bool is_link)
{
	char bytes[SHOWN_BYTES + 1] = "";
	g_autofree char *escaped = NULL;
	int fd;

	if (is_link) {
		(void)!readlinkat(directory, name, bytes, SHOWN_BYTES);
	} else {
		fd = openat(directory, name, O_RDONLY);
		if (fd < 0 || read(fd, bytes, SHOWN_BYTES) < 0)
			g_string_append_printf(text, " unreadable: %s", strerror(errno));
		close(fd);
	}
	escaped = g_strescape(bytes, NULL);
	g_string_append_printf(text, " '%s'", escaped);
}

static gint by_name(gconstpointer a, gconstpointer b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char **names_in(int directory)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();
	DIR *dir = fdopendir(dup(directory));
	const struct dirent *entry;

	if (!dir)
		die("fdopendir");
	rewinddir(dir);
	while ((entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			g_ptr_array_add(names, g_strdup(entry->d_name));
	closedir(dir);
	g_ptr_array_sort(names, by_name);
	g_ptr_array_add(names, NULL);
	return (char **)g_ptr_array_steal(names, NULL);
}

static void show_below(struct tree *tree, GString *text, int directory, const char *path,
		       GHashTable *seen);

static void show_entry(struct tree *tree, GString *text, int directory, const char *name,
		       const char *path, GHashTable *seen)
{
	struct stat st;
	int below;

	if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		g_string_append_printf(text, "%s: %s\n", path, strerror(errno));
		return;
	}
	g_string_append_printf(text, "%s: %06o %u:%u", path, st.st_mode, st.st_uid, st.st_gid);
	if (!S_ISDIR(st.st_mode))
		g_string_append_printf(text, " %lld bytes, %lu names", (long long)st.st_size,
				       (unsigned long)st.st_nlink);
	if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))
		show_value(text, directory, name, S_ISLNK(st.st_mode));
	show_times(tree, text, &st, seen);
	g_string_append_c(text, '\n');
	if (!S_ISDIR(st.st_mode))
		return;
	below = openat(directory, name, O_RDONLY | O_DIRECTORY);
	if (below < 0)
		g_string_append_printf(text, "%s: cannot be listed: %s\n", path, strerror(errno));
	else
		show_below(tree, text, below, path, seen);
	close(below);
}

static void show_below(struct tree *tree, GString *text, int directory, const char *path,
		       GHashTable *seen)
{
	g_auto(GStrv) names = names_in(directory);

	for (char **name = names; *name; name++) {
		g_autofree char *below = g_strdup_printf("%s/%s", path, *name);

		show_entry(tree, text, directory, *name, below, seen);
	}
}

/* All that can be seen below the directory of the case, and that itself, as text. */
static char *show(struct tree *tree)
{
	GHashTable *seen = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
	GString *text = g_string_new("");

	show_entry(tree, text, tree->directory, ".", ".", seen);
	g_hash_table_unref(tree->files);
	tree->files = seen;
	return g_string_free(text, FALSE);
}

/* A clock of whole ticks must have moved since `then` before the next call is made. */
static void wait_for_clock(const struct timespec *then)
{
	struct timespec now, pause = { .tv_nsec = 500000 };

	while (clock_gettime(CLOCK_REALTIME_COARSE, &now), same_time(then, &now))
		nanosleep(&pause, NULL);
}

/* The first line of each that the other does not have there. */
static char *first_difference(const char *reference, const char *subject)
{
	g_auto(GStrv) left = g_strsplit(reference, "\n", -1);
	g_auto(GStrv) right = g_strsplit(subject, "\n", -1);
	int i = 0;

	while (left[i] && right[i] && strcmp(left[i], right[i]) == 0)
		i++;
	return g_strdup_printf("leaves\n  %s\n  but on the mount\n  %s", left[i] ? left[i] : "",
			       right[i] ? right[i] : "");
}

static void compare_trees(const char *line)
{
	g_autofree char *reference = NULL, *subject = NULL;
	struct timespec then;

	clock_gettime(CLOCK_REALTIME_COARSE, &then);
	reference = show(&trees[REFERENCE]);
	subject = show(&trees[SUBJECT]);
	wait_for_clock(&then);
	if (strcmp(reference, subject) != 0) {
		g_autofree char *what = first_difference(reference, subject);

		differs(line, what);
	}
}

/* ---- Lines ----------------------------------------------------------------------- */

/* A path of so many bytes to `name`: "./" again and again. */
static char *long_path(size_t bytes, const char *name)
{
	GString *path = g_string_new("");
	size_t before = bytes - strlen(name);

	while (path->len + 2 <= before)
		g_string_append(path, "./");
	if (path->len < before)
		g_string_append(path, "/");
	g_string_append(path, name);
	return g_string_free(path, FALSE);
}

static char *expand(const char *word)
{
	static const struct {
		const char *name;
		int number;
	} numbers[] = { { ":root", ROOT },
			{ ":ann", ANN },
			{ ":bob", BOB },
			{ ":staff", STAFF },
			{ ":keep", KEEP } };
	char *end;

	for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++)
		if (strcmp(word, numbers[i].name) == 0)
			return g_strdup_printf("%d", numbers[i].number);
	if (*word == '@') {
		size_t bytes = strtoul(word + 1, &end, 10);

		return *end == '/' ? long_path(bytes, end + 1) : g_strnfill(bytes, 'n');
	}
	return g_strdup(strcmp(word, "''") == 0 ? "" : word);
}

struct call {
	size_t user;
	char **words;	      /* the call and its arguments */
	char *answers[TREES]; /* NULL: whatever is no errno */
	bool compared_later;
};

/* '' is nothing at all. */
static char *take_word(char *text)
{
	return g_strdup(strcmp(g_strstrip(text), "''") == 0 ? "" : text);
}

static void take_answers(struct call *call, char *text)
{
	char *other = strstr(text, " | ");

	if (other)
		*other = '\0';
	call->answers[REFERENCE] = take_word(text);
	call->answers[SUBJECT] = take_word(other ? other + 3 : text);
}

static size_t find_user(const char *name)
{
	for (size_t i = 0; i < USERS; i++)
		if (strcmp(users[i].name, name) == 0)
			return i;
	bad_line("no such user");
}

static void take_call(struct call *call, const char *text)
{
	g_autofree char *line = g_strdup(text);
	g_autoptr(GPtrArray) words = g_ptr_array_new();
	char *answers = strstr(line, " -> "), *rest = line, *word;

	*call = (struct call){ .user = USERS };
	if (answers) {
		*answers = '\0';
		take_answers(call, answers + 4);
	}
	while ((word = strsep(&rest, " \t")) != NULL) {
		if (*word == '\0')
			continue;
		if (strcmp(word, "-") == 0 && call->user == USERS)
			call->compared_later = true;
		else if (call->user == USERS)
			call->user = find_user(word);
		else
			g_ptr_array_add(words, expand(word));
	}
	if (words->len == 0)
		bad_line("no call");
	g_ptr_array_add(words, NULL);
	call->words = (char **)g_ptr_array_steal(words, NULL);
}

static void call_clear(struct call *call)
{
	g_strfreev(call->words);
	g_free(call->answers[REFERENCE]);
	g_free(call->answers[SUBJECT]);
}

static bool is_errno(const char *answer)
{
	return *answer == 'E' &&
	       strspn(answer, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == strlen(answer);
}

static void check_answer(const char *line, const char *where, const char *wanted, const char *got)
{
	g_autofree char *what = NULL;

	if (wanted ? strcmp(wanted, "any") == 0 || strcmp(wanted, got) == 0 : !is_errno(got))
		return;
	what = g_strdup_printf("answers %s on the %s, not %s", got, where, wanted ? wanted : "ok");
	differs(line, what);
}

/* From a call that one of them refuses they are not the same. */
static bool parts_them(const struct call *call)
{
	const char *reference = call->answers[REFERENCE], *subject = call->answers[SUBJECT];

	return reference && strcmp(reference, subject) != 0 &&
	       (is_errno(reference) || is_errno(subject));
}

static void run_call(const char *line)
{
	char *got[TREES];
	struct call call;

	if (trees[REFERENCE].directory < 0)
		bad_line("no case has begun");
	take_call(&call, line);
	for (int i = 0; i < TREES; i++) {
		got[i] = ask(&trees[i], call.user, call.words);
		check_answer(line, trees[i].name, call.answers[i], got[i]);
	}
	made++;
	if (!call.answers[REFERENCE] && strcmp(got[REFERENCE], got[SUBJECT]) != 0) {
		g_autofree char *what = g_strdup_printf("answers '%s', on the mount '%s'",
							got[REFERENCE], got[SUBJECT]);

		differs(line, what);
	}
	if (parts_them(&call))
		compares = false;
	if (compares && !call.compared_later)
		compare_trees(line);
	for (int i = 0; i < TREES; i++)
		g_free(got[i]);
	call_clear(&call);
}

/* What has parted goes, so that what remains of all cases is the same. */
static void remove_case(const struct tree *tree)
{
	g_autofree char *path = g_strdup_printf("%s/case-%u", tree->path, cases);
	const char *command[] = { "rm", "-rf", path, NULL };
	int status = 0;

	if (!g_spawn_sync(NULL, (char **)command, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL,
			  &status, NULL) ||
	    status != 0)
		differs("rm -rf", "failed");
}

static void end_case(struct tree *tree)
{
	for (size_t i = 0; i < USERS; i++)
		worker_end(&tree->workers[i]);
	if (tree->directory < 0)
		return;
	close(tree->directory);
	tree->directory = -1;
	if (!compares)
		remove_case(tree);
}

static void begin_case(const char *name)
{
	g_autofree char *directory = NULL;

	for (int i = 0; i < TREES; i++)
		end_case(&trees[i]);
	directory = g_strdup_printf("case-%u", ++cases);
	g_free(case_name);
	case_name = g_strdup(name);
	compares = compares_times = true;
	for (int i = 0; i < TREES; i++) {
		struct tree *tree = &trees[i];

		if (mkdirat(tree->top, directory, 0755) < 0 && errno != EEXIST)
			die(directory);
		tree->directory = openat(tree->top, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (tree->directory < 0)
			die(directory);
	}
	compare_trees("its beginning");
}

static void run_line(char *line)
{
	g_strstrip(line);
	if (g_str_has_prefix(line, "case: "))
		begin_case(line + strlen("case: "));
	else if (strcmp(line, "times differ") == 0)
		compares_times = false;
	else if (*line != '\0' && *line != '#')
		run_call(line);
}

static void open_tree(struct tree *tree, const char *name, const char *path)
{
	*tree = (struct tree){ .name = name, .path = path, .directory = -1 };
	tree->files = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
	tree->top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (tree->top < 0)
		die(path);
}

static void open_trees(char **paths)
{
	open_tree(&trees[REFERENCE], "reference", paths[REFERENCE]);
	open_tree(&trees[SUBJECT], "mount", paths[SUBJECT]);
}

static int compare_only(char **paths)
{
	open_trees(paths);
	calls = paths[SUBJECT];
	case_name = g_strdup("all");
	for (int i = 0; i < TREES; i++)
		trees[i].directory = trees[i].top;
	compare_trees("the whole");
	return differing > 0;
}

static void run_file(void)
{
	FILE *file = fopen(calls, "r");
	char line[4096];

	if (!file)
		die("open");
	for (line_number = 1; fgets(line, sizeof(line), file); line_number++)
		run_line(line);
	fclose(file);
	for (int i = 0; i < TREES; i++)
		end_case(&trees[i]);
}

int main(int argc, char **argv)
{
	bool is_view = argc > 1 && strcmp(argv[1], "--view") == 0;

	if (argc == 4 && strcmp(argv[1], "--same") == 0)
		return compare_only(argv + 2);
	if (argc != 5 + is_view) {
		fprintf(stderr, "posix: [--view] FSOP CALLS REFERENCE SUBJECT\n");
		return 64;
	}
	argv += is_view;
	fsop = argv[1];
	calls = argv[2];
	umask(022);
	signal(SIGPIPE, SIG_IGN);
	open_trees(argv + 3);
	trees[SUBJECT].is_view = is_view;
	run_file();
	printf("%u cases, %u calls, %u differences\n", cases, made, differing);
	return differing > 0;
}
