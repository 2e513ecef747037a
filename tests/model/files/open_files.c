/* Open files: sessions of the live tree, handles in views. A process has one session on a
 * file at most, so that it is certain which close commits; appending sessions, which commit
 * by themselves after a second, and new names are opened and closed in one step. */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static bool writes(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY;
}

static bool reads(int flags)
{
	return (flags & O_ACCMODE) != O_WRONLY;
}

/* A call on an open file; its key, as it was opened, is told. */
static struct call *call_on(struct world *world, enum call_kind kind, const struct open_file *file)
{
	struct call *call = call_begin(world, kind);

	call->slot = file->slot;
	snprintf(call->path, sizeof(call->path), "%s:%s", file->txn ? file->txn->name : "keys",
		 file->path);
	return call;
}

/* ---- Values ---------------------------------------------------------------------- */

static void edit_clear(gpointer data)
{
	struct edit *edit = data;

	if (edit->data)
		g_bytes_unref(edit->data);
}

GBytes *apply_edit(GBytes *value, const struct edit *edit)
{
	gsize had, given = 0, size;
	const char *old = g_bytes_get_data(value, &had);
	const char *data = edit->data ? g_bytes_get_data(edit->data, &given) : NULL;
	gsize offset = edit->offset == G_MAXUINT64 ? had : (gsize)edit->offset;
	char *made;

	size = edit->truncate ? offset : MAX(had, offset + given);
	made = g_malloc0(size + 1);
	if (MIN(had, size) > 0)
		memcpy(made, old, MIN(had, size));
	if (given > 0)
		memcpy(made + offset, data, given);
	return g_bytes_new_take(made, size);
}

static void replace_bytes(GBytes **bytes, GBytes *with)
{
	g_bytes_unref(*bytes);
	*bytes = with;
}

static struct item *with_data(const struct item *item, GBytes *data)
{
	struct item *now = item_copy(item);

	replace_bytes(&now->data, g_bytes_ref(data));
	now->mtime_s = MTIME_OF_COMMIT;
	return now;
}

int64_t change_data(struct world *world, const struct place *place, const char *key, GBytes *data)
{
	g_autoptr(GArray) changes = changes_new();
	struct item *now = with_data(tree_find(place->tree, key), data);

	changes_add(changes, CHANGE_MODIFY, key, now, true, 0);
	item_unref(now);
	return change_place(world, place, changes);
}

/* ---- Finding --------------------------------------------------------------------- */

const struct open_file *find_session(const struct world *world, int process, uint64_t id)
{
	for (int i = 0; i < OPEN_MAX; i++) {
		const struct open_file *file = &world->files[i];

		if (file->used && !file->txn && file->id == id && file->edits &&
		    file->process == process)
			return file;
	}
	return NULL;
}

static struct open_file *free_file(struct world *world)
{
	for (int slot = 0; slot < SLOTS; slot++) {
		struct open_file *file = &world->files[world->process * SLOTS + slot];

		if (!file->used) {
			*file = (struct open_file){ .process = world->process, .slot = slot };
			return file;
		}
	}
	return NULL;
}

static void place_of(struct world *world, const struct open_file *file, struct place *ret)
{
	place_live(world, ret);
	for (int i = 0; file->txn && i < TXNS; i++) {
		if (world->txns[i] == file->txn)
			place_txn(world, i, ret);
	}
}

static void forget_file(struct open_file *file)
{
	file->used = false;
	g_clear_pointer(&file->value, g_bytes_unref);
	g_clear_pointer(&file->edits, g_array_unref);
}

/* A file of a view that loses its name while it is open goes on for its handles. */
void keep_orphans(struct world *world, const struct place *place, const GArray *changes)
{
	for (int i = 0; i < OPEN_MAX; i++) {
		const struct open_file *file = &world->files[i];
		const char *key;
		bool goes = false;

		if (!file->used || file->txn != place->txn || file->old)
			continue;
		key = key_of(place->tree, file->id);
		for (guint j = 0; key && j < changes->len; j++) {
			const struct change *change = &g_array_index(changes, struct change, j);

			if (strcmp(change->key, key) == 0 && change->kind == CHANGE_DELETE)
				goes = true;
			else if (change->item && change->item->id == file->id)
				goes = false;
		}
		if (goes)
			g_hash_table_insert(place->txn->orphans, GSIZE_TO_POINTER(file->id),
					    g_bytes_ref(tree_find(place->tree, key)->data));
	}
}

