/* The lock table. Per file the locks that are held and the requests that wait, under one
 * mutex for all. A request that cannot be granted is kept and answered by whoever gives up
 * what it waits for: no worker ever waits.
 *
 * A kept request is answered by whoever takes it out of the list of its file. An interrupt
 * comes from libfuse with the request's own lock held, so that lock is before ours: the
 * interrupt function is registered and taken back with ours not held. */
#include "fs/lock.h"

#include "fs/session.h"
#include "fs/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

enum { MAX_LOCKS_OF_FILE = 65536 };

/* What is locked: ranges and whole files do not know of each other. */
enum lock_kind { LOCK_KIND_RANGE, LOCK_KIND_WHOLE };

struct lock {
	enum lock_kind kind;
	short type; /* F_RDLCK, F_WRLCK; of a request also F_UNLCK */
	uint64_t owner;
	uint64_t start, end; /* bytes, both included */
	pid_t pid;
};

/* Through which handles an owner has locked: without FLUSH, RELEASE tells that it closed. */
struct lock_user {
	enum lock_kind kind;
	uint64_t owner;
	struct handle *handle;
};

struct locked_file {
	const struct tree *tree; /* NULL: of the mount's own */
	uint64_t ino;
	GArray *locks;	 /* struct lock */
	GArray *users;	 /* struct lock_user */
	GQueue requests; /* struct lock_request that wait, first come first */
};

struct lock_table {
	pthread_mutex_t lock;
	GHashTable *files; /* lock: struct locked_file */
};

struct lock_request {
	struct fs *fs;
	fuse_req_t req;
	struct handle *handle;
	struct lock lock;
	bool wait;
	bool interrupted;	  /* of the table's lock */
	struct locked_file *file; /* of the table's lock: where it waits; NULL: nowhere */
	GPtrArray *sessions;	  /* to commit first */
	guint committed;	  /* how many of them are */
};

/* ---- The table ------------------------------------------------------------------ */

static guint hash_file(gconstpointer key)
{
	const struct locked_file *file = key;

	return g_direct_hash(file->tree) ^ g_int64_hash(&file->ino);
}

static gboolean equal_file(gconstpointer a, gconstpointer b)
{
	const struct locked_file *left = a, *right = b;

	return left->tree == right->tree && left->ino == right->ino;
}

static void file_free(void *data)
{
	struct locked_file *file = data;

	g_array_unref(file->locks);
	g_array_unref(file->users);
	g_free(file);
}

struct lock_table *lock_table_new(void)
{
	struct lock_table *table = g_new0(struct lock_table, 1);

	pthread_mutex_init(&table->lock, NULL);
	table->files = g_hash_table_new_full(hash_file, equal_file, file_free, NULL);
	return table;
}

/* Where the locks of the handle's file are; NULL: it has none, unless `make`. */
static struct locked_file *find_file(struct lock_table *table, const struct handle *handle,
				     bool make)
{
	const struct node *node = handle->node;
	struct locked_file wanted = { .tree = node->tree,
				      .ino = node->tree ? node->ino : node->id };
	struct locked_file *file = g_hash_table_lookup(table->files, &wanted);

	if (!file && make) {
		file = g_new0(struct locked_file, 1);
		file->tree = wanted.tree;
		file->ino = wanted.ino;
		file->locks = g_array_new(FALSE, FALSE, sizeof(struct lock));
		file->users = g_array_new(FALSE, FALSE, sizeof(struct lock_user));
		g_hash_table_add(table->files, file);
	}
	return file;
}

static void drop_unused(struct lock_table *table, struct locked_file *file)
{
	if (file->locks->len == 0 && file->users->len == 0 && g_queue_is_empty(&file->requests))
		g_hash_table_remove(table->files, file);
}

/* ---- Ranges --------------------------------------------------------------------- */

static struct lock *lock_at(const struct locked_file *file, guint i)
{
	return &g_array_index(file->locks, struct lock, i);
}

static bool is_own(const struct lock *held, const struct lock *wanted)
{
	return held->kind == wanted->kind && held->owner == wanted->owner;
}

static bool overlap(const struct lock *a, const struct lock *b)
{
	return a->start <= b->end && b->start <= a->end;
}

static bool conflict(const struct lock *held, const struct lock *wanted)
{
	return held->kind == wanted->kind && held->owner != wanted->owner &&
	       (held->type == F_WRLCK || wanted->type == F_WRLCK) && overlap(held, wanted);
}

static const struct lock *find_conflict(const struct locked_file *file, const struct lock *wanted)
{
	for (guint i = 0; file && i < file->locks->len; i++) {
		if (conflict(lock_at(file, i), wanted))
			return lock_at(file, i);
	}
	return NULL;
}

