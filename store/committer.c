/* Groups of programs: see committer.h for who does what.
 *
 * A group is evaluated on an overlay over the head, program after program, each seeing what
 * the earlier ones of the group did. All of it is written as one batch; until that is
 * durable nobody is told anything, not even who only compared, since what was seen may
 * never come to be. A batch that could not be written leaves the store read-only: after a
 * failed sync nothing is known of what reached the disk, so it is neither retried nor
 * read, and the next opening finds out. */
#include "store/committer.h"

#include "store/commit.h"
#include "store/evaluate.h"
#include "store/local.h"
#include "store/log.h"
#include "store/overlay.h"
#include "store/program.h"
#include "store/timing.h"

#include <errno.h>
#include <sched.h>

/* Names and values that one program changes, what it supersedes included. */
#define PROGRAM_BYTES_MAX ((uint64_t)1024 * 1024 * 1024)
/* How often the leader yields for those who are likely to come: without it, clients fall
 * apart into two half groups that wait for each other. */
#define YIELDS_MAX 50
/* Who submits leads no longer than that, if others can: it may have more to do. */
#define LEAD_MAX_NS ((int64_t)20 * 1000 * 1000)

struct job {
	struct waiting waiting; /* first: jobs are cut off the queue as a list of these */
	struct program *program;
	program_done_fn *done;
	void *arg;
	int64_t submitted_ns;
	struct evaluation evaluation;
	struct log_entry *commit;    /* NULL: it changes nothing */
	bool depends_on_uncommitted; /* or may: an earlier one of the group changed something */
};

struct group {
	struct local *local;
	struct job *jobs;
	gint size;
	struct timing timing;
	struct overlay *overlay;
	rocksdb_writebatch_t *batch;
	uint64_t revision;    /* the newest, those of this group included */
	struct log_place log; /* behind that */
	struct tree_sum sum;  /* the same; of an encrypted store */
	uint64_t bytes;	      /* written by it */
	uint64_t free_bytes;
	bool changed;
};

static struct job *next_job(const struct job *job)
{
	return (struct job *)job->waiting.next;
}

void committer_get_metrics(const struct committer *committer, struct store_metrics *ret)
{
	const struct store_metrics *metrics = &committer->metrics;

	*ret = (struct store_metrics){ 0 };
	histogram_add_all(&ret->commit_times, &metrics->commit_times);
	for (int step = 0; step < STORE_STEPS; step++)
		histogram_add_all(&ret->steps[step], &metrics->steps[step]);
	histogram_add_all(&ret->group_sizes, &metrics->group_sizes);
	ret->batch_bytes = __atomic_load_n(&metrics->batch_bytes, __ATOMIC_RELAXED);
	ret->syncs = __atomic_load_n(&metrics->syncs, __ATOMIC_RELAXED);
	cache_get_counts(committer->cache, &ret->cache_hits, &ret->cache_misses);
}

/* ---- One program ---------------------------------------------------------------- */

static uint64_t deleted_revision(void *arg, const char *key)
{
	struct group *group = arg;
	uint64_t revision = overlay_deleted_revision(group->overlay, key);

	return revision ? revision : history_deleted_revision(&group->local->head.place, key);
}

/* All of it or, when there is no memory for it, nothing. */
static int add_to_batch(struct group *group, const struct log_entry *commit)
{
	char *error = NULL;
	int r;

	rocksdb_writebatch_set_save_point(group->batch);
	r = commit_write(&group->local->layout, group->batch, commit);
	if (r < 0)
		rocksdb_writebatch_rollback_to_save_point(group->batch, &error);
	else
		rocksdb_writebatch_pop_save_point(group->batch, &error);
	g_assert(!error); /* there is one */
	return r;
}

/* Takes what a program changed on `overlay` into the group. */
static int add_commit(struct group *group, struct job *job, struct overlay *overlay,
		      int64_t time_ns)
{
	uint64_t revision = group->revision + 1;
	struct log_place log = group->log;
	g_autoptr(log_entry) commit = NULL;
	uint64_t bytes;
	int r;

	r = commit_touch_parents(overlay, time_ns);
	if (r < 0)
		return r;
	commit = commit_make(overlay, job->program, revision, time_ns);
	bytes = group->bytes + commit_bytes(&group->local->layout, commit);
	if (!local_has_space(group->free_bytes, bytes, commit_grows(commit)))
		return -ENOSPC;
	log_place_next(&log, commit);
	r = add_to_batch(group, commit);
	if (r < 0)
		return r;
	commit_finish_records(overlay, &job->evaluation, revision);
	if (group->local->layout.sealer)
		tree_sum_commit(&group->sum, &group->local->layout, commit);
	overlay_merge(group->overlay, overlay, revision);
	group->log = log;
	group->revision = revision;
	group->bytes = bytes;
	group->changed = true;
	job->evaluation.result.changed = true;
	job->commit = g_steal_pointer(&commit);
	return 0;
}