/* A session goes with its file; what its process sees of it does not. */
void note_moved(struct world *world, const struct tree *before)
{
	for (int i = 0; i < OPEN_MAX; i++) {
		struct open_file *file = &world->files[i];
		const char *key, *now;

		if (!file->used || file->txn || !(key = key_of(before, file->id)))
			continue;
		now = key_of(world->live, file->id);
		if (now && strcmp(key, now) != 0)
			file->moved = true;
	}
}

/* ---- Sessions -------------------------------------------------------------------- */

static void session_edit(struct open_file *file, struct edit edit)
{
	replace_bytes(&file->value, apply_edit(file->value, &edit));
	if (edit.data)
		g_bytes_ref(edit.data);
	g_array_append_val(file->edits, edit);
	file->pending = true;
}

/* What close(2) and fsync(2) do in the model. */
static void session_commit(struct world *world, struct open_file *file)
{
	const char *key = key_of(world->live, file->id);
	struct place live;

	if (file->pending && key) {
		GBytes *data = g_bytes_ref(file->replace ? file->value :
							   tree_find(world->live, key)->data);

		for (guint i = 0; !file->replace && i < file->edits->len; i++)
			replace_bytes(&data, apply_edit(data, &g_array_index(file->edits,
									     struct edit, i)));
		place_live(world, &live);
		change_data(world, &live, key, data);
		replace_bytes(&file->value, data);
	}
	file->pending = file->replace = false;
	g_array_set_size(file->edits, 0);
}

/* What was only truncated commits a moment after close(2): the next call waits for it. */
static void wait_for_release(struct world *world, uint64_t id)
{
	const char *key = key_of(world->live, id);
	struct place live;

	if (!key)
		return;
	place_live(world, &live);
	call_begin(world, CALL_LSTAT);
	call_set_path(world, &live, key);
	call_expect(world, 0);
}

void close_file(struct world *world, struct open_file *file)
{
	bool pending = file->pending;
	uint64_t id = file->id;

	if (file->old)
		forget_unasked(world, file->txn);
	world->process = file->process;
	if (file->edits)
		session_commit(world, file);
	call_on(world, CALL_CLOSE, file);
	call_expect(world, 0);
	forget_file(file);
	if (pending)
		wait_for_release(world, id);
}

/* ---- Opening --------------------------------------------------------------------- */

static int random_flags(struct world *world)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR };
	int flags = modes[chance(world, 3)] | O_NOFOLLOW;

	if (one_in(world, 3))
		flags |= O_CREAT | (one_in(world, 3) ? O_EXCL : 0);
	if (writes(flags) && one_in(world, 3))
		flags |= O_TRUNC;
	if (writes(flags) && one_in(world, 5))
		flags |= O_APPEND;
	return flags;
}

static void call_open(struct world *world, const struct place *place, const struct open_file *file,
		      int64_t wanted)
{
	struct call *call = call_begin(world, CALL_OPEN);

	call->slot = file->slot;
	call->flags = file->flags;
	call->mode = 0644;
	call_set_path(world, place, file->path);
	call_expect(world, wanted);
}

static void write_some(struct world *world, struct open_file *file)
{
	g_autoptr(GBytes) data = random_data(world);
	bool append = file->flags & O_APPEND;
	struct edit edit = { false, append ? G_MAXUINT64 : (uint64_t)chance(world, 50), data };
	struct call *call = call_on(world, append ? CALL_APPEND : CALL_PWRITE, file);

	if (g_bytes_get_size(data) == 0)
		return;
	call->number = (int64_t)edit.offset;
	call_set_data(world, data);
	session_edit(file, edit);
	call_expect(world, call->size);
}

static void start_session(struct open_file *file, GBytes *value)
{
	file->edits = g_array_new(FALSE, FALSE, sizeof(struct edit));
	g_array_set_clear_func(file->edits, edit_clear);
	file->value = value;
}

/* Others do not see a name before it is committed, and cannot take it. */
static void look_at_reserved(struct world *world, const struct place *place, const char *key,
			     int process)
{
	world->process = (process + 1) % PROCESSES;
	call_begin(world, one_in(world, 2) ? CALL_LSTAT : CALL_MKDIR)->mode = 0755;
	call_set_path(world, place, key);
	call_expect(world, world->call.kind == CALL_LSTAT ? -ENOENT : -EEXIST);
	world->process = process;
}

