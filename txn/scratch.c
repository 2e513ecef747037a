/* Scratch files: an overlay over the head of the store that never becomes a batch.
 *
 * A program is ours when it creates something with OP_SCRATCH or when one of its keys is a
 * scratch file; what is created where a key is, or by anybody else, is a key. Renaming a
 * scratch file becomes a program of the store that puts it, with its inode number and
 * attributes, in the place of whatever is there; until that is answered, what others want
 * to do with the file is kept back.
 *
 * The store does not know of scratch files, so two things are looked at twice: a name is
 * free, and its directory is there, also after the file has been entered. A commit that
 * says otherwise was either readable then, or scratch_follow() is still to be called with
 * it and finds the file. */
#include "txn/scratch.h"

#include "txn/transaction.h"

#include <errno.h>
#include <string.h>

struct move;

struct scratch_file {
	char *key;
	uint64_t ino;
	uint64_t directory_ino;
	uid_t uid; /* whom it is charged to */
	int64_t charged_bytes;
	struct move *move; /* on its way into the store; or NULL */
};

/* A program for a file that is on its way. */
struct kept_back {
	struct program *program;
	program_done_fn *done;
	void *arg;
};

struct move {
	struct scratch *scratch; /* set once */
	uint64_t ino;		 /* set once */
	program_done_fn *done;	 /* set once */
	void *arg;		 /* set once */
	GQueue kept_back;	 /* lock: struct kept_back */
};

struct scratch {
	struct store *store;	   /* set once */
	struct registry *registry; /* set once */
	store_watch_fn *watch;	   /* set once */
	void *watch_arg;	   /* set once */
	gint count;		   /* atomic: of `files` */
	pthread_mutex_t lock;
	struct overlay *overlay; /* lock: holds scratch files only */
	GHashTable *files;	 /* lock: key, the file's -> struct scratch_file */
	GHashTable *by_ino;	 /* lock: inode number, the file's -> the same */
};

static void file_free(void *data)
{
	struct scratch_file *file = data;

	g_free(file->key);
	g_free(file);
}

struct scratch *scratch_new(struct store *store, struct registry *registry, store_watch_fn *watch,
			    void *arg)
{
	struct scratch *scratch = g_new0(struct scratch, 1);

	scratch->store = store;
	scratch->registry = registry;
	scratch->watch = watch;
	scratch->watch_arg = arg;
	pthread_mutex_init(&scratch->lock, NULL);
	scratch->overlay = overlay_new(store_head(store), &registry_get_options(registry)->limits);
	scratch->files = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, file_free);
	scratch->by_ino = g_hash_table_new(g_int64_hash, g_int64_equal);
	return scratch;
}

void scratch_free(struct scratch *scratch)
{
	if (!scratch)
		return;
	overlay_free(scratch->overlay);
	g_hash_table_unref(scratch->by_ino);
	g_hash_table_unref(scratch->files);
	pthread_mutex_destroy(&scratch->lock);
	g_free(scratch);
}

bool scratch_any(struct scratch *scratch)
{
	return scratch && g_atomic_int_get(&scratch->count) > 0;
}

void scratch_count(struct scratch *scratch, uint64_t *ret_files, uint64_t *ret_bytes)
{
	*ret_files = *ret_bytes = 0;
	if (!scratch_any(scratch))
		return;
	pthread_mutex_lock(&scratch->lock);
	*ret_files = g_hash_table_size(scratch->files);
	*ret_bytes = overlay_bytes(scratch->overlay);
	pthread_mutex_unlock(&scratch->lock);
}

/* ---- Reading -------------------------------------------------------------------- */

struct record *scratch_get(struct scratch *scratch, const char *key)
{
	const struct overlay_entry *entry;
	struct record *record = NULL;

	if (!scratch_any(scratch))
		return NULL;
	pthread_mutex_lock(&scratch->lock);
	entry = overlay_find(scratch->overlay, key);
	if (entry)
		record = record_ref(entry->now);
	pthread_mutex_unlock(&scratch->lock);
	return record;
}

/* The name of `key` in `directory`, or NULL when it lies elsewhere. */
static const char *name_in(const char *key, const char *directory)
{
	const char *slash = strrchr(key, '/');
	size_t length = slash ? (size_t)(slash - key) : 0;

	if (strlen(directory) != length || strncmp(key, directory, length) != 0)
		return NULL;
	return slash ? slash + 1 : key;
}

