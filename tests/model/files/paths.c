/* Calls on paths. What refuses a call in a transaction that is not open is found after what
 * the kernel finds by itself. */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static void expect_change(struct world *world, const struct place *place, const GArray *changes)
{
	call_expect(world, change_place(world, place, changes));
}

/* ---- Making ---------------------------------------------------------------------- */

static void make_entry(struct world *world, const struct place *place, const char *key,
		       struct item *made)
{
	g_autoptr(GArray) changes = changes_new();
	struct item *item;
	int r = look_up(place, key, &item);

	if (r == 0 && item)
		r = -EEXIST;
	if (r == 0)
		changes_add(changes, CHANGE_CREATE, key, made, true, 0);
	if (r < 0)
		call_expect(world, r);
	else
		expect_change(world, place, changes);
	item_unref(made);
}

static void step_mkdir(struct world *world, const struct place *place, const char *key)
{
	static const unsigned modes[] = { 0755, 0700, 0750 };
	unsigned mode = modes[chance(world, 3)];

	call_begin(world, CALL_MKDIR)->mode = mode;
	call_set_path(world, place, key);
	make_entry(world, place, key, new_item(world, ITEM_DIRECTORY, mode));
}

static void step_symlink(struct world *world, const struct place *place, const char *key)
{
	struct item *item = new_item(world, ITEM_LINK, 0777);
	char text[8];

	snprintf(text, sizeof(text), "z%d", chance(world, 3));
	item->data = g_bytes_new(text, strlen(text));
	call_begin(world, CALL_SYMLINK);
	call_set_path(world, place, key);
	call_set_data(world, item->data);
	world->call.data[world->call.size++] = '\0';
	make_entry(world, place, key, item);
}

/* ---- Removing and moving --------------------------------------------------------- */

static void step_unlink(struct world *world, const struct place *place, const char *key)
{
	g_autoptr(GArray) changes = changes_new();
	struct item *item;
	int r = look_up(place, key, &item);

	call_begin(world, CALL_UNLINK);
	call_set_path(world, place, key);
	if (r == 0)
		r = !item ? -ENOENT : item->type == ITEM_DIRECTORY ? -EISDIR : 0;
	if (r < 0) {
		call_expect(world, r);
		return;
	}
	changes_add(changes, CHANGE_DELETE, key, NULL, false, 0);
	expect_change(world, place, changes);
}

static void step_rmdir(struct world *world, const struct place *place, const char *key)
{
	g_autoptr(GArray) changes = changes_new();
	struct item *item;
	int64_t r = look_up(place, key, &item);

	call_begin(world, CALL_RMDIR);
	call_set_path(world, place, key);
	if (r == 0)
		r = !item ? -ENOENT : item->type != ITEM_DIRECTORY ? -ENOTDIR : 0;
	if (r == 0)
		r = refusal(place);
	if (r == 0 && place->txn)
		txn_observe(place->txn, OBSERVED_LIST, key);
	if (r == 0)
		r = tree_rmdir(place->tree, key, changes);
	if (r == 0)
		r = change_place(world, place, changes);
	call_expect(world, r);
}

/* The checks that the kernel makes by itself come first; it sends nothing for the same. */
static int64_t rename_there(struct world *world, const struct place *place, const char *from,
			    const char *to, unsigned flags)
{
	g_autoptr(GArray) changes = changes_new();
	const struct item *source = tree_find(place->tree, from);
	const struct item *target = tree_find(place->tree, to);
	int64_t r = tree_rename(place->tree, from, to, flags, changes);
	bool sent = (r == 0 && changes->len > 0) || (r == -ENOTEMPTY && !key_below(from, to));

	if (sent && refusal(place) < 0)
		return refusal(place);
	if (sent && place->txn) {
		txn_observe_moved(place->txn, from);
		if (flags & MOVE_EXCHANGE)
			txn_observe_moved(place->txn, to);
		else if (target && target->type == ITEM_DIRECTORY && source->type == ITEM_DIRECTORY)
			txn_observe(place->txn, OBSERVED_LIST, to);
	}
	return r < 0 ? r : change_place(world, place, changes);
}

