/* Streams of changes. Each watcher has a place in the order of revisions and a text that is
 * ready to be read. The text is made by one thread, the hub's, and only while somebody reads
 * or polls the watcher: so a reader that is slow costs nothing but its place, and no worker
 * ever waits. A READ that finds no text is kept, and answered when there is some.
 *
 * The newest commits are in a ring in memory, put there by the committing thread while there
 * are watchers: whoever is up to date reads from there, whatever the number of watchers, and
 * a commit wakes the hub once. What is before the ring is read from the store's log. Since
 * the ring has no gap and the log is complete whenever a commit is announced, neither has a
 * stream, also where it goes from one to the other.
 *
 * Only whoever takes a waiting READ out of its watcher, under the hub's lock, answers it. */
#include "fs/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#define NUMBER "%" G_GUINT64_FORMAT

enum {
	RING_COMMITS = 4096,
	RING_CHANGES = 65536,  /* in all of them; the newest commit may have more */
	TEXT_BYTES = 65536,    /* of a watcher's text: no more is made then */
	COMMITS_AT_ONCE = 512, /* from the log, before others have their turn */
};

/* The changes of one commit. */
struct news {
	gint refs; /* atomic */
	uint64_t revision;
	guint count;
	struct {
		enum change_kind kind;
		char *key;
	} changes[];
};

struct waiting_read {
	fuse_req_t req;
	size_t size;
};

struct watcher {
	struct watch_hub *hub; /* set once */

	/* Under the hub's lock. */
	char *prefix;	      /* set by a write */
	uint64_t next;	      /* the next revision to look at */
	bool begun;	      /* a commit was looked at: what is lost is lost */
	bool ended;	      /* nothing comes any more, or nothing was written yet */
	int error;	      /* ended: by this, 0 otherwise */
	bool busy;	      /* the hub reads the log for it, without the lock */
	bool released;	      /* the handle is gone: the hub frees it */
	guint round;	      /* counts the writes */
	struct news *current; /* of which `index` changes are in the text; or NULL */
	guint index;	      /* into current->changes */
	GString *text;	      /* to be read from `at` on; empty when all was */
	size_t at;
	GQueue reads;		      /* struct waiting_read */
	struct fuse_pollhandle *poll; /* NULL: nobody waits in poll(2) */
};

static const char usage[] =
	"open this for reading and writing, write PREFIX [FROM_REVISION], then read; "
	"or: commitfs watch [--from REVISION] MNT [PREFIX]\n";

struct watch_hub {
	struct fs *fs;	  /* set once */
	pthread_t thread; /* set once */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop;	     /* lock */
	GPtrArray *watchers; /* lock */
	uint64_t revision;   /* lock: the newest that is known */
	GQueue ring;	     /* lock: struct news, without a gap, the newest last */
	guint ring_changes;  /* lock */
};

/* An answer that is to be given without the lock. */
struct answer {
	fuse_req_t req; /* NULL: it is `poll` that is told */
	struct fuse_pollhandle *poll;
	int error;
	char *text;
	size_t size;
};

/* ---- News ----------------------------------------------------------------------- */

static struct news *news_new(const struct log_entry *commit, const char *prefix)
{
	struct news *news =
		g_malloc(sizeof(*news) + commit->changes->len * sizeof(news->changes[0]));

	news->refs = 1;
	news->revision = commit->revision;
	news->count = 0;
	for (guint i = 0; i < commit->changes->len; i++) {
		const struct change *change = g_ptr_array_index(commit->changes, i);

		if (change->kind == CHANGE_TOUCH || (prefix && !key_is_below(change->key, prefix)))
			continue;
		news->changes[news->count].kind = change->kind;
		news->changes[news->count].key = g_strdup(change->key);
		news->count++;
	}
	return news;
}

static struct news *news_ref(struct news *news)
{
	g_atomic_int_inc(&news->refs);
	return news;
}

