/* The kernel gives inodes back when it is short of memory itself. It knows nothing of a limit
 * on the daemon's, which has some 400 bytes for each of them.
 *
 * Linux 6.18 can be asked to (FUSE_NOTIFY_PRUNE): it drops those of the inodes named that
 * nothing uses, and answers with FORGETs. Other notifications are no substitute: they make open
 * files and working directories look deleted. An older kernel refuses the first, and there is
 * no limit then.
 *
 * What is in use is passed over, so for each batch of new nodes two are looked at: work is
 * bounded, and so is the number, unless most are in use.
 *
 * A commit of a million keys takes a gigabyte for a moment, in pieces that the C library keeps,
 * for each thread anew: after four of them 3.1 GB were held, of which 0.8 were left when it was
 * told to give back what it can. That takes 0.2 to 0.4 s. */
#include "fs/prune.h"

#include <errno.h>
#include <malloc.h>
#include <sys/uio.h>

enum { BATCH = 512 };

/* After commits of as many changes, and so much later, when what they took is free. */
enum { MANY_CHANGES = 50000, TRIM_DELAY_S = 2 };

/* Linux' include/uapi/linux/fuse.h, which is not installed as new as that. */
enum { NOTIFY_PRUNE = 9 };

struct prune_message {
	uint32_t length;
	int32_t code;
	uint64_t unique; /* 0: nobody asked */
	uint32_t count;
	uint32_t padding;
	uint64_t spare;
};

struct pruner {
	struct fs *fs;	  /* set once */
	pthread_t thread; /* set once */
	/* Of the node table's lock. */
	bool stop;
	bool deaf;	/* the kernel does not know how to */
	time_t trim_at; /* 0: not at all */
};

static int tell_kernel(struct pruner *pruner, uint64_t *ids, size_t count)
{
	size_t size = count * sizeof(*ids);
	struct prune_message message = {
		.length = (uint32_t)(sizeof(message) + size),
		.code = NOTIFY_PRUNE,
		.count = (uint32_t)count,
	};
	struct iovec parts[] = { { &message, sizeof(message) }, { ids, size } };

	return writev(fuse_session_fd(pruner->fs->session), parts, 2) < 0 ? -errno : 0;
}

static void prune_batch(struct pruner *pruner)
{
	struct node_table *table = &pruner->fs->nodes;
	uint64_t ids[BATCH];
	size_t count = node_take_oldest_locked(table, ids, BATCH);
	int r = 0;

	pthread_mutex_unlock(&table->lock);
	if (count > 0)
		r = tell_kernel(pruner, ids, count);
	if (r == -EINVAL)
		g_info("the kernel cannot be asked to forget inodes, before Linux 6.18: the limit "
		       "of --max-nodes does not hold");
	pthread_mutex_lock(&table->lock);
	pruner->deaf = r == -EINVAL;
}

static void trim(struct pruner *pruner)
{
	pruner->trim_at = 0;
	pthread_mutex_unlock(&pruner->fs->nodes.lock);
	malloc_trim(0);
	pthread_mutex_lock(&pruner->fs->nodes.lock);
}

static void *run_pruner(void *arg)
{
	struct pruner *pruner = arg;
	struct node_table *table = &pruner->fs->nodes;

	pthread_mutex_lock(&table->lock);
	while (!pruner->stop) {
		struct timespec until = { .tv_sec = pruner->trim_at };

		if (!pruner->deaf && node_table_is_crowded_locked(table))
			prune_batch(pruner);
		else if (!pruner->trim_at)
			pthread_cond_wait(&table->crowded, &table->lock);
		else if (time(NULL) < pruner->trim_at)
			pthread_cond_timedwait(&table->crowded, &table->lock, &until);
		else
			trim(pruner);
	}
	pthread_mutex_unlock(&table->lock);
	return NULL;
}

void pruner_note_commit(struct pruner *pruner, guint changes)
{
	if (changes < MANY_CHANGES)
		return;
	pthread_mutex_lock(&pruner->fs->nodes.lock);
	pruner->trim_at = time(NULL) + TRIM_DELAY_S;
	pthread_cond_signal(&pruner->fs->nodes.crowded);
	pthread_mutex_unlock(&pruner->fs->nodes.lock);
}

int pruner_new(struct fs *fs, struct pruner **ret)
{
	struct pruner *pruner = g_new0(struct pruner, 1);
	int r;

	pruner->fs = fs;
	r = -pthread_create(&pruner->thread, NULL, run_pruner, pruner);
	if (r < 0)
		g_free(pruner);
	else
		*ret = pruner;
	return r;
}

void pruner_stop(struct pruner *pruner)
{
	if (!pruner)
		return;
	pthread_mutex_lock(&pruner->fs->nodes.lock);
	pruner->stop = true;
	pthread_cond_signal(&pruner->fs->nodes.crowded);
	pthread_mutex_unlock(&pruner->fs->nodes.lock);
	pthread_join(pruner->thread, NULL);
}

void pruner_free(struct pruner *pruner)
{
	g_free(pruner);
}
