/* users: what every user may do with every file of a mount, call by call.
 *
 *   users TABLE MNT USER...  checks TABLE (its head tells the format) on MNT, for the users
 *                            named by their letters; run it as root
 *
 * One process a user does the calls, this one makes the files and mends them after a call
 * that succeeded. What is not as it should be is a line on stderr; the last line is the
 * count of cells checked. Exit status: 1 when one was wrong. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
	USERS = 5,
	GROUP_S = 54310,
	STRANGER = 54399,
	MAX_PATH = 512,
	MAX_LINE = 1024,
	MAX_FILES = 16
};

static const struct user {
	char letter;
	uid_t uid;
	bool in_group;
	const char *transaction; /* of its own, or NULL */
} users[USERS] = {
	{ 'M', 65534, false, NULL }, { 'K', 54302, true, "txn/T" }, { 'G', 54303, true, "txn/TG" },
	{ 'O', 54304, false, NULL }, { 'R', 0, false, NULL },
};

static int sockets[USERS]; /* to the process of each user */
static char revision[32];  /* what REV stands for */
static int mount_fd;	   /* the mount: where all processes work */

static _Noreturn void die(const char *what, const char *on)
{
	fprintf(stderr, "users: cannot %s '%s': %s\n", what, on, strerror(errno));
	exit(64);
}

/* ---- Calls ---------------------------------------------------------------------- */

static int call_stat(const char *path)
{
	struct stat st;

	return lstat(path, &st);
}

static int call_readlink(const char *path)
{
	char link[MAX_PATH];

	return readlink(path, link, sizeof link) < 0 ? -1 : 0;
}

static int open_close(const char *path, int flags)
{
	int fd = open(path, flags | O_NONBLOCK, 0644);

	return fd < 0 ? -1 : close(fd);
}

static int call_open_r(const char *path)
{
	return open_close(path, O_RDONLY);
}

static int call_open_w(const char *path)
{
	return open_close(path, O_WRONLY);
}

static int call_open_rw(const char *path)
{
	return open_close(path, O_RDWR);
}

static int call_trunc(const char *path)
{
	return open_close(path, O_WRONLY | O_TRUNC);
}

static int call_create(const char *path)
{
	return open_close(path, O_WRONLY | O_CREAT);
}

static int call_list(const char *path)
{
	DIR *directory = opendir(path);
	int error;

	if (directory == NULL)
		return -1;
	errno = 0;
	while (readdir(directory) != NULL)
		;
	error = errno;
	closedir(directory);
	errno = error;
	return error == 0 ? 0 : -1;
}

static int call_chdir(const char *path)
{
	int result = chdir(path), error = errno;

	if (result == 0 && fchdir(mount_fd) < 0)
		die("go back to", "the mount");
	errno = error;
	return result;
}

static int call_mkdir(const char *path)
{
	return mkdir(path, 0755);
}

static int call_mknod(const char *path)
{
	return mknod(path, S_IFREG | 0644, 0);
}

static int call_mkfifo(const char *path)
{
	return mknod(path, S_IFIFO | 0644, 0);
}

static int call_symlink(const char *path)
{
	return symlink("nowhere", path);
}

static const char *beside(const char *path)
{
	static char other[MAX_PATH + 8];

	snprintf(other, sizeof other, "%.*s.beside", MAX_PATH, path);
	return other;
}

static int call_rename(const char *path)
{
	return rename(path, beside(path));
}

static int call_link(const char *path)
{
	return link(path, beside(path));
}

static int call_chmod(const char *path)
{
	return chmod(path, 0777);
}

static int call_chown(const char *path)
{
	return chown(path, STRANGER, (gid_t)-1);
}

static int call_chgrp(const char *path)
{
	return chown(path, (uid_t)-1, GROUP_S);
}

static int call_utimens(const char *path)
{
	struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };

	return utimensat(AT_FDCWD, path, times, 0);
}

static int call_touch(const char *path)
{
	return utimensat(AT_FDCWD, path, NULL, 0);
}

static int call_truncate(const char *path)
{
	return truncate(path, 0);
}

/* Of a name for which the kernel asks no permission, and which no file has: the answer
 * EOPNOTSUPP is the success that is looked for. */
static int call_getxattr(const char *path)
{
	char value[16];

	if (getxattr(path, "security.none", value, sizeof value) >= 0)
		errno = 0;
	return errno == EOPNOTSUPP ? 0 : -1;
}

static int call_access_r(const char *path)
{
	return access(path, R_OK);
}

static int call_access_w(const char *path)
{
	return access(path, W_OK);
}

static int call_access_x(const char *path)
{
	return access(path, X_OK);
}

