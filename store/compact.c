/* The compacting thread: what it is asked for, and when it works by itself. */
#include "store/compact.h"

#include "store/local.h"
#include "store/purge.h"
#include "store/reseal.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define SECOND_NS ((int64_t)1000000000)
/* Between two passes that nobody asked for it rests, for so many times as long as the last
 * one took, and at least a second: so it never takes more than a tenth of a processor. */
#define REST_FACTOR 10
#define REST_MIN_NS SECOND_NS
/* What failed, for want of space most likely, is tried again after so long. */
#define RETRY_NS (60 * SECOND_NS)

int64_t compactor_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

bool compactor_is_stopping(struct compactor *compactor)
{
	return __atomic_load_n(&compactor->stop, __ATOMIC_ACQUIRE);
}

/* ---- Progress ------------------------------------------------------------------- */

void compactor_tell(struct compactor *compactor, const struct compaction *progress,
		    const struct compaction_request *requests, guint count)
{
	pthread_mutex_lock(&compactor->lock);
	compactor->progress = *progress;
	pthread_mutex_unlock(&compactor->lock);
	for (guint i = 0; i < count; i++) {
		if (requests[i].progress)
			requests[i].progress(progress, false, 0, requests[i].arg);
	}
}

void compactor_get_progress(struct compactor *compactor, struct compaction *ret)
{
	pthread_mutex_lock(&compactor->lock);
	*ret = compactor->progress;
	ret->running = ret->running || compactor->wanted;
	pthread_mutex_unlock(&compactor->lock);
}

void compactor_get_resealing(struct compactor *compactor, struct resealing *ret)
{
	pthread_mutex_lock(&compactor->lock);
	*ret = compactor->resealing;
	pthread_mutex_unlock(&compactor->lock);
}

static void finish_requests(struct compactor *compactor, GArray *requests, int error)
{
	struct compaction progress;

	pthread_mutex_lock(&compactor->lock);
	compactor->progress.running = false;
	progress = compactor->progress;
	pthread_mutex_unlock(&compactor->lock);
	for (guint i = 0; i < requests->len; i++) {
		struct compaction_request *request =
			&g_array_index(requests, struct compaction_request, i);

		if (request->progress)
			request->progress(&progress, true, error, request->arg);
	}
}

/* ---- Asking --------------------------------------------------------------------- */

void compactor_want(struct compactor *compactor, store_compaction_fn *progress, void *arg)
{
	const struct compaction_request request = { progress, arg };

	pthread_mutex_lock(&compactor->lock);
	g_array_append_val(compactor->requests, request);
	compactor->wanted = true;
	pthread_cond_signal(&compactor->wake);
	pthread_mutex_unlock(&compactor->lock);
}

int compactor_move_oldest(struct compactor *compactor, uint64_t revision, bool sync)
{
	struct local *local = compactor->local;
	rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
	int r;

	layout_batch_number(&local->layout, batch, META_OLDEST, MAX(revision, local_oldest(local)));
	layout_batch_number(&local->layout, batch, META_COMPACTING, 1);
	r = local_write(local, batch, sync);
	rocksdb_writebatch_destroy(batch);
	/* Only now, and before anything is removed: who reads a revision looks at this when
	 * RocksDB's snapshot for it is taken already. */
	if (r == 0 && revision > local_oldest(local))
		__atomic_store_n(&local->oldest_revision, revision, __ATOMIC_RELEASE);
	return r;
}

int compactor_compact(struct compactor *compactor, uint64_t revision, store_compaction_fn *progress,
		      void *arg)
{
	struct local *local = compactor->local;
	int r;

	if (revision > local_revision(local))
		return -ENOENT;
	pthread_mutex_lock(&local->time_lock);
	r = compactor_move_oldest(compactor, revision, true);
	if (r == 0)
		compactor_want(compactor, progress, arg);
	pthread_mutex_unlock(&local->time_lock);
	return r;
}

