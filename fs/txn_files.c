/* The files of a transaction: what each reads, and what a write to it does. */
#include "fs/txn_files.h"

#include "fs/commit.h"
#include "fs/loop.h"
#include "fs/tree.h"

#include <fcntl.h>

/* ---- Reading -------------------------------------------------------------------- */

#define TXN_TEXT(name, function)                                       \
	int name(struct handle *handle, fuse_req_t req, GString **ret) \
	{                                                              \
		(void)req;                                             \
		*ret = function(handle->node->txn);                    \
		return 0;                                              \
	}

TXN_TEXT(text_commit, txn_text_commit)
TXN_TEXT(text_message, txn_text_message)
TXN_TEXT(text_isolation, txn_text_isolation)
TXN_TEXT(text_timeout, txn_text_timeout)
TXN_TEXT(text_txn_status, txn_text_status)
TXN_TEXT(text_reads, txn_text_reads)
TXN_TEXT(text_writes, txn_text_writes)
TXN_TEXT(text_conflicts, txn_text_conflicts)

/* ---- Writing -------------------------------------------------------------------- */

struct written {
	struct fs *fs;
	fuse_req_t req;
	size_t size;
	int error;
};

static void reply_told(void *arg)
{
	struct written *written = arg;

	control_reply_written(written->req, written->size, written->error);
	g_free(written);
}

/* Who is told of the commit sees it in all later calls. */
static void commit_done(int error, void *arg)
{
	struct written *written = arg;

	written->error = error;
	if (error == 0)
		notifier_when_told(written->fs->notifier, reply_told, written);
	else
		reply_told(written);
}

static void step_down_for(struct txn *txn)
{
	if (txn_is_large(txn))
		loop_step_down();
}

static const char unwritten[] = "commit: opened for writing and closed without a byte written";

void act_commit(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	struct written *written = g_new(struct written, 1);

	pthread_mutex_lock(&handle->lock);
	handle->begun = true;
	pthread_mutex_unlock(&handle->lock);
	written->fs = handle->fs;
	written->req = req;
	written->size = size;
	step_down_for(handle->node->txn);
	txn_clear_last_error(handle->node->txn, unwritten);
	txn_commit(handle->node->txn, data, size, commit_done, written);
}

/* `: > commit` looks like a commit and is none: without a byte nothing comes here but the
 * FLUSH of close(2). */
void control_flush(struct handle *handle)
{
	bool begun;

	/* An older kernel sends it for every file. */
	if (handle->node->control->action != act_commit || (handle->flags & O_ACCMODE) == O_RDONLY)
		return;
	pthread_mutex_lock(&handle->lock);
	begun = handle->begun;
	pthread_mutex_unlock(&handle->lock);
	if (!begun)
		txn_set_last_error(handle->node->txn, "%s", unwritten);
}

/* Nothing of the old round can be found by name when the write returns. */
static void new_round(struct handle *handle, fuse_req_t req, size_t size, txn_round_fn *begin)
{
	struct written *written;
	int r = tree_new_round(handle->fs, handle->node->txn, begin);

	if (r < 0) {
		reply_error(req, r);
		return;
	}
	written = g_new(struct written, 1);
	*written = (struct written){ handle->fs, req, size, 0 };
	tree_when_told(written->fs, reply_told, written);
}

/* A restart that waits for its turn; the kernel keeps the handle until it is answered. */
struct restarting {
	struct handle *handle;
	fuse_req_t req;
	size_t size;
};

static void restart_now(void *arg)
{
	struct restarting *restarting = arg;
	struct handle *handle = restarting->handle;

	/* What was looked at while it waited belongs to the old round. */
	provisional_settle_txn(handle->fs, handle->node->txn, NULL);
	new_round(handle, restarting->req, restarting->size, txn_restart);
	g_free(restarting);
}

void act_restart(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	struct restarting *restarting = g_new(struct restarting, 1);

	(void)data;
	step_down_for(handle->node->txn);
	*restarting = (struct restarting){ handle, req, size };
	txn_take_turn(handle->node->txn, restart_now, restarting);
}

void act_rebase(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	(void)data;
	step_down_for(handle->node->txn);
	new_round(handle, req, size, txn_rebase);
}

/* The writes of one open follow each other. */
void act_message(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	int r;

	pthread_mutex_lock(&handle->lock);
	r = txn_set_message(handle->node->txn, data, size, handle->begun);
	handle->begun = true;
	pthread_mutex_unlock(&handle->lock);
	control_reply_written(req, size, r);
}

void act_isolation(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	g_autofree char *word = g_strstrip(g_strndup(data, size));

	control_reply_written(req, size, txn_set_isolation(handle->node->txn, word));
}

void act_timeout(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	g_autofree char *word = g_strstrip(g_strndup(data, size));

	control_reply_written(req, size, txn_set_timeout(handle->node->txn, word));
}