static void news_unref(struct news *news)
{
	if (!news || !g_atomic_int_dec_and_test(&news->refs))
		return;
	for (guint i = 0; i < news->count; i++)
		g_free(news->changes[i].key);
	g_free(news);
}

DEFINE_AUTOPTR(news, news_unref);

/* Appends changes below `prefix` from *index on until the text is long enough. True when
 * these were all; then it ends with a blank line, unless there was none. */
static bool news_append(const struct news *news, const char *prefix, guint *index, GString *text)
{
	bool any = *index > 0;

	for (; *index < news->count; (*index)++) {
		const char *key = news->changes[*index].key;

		if (!key_is_below(key, prefix))
			continue;
		if (text->len >= TEXT_BYTES)
			return false;
		any = true;
		g_string_append_printf(text, "%s\t" NUMBER "\t",
				       change_kind_name(news->changes[*index].kind),
				       news->revision);
		text_append_escaped(text, key);
		g_string_append_c(text, '\n');
	}
	if (any)
		g_string_append_c(text, '\n');
	return true;
}

static void ring_push(struct watch_hub *hub, struct news *news)
{
	g_queue_push_tail(&hub->ring, news);
	hub->ring_changes += news->count;
	while (hub->ring.length > RING_COMMITS ||
	       (hub->ring_changes > RING_CHANGES && hub->ring.length > 1)) {
		struct news *oldest = g_queue_pop_head(&hub->ring);

		hub->ring_changes -= oldest->count;
		news_unref(oldest);
	}
}

static void ring_clear(struct watch_hub *hub)
{
	struct news *news;

	while ((news = g_queue_pop_head(&hub->ring)) != NULL)
		news_unref(news);
	hub->ring_changes = 0;
}

void watch_commit_seen(struct watch_hub *hub, const struct log_entry *commit)
{
	struct news *news = NULL;
	bool watched;

	pthread_mutex_lock(&hub->lock);
	watched = hub->watchers->len > 0;
	pthread_mutex_unlock(&hub->lock);
	if (watched)
		news = news_new(commit, NULL);
	pthread_mutex_lock(&hub->lock);
	hub->revision = MAX(hub->revision, commit->revision);
	/* The first watcher came in between, or the last one went: the log has it. */
	if (news && hub->watchers->len > 0)
		ring_push(hub, g_steal_pointer(&news));
	else
		ring_clear(hub);
	if (hub->watchers->len > 0)
		pthread_cond_signal(&hub->wake);
	pthread_mutex_unlock(&hub->lock);
	news_unref(news);
}

/* ---- Answering ------------------------------------------------------------------ */

/* Whole commits as far as they fit; one that does not fit comes in pieces. */
static size_t cut(const struct watcher *watcher, size_t size)
{
	const char *begin = watcher->text->str + watcher->at, *end;

	if (watcher->text->len - watcher->at <= size)
		return watcher->text->len - watcher->at;
	end = g_strrstr_len(begin, (gssize)size, "\n\n");
	return end ? (size_t)(end - begin) + 2 : size;
}

/* What a READ of `size` bytes is answered with. */
static struct answer take_text(struct watcher *watcher, const struct waiting_read *waiting)
{
	struct answer answer = { .req = waiting->req };

	if (watcher->text->len == 0) {
		answer.error = watcher->error;
		return answer;
	}
	answer.size = cut(watcher, waiting->size);
	answer.text = g_memdup2(watcher->text->str + watcher->at, answer.size);
	watcher->at += answer.size;
	if (watcher->at == watcher->text->len) {
		g_string_truncate(watcher->text, 0);
		watcher->at = 0;
	}
	return answer;
}

static void add_answer(GArray *answers, fuse_req_t req, int error)
{
	struct answer answer = { .req = req, .error = error };

	g_array_append_val(answers, answer);
}

