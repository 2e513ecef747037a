/* fsop: system calls from the command line, one at a time, with their exact errno.
 *
 *   fsop OP ARG... [: OP ARG...]...   runs them in turn, stops at the first that fails
 *   fsop -i                           one operation a line on stdin, fields separated by
 *                                     TAB, one line of answer each
 *
 * What is answered: the errno's name for a failure, what was asked for (content escaped as
 * in C), or `ok`. The exit status is 1 after a failure. Files that are opened live in numbered
 * slots, so that one process can hold several at once and tests can look at the mount between
 * any two calls. */
#define _GNU_SOURCE
#include "fsop_pass.h"
#include "fsop_posix.h"
#include "fsop_words.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { MAX_ARGS = 16, MAX_READ = 32 << 20 };

/* Files */

static int op_open(char **args)
{
	int *slot = arg_slot(args, 0);

	*slot = open(arg_text(args, 1), arg_flags(args, 2), arg_octal(args, 3, 0666));
	return *slot < 0 ? -errno : 0;
}

static int op_close(char **args)
{
	return close(*arg_slot(args, 0)) < 0 ? -errno : 0;
}

static int op_dup(char **args)
{
	int *to = arg_slot(args, 1);

	*to = dup(*arg_slot(args, 0));
	return *to < 0 ? -errno : 0;
}

static int read_from(int fd, size_t length, off_t offset)
{
	char *buffer = malloc(length);
	size_t have = 0;
	int result = 0;

	if (buffer == NULL)
		return -ENOMEM;
	while (have < length) {
		ssize_t n = offset < 0 ?
				    read(fd, buffer + have, length - have) :
				    pread(fd, buffer + have, length - have, offset + (off_t)have);

		if (n < 0)
			result = -errno;
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	if (result == 0)
		print_escaped(buffer, have);
	free(buffer);
	return result;
}

/* read SLOT [LENGTH]: up to the end of the file */
static int op_read(char **args)
{
	int fd = *arg_slot(args, 0);

	return read_from(fd, args[1] ? (size_t)arg_number(args, 1) : 1 << 20, -1);
}

static int op_pread(char **args)
{
	int fd = *arg_slot(args, 0);

	return read_from(fd, (size_t)arg_number(args, 2), arg_number(args, 1));
}

/* One write(2); a short one is a failure of its own. */
static int write_once(int fd, const char *bytes, size_t length, off_t offset)
{
	ssize_t n = offset < 0 ? write(fd, bytes, length) : pwrite(fd, bytes, length, offset);

	if (n < 0)
		return -errno;
	return (size_t)n == length ? 0 : -EPROTO;
}

static int op_write(char **args)
{
	const char *text = arg_text(args, 1);

	return write_once(*arg_slot(args, 0), text, strlen(text), -1);
}

/* line SLOT TEXT: with a newline, in one write(2) */
static int op_line(char **args)
{
	char line[1 << 16];
	int n = snprintf(line, sizeof line, "%s\n", arg_text(args, 1));

	return write_once(*arg_slot(args, 0), line, (size_t)n, -1);
}

static int op_pwrite(char **args)
{
	const char *text = arg_text(args, 2);

	return write_once(*arg_slot(args, 0), text, strlen(text), arg_number(args, 1));
}

/* fill SLOT COUNT [BYTE]: so many bytes in one write(2); noise, which no store can compress,
 * unless a byte is given */
static int op_fill(char **args)
{
	static uint64_t noise = 0x9e3779b97f4a7c15;
	size_t length = (size_t)arg_number(args, 1);
	char *bytes = malloc(length + 1);
	int result;

	if (bytes == NULL)
		return -ENOMEM;
	noise += (uint64_t)getpid() << 32;
	for (size_t i = 0; i < length; i++) {
		noise ^= noise << 13;
		noise ^= noise >> 7;
		noise ^= noise << 17;
		bytes[i] = args[2] ? args[2][0] : (char)noise;
	}
	result = write_once(*arg_slot(args, 0), bytes, length, -1);
	free(bytes);
	return result;
}

static int op_lseek(char **args)
{
	static const struct {
		const char *name;
		int whence;
	} known[] = { { "set", SEEK_SET },
		      { "cur", SEEK_CUR },
		      { "end", SEEK_END },
		      { "data", SEEK_DATA },
		      { "hole", SEEK_HOLE } };
	const char *name = arg_text(args, 2);

	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		off_t at;

		if (strcmp(known[i].name, name) != 0)
			continue;
		at = lseek(*arg_slot(args, 0), arg_number(args, 1), known[i].whence);
		if (at < 0)
			return -errno;
		print_number(at);
		return 0;
	}
	usage(name);
}