/* A new name: reserved, written, committed at the close. */
static void create_live(struct world *world, const struct place *place, struct open_file *file)
{
	g_autoptr(GArray) changes = changes_new();
	struct item *item = new_item(world, ITEM_FILE, 0644);

	start_session(file, g_bytes_new(NULL, 0));
	call_open(world, place, file, 0);
	if (writes(file->flags)) {
		look_at_reserved(world, place, file->path, file->process);
		for (int i = chance(world, 3); i > 0; i--)
			write_some(world, file);
	}
	call_on(world, CALL_CLOSE, file);
	item->data = g_bytes_ref(file->value);
	changes_add(changes, CHANGE_CREATE, file->path, item, true, 0);
	change_place(world, place, changes);
	call_expect(world, 0);
	forget_file(file);
	wait_for_release(world, item->id);
	item_unref(item);
}

static void append_live(struct world *world, const struct place *place, struct open_file *file,
			const struct item *item)
{
	start_session(file, file->flags & O_TRUNC ? g_bytes_new(NULL, 0) : g_bytes_ref(item->data));
	file->used = true;
	file->id = item->id;
	file->replace = file->pending = file->flags & O_TRUNC;
	call_open(world, place, file, 0);
	for (int i = chance(world, 3); i > 0; i--)
		write_some(world, file);
	close_file(world, file);
}

static void open_live(struct world *world, const struct place *place, struct open_file *file,
		      const struct item *item)
{
	bool truncate = file->flags & O_TRUNC;

	if (!item) {
		create_live(world, place, file);
		return;
	}
	if (writes(file->flags) && find_session(world, file->process, item->id))
		return;
	if (file->flags & O_APPEND) {
		append_live(world, place, file, item);
		return;
	}
	call_open(world, place, file, 0);
	file->used = true;
	file->id = item->id;
	if (!writes(file->flags)) {
		file->value = g_bytes_ref(item->data);
		return;
	}
	start_session(file, truncate ? g_bytes_new(NULL, 0) : g_bytes_ref(item->data));
	file->replace = file->pending = truncate;
}

static void open_in_view(struct world *world, const struct place *place, struct open_file *file,
			 const struct item *item)
{
	g_autoptr(GArray) changes = changes_new();
	struct item *now = NULL;
	int64_t r;

	if (!item) {
		now = new_item(world, ITEM_FILE, 0644);
		now->data = g_bytes_new(NULL, 0);
		changes_add(changes, CHANGE_CREATE, file->path, now, true, 0);
	} else if (file->flags & O_TRUNC) {
		g_autoptr(GBytes) empty = g_bytes_new(NULL, 0);

		now = with_data(item, empty);
		changes_add(changes, CHANGE_MODIFY, file->path, now, true, 0);
	} else if (reads(file->flags)) {
		txn_observe(place->txn, OBSERVED_VALUE, file->path);
	}
	file->id = now ? now->id : item->id;
	r = change_place(world, place, changes);
	if (!now)
		r = 0;
	call_open(world, place, file, r);
	file->txn = place->txn;
	file->used = r == 0;
	item_unref(now);
}

/* What is found before the file is opened. 1: it is a directory that opens. */
static int check_open(const struct item *item, int flags)
{
	if (!item)
		return flags & O_CREAT ? 0 : -ENOENT;
	if ((flags & O_CREAT) && (flags & O_EXCL))
		return -EEXIST;
	if (item->type == ITEM_LINK)
		return -ELOOP;
	if (item->type == ITEM_DIRECTORY)
		return (flags & O_CREAT) || writes(flags) ? -EISDIR : 1;
	return 0;
}

void step_open(struct world *world, const struct place *place)
{
	struct open_file *file = free_file(world);
	struct item *item;
	int r;

	if (!file)
		return;
	file->flags = random_flags(world);
	random_key(world, file->path);
	r = look_up(place, file->path, &item);
	if (r == 0)
		r = check_open(item, file->flags);
	if (r != 0) {
		call_open(world, place, file, MIN(r, 0));
		if (r > 0) {
			call_on(world, CALL_CLOSE, file);
			call_expect(world, 0);
		}
	} else if (place->txn) {
		open_in_view(world, place, file, item);
	} else {
		open_live(world, place, file, item);
	}
}

/* ---- What a handle reads --------------------------------------------------------- */

/* Borrowed; NULL: not known. */
static GBytes *value_of(const struct open_file *file)
{
	GBytes *orphan;
	const char *key;

	if (!file->txn || file->old)
		return file->value;
	orphan = g_hash_table_lookup(file->txn->orphans, GSIZE_TO_POINTER(file->id));
	if (orphan)
		return orphan;
	key = key_of(file->txn->view, file->id);
	return key ? tree_find(file->txn->view, key)->data : NULL;
}