/* True when the owner has something for writing there, which `wanted` gives up. */
static bool gives_up(const struct locked_file *file, const struct lock *wanted)
{
	bool found = false;

	for (guint i = 0; file && wanted->type != F_WRLCK && !found && i < file->locks->len; i++)
		found = is_own(lock_at(file, i), wanted) && overlap(lock_at(file, i), wanted) &&
			lock_at(file, i)->type == F_WRLCK;
	return found;
}

/* Cuts the bytes of `wanted` out of what its owner has. */
static void cut(struct locked_file *file, const struct lock *wanted)
{
	for (guint i = file->locks->len; i-- > 0;) {
		struct lock held = *lock_at(file, i), rest = held;

		if (!is_own(&held, wanted) || !overlap(&held, wanted))
			continue;
		g_array_remove_index_fast(file->locks, i);
		if (held.start < wanted->start) {
			rest.end = wanted->start - 1;
			g_array_append_val(file->locks, rest);
		}
		if (held.end > wanted->end) {
			rest.start = wanted->end + 1;
			rest.end = held.end;
			g_array_append_val(file->locks, rest);
		}
	}
}

/* What touches the new range and is of its kind becomes one with it. */
static void merge(struct locked_file *file, struct lock *wanted)
{
	for (guint i = file->locks->len; i-- > 0;) {
		struct lock held = *lock_at(file, i);

		if (!is_own(&held, wanted) || held.type != wanted->type ||
		    (wanted->start > 0 && held.end < wanted->start - 1) ||
		    (held.start > 0 && wanted->end < held.start - 1))
			continue;
		wanted->start = MIN(wanted->start, held.start);
		wanted->end = MAX(wanted->end, held.end);
		g_array_remove_index_fast(file->locks, i);
	}
	g_array_append_val(file->locks, *wanted);
}

static void note_user(struct locked_file *file, const struct lock *lock, struct handle *handle)
{
	struct lock_user user = { lock->kind, lock->owner, handle };

	for (guint i = 0; i < file->users->len; i++) {
		const struct lock_user *known = &g_array_index(file->users, struct lock_user, i);

		if (known->kind == lock->kind && known->owner == lock->owner &&
		    known->handle == handle)
			return;
	}
	g_array_append_val(file->users, user);
	g_atomic_int_set(&handle->locked, 1);
}

/* Nobody else has any of it. */
static void take(struct locked_file *file, const struct lock *wanted, struct handle *handle)
{
	struct lock lock = *wanted;

	cut(file, wanted);
	if (wanted->type == F_UNLCK)
		return;
	merge(file, &lock);
	note_user(file, wanted, handle);
}

/* ---- Waiting -------------------------------------------------------------------- */

/* The waiting request of a process, or NULL. Open files do not wait, their threads do, and
 * others of them can go on: only ranges deadlock. */
static struct lock_request *find_waiting(struct lock_table *table, uint64_t owner, guint skip)
{
	struct locked_file *file;
	GHashTableIter iter;

	g_hash_table_iter_init(&iter, table->files);
	while (g_hash_table_iter_next(&iter, (void **)&file, NULL)) {
		for (GList *link = file->requests.head; link; link = link->next) {
			struct lock_request *request = link->data;

			if (request->lock.kind == LOCK_KIND_RANGE && request->lock.owner == owner &&
			    skip-- == 0)
				return request;
		}
	}
	return NULL;
}

/* True when waiting for `wanted` would wait for `owner` itself, through whatever those who
 * have it wait for in turn. `seen`: owners that were followed. */
static bool deadlocks(struct lock_table *table, const struct locked_file *file,
		      const struct lock *wanted, uint64_t owner, GHashTable *seen)
{
	for (guint i = 0; i < file->locks->len; i++) {
		const struct lock *held = lock_at(file, i);
		const struct lock_request *next;

		if (!conflict(held, wanted))
			continue;
		if (held->owner == owner)
			return true;
		if (!g_hash_table_add(seen, GSIZE_TO_POINTER(held->owner)))
			continue;
		for (guint n = 0; (next = find_waiting(table, held->owner, n)) != NULL; n++) {
			if (deadlocks(table, next->file, &next->lock, owner, seen))
				return true;
		}
	}
	return false;
}

static void request_free(struct lock_request *request)
{
	if (request->sessions)
		g_ptr_array_unref(request->sessions);
	g_free(request);
}

/* Nobody can find it any more; `error` 0: it is granted. */
static void answer(struct lock_request *request, int error)
{
	fuse_req_interrupt_func(request->req, NULL, NULL);
	if (error == 0 && request->lock.type != F_UNLCK)
		tree_refresh(request->handle, fuse_req_ctx(request->req)->pid);
	reply_error(request->req, error);
	request_free(request);
}