struct listing {
	const char *directory;
	snapshot_visit_fn *visit;
	void *arg;
};

static int visit_entry(const struct overlay_entry *entry, void *arg)
{
	const struct listing *listing = arg;
	const char *name = name_in(entry->key, listing->directory);

	return name ? listing->visit(name, entry->now, listing->arg) : 0;
}

int scratch_list(struct scratch *scratch, const char *directory, snapshot_visit_fn *visit,
		 void *arg)
{
	struct listing listing = { directory, visit, arg };
	int r;

	pthread_mutex_lock(&scratch->lock);
	r = overlay_foreach(scratch->overlay, visit_entry, &listing);
	pthread_mutex_unlock(&scratch->lock);
	return r;
}

/* ---- The files ------------------------------------------------------------------ */

static struct scratch_file *find_file(struct scratch *scratch, const char *key)
{
	return g_hash_table_lookup(scratch->files, key);
}

static void charge(struct scratch *scratch, struct scratch_file *file, int64_t bytes)
{
	struct account change = { .bytes = bytes };

	accounts_adjust(registry_accounts(scratch->registry), file->uid, &change);
	file->charged_bytes += bytes;
}

/* The overlay may grow by what the user still has. What a session commits (a program with an
 * origin) was charged when it was written, and would count twice until the session ends. */
static void set_limits(struct scratch *scratch, uid_t uid, bool charged_before)
{
	const struct registry_options *options = registry_get_options(scratch->registry);
	struct account user = accounts_get(registry_accounts(scratch->registry), uid);
	uint64_t left = (uint64_t)user.bytes < options->max_user_bytes ?
				options->max_user_bytes - (uint64_t)user.bytes :
				0;
	struct overlay_limits limits = options->limits;

	limits.max_keys = overlay_keys(scratch->overlay) + left / (2 * ACCOUNT_SCRATCH_BYTES);
	limits.max_values_bytes = UINT64_MAX;
	limits.max_memory_bytes = charged_before ? 0 :
						   MAX(overlay_memory(scratch->overlay) + left, 1);
	overlay_set_limits(scratch->overlay, &limits);
}

/* What it is newer than is any key that had the name. */
static void set_revisions(struct scratch *scratch, struct record *record)
{
	record->create_revision = record->mod_revision = MAX(store_revision(scratch->store), 1);
	record->version = 1;
}

static void add_file(struct scratch *scratch, const char *key, struct record *record,
		     uint64_t directory_ino, uid_t uid)
{
	struct scratch_file *file = g_new0(struct scratch_file, 1);

	file->key = g_strdup(key);
	file->ino = record->ino;
	file->directory_ino = directory_ino;
	file->uid = uid;
	g_hash_table_insert(scratch->files, file->key, file);
	g_hash_table_insert(scratch->by_ino, &file->ino, file);
	g_atomic_int_inc(&scratch->count);
	charge(scratch, file, ACCOUNT_SCRATCH_BYTES);
	set_revisions(scratch, record);
}

static void remove_file(struct scratch *scratch, struct scratch_file *file)
{
	charge(scratch, file, -file->charged_bytes);
	g_atomic_int_add(&scratch->count, -1);
	g_hash_table_remove(scratch->by_ino, &file->ino);
	g_hash_table_remove(scratch->files, file->key);
}

/* One operation on the overlay; what it takes or gives back is charged. */
static int run_op(struct scratch *scratch, const struct op *op, const struct program *program,
		  struct record **ret)
{
	struct scratch_file *file = find_file(scratch, op->key);
	uid_t uid = file ? file->uid : program->credentials->uid;
	uint64_t before = overlay_memory(scratch->overlay);
	g_autofree char *parent = key_parent(op->key);
	g_autoptr(record) directory = NULL;
	int r;

	set_limits(scratch, uid, program->origin && op->kind != OP_SYMLINK);
	r = overlay_apply(scratch->overlay, op, program->credentials, program->checked,
			  g_get_real_time() * 1000, ret, NULL);
	if (r < 0)
		return r;
	if (!overlay_find(scratch->overlay, op->key)) {
		if (file)
			remove_file(scratch, file);
		return 0;
	}
	if (!file) {
		r = overlay_get(scratch->overlay, parent, &directory);
		add_file(scratch, op->key, *ret, r == 0 ? directory->ino : 0, uid);
		file = find_file(scratch, op->key);
	}
	charge(scratch, file, (int64_t)overlay_memory(scratch->overlay) - (int64_t)before);
	return 0;
}

