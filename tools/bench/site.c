/* What the benchmark needs in a store is made and removed in transactions: one commit each,
 * and nobody sees half of it. */
#include "tools/bench/site.h"

#include "tools/bench/files.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEYS_PER_PROGRAM 10000

static void init_names(struct site *site, const char *mount)
{
	site->mount = g_strdup(mount);
	site->name = g_strdup_printf("bench-%d", getpid());
	site->keys = g_build_filename(mount, "keys", site->name, NULL);
}

void site_init_mounted(struct site *site, const char *mount)
{
	*site = (struct site){ 0 };
	init_names(site, mount);
}

void site_init_own(struct site *site, const char *directory, const char *name)
{
	g_autofree char *mount = g_strdup_printf("%s/%s-mount", directory, name);

	*site = (struct site){ 0 };
	site->store = g_build_filename(directory, name, NULL);
	init_names(site, mount);
}

void site_done(struct site *site)
{
	g_free(site->store);
	g_free(site->mount);
	g_free(site->name);
	g_free(site->keys);
	*site = (struct site){ 0 };
}

/* ---- Our own mount -------------------------------------------------------------- */

/* Starts this program once more: a process of its own, for RocksDB leaves threads behind.
 * *ret_out is the reading end of its standard output. */
static int start_command(char *const argv[], pid_t *ret, int *ret_out)
{
	pid_t parent = getpid();
	int out[2];

	if (pipe2(out, O_CLOEXEC) < 0)
		return bench_fail(-errno, "cannot make a pipe: %s", g_strerror(errno));
	*ret = fork();
	if (*ret == 0) {
		/* ^C at the terminal is for the benchmark, which then unmounts. */
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() == parent && dup2(out[1], STDOUT_FILENO) >= 0)
			execv("/proc/self/exe", argv);
		_exit(127);
	}
	close(out[1]);
	*ret_out = out[0];
	if (*ret < 0) {
		close(out[0]);
		return bench_fail(-errno, "cannot start a process: %s", g_strerror(errno));
	}
	return 0;
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

int site_create(const struct site *site)
{
	char *const argv[] = { "commitfs", "init", site->store, NULL };
	pid_t pid;
	int r, out;

	r = start_command(argv, &pid, &out);
	if (r < 0)
		return r;
	r = wait_for(pid);
	close(out);
	/* It has said why. */
	return r;
}

int site_mount(struct site *site)
{
	char *const argv[] = { "commitfs",  "mount",	 "-f", "--log-level=warning",
			       site->store, site->mount, NULL };
	char byte = 0;
	int r, out;

	if (mkdir(site->mount, 0755) < 0 && errno != EEXIST)
		return bench_fail(-errno, "cannot make directory '%s': %s", site->mount,
				  g_strerror(errno));
	r = start_command(argv, &site->daemon, &out);
	if (r < 0)
		return r;
	/* It says a line when it answers. */
	while (byte != '\n' && (r = (int)read(out, &byte, 1)) != 0)
		if (r < 0 && (errno != EINTR || bench_interrupted()))
			break;
	close(out);
	if (byte == '\n')
		return 0;
	site_unmount(site);
	return bench_interrupted() ? -EINTR : -EIO;
}

int site_unmount(struct site *site)
{
	int r;

	if (site->daemon <= 0)
		return 0;
	kill(site->daemon, SIGTERM);
	r = wait_for(site->daemon);
	site->daemon = 0;
	rmdir(site->mount);
	return r;
}

/* ---- What is in the store ------------------------------------------------------- */

char *site_control(const struct site *site, const char *name)
{
	return g_build_filename(site->mount, name, NULL);
}

bool site_has(const struct site *site, const char *name)
{
	g_autofree char *path = site_control(site, name);

	return access(path, F_OK) == 0;
}

static int fail_at(const char *action, const char *path, int error)
{
	return bench_fail(error, "cannot %s '%s': %s", action, path, g_strerror(-error));
}

void site_key_name(guint index, guint count, char ret[static SITE_NAME_MAX])
{
	if (count <= SITE_FANOUT)
		snprintf(ret, SITE_NAME_MAX, "%u", index);
	else
		snprintf(ret, SITE_NAME_MAX, "%u/%u", index / SITE_FANOUT, index % SITE_FANOUT);
}