static int op_fsync(char **args)
{
	return fsync(*arg_slot(args, 0)) < 0 ? -errno : 0;
}

static int op_fdatasync(char **args)
{
	return fdatasync(*arg_slot(args, 0)) < 0 ? -errno : 0;
}

static int op_ftruncate(char **args)
{
	return ftruncate(*arg_slot(args, 0), arg_number(args, 1)) < 0 ? -errno : 0;
}

static int op_fallocate(char **args)
{
	int mode = args[2] ? FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE : 0;

	return fallocate(*arg_slot(args, 0), mode, 0, arg_number(args, 1)) < 0 ? -errno : 0;
}

static int op_fchmod(char **args)
{
	return fchmod(*arg_slot(args, 0), (mode_t)arg_octal(args, 1, 0)) < 0 ? -errno : 0;
}

static int op_fchown(char **args)
{
	return fchown(*arg_slot(args, 0), (uid_t)arg_number(args, 1), (gid_t)arg_number(args, 2)) <
			       0 ?
		       -errno :
		       0;
}

static int op_futimens(char **args)
{
	struct timespec times[2] = { { .tv_sec = arg_number(args, 1) },
				     { .tv_sec = arg_number(args, 1) } };

	return futimens(*arg_slot(args, 0), times) < 0 ? -errno : 0;
}

/* mmap SLOT shared|private [w] */
static int op_mmap(char **args)
{
	int how = strcmp(arg_text(args, 1), "shared") == 0 ? MAP_SHARED : MAP_PRIVATE;
	int prot = args[2] ? PROT_READ | PROT_WRITE : PROT_READ;
	void *at = mmap(NULL, 4096, prot, how, *arg_slot(args, 0), 0);

	if (at == MAP_FAILED)
		return -errno;
	print_escaped(at, strnlen(at, 64));
	munmap(at, 4096);
	return 0;
}

/* copy SLOT SLOT LENGTH: copy_file_range(2) */
static int op_copy(char **args)
{
	ssize_t n = copy_file_range(*arg_slot(args, 0), NULL, *arg_slot(args, 1), NULL,
				    (size_t)arg_number(args, 2), 0);

	if (n < 0)
		return -errno;
	print_number(n);
	return 0;
}

static int op_sendfile(char **args)
{
	ssize_t n =
		sendfile(*arg_slot(args, 1), *arg_slot(args, 0), NULL, (size_t)arg_number(args, 2));

	if (n < 0)
		return -errno;
	print_number(n);
	return 0;
}

/* poll SLOT MILLISECONDS: `ready` or `nothing` */
static int op_poll(char **args)
{
	struct pollfd entry = { .fd = *arg_slot(args, 0), .events = POLLIN | POLLPRI };
	int n = poll(&entry, 1, (int)arg_number(args, 1));

	if (n < 0)
		return -errno;
	answered = true;
	puts(n > 0 ? "ready" : "nothing");
	return 0;
}

/* What a file is */

