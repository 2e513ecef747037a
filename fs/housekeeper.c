#include "fs/housekeeper.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum {
	APPEND_IDLE_US = 1000000,
	/* A RELEASE follows its close(2) within microseconds; a descriptor held by a process
	 * that cannot be seen never lets it come. */
	RELEASE_WAIT_US = 100000,
};

struct waiting_request {
	struct session *session; /* held */
	int64_t deadline_us;	 /* until then it waits, for others after this session too */
	int64_t overdue_us;	 /* when it is looked at whether it has to wait on */
	fuse_req_t req;
	struct node *node;
	char *name;
	int flags;
	session_resume_fn *resume;
};

struct later_call {
	int64_t due_us;
	void (*call)(void *arg);
	void *arg;
};

struct housekeeper {
	struct fs *fs;	    /* set once */
	pthread_t thread;   /* set once */
	gint closing_count; /* atomic: of `closing` */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop;	     /* lock */
	GHashTable *idle;    /* lock: sessions that append, held */
	GHashTable *closing; /* lock: sessions that may end with their RELEASE, held */
	GQueue waiting;	     /* lock: struct waiting_request, the first overdue first */
	GQueue later;	     /* lock: struct later_call, the first due first */
};

/* A request that is resumed may have to wait for another session, but not for longer. */
static __thread int64_t resumed_deadline_us;

static void resume_and_free(struct waiting_request *waiting)
{
	resumed_deadline_us = waiting->deadline_us;
	waiting->resume(waiting->req, waiting->node, waiting->name, waiting->flags);
	resumed_deadline_us = 0;
	session_unref(waiting->session);
	g_free(waiting->name);
	g_free(waiting);
}

static void resume_all(GQueue *requests)
{
	struct waiting_request *waiting;

	while ((waiting = g_queue_pop_head(requests)) != NULL)
		resume_and_free(waiting);
}

/* ---- Sets of sessions ----------------------------------------------------------- */

void housekeeper_watch_idle(struct housekeeper *housekeeper, struct session *session)
{
	if (!housekeeper)
		return; /* unmounted */
	pthread_mutex_lock(&housekeeper->lock);
	if (!g_hash_table_contains(housekeeper->idle, session)) {
		g_hash_table_add(housekeeper->idle, session_ref(session));
		pthread_cond_signal(&housekeeper->wake);
	}
	pthread_mutex_unlock(&housekeeper->lock);
}

void housekeeper_note_closing(struct housekeeper *housekeeper, struct session *session)
{
	pthread_mutex_lock(&housekeeper->lock);
	if (!g_hash_table_contains(housekeeper->closing, session)) {
		g_hash_table_add(housekeeper->closing, session_ref(session));
		g_atomic_int_inc(&housekeeper->closing_count);
	}
	pthread_mutex_unlock(&housekeeper->lock);
}

/* Takes out who waits for `session`. Under the lock. */
static void take_waiting(struct housekeeper *housekeeper, struct session *session, GQueue *ret)
{
	GList *link = housekeeper->waiting.head;

	while (link) {
		GList *next = link->next;
		struct waiting_request *waiting = link->data;

		if (waiting->session == session) {
			g_queue_unlink(&housekeeper->waiting, link);
			g_queue_push_tail_link(ret, link);
		}
		link = next;
	}
}

void housekeeper_session_ended(struct housekeeper *housekeeper, struct session *session)
{
	GQueue resumed = G_QUEUE_INIT;
	bool was_closing = false;

	if (g_atomic_int_get(&housekeeper->closing_count) == 0)
		return;
	pthread_mutex_lock(&housekeeper->lock);
	was_closing = g_hash_table_remove(housekeeper->closing, session);
	if (was_closing)
		g_atomic_int_add(&housekeeper->closing_count, -1);
	take_waiting(housekeeper, session, &resumed);
	pthread_mutex_unlock(&housekeeper->lock);
	if (was_closing)
		session_unref(session);
	resume_all(&resumed);
}

/* ---- Waiting requests ----------------------------------------------------------- */

static bool concerns(struct session *session, fuse_req_t req, struct node *node, const char *name,
		     enum session_scope scope)
{
	struct node *file = session_node(session);

	switch (scope) {
	case SESSION_ON_NODE:
		return file == node;
	case SESSION_ON_NAME:
		return file->parent == node && strcmp(file->name, name) == 0;
	case SESSION_ON_ENTRY:
		return file->parent == node;
	case SESSION_ANY:
		break;
	}
	/* No user waits for another's files where no file is named. */
	return session_uid(session) == fuse_req_ctx(req)->uid;
}

/* The first session in `closing` that the request is about, held; NULL: none. */
static struct session *find_closing(struct housekeeper *housekeeper, fuse_req_t req,
				    struct node *node, const char *name, enum session_scope scope)
{
	struct node_table *table = &housekeeper->fs->nodes;
	struct session *session, *found = NULL;
	GHashTableIter iter;

