/* What the tests of stores on disk share: a store in a directory of its own, a writer that is
 * killed, and damage. */
#pragma once

#include "tests/unit/store_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char *base;		    /* a directory for this test */
static char *path;		    /* of the store in it */
static struct store_key *store_key; /* NULL: it is not encrypted */
G_GNUC_UNUSED static gsize padding; /* how much more the writer writes in each commit */
G_GNUC_UNUSED static bool pauses;   /* the writer waits for its end behind its last commit */

/* The directories that were synced since it was made, each with a newline behind; NULL: nobody
 * asks. "cut": a file was made shorter. */
G_GNUC_UNUSED static GString *synced;

static inline void note_synced(const char *directory, const char *more)
{
	static GMutex lock; /* RocksDB has threads */

	g_mutex_lock(&lock);
	if (synced)
		g_string_append_printf(synced, "%s%s\n", directory, more);
	g_mutex_unlock(&lock);
}

/* Instead of the C library's. */
int fsync(int fd)
{
	g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", fd);
	g_autofree char *directory = g_file_read_link(link, NULL);
	g_autofree char *lost = directory ? g_build_filename(directory, "lost", NULL) : NULL;

	if (directory && g_file_test(directory, G_FILE_TEST_IS_DIR))
		note_synced(directory, g_access(lost, F_OK) == 0 ? " with lost" : "");
	return (int)syscall(SYS_fsync, fd);
}

int ftruncate(int fd, off_t size)
{
	note_synced("cut", "");
	return (int)syscall(SYS_ftruncate, fd, size);
}

static inline void setup(void)
{
	base = g_dir_make_tmp("store-XXXXXX", NULL);
	cr_assert_not_null(base);
	path = g_build_filename(base, "store", NULL);
}

static inline struct store_key *make_key(const char *name)
{
	g_autofree char *file = g_build_filename(base, name, NULL);
	struct store_key *key = NULL;
	char *message = NULL;

	cr_assert_eq(store_key_write_file(file, &message), 0, "%s", message);
	cr_assert_eq(store_key_read_file(file, &key, &message), 0, "%s", message);
	return key;
}

/* For a suite of encrypted stores. */
static inline void setup_encrypted(void)
{
	setup();
	store_key = make_key("key");
}

static inline void remove_tree(const char *directory)
{
	g_autofree char *command = g_strdup_printf("rm -rf '%s'", directory);

	cr_assert_eq(system(command), 0);
}

static inline void teardown(void)
{
	remove_tree(base);
	store_key_free(store_key);
	g_free(base);
	g_free(path);
}

static inline int try_create(char **ret_message)
{
	return store_key ? store_create_encrypted(path, store_key, ret_message) :
			   store_create(path, ret_message);
}

static inline void create(void)
{
	g_autofree char *message = NULL;

	cr_assert_eq(try_create(&message), 0, "%s", message);
}

static inline int try_open(struct store **ret, char **ret_message)
{
	struct store_options options;

	store_options_init(&options);
	options.path = path;
	options.key = store_key;
	return store_open(&options, ret, ret_message);
}

static inline struct store *open_store(void)
{
	struct store *store = NULL;
	g_autofree char *message = NULL;

	cr_assert_eq(try_open(&store, &message), 0, "%s", message);
	return store;
}

static inline void expect_refused(int error, const char *words)
{
	struct store *store = NULL;
	g_autofree char *message = NULL;

	cr_expect_eq(try_open(&store, &message), error);
	cr_assert_not_null(message);
	cr_expect_not_null(strstr(message, words), "%s", message);
	cr_expect_not_null(strstr(message, path), "%s", message);
}

/* Without the zeros at its end, which the log is ahead of itself. */
static gsize size_in_use(const char *file)
{
	g_autofree char *bytes = NULL;
	gsize size = 0;

	cr_assert(g_file_get_contents(file, &bytes, &size, NULL));
	while (size > 0 && !bytes[size - 1])
		size--;
	return size;
}

