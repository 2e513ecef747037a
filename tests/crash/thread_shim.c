/* thread_shim: preloaded into the daemon, where it fails the start of threads, as a limit of the
 * user or of a cgroup does. COMMITFS_THREADS says which:
 *
 *   limit N   more than N at once, RocksDB's among them
 *   only N    the N-th that the daemon's own code starts, and no other
 *   from N    that and each of its own that follows
 *
 * Each failure adds a byte to the file COMMITFS_THREADS_FAILED. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef void *thread_fn(void *arg);

struct start {
	thread_fn *function;
	void *arg;
};

static atomic_int alive, started;

static void *run(void *arg)
{
	struct start start = *(struct start *)arg;
	void *result;

	free(arg);
	result = start.function(start.arg);
	atomic_fetch_sub(&alive, 1);
	return result;
}

static bool is_ours(thread_fn *function)
{
	Dl_info info;
	const char *name;

	if (!dladdr(__extension__(void *) function, &info) || !info.dli_fname)
		return false;
	name = strrchr(info.dli_fname, '/');
	return strcmp(name ? name + 1 : info.dli_fname, "commitfs") == 0;
}

static bool fails(thread_fn *function)
{
	const char *word = getenv("COMMITFS_THREADS");
	const char *number = word ? strchr(word, ' ') : NULL;
	int n = number ? atoi(number) : 0, count;

	if (!number)
		return false;
	if (word[0] == 'l')
		return atomic_load(&alive) >= n;
	if (!is_ours(function))
		return false;
	count = atomic_fetch_add(&started, 1) + 1;
	return word[0] == 'f' ? count >= n : count == n;
}

static void tell(void)
{
	const char *path = getenv("COMMITFS_THREADS_FAILED");
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;

	if (fd < 0)
		return;
	if (write(fd, "x", 1) != 1)
		abort();
	close(fd);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, thread_fn *function,
		   void *arg)
{
	static __typeof__(&pthread_create) next;
	struct start *start;
	int r;

	if (!next)
		next = __extension__(__typeof__(&pthread_create))
			dlsym(RTLD_NEXT, "pthread_create");
	if (fails(function)) {
		tell();
		return EAGAIN;
	}
	start = malloc(sizeof(*start));
	if (!start)
		return EAGAIN;
	*start = (struct start){ function, arg };
	atomic_fetch_add(&alive, 1);
	r = next(thread, attributes, run, start);
	if (r != 0) {
		atomic_fetch_sub(&alive, 1);
		free(start);
	}
	return r;
}
