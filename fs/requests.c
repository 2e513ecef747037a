/* Counting and timing requests.
 *
 * libfuse gives a request no place for a number of ours, its handlers do not see what it
 * answers by itself (INTERRUPT, and whatever has no handler), and many a request is answered
 * by another thread than the one that took it: the leader of a group of commits, the
 * notifier, the housekeeper. So nothing is counted in handlers. Everything passes through
 * read(2) and writev(2) of the session's descriptor, and libfuse lets these be replaced: a
 * request is counted and stamped when it was read, and timed just before its reply is
 * written, so that whoever got a reply finds it counted.
 *
 * The stamp waits in a table of requests under way, by their unique number: a few cache lines
 * that only those two touch. Requests that wait for long (readers of a stream) would fill it
 * in the end: then the oldest stamp nearby is given up, and that request is counted but not
 * timed.
 *
 * Counters are spread over several blocks of memory, one for each thread, as far as they
 * go: adding costs no waiting for another processor's cache line. Together 67 ns a
 * request, 53 of them for asking the time twice. */
#include "fs/requests.h"

#include "fs/mount.h"

#include <errno.h>
#include <linux/fuse.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { SHARDS = 8, KIND_BITS = 6, STAMPS = 1024, PROBES = 8, CACHE_LINE = 64 };

/* A request under way. Who sets `key` from 0 has the slot until the reply sets it back. An
 * old one may be taken away: its reply finds another key, and at worst the new one's time
 * begins with that of a request which came in the same moment. */
struct stamp {
	_Alignas(CACHE_LINE) uint64_t key; /* atomic: unique number and kind; 0: free */
	int64_t start_ns;		   /* atomic */
};

G_STATIC_ASSERT(REQUEST_KINDS == 1 << KIND_BITS);

struct shard {
	_Alignas(CACHE_LINE) struct request_counts counts; /* atomic */
};

struct requests {
	struct stamp stamps[STAMPS];
	struct shard shards[SHARDS];
};

static const char *const request_names[REQUEST_KINDS] = {
	[FUSE_LOOKUP] = "lookup",
	[FUSE_FORGET] = "forget",
	[FUSE_GETATTR] = "getattr",
	[FUSE_SETATTR] = "setattr",
	[FUSE_READLINK] = "readlink",
	[FUSE_SYMLINK] = "symlink",
	[FUSE_MKNOD] = "mknod",
	[FUSE_MKDIR] = "mkdir",
	[FUSE_UNLINK] = "unlink",
	[FUSE_RMDIR] = "rmdir",
	[FUSE_RENAME] = "rename",
	[FUSE_LINK] = "link",
	[FUSE_OPEN] = "open",
	[FUSE_READ] = "read",
	[FUSE_WRITE] = "write",
	[FUSE_STATFS] = "statfs",
	[FUSE_RELEASE] = "release",
	[FUSE_FSYNC] = "fsync",
	[FUSE_SETXATTR] = "setxattr",
	[FUSE_GETXATTR] = "getxattr",
	[FUSE_LISTXATTR] = "listxattr",
	[FUSE_REMOVEXATTR] = "removexattr",
	[FUSE_FLUSH] = "flush",
	[FUSE_INIT] = "init",
	[FUSE_OPENDIR] = "opendir",
	[FUSE_READDIR] = "readdir",
	[FUSE_RELEASEDIR] = "releasedir",
	[FUSE_FSYNCDIR] = "fsyncdir",
	[FUSE_GETLK] = "getlk",
	[FUSE_SETLK] = "setlk",
	[FUSE_SETLKW] = "setlkw",
	[FUSE_ACCESS] = "access",
	[FUSE_CREATE] = "create",
	[FUSE_INTERRUPT] = "interrupt",
	[FUSE_BMAP] = "bmap",
	[FUSE_DESTROY] = "destroy",
	[FUSE_IOCTL] = "ioctl",
	[FUSE_POLL] = "poll",
	[FUSE_NOTIFY_REPLY] = "notify_reply",
	[FUSE_BATCH_FORGET] = "batch_forget",
	[FUSE_FALLOCATE] = "fallocate",
	[FUSE_READDIRPLUS] = "readdirplus",
	[FUSE_RENAME2] = "rename2",
	[FUSE_LSEEK] = "lseek",
	[FUSE_COPY_FILE_RANGE] = "copy_file_range",
	/* The newest kernel's headers need not be there. */
	[50] = "syncfs",
	[51] = "tmpfile",
	[52] = "statx",
	[REQUEST_KINDS - 1] = "other",
};

static const char *const notice_names[NOTICE_KINDS] = {
	[FUSE_NOTIFY_POLL] = "poll",
	[FUSE_NOTIFY_INVAL_INODE] = "inval_inode",
	[FUSE_NOTIFY_INVAL_ENTRY] = "inval_entry",
	[NOTICE_KINDS - 1] = "other",
};

const char *request_name(unsigned kind)
{
	return kind < REQUEST_KINDS ? request_names[kind] : NULL;
}

const char *notice_name(unsigned kind)
{
	return kind < NOTICE_KINDS ? notice_names[kind] : NULL;
}

struct requests *requests_new(void)
{
	return g_aligned_alloc0(1, sizeof(struct requests), CACHE_LINE);
}