	pthread_mutex_lock(&table->lock);
	pthread_mutex_lock(&housekeeper->lock);
	g_hash_table_iter_init(&iter, housekeeper->closing);
	while (!found && g_hash_table_iter_next(&iter, (void **)&session, NULL)) {
		if (concerns(session, req, node, name, scope))
			found = session_ref(session);
	}
	pthread_mutex_unlock(&housekeeper->lock);
	pthread_mutex_unlock(&table->lock);
	return found;
}

static gint by_overdue(gconstpointer a, gconstpointer b, gpointer data)
{
	const struct waiting_request *left = a, *right = b;

	(void)data;
	return left->overdue_us < right->overdue_us ? -1 : left->overdue_us > right->overdue_us;
}

bool session_wait_for_release(struct fs *fs, fuse_req_t req, struct node *node, const char *name,
			      enum session_scope scope, int flags, session_resume_fn *resume)
{
	struct housekeeper *housekeeper = fs->housekeeper;
	int64_t now_us = g_get_monotonic_time();
	int64_t deadline_us = resumed_deadline_us ? resumed_deadline_us : now_us + RELEASE_WAIT_US;
	struct waiting_request *waiting;
	struct session *session;
	bool wait;

	if (g_atomic_int_get(&housekeeper->closing_count) == 0 || now_us >= deadline_us)
		return false;
	session = find_closing(housekeeper, req, node, name, scope);
	if (!session)
		return false;
	if (!session_is_released_soon(session)) {
		session_unref(session);
		return false;
	}
	waiting = g_new0(struct waiting_request, 1);
	*waiting = (struct waiting_request){ .session = session,
					     .deadline_us = deadline_us,
					     .overdue_us = deadline_us,
					     .req = req,
					     .node = node,
					     .name = g_strdup(name),
					     .flags = flags,
					     .resume = resume };
	pthread_mutex_lock(&housekeeper->lock);
	wait = g_hash_table_contains(housekeeper->closing, session);
	if (wait) {
		g_queue_insert_sorted(&housekeeper->waiting, waiting, by_overdue, NULL);
		pthread_cond_signal(&housekeeper->wake);
	}
	pthread_mutex_unlock(&housekeeper->lock);
	/* Its RELEASE came in between: the answer is known now. */
	if (!wait) {
		session_unref(session);
		g_free(waiting->name);
		g_free(waiting);
	}
	return wait;
}

/* ---- Calls for later ------------------------------------------------------------ */

void housekeeper_call_later(struct housekeeper *housekeeper, int64_t delay_us,
			    void (*call)(void *arg), void *arg)
{
	struct later_call *later = g_new(struct later_call, 1);

	*later = (struct later_call){ g_get_monotonic_time() + delay_us, call, arg };
	pthread_mutex_lock(&housekeeper->lock);
	g_queue_push_tail(&housekeeper->later, later);
	if (g_queue_get_length(&housekeeper->later) == 1)
		pthread_cond_signal(&housekeeper->wake);
	pthread_mutex_unlock(&housekeeper->lock);
}

static void call_all(GQueue *calls)
{
	struct later_call *later;

	while ((later = g_queue_pop_head(calls)) != NULL) {
		later->call(later->arg);
		g_free(later);
	}
}

static void take_due(struct housekeeper *housekeeper, GQueue *ret, int64_t *wait_us)
{
	struct later_call *later;

	while ((later = g_queue_peek_head(&housekeeper->later)) != NULL) {
		int64_t left = later->due_us - g_get_monotonic_time();

		if (left > 0) {
			*wait_us = MIN(*wait_us, left);
			return;
		}
		g_queue_push_tail_link(ret, g_queue_pop_head_link(&housekeeper->later));
	}
}

/* ---- The thread ----------------------------------------------------------------- */

static void committed_idle(int error, void *arg)
{
	(void)error; /* logged where it happened */
	session_unref(arg);
}

/* Takes the sessions that have been idle long enough, and shortens *wait_us to the next. */
static GPtrArray *take_idle(struct housekeeper *housekeeper, int64_t *wait_us)
{
	GPtrArray *due = g_ptr_array_new();
	struct session *session;
	GHashTableIter iter;

	g_hash_table_iter_init(&iter, housekeeper->idle);
	while (g_hash_table_iter_next(&iter, (void **)&session, NULL)) {
		int64_t left = session_idle_left_us(session, APPEND_IDLE_US);

		if (left == 0) {
			g_ptr_array_add(due, session);
			g_hash_table_iter_remove(&iter);
		} else {
			*wait_us = MIN(*wait_us, left);
		}
	}
	return due;
}

/* Its RELEASE has come, and is answered as soon as the disk has what it commits: that is
 * waited for, but for nobody else then. */