static void step_rename(struct world *world, const struct place *place, const char *from)
{
	static const unsigned choices[] = { 0, 0, 0, MOVE_NOREPLACE, MOVE_EXCHANGE };
	struct item *source, *target;
	char to[KEY_MAX];
	int64_t r;

	random_key(world, to);
	call_begin(world, CALL_RENAME)->flags = (int)choices[chance(world, 5)];
	call_set_path(world, place, from);
	snprintf(world->call.target, sizeof(world->call.target), "%s/%s", place->root, to);
	r = walk(place, from);
	if (r == 0)
		r = walk(place, to);
	if (r == 0)
		r = look_up(place, from, &source);
	if (r == 0 && !source)
		r = -ENOENT;
	if (r == 0)
		r = look_up(place, to, &target);
	if (r == 0)
		r = rename_there(world, place, from, to, (unsigned)world->call.flags);
	call_expect(world, r);
}

/* ---- Attributes ------------------------------------------------------------------ */

static void set_attribute(struct world *world, struct item *item, unsigned *ret_set)
{
	struct call *call = &world->call;

	if (call->kind == CALL_CHMOD) {
		item->mode = call->mode;
		*ret_set = SET_MODE;
	} else if (call->kind == CALL_CHOWN) {
		item->uid = (unsigned)call->number;
		item->gid = (unsigned)call->number + 1;
		*ret_set = SET_OWNER;
	} else {
		item->mtime_s = call->number;
		item->renewed = false;
		*ret_set = SET_MTIME;
	}
}

/* Attributes that a writer sets are of its session: another process has to set them. */
static bool choose_no_writer(struct world *world, const struct place *place, const char *key)
{
	const struct item *item = tree_find(place->tree, key);

	for (int i = 0; i < PROCESSES; i++) {
		if (place->txn || !item || !find_session(world, world->process, item->id))
			return true;
		world->process = (world->process + 1) % PROCESSES;
	}
	return false;
}

static void step_attributes(struct world *world, const struct place *place, const char *key,
			    enum call_kind kind)
{
	static const unsigned modes[] = { 0644, 0600, 0755, 0700 };
	g_autoptr(GArray) changes = changes_new();
	struct item *item, *now;
	unsigned set;
	int r;

	if (!choose_no_writer(world, place, key))
		return;
	r = look_up(place, key, &item);

	call_begin(world,
		   kind == CALL_CHMOD && item && item->type == ITEM_LINK ? CALL_CHOWN : kind);
	call_set_path(world, place, key);
	world->call.mode = modes[chance(world, 4)];
	world->call.number = world->call.kind == CALL_CHOWN ? chance(world, 3) :
							      1000 + chance(world, 1000);
	if (r == 0 && !item)
		r = -ENOENT;
	if (r < 0) {
		call_expect(world, r);
		return;
	}
	now = item_copy(item);
	set_attribute(world, now, &set);
	changes_add(changes, CHANGE_MODIFY, key, now, false, set);
	expect_change(world, place, changes);
	item_unref(now);
}

static void step_truncate(struct world *world, const struct place *place, const char *key)
{
	struct edit edit = { .truncate = true, .offset = (uint64_t)chance(world, 60) };
	g_autoptr(GBytes) data = NULL;
	struct item *item;
	int64_t r;

	item = tree_find(place->tree, key);
	if (item && item->type == ITEM_LINK)
		return; /* it would be followed */
	r = look_up(place, key, &item);
	call_begin(world, CALL_TRUNCATE)->number = (int64_t)edit.offset;
	call_set_path(world, place, key);
	if (r == 0)
		r = !item ? -ENOENT : item->type == ITEM_DIRECTORY ? -EISDIR : refusal(place);
	if (r < 0) {
		call_expect(world, r);
		return;
	}
	if (place->txn)
		txn_observe(place->txn, OBSERVED_VALUE, key);
	data = apply_edit(item->data, &edit);
	call_expect(world, change_data(world, place, key, data));
}

/* ---- Reading --------------------------------------------------------------------- */

/* Whoever writes sees the size that is its own. */
static void compare_shown(struct world *world, const struct place *place, struct item *item)
{
	const struct open_file *own = place->txn ? NULL :
						   find_session(world, world->process, item->id);
	struct item *shown = item_copy(item);

	if (own && own->pending && !own->moved) {
		g_bytes_unref(shown->data);
		shown->data = g_bytes_ref(own->value);
	}
	compare_status(world, place, shown);
	item_unref(shown);
}

static void step_lstat(struct world *world, const struct place *place, const char *key)
{
	struct item *item;
	int r = look_up(place, key, &item);

	if (item && item->type != ITEM_DIRECTORY && place->txn)
		txn_observe(place->txn, OBSERVED_VALUE, key);
	call_begin(world, CALL_LSTAT);
	call_set_path(world, place, key);
	call_expect(world, r < 0 ? r : item ? 0 : -ENOENT);
	if (item && !world->differs)
		compare_shown(world, place, item);
}