/* Programs of a user who keeps the committer for long wait for others'. */
static void note_cost(struct committer *committer, const struct job *job, int64_t began_ns)
{
	int64_t now_ns = timing_now_ns();

	if (!queue_is_costly(now_ns - began_ns))
		return;
	pthread_mutex_lock(&committer->lock);
	queue_note_cost(&committer->queue, job->waiting.uid, now_ns - began_ns, now_ns);
	pthread_mutex_unlock(&committer->lock);
}

static void run_job(struct group *group, struct job *job)
{
	const struct store_options *options = &group->local->options;
	const struct overlay_limits limits = { options->max_value_bytes, options->max_program_keys,
					       PROGRAM_BYTES_MAX, 0 };
	g_autoptr(overlay) overlay = overlay_new_program(group->overlay, &limits);
	struct evaluation *evaluation = &job->evaluation;
	int64_t time_ns = local_now_ns(), began_ns = timing_now_ns();
	int r;

	job->depends_on_uncommitted = group->changed;
	evaluation->before = group->overlay;
	evaluation->deleted_revision = deleted_revision;
	evaluation->arg = group;
	evaluate_compares(evaluation, job->program);
	evaluate_path(evaluation, job->program, overlay, time_ns);
	if (evaluation->result.error == 0 && overlay_keys(overlay) > 0) {
		r = add_commit(group, job, overlay, time_ns);
		if (r < 0)
			evaluation_fail(evaluation, r);
	}
	evaluation_finish(evaluation, group->revision);
	note_cost(&group->local->committer, job, began_ns);
}

/* ---- One group ------------------------------------------------------------------ */

static void note_written(const struct group *group)
{
	struct store_metrics *metrics = &group->local->committer.metrics;
	size_t size;

	rocksdb_writebatch_data(group->batch, &size);
	__atomic_fetch_add(&metrics->batch_bytes, size, __ATOMIC_RELAXED);
	if (group->local->options.sync == STORE_SYNC_ALWAYS)
		__atomic_fetch_add(&metrics->syncs, 1, __ATOMIC_RELAXED);
}

static int write_batch(struct group *group)
{
	struct local *local = group->local;
	int r;

	layout_batch_number(&local->layout, group->batch, META_REVISION, group->revision);
	if (local->layout.sealer) {
		tree_sum_write(&group->sum, &local->layout, group->batch, group->revision);
		local_lock_tree(local);
	}
	r = local_write(local, group->batch, local->options.sync == STORE_SYNC_ALWAYS);
	if (local->layout.sealer)
		local_unlock_tree(local);
	if (r == 0)
		note_written(group);
	return r;
}

/* -ENOSPC: nothing was written. Otherwise nothing is known of what was written, and nobody
 * hears of what may depend on it. */
static void fail_group(struct group *group, int error)
{
	cache_clear(group->local->committer.cache);
	for (struct job *job = group->jobs; job; job = next_job(job)) {
		if (job->commit || job->depends_on_uncommitted)
			evaluation_fail(&job->evaluation, error);
		g_clear_pointer(&job->commit, log_entry_free);
	}
}

/* What the group changes is as it wrote it when `written`; otherwise not known. */
static void keep_records(const struct group *group, bool written)
{
	struct cache *cache = group->local->committer.cache;

	for (const struct job *job = group->jobs; job; job = next_job(job)) {
		for (guint i = 0; job->commit && i < job->commit->changes->len; i++) {
			const struct change *change = job->commit->changes->pdata[i];

			cache_set(cache, change->key, written ? change->after : NULL);
		}
	}
}