static void answer_all(GQueue *requests, int error)
{
	struct lock_request *request;

	while ((request = g_queue_pop_head(requests)) != NULL)
		answer(request, error);
}

/* Grants what can be, after something was given up. */
static void grant_waiting(struct locked_file *file, GQueue *ret_granted)
{
	GList *link = file->requests.head;

	while (link) {
		struct lock_request *request = link->data;
		GList *next = link->next;

		if (!find_conflict(file, &request->lock)) {
			take(file, &request->lock, request->handle);
			request->file = NULL;
			g_queue_unlink(&file->requests, link);
			g_queue_push_tail_link(ret_granted, link);
		}
		link = next;
	}
}

/* Called by libfuse with the lock of the request. */
static void interrupted(fuse_req_t req, void *arg)
{
	struct lock_request *request = arg;
	struct lock_table *table = request->fs->locks;
	bool waited;

	pthread_mutex_lock(&table->lock);
	request->interrupted = true;
	waited = request->file != NULL;
	if (waited) {
		g_queue_remove(&request->file->requests, request);
		drop_unused(table, request->file);
	}
	pthread_mutex_unlock(&table->lock);
	if (!waited)
		return; /* whoever has it answers it */
	reply_error(req, -EINTR);
	request_free(request);
}

/* Grants, keeps or refuses it: -EINPROGRESS is kept. Under the table's lock. */
static int try_locked(struct lock_table *table, struct lock_request *request, GQueue *ret_granted)
{
	struct locked_file *file = find_file(table, request->handle, true);
	const struct lock *wanted = &request->lock;
	int r = 0;

	/* As flock(2) has it: to change a lock is to give it up first. */
	if (wanted->kind == LOCK_KIND_WHOLE)
		cut(file, wanted);
	if (wanted->type != F_UNLCK && find_conflict(file, wanted)) {
		g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);

		if (!request->wait)
			r = -EAGAIN;
		else if (request->interrupted)
			r = -EINTR;
		else if (wanted->kind == LOCK_KIND_RANGE &&
			 deadlocks(table, file, wanted, wanted->owner, seen))
			r = -EDEADLK;
		else
			r = -EINPROGRESS;
	} else if (file->locks->len >= MAX_LOCKS_OF_FILE && wanted->type != F_UNLCK) {
		r = -ENOLCK;
	}
	if (r == 0)
		take(file, wanted, request->handle);
	grant_waiting(file, ret_granted);
	if (r == -EINPROGRESS) {
		request->file = file;
		g_queue_push_tail(&file->requests, request);
	}
	drop_unused(table, file);
	return r;
}

static void try_lock(struct lock_request *request)
{
	struct lock_table *table = request->fs->locks;
	GQueue granted = G_QUEUE_INIT;
	int r;

	/* Before anybody can grant it, or it could be answered and freed meanwhile. */
	if (request->wait)
		fuse_req_interrupt_func(request->req, interrupted, request);
	pthread_mutex_lock(&table->lock);
	r = try_locked(table, request, &granted);
	pthread_mutex_unlock(&table->lock);
	answer_all(&granted, 0);
	if (r != -EINPROGRESS)
		answer(request, r);
}

/* ---- Requests ------------------------------------------------------------------- */

/* What was written under the lock is committed before it is given up. */
static void publish_next(struct lock_request *request);

static void published(int error, void *arg)
{
	struct lock_request *request = arg;

	request->committed++;
	if (error < 0)
		answer(request, error);
	else
		publish_next(request);
}

static void publish_next(struct lock_request *request)
{
	if (request->sessions && request->committed < request->sessions->len)
		session_commit(g_ptr_array_index(request->sessions, request->committed), published,
			       request);
	else
		try_lock(request);
}

static void start_request(struct handle *handle, fuse_req_t req, const struct lock *lock, bool wait)
{
	struct lock_request *request = g_new0(struct lock_request, 1);
	struct lock_table *table = handle->fs->locks;
	bool publish;

	request->fs = handle->fs;
	request->req = req;
	request->handle = handle;
	request->lock = *lock;
	request->wait = wait;
	pthread_mutex_lock(&table->lock);
	publish = gives_up(find_file(table, handle, false), lock);
	pthread_mutex_unlock(&table->lock);
	if (publish)
		request->sessions = session_find_writing(handle, fuse_req_ctx(req)->pid);
	publish_next(request);
}

static struct lock range_of(uint64_t owner, const struct flock *lock)
{
	return (struct lock){ .kind = LOCK_KIND_RANGE,
			      .type = lock->l_type,
			      .owner = owner,
			      .start = (uint64_t)lock->l_start,
			      .end = lock->l_len ? (uint64_t)(lock->l_start + lock->l_len - 1) :
						   G_MAXINT64,
			      .pid = lock->l_pid };
}