/* Under the lock: takes out the READs that can be answered now, and who polls. */
static void take_answers(struct watcher *watcher, GArray *answers)
{
	struct waiting_read *waiting;

	while ((watcher->text->len > 0 || watcher->ended) &&
	       (waiting = g_queue_pop_head(&watcher->reads)) != NULL) {
		struct answer answer = take_text(watcher, waiting);

		g_array_append_val(answers, answer);
		g_free(waiting);
	}
	if (watcher->poll && (watcher->text->len > 0 || watcher->ended)) {
		struct answer answer = { .poll = g_steal_pointer(&watcher->poll) };

		g_array_append_val(answers, answer);
	}
}

/* Without the lock. A READ is no longer its interrupt function's before it is answered. */
static void give_answers(GArray *answers)
{
	for (guint i = 0; i < answers->len; i++) {
		struct answer *answer = &g_array_index(answers, struct answer, i);

		if (answer->poll) {
			fuse_lowlevel_notify_poll(answer->poll);
			fuse_pollhandle_destroy(answer->poll);
			continue;
		}
		fuse_req_interrupt_func(answer->req, NULL, NULL);
		if (answer->error)
			reply_error(answer->req, answer->error);
		else
			fuse_reply_buf(answer->req, answer->text, answer->size);
		g_free(answer->text);
	}
	g_array_unref(answers);
}

static GArray *answers_new(void)
{
	return g_array_new(FALSE, FALSE, sizeof(struct answer));
}

/* ---- Making the text ------------------------------------------------------------ */

/* A piece of the log, read without the lock for one watcher. */
struct piece {
	char *prefix;
	uint64_t next;
	uint64_t oldest; /* the revision to begin with is compacted: the oldest that is not */
	struct news *current;
	guint index;
	GString *text;
	guint commits;
	int error;
};

/* Stops with 1 when the piece is full: the rest is the next one. */
static int visit_commit(const struct log_entry *commit, void *arg)
{
	struct piece *piece = arg;
	g_autoptr(news) news = news_new(commit, piece->prefix);
	guint index = 0;

	piece->next = commit->revision + 1;
	piece->commits++;
	if (!news_append(news, piece->prefix, &index, piece->text)) {
		piece->current = g_steal_pointer(&news);
		piece->index = index;
		return 1;
	}
	return piece->text->len >= TEXT_BYTES || piece->commits >= COMMITS_AT_ONCE;
}

static void read_log(struct watch_hub *hub, struct piece *piece)
{
	int r = store_log_list(hub->fs->store, piece->next, visit_commit, piece);
	struct store_status status;

	if (r == -ENOENT) {
		store_get_status(hub->fs->store, &status);
		piece->oldest = status.oldest_revision;
	} else if (r < 0) {
		piece->error = r;
	}
}

/* What was compacted before it was looked at: the end of a stream that was to begin there;
 * otherwise the reader was too slow, and goes on with what there is. */
static void tell_compacted(struct watcher *watcher, uint64_t oldest)
{
	if (oldest <= watcher->next)
		return;
	if (watcher->begun) {
		g_string_append_printf(watcher->text, "lost " NUMBER "\n\n",
				       oldest - watcher->next);
		watcher->next = oldest;
	} else {
		g_string_append_printf(watcher->text, "compacted " NUMBER "\n", oldest);
		watcher->ended = true;
	}
}

/* Under the lock, which it gives up while it reads. */
static void fill_from_log(struct watch_hub *hub, struct watcher *watcher)
{
	struct piece piece = { .prefix = g_strdup(watcher->prefix),
			       .next = watcher->next,
			       .text = g_string_new(NULL) };
	guint round = watcher->round;

	watcher->busy = true;
	pthread_mutex_unlock(&hub->lock);
	read_log(hub, &piece);
	pthread_mutex_lock(&hub->lock);
	watcher->busy = false;
	if (watcher->round == round) {
		watcher->begun |= piece.commits > 0;
		watcher->next = piece.next;
		watcher->current = g_steal_pointer(&piece.current);
		watcher->index = piece.index;
		g_string_append_len(watcher->text, piece.text->str, (gssize)piece.text->len);
		tell_compacted(watcher, piece.oldest);
		watcher->error = piece.error;
		watcher->ended |= piece.error != 0;
	}
	news_unref(piece.current);
	g_string_free(piece.text, TRUE);
	g_free(piece.prefix);
}