static void finish_group(struct group *group)
{
	struct committer *committer = &group->local->committer;
	int r;

	group->timing.evaluated_ns = group->timing.written_ns = timing_now_ns();
	if (!group->changed)
		return;
	/* Snapshots that are taken from the moment it can be read are of its revision. */
	keep_records(group, false);
	r = write_batch(group);
	group->timing.written_ns = timing_now_ns();
	if (r < 0) {
		fail_group(group, r);
		return;
	}
	committer->log = group->log;
	committer->sum = group->sum;
	keep_records(group, true);
	__atomic_store_n(&group->local->revision, group->revision, __ATOMIC_RELEASE);
	compactor_revision_grew(&group->local->compactor, group->revision);
	__atomic_fetch_add(&committer->groups, 1, __ATOMIC_RELAXED);
	for (struct job *job = group->jobs; job; job = next_job(job)) {
		if (!job->commit)
			continue;
		__atomic_fetch_add(&committer->commits, 1, __ATOMIC_RELAXED);
		group->timing.commits++;
		if (committer->watch)
			committer->watch(job->commit, committer->watch_arg);
	}
}

static void evaluate_group(struct group *group)
{
	bool read_only = g_atomic_int_get(&group->local->read_only);

	for (struct job *job = group->jobs; job; job = next_job(job)) {
		evaluation_init(&job->evaluation);
		if (read_only)
			evaluation_fail(&job->evaluation, -EROFS);
		else
			run_job(group, job);
		group->size++;
	}
}

static void job_free(struct job *job)
{
	evaluation_done(&job->evaluation);
	log_entry_free(job->commit);
	program_free(job->program);
	g_free(job);
}

static void answer(struct group *group)
{
	struct local *local = group->local;
	struct store_metrics *metrics = &local->committer.metrics;
	const struct timing *timing = &group->timing;
	struct job *next;

	timing_note_group(metrics, timing);
	for (struct job *job = group->jobs; job; job = next) {
		next = next_job(job);
		timing_note_program(metrics, timing, job->submitted_ns);
		job->done(&job->evaluation.result, job->arg);
		if (job->commit && local->options.slow_ms)
			timing_log_slow(timing, job->submitted_ns, job->commit,
					local->options.slow_ms);
		job_free(job);
	}
	timing_note_told(metrics, timing);
}

static void commit_group(struct committer *committer, struct job *jobs)
{
	struct local *local = committer->local;
	struct group group = {
		.local = local,
		.jobs = jobs,
		.timing.taken_ns = timing_now_ns(),
		.overlay = overlay_new_group(&local->head.base),
		.batch = rocksdb_writebatch_create(),
		.revision = __atomic_load_n(&local->revision, __ATOMIC_ACQUIRE),
		.log = committer->log,
		.sum = committer->sum,
		.free_bytes = local_free_bytes(local),
	};

	evaluate_group(&group);
	finish_group(&group);
	local_note_written(local, group.bytes);
	rocksdb_writebatch_destroy(group.batch);
	overlay_free(group.overlay);
	/* Those answered are likely to come back, to those who came meanwhile. */
	committer->expected = group.size + g_atomic_int_get(&committer->waiting);
	answer(&group);
}

/* ---- Leading -------------------------------------------------------------------- */

/* The next group, or NULL: then the caller leads no more. True: they are heavy. */
static bool take_group(struct committer *committer, struct job **ret)
{
	struct waiting *cut;
	gint count = 0;
	bool heavy;

	for (int i = 0; i < YIELDS_MAX; i++) {
		gint waiting = g_atomic_int_get(&committer->waiting);

		if (waiting == 0 || waiting >= committer->expected)
			break;
		sched_yield();
	}
	pthread_mutex_lock(&committer->lock);
	heavy = queue_take(&committer->queue, timing_now_ns(), &cut);
	for (const struct waiting *job = cut; job && !heavy; job = job->next)
		count++;
	g_atomic_int_add(&committer->waiting, -count);
	if (!cut) {
		committer->leading = false;
		pthread_cond_broadcast(&committer->idle);
		if (committer->stop || queue_due_ns(&committer->queue) < INT64_MAX)
			pthread_cond_signal(&committer->wake); /* it takes them up */
	}
	pthread_mutex_unlock(&committer->lock);
	*ret = (struct job *)cut;
	return heavy;
}

static void note_heavy_group(struct committer *committer, int64_t began_ns)
{
	int64_t now_ns = timing_now_ns();

	pthread_mutex_lock(&committer->lock);
	queue_heavy_done(&committer->queue, now_ns - began_ns, now_ns);
	pthread_mutex_unlock(&committer->lock);
}

/* True: the thread leads from now on. */
static bool hand_over(struct committer *committer)
{
	bool handed_over;

	pthread_mutex_lock(&committer->lock);
	handed_over = queue_due_ns(&committer->queue) <= timing_now_ns();
	committer->handed_over = handed_over;
	if (handed_over)
		pthread_cond_signal(&committer->wake);
	pthread_mutex_unlock(&committer->lock);
	return handed_over;
}

