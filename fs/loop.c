/* The threads that serve requests.
 *
 * One thread receives requests and serves them, one after the other; the others stand by.
 * Most requests take some microseconds, less than waking another thread does. One that may
 * wait for the disk, or works for long, makes its thread step down first. From then on those
 * who stand by are called by the next request, and who comes first receives: the thread itself
 * when it is through before anything came, which costs nobody a wake-up, or one of them; and
 * when nobody stands by a new thread does. So whatever waits, somebody receives. When requests
 * are found waiting time after time, a second thread helps as long as it finds some.
 *
 * Waking a processor that sleeps takes longer than most requests. So while requests follow each
 * other closely, as those of one call do, the receiver looks for the next one for a moment
 * before it sleeps: a read of a key takes 70 us in place of 290, for some 50 us of processor
 * time when the last one of them was served.
 *
 * Threads that all wait in read(2), as those of libfuse do, are woken in turn, each time on
 * another processor: a read of a key took 100 us with four of them and 50 us with one that
 * stays, a stat of 16 clients 11 us of processor time and 7. */
#include "fs/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* More can only wait for the same disk. */
#define THREADS_MAX 64
/* So many in a row that were there before they were asked for call for help. */
#define WAITING_MANY 2
/* Longer than a client takes from an answer to its next request, though its processor has slept
 * meanwhile: with 30, one that had waited for a commit came too late. */
#define LINGER_US 50
/* What comes within so long follows closely, though its processor had to be woken. */
#define CLOSE_US 150

enum role {
	ROLE_NONE,
	ROLE_RECEIVER, /* one at most: waits for requests */
	ROLE_HELPER,   /* one at most: leaves when no request is waiting */
};

struct worker {
	struct loop *loop;
	pthread_t thread;
	struct fuse_buf buffer; /* its thread's */
	bool lingers;		/* its thread's: the last request followed closely */
	gint waiting;		/* atomic: it waits for a request, or is about to */
};

struct loop {
	struct fuse_session *session; /* set once */
	pthread_mutex_t lock;
	int calls;	       /* set once: an epoll, where those who stand by wait */
	bool calling;	       /* lock: the device is in it */
	bool receiver;	       /* lock: somebody has the role */
	bool helper;	       /* lock: somebody has it */
	bool help_wanted;      /* lock */
	bool stopping;	       /* lock */
	guint standing_by;     /* lock */
	GPtrArray *workers;    /* lock: struct worker */
	gint error;	       /* atomic: why the device could not be read, or 0 */
	int stop_fd;	       /* set once: an eventfd that is written to when it is to end */
	int end_fd;	       /* set once: the same for those who stand by, and never read */
	bool lingering;	       /* set once: there is more than one processor */
	sigset_t stop_signals; /* set once */
};

/* What this thread does, and in which loop. */
static _Thread_local enum role role;
static _Thread_local struct loop *serving;

/* ---- Ending --------------------------------------------------------------------- */

static int signal_fd = -1;

static void tell_stop(int fd)
{
	const uint64_t one = 1;
	ssize_t written = write(fd, &one, sizeof(one));

	(void)written; /* a full counter says the same */
}

static void stop_by_signal(int number)
{
	int error = errno;

	(void)number;
	tell_stop(signal_fd);
	errno = error;
}

