/* count_requests METRICS: what the calls in between cost.
 *
 * For each line on stdin one line of answer: the requests the mount was sent since the last
 * one, as `KIND:COUNT` in the order of their names, separated by blanks, and `-` for none. Not
 * counted are RELEASE and what else the kernel sends when it likes (FORGET, INTERRUPT), and
 * the one READ that asking costs. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_KINDS = 128, MAX_NAME = 32, MAX_TEXT = 1 << 20 };

struct kind {
	char name[MAX_NAME];
	long long count;
};

struct counts {
	struct kind kinds[MAX_KINDS];
	int used;
};

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

static bool is_counted(const char *name)
{
	static const char *const others[] = { "release", "releasedir", "forget", "batch_forget",
					      "interrupt" };

	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (strcmp(name, others[i]) == 0)
			return false;
	return true;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct kind *)a)->name, ((const struct kind *)b)->name);
}

/* The text is made anew for each read at the beginning, of which this is one. */
static void look(int fd, struct counts *counts)
{
	static char text[MAX_TEXT];
	ssize_t length = pread(fd, text, sizeof text - 1, 0);

	if (length < 0)
		die("cannot read metrics");
	text[length] = '\0';
	counts->used = 0;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		struct kind *kind = &counts->kinds[counts->used];

		if (sscanf(line, "commitfs_requests_total{op=\"%31[^\"]\"} %lld", kind->name,
			   &kind->count) == 2 &&
		    is_counted(kind->name) && counts->used < MAX_KINDS - 1)
			counts->used++;
	}
	if (counts->used == 0) {
		fprintf(stderr, "no requests are counted\n");
		exit(1);
	}
	qsort(counts->kinds, (size_t)counts->used, sizeof *counts->kinds, by_name);
}

static void tell(const struct counts *before, const struct counts *now)
{
	bool any = false;

	for (int i = 0; i < now->used; i++) {
		long long count = now->kinds[i].count - before->kinds[i].count;

		if (strcmp(now->kinds[i].name, "read") == 0)
			count--;
		if (count != 0)
			printf("%s%s:%lld", any ? " " : "", now->kinds[i].name, count);
		any = any || count != 0;
	}
	puts(any ? "" : "-");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static struct counts counts[2];
	char line[64];
	int fd, now = 0;

	if (argc != 2) {
		fprintf(stderr, "usage: count_requests METRICS\n");
		return 64;
	}
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(argv[1]);
	look(fd, &counts[now]);
	while (fgets(line, sizeof line, stdin)) {
		look(fd, &counts[!now]);
		tell(&counts[now], &counts[!now]);
		now = !now;
	}
	return 0;
}