int compactor_purge(struct compactor *compactor, const char *key, store_compaction_fn *progress,
		    void *arg)
{
	struct purge *purge;
	int r;

	r = purge_request(compactor->local, key, progress, arg, &purge);
	if (r < 0)
		return r;
	pthread_mutex_lock(&compactor->lock);
	g_queue_push_tail(&compactor->purges, purge);
	pthread_cond_signal(&compactor->wake);
	pthread_mutex_unlock(&compactor->lock);
	return 0;
}

void compactor_revision_grew(struct compactor *compactor, uint64_t revision)
{
	if (revision < __atomic_load_n(&compactor->outgrown_revision, __ATOMIC_RELAXED))
		return;
	__atomic_store_n(&compactor->outgrown_revision, UINT64_MAX, __ATOMIC_RELAXED);
	pthread_mutex_lock(&compactor->lock);
	compactor->outgrown = true;
	pthread_cond_signal(&compactor->wake);
	pthread_mutex_unlock(&compactor->lock);
}

void compactor_snapshot_freed(struct compactor *compactor)
{
	if (!g_atomic_int_get(&compactor->purges_waiting))
		return;
	pthread_mutex_lock(&compactor->lock);
	pthread_cond_signal(&compactor->wake);
	pthread_mutex_unlock(&compactor->lock);
}

/* ---- The thread ----------------------------------------------------------------- */

enum work { WORK_STOP, WORK_PASS, WORK_PURGE, WORK_RESEAL, WORK_HISTORY };

/* The first purge that can go on, taken off the queue, or NULL. REQUIRES(lock) */
static struct purge *take_purge(struct compactor *compactor)
{
	int64_t now_ns = compactor_clock_ns();

	for (GList *link = compactor->purges.head; link; link = link->next) {
		struct purge *purge = link->data;

		if (purge_due_ns(purge) > now_ns)
			continue;
		g_queue_delete_link(&compactor->purges, link);
		return purge;
	}
	return NULL;
}

/* Until when the thread may sleep. REQUIRES(lock) */
static int64_t sleep_until_ns(const struct compactor *compactor, int64_t due_ns)
{
	int64_t until_ns = compactor->rest_until_ns;

	if (!compactor->outgrown)
		until_ns = MAX(until_ns, due_ns);
	if (compactor->reseal)
		until_ns = MIN(until_ns, compactor->reseal_ns);
	for (const GList *link = compactor->purges.head; link; link = link->next)
		until_ns = MIN(until_ns, purge_due_ns(link->data));
	return compactor->retry_ns ? MIN(until_ns, compactor->retry_ns) : until_ns;
}

/* Sleeps until there is something to do. `due_ns`: when history has to be looked at. */
static enum work wait_for_work(struct compactor *compactor, int64_t due_ns, GArray **ret_requests,
			       struct purge **ret_purge)
{
	enum work work = WORK_STOP;

	pthread_mutex_lock(&compactor->lock);
	while (!compactor->stop) {
		int64_t until_ns = sleep_until_ns(compactor, due_ns);
		const struct timespec until = { until_ns / SECOND_NS, until_ns % SECOND_NS };
		bool retry = compactor->retry_ns && compactor_clock_ns() >= compactor->retry_ns;

		work = WORK_PASS;
		if (compactor->wanted || retry)
			break;
		work = WORK_PURGE;
		*ret_purge = take_purge(compactor);
		if (*ret_purge)
			break;
		work = WORK_RESEAL;
		if (compactor->reseal && compactor_clock_ns() >= compactor->reseal_ns)
			break;
		work = WORK_HISTORY;
		if (compactor_clock_ns() >= until_ns)
			break;
		pthread_cond_timedwait(&compactor->wake, &compactor->lock, &until);
	}
	if (compactor->stop)
		work = WORK_STOP;
	if (work == WORK_PASS) {
		compactor->wanted = false;
		compactor->progress = (struct compaction){ .running = true };
		*ret_requests = compactor->requests;
		compactor->requests = g_array_new(FALSE, FALSE, sizeof(struct compaction_request));
	}
	if (work == WORK_HISTORY)
		compactor->outgrown = false;
	pthread_mutex_unlock(&compactor->lock);
	return work;
}