static void wait_for_stop(const struct loop *loop)
{
	uint64_t count;

	while (read(loop->stop_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

/* ---- Receiving ------------------------------------------------------------------ */

/* True when there was a request, which is in the worker's buffer. The device is not one to wait
 * in: who finds nothing decides how to wait. */
static bool receive(struct worker *worker)
{
	struct loop *loop = worker->loop;
	int r = fuse_session_receive_buf(loop->session, &worker->buffer);

	if (r > 0)
		return true;
	if (r != -EINTR && r != -EAGAIN) {
		g_atomic_int_set(&loop->error, r);
		fuse_session_exit(loop->session);
		tell_stop(loop->stop_fd);
	}
	return false;
}

/* Sleeps until there is a request. At the end the thread is interrupted here. It is not
 * cancelled: what a cancelled thread leaves behind on its stack the address sanitizer takes for
 * an error. */
static void sleep_until_request(struct worker *worker)
{
	struct pollfd device = { .fd = fuse_session_fd(worker->loop->session), .events = POLLIN };

	g_atomic_int_set(&worker->waiting, 1);
	poll(&device, 1, -1);
	g_atomic_int_set(&worker->waiting, 0);
}

/* Waits for a request, and receives it. False: it was interrupted. */
static bool wait_for_request(struct worker *worker)
{
	int64_t since_us = g_get_monotonic_time();

	while (worker->lingers && g_get_monotonic_time() - since_us < LINGER_US) {
		sched_yield(); /* whoever else wants the processor gets it */
		if (receive(worker))
			return true;
	}
	sleep_until_request(worker);
	worker->lingers = worker->loop->lingering && g_get_monotonic_time() - since_us < CLOSE_US;
	return receive(worker);
}

/* Whether a request that waits, or the next one, calls one of those who stand by. Otherwise the
 * device is not in the epoll at all: a request would wake one of them, whatever events were
 * asked for. REQUIRES(lock) */
static void set_calling(struct loop *loop, bool calling)
{
	struct epoll_event event = { .events = EPOLLONESHOT | EPOLLIN };
	int change = loop->calling ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (calling || loop->calling)
		epoll_ctl(loop->calls, calling ? change : EPOLL_CTL_DEL,
			  fuse_session_fd(loop->session), &event);
	loop->calling = calling;
}

/* The receiver has found requests waiting. */
static void call_for_help(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	if (!loop->helper && loop->standing_by > 0) {
		loop->help_wanted = true;
		set_calling(loop, true);
	}
	pthread_mutex_unlock(&loop->lock);
}

static void serve_as_receiver(struct worker *worker)
{
	struct loop *loop = worker->loop;
	guint in_a_row = 0;

	while (role == ROLE_RECEIVER && !fuse_session_exited(loop->session)) {
		if (receive(worker))
			in_a_row++;
		else if (wait_for_request(worker))
			in_a_row = 0;
		else
			continue;
		if (in_a_row == WAITING_MANY) {
			call_for_help(loop);
			in_a_row = 0;
		}
		fuse_session_process_buf(loop->session, &worker->buffer);
	}
}

static void serve_as_helper(struct worker *worker)
{
	struct loop *loop = worker->loop;

	while (role == ROLE_HELPER && !fuse_session_exited(loop->session) && receive(worker))
		fuse_session_process_buf(loop->session, &worker->buffer);
}

/* Takes the role that is to be had, if any. */
static enum role take_role_locked(struct loop *loop)
{
	if (!loop->receiver) {
		loop->receiver = true;
		set_calling(loop, false);
		return ROLE_RECEIVER;
	}
	if (!loop->help_wanted || loop->helper)
		return ROLE_NONE;
	loop->help_wanted = false;
	loop->helper = true;
	return ROLE_HELPER;
}

static void give_role_up_locked(struct loop *loop)
{
	if (role == ROLE_RECEIVER)
		loop->receiver = false;
	else if (role == ROLE_HELPER)
		loop->helper = false;
	role = ROLE_NONE;
}

static void stand_by_locked(struct loop *loop)
{
	struct epoll_event event;

	loop->standing_by++;
	pthread_mutex_unlock(&loop->lock);
	epoll_wait(loop->calls, &event, 1, -1); /* what it was is seen under the lock */
	pthread_mutex_lock(&loop->lock);
	loop->standing_by--;
}

static void *run_worker(void *arg)
{
	struct worker *worker = arg;
	struct loop *loop = worker->loop;

	serving = loop;
	pthread_mutex_lock(&loop->lock);
	while (!loop->stopping) {
		role = fuse_session_exited(loop->session) ? ROLE_NONE : take_role_locked(loop);
		if (role == ROLE_NONE) {
			stand_by_locked(loop);
			continue;
		}
		pthread_mutex_unlock(&loop->lock);
		if (role == ROLE_RECEIVER)
			serve_as_receiver(worker);
		else
			serve_as_helper(worker);
		pthread_mutex_lock(&loop->lock);
		give_role_up_locked(loop);
	}
	pthread_mutex_unlock(&loop->lock);
	return NULL;
}

static int add_worker_locked(struct loop *loop)
{
	struct worker *worker = g_new0(struct worker, 1);
	sigset_t old;
	int r;

	worker->loop = loop;
	pthread_sigmask(SIG_BLOCK, &loop->stop_signals, &old);
	r = pthread_create(&worker->thread, NULL, run_worker, worker);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r == 0)
		g_ptr_array_add(loop->workers, worker);
	else
		g_free(worker);
	return -r;
}

/* A helper that finds nothing more to do takes the receiver's place by itself. */
void loop_step_down(void)
{
	struct loop *loop = serving;

	if (role == ROLE_NONE)
		return;
	pthread_mutex_lock(&loop->lock);
	give_role_up_locked(loop);
	if (!loop->receiver && !loop->helper) {
		set_calling(loop, true);
		/* Failing, the next to come back receives. */
		if (loop->standing_by == 0 && !loop->stopping && loop->workers->len < THREADS_MAX)
			add_worker_locked(loop);
	}
	pthread_mutex_unlock(&loop->lock);
}

/* ---- Starting and stopping ------------------------------------------------------ */

static void ignore_signal(int number)
{
	(void)number;
}

enum { HANDLERS = 4 };
static const int handled[HANDLERS] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };

static void set_handlers(struct loop *loop, struct sigaction old[static HANDLERS])
{
	struct sigaction action = { .sa_handler = stop_by_signal };

	signal_fd = loop->stop_fd;
	sigemptyset(&action.sa_mask);
	sigemptyset(&loop->stop_signals);
	for (int i = 0; i < HANDLERS; i++) {
		if (handled[i] == SIGUSR1)
			action.sa_handler = ignore_signal;
		else
			sigaddset(&loop->stop_signals, handled[i]);
		sigaction(handled[i], &action, &old[i]);
	}
}

static void restore_handlers(const struct sigaction old[static HANDLERS])
{
	for (int i = 0; i < HANDLERS; i++)
		sigaction(handled[i], &old[i], NULL);
	signal_fd = -1;
}

/* Interrupts it in poll(2) until it has seen that it is over: a signal that comes just before
 * the call is lost. */
static void end_worker(struct worker *worker)
{
	struct timespec until;

	do {
		if (g_atomic_int_get(&worker->waiting))
			pthread_kill(worker->thread, SIGUSR1);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += 10 * 1000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
	} while (pthread_timedjoin_np(worker->thread, NULL, &until) != 0);
	free(worker->buffer.mem); /* libfuse's */
	g_free(worker);
}

/* Those who stand by go, those who serve finish what they serve, and the one that waits for
 * a request is interrupted. */
static void stop_workers(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	loop->stopping = true;
	pthread_mutex_unlock(&loop->lock);
	tell_stop(loop->end_fd);
	/* Nobody is added any more. */
	for (guint i = 0; i < loop->workers->len; i++)
		end_worker(g_ptr_array_index(loop->workers, i));
}

static int open_descriptors(struct loop *loop)
{
	struct epoll_event event = { .events = EPOLLIN };
	int device = fuse_session_fd(loop->session), flags = fcntl(device, F_GETFL);

	loop->stop_fd = eventfd(0, EFD_CLOEXEC);
	loop->end_fd = eventfd(0, EFD_CLOEXEC);
	loop->calls = epoll_create1(EPOLL_CLOEXEC);
	if (loop->stop_fd < 0 || loop->end_fd < 0 || loop->calls < 0 || flags < 0 ||
	    fcntl(device, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return epoll_ctl(loop->calls, EPOLL_CTL_ADD, loop->end_fd, &event) < 0 ? -errno : 0;
}

static void close_descriptors(const struct loop *loop)
{
	const int fds[] = { loop->calls, loop->end_fd, loop->stop_fd };

	for (size_t i = 0; i < G_N_ELEMENTS(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* Starts the first worker and waits for the end. */
static int serve(struct loop *loop)
{
	int r;

	pthread_mutex_lock(&loop->lock);
	r = add_worker_locked(loop);
	pthread_mutex_unlock(&loop->lock);
	if (r == 0)
		wait_for_stop(loop);
	fuse_session_exit(loop->session);
	stop_workers(loop);
	return r < 0 ? r : g_atomic_int_get(&loop->error); /* 0 as well when it was unmounted */
}

int loop_run(struct fuse_session *session)
{
	struct loop loop = { .session = session, .lingering = g_get_num_processors() > 1 };
	struct sigaction old[HANDLERS];
	int r = open_descriptors(&loop);

	if (r == 0) {
		pthread_mutex_init(&loop.lock, NULL);
		loop.workers = g_ptr_array_new();
		set_handlers(&loop, old);
		r = serve(&loop);
		restore_handlers(old);
		g_ptr_array_unref(loop.workers);
		pthread_mutex_destroy(&loop.lock);
	}
	close_descriptors(&loop);
	return r;
}