static int print_stat(const struct stat *st, const char *fields)
{
	char text[256];

	snprintf(text, sizeof text, "%s", fields);
	answered = true;
	for (char *rest = text, *word; (word = strsep(&rest, ",")) != NULL;) {
		if (strcmp(word, "size") == 0)
			printf("%lld", (long long)st->st_size);
		else if (strcmp(word, "ino") == 0)
			printf("%llu", (unsigned long long)st->st_ino);
		else if (strcmp(word, "mode") == 0)
			printf("%04o", st->st_mode & 07777);
		else if (strcmp(word, "type") == 0)
			printf("%s", S_ISREG(st->st_mode) ? "file" :
				     S_ISDIR(st->st_mode) ? "dir" :
				     S_ISLNK(st->st_mode) ? "link" :
							    "other");
		else if (strcmp(word, "uid") == 0)
			printf("%u", st->st_uid);
		else if (strcmp(word, "gid") == 0)
			printf("%u", st->st_gid);
		else if (strcmp(word, "nlink") == 0)
			printf("%llu", (unsigned long long)st->st_nlink);
		else if (strcmp(word, "blocks") == 0)
			printf("%lld", (long long)st->st_blocks);
		else if (strcmp(word, "blksize") == 0)
			printf("%lld", (long long)st->st_blksize);
		else if (strcmp(word, "mtime") == 0)
			printf("%lld.%09ld", (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
		else
			usage(word);
		putchar(rest ? ' ' : '\n');
	}
	return 0;
}

static int op_stat(char **args)
{
	struct stat st;

	if (stat(arg_text(args, 0), &st) < 0)
		return -errno;
	return args[1] ? print_stat(&st, args[1]) : 0;
}

static int op_lstat(char **args)
{
	struct stat st;

	if (lstat(arg_text(args, 0), &st) < 0)
		return -errno;
	return args[1] ? print_stat(&st, args[1]) : 0;
}

static int op_fstat(char **args)
{
	struct stat st;

	if (fstat(*arg_slot(args, 0), &st) < 0)
		return -errno;
	return args[1] ? print_stat(&st, args[1]) : 0;
}

static int op_statfs(char **args)
{
	struct statvfs fs;

	if (statvfs(arg_text(args, 0), &fs) < 0)
		return -errno;
	answered = true;
	printf("%lu %lu %llu %llu %llu\n", fs.f_namemax, fs.f_bsize,
	       (unsigned long long)fs.f_blocks, (unsigned long long)fs.f_bfree,
	       (unsigned long long)fs.f_bavail);
	return 0;
}

static int op_access(char **args)
{
	const char *how = arg_text(args, 1);
	int mode = (strchr(how, 'r') ? R_OK : 0) | (strchr(how, 'w') ? W_OK : 0) |
		   (strchr(how, 'x') ? X_OK : 0);

	return access(arg_text(args, 0), mode) < 0 ? -errno : 0;
}

/* Names */

static int op_mkdir(char **args)
{
	return mkdir(arg_text(args, 0), (mode_t)arg_octal(args, 1, 0777)) < 0 ? -errno : 0;
}

static int op_rmdir(char **args)
{
	return rmdir(arg_text(args, 0)) < 0 ? -errno : 0;
}

static int op_unlink(char **args)
{
	return unlink(arg_text(args, 0)) < 0 ? -errno : 0;
}

/* rename FROM TO [noreplace|exchange] */
static int op_rename(char **args)
{
	const char *from = arg_text(args, 0), *to = arg_text(args, 1);
	unsigned int flags = 0;

	if (args[2] != NULL)
		flags = strcmp(args[2], "exchange") == 0 ? RENAME_EXCHANGE : RENAME_NOREPLACE;
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, flags) < 0 ? -errno : 0;
}

static int op_link(char **args)
{
	return link(arg_text(args, 0), arg_text(args, 1)) < 0 ? -errno : 0;
}

static int op_symlink(char **args)
{
	return symlink(arg_text(args, 0), arg_text(args, 1)) < 0 ? -errno : 0;
}

static int op_readlink(char **args)
{
	char target[8192];
	ssize_t n = readlink(arg_text(args, 0), target, sizeof target);

	if (n < 0)
		return -errno;
	print_escaped(target, (size_t)n);
	return 0;
}

/* mknod PATH fifo|socket|char|block|file */
static int op_mknod(char **args)
{
	const char *type = arg_text(args, 1);
	mode_t mode = strcmp(type, "fifo") == 0	  ? S_IFIFO :
		      strcmp(type, "socket") == 0 ? S_IFSOCK :
		      strcmp(type, "char") == 0	  ? S_IFCHR :
		      strcmp(type, "block") == 0  ? S_IFBLK :
						    S_IFREG;

	return mknod(arg_text(args, 0), mode | 0644, makedev(1, 3)) < 0 ? -errno : 0;
}

static int op_truncate(char **args)
{
	return truncate(arg_text(args, 0), arg_number(args, 1)) < 0 ? -errno : 0;
}

static int op_chmod(char **args)
{
	return chmod(arg_text(args, 0), (mode_t)arg_octal(args, 1, 0)) < 0 ? -errno : 0;
}

static int op_chown(char **args)
{
	return lchown(arg_text(args, 0), (uid_t)arg_number(args, 1), (gid_t)arg_number(args, 2)) <
			       0 ?
		       -errno :
		       0;
}

/* utimens PATH SECONDS [NANOSECONDS] */
static int op_utimens(char **args)
{
	const char *path = arg_text(args, 0);
	struct timespec when = { .tv_sec = arg_number(args, 1),
				 .tv_nsec = args[2] ? (long)arg_number(args, 2) : 0 };
	struct timespec times[2] = { when, when };

	return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int op_setxattr(char **args)
{
	const char *value = arg_text(args, 2);

	return setxattr(args[0], args[1], value, strlen(value), 0) < 0 ? -errno : 0;
}

static int op_getxattr(char **args)
{
	char value[1024];

	return getxattr(arg_text(args, 0), arg_text(args, 1), value, sizeof value) < 0 ? -errno : 0;
}

static int op_listxattr(char **args)
{
	char names[1024];
	ssize_t n = listxattr(arg_text(args, 0), names, sizeof names);

	if (n < 0)
		return -errno;
	print_number(n);
	return 0;
}

static int op_removexattr(char **args)
{
	return removexattr(arg_text(args, 0), arg_text(args, 1)) < 0 ? -errno : 0;
}

/* list DIR: the names in the order they come, separated by blanks */
static int op_list(char **args)
{
	DIR *dir = opendir(arg_text(args, 0));
	struct dirent *entry;
	char names[1 << 16];
	size_t used = 0;
	int result;

	if (dir == NULL)
		return -errno;
	errno = 0;
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? " " : "",
					 entry->d_name);
		if (used >= sizeof names)
			usage("the listing is too long");
		errno = 0;
	}
	result = -errno;
	closedir(dir);
	if (result == 0)
		print_escaped(names, used);
	return result;
}

