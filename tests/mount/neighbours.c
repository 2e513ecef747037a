/* neighbours: what one user does, and what another feels of it.
 *
 *   neighbours measure SECONDS MNT DIR      puts and transactions in keys/DIR, one after the
 *                                           other; tells how long they took
 *   neighbours KIND AMOUNT MNT DIR          says `ready`, and goes on until it is killed
 *
 *   txns     holds AMOUNT transactions, or as many as it may, and works in all in turn
 *   big      commits AMOUNT MiB in a transaction, again and again
 *   list     lists DIR, which gets AMOUNT entries, again and again
 *   hold     holds a snapshot, and rewrites AMOUNT keys all the time
 *   watch    has AMOUNT streams of changes that it never reads
 *   eval     runs programs of AMOUNT MiB
 *   work     runs programs of AMOUNT KiB that change a key
 *   stopped  AMOUNT processes that are stopped in the middle of calls
 *   locks    AMOUNT processes that wait for a lock that is held
 *   handles  opens a key of 1 MiB AMOUNT times, or as often as it may */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PATH = 1024, MAX_SAMPLES = 1 << 20, MIB = 1 << 20 };

static const char *mount_point, *directory;
static long amount;

static void die(const char *what)
{
	fprintf(stderr, "neighbours: cannot %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* MNT/A/DIR/B, or without DIR where A ends with a dot. */
static const char *path_of(const char *tree, const char *name)
{
	static char path[MAX_PATH];

	snprintf(path, sizeof path, "%s/%s/%s/%s", mount_point, tree, directory, name);
	return path;
}

static const char *numbered(const char *prefix, long number)
{
	static char name[64];

	snprintf(name, sizeof name, "%s%ld", prefix, number);
	return name;
}

static int write_bytes(const char *path, const char *bytes, size_t length)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	int result = 0;

	if (fd < 0)
		return -1;
	for (size_t done = 0; done < length && result == 0;) {
		ssize_t n = write(fd, bytes + done, length - done);

		if (n < 0)
			result = -1;
		else
			done += (size_t)n;
	}
	if (close(fd) < 0)
		result = -1;
	return result;
}

static int write_text(const char *path, const char *text)
{
	return write_bytes(path, text, strlen(text));
}

/* The transaction NUMBER of this process: MNT/txn/DIR.PID.NUMBER/NAME */
static const char *in_transaction(long number, const char *name)
{
	static char path[MAX_PATH];
	char flat[256];

	snprintf(flat, sizeof flat, "%s", directory);
	for (char *c = flat; *c; c++)
		*c = *c == '/' ? '_' : *c;
	snprintf(path, sizeof path, "%s/txn/%s-%d.%ld/%s", mount_point, flat, (int)getpid(), number,
		 name);
	return path;
}

static const char *in_view(long number, const char *name)
{
	static char path[MAX_PATH];

	snprintf(path, sizeof path, "%s/keys/%s/%s", in_transaction(number, "."), directory, name);
	return path;
}

static void ready(void)
{
	puts("ready");
	fflush(stdout);
}

/* ---- Measuring ------------------------------------------------------------------ */

static float samples[MAX_SAMPLES];
static long sample_count;

static int compare(const void *a, const void *b)
{
	float left = *(const float *)a, right = *(const float *)b;

	return (left > right) - (left < right);
}

static void print_samples(const char *kind)
{
	qsort(samples, (size_t)sample_count, sizeof *samples, compare);
	printf("%s %ld p50 %.0f p99 %.0f max %.0f\n", kind, sample_count,
	       samples[sample_count / 2] * 1e6F, samples[sample_count * 99 / 100] * 1e6F,
	       samples[sample_count - 1] * 1e6F);
	sample_count = 0;
}

static int put_once(long i)
{
	return write_text(path_of("keys", numbered("put", i % 10)), "value\n");
}

/* The commit, and nothing but it, is what is measured. */
static double commit_once(long i)
{
	double begin, end;

	if (i > 0 && write_text(in_transaction(0, "restart"), "x\n") < 0)
		die("restart");
	if (write_text(in_view(0, numbered("txn", i % 10)), "value\n") < 0)
		die("write in a view");
	begin = now();
	if (write_text(in_transaction(0, "commit"), "x\n") < 0)
		die("commit");
	end = now();
	return end - begin;
}

static void measure(void)
{
	double begin = now(), half = begin + (double)amount / 2, end = begin + (double)amount;

	for (long i = 0; now() < half && sample_count < MAX_SAMPLES; i++) {
		double before = now();

		if (put_once(i) < 0)
			die("put");
		samples[sample_count++] = (float)(now() - before);
	}
	print_samples("put");
	if (mkdir(in_transaction(0, ""), 0700) < 0)
		die("begin");
	for (long i = 0; now() < end && sample_count < MAX_SAMPLES; i++)
		samples[sample_count++] = (float)commit_once(i);
	print_samples("commit");
	rmdir(in_transaction(0, ""));
}

/* ---- What others do ------------------------------------------------------------- */

static void raise_files(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void do_txns(void)
{
	long held = 0;

	while (held < amount && mkdir(in_transaction(held, ""), 0700) == 0) {
		if (write_text(in_view(held, "mine"), "x\n") < 0)
			die("write in a view");
		held++;
	}
	if (held < amount && errno != EDQUOT)
		die("begin");
	printf("%ld held\n", held);
	ready();
	for (long i = 0;; i = (i + 1) % held)
		write_text(in_view(i, numbered("k", i)), "x\n");
}

static void do_big(void)
{
	char *bytes = malloc(MIB);
	uint64_t noise = 0x9e3779b97f4a7c15;

	if (bytes == NULL || mkdir(in_transaction(0, ""), 0700) < 0)
		die("begin");
	ready();
	for (long round = 0;; round++) {
		for (long i = 0; i < amount; i++) {
			for (size_t at = 0; at < MIB; at += sizeof noise) {
				noise ^= noise << 13;
				noise ^= noise >> 7;
				noise ^= noise << 17;
				memcpy(bytes + at, &noise, sizeof noise);
			}
			if (write_bytes(in_view(0, numbered("big", i)), bytes, MIB) < 0)
				die("write in a view");
		}
		if (write_text(in_transaction(0, "commit"), "x\n") < 0)
			die("commit");
		fprintf(stderr, "big: %ld\n", round + 1);
		write_text(in_transaction(0, "restart"), "x\n");
	}
}

static void run_program(const char *program, size_t length)
{
	char path[MAX_PATH], reply[256];
	int fd;

	snprintf(path, sizeof path, "%s/eval", mount_point);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || write(fd, program, length) < 0)
		die("write a program");
	if (read(fd, reply, sizeof reply) < 7 || memcmp(reply, "SUCCESS", 7) != 0)
		die("run a program");
	close(fd);
}

/* By programs of many names each. */
static void fill_directory(void)
{
	char *program = malloc(MIB);

	for (long i = 0; i < amount && program;) {
		size_t length = 0;

		while (length < MIB / 16 && i < amount)
			length += (size_t)sprintf(program + length, "put %s/entry%ld 1\n",
						  directory, i++);
		run_program(program, length);
	}
	free(program);
}

static void do_list(void)
{
	fill_directory();
	ready();
	for (;;) {
		DIR *dir = opendir(path_of("keys", "."));
		long count = 0;

		if (dir == NULL)
			die("list");
		while (readdir(dir) != NULL)
			count++;
		closedir(dir);
		if (count < amount)
			die("list all");
	}
}

static void do_hold(void)
{
	char value[128];

	for (long i = 0; i < amount; i++)
		write_text(path_of("keys", numbered("h", i)), "x\n");
	if (mkdir(in_transaction(0, ""), 0700) < 0)
		die("begin");
	ready();
	for (long i = 0;; i++) {
		snprintf(value, sizeof value, "%0100ld\n", i);
		write_text(path_of("keys", numbered("h", i % amount)), value);
	}
}

static void do_watch(void)
{
	char path[MAX_PATH];

	raise_files();
	snprintf(path, sizeof path, "%s/watch", mount_point);
	for (long i = 0; i < amount; i++) {
		int fd = open(path, O_RDWR | O_CLOEXEC);

		if (fd < 0 || write(fd, "\n", 1) < 0)
			die("watch");
	}
	ready();
	for (;;)
		pause();
}

static void run_programs(size_t size, bool changing)
{
	char path[MAX_PATH], reply[4096];
	char *program = malloc(size + 256);
	size_t length = 0;
	int fd;

	snprintf(path, sizeof path, "%s/eval", mount_point);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || program == NULL)
		die("open eval");
	if (changing)
		length = (size_t)sprintf(program, "put %s/key 1\n", directory);
	for (long i = 0; length + 256 < size; i++)
		length += (size_t)sprintf(program + length, "get %s/key%ld\n", directory, i);
	ready();
	for (;;) {
		for (size_t at = 0; at < length;) {
			ssize_t n = write(fd, program + at, length - at);

			if (n < 0)
				die("write a program");
			at += (size_t)n;
		}
		while (read(fd, reply, sizeof reply) > 0)
			;
	}
}

