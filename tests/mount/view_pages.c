/* view_pages FILE COUNT: a file of a transaction's view is written through one descriptor
 * while two read it, one of them without a pause. After each write(2) the other must read what
 * was written. Both readers open before the first write, so that they may have pages. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIZE = 8 };

static atomic_bool stop;

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

static int open_or_die(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0)
		die(path);
	return fd;
}

static void *read_on(void *arg)
{
	char text[SIZE];

	while (!atomic_load(&stop))
		if (pread(*(int *)arg, text, SIZE, 0) != SIZE)
			die("pread");
	return NULL;
}

int main(int argc, char **argv)
{
	long count = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
	int busy, reader, writer;
	pthread_t thread;
	long wrong = 0;

	if (count <= 0) {
		fprintf(stderr, "usage: view_pages FILE COUNT\n");
		return 64;
	}
	busy = open_or_die(argv[1], O_RDONLY);
	reader = open_or_die(argv[1], O_RDONLY);
	writer = open_or_die(argv[1], O_RDWR);
	if (pthread_create(&thread, NULL, read_on, &busy) != 0)
		die("pthread_create");
	for (long i = 0; i < count; i++) {
		char wanted[SIZE + 16], text[SIZE];

		snprintf(wanted, sizeof wanted, "%08ld", i % 100000000);
		if (pwrite(writer, wanted, SIZE, 0) != SIZE)
			die("pwrite");
		if (pread(reader, text, SIZE, 0) != SIZE)
			die("pread");
		wrong += memcmp(text, wanted, SIZE) != 0;
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	printf("%ld wrong of %ld\n", wrong, count);
	return wrong != 0;
}
