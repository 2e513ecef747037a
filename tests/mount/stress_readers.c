/* stress_readers: what do readers see while a key is rewritten?
 *
 *   stress_readers KIND READS READERS MNT KEY
 *
 * READERS processes open, read and stat KEY, READS times in all. Meanwhile
 *
 *   pattern      this program rewrites the key with about 12 kB of a pattern that tells of
 *                itself whether it is whole
 *   transaction  transactions of this program replace, remove and recreate it, same pattern
 *   line         somebody else rewrites it with lines `N N N`, N of seven digits
 *
 * Prints the counts and exits with 1 if a reader saw an empty or torn value or a size that no
 * value had; an absent key only `transaction` may show. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST = 12288, STEP = 512, LENGTHS = 7, LINE_LENGTH = 24, MAX_READERS = 64 };

struct counts {
	unsigned long reads, empty, torn, wrong_size, absent, failures, writes;
};

static char key_path[1024], txn_path[1024], txn_key_path[2048], commit_path[2048];
static bool lines;

static size_t pattern_length(uint64_t sequence)
{
	return LONGEST - sequence % LENGTHS * STEP;
}

/* Word i of value s is a mix of both, so that no two values agree anywhere. */
static uint64_t pattern_word(uint64_t sequence, size_t index)
{
	uint64_t x = sequence * 0x9e3779b97f4a7c15u + index * 0xbf58476d1ce4e5b9u;

	return index == 0 ? sequence : x ^ (x >> 31);
}

static size_t pattern_fill(uint64_t sequence, uint64_t *words)
{
	size_t length = pattern_length(sequence);

	for (size_t i = 0; i < length / sizeof *words; i++)
		words[i] = pattern_word(sequence, i);
	return length;
}

static bool pattern_is_whole(const void *bytes, size_t length)
{
	const uint64_t *words = bytes;

	if (length < sizeof *words || length != pattern_length(words[0]))
		return false;
	for (size_t i = 1; i < length / sizeof *words; i++)
		if (words[i] != pattern_word(words[0], i))
			return false;
	return true;
}

static bool line_is_whole(const char *text, size_t length)
{
	return length == LINE_LENGTH && text[LINE_LENGTH - 1] == '\n' &&
	       memcmp(text, text + 8, 7) == 0 && memcmp(text, text + 16, 7) == 0;
}

static bool size_is_possible(off_t size)
{
	if (lines)
		return size == LINE_LENGTH;
	return size <= LONGEST && size > LONGEST - LENGTHS * STEP && size % STEP == 0;
}

