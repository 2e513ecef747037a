/* Many watchers of one mount while it is written to: each must see exactly the commits of
 * its prefix, whole, in order, none twice; those that begin in the past as well.
 *
 *   watchers MNT WATCHERS COMMITS [SEED]
 *
 * One thread commits, each watcher has a thread of its own. Some watch everything, some one
 * directory; some from the beginning, some from now, some from somewhere between. The last
 * commit changes every directory, which is how a watcher knows that it is over. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIRECTORIES = 8, KEYS = 5, STACK_BYTES = 256 * 1024 };

static const char *mount_point;
static unsigned watchers, commits;
static uint64_t first;	  /* revision of the first commit */
static atomic_ulong done; /* commits acknowledged */
static atomic_uint failures;

struct watcher {
	pthread_t thread;
	int number;
	int directory;	  /* -1: all */
	uint64_t from;	  /* 0: from now on */
	uint64_t surely;  /* everything from this revision on must come */
	uint64_t perhaps; /* nothing before this one may */
};

static void fail(const struct watcher *watcher, const char *what, uint64_t wanted, uint64_t got)
{
	fprintf(stderr, "watcher %d (directory %d, from %lu): %s: expected %lu, got %lu\n",
		watcher->number, watcher->directory, watcher->from, what, wanted, got);
	atomic_fetch_add(&failures, 1);
}

static char *path_of(const char *name)
{
	return g_build_filename(mount_point, name, NULL);
}

