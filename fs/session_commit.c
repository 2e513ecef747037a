/* Committing a session: what it has collected becomes a program, under the name its file has
 * then. One commit of a session is on its way at a time; what fails is not committed still. */
#include "fs/session_private.h"

#include "fs/commit.h"

#include <errno.h>
#include <string.h>

/* One attempt to commit, and what to do then. Built once, submitted again under another
 * key when the file was renamed meanwhile. */
struct session_commit {
	struct origin origin;
	struct session *session;
	guint attempts;
	bool over; /* somebody else has committed the name that was new */
	bool replace, created;
	GBytes *value;
	GPtrArray *edits;
	struct attributes changes;
	session_done_fn *done;
	void *arg;
};

enum { MAX_ATTEMPTS = 16 }; /* names that change under a commit */

static void commit_free(struct session_commit *commit)
{
	session_unref(commit->session);
	g_clear_pointer(&commit->value, g_bytes_unref);
	g_clear_pointer(&commit->edits, g_ptr_array_unref);
	g_free(commit);
}

/* Nothing of it was applied: it is not committed still, and what was written since comes
 * after it. */
static void restore(struct session_commit *commit, int error)
{
	struct session *session = commit->session;
	struct attributes changes = commit->changes;
	GPtrArray *newer;

	pthread_mutex_lock(&session->lock);
	newer = session->edits;
	session->uncommitted_bytes = 0;
	session->edits = g_steal_pointer(&commit->edits);
	g_ptr_array_extend_and_steal(session->edits, newer);
	for (guint i = 0; i < session->edits->len; i++) {
		const struct edit *edit = g_ptr_array_index(session->edits, i);

		session->uncommitted_bytes += edit->data ? g_bytes_get_size(edit->data) : 0;
	}
	attributes_merge(&changes, &session->changes);
	session->changes = changes;
	session->replace = session->replace || commit->replace;
	session->created = session->created || commit->created;
	session->pending = session->written = true;
	session->last_write_us = g_get_monotonic_time();
	pthread_mutex_unlock(&session->lock);
	/* Where there may be space again, an appender tries by itself. */
	if (session->append && error == -ENOSPC)
		housekeeper_watch_idle(session->fs->housekeeper, session);
}

static struct session_commit *take_commit_locked(struct session *session);
static void submit(struct session_commit *commit);

/* True when a commit now would have something to do. Under the lock. */
static bool has_work_locked(const struct session *session)
{
	return session->pending && session->refused == 0 && !session->discarded;
}

/* The next in the queue has its commit, or learns that there is nothing left to do. */
static void commit_next(struct session *session)
{
	struct session_commit *commit = NULL;

	while (!commit) {
		struct queued_commit next;
		int refused;

		pthread_mutex_lock(&session->lock);
		if (session->queued->len == 0) {
			session->committing = false;
			pthread_mutex_unlock(&session->lock);
			return;
		}
		next = g_array_index(session->queued, struct queued_commit, 0);
		g_array_remove_index(session->queued, 0);
		refused = session->refused;
		if (has_work_locked(session)) {
			commit = take_commit_locked(session);
			commit->done = next.done;
			commit->arg = next.arg;
		}
		pthread_mutex_unlock(&session->lock);
		if (!commit)
			next.done(refused, next.arg);
	}
	submit(commit);
}

/* The key as a message has it. Caller frees. */
static char *describe_key(struct session *session)
{
	struct node_table *table = &session->fs->nodes;
	GString *shown = g_string_new(NULL);
	g_autofree char *key = NULL;

	pthread_mutex_lock(&table->lock);
	if (session->node->moved_to)
		key = g_strdup(session->node->moved_to);
	else if (node_key_locked(session->node, NULL, &key) < 0)
		key = g_strdup("a removed key");
	pthread_mutex_unlock(&table->lock);
	text_append_escaped(shown, key);
	return g_string_free(shown, FALSE);
}

