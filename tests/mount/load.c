/* load: many clients of a mount at once.
 *
 *   load KIND PROCESSES AMOUNT MNT DIR
 *
 * DIR is a directory below keys/. For `latency`, AMOUNT is a number of commits, otherwise it is
 * how many seconds the processes work, unless a SIGTERM to the first ends them all before.
 *
 *   commit   each in transactions of its own: read two keys, write two, commit
 *   write    each writes keys of DIR, one after the other
 *   poll     each waits for the revision to grow
 *   one      each writes to the `commit` of the transaction named DIR
 *   busy     each looks up, lists, creates and removes names in DIR as fast as it can
 *   latency  one transaction after the other changes names in DIR; tells how long commits took
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PATH = 1024, MAX_SAMPLES = 10000 };

struct counts {
	unsigned long commits, conflicts, failures;
};

static const char *mount_point, *directory;
static struct counts *counts; /* shared, one per process */
static volatile sig_atomic_t ended;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* The first process tells the others, which are its group. */
static void end(int number)
{
	if (!ended && getpid() == getpgrp())
		kill(0, number);
	ended = 1;
}

static bool goes_on(double until)
{
	return !ended && now() < until;
}

/* Writes `text` with one write(2). Returns 0 or an errno. */
static int write_file(const char *path, int flags, const char *text)
{
	int fd = open(path, flags | O_WRONLY | O_CLOEXEC, 0666);
	int result = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) < 0)
		result = errno;
	if (close(fd) < 0 && result == 0)
		result = errno;
	return result;
}