/* Commits what waits, for no longer than LEAD_MAX_NS unless `forever`. */
static void lead(struct committer *committer, bool forever)
{
	int64_t began_ns = timing_now_ns();
	struct job *jobs;

	for (;;) {
		int64_t taken_ns = timing_now_ns();
		bool heavy = take_group(committer, &jobs);

		if (!jobs)
			return;
		commit_group(committer, jobs);
		if (heavy)
			note_heavy_group(committer, taken_ns);
		if (!forever && timing_now_ns() - began_ns > LEAD_MAX_NS && hand_over(committer))
			return;
	}
}

/* True when the caller leads from now on. */
static bool enqueue(struct committer *committer, struct job *job)
{
	bool leads;

	pthread_mutex_lock(&committer->lock);
	if (!queue_add(&committer->queue, &job->waiting, job->submitted_ns))
		g_atomic_int_inc(&committer->waiting);
	leads = !committer->leading;
	committer->leading = true;
	pthread_mutex_unlock(&committer->lock);
	return leads;
}

void committer_submit(struct committer *committer, struct program *program, program_done_fn *done,
		      void *arg)
{
	struct job *job = g_new0(struct job, 1);

	job->program = program;
	job->done = done;
	job->arg = arg;
	job->waiting.bytes = program_bytes(program);
	job->waiting.uid = program->credentials->uid;
	job->submitted_ns = timing_now_ns();
	if (!enqueue(committer, job))
		return;
	if (committer->lead)
		committer->lead(committer->lead_arg);
	lead(committer, false);
}

/* ---- The thread ----------------------------------------------------------------- */

/* Whether to lead now; otherwise waits until that may have changed. Under the lock. */
static bool wait_to_lead(struct committer *committer)
{
	int64_t due_ns = queue_due_ns(&committer->queue);
	struct timespec due = { .tv_sec = due_ns / 1000000000, .tv_nsec = due_ns % 1000000000 };

	if (committer->handed_over)
		return true;
	if (committer->leading || due_ns == INT64_MAX) {
		if (!committer->stop || committer->leading)
			pthread_cond_wait(&committer->wake, &committer->lock);
		return false;
	}
	if (due_ns > timing_now_ns()) {
		pthread_cond_timedwait(&committer->wake, &committer->lock, &due);
		return false;
	}
	return true;
}

static bool is_idle(const struct committer *committer)
{
	return !committer->leading && queue_due_ns(&committer->queue) == INT64_MAX;
}

static void *lead_in_turn(void *arg)
{
	struct committer *committer = arg;

	pthread_mutex_lock(&committer->lock);
	while (!committer->stop || !is_idle(committer)) {
		if (!wait_to_lead(committer))
			continue;
		committer->handed_over = false;
		committer->leading = true;
		pthread_mutex_unlock(&committer->lock);
		lead(committer, true);
		pthread_mutex_lock(&committer->lock);
	}
	pthread_mutex_unlock(&committer->lock);
	return NULL;
}

/* ---- Life ----------------------------------------------------------------------- */

static void release(struct committer *committer)
{
	queue_done(&committer->queue);
	cache_free(committer->cache);
	pthread_cond_destroy(&committer->wake);
	pthread_cond_destroy(&committer->idle);
	pthread_mutex_destroy(&committer->lock);
}

int committer_init(struct committer *committer, struct local *local, const struct log_entry *last)
{
	pthread_condattr_t attributes;
	int r;

	*committer = (struct committer){ .local = local, .log = log_place_after(last) };
	pthread_mutex_init(&committer->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&committer->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	pthread_cond_init(&committer->idle, NULL);
	queue_init(&committer->queue);
	committer->cache = cache_new();
	r = -pthread_create(&committer->thread, NULL, lead_in_turn, committer);
	if (r < 0)
		release(committer);
	return r;
}

void committer_drain(struct committer *committer)
{
	pthread_mutex_lock(&committer->lock);
	while (!is_idle(committer))
		pthread_cond_wait(&committer->idle, &committer->lock);
	pthread_mutex_unlock(&committer->lock);
}

void committer_done(struct committer *committer)
{
	pthread_mutex_lock(&committer->lock);
	committer->stop = true;
	pthread_cond_signal(&committer->wake);
	pthread_mutex_unlock(&committer->lock);
	pthread_join(committer->thread, NULL);
	g_assert(!committer->leading);
	release(committer);
}