/* In pieces, so that a writer may come between. -1: an error */
static ssize_t read_value(int fd, char *buffer, size_t room, size_t piece)
{
	size_t have = 0;

	while (have < room) {
		ssize_t n = read(fd, buffer + have, piece < room - have ? piece : room - have);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

static void read_once(struct counts *counts, size_t piece)
{
	static uint64_t buffer[2 * LONGEST / sizeof(uint64_t)];
	int fd = open(key_path, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	counts->reads++;
	if (fd < 0) {
		if (errno == ENOENT)
			counts->absent++;
		else
			counts->failures++;
		return;
	}
	length = read_value(fd, (char *)buffer, sizeof buffer, piece);
	if (length < 0)
		counts->failures++;
	else if (length == 0)
		counts->empty++;
	else if (lines ? !line_is_whole((char *)buffer, (size_t)length) :
			 !pattern_is_whole(buffer, (size_t)length))
		counts->torn++;
	close(fd);
}

static void stat_once(struct counts *counts)
{
	struct stat st;

	if (stat(key_path, &st) == 0) {
		if (!size_is_possible(st.st_size))
			counts->wrong_size++;
	} else if (errno == ENOENT) {
		counts->absent++;
	} else {
		counts->failures++;
	}
}

static void run_reader(struct counts *counts, unsigned long reads)
{
	static const size_t pieces[] = { 65536, 4096, 1000 };

	for (unsigned long i = 0; i < reads; i++) {
		read_once(counts, pieces[i % 3]);
		stat_once(counts);
	}
}

static bool write_value(const char *path, uint64_t sequence)
{
	uint64_t words[LONGEST / sizeof(uint64_t)];
	size_t length = pattern_fill(sequence, words);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	size_t piece = sequence % 2 ? length : length / 3, done = 0;
	bool ok = fd >= 0;

	while (ok && done < length) {
		ssize_t n = write(fd, (char *)words + done,
				  piece < length - done ? piece : length - done);

		ok = n > 0;
		done += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0 && close(fd) < 0)
		ok = false;
	return ok;
}

/* Replace, remove, recreate in turn, one transaction each. */
static bool write_in_transaction(uint64_t sequence)
{
	bool ok = mkdir(txn_path, 0777) == 0;
	int fd;

	if (ok && sequence % 3 == 1)
		ok = unlink(txn_key_path) == 0;
	else if (ok)
		ok = write_value(txn_key_path, sequence);
	fd = open(commit_path, O_WRONLY | O_CLOEXEC);
	ok = ok && fd >= 0 && write(fd, "stress\n", 7) == 7;
	if (fd >= 0)
		close(fd);
	return rmdir(txn_path) == 0 && ok;
}

static _Noreturn void run_writer(struct counts *counts, bool transactions)
{
	for (uint64_t sequence = 3;; sequence++) {
		bool ok = transactions ? write_in_transaction(sequence) :
					 write_value(key_path, sequence);

		if (ok)
			counts->writes++;
		else
			counts->failures++;
	}
}

static int report(const struct counts *counts, int processes, bool may_be_absent)
{
	struct counts sum = { 0 };

	for (int i = 0; i < processes; i++) {
		sum.reads += counts[i].reads;
		sum.empty += counts[i].empty;
		sum.torn += counts[i].torn;
		sum.wrong_size += counts[i].wrong_size;
		sum.absent += counts[i].absent;
		sum.failures += counts[i].failures;
		sum.writes += counts[i].writes;
	}
	printf("reads %lu\nempty %lu\ntorn %lu\nwrong_size %lu\nabsent %lu\nfailures %lu\n"
	       "writes %lu\n",
	       sum.reads, sum.empty, sum.torn, sum.wrong_size, sum.absent, sum.failures,
	       sum.writes);
	if (sum.empty || sum.torn || sum.wrong_size || sum.failures)
		return 1;
	return sum.absent && !may_be_absent;
}

static int run_all(const char *kind, unsigned long reads, int readers)
{
	bool transactions = strcmp(kind, "transaction") == 0;
	struct counts *counts = mmap(NULL, sizeof *counts * (MAX_READERS + 1),
				     PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t writer = 0, pid;

	if (counts == MAP_FAILED || readers < 1 || readers > MAX_READERS)
		return 64;
	if (!lines) {
		if (!write_value(key_path, 0)) {
			perror(key_path);
			return 1;
		}
		writer = fork();
		if (writer == 0)
			run_writer(&counts[readers], transactions);
	}
	for (int i = 0; i < readers; i++) {
		pid = fork();
		if (pid == 0) {
			run_reader(&counts[i], reads / (unsigned long)readers);
			_exit(0);
		}
	}
	for (int left = readers; left > 0;)
		if (wait(NULL) > 0)
			left--;
	if (writer > 0) {
		kill(writer, SIGKILL);
		waitpid(writer, NULL, 0);
	}
	return report(counts, readers + 1, transactions);
}

int main(int argc, char **argv)
{
	if (argc != 6) {
		fprintf(stderr, "usage: stress_readers KIND READS READERS MNT KEY\n");
		return 64;
	}
	lines = strcmp(argv[1], "line") == 0;
	snprintf(key_path, sizeof key_path, "%s/keys/%s", argv[4], argv[5]);
	snprintf(txn_path, sizeof txn_path, "%s/txn/stress-%d", argv[4], (int)getpid());
	snprintf(txn_key_path, sizeof txn_key_path, "%s/keys/%s", txn_path, argv[5]);
	snprintf(commit_path, sizeof commit_path, "%s/commit", txn_path);
	return run_all(argv[1], strtoul(argv[2], NULL, 10), atoi(argv[3]));
}