void requests_free(struct requests *requests)
{
	g_aligned_free(requests);
}

/* ---- Counting ------------------------------------------------------------------- */

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The calling thread's counters; more threads than there are share. */
static struct request_counts *own_counts(struct requests *requests)
{
	static _Thread_local unsigned own; /* its number plus one */
	static unsigned threads;

	if (own == 0)
		own = __atomic_fetch_add(&threads, 1, __ATOMIC_RELAXED) % SHARDS + 1;
	return &requests->shards[own - 1].counts;
}

static void increment(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static bool take_slot(struct stamp *stamp, uint64_t before, uint64_t key)
{
	return __atomic_compare_exchange_n(&stamp->key, &before, key, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

/* Numbers of the kernel count up in steps of two. */
static struct stamp *slot_of(struct requests *requests, uint64_t unique, unsigned probe)
{
	return &requests->stamps[(unique / 2 + probe) % STAMPS];
}

/* A free slot, or that of the oldest request nearby. NULL: others were faster. */
static struct stamp *claim_slot(struct requests *requests, uint64_t key)
{
	struct stamp *oldest = NULL;
	uint64_t its_key = 0;
	int64_t its_start_ns = INT64_MAX;

	for (unsigned i = 0; i < PROBES; i++) {
		struct stamp *stamp = slot_of(requests, key >> KIND_BITS, i);
		uint64_t taken = __atomic_load_n(&stamp->key, __ATOMIC_RELAXED);
		int64_t start_ns = __atomic_load_n(&stamp->start_ns, __ATOMIC_RELAXED);

		if (taken == 0 && take_slot(stamp, 0, key))
			return stamp;
		if (taken != 0 && start_ns < its_start_ns) {
			oldest = stamp;
			its_key = taken;
			its_start_ns = start_ns;
		}
	}
	return oldest && take_slot(oldest, its_key, key) ? oldest : NULL;
}

static bool has_reply(unsigned kind)
{
	return kind != FUSE_FORGET && kind != FUSE_BATCH_FORGET && kind != FUSE_INTERRUPT &&
	       kind != FUSE_NOTIFY_REPLY;
}

static void request_came(struct requests *requests, const struct fuse_in_header *header)
{
	unsigned kind = request_name(header->opcode) ? header->opcode : REQUEST_KINDS - 1;
	struct stamp *stamp;

	increment(&own_counts(requests)->kinds[kind].received);
	if (!has_reply(kind))
		return;
	stamp = claim_slot(requests, header->unique << KIND_BITS | kind);
	if (stamp)
		__atomic_store_n(&stamp->start_ns, now_ns(), __ATOMIC_RELAXED);
}

static void reply_goes(struct requests *requests, uint64_t unique)
{
	for (unsigned i = 0; i < PROBES; i++) {
		struct stamp *stamp = slot_of(requests, unique, i);
		uint64_t key = __atomic_load_n(&stamp->key, __ATOMIC_RELAXED);
		unsigned kind = key % REQUEST_KINDS;
		int64_t start_ns;

		if (key >> KIND_BITS != unique)
			continue;
		start_ns = __atomic_load_n(&stamp->start_ns, __ATOMIC_RELAXED);
		if (__atomic_compare_exchange_n(&stamp->key, &key, 0, false, __ATOMIC_RELEASE,
						__ATOMIC_RELAXED))
			histogram_add_ns(&own_counts(requests)->kinds[kind].seconds,
					 now_ns() - start_ns);
		return;
	}
}

/* ---- Between the kernel and libfuse --------------------------------------------- */

static ssize_t counted_read(int fd, void *buffer, size_t size, void *userdata)
{
	struct fs *fs = userdata;
	ssize_t length = read(fd, buffer, size);

	if (length >= (ssize_t)sizeof(struct fuse_in_header))
		request_came(fs->requests, buffer);
	return length;
}

static ssize_t counted_writev(int fd, struct iovec *parts, int count, void *userdata)
{
	struct fs *fs = userdata;
	const struct fuse_out_header *header = parts[0].iov_base;

	if (header->unique)
		reply_goes(fs->requests, header->unique);
	else /* a notification: what would be the error tells its kind */
		increment(&own_counts(fs->requests)
				   ->notices[notice_name((unsigned)header->error) ?
						     (unsigned)header->error :
						     NOTICE_KINDS - 1]);
	return writev(fd, parts, count);
}

int requests_watch(struct fuse_session *session)
{
	static const struct fuse_custom_io io = { .read = counted_read, .writev = counted_writev };

	return fuse_session_custom_io(session, &io, fuse_session_fd(session));
}

/* ---- Reading -------------------------------------------------------------------- */

void requests_get(const struct requests *requests, struct request_counts *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (int i = 0; i < SHARDS; i++) {
		const struct request_counts *counts = &requests->shards[i].counts;

		for (int kind = 0; kind < REQUEST_KINDS; kind++) {
			ret->kinds[kind].received +=
				__atomic_load_n(&counts->kinds[kind].received, __ATOMIC_RELAXED);
			histogram_add_all(&ret->kinds[kind].seconds, &counts->kinds[kind].seconds);
		}
		for (int kind = 0; kind < NOTICE_KINDS; kind++)
			ret->notices[kind] +=
				__atomic_load_n(&counts->notices[kind], __ATOMIC_RELAXED);
	}
}