/* Key number `index` of `count`, and the directory before the first in it. */
static int fill_key(int directory, guint index, guint count)
{
	char name[SITE_NAME_MAX];

	if (count > SITE_FANOUT && index % SITE_FANOUT == 0) {
		snprintf(name, sizeof(name), "%u", index / SITE_FANOUT);
		if (mkdirat(directory, name, 0755) < 0)
			return -errno;
	}
	site_key_name(index, count, name);
	return file_write_at(directory, name, SITE_ACCOUNT_TEXT, strlen(SITE_ACCOUNT_TEXT));
}

int site_fill_directory(const char *path, guint count)
{
	int directory, r = 0;

	if (mkdir(path, 0755) < 0)
		return fail_at("make directory", path, -errno);
	directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return fail_at("open", path, -errno);
	for (guint i = 0; i < count && r == 0; i++) {
		r = fill_key(directory, i, count);
		if (r < 0)
			fail_at("fill", path, r);
		else if (bench_interrupted())
			r = -EINTR;
	}
	close(directory);
	return r;
}

/* Begins a transaction; its directory in *ret (caller frees). */
static int begin(const struct site *site, char **ret)
{
	char name[128];
	int r = txn_begin_new(site->mount, name, sizeof(name));

	if (r < 0)
		return fail_at("begin a transaction on", site->mount, r);
	*ret = g_build_filename(site->mount, "txn", name, NULL);
	return 0;
}

/* Commits when `r` is 0; ends it in any case. */
static int finish(const char *txn, int r)
{
	g_autofree char *commit = g_build_filename(txn, "commit", NULL);

	if (r == 0) {
		r = file_write_at(AT_FDCWD, commit, "benchmark", strlen("benchmark"));
		if (r < 0)
			fail_at("commit", txn, r);
	}
	rmdir(txn);
	return r;
}

/* Runs a program through `eval`. -ENOENT: the mount has none. */
static int run_program(const struct site *site, const GString *program)
{
	g_autofree char *path = site_control(site, "eval");
	char reply[256] = "";
	ssize_t size = 0;
	int r, fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? -ENOENT : fail_at("open", path, -errno);
	r = file_write(fd, program->str, program->len);
	if (r == 0)
		size = read(fd, reply, sizeof(reply) - 1);
	if (size < 0)
		r = -errno;
	close(fd);
	if (r < 0)
		return fail_at("run a program on", path, r);
	if (!g_str_has_prefix(reply, "SUCCESS"))
		return bench_fail(-EPROTO, "cannot run a program on '%s': %.*s", path,
				  (int)strcspn(reply, "\n"), reply);
	return 0;
}

/* Many keys: programs make them several times as fast as files do. -ENOENT: no `eval`. */
static int fill_by_programs(const struct site *site, const char *name, guint count)
{
	int r = 0;

	for (guint i = 0; i < count && r == 0;) {
		g_autoptr(GString) program = g_string_new(NULL);
		guint end = MIN(i + KEYS_PER_PROGRAM, count);

		for (; i < end; i++) {
			char key[SITE_NAME_MAX];

			site_key_name(i, count, key);
			g_string_append_printf(program, "put %s/%s/%s 1000\n", site->name, name,
					       key);
		}
		r = bench_interrupted() ? -EINTR : run_program(site, program);
	}
	return r;
}

int site_fill(const struct site *site, const char *name, guint count)
{
	g_autofree char *txn = NULL, *path = NULL;
	int r = count > SITE_FANOUT ? fill_by_programs(site, name, count) : -ENOENT;

	if (r != -ENOENT)
		return r;
	r = begin(site, &txn);
	if (r < 0)
		return r;
	path = g_build_filename(txn, "keys", site->name, name, NULL);
	return finish(txn, site_fill_directory(path, count));
}

int site_prepare(const struct site *site)
{
	if (mkdir(site->keys, 0755) < 0)
		return errno == EEXIST ? 0 : fail_at("make directory", site->keys, -errno);
	return site_fill(site, "accounts", SITE_ACCOUNTS);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(path) < 0 ? -errno : 0;
}

int site_clear(const struct site *site)
{
	g_autoptr(GString) program = g_string_new(NULL);
	g_autofree char *txn = NULL, *path = NULL;
	int r;

	if (access(site->keys, F_OK) < 0)
		return 0;
	g_string_printf(program, "del %s --prefix\n", site->name);
	r = run_program(site, program);
	if (r != -ENOENT)
		return r;
	r = begin(site, &txn);
	if (r < 0)
		return r;
	path = g_build_filename(txn, "keys", site->name, NULL);
	r = nftw(path, remove_entry, 64, FTW_DEPTH | FTW_PHYS);
	return finish(txn, r < 0 ? fail_at("remove", path, r) : 0);
}