static void do_eval(void)
{
	run_programs((size_t)amount * MIB, false);
}

static void do_work(void)
{
	run_programs((size_t)amount * 1024, true);
}

static void be_busy(long number, int told)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (write(told, "x", 1) != 1)
		_exit(1);
	for (long i = 0;; i++) {
		DIR *dir;

		write_text(path_of("keys", numbered("stop", number)), "x\n");
		dir = opendir(path_of("keys", "."));
		while (dir != NULL && readdir(dir) != NULL)
			;
		if (dir != NULL)
			closedir(dir);
	}
}

static void do_stopped(void)
{
	pid_t *children = calloc((size_t)amount, sizeof *children);
	int told[2];
	char byte;

	if (pipe(told) < 0)
		die("make a pipe");
	for (long i = 0; children && i < amount; i++) {
		children[i] = fork();
		if (children[i] == 0)
			be_busy(i, told[1]);
		if (read(told[0], &byte, 1) != 1) /* it ends with this process from now on */
			die("start a process");
		usleep(10000 + 997 * (unsigned)(i % 13));
		kill(children[i], SIGSTOP);
	}
	ready();
	for (long i = 0;; i = (i + 1) % amount) {
		kill(children[i], SIGCONT);
		usleep(5000);
		kill(children[i], SIGSTOP);
	}
}