static const struct credentials nobody_special = { .uid = 0 };

static int delete_entry(struct scratch *scratch, const char *key)
{
	struct op op = { .kind = OP_DELETE, .key = (char *)key };

	return overlay_apply(scratch->overlay, &op, &nobody_special, false, 0, NULL, NULL);
}

/* The tree has no place for it any more. */
static void drop(struct scratch *scratch, struct scratch_file *file)
{
	if (delete_entry(scratch, file->key) < 0)
		g_warning("cannot forget the scratch file '%s'", file->key);
	else
		remove_file(scratch, file);
}

/* ---- Programs ------------------------------------------------------------------- */

static bool is_there(struct scratch *scratch, const char *key)
{
	return find_file(scratch, key) != NULL;
}

static bool has_below(struct scratch *scratch, const char *directory)
{
	GHashTableIter iter;
	const char *key;

	g_hash_table_iter_init(&iter, scratch->files);
	while (g_hash_table_iter_next(&iter, (void **)&key, NULL)) {
		if (key_is_below(key, directory))
			return true;
	}
	return false;
}

/* Only such as fs/ makes: numbers that shall be equal, then operations. */
static bool is_simple(const struct program *program)
{
	for (guint i = 0; i < program->compares->len; i++) {
		const struct compare *compare = g_ptr_array_index(program->compares, i);

		if (compare->operator!= COMPARE_EQUAL ||(compare->target != COMPARE_INO &&
							 compare->target != COMPARE_CREATE))
			return false;
	}
	return !program->else_ops && program->then_ops->len > 0 && program->then_ops->len <= 2;
}

static const struct op *last_op(const struct program *program)
{
	return g_ptr_array_index(program->then_ops, program->then_ops->len - 1);
}

static int find(struct scratch *scratch, const char *key, struct record **ret)
{
	int r = overlay_get(scratch->overlay, key, ret);

	return r == -ENOENT ? 0 : r;
}

static int compares_hold(struct scratch *scratch, const struct program *program, bool *ret)
{
	*ret = true;
	for (guint i = 0; i < program->compares->len && *ret; i++) {
		const struct compare *compare = g_ptr_array_index(program->compares, i);
		g_autoptr(record) record = NULL;
		uint64_t number = 0;
		int r = find(scratch, compare->key, &record);

		if (r < 0)
			return r;
		if (record)
			number = compare->target == COMPARE_INO ? record->ino :
								  record->create_revision;
		*ret = number == compare->number;
	}
	return 0;
}

/* What became of a program: told to the watcher, then to who asked. */
struct outcome {
	struct program_result result;
	struct log_entry *change; /* NULL: nothing changed */
};

static void unref_record(void *record)
{
	record_unref(record);
}

static void change_free(void *data)
{
	struct change *change = data;

	record_unref(change->before);
	record_unref(change->after);
	g_free(change->key);
	g_free(change);
}

static struct log_entry *change_new(const struct program *program)
{
	struct log_entry *entry = g_new0(struct log_entry, 1);

	entry->changes = g_ptr_array_new_with_free_func(change_free);
	entry->origin = program->origin;
	entry->time_ns = g_get_real_time() * 1000;
	entry->uid = program->credentials->uid;
	entry->gid = program->credentials->gid;
	entry->pid = program->credentials->pid;
	entry->id = g_strdup("");
	entry->command = g_strdup("");
	entry->message = g_strdup("");
	return entry;
}

static void add_change(struct outcome *outcome, const struct program *program, const struct op *op,
		       struct record *before, struct record *after)
{
	static const enum change_kind kinds[] = {
		[OP_PUT] = CHANGE_PUT,	 [OP_PATCH] = CHANGE_PUT,	[OP_DELETE] = CHANGE_DELETE,
		[OP_ATTR] = CHANGE_ATTR, [OP_SYMLINK] = CHANGE_SYMLINK,
	};
	struct change *change = g_new0(struct change, 1);