static void warn_uncommitted(struct session *session, int error)
{
	g_autofree char *key = describe_key(session);
	g_autofree char *command =
		g_strescape(session->author->command ? session->author->command : "?", NULL);

	g_warning("cannot commit '%s', which process %d (%s) wrote: %s", key,
		  (int)session->author->pid, command, g_strerror(-error));
}

static void finish(struct session_commit *commit, int error)
{
	struct session *session = commit->session;

	if (error < 0) {
		warn_uncommitted(session, error);
		restore(commit, error);
	}
	/* Before anybody is told: what he does then finds no commit on its way. */
	commit_next(session);
	commit->done(error, commit->arg);
	commit_free(commit);
}

/* Takes what is not committed out of the session. Under its lock. */
static struct session_commit *take_commit_locked(struct session *session)
{
	struct session_commit *commit = g_new0(struct session_commit, 1);

	commit->session = session_ref(session);
	commit->origin.session = session;
	commit->replace = session->replace;
	commit->created = session->created;
	if (session->image && (session->replace || session->created))
		commit->value = g_bytes_ref(session->image);
	commit->edits = session->edits;
	commit->changes = session->changes;
	session->edits = session_edits_new();
	session->changes.mask = 0;
	session->replace = session->created = false;
	session->pending = session->written = false;
	session->uncommitted_bytes = 0;
	session->committing = true;
	return commit;
}

/* Another session has created the file, and this one has nothing to add. */
static bool changes_nothing(const struct session_commit *commit)
{
	return !commit->replace && commit->edits->len == 0 && commit->changes.mask == 0;
}

/* The operation on a file that is there, guarded by its inode number if it is its own. */
static void add_change(struct program *program, const struct session_commit *commit,
		       const char *key)
{
	enum op_kind kind = commit->replace ? OP_PUT : commit->edits->len > 0 ? OP_PATCH : OP_ATTR;
	struct op *op;

	if (!commit->over)
		program_compare(program, COMPARE_INO, COMPARE_EQUAL, key,
				commit->session->node->ino);
	/* Nobody has checked yet that the opener may write what another has made there. */
	program->checked = commit->over;
	op = program_add(program, kind, key);
	op->changes = commit->changes;
	if (commit->replace)
		op->value = commit->value ? g_bytes_ref(commit->value) : g_bytes_new(NULL, 0);
	for (guint i = 0; kind == OP_PATCH && i < commit->edits->len; i++) {
		const struct edit *edit = g_ptr_array_index(commit->edits, i);

		op_add_edit(op, edit->kind, edit->offset, edit->data);
	}
}

/* What the node says of the commit. */
struct place {
	char *key;
	struct record *template; /* what it was reserved with; NULL: it is committed */
	bool replaces;
	bool scratch;
};

/* The file is his who reserved the name, whoever is first to commit to it. */
static void add_creation(struct program *program, const struct session_commit *commit,
			 const struct place *place)
{
	const struct record *template = place->template;
	struct attributes owner = { .mask = ATTRIBUTE_UID | ATTRIBUTE_GID,
				    .uid = template->uid,
				    .gid = template->gid };
	struct op *op;

	if (place->replaces)
		program_add(program, OP_DELETE, place->key);
	else
		program_compare(program, COMPARE_CREATE, COMPARE_EQUAL, place->key, 0);
	op = program_add(program, OP_PUT, place->key);
	op->flags = place->scratch ? OP_SCRATCH : 0;
	op->value = commit->value ? g_bytes_ref(commit->value) : g_bytes_new(NULL, 0);
	op->mode = template->mode;
	op->ino = commit->session->node->ino;
	attributes_merge(&owner, &commit->changes);
	op->changes = owner;
}