/* The process */

static int op_chdir(char **args)
{
	return chdir(arg_text(args, 0)) < 0 ? -errno : 0;
}

static int op_umask(char **args)
{
	umask((mode_t)arg_octal(args, 0, 022));
	return 0;
}

static int op_sleep(char **args)
{
	long long ms = arg_number(args, 0);
	struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
	return 0;
}

static int op_pid(char **args)
{
	(void)args;
	print_number(getpid());
	return 0;
}

static int op_setuid(char **args)
{
	uid_t uid = (uid_t)arg_number(args, 0);

	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	return 0;
}

/* Locks: what is free answers ok, EINTR after `alarm`. */

/* flock SLOT sh|ex|un [nb] */
static int op_flock(char **args)
{
	static const char *const words[] = { "sh", "ex", "un", NULL };
	static const int operations[] = { LOCK_SH, LOCK_EX, LOCK_UN };
	int operation = operations[arg_word(args, 1, words)] | (args[2] ? LOCK_NB : 0);

	return flock(*arg_slot(args, 0), operation) < 0 ? -errno : 0;
}

/* lock SLOT rd|wr|un START LENGTH [wait|ofd|get]; get: `free`, or who has what */
static int op_lock(char **args)
{
	static const char *const words[] = { "rd", "wr", "un", NULL };
	static const short types[] = { F_RDLCK, F_WRLCK, F_UNLCK };
	static const char *const hows[] = { "now", "wait", "ofd", "get", NULL };
	static const int commands[] = { F_SETLK, F_SETLKW, F_OFD_SETLK, F_GETLK };
	int how = args[4] ? arg_word(args, 4, hows) : 0;
	struct flock lock = { .l_type = types[arg_word(args, 1, words)],
			      .l_whence = SEEK_SET,
			      .l_start = arg_number(args, 2),
			      .l_len = arg_number(args, 3) };

	if (fcntl(*arg_slot(args, 0), commands[how], &lock) < 0)
		return -errno;
	if (commands[how] != F_GETLK)
		return 0;
	answered = true;
	if (lock.l_type == F_UNLCK)
		puts("free");
	else
		printf("%s %lld %lld %d\n", words[lock.l_type == F_WRLCK], (long long)lock.l_start,
		       (long long)lock.l_len, (int)lock.l_pid);
	return 0;
}

static void do_nothing(int signal)
{
	(void)signal;
}