/* The write-ahead log that holds the most; caller frees. */
static inline char *find_wal(gsize *ret_size)
{
	g_autofree char *database = g_build_filename(path, "db", NULL);
	GDir *directory = g_dir_open(database, 0, NULL);
	char *found = NULL;
	const char *name;

	*ret_size = 0;
	while ((name = g_dir_read_name(directory))) {
		g_autofree char *file = g_build_filename(database, name, NULL);
		gsize size;

		if (!g_str_has_suffix(name, ".log"))
			continue;
		size = size_in_use(file);
		if (!found || size > *ret_size) {
			g_free(found);
			found = g_steal_pointer(&file);
			*ret_size = size;
		}
	}
	g_dir_close(directory);
	return found;
}

/* Text that does not compress. */
static inline char *random_text(gsize size)
{
	char *text = g_malloc(size + 1);

	for (gsize i = 0; i < size; i++)
		text[i] = (char)(1 + g_random_int_range(0, 255));
	text[size] = '\0';
	return text;
}

/* Commits, at most so often, until it is killed, telling each acknowledged revision. */
static inline void write_until_killed(int tell, enum store_sync sync, uint64_t commits)
{
	struct store_options options;
	struct store *store;
	char *message = NULL;

	store_options_init(&options);
	options.path = path;
	options.key = store_key;
	options.sync = sync;
	options.sync_interval_ms = 1;
	if (store_open(&options, &store, &message) < 0)
		_exit(1);
	for (uint64_t i = 0; i < commits; i++) {
		g_autofree char *key = g_strdup_printf("k%d", (int)i % 10);
		g_autofree char *text = g_strdup_printf("%d", (int)i);
		struct program *program = program_new(&test_root);
		struct outcome outcome;

		add_put(program, key, text);
		add_put(program, "both", text);
		if (padding) {
			g_autofree char *filling = random_text(padding);

			add_put(program, "padding", filling);
		}
		outcome = run(store, program);
		if (outcome.error < 0 ||
		    write(tell, &outcome.revision, sizeof(outcome.revision)) < 0)
			_exit(1);
		outcome_clear(&outcome);
	}
	for (;;)
		pause();
}

/* Runs a writer, kills it after so many commits, and returns the last acknowledged. */
static inline uint64_t kill_a_writer(uint64_t commits, enum store_sync sync)
{
	uint64_t revision, last = 0;
	int pipes[2];
	pid_t child;

	cr_assert_eq(pipe(pipes), 0);
	child = fork();
	if (child == 0) {
		close(pipes[0]);
		write_until_killed(pipes[1], sync, pauses ? commits : UINT64_MAX);
	}
	close(pipes[1]);
	while (commits-- > 0 && read(pipes[0], &last, sizeof(last)) == sizeof(last))
		;
	kill(child, SIGKILL);
	cr_assert_eq(waitpid(child, NULL, 0), child);
	while (read(pipes[0], &revision, sizeof(revision)) == sizeof(revision))
		last = revision;
	close(pipes[0]);
	return last;
}

/* Commit number i put i into k(i % 10) and into "both": the two never differ. */
static inline void expect_whole(struct store *store)
{
	g_autofree char *both = value_now(store, "both");
	g_autofree char *key = g_strdup_printf("k%c", both[strlen(both) - 1]);

	expect_value(store, key, both);
}

static inline void copy_store(const char *from, const char *to)
{
	g_autofree char *command = g_strdup_printf("rm -rf '%s' && cp -a '%s' '%s'", to, from, to);

	cr_assert_eq(system(command), 0);
}

static inline void flip_byte(const char *file, gsize at)
{
	int fd = open(file, O_RDWR);
	guint8 byte;

	cr_assert_eq(pread(fd, &byte, 1, (off_t)at), 1);
	byte ^= 0x10;
	cr_assert_eq(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
}

/* A checksum of all files of the database but RocksDB's lock and information log. */
static inline char *fingerprint(void)
{
	g_autofree char *command = g_strdup_printf(
		"cd '%s/db' && find . -type f ! -name 'LOG*' ! -name LOCK | sort | xargs md5sum | md5sum",
		path);
	FILE *pipe = popen(command, "r");
	char line[64] = "";

	cr_assert_not_null(fgets(line, sizeof(line), pipe));
	pclose(pipe);
	return g_strdup(line);
}