static const struct call {
	const char *name;
	int (*run)(const char *path);
	bool changes; /* something is to be mended when it succeeded */
} calls[] = {
	{ "stat", call_stat, false },	      { "readlink", call_readlink, false },
	{ "open_r", call_open_r, false },     { "open_w", call_open_w, true },
	{ "open_rw", call_open_rw, true },    { "trunc", call_trunc, true },
	{ "create", call_create, true },      { "list", call_list, false },
	{ "chdir", call_chdir, false },	      { "mkdir", call_mkdir, true },
	{ "mknod", call_mknod, true },	      { "mkfifo", call_mkfifo, true },
	{ "symlink", call_symlink, true },    { "rmdir", rmdir, true },
	{ "unlink", unlink, true },	      { "rename", call_rename, true },
	{ "link", call_link, true },	      { "chmod", call_chmod, true },
	{ "chown", call_chown, true },	      { "chgrp", call_chgrp, true },
	{ "utimens", call_utimens, true },    { "touch", call_touch, true },
	{ "truncate", call_truncate, true },  { "getxattr", call_getxattr, false },
	{ "access_r", call_access_r, false }, { "access_w", call_access_w, false },
	{ "access_x", call_access_x, false },
};

enum { CALLS = sizeof calls / sizeof *calls };

/* ---- The processes of users ----------------------------------------------------- */

struct request {
	int call;
	char path[MAX_PATH];
};

static void become(const struct user *user)
{
	gid_t group = GROUP_S;

	if (setgroups(user->in_group ? 1 : 0, &group) < 0 || setgid(user->uid) < 0 ||
	    setuid(user->uid) < 0)
		die("become", "a user");
	umask(022);
}

static _Noreturn void serve(int socket)
{
	struct request request;

	while (recv(socket, &request, sizeof request, 0) > 0) {
		int result = calls[request.call].run(request.path) < 0 ? errno : 0;

		if (send(socket, &result, sizeof result, 0) < 0)
			break;
	}
	_exit(0);
}

static void start_users(void)
{
	for (int i = 0; i < USERS; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
			die("make", "a socket");
		sockets[i] = pair[0];
		if (fork() == 0) {
			for (int j = 0; j <= i; j++)
				close(sockets[j]);
			become(&users[i]);
			serve(pair[1]);
		}
		close(pair[1]);
	}
}

/* The errno of a call of `user`; 0: success. */
static int ask(int user, int call, const char *path)
{
	struct request request = { .call = call };
	int result;

	snprintf(request.path, sizeof request.path, "%s", path);
	if (send(sockets[user], &request, sizeof request, 0) < 0 ||
	    recv(sockets[user], &result, sizeof result, 0) != sizeof result)
		die("ask the process of user", (char[]){ users[user].letter, '\0' });
	return result;
}

static int call_named(const char *name)
{
	for (int i = 0; i < CALLS; i++) {
		if (strcmp(calls[i].name, name) == 0)
			return i;
	}
	return -1;
}

/* ---- Files ---------------------------------------------------------------------- */

static const struct fixture {
	const char *path;
	mode_t then, now; /* with the type; 0: not there (then: the same as now) */
} fixtures[] = {
	{ "keys/w", S_IFDIR | 0755, S_IFDIR | 0755 },
	{ "keys/w/f000", S_IFREG, S_IFREG },
	{ "keys/w/f044", S_IFREG | 0044, S_IFREG | 0044 },
	{ "keys/w/f444", S_IFREG | 0444, S_IFREG | 0444 },
	{ "keys/w/f600", S_IFREG | 0600, S_IFREG | 0600 },
	{ "keys/w/f604", S_IFREG | 0604, S_IFREG | 0604 },
	{ "keys/w/f640", S_IFREG | 0640, S_IFREG | 0640 },
	{ "keys/w/f660", S_IFREG | 0660, S_IFREG | 0660 },
	{ "keys/w/f666", S_IFREG | 0666, S_IFREG | 0666 },
	{ "keys/w/f750", S_IFREG | 0750, S_IFREG | 0750 },
	{ "keys/w/link", S_IFLNK | 0777, S_IFLNK | 0777 },
	{ "keys/w/empty", S_IFDIR | 0755, S_IFDIR | 0755 },
	{ "keys/w/d711", S_IFDIR | 0711, S_IFDIR | 0711 },
	{ "keys/w/d711/in", S_IFREG | 0666, S_IFREG | 0666 },
	{ "keys/w/d744", S_IFDIR | 0744, S_IFDIR | 0744 },
	{ "keys/w/d744/in", S_IFREG | 0666, S_IFREG | 0666 },
	{ "keys/w/d750", S_IFDIR | 0750, S_IFDIR | 0750 },
	{ "keys/w/d750/in", S_IFREG | 0666, S_IFREG | 0666 },
	{ "keys/w/d770", S_IFDIR | 0770, S_IFDIR | 0770 },
	{ "keys/w/d777", S_IFDIR | 0777, S_IFDIR | 0777 },
	{ "keys/w/d777/in", S_IFREG | 0666, S_IFREG | 0666 },
	{ "keys/w/d1777", S_IFDIR | 01777, S_IFDIR | 01777 },
	{ "keys/w/d1777/in", S_IFREG | 0666, S_IFREG | 0666 },
	{ "keys/w/closed", S_IFREG | 0644, S_IFREG | 0600 },
	{ "keys/w/opened", S_IFREG | 0600, S_IFREG | 0644 },
	{ "keys/w/gone", S_IFREG | 0644, 0 },
	{ "keys/w/gone600", S_IFREG | 0600, 0 },
	{ "keys/w/dclosed", S_IFDIR | 0755, S_IFDIR | 0700 },
	{ "keys/w/dclosed/in", S_IFREG | 0644, S_IFREG | 0644 },
	{ "keys/w/dopened", S_IFDIR | 0700, S_IFDIR | 0755 },
	{ "keys/w/dopened/in", S_IFREG | 0644, S_IFREG | 0644 },
	{ "keys/w/dgone", S_IFDIR | 0755, 0 },
	{ "keys/w/dgone/in", S_IFREG | 0644, 0 },
};