void lock_range(struct handle *handle, fuse_req_t req, uint64_t owner, const struct flock *lock,
		bool wait)
{
	struct lock wanted = range_of(owner, lock);

	start_request(handle, req, &wanted, wait);
}

void lock_whole(struct handle *handle, fuse_req_t req, uint64_t owner, int operation)
{
	struct lock wanted = { .kind = LOCK_KIND_WHOLE, .owner = owner, .end = G_MAXINT64 };

	switch (operation & ~LOCK_NB) {
	case LOCK_SH:
		wanted.type = F_RDLCK;
		break;
	case LOCK_EX:
		wanted.type = F_WRLCK;
		break;
	case LOCK_UN:
		wanted.type = F_UNLCK;
		break;
	default:
		reply_error(req, -EINVAL);
		return;
	}
	start_request(handle, req, &wanted, !(operation & LOCK_NB));
}

void lock_query(struct handle *handle, fuse_req_t req, uint64_t owner, const struct flock *lock)
{
	struct lock wanted = range_of(owner, lock);
	struct lock_table *table = handle->fs->locks;
	struct flock found = *lock;
	const struct lock *held;

	pthread_mutex_lock(&table->lock);
	held = find_conflict(find_file(table, handle, false), &wanted);
	found.l_type = held ? held->type : F_UNLCK;
	if (held) {
		found.l_whence = SEEK_SET;
		found.l_start = (off_t)held->start;
		found.l_len = held->end == G_MAXINT64 ? 0 : (off_t)(held->end - held->start + 1);
		found.l_pid = held->pid;
	}
	pthread_mutex_unlock(&table->lock);
	fuse_reply_lock(req, &found);
}

/* ---- Closing -------------------------------------------------------------------- */

bool lock_is_held(struct handle *handle, uint64_t owner)
{
	struct lock_table *table = handle->fs->locks;
	struct lock all = {
		.kind = LOCK_KIND_RANGE, .type = F_UNLCK, .owner = owner, .end = G_MAXINT64
	};
	bool held;

	pthread_mutex_lock(&table->lock);
	held = g_hash_table_size(table->files) > 0 &&
	       gives_up(find_file(table, handle, false), &all);
	pthread_mutex_unlock(&table->lock);
	return held;
}

void lock_flushed(struct handle *handle, uint64_t owner)
{
	struct lock all = { .kind = LOCK_KIND_RANGE, .owner = owner, .end = G_MAXINT64 };
	struct lock_table *table = handle->fs->locks;
	GQueue granted = G_QUEUE_INIT;
	struct locked_file *file;

	pthread_mutex_lock(&table->lock);
	file = g_hash_table_size(table->files) > 0 ? find_file(table, handle, false) : NULL;
	if (file) {
		cut(file, &all);
		grant_waiting(file, &granted);
		drop_unused(table, file);
	}
	pthread_mutex_unlock(&table->lock);
	answer_all(&granted, 0);
}

static void cut_users(struct locked_file *file, const struct handle *handle)
{
	for (guint i = file->users->len; i-- > 0;) {
		struct lock_user user = g_array_index(file->users, struct lock_user, i);
		struct lock all = { .kind = user.kind, .owner = user.owner, .end = G_MAXINT64 };

		if (user.handle != handle)
			continue;
		cut(file, &all);
		g_array_remove_index_fast(file->users, i);
	}
}

void lock_released(struct handle *handle)
{
	struct lock_table *table = handle->fs->locks;
	GQueue granted = G_QUEUE_INIT;
	struct locked_file *file;

	if (!g_atomic_int_compare_and_exchange(&handle->locked, 1, 0))
		return;
	pthread_mutex_lock(&table->lock);
	file = find_file(table, handle, false);
	if (file) {
		cut_users(file, handle);
		grant_waiting(file, &granted);
		drop_unused(table, file);
	}
	pthread_mutex_unlock(&table->lock);
	answer_all(&granted, 0);
}

void lock_table_end(struct lock_table *table)
{
	GQueue waiting = G_QUEUE_INIT;
	struct locked_file *file;
	GHashTableIter iter;

	pthread_mutex_lock(&table->lock);
	g_hash_table_iter_init(&iter, table->files);
	while (g_hash_table_iter_next(&iter, (void **)&file, NULL)) {
		struct lock_request *request;

		while ((request = g_queue_pop_head(&file->requests)) != NULL) {
			request->file = NULL;
			g_queue_push_tail(&waiting, request);
		}
	}
	pthread_mutex_unlock(&table->lock);
	answer_all(&waiting, -EINTR);
}

void lock_table_free(struct lock_table *table)
{
	g_hash_table_unref(table->files);
	pthread_mutex_destroy(&table->lock);
	g_free(table);
}