	if (!outcome->change)
		outcome->change = change_new(program);
	change->kind = kinds[op->kind];
	change->key = g_strdup(op->key);
	change->before = before ? record_ref(before) : NULL;
	change->after = after ? record_ref(after) : NULL;
	g_ptr_array_add(outcome->change->changes, change);
}

static void tell(struct scratch *scratch, struct outcome *outcome, program_done_fn *done, void *arg)
{
	if (outcome->change)
		scratch->watch(outcome->change, scratch->watch_arg);
	log_entry_free(outcome->change);
	done(&outcome->result, arg);
	g_ptr_array_unref(outcome->result.records);
	g_ptr_array_unref(outcome->result.failures);
}

/* The store may have made the name, or taken the directory, while we looked. */
static int look_again(struct scratch *scratch, const char *key)
{
	g_autofree char *directory = key_parent(key);
	g_autoptr(record) in_store = NULL;
	g_autoptr(record) parent = NULL;
	int r = snapshot_get(store_head(scratch->store), key, &in_store);

	if (r == 0)
		return -EEXIST;
	if (r != -ENOENT)
		return r;
	r = snapshot_get(store_head(scratch->store), directory, &parent);
	if (r == 0 && find_file(scratch, key)->directory_ino != parent->ino)
		r = -ENOENT;
	return r;
}

static int run_one(struct scratch *scratch, const struct program *program, const struct op *op,
		   struct outcome *outcome)
{
	const struct overlay_entry *entry = overlay_find(scratch->overlay, op->key);
	g_autoptr(record) before = entry ? record_ref(entry->now) : NULL;
	g_autoptr(record) after = NULL;
	int r = run_op(scratch, op, program, &after);

	if (r == 0 && !before && find_file(scratch, op->key)) {
		r = look_again(scratch, op->key);
		if (r < 0)
			drop(scratch, find_file(scratch, op->key));
	}
	if (r < 0)
		return r;
	if (before || after)
		add_change(outcome, program, op, before, after);
	g_ptr_array_add(outcome->result.records, g_steal_pointer(&after));
	return 0;
}

/* On the overlay alone. Under the lock. */
static void run_program(struct scratch *scratch, struct program *program, int error,
			struct outcome *outcome)
{
	struct program_result *result = &outcome->result;

	result->records = g_ptr_array_new_with_free_func(unref_record);
	result->failures = g_ptr_array_new();
	result->revision = store_revision(scratch->store);
	result->error = error;
	if (result->error == 0)
		result->error = compares_hold(scratch, program, &result->succeeded);
	for (guint i = 0; result->error == 0 && result->succeeded && i < program->then_ops->len;
	     i++)
		result->error =
			run_one(scratch, program, g_ptr_array_index(program->then_ops, i), outcome);
}

/* ---- Renaming into the store ---------------------------------------------------- */

static void run_again(struct scratch *scratch, GQueue *kept_back)
{
	struct kept_back *kept;

	while ((kept = g_queue_pop_head(kept_back)) != NULL) {
		if (!scratch_apply(scratch, kept->program, kept->done, kept->arg))
			store_submit(scratch->store, kept->program, kept->done, kept->arg);
		g_free(kept);
	}
}

/* Where it was committed scratch_follow() has taken the file out before this. */
static void moved(const struct program_result *result, void *arg)
{
	struct move *move = arg;
	struct scratch *scratch = move->scratch;
	struct scratch_file *file;

	pthread_mutex_lock(&scratch->lock);
	file = g_hash_table_lookup(scratch->by_ino, &move->ino);
	if (file && file->move == move)
		file->move = NULL;
	pthread_mutex_unlock(&scratch->lock);
	move->done(result, move->arg);
	/* Nobody else knows of the move any more. */
	run_again(scratch, &move->kept_back);
	g_free(move);
}

/* The rename as the store can do it. Compares of directories stay. */
static struct program *build_move(const struct program *program, const struct record *record)
{
	const struct op *rename = last_op(program);
	struct program *moving = program_new(program->credentials);
	struct op *op;