enum { FIXTURES = sizeof fixtures / sizeof *fixtures };

static void make_absent(const char *path, mode_t mode)
{
	if (S_ISDIR(mode) ? mkdir(path, 0700) < 0 :
	    S_ISLNK(mode) ? symlink("f640", path) < 0 :
			    mknod(path, S_IFREG | 0600, 0) < 0)
		die("make", path);
}

/* Makes a fixture what it should be, whatever was done to it. */
static void mend_fixture(const char *path, mode_t mode)
{
	const struct user *owner = &users[1];
	struct stat st;

	if (lstat(path, &st) < 0) {
		make_absent(path, mode);
		st = (struct stat){ 0 };
	}
	if ((st.st_uid != owner->uid || st.st_gid != GROUP_S) &&
	    lchown(path, owner->uid, GROUP_S) < 0)
		die("chown", path);
	if (!S_ISLNK(mode) && st.st_mode != mode && chmod(path, mode & 07777) < 0)
		die("chmod", path);
}

static void mend_fixtures(bool then)
{
	for (int i = 0; i < FIXTURES; i++) {
		mode_t mode = then ? fixtures[i].then : fixtures[i].now;

		if (mode != 0)
			mend_fixture(fixtures[i].path, mode);
	}
}

/* keys/ itself, as it was at the beginning. */
static void mend_top(void)
{
	static struct stat before;
	struct stat st;

	if (before.st_ino == 0 && stat("keys", &before) < 0)
		die("stat", "keys");
	if (stat("keys", &st) < 0)
		die("stat", "keys");
	if ((st.st_uid != before.st_uid || st.st_gid != before.st_gid) &&
	    chown("keys", before.st_uid, before.st_gid) < 0)
		die("chown", "keys");
	if (st.st_mode != before.st_mode && chmod("keys", before.st_mode & 07777) < 0)
		die("chmod", "keys");
}

static void mend_transactions(void)
{
	for (int i = 0; i < USERS; i++) {
		const char *name = users[i].transaction;
		int error;

		if (name == NULL)
			continue;
		rmdir(name);
		error = ask(i, call_named("mkdir"), name);
		if (error != 0) {
			errno = error;
			die("begin", name);
		}
	}
}

static void read_revision(void)
{
	FILE *file = fopen("revision", "r");

	if (file == NULL || fgets(revision, sizeof revision, file) == NULL)
		die("read", "revision");
	fclose(file);
	revision[strcspn(revision, "\n")] = '\0';
}

static void make_files(void)
{
	mend_top();
	mend_fixtures(true);
	read_revision();
	for (int i = FIXTURES - 1; i >= 0; i--) {
		if (fixtures[i].now == 0 && remove(fixtures[i].path) < 0)
			die("remove", fixtures[i].path);
	}
	mend_fixtures(false);
	if (mkdir("at/named", 0755) < 0 && errno != EEXIST)
		die("name", "at/named");
	mend_transactions();
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* After a call that succeeded: everything is as it was before. */
static void mend(const char *path, bool existed)
{
	rename(beside(path), path);
	if (!existed && unlink(path) < 0 && errno != ENOENT)
		rmdir(path);
	if (begins(path, "txn/T"))
		mend_transactions();
	if (strcmp(path, "at/named") == 0)
		mkdir(path, 0755);
	if (begins(path, "keys")) {
		mend_top();
		mend_fixtures(false);
	}
}

/* ---- The table ------------------------------------------------------------------ */

struct section {
	char text[MAX_LINE]; /* of its head, cut into the files */
	char *files[MAX_FILES];
	int file_count;
	char wanted[CALLS][USERS + 1]; /* a letter each; empty: not told */
};

static const char *chosen; /* letters of the users */
static long checked, wrong;

static bool is_wanted(char letter, int error)
{
	static const struct {
		char letter;
		int error;
	} known[] = {
		{ '.', 0 },	 { 'A', EACCES },    { 'P', EPERM },  { 'p', EPERM },
		{ 'p', EACCES }, { 'E', EEXIST },    { 'N', ENOENT }, { 'D', ENOTDIR },
		{ 'I', EISDIR }, { 'T', ENOTEMPTY }, { 'R', EROFS },  { 'V', EINVAL },
	};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		if (known[i].letter == letter && known[i].error == error)
			return true;
	}
	return letter == '*';
}