/* Removes the note that a pass is to be made, unless another one is. */
static void note_finished(struct compactor *compactor)
{
	struct local *local = compactor->local;
	rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
	bool wanted;

	pthread_mutex_lock(&local->time_lock);
	pthread_mutex_lock(&compactor->lock);
	wanted = compactor->wanted;
	pthread_mutex_unlock(&compactor->lock);
	rocksdb_writebatch_delete_cf(batch, local->layout.families[FAMILY_META], META_COMPACTING,
				     strlen(META_COMPACTING));
	if (!wanted)
		(void)local_write(local, batch, false); /* one pass too many at the next opening */
	pthread_mutex_unlock(&local->time_lock);
	rocksdb_writebatch_destroy(batch);
}

static void make_pass(struct compactor *compactor, GArray *requests)
{
	int64_t began_ns = compactor_clock_ns();
	int64_t ended_ns;
	int r;

	r = compactor_pass(compactor, requests);
	if (r == 0)
		note_finished(compactor);
	else if (r != -ECANCELED)
		g_warning("store: cannot compact, it is tried again: %s", g_strerror(-r));
	ended_ns = compactor_clock_ns();
	/* A store that has failed stays so until it is opened again. */
	compactor->retry_ns = r < 0 && r != -EROFS ? ended_ns + RETRY_NS : 0;
	compactor->rest_until_ns = ended_ns + MAX(REST_MIN_NS, REST_FACTOR * (ended_ns - began_ns));
	finish_requests(compactor, requests, r);
}

static void make_purge(struct compactor *compactor, struct purge *purge)
{
	bool finished = purge_go_on(purge);

	if (finished) {
		purge_free(purge);
		return;
	}
	pthread_mutex_lock(&compactor->lock);
	g_queue_push_tail(&compactor->purges, purge);
	pthread_mutex_unlock(&compactor->lock);
}

static void tell_resealing(struct compactor *compactor)
{
	struct resealing resealing = { .running = compactor->reseal != NULL };

	if (compactor->reseal)
		reseal_get_progress(compactor->reseal, &resealing.records_done,
				    &resealing.records_total);
	pthread_mutex_lock(&compactor->lock);
	compactor->resealing = resealing;
	pthread_mutex_unlock(&compactor->lock);
}

static void make_reseal(struct compactor *compactor)
{
	int64_t began_ns = compactor_clock_ns();
	int64_t ended_ns;
	int r;

	r = reseal_step(compactor->reseal);
	ended_ns = compactor_clock_ns();
	/* Half of a processor is for others, where there are few. */
	compactor->reseal_ns = ended_ns + (ended_ns - began_ns);
	if (r == -ENOSPC)
		compactor->reseal_ns = ended_ns + RETRY_NS;
	if (r == -EBADMSG)
		g_warning("store: all but what is damaged is encrypted with the new data key; the "
			  "old ones stay");
	else if (r < 0 && r != -ENOSPC && r != -ECANCELED)
		g_warning("store: cannot encrypt with the new data key, it goes on when the store "
			  "is opened next: %s",
			  g_strerror(-r));
	if (r != 1 && r != -ENOSPC)
		g_clear_pointer(&compactor->reseal, reseal_free);
	tell_resealing(compactor);
}

static void move_history(struct compactor *compactor)
{
	struct local *local = compactor->local;
	uint64_t before = local_oldest(local);
	int r;

	pthread_mutex_lock(&local->time_lock);
	r = retention_move(local);
	if (r == 0 && local_oldest(local) > before)
		compactor_want(compactor, NULL, NULL);
	pthread_mutex_unlock(&local->time_lock);
	/* Not at once again, whatever it was. */
	if (r < 0)
		compactor->rest_until_ns = compactor_clock_ns() + RETRY_NS;
	__atomic_store_n(&compactor->outgrown_revision, retention_outgrown(local),
			 __ATOMIC_RELAXED);
	compactor_revision_grew(compactor, local_revision(local));
}