static bool wait_longer(struct housekeeper *housekeeper, struct waiting_request *waiting)
{
	if (!session_is_releasing(waiting->session))
		return false;
	waiting->overdue_us += RELEASE_WAIT_US;
	g_queue_insert_sorted(&housekeeper->waiting, waiting, by_overdue, NULL);
	return true;
}

/* The same for requests whose RELEASE did not come; nobody waits for that session again. */
static void take_overdue(struct housekeeper *housekeeper, GQueue *ret, GPtrArray *given_up,
			 int64_t *wait_us)
{
	struct waiting_request *waiting;

	while ((waiting = g_queue_peek_head(&housekeeper->waiting)) != NULL) {
		int64_t left = waiting->overdue_us - g_get_monotonic_time();

		if (left > 0) {
			*wait_us = MIN(*wait_us, left);
			return;
		}
		g_queue_pop_head(&housekeeper->waiting);
		if (wait_longer(housekeeper, waiting))
			continue;
		g_queue_push_tail(ret, waiting);
		if (g_hash_table_remove(housekeeper->closing, waiting->session)) {
			g_atomic_int_add(&housekeeper->closing_count, -1);
			g_ptr_array_add(given_up, waiting->session);
		}
	}
}

static void wait_for(struct housekeeper *housekeeper, int64_t wait_us)
{
	struct timespec until;
	int64_t ns;

	if (wait_us == G_MAXINT64) {
		pthread_cond_wait(&housekeeper->wake, &housekeeper->lock);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	ns = until.tv_nsec + wait_us * 1000;
	until.tv_sec += ns / 1000000000;
	until.tv_nsec = ns % 1000000000;
	pthread_cond_timedwait(&housekeeper->wake, &housekeeper->lock, &until);
}

static void *keep_house(void *arg)
{
	struct housekeeper *housekeeper = arg;

	pthread_mutex_lock(&housekeeper->lock);
	while (!housekeeper->stop) {
		GQueue overdue = G_QUEUE_INIT, due = G_QUEUE_INIT;
		int64_t wait_us = G_MAXINT64;
		g_autoptr(GPtrArray) given_up = g_ptr_array_new();
		g_autoptr(GPtrArray) idle = take_idle(housekeeper, &wait_us);

		take_overdue(housekeeper, &overdue, given_up, &wait_us);
		take_due(housekeeper, &due, &wait_us);
		if (idle->len == 0 && g_queue_is_empty(&overdue) && g_queue_is_empty(&due)) {
			wait_for(housekeeper, wait_us);
			continue;
		}
		pthread_mutex_unlock(&housekeeper->lock);
		for (guint i = 0; i < idle->len; i++)
			session_commit(g_ptr_array_index(idle, i), committed_idle,
				       g_ptr_array_index(idle, i));
		resume_all(&overdue);
		call_all(&due);
		for (guint i = 0; i < given_up->len; i++)
			session_unref(g_ptr_array_index(given_up, i));
		pthread_mutex_lock(&housekeeper->lock);
	}
	pthread_mutex_unlock(&housekeeper->lock);
	return NULL;
}

static void unref_keys(GHashTable *sessions)
{
	struct session *session;
	GHashTableIter iter;

	g_hash_table_iter_init(&iter, sessions);
	while (g_hash_table_iter_next(&iter, (void **)&session, NULL))
		session_unref(session);
	g_hash_table_unref(sessions);
}

static void release(struct housekeeper *housekeeper)
{
	unref_keys(housekeeper->idle);
	unref_keys(housekeeper->closing);
	pthread_cond_destroy(&housekeeper->wake);
	pthread_mutex_destroy(&housekeeper->lock);
	g_free(housekeeper);
}

int housekeeper_new(struct fs *fs, struct housekeeper **ret)
{
	struct housekeeper *housekeeper = g_new0(struct housekeeper, 1);
	pthread_condattr_t attributes;
	int r;

	housekeeper->fs = fs;
	pthread_mutex_init(&housekeeper->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&housekeeper->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	housekeeper->idle = g_hash_table_new(NULL, NULL);
	housekeeper->closing = g_hash_table_new(NULL, NULL);
	r = -pthread_create(&housekeeper->thread, NULL, keep_house, housekeeper);
	if (r < 0)
		release(housekeeper);
	else
		*ret = housekeeper;
	return r;
}

void housekeeper_free(struct housekeeper *housekeeper)
{
	if (!housekeeper)
		return;
	pthread_mutex_lock(&housekeeper->lock);
	housekeeper->stop = true;
	pthread_cond_signal(&housekeeper->wake);
	pthread_mutex_unlock(&housekeeper->lock);
	pthread_join(housekeeper->thread, NULL);
	g_atomic_int_set(&housekeeper->closing_count, 0); /* nobody waits again */
	resume_all(&housekeeper->waiting);
	call_all(&housekeeper->later);
	release(housekeeper);
}
