/* The parent makes the first and the last records, and watches: a mount that does not get on
 * for a minute is ended, and every process with it. */
#include "run.h"

#include "deaths.h"
#include "mounted.h"
#include "worker.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STALL_SECONDS = 60, PROCESSES_MOST = 256, CYCLE_RECORDS = 1000000 };

struct run {
	const struct run_options *options;
	struct mounted mounted;
	struct shared *shared;
	pid_t pids[PROCESSES_MOST];
	unsigned running;
	bool failed;
	unsigned cycle;
	uint64_t first, last;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = number;
}

/* What a process writes down in a later cycle comes after what it wrote before. */
static char *record_path(const struct run *run, unsigned cycle, unsigned index)
{
	return g_strdup_printf("%s/records.%u.%u", run->mounted.base, cycle, index);
}

static void init_worker(const struct run *run, struct worker *worker, unsigned index)
{
	g_autofree char *path = record_path(run, run->cycle, index);

	memset(worker, 0, sizeof(*worker));
	worker->index = index;
	worker->processes = run->options->processes;
	worker->point = run->mounted.point;
	worker->shared = run->shared;
	worker->random = (run->options->seed + run->cycle) * UINT64_C(1000003) + index;
	worker_init(worker, path);
	worker->record.sequence = run->cycle * CYCLE_RECORDS;
}

/* ---- Children ------------------------------------------------------------------- */

enum task { TASK_WORK, TASK_SET_UP, TASK_DUMP };

static void do_task(const struct run *run, enum task task, unsigned index)
{
	struct worker worker;

	init_worker(run, &worker, index);
	switch (task) {
	case TASK_WORK:
		worker_run(&worker);
		break;
	case TASK_SET_UP:
		worker_revision(&worker);
		worker_transaction(&worker, "set up", LEVEL_SERIALIZABLE_SNAPSHOT, worker_set_up);
		break;
	case TASK_DUMP:
		worker_dump(&worker, DUMP_KIND);
		break;
	}
	worker_done(&worker);
}

/* What touches the mount is always a child, so that a mount that hangs cannot hang us. */
static void start_task(struct run *run, enum task task, unsigned index)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGINT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
		do_task(run, task, index);
		_exit(0);
	}
	if (pid > 0)
		run->pids[run->running++] = pid;
	else
		run->failed = true;
}

static void fail(struct run *run, const char *why)
{
	if (!run->failed)
		fprintf(stderr, "%s\n", why);
	run->failed = true;
	atomic_store(&run->shared->stop, true);
}

static void reap(struct run *run)
{
	for (unsigned i = 0; i < run->running;) {
		int status;

		if (waitpid(run->pids[i], &status, WNOHANG) == run->pids[i]) {
			run->pids[i] = run->pids[--run->running];
			if (status != 0)
				fail(run, "a process of the workload failed");
		} else {
			i++;
		}
	}
}

/* Ends those that are left. A process in a call on the mount ends when the mount does. */
static void end_children(struct run *run)
{
	for (unsigned i = 0; i < run->running; i++)
		kill(run->pids[i], SIGKILL);
	if (run->running > 0)
		mounted_stop(&run->mounted, false);
	for (unsigned i = 0; i < run->running; i++)
		waitpid(run->pids[i], NULL, 0);
	run->running = 0;
}

static bool wait_for_children(struct run *run)
{
	gint64 moved = g_get_monotonic_time();
	uint64_t steps = atomic_load(&run->shared->steps);

	while (run->running > 0 && !interrupted) {
		gint64 now = g_get_monotonic_time();

		if (steps != atomic_load(&run->shared->steps)) {
			steps = atomic_load(&run->shared->steps);
			moved = now;
		}
		if (now - moved > STALL_SECONDS * (gint64)G_USEC_PER_SEC) {
			fail(run, "nobody got on for a minute");
			break;
		}
		if (!run->shared->mortal && !mounted_is_alive(&run->mounted)) {
			fail(run, "the mount's process ended");
			break;
		}
		g_usleep(5000);
		reap(run);
	}
	if (interrupted)
		fail(run, "interrupted");
	end_children(run);
	return !run->failed;
}

static bool do_one(struct run *run, enum task task, unsigned index)
{
	start_task(run, task, index);
	return wait_for_children(run);
}

/* ---- The course ----------------------------------------------------------------- */