	for (guint i = 0; i < program->compares->len; i++) {
		const struct compare *compare = g_ptr_array_index(program->compares, i);

		program_compare(moving, compare->target, compare->operator, compare->key,
				compare->number);
	}
	moving->checked = program->checked;
	moving->origin = program->origin;
	if (!(rename->flags & OP_EXCLUSIVE))
		program_add(moving, OP_DELETE, rename->target);
	op = program_add(moving, record->type == RECORD_SYMLINK ? OP_SYMLINK : OP_PUT,
			 rename->target);
	op->flags = OP_MOVED | (rename->flags & OP_EXCLUSIVE);
	op->mode = record->mode;
	op->ino = record->ino;
	op->value = g_bytes_ref(record->value);
	op->changes = (struct attributes){ .mask = ATTRIBUTE_ALL,
					   .mode = record->mode,
					   .uid = record->uid,
					   .gid = record->gid,
					   .mtime_ns = record->mtime_ns };
	return moving;
}

/* ---- Deciding ------------------------------------------------------------------- */

enum decision {
	THEIRS,	   /* the store's */
	OURS,	   /* of scratch files only */
	MOVE,	   /* a scratch file becomes a key */
	KEEP_BACK, /* until a move is answered */
	REFUSE,	   /* with *ret_error */
};

static int rename_error(struct scratch *scratch, const struct op *op)
{
	if (op->flags & OP_EXCHANGE)
		return is_there(scratch, op->key) || is_there(scratch, op->target) ? -EINVAL : 0;
	if ((op->flags & OP_EXCLUSIVE) && is_there(scratch, op->target))
		return -EEXIST;
	/* Over a directory that only we know not to be empty. */
	return !is_there(scratch, op->target) && has_below(scratch, op->target) ? -ENOTEMPTY : 0;
}

static enum decision decide_rename(struct scratch *scratch, const struct program *program,
				   int *ret_error)
{
	const struct op *op = last_op(program);

	*ret_error = rename_error(scratch, op);
	if (*ret_error < 0)
		return REFUSE;
	if (!is_there(scratch, op->key))
		return THEIRS; /* the place of a scratch file is taken by a key */
	if (find_file(scratch, op->key)->move)
		return KEEP_BACK;
	return strcmp(op->key, op->target) == 0 ? OURS : MOVE;
}

static enum decision decide(struct scratch *scratch, const struct program *program, int *ret_error)
{
	const struct op *op = last_op(program);
	const struct scratch_file *file = find_file(scratch, op->key);
	g_autoptr(record) in_store = NULL;

	if (op->kind == OP_RENAME)
		return decide_rename(scratch, program, ret_error);
	if (file)
		return file->move ? KEEP_BACK : OURS;
	if (op->kind == OP_RMDIR && has_below(scratch, op->key)) {
		*ret_error = -ENOTEMPTY;
		return REFUSE;
	}
	if (!(op->flags & OP_SCRATCH))
		return THEIRS;
	return find(scratch, op->key, &in_store) == 0 && !in_store ? OURS : THEIRS;
}

static void keep_back(struct move *move, struct program *program, program_done_fn *done, void *arg)
{
	struct kept_back *kept = g_new(struct kept_back, 1);

	*kept = (struct kept_back){ program, done, arg };
	g_queue_push_tail(&move->kept_back, kept);
}

/* The program to submit with moved(*ret_move), or NULL: the value cannot be read. */
static struct program *begin_move(struct scratch *scratch, const struct program *program,
				  struct move **ret_move)
{
	struct scratch_file *file = find_file(scratch, last_op(program)->key);

	file->move = *ret_move = g_new0(struct move, 1);
	file->move->scratch = scratch;
	file->move->ino = file->ino;
	return build_move(program, overlay_find(scratch->overlay, file->key)->now);
}

/* To the store it means nothing: what it creates is a key. */
static void strip(struct program *program)
{
	for (guint i = 0; i < program->then_ops->len; i++) {
		struct op *op = g_ptr_array_index(program->then_ops, i);

		op->flags &= ~(unsigned)OP_SCRATCH;
	}
}

static bool may_concern(struct scratch *scratch, const struct program *program)
{
	if (!scratch || !is_simple(program))
		return false;
	return scratch_any(scratch) || (last_op(program)->flags & OP_SCRATCH);
}