/* A file, or a link. */
static void read_item(struct world *world, const struct place *place, const char *key,
		      enum call_kind kind)
{
	enum item_type wanted = kind == CALL_READLINK ? ITEM_LINK : ITEM_FILE;
	struct item *item;
	int64_t r = look_up(place, key, &item);
	bool readable = item && item->type == wanted;

	if (readable && place->txn)
		txn_observe(place->txn, OBSERVED_VALUE, key);
	call_begin(world, kind);
	call_set_path(world, place, key);
	if (r == 0)
		r = !item		    ? -ENOENT :
		    readable		    ? (int64_t)g_bytes_get_size(item->data) :
		    wanted == ITEM_LINK	    ? -EINVAL :
		    item->type == ITEM_LINK ? -ELOOP :
					      -EISDIR;
	call_expect(world, r);
	if (readable && !world->differs)
		compare_bytes(world, key, item->data);
}

static void step_read(struct world *world, const struct place *place, const char *key)
{
	read_item(world, place, key, CALL_READ_FILE);
}

static void step_readlink(struct world *world, const struct place *place, const char *key)
{
	read_item(world, place, key, CALL_READLINK);
}

static char *listing_of(const struct tree *tree, const char *directory)
{
	GString *text = g_string_new(NULL);
	GTreeNode *node;

	for (node = g_tree_node_first(tree->items); node; node = g_tree_node_next(node)) {
		const char *key = g_tree_node_key(node);
		const struct item *item = g_tree_node_value(node);
		char parent[KEY_MAX];

		key_parent(key, parent);
		if (*key && strcmp(parent, directory) == 0)
			g_string_append_printf(text, "%c %s\n", item->type,
					       key + strlen(parent) + (*parent ? 1 : 0));
	}
	return g_string_free(text, FALSE);
}

static void step_list(struct world *world, const struct place *place, const char *key)
{
	g_autofree char *wanted = NULL;
	struct item *item;
	int r;

	if (one_in(world, 4))
		key = "";
	r = look_up(place, key, &item);
	if (r == 0)
		r = !item ? -ENOENT : item->type == ITEM_DIRECTORY ? 0 : -ENOTDIR;
	if (r == 0 && place->txn)
		txn_observe(place->txn, OBSERVED_LIST, key);
	call_begin(world, CALL_LIST);
	call_set_path(world, place, key);
	call_expect(world, r);
	if (r < 0 || world->differs)
		return;
	wanted = listing_of(place->tree, key);
	compare_text(world, "listing", wanted);
}

/* ---- Choosing -------------------------------------------------------------------- */

typedef void path_fn(struct world *world, const struct place *place, const char *key);

static void step_chmod(struct world *world, const struct place *place, const char *key)
{
	step_attributes(world, place, key, CALL_CHMOD);
}

static void step_chown(struct world *world, const struct place *place, const char *key)
{
	step_attributes(world, place, key, CALL_CHOWN);
}

static void step_utimens(struct world *world, const struct place *place, const char *key)
{
	step_attributes(world, place, key, CALL_UTIMENS);
}

void step_path(struct world *world, const struct place *place)
{
	static path_fn *const all[] = {
		step_mkdir,   step_mkdir,    step_mkdir,    step_symlink, step_unlink, step_unlink,
		step_rmdir,   step_rename,   step_rename,   step_rename,  step_chmod,  step_chown,
		step_utimens, step_truncate, step_lstat,    step_lstat,	  step_lstat,  step_read,
		step_read,    step_read,     step_readlink, step_list,	  step_list,
	};
	char key[KEY_MAX];

	random_key(world, key);
	all[chance(world, G_N_ELEMENTS(all))](world, place, key);
}

void step_look(struct world *world)
{
	uint64_t age = (uint64_t)chance(world, PAST_MAX - 2);
	const struct past *past;
	struct place place = { 0 };
	char key[KEY_MAX];

	past = &world->past[(world->revision - MIN(age, world->revision - 1)) % PAST_MAX];
	if (!past->tree)
		return;
	random_key(world, key);
	place.tree = past->tree;
	place.inos = g_hash_table_new(NULL, NULL);
	/* Nothing is recorded there, and nobody writes. */
	snprintf(place.root, sizeof(place.root), "%s/at/%" G_GUINT64_FORMAT, world->point,
		 past->revision);
	world->process = 0;
	switch (chance(world, 4)) {
	case 0:
		step_list(world, &place, key);
		break;
	case 1:
		step_readlink(world, &place, key);
		break;
	default:
		step_read(world, &place, key);
	}
	g_hash_table_unref(place.inos);
}
