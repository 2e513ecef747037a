/* memory_shim: preloaded into the daemon, between it and its memory. The n-th allocation of at
 * least 64 KiB fails, and no other. Only those are counted that the daemon's own code asks for,
 * or GLib for it: the object file that called is looked up by the return address. RocksDB's are
 * left out, whose std::bad_alloc nobody catches, as are those of libfuse and the C library,
 * whose sizes no user chooses.
 *
 * COMMITFS_MEMORY names the file that is shared with the test: three numbers of 32 bits, how
 * many are still to go until one fails (0: none does), how many were counted, and how many
 * failed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LARGE = 65536 };

struct memory_control {
	_Atomic int32_t left;
	_Atomic int32_t counted;
	_Atomic int32_t failed;
};

static struct memory_control *control;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("COMMITFS_MEMORY");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *mapped;

	if (fd < 0)
		return;
	mapped = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (mapped != MAP_FAILED)
		control = mapped;
}

#define NEXT(name) (__extension__(__typeof__(&name)) dlsym(RTLD_NEXT, #name))

static bool is_ours(const void *caller)
{
	Dl_info info;
	const char *name;

	if (!dladdr(caller, &info) || !info.dli_fname)
		return false;
	name = strrchr(info.dli_fname, '/');
	name = name ? name + 1 : info.dli_fname;
	return strncmp(name, "libglib-2.0.so", 14) == 0 || strcmp(name, "commitfs") == 0;
}

static bool fails(size_t size, const void *caller)
{
	static _Thread_local bool inside; /* dladdr may ask for memory itself */
	bool ours;

	if (size < LARGE || !control || inside)
		return false;
	inside = true;
	ours = is_ours(caller);
	inside = false;
	if (!ours)
		return false;
	atomic_fetch_add(&control->counted, 1);
	if (atomic_load(&control->left) <= 0 || atomic_fetch_sub(&control->left, 1) != 1)
		return false;
	atomic_fetch_add(&control->failed, 1);
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	static __typeof__(&malloc) next;

	if (!next)
		next = NEXT(malloc);
	return fails(size, __builtin_return_address(0)) ? NULL : next(size);
}

void *calloc(size_t count, size_t size)
{
	static __typeof__(&calloc) next;
	size_t bytes = size && count > SIZE_MAX / size ? SIZE_MAX : count * size;

	if (!next)
		next = NEXT(calloc);
	return fails(bytes, __builtin_return_address(0)) ? NULL : next(count, size);
}

void *realloc(void *memory, size_t size)
{
	static __typeof__(&realloc) next;

	if (!next)
		next = NEXT(realloc);
	return fails(size, __builtin_return_address(0)) ? NULL : next(memory, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
	static __typeof__(&posix_memalign) next;

	if (!next)
		next = NEXT(posix_memalign);
	return fails(size, __builtin_return_address(0)) ? ENOMEM : next(ret, alignment, size);
}