static bool do_work(struct run *run)
{
	gint64 begun = g_get_monotonic_time();
	uint64_t transactions = run->options->transactions;
	double seconds;

	atomic_store(&run->shared->left, transactions);
	for (unsigned i = 0; i < run->options->processes; i++)
		start_task(run, TASK_WORK, i);
	if (!wait_for_children(run))
		return false;
	seconds = (double)(g_get_monotonic_time() - begun) / G_USEC_PER_SEC;
	printf("%" G_GUINT64_FORMAT " transactions of %u processes in %.1f s, %.0f per second\n",
	       transactions, run->options->processes, seconds, (double)transactions / seconds);
	return true;
}

/* The state is looked at before the unmount and after the next mount. */
static bool do_course(struct run *run)
{
	unsigned next = run->options->processes;

	if (!mounted_start(&run->mounted) || !do_one(run, TASK_SET_UP, next) || !do_work(run) ||
	    !do_one(run, TASK_DUMP, next + 1) || !mounted_stop(&run->mounted, true))
		return false;
	return mounted_start(&run->mounted) && do_one(run, TASK_DUMP, next + 2) &&
	       mounted_stop(&run->mounted, true);
}

/* One death: the load, the end, the next mount over the dead one, and a look at it all. */
static bool do_cycle(struct run *run)
{
	const struct run_deaths *deaths = run->options->deaths;
	double seconds = 0;

	run->shared->mortal = true;
	for (unsigned i = 0; i < run->options->processes; i++)
		start_task(run, TASK_WORK, i);
	deaths->bring_about(run->cycle, run->mounted.daemon, &seconds, deaths->arg);
	mounted_wait_dead(&run->mounted, seconds);
	if (!wait_for_children(run))
		return false;
	run->shared->mortal = false;
	if (deaths->bury)
		deaths->bury(run->cycle, run->mounted.store, deaths->arg);
	if (deaths->prepare)
		deaths->prepare(run->cycle + 1, run->mounted.store, deaths->arg);
	return mounted_start(&run->mounted) && do_one(run, TASK_DUMP, run->options->processes + 1);
}

static bool do_deadly_course(struct run *run)
{
	const struct run_deaths *deaths = run->options->deaths;

	if (deaths->prepare)
		deaths->prepare(0, run->mounted.store, deaths->arg);
	if (!mounted_start(&run->mounted) || !do_one(run, TASK_SET_UP, run->options->processes))
		return false;
	atomic_store(&run->shared->left, G_MAXINT64);
	for (; run->cycle < deaths->cycles; run->cycle++)
		if (!do_cycle(run))
			return false;
	return true;
}

/* A file that is not there is one of a process that had nothing to do in that cycle. */
static int read_histories(struct run *run, struct history *history)
{
	const struct record *first, *last;
	unsigned count = run->options->processes + 3;

	for (unsigned i = 0; i < MAX(run->cycle, 1) * count; i++) {
		g_autofree char *path = record_path(run, i / count, i % count);
		int r = history_read(history, path);

		if (r < 0 && !(r == -ENOENT && i % count >= run->options->processes)) {
			fprintf(stderr, "cannot read %s: %s\n", path, g_strerror(-r));
			return r;
		}
	}
	last = g_ptr_array_index(history->records, history->records->len - 1);
	history->last = last->base;
	for (unsigned i = 0; i < history->records->len; i++) {
		first = g_ptr_array_index(history->records, i);
		if (first->process == run->options->processes)
			history->first = first->base;
	}
	return 0;
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

int run_workload(const struct run_options *options, struct history **ret)
{
	struct run run = { .options = options };
	struct history *history = history_new();
	int r = -EIO;

	catch_signals();
	run.shared = mmap(NULL, sizeof(*run.shared), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (run.shared == MAP_FAILED || options->processes + 3 > PROCESSES_MOST) {
		history_free(history);
		return -EINVAL;
	}
	if (mounted_init(&run.mounted, options->command) &&
	    (options->deaths ? do_deadly_course(&run) : do_course(&run)))
		r = read_histories(&run, history);
	if (r == 0 && options->deaths)
		r = deaths_resolve(history, run.mounted.point);
	mounted_done(&run.mounted);
	munmap(run.shared, sizeof(*run.shared));
	if (r == 0)
		*ret = history;
	else
		history_free(history);
	return r;
}