/* alarm MS: a signal that interrupts the next call, once */
static int op_alarm(char **args)
{
	struct itimerval timer = { .it_value.tv_usec = arg_number(args, 0) * 1000 };
	struct sigaction action = { .sa_handler = do_nothing };

	sigaction(SIGALRM, &action, NULL);
	return setitimer(ITIMER_REAL, &timer, NULL) < 0 ? -errno : 0;
}

static const struct op {
	const char *name;
	int (*run)(char **args);
} ops[] = {
	{ "open", op_open },
	{ "close", op_close },
	{ "dup", op_dup },
	{ "read", op_read },
	{ "pread", op_pread },
	{ "write", op_write },
	{ "line", op_line },
	{ "pwrite", op_pwrite },
	{ "fill", op_fill },
	{ "lseek", op_lseek },
	{ "fsync", op_fsync },
	{ "fdatasync", op_fdatasync },
	{ "ftruncate", op_ftruncate },
	{ "fallocate", op_fallocate },
	{ "fchmod", op_fchmod },
	{ "fchown", op_fchown },
	{ "futimens", op_futimens },
	{ "mmap", op_mmap },
	{ "copy", op_copy },
	{ "sendfile", op_sendfile },
	{ "poll", op_poll },
	{ "stat", op_stat },
	{ "lstat", op_lstat },
	{ "fstat", op_fstat },
	{ "statfs", op_statfs },
	{ "access", op_access },
	{ "mkdir", op_mkdir },
	{ "rmdir", op_rmdir },
	{ "unlink", op_unlink },
	{ "rename", op_rename },
	{ "link", op_link },
	{ "symlink", op_symlink },
	{ "readlink", op_readlink },
	{ "mknod", op_mknod },
	{ "truncate", op_truncate },
	{ "chmod", op_chmod },
	{ "chown", op_chown },
	{ "utimens", op_utimens },
	{ "setxattr", op_setxattr },
	{ "getxattr", op_getxattr },
	{ "listxattr", op_listxattr },
	{ "removexattr", op_removexattr },
	{ "list", op_list },
	{ "chdir", op_chdir },
	{ "umask", op_umask },
	{ "sleep", op_sleep },
	{ "pid", op_pid },
	{ "setuid", op_setuid },
	{ "flock", op_flock },
	{ "lock", op_lock },
	{ "alarm", op_alarm },
	{ "times", op_times },
	{ "ftimes", op_ftimes },
	{ "faccess", op_faccess },
	{ "follow_chown", op_follow_chown },
	{ "fchdir", op_fchdir },
	{ "many", op_many },
	{ "walk", op_walk },
	{ "empty", op_empty },
	{ "offer", op_offer },
	{ "fetch", op_fetch },
	{ "openat", op_openat },
};

static int run_op(const char *name, char **args)
{
	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
		if (strcmp(ops[i].name, name) == 0)
			return ops[i].run(args);
	usage(name);
}

static int run_sequence(int argc, char **argv)
{
	int at = 1;

	while (at < argc) {
		char *args[MAX_ARGS + 1] = { NULL };
		int n = 0, start = at, result;

		for (; at < argc && strcmp(argv[at], ":") != 0; at++)
			if (n < MAX_ARGS)
				args[n++] = argv[at];
		at++;
		result = run_op(argv[start], args + 1);
		if (result < 0) {
			printf("%s\n", strerrorname_np(-result));
			fprintf(stderr, "fsop: %s %s: %s\n", argv[start], args[1] ? args[1] : "",
				strerrorname_np(-result));
			return 1;
		}
	}
	if (!answered)
		puts("ok");
	return 0;
}

static int run_interactive(void)
{
	static char line[1 << 17];

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof line, stdin) != NULL) {
		char *args[MAX_ARGS + 1] = { NULL };
		char *rest = line, *word;
		int n = 0, result;

		line[strcspn(line, "\n")] = '\0';
		while (n < MAX_ARGS && (word = strsep(&rest, "\t")) != NULL)
			args[n++] = word;
		answered = false;
		result = run_op(args[0], args + 1);
		if (result < 0)
			puts(strerrorname_np(-result));
		else if (!answered)
			puts("ok");
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		usage("say what to do");
	for (int i = 0; i < MAX_SLOTS; i++)
		slots[i] = -1;
	if (strcmp(argv[1], "-i") == 0)
		return run_interactive();
	return run_sequence(argc, argv);
}