static bool mounted_by_root(void)
{
	struct stat st;

	return stat("control", &st) == 0 && st.st_uid == 0;
}

static void check_cell(const struct section *section, const char *path, int call, int user)
{
	int as = users[user].letter == 'M' && mounted_by_root() ? 3 : user;
	char wanted = section->wanted[call][as];
	struct stat st;
	bool existed = lstat(path, &st) == 0;
	int error = ask(user, call, path);

	checked += wanted != '*';
	if (!is_wanted(wanted, error)) {
		wrong++;
		fprintf(stderr, "%s %s of %c: expected %c, got %s\n", path, calls[call].name,
			users[user].letter, wanted, error ? strerrorname_np(error) : "success");
	}
	if (error == 0 && calls[call].changes)
		mend(path, existed);
}

/* The path with REV replaced. */
static const char *expand(const char *path)
{
	static char text[2 * MAX_PATH];
	const char *at = strstr(path, "/REV");

	if (at == NULL)
		return path;
	snprintf(text, sizeof text, "%.*s/%s%s", (int)(at - path), path, revision, at + 4);
	return text;
}

static void check_section(const struct section *section)
{
	for (int call = 0; section->file_count > 0 && call < CALLS; call++) {
		if (section->wanted[call][0] == '\0') {
			fprintf(stderr, "users: [%s] does not tell %s\n", section->files[0],
				calls[call].name);
			exit(64);
		}
		for (int file = 0; file < section->file_count; file++) {
			for (int user = 0; user < USERS; user++) {
				if (strchr(chosen, users[user].letter))
					check_cell(section, expand(section->files[file]), call,
						   user);
			}
		}
	}
}

static void begin_section(struct section *section, const char *line)
{
	char *rest = section->text, *file;

	*section = (struct section){ 0 };
	snprintf(section->text, sizeof section->text, "%.*s", (int)strcspn(line + 1, "]"),
		 line + 1);
	while ((file = strsep(&rest, " ")) != NULL && section->file_count < MAX_FILES)
		section->files[section->file_count++] = file;
}

static void add_line(struct section *section, char *line)
{
	char *wanted = strchr(line, ':'), *rest = line, *name;

	if (wanted == NULL || strspn(wanted + 1, " .APpENDITRV*") < USERS) {
		fprintf(stderr, "users: a bad line: %s\n", line);
		exit(64);
	}
	*wanted++ = '\0';
	wanted += strspn(wanted, " ");
	while ((name = strsep(&rest, " ")) != NULL) {
		int call = call_named(name);

		if (*name == '\0')
			continue;
		if (call < 0 || section->wanted[call][0]) {
			fprintf(stderr, "users: [%s] tells %s twice, or it is no call\n",
				section->files[0], name);
			exit(64);
		}
		snprintf(section->wanted[call], USERS + 1, "%.*s", USERS, wanted);
	}
}

static void check_table(FILE *table)
{
	struct section section = { 0 };
	char line[MAX_LINE];

	while (fgets(line, sizeof line, table) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#' || line[0] == '\0')
			continue;
		if (line[0] == '[') {
			check_section(&section);
			begin_section(&section, line);
		} else {
			add_line(&section, line);
		}
	}
	check_section(&section);
}

int main(int argc, char **argv)
{
	FILE *table;

	if (argc != 4) {
		fputs("usage: users TABLE MNT USERS\n", stderr);
		return 64;
	}
	table = fopen(argv[1], "r");
	if (table == NULL || chdir(argv[2]) < 0)
		die("use", table ? argv[2] : argv[1]);
	chosen = argv[3];
	mount_fd = open(".", O_PATH | O_CLOEXEC);
	umask(022);
	start_users();
	make_files();
	check_table(table);
	printf("%ld cells checked, %ld wrong\n", checked, wrong);
	return wrong > 0;
}