/* A file that a transaction has renamed goes on under its new name. */
static int find_place(struct session_commit *commit, struct place *ret)
{
	struct node_table *table = &commit->session->fs->nodes;
	struct node *node = commit->session->node;
	int r;

	pthread_mutex_lock(&table->lock);
	commit->over = commit->session->over;
	ret->replaces = node->replaces;
	ret->scratch = node->scratch;
	if (node->state == NODE_RESERVED && !commit->over)
		ret->template = record_ref(node->template);
	if (node->moved_to) {
		ret->key = g_strdup(node->moved_to);
		r = 0;
	} else {
		r = node_key_locked(node, NULL, &ret->key);
	}
	pthread_mutex_unlock(&table->lock);
	return r;
}

/* The program under the name the file has now. -ESTALE: it has none; -EALREADY: there is
 * nothing to do. */
static int build_program(struct session_commit *commit, struct program **ret)
{
	struct place place = { .key = NULL };
	struct program *program;
	int r = find_place(commit, &place);

	if (r == 0 && !place.template && changes_nothing(commit))
		r = -EALREADY;
	if (r == 0 && ++commit->attempts > MAX_ATTEMPTS)
		r = -ESTALE;
	if (r == 0) {
		program = program_new(commit->session->author);
		program->origin = &commit->origin;
		if (place.template)
			add_creation(program, commit, &place);
		else
			add_change(program, commit, place.key);
		*ret = program;
	}
	record_unref(place.template);
	g_free(place.key);
	return r;
}

/* What the commit made of in-place changes is what the handle sees from now on. */
static void refresh_image(struct session *session, const struct program_result *result)
{
	const struct record *record =
		result->records && result->records->len > 0 ?
			g_ptr_array_index(result->records, result->records->len - 1) :
			NULL;

	if (!record || !record->value)
		return;
	pthread_mutex_lock(&session->lock);
	if (!session->pending) {
		g_clear_pointer(&session->image, g_bytes_unref);
		session->image = g_bytes_ref(record->value);
	}
	pthread_mutex_unlock(&session->lock);
}

/* A compare did not hold: the file was renamed meanwhile, or is gone; or, where it was only
 * reserved, somebody else has made the name. */
static void note_not_new(struct session *session)
{
	struct node_table *table = &session->fs->nodes;

	pthread_mutex_lock(&table->lock);
	if (session->node->state == NODE_RESERVED)
		session->over = true;
	pthread_mutex_unlock(&table->lock);
}

static void committed(const struct program_result *result, void *arg)
{
	struct session_commit *commit = arg;

	if (result->error == 0 && !result->succeeded) {
		note_not_new(commit->session);
		submit(commit);
		return;
	}
	if (result->error == 0)
		refresh_image(commit->session, result);
	finish(commit, result->error);
}

static void submit(struct session_commit *commit)
{
	struct session *session = commit->session;
	struct program *program;
	int r = build_program(commit, &program);

	if (r == 0) {
		view_apply(session->fs->live->view, program, committed, commit);
		return;
	}
	if (r == -ESTALE) {
		/* Unlinked or replaced: nobody could read it, so it is not written. */
		pthread_mutex_lock(&session->lock);
		session->discarded = true;
		pthread_mutex_unlock(&session->lock);
		r = 0;
	}
	finish(commit, r == -EALREADY ? 0 : r);
}

/* One at a time: the second of two could overtake the first, which may be tried again. */
void session_commit(struct session *session, session_done_fn *done, void *arg)
{
	struct queued_commit queued = { done, arg };
	struct session_commit *commit = NULL;
	bool waits = false;
	int refused;

	pthread_mutex_lock(&session->lock);
	refused = session->refused;
	if (session->committing) {
		g_array_append_val(session->queued, queued);
		waits = true;
	} else if (has_work_locked(session)) {
		commit = take_commit_locked(session);
	}
	pthread_mutex_unlock(&session->lock);
	if (commit) {
		commit->done = done;
		commit->arg = arg;
		submit(commit);
	} else if (!waits) {
		done(refused, arg);
	}
}