static void *run(void *arg)
{
	struct compactor *compactor = arg;
	int64_t due_ns = 0;

	for (;;) {
		g_autoptr(GArray) requests = NULL;
		struct purge *purge = NULL;

		switch (wait_for_work(compactor, due_ns, &requests, &purge)) {
		case WORK_STOP:
			return NULL;
		case WORK_PASS:
			make_pass(compactor, requests);
			break;
		case WORK_PURGE:
			make_purge(compactor, purge);
			break;
		case WORK_RESEAL:
			make_reseal(compactor);
			break;
		case WORK_HISTORY:
			move_history(compactor);
			due_ns = retention_due_ns(compactor->local);
			break;
		}
	}
}

/* ---- Starting and stopping ------------------------------------------------------ */

static int add_purge(const char *key, size_t key_size, const char *bytes, size_t size, void *arg)
{
	struct compactor *compactor = arg;
	size_t prefix = strlen(META_PURGE_PREFIX);
	g_autofree char *purged = g_strndup(key + prefix, key_size - prefix);

	g_queue_push_tail(&compactor->purges, purge_resume(compactor->local, purged, bytes, size));
	return 0;
}

/* What cannot be read while a store is opened is damage, `what` says of what. */
static int as_damage(int error, const char *what, const char **ret_damaged)
{
	if (error != -EIO)
		return error;
	*ret_damaged = what;
	return -EUCLEAN;
}

/* What was not finished when the store was last open. */
static int take_up(struct compactor *compactor, const char **ret_damaged)
{
	const struct layout *layout = &compactor->local->layout;
	uint64_t ignored;
	int r;

	r = layout_get_number(layout, layout->newest, META_COMPACTING, &ignored);
	compactor->wanted = r == 0;
	if (r < 0 && r != -ENOENT)
		return as_damage(r, "its note of a compaction cannot be read", ret_damaged);
	r = layout_list_meta(layout, META_PURGE_PREFIX, add_purge, compactor);
	if (r < 0)
		return as_damage(r, "its notes of purges cannot be read", ret_damaged);
	r = reseal_new(compactor->local, &compactor->reseal);
	if (r < 0)
		return as_damage(r, "its note of what has the new key cannot be read", ret_damaged);
	tell_resealing(compactor);
	return 0;
}

int compactor_start(struct compactor *compactor, struct local *local, const char **ret_damaged)
{
	pthread_condattr_t attributes;
	int r;

	*compactor = (struct compactor){ .local = local, .outgrown_revision = UINT64_MAX };
	compactor->requests = g_array_new(FALSE, FALSE, sizeof(struct compaction_request));
	pthread_mutex_init(&compactor->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&compactor->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	r = take_up(compactor, ret_damaged);
	if (r == 0)
		r = -pthread_create(&compactor->thread, NULL, run, compactor);
	compactor->running = r == 0;
	if (r < 0)
		compactor_stop(compactor);
	return r;
}

void compactor_stop(struct compactor *compactor)
{
	struct purge *purge;

	pthread_mutex_lock(&compactor->lock);
	__atomic_store_n(&compactor->stop, true, __ATOMIC_RELEASE);
	pthread_cond_signal(&compactor->wake);
	pthread_mutex_unlock(&compactor->lock);
	/* Ends what the thread waits for in RocksDB. */
	rocksdb_disable_manual_compaction(compactor->local->layout.db);
	if (compactor->running)
		pthread_join(compactor->thread, NULL);
	finish_requests(compactor, compactor->requests, -ECANCELED);
	while ((purge = g_queue_pop_head(&compactor->purges))) {
		purge_cancel(purge);
		purge_free(purge);
	}
	reseal_free(compactor->reseal);
	g_array_unref(compactor->requests);
	pthread_cond_destroy(&compactor->wake);
	pthread_mutex_destroy(&compactor->lock);
}