static uint64_t revision(void)
{
	g_autofree char *path = path_of("revision");
	char text[32] = "";
	int fd = open(path, O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		perror("revision");
	close(fd);
	return strtoull(text, NULL, 10);
}

static void put(const char *directory, const char *key, unsigned value)
{
	g_autofree char *path = g_strdup_printf("%s/%s/%s", mount_point, directory, key);
	char text[16];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	int length = snprintf(text, sizeof(text), "%u\n", value);

	if (fd < 0 || write(fd, text, (size_t)length) != length || close(fd) < 0) {
		perror(path);
		atomic_fetch_add(&failures, 1);
	}
}

static int directory_of(uint64_t at)
{
	return (int)((at - first) % DIRECTORIES);
}

/* The next revision from `at` on that the watcher must see. */
static uint64_t next_of(const struct watcher *watcher, uint64_t at)
{
	while (watcher->directory >= 0 && at < first + commits &&
	       directory_of(at) != watcher->directory)
		at++;
	return at;
}

/* A line of the commit `wanted`; what is in it follows from the revision. */
static void check_line(const struct watcher *watcher, const char *line, uint64_t wanted)
{
	char kind[16], key[64];
	uint64_t seen;

	if (sscanf(line, "%15s\t%lu\t%63s", kind, &seen, key) != 3) {
		fprintf(stderr, "watcher %d: no line: %s", watcher->number, line);
		atomic_fetch_add(&failures, 1);
	} else if (seen != wanted) {
		fail(watcher, "revision", wanted, seen);
	} else if (wanted < first + commits &&
		   (key[3] - '0' != directory_of(wanted) || strncmp(kind, "put", 4) != 0)) {
		fail(watcher, key, (uint64_t)directory_of(wanted), (uint64_t)(key[3] - '0'));
	}
}

static uint64_t revision_of(const char *line)
{
	const char *tab = strchr(line, '\t');

	return tab ? strtoull(tab + 1, NULL, 10) : 0;
}

static void follow(struct watcher *watcher, FILE *stream)
{
	uint64_t wanted = 0, last = first + commits;
	unsigned lines = 0;
	size_t size = 0;
	char *line = NULL;

	while (atomic_load(&failures) == 0 && getline(&line, &size, stream) > 0) {
		if (*line == '\n') {
			unsigned changes = wanted < last || watcher->directory >= 0 ? 1 :
										      DIRECTORIES;

			if (lines != changes)
				fail(watcher, "changes in one commit", changes, lines);
			if (wanted >= last)
				break;
			wanted = next_of(watcher, wanted + 1);
			lines = 0;
			continue;
		}
		/* Where exactly `now` was is known only between two limits. */
		if (wanted == 0 && revision_of(line) >= watcher->perhaps &&
		    revision_of(line) <= next_of(watcher, watcher->surely))
			wanted = revision_of(line);
		else if (wanted == 0)
			wanted = next_of(watcher, watcher->surely);
		check_line(watcher, line, wanted);
		lines++;
	}
	if (wanted < last)
		fail(watcher, "the end", last, wanted);
	free(line);
}

static void *watch(void *arg)
{
	struct watcher *watcher = arg;
	g_autofree char *path = path_of("watch");
	int fd = open(path, O_RDWR);
	char text[64];
	FILE *stream;
	int length;

	length = watcher->directory < 0 ? snprintf(text, sizeof(text), "w") :
					  snprintf(text, sizeof(text), "w/d%d", watcher->directory);
	if (watcher->from)
		snprintf(text + length, sizeof(text) - (size_t)length, " %lu", watcher->from);
	watcher->perhaps = watcher->from ? watcher->from : revision() + 1;
	if (fd < 0 || write(fd, text, strlen(text)) < 0) {
		perror(path);
		atomic_fetch_add(&failures, 1);
		return NULL;
	}
	watcher->surely = watcher->from ? watcher->from : revision() + 1;
	stream = fdopen(fd, "r");
	follow(watcher, stream);
	fclose(stream);
	return NULL;
}

static void start(struct watcher *watcher, int number, GRand *random)
{
	uint64_t behind = atomic_load(&done);
	pthread_attr_t attributes;

	watcher->number = number;
	watcher->directory = number % 3 == 0 ? -1 : g_rand_int_range(random, 0, DIRECTORIES);
	if (number % 2)
		watcher->from =
			number % 4 == 1 ?
				first :
				first + (uint64_t)g_rand_int_range(random, 0, (gint32)behind + 1);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	if (pthread_create(&watcher->thread, &attributes, watch, watcher) != 0)
		abort();
	pthread_attr_destroy(&attributes);
}

/* The last: every directory in one commit. */
static void commit_end(void)
{
	g_autofree char *txn = path_of("txn/watchers"), *commit = path_of("txn/watchers/commit");
	int fd;

	if (mkdir(txn, 0700) < 0)
		perror(txn);
	for (int i = 0; i < DIRECTORIES; i++) {
		char directory[64];

		snprintf(directory, sizeof(directory), "txn/watchers/keys/w/d%d", i);
		put(directory, "end", 0);
	}
	fd = open(commit, O_WRONLY);
	if (fd < 0 || write(fd, "end", 3) != 3)
		perror(commit);
	close(fd);
	rmdir(txn);
}

int main(int argc, char **argv)
{
	struct watcher *all;
	GRand *random;
	unsigned started = 0;

	if (argc < 4)
		return 64;
	mount_point = argv[1];
	watchers = (unsigned)atoi(argv[2]);
	commits = (unsigned)atoi(argv[3]);
	random = g_rand_new_with_seed(argc > 4 ? (guint32)atoi(argv[4]) : 1);
	all = g_new0(struct watcher, watchers);
	for (int i = -1; i < DIRECTORIES; i++) {
		g_autofree char *path = i < 0 ? path_of("keys/w") :
						g_strdup_printf("%s/keys/w/d%d", mount_point, i);

		mkdir(path, 0755);
	}
	first = revision() + 1;
	for (unsigned i = 0; i < commits && atomic_load(&failures) == 0; i++) {
		char directory[32], key[16];

		while (started < watchers && started * commits <= i * watchers)
			start(&all[started], (int)started, random), started++;
		snprintf(directory, sizeof(directory), "keys/w/d%u", i % DIRECTORIES);
		snprintf(key, sizeof(key), "k%u", i % KEYS);
		put(directory, key, i);
		atomic_fetch_add(&done, 1);
	}
	commit_end();
	for (unsigned i = 0; i < started; i++)
		pthread_join(all[i].thread, NULL);
	g_free(all);
	g_rand_free(random);
	printf("%u watchers, %u commits, %u failures\n", started, commits, atomic_load(&failures));
	return atomic_load(&failures) ? 1 : 0;
}