static void read_file(const char *path)
{
	char text[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	while (read(fd, text, sizeof text) > 0)
		;
	close(fd);
}

static void count(struct counts *mine, int result)
{
	if (result == 0)
		mine->commits++;
	else if (result == ECANCELED)
		mine->conflicts++;
	else if (!ended) { /* otherwise the signal may have interrupted it */
		mine->failures++;
		fprintf(stderr, "load: %s\n", strerror(result));
	}
}

static void work_commit(int index, double until, struct counts *mine)
{
	char txn[MAX_PATH], path[2 * MAX_PATH];

	snprintf(txn, sizeof txn, "%s/txn/load-%d-%d", mount_point, (int)getpid(), index);
	while (goes_on(until)) {
		int result = mkdir(txn, 0777) < 0 ? errno : 0;

		for (int i = 0; i < 2 && result == 0; i++) {
			snprintf(path, sizeof path, "%s/keys/%s/k%d", txn, directory,
				 index * 2 + i);
			read_file(path);
			result = write_file(path, O_CREAT | O_TRUNC, "value\n");
		}
		snprintf(path, sizeof path, "%s/commit", txn);
		if (result == 0)
			result = write_file(path, 0, "load\n");
		count(mine, result);
		rmdir(txn);
	}
}

static void work_write(int index, double until, struct counts *mine)
{
	char path[MAX_PATH];

	for (int i = 0; goes_on(until); i++) {
		snprintf(path, sizeof path, "%s/keys/%s/w%d-%d", mount_point, directory, index,
			 i % 10);
		count(mine, write_file(path, O_CREAT | O_TRUNC, "value\n"));
	}
}

static void work_poll(int index, double until, struct counts *mine)
{
	char path[MAX_PATH], text[64];
	int fd;

	(void)index;
	snprintf(path, sizeof path, "%s/revision", mount_point);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (goes_on(until)) {
		struct pollfd entry = { .fd = fd, .events = POLLIN | POLLPRI };

		if (pread(fd, text, sizeof text, 0) < 0)
			mine->failures++;
		poll(&entry, 1, (int)((until - now()) * 1000) + 1);
		mine->commits++;
	}
	close(fd);
}

static void work_one(int index, double until, struct counts *mine)
{
	char path[MAX_PATH];

	(void)index;
	snprintf(path, sizeof path, "%s/txn/%s/commit", mount_point, directory);
	while (goes_on(until))
		count(mine, write_file(path, 0, "load\n"));
}

static void list_directory(const char *path)
{
	DIR *dir = opendir(path);

	while (dir != NULL && readdir(dir) != NULL)
		;
	if (dir != NULL)
		closedir(dir);
}

static void work_busy(int index, double until, struct counts *mine)
{
	char path[MAX_PATH];
	struct stat st;

	while (goes_on(until)) {
		for (int i = 0; i < 50; i++) {
			snprintf(path, sizeof path, "%s/keys/%s/absent-%d-%d", mount_point,
				 directory, index, i);
			stat(path, &st);
		}
		if (index % 2 == 0) {
			snprintf(path, sizeof path, "%s/keys/%s", mount_point, directory);
			list_directory(path);
		}
		snprintf(path, sizeof path, "%s/keys/%s/mine-%d", mount_point, directory, index);
		count(mine, write_file(path, O_CREAT | O_TRUNC, "v"));
		unlink(path);
	}
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* One transaction that replaces a key, creates one and removes one; how long its commit took. */
static int timed_commit(int round, double *ret_seconds)
{
	char txn[MAX_PATH], path[2 * MAX_PATH];
	double start;
	int result;

	snprintf(txn, sizeof txn, "%s/txn/latency-%d", mount_point, (int)getpid());
	if (mkdir(txn, 0777) < 0)
		return errno;
	snprintf(path, sizeof path, "%s/keys/%s/replaced", txn, directory);
	result = write_file(path, O_CREAT | O_TRUNC, "v");
	snprintf(path, sizeof path, "%s/keys/%s/new%d", txn, directory, round);
	if (result == 0)
		result = write_file(path, O_CREAT | O_TRUNC, "v");
	snprintf(path, sizeof path, "%s/keys/%s/new%d", txn, directory, round - 1);
	unlink(path);
	snprintf(path, sizeof path, "%s/commit", txn);
	start = now();
	if (result == 0)
		result = write_file(path, 0, "latency\n");
	*ret_seconds = now() - start;
	rmdir(txn);
	return result;
}

static int measure_latency(int rounds)
{
	static double samples[MAX_SAMPLES];

	if (rounds < 1 || rounds > MAX_SAMPLES)
		return 64;
	for (int i = 0; i < rounds; i++) {
		int result = timed_commit(i, &samples[i]);

		if (result != 0) {
			fprintf(stderr, "load: commit %d: %s\n", i, strerror(result));
			return 1;
		}
	}
	qsort(samples, (size_t)rounds, sizeof *samples, compare_doubles);
	printf("median_us %.0f\nworst_us %.0f\n", samples[rounds / 2] * 1e6,
	       samples[rounds - 1] * 1e6);
	return 0;
}

static const struct kind {
	const char *name;
	void (*work)(int index, double until, struct counts *mine);
} kinds[] = {
	{ "commit", work_commit }, { "write", work_write }, { "poll", work_poll },
	{ "one", work_one },	   { "busy", work_busy },
};

static int run_processes(const struct kind *kind, int processes, int seconds)
{
	struct sigaction action = { .sa_handler = end, .sa_flags = SA_RESTART };
	double until = now() + seconds;
	struct counts sum = { 0 };

	counts = mmap(NULL, sizeof *counts * (size_t)processes, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counts == MAP_FAILED || setpgid(0, 0) < 0 || sigaction(SIGTERM, &action, NULL) < 0)
		return 1;
	for (int i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 1;
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			kind->work(i, until, &counts[i]);
			_exit(0);
		}
	}
	while (wait(NULL) > 0)
		;
	for (int i = 0; i < processes; i++) {
		sum.commits += counts[i].commits;
		sum.conflicts += counts[i].conflicts;
		sum.failures += counts[i].failures;
	}
	printf("commits %lu\nconflicts %lu\nfailures %lu\n", sum.commits, sum.conflicts,
	       sum.failures);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 6) {
		fprintf(stderr, "usage: load KIND PROCESSES AMOUNT MNT DIR\n");
		return 64;
	}
	mount_point = argv[4];
	directory = argv[5];
	if (strcmp(argv[1], "latency") == 0)
		return measure_latency(atoi(argv[3]));
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(kinds[i].name, argv[1]) == 0)
			return run_processes(&kinds[i], atoi(argv[2]), atoi(argv[3]));
	fprintf(stderr, "load: no such kind: %s\n", argv[1]);
	return 64;
}