static void do_locks(void)
{
	int fd = open(path_of("keys", "lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		die("lock");
	for (long i = 0; i < amount; i++) {
		if (fork() > 0)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fd = open(path_of("keys", "lock"), O_RDWR | O_CLOEXEC);
		flock(fd, LOCK_EX);
		_exit(0);
	}
	ready();
	for (;;)
		pause();
}

static void do_handles(void)
{
	char *bytes = calloc(1, MIB);
	char path[MAX_PATH];
	long held = 0;

	raise_files();
	snprintf(path, sizeof path, "%s", path_of("keys", "mib"));
	while (held < amount && bytes) {
		/* Each of another value, or they would share it. */
		snprintf(bytes, MIB, "%ld", held);
		if (write_bytes(path, bytes, MIB) < 0 || open(path, O_RDONLY | O_CLOEXEC) < 0)
			break;
		held++;
	}
	if (held < amount && errno != EDQUOT)
		die("open a key");
	printf("%ld held\n", held);
	ready();
	for (;;)
		pause();
}

static const struct kind {
	const char *name;
	void (*run)(void);
} kinds[] = {
	{ "measure", measure }, { "txns", do_txns },	   { "big", do_big },
	{ "list", do_list },	{ "hold", do_hold },	   { "watch", do_watch },
	{ "eval", do_eval },	{ "work", do_work },	   { "stopped", do_stopped },
	{ "locks", do_locks },	{ "handles", do_handles },
};

int main(int argc, char **argv)
{
	if (argc != 5) {
		fputs("usage: neighbours KIND AMOUNT MNT DIR\n", stderr);
		return 64;
	}
	amount = atol(argv[2]);
	mount_point = argv[3];
	directory = argv[4];
	umask(0);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (strcmp(kinds[i].name, argv[1]) == 0) {
			kinds[i].run();
			return 0;
		}
	}
	fputs("neighbours: no such kind\n", stderr);
	return 64;
}