bool scratch_apply(struct scratch *scratch, struct program *program, program_done_fn *done,
		   void *arg)
{
	struct outcome outcome = { .change = NULL };
	struct program *moving = NULL;
	struct move *move = NULL;
	enum decision decision;
	int error = 0;

	if (!may_concern(scratch, program))
		return false;
	pthread_mutex_lock(&scratch->lock);
	decision = decide(scratch, program, &error);
	if (decision == OURS || decision == REFUSE)
		run_program(scratch, program, error, &outcome);
	else if (decision == KEEP_BACK)
		keep_back(find_file(scratch, last_op(program)->key)->move, program, done, arg);
	else if (decision == MOVE)
		moving = begin_move(scratch, program, &move);
	pthread_mutex_unlock(&scratch->lock);

	if (decision == THEIRS) {
		strip(program);
		return false;
	}
	if (decision == KEEP_BACK)
		return true;
	program_free(program);
	if (decision == MOVE) {
		move->done = done;
		move->arg = arg;
		store_submit(scratch->store, moving, moved, move);
	} else {
		tell(scratch, &outcome, done, arg);
	}
	return true;
}

/* ---- Following the store -------------------------------------------------------- */

/* The key that what has the number `ino` got with this commit; NULL: none. */
static const char *find_created(const struct log_entry *commit, uint64_t ino)
{
	for (guint i = 0; i < commit->changes->len; i++) {
		const struct change *change = g_ptr_array_index(commit->changes, i);

		if (change->after && change->after->ino == ino)
			return change->key;
	}
	return NULL;
}

/* Its directory has another name. */
static void relocate(struct scratch *scratch, struct scratch_file *file, const char *directory)
{
	const char *slash = strrchr(file->key, '/');
	g_autofree char *key = g_strconcat(directory, "/", slash ? slash + 1 : file->key, NULL);
	g_autoptr(record) record = record_ref(overlay_find(scratch->overlay, file->key)->now);
	g_autoptr(record) after = NULL;
	struct op op = { .kind = record->type == RECORD_SYMLINK ? OP_SYMLINK : OP_PUT,
			 .flags = OP_SCRATCH,
			 .key = key,
			 .value = record->value,
			 .ino = record->ino,
			 .changes = { .mask = ATTRIBUTE_ALL,
				      .mode = record->mode,
				      .uid = record->uid,
				      .gid = record->gid,
				      .mtime_ns = record->mtime_ns } };

	set_limits(scratch, file->uid, true);
	if (overlay_apply(scratch->overlay, &op, &nobody_special, false, record->ctime_ns, &after,
			  NULL) < 0) {
		drop(scratch, file);
		return;
	}
	delete_entry(scratch, file->key);
	set_revisions(scratch, after);
	g_hash_table_steal(scratch->files, file->key);
	g_free(file->key);
	file->key = g_steal_pointer(&key);
	g_hash_table_insert(scratch->files, file->key, file);
}

static void follow_directory(struct scratch *scratch, const struct log_entry *commit,
			     const struct change *change)
{
	const char *now = find_created(commit, change->before->ino);
	g_autoptr(GList) files = g_hash_table_get_values(scratch->files);

	for (GList *link = files; link; link = link->next) {
		struct scratch_file *file = link->data;

		if (file->directory_ino != change->before->ino || !name_in(file->key, change->key))
			continue;
		if (now)
			relocate(scratch, file, now);
		else
			drop(scratch, file);
	}
}

static void follow_change(struct scratch *scratch, const struct log_entry *commit,
			  const struct change *change)
{
	const struct record *before = change->before, *after = change->after;
	struct scratch_file *file = after ? find_file(scratch, change->key) : NULL;

	if (file)
		drop(scratch, file); /* a key has its name */
	file = after ? g_hash_table_lookup(scratch->by_ino, &after->ino) : NULL;
	if (file)
		drop(scratch, file); /* it was renamed, and is a key now */
	if (before && before->type == RECORD_DIRECTORY && (!after || after->ino != before->ino))
		follow_directory(scratch, commit, change);
}

void scratch_follow(struct scratch *scratch, const struct log_entry *commit)
{
	if (commit->revision == 0 || !scratch_any(scratch))
		return;
	pthread_mutex_lock(&scratch->lock);
	for (guint i = 0; i < commit->changes->len; i++)
		follow_change(scratch, commit, g_ptr_array_index(commit->changes, i));
	pthread_mutex_unlock(&scratch->lock);
}