/* Under the lock. False: the ring does not go back so far. */
static bool fill_from_ring(struct watch_hub *hub, struct watcher *watcher)
{
	const struct news *first = g_queue_peek_head(&hub->ring);

	if (!first || watcher->next < first->revision)
		return false;
	for (GList *link =
		     g_queue_peek_nth_link(&hub->ring, (guint)(watcher->next - first->revision));
	     link && watcher->text->len < TEXT_BYTES; link = link->next) {
		struct news *news = link->data;
		guint index = 0;

		watcher->begun = true;
		watcher->next = news->revision + 1;
		if (!news_append(news, watcher->prefix, &index, watcher->text)) {
			watcher->current = news_ref(news);
			watcher->index = index;
		}
	}
	return true;
}

static bool is_wanted(const struct watcher *watcher)
{
	return !watcher->ended && !watcher->busy && (watcher->reads.length > 0 || watcher->poll);
}

/* Under the lock: there is something to look at, and somebody who would see it. */
static bool needs_text(const struct watch_hub *hub, const struct watcher *watcher)
{
	return is_wanted(watcher) && watcher->text->len == 0 &&
	       (watcher->current || watcher->next <= hub->revision);
}

static void fill(struct watch_hub *hub, struct watcher *watcher)
{
	if (watcher->current) {
		if (news_append(watcher->current, watcher->prefix, &watcher->index, watcher->text))
			g_clear_pointer(&watcher->current, news_unref);
	} else if (!fill_from_ring(hub, watcher)) {
		fill_from_log(hub, watcher);
	}
}

/* ---- Watchers ------------------------------------------------------------------- */

static void watcher_free(struct watcher *watcher)
{
	g_assert(g_queue_is_empty(&watcher->reads));
	if (watcher->poll)
		fuse_pollhandle_destroy(watcher->poll);
	news_unref(watcher->current);
	g_string_free(watcher->text, TRUE);
	g_free(watcher->prefix);
	g_free(watcher);
}

/* Under the lock, as long as there is work. The array may change while the lock is given
 * up: whoever is passed over then comes in the next turn. True: something was done. */
static bool serve_all(struct watch_hub *hub)
{
	bool any = false;

	for (guint i = 0; i < hub->watchers->len && !hub->stop; i++) {
		struct watcher *watcher = g_ptr_array_index(hub->watchers, i);
		GArray *answers;

		if (!needs_text(hub, watcher))
			continue;
		any = true;
		fill(hub, watcher);
		if (watcher->released) {
			watcher_free(watcher);
			continue;
		}
		answers = answers_new();
		take_answers(watcher, answers);
		/* Whoever commits needs the lock, too. */
		pthread_mutex_unlock(&hub->lock);
		give_answers(answers);
		pthread_mutex_lock(&hub->lock);
	}
	return any;
}

static void *run_hub(void *arg)
{
	struct watch_hub *hub = arg;

	pthread_mutex_lock(&hub->lock);
	while (!hub->stop) {
		if (!serve_all(hub))
			pthread_cond_wait(&hub->wake, &hub->lock);
	}
	pthread_mutex_unlock(&hub->lock);
	return NULL;
}

void watch_hub_free(struct watch_hub *hub)
{
	if (!hub)
		return;
	ring_clear(hub);
	g_ptr_array_unref(hub->watchers);
	pthread_cond_destroy(&hub->wake);
	pthread_mutex_destroy(&hub->lock);
	g_free(hub);
}

int watch_hub_new(struct fs *fs, struct watch_hub **ret)
{
	struct watch_hub *hub = g_new0(struct watch_hub, 1);
	int r;

	hub->fs = fs;
	hub->watchers = g_ptr_array_new();
	pthread_mutex_init(&hub->lock, NULL);
	pthread_cond_init(&hub->wake, NULL);
	r = -pthread_create(&hub->thread, NULL, run_hub, hub);
	if (r < 0)
		watch_hub_free(hub);
	else
		*ret = hub;
	return r;
}