static void read_file(struct world *world, struct open_file *file)
{
	struct call *call = call_on(world, CALL_PREAD, file);
	g_autoptr(GBytes) part = NULL;
	GBytes *value = value_of(file);
	gsize size, from;

	if (!reads(file->flags) || !value)
		return;
	size = g_bytes_get_size(value);
	call->number = one_in(world, 2) ? 0 : chance(world, 60);
	call->size = one_in(world, 2) ? 6000 : 1 + (uint32_t)chance(world, 60);
	from = MIN((gsize)call->number, size);
	part = g_bytes_new_from_bytes(value, from, MIN(size - from, call->size));
	call_expect(world, (int64_t)g_bytes_get_size(part));
	if (!world->differs)
		compare_bytes(world, file->path, part);
}

/* ---- What it writes -------------------------------------------------------------- */

static int64_t edit_in_view(struct world *world, struct open_file *file, const struct edit *edit)
{
	gpointer id = GSIZE_TO_POINTER(file->id);
	GBytes *orphan = g_hash_table_lookup(file->txn->orphans, id);
	g_autoptr(GBytes) made = NULL;
	struct place place;
	const char *key;

	if (orphan && !file->old) {
		g_hash_table_insert(file->txn->orphans, id, apply_edit(orphan, edit));
		return 0;
	}
	place_of(world, file, &place);
	key = key_of(place.tree, file->id);
	if (file->old || !key)
		return -ESTALE;
	if (refusal(&place) < 0)
		return refusal(&place);
	txn_observe(file->txn, OBSERVED_VALUE, key);
	made = apply_edit(tree_find(place.tree, key)->data, edit);
	return change_data(world, &place, key, made);
}

static void edit_file(struct world *world, struct open_file *file, bool truncate)
{
	g_autoptr(GBytes) data = truncate ? NULL : random_data(world);
	bool append = file->flags & O_APPEND;
	struct edit edit = { truncate, (uint64_t)chance(world, 60), data };
	struct call *call;
	int64_t r;

	if (!writes(file->flags) || (data && g_bytes_get_size(data) == 0))
		return;
	call = call_on(world, truncate ? CALL_FTRUNCATE : append ? CALL_APPEND : CALL_PWRITE, file);
	call->number = (int64_t)edit.offset;
	if (append && !truncate)
		edit.offset = G_MAXUINT64;
	if (data)
		call_set_data(world, data);
	if (file->txn) {
		r = edit_in_view(world, file, &edit);
	} else {
		session_edit(file, edit);
		r = 0;
	}
	call_expect(world, r < 0 ? r : (int64_t)call->size);
}

/* ---- What it shows --------------------------------------------------------------- */

/* Who sees what size: the writer its own, everybody else what is committed. */
static void stat_file(struct world *world, struct open_file *file, bool end)
{
	const struct tree *tree = file->txn ? file->txn->view : world->live;
	const char *key = file->old ? NULL : key_of(tree, file->id);
	struct place place;
	struct item *shown;

	if (!key || file->moved)
		return;
	if (file->txn)
		txn_observe(file->txn, OBSERVED_VALUE, key);
	place_of(world, file, &place);
	shown = item_copy(tree_find(tree, key));
	if (file->edits && (end || file->pending))
		replace_bytes(&shown->data, g_bytes_ref(file->value));
	call_on(world, end ? CALL_SEEK_END : CALL_FSTAT, file);
	if (end)
		call_expect(world, (int64_t)g_bytes_get_size(shown->data));
	else
		call_expect(world, 0);
	if (!end && !world->differs)
		compare_status(world, &place, shown);
	item_unref(shown);
}

static bool reader_of_own(const struct world *world, const struct open_file *file)
{
	return !file->txn && !file->edits && find_session(world, file->process, file->id);
}

void step_file(struct world *world)
{
	struct open_file *file = &world->files[chance(world, OPEN_MAX)];
	int what = chance(world, 12);

	if (!file->used)
		return;
	world->process = file->process;
	if (what < 4) {
		read_file(world, file);
	} else if (what < 7) {
		edit_file(world, file, false);
	} else if (what < 8) {
		edit_file(world, file, true);
	} else if (what < 10) {
		/* A reader in a process that also writes is shown what that has written. */
		if (!reader_of_own(world, file))
			stat_file(world, file, what == 8);
	} else if (what < 11) {
		if (file->edits)
			session_commit(world, file);
		call_on(world, CALL_FSYNC, file);
		call_expect(world, 0);
	} else {
		close_file(world, file);
	}
}
