/* crash_writer: writes through a mount that is about to be killed, and looks afterwards at what
 * is there.
 *
 *   transaction MNT ROUND   10,000 keys in 100 directories, each with the value ROUND, in
 *                           one transaction; prints `prepared` before the commit's write and
 *                           `acknowledged` after it succeeded
 *   check-transaction MNT   prints the one round all 10,000 keys have, `none` when there is not
 *                           one key, or what is wrong
 *   single MNT FILE         keys one after the other, each durable on its own; what was tried
 *                           and what was acknowledged goes to FILE
 *   check-single MNT FILE   every key has its last acknowledged value or the one tried after it
 *
 * FILE lies outside of the mount. It is written with write(2) only: the machine does not crash,
 * the daemon does. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIRECTORIES = 100, FILES = 100, SINGLE_KEYS = 20 };

/* 0 or an errno */
static int write_file(const char *path, int flags, const char *text)
{
	int fd = open(path, flags | O_WRONLY | O_CLOEXEC, 0666);
	int result = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		result = errno;
	if (close(fd) < 0 && result == 0)
		result = errno;
	return result;
}

/* The number in a file; -1 when it is absent, -2 when it holds anything else. */
static long read_number(const char *path)
{
	char text[64];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;
	long value;
	char *end;

	if (fd < 0)
		return errno == ENOENT ? -1 : -2;
	length = read(fd, text, sizeof text - 1);
	close(fd);
	if (length <= 0)
		return -2;
	text[length] = '\0';
	value = strtol(text, &end, 10);
	return *end == '\n' && end[1] == '\0' ? value : -2;
}

static int prepare_transaction(const char *txn, long round)
{
	char path[1024], text[32];
	int result = mkdir(txn, 0777) < 0 ? errno : 0;

	snprintf(text, sizeof text, "%ld\n", round);
	for (int d = 0; d < DIRECTORIES && result == 0; d++) {
		snprintf(path, sizeof path, "%s/keys/%02d", txn, d);
		if (mkdir(path, 0777) < 0 && errno != EEXIST)
			return errno;
		for (int f = 0; f < FILES && result == 0; f++) {
			snprintf(path, sizeof path, "%s/keys/%02d/%02d", txn, d, f);
			result = write_file(path, O_CREAT | O_TRUNC, text);
		}
	}
	return result;
}

static int run_transaction(const char *mount_point, long round)
{
	char txn[512], path[1024];
	int result;

	snprintf(txn, sizeof txn, "%s/txn/round-%ld", mount_point, round);
	result = prepare_transaction(txn, round);
	if (result == 0) {
		puts("prepared");
		fflush(stdout);
		snprintf(path, sizeof path, "%s/commit", txn);
		result = write_file(path, 0, "crash\n");
	}
	puts(result == 0 ? "acknowledged" : strerrorname_np(result));
	return result != 0;
}

static int check_transaction(const char *mount_point)
{
	char path[1024];
	long first = -3;

	for (int d = 0; d < DIRECTORIES; d++) {
		for (int f = 0; f < FILES; f++) {
			long value;

			snprintf(path, sizeof path, "%s/keys/%02d/%02d", mount_point, d, f);
			value = read_number(path);
			if (first == -3)
				first = value;
			if (value != first || value == -2) {
				printf("mixed: %02d/%02d has %ld, the first key %ld\n", d, f, value,
				       first);
				return 1;
			}
		}
	}
	if (first == -1)
		puts("none");
	else
		printf("%ld\n", first);
	return 0;
}

static void note(int file, char what, int key, long value)
{
	char line[64];
	int length = snprintf(line, sizeof line, "%c %d %ld\n", what, key, value);

	if (write(file, line, (size_t)length) != length)
		abort();
}

/* Until the first failure, which is the kill. */
static int run_single(const char *mount_point, const char *journal)
{
	int file = open(journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	struct stat st;
	long value;

	if (file < 0 || fstat(file, &st) < 0)
		return 1;
	/* Values grow over all rounds: the journal does too. */
	for (value = (long)st.st_size + 1;; value++) {
		char path[1024], text[32];
		int key = (int)(value % SINGLE_KEYS);

		snprintf(path, sizeof path, "%s/keys/single-%d", mount_point, key);
		snprintf(text, sizeof text, "%ld\n", value);
		note(file, 't', key, value);
		if (write_file(path, O_CREAT | O_TRUNC, text) != 0)
			return 0;
		note(file, 'a', key, value);
	}
}

static int check_single(const char *mount_point, const char *journal)
{
	long acknowledged[SINGLE_KEYS], tried[SINGLE_KEYS], value;
	FILE *file = fopen(journal, "re");
	int key, count = 0, wrong = 0;
	char what;

	if (file == NULL)
		return 1;
	for (int i = 0; i < SINGLE_KEYS; i++)
		acknowledged[i] = tried[i] = -1;
	while (fscanf(file, " %c %d %ld", &what, &key, &value) == 3) {
		*(what == 'a' ? &acknowledged[key] : &tried[key]) = value;
		count += what == 'a';
	}
	fclose(file);
	for (int i = 0; i < SINGLE_KEYS; i++) {
		char path[1024];

		snprintf(path, sizeof path, "%s/keys/single-%d", mount_point, i);
		value = read_number(path);
		if (value == acknowledged[i] || value == tried[i])
			continue;
		printf("lost: single-%d has %ld, acknowledged %ld, tried %ld\n", i, value,
		       acknowledged[i], tried[i]);
		wrong++;
	}
	printf("acknowledged %d\n", count);
	return wrong != 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "transaction") == 0)
		return run_transaction(argv[2], atol(argv[3]));
	if (argc == 3 && strcmp(argv[1], "check-transaction") == 0)
		return check_transaction(argv[2]);
	if (argc == 4 && strcmp(argv[1], "single") == 0)
		return run_single(argv[2], argv[3]);
	if (argc == 4 && strcmp(argv[1], "check-single") == 0)
		return check_single(argv[2], argv[3]);
	fprintf(stderr, "usage: crash_writer transaction|check-transaction|single|check-single "
			"MNT [ROUND|FILE]\n");
	return 64;
}