void watch_hub_stop(struct watch_hub *hub)
{
	GArray *answers;

	if (!hub)
		return;
	answers = answers_new();
	pthread_mutex_lock(&hub->lock);
	hub->stop = true;
	pthread_cond_signal(&hub->wake);
	for (guint i = 0; i < hub->watchers->len; i++) {
		struct watcher *watcher = g_ptr_array_index(hub->watchers, i);
		struct waiting_read *waiting;

		while ((waiting = g_queue_pop_head(&watcher->reads)) != NULL) {
			add_answer(answers, waiting->req, -ENOTCONN);
			g_free(waiting);
		}
	}
	pthread_mutex_unlock(&hub->lock);
	give_answers(answers);
	pthread_join(hub->thread, NULL);
}

int watch_open(struct handle *handle, struct fuse_file_info *info)
{
	struct watch_hub *hub = handle->fs->watch;
	struct watcher *watcher;

	/* A stream has no places: shells shall not read ahead and seek back. */
	info->nonseekable = 1;
	if ((info->flags & O_ACCMODE) == O_WRONLY)
		return -EINVAL;
	if ((info->flags & O_ACCMODE) == O_RDONLY)
		return 0;
	watcher = g_new0(struct watcher, 1);
	watcher->hub = hub;
	watcher->text = g_string_new(usage);
	watcher->ended = true;
	handle->watcher = watcher;
	pthread_mutex_lock(&hub->lock);
	g_ptr_array_add(hub->watchers, watcher);
	pthread_mutex_unlock(&hub->lock);
	return 0;
}

void watch_release(struct handle *handle)
{
	struct watcher *watcher = handle->watcher;
	struct watch_hub *hub;
	bool busy;

	if (!watcher)
		return;
	hub = watcher->hub;
	pthread_mutex_lock(&hub->lock);
	g_ptr_array_remove_fast(hub->watchers, watcher);
	busy = watcher->busy;
	watcher->released = true;
	if (hub->watchers->len == 0)
		ring_clear(hub);
	pthread_mutex_unlock(&hub->lock);
	if (!busy)
		watcher_free(watcher);
}

/* ---- Requests ------------------------------------------------------------------- */

/* Opened for reading only: so that grep -r and backups come to an end. */
int text_watch(struct handle *handle, fuse_req_t req, GString **ret)
{
	(void)handle;
	(void)req;
	*ret = g_string_new(usage);
	return 0;
}

int watch_parse(const char *data, size_t size, char **ret_prefix, uint64_t *ret_from)
{
	size_t length = size > 0 && data[size - 1] == '\n' ? size - 1 : size, begin = length;

	*ret_from = 0;
	while (begin > 0 && g_ascii_isdigit(data[begin - 1]))
		begin--;
	if (begin < length && begin > 0 && g_ascii_isspace(data[begin - 1])) {
		int r = text_parse_number(data + begin, length - begin, ret_from);

		if (r == 0 && *ret_from == 0)
			r = -EINVAL;
		if (r < 0)
			return r;
		length = begin;
	}
	while (length > 0 && g_ascii_isspace(data[length - 1]))
		length--;
	return text_parse_key(data, length, ret_prefix);
}

/* A stream begins anew with each write. */
void act_watch(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	uint64_t revision = store_revision(handle->fs->store);
	struct watcher *watcher = handle->watcher;
	g_autofree char *prefix = NULL;
	uint64_t from;
	int r = watcher ? watch_parse(data, size, &prefix, &from) : -EBADF;

	if (r == 0) {
		struct watch_hub *hub = watcher->hub;

		pthread_mutex_lock(&hub->lock);
		g_free(watcher->prefix);
		watcher->prefix = g_steal_pointer(&prefix);
		watcher->next = from ? from : revision + 1;
		watcher->begun = from == 0;
		watcher->ended = false;
		watcher->error = 0;
		watcher->round++;
		watcher->index = 0;
		g_clear_pointer(&watcher->current, news_unref);
		g_string_truncate(watcher->text, 0);
		watcher->at = 0;
		hub->revision = MAX(hub->revision, revision);
		pthread_cond_signal(&hub->wake);
		pthread_mutex_unlock(&hub->lock);
	}
	control_reply_written(req, size, r);
}

static void interrupted(fuse_req_t req, void *arg)
{
	struct watcher *watcher = arg;
	bool found = false;

	pthread_mutex_lock(&watcher->hub->lock);
	for (GList *link = watcher->reads.head; link && !found; link = link->next) {
		struct waiting_read *waiting = link->data;

		found = waiting->req == req;
		if (found) {
			g_free(waiting);
			g_queue_delete_link(&watcher->reads, link);
			break;
		}
	}
	pthread_mutex_unlock(&watcher->hub->lock);
	if (found)
		reply_error(req, -EINTR);
}

/* Under the lock: takes back what `interrupted` came too early for. */
static bool take_back(struct watcher *watcher, fuse_req_t req)
{
	struct waiting_read *last = g_queue_peek_tail(&watcher->reads);

	if (!last || last->req != req || !fuse_req_interrupted(req))
		return false;
	g_free(g_queue_pop_tail(&watcher->reads));
	return true;
}

/* The interrupt function is set before the READ can be taken by anybody who answers it: a
 * request that is answered must not be touched. */
static void wait_for_text(struct watcher *watcher, fuse_req_t req, size_t size)
{
	struct waiting_read *waiting = g_new(struct waiting_read, 1);
	GArray *answers = answers_new();

	*waiting = (struct waiting_read){ req, size };
	fuse_req_interrupt_func(req, interrupted, watcher);
	pthread_mutex_lock(&watcher->hub->lock);
	g_queue_push_tail(&watcher->reads, waiting);
	take_answers(watcher, answers);
	if (take_back(watcher, req))
		add_answer(answers, req, -EINTR);
	else
		pthread_cond_signal(&watcher->hub->wake);
	pthread_mutex_unlock(&watcher->hub->lock);
	give_answers(answers);
}

/* For who does not wait: what is in the ring is at hand; what is only in the log is fetched
 * by the hub, while he polls. */
static bool has_text(struct watcher *watcher)
{
	bool has;

	pthread_mutex_lock(&watcher->hub->lock);
	if (!watcher->ended && !watcher->busy && watcher->text->len == 0) {
		if (watcher->current)
			fill(watcher->hub, watcher);
		else
			fill_from_ring(watcher->hub, watcher);
	}
	has = watcher->text->len > 0 || watcher->ended;
	pthread_mutex_unlock(&watcher->hub->lock);
	return has;
}

void watch_read(struct handle *handle, fuse_req_t req, size_t size, int flags)
{
	struct watcher *watcher = handle->watcher;

	if ((flags & O_NONBLOCK) && !has_text(watcher))
		reply_error(req, -EAGAIN);
	else
		wait_for_text(watcher, req, size);
}

void watch_poll(struct handle *handle, fuse_req_t req, struct fuse_pollhandle *poll)
{
	struct watcher *watcher = handle->watcher;
	unsigned events = POLLOUT | (has_text(watcher) ? POLLIN : 0);
	struct fuse_pollhandle *old;

	pthread_mutex_lock(&watcher->hub->lock);
	old = watcher->poll;
	watcher->poll = poll ? poll : old;
	if (!poll)
		old = NULL;
	/* It came in between. */
	if (watcher->text->len > 0 || watcher->ended)
		events |= POLLIN;
	pthread_cond_signal(&watcher->hub->wake);
	pthread_mutex_unlock(&watcher->hub->lock);
	if (old)
		fuse_pollhandle_destroy(old);
	fuse_reply_poll(req, events);
}
