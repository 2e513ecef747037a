/* Calls on both sides, and telling of differences. See world.h. */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

/* ---- Chance ---------------------------------------------------------------------- */

int chance(struct world *world, int below)
{
	return g_rand_int_range(world->random, 0, below);
}

bool one_in(struct world *world, int count)
{
	return chance(world, count) == 0;
}

/* One that is there in the live tree. */
static void existing_key(struct world *world, char ret[static KEY_MAX])
{
	int index = chance(world, g_tree_nnodes(world->live->items));
	GTreeNode *node = g_tree_node_first(world->live->items);

	while (index-- > 0)
		node = g_tree_node_next(node);
	g_strlcpy(ret, g_tree_node_key(node), KEY_MAX);
}

/* Few names, so that they meet. */
void random_key(struct world *world, char ret[static KEY_MAX])
{
	int depth = 1 + (chance(world, 10) > 3) + (chance(world, 10) > 6);
	size_t length = 0;

	if (one_in(world, 2)) {
		existing_key(world, ret);
		length = strlen(ret);
		if (length > 0 && (length > 4 || one_in(world, 2)))
			return;
		depth = 1;
	}
	for (int i = 0; i < depth; i++) {
		if (length > 0)
			ret[length++] = '/';
		ret[length++] = (char)('a' + chance(world, 4));
	}
	ret[length] = '\0';
}

GBytes *random_data(struct world *world)
{
	gsize size = one_in(world, 30) ? 4000 + (gsize)chance(world, 500) :
					 (gsize)chance(world, 40);
	char *data = g_malloc(size + 1);

	for (gsize i = 0; i < size; i++)
		data[i] = (char)('a' + (world->steps + i) % 26);
	return g_bytes_new_take(data, size);
}

/* ---- Telling --------------------------------------------------------------------- */

/* Without the mount point. */
static const char *short_path(const struct world *world, const char *path)
{
	return g_str_has_prefix(path, world->point) ? path + strlen(world->point) + 1 : path;
}

static char *describe(const struct world *world)
{
	const struct call *call = &world->call;

	return g_strdup_printf("%" G_GUINT64_FORMAT ": [%d] %s slot %d flags %#o number "
			       "%" G_GINT64_FORMAT " size %u mode %#o '%s' '%s'",
			       world->steps, world->process, call_names[call->kind], call->slot,
			       (unsigned)call->flags, call->number, call->size, call->mode,
			       short_path(world, call->path), short_path(world, call->target));
}

static const char *error_name(int64_t result)
{
	return result < 0 ? g_strerror((int)-result) : "";
}

static void note_recent(struct world *world, const char *text)
{
	char **place = &world->recent[world->told++ % RECENT];

	g_free(*place);
	*place = g_strdup_printf("%s -> %" G_GINT64_FORMAT " %s", text, world->answer.result,
				 error_name(world->answer.result));
}

void differ(struct world *world, const char *format, ...)
{
	va_list arguments;

	if (world->differs)
		return;
	world->differs = true;
	printf("the last calls:\n");
	for (uint64_t i = 0; i < RECENT; i++) {
		const char *text = world->recent[(world->told + i) % RECENT];

		if (text)
			printf("  %s\n", text);
	}
	printf("DIFFERENCE: ");
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
}

/* ---- Calls ----------------------------------------------------------------------- */

struct call *call_begin(struct world *world, enum call_kind kind)
{
	struct call *call = &world->call;

	call->kind = kind;
	call->slot = 0;
	call->flags = 0;
	call->mode = 0;
	call->number = 0;
	call->size = 0;
	call->path[0] = call->target[0] = '\0';
	return call;
}

void call_set_path(struct world *world, const struct place *place, const char *key)
{
	snprintf(world->call.path, sizeof(world->call.path), "%s/%s", place->root, key);
}

void call_set_data(struct world *world, GBytes *data)
{
	gsize size;
	const void *bytes = g_bytes_get_data(data, &size);

	world->call.size = (uint32_t)size;
	if (size > 0)
		memcpy(world->call.data, bytes, size);
}

void call_make(struct world *world)
{
	g_autofree char *text = describe(world);

	calls_make(world->process, &world->call, &world->answer);
	note_recent(world, text);
	world->counts[world->call.kind]++;
	world->refused[world->call.kind] += world->answer.result < 0;
}

void call_expect(struct world *world, int64_t wanted)
{
	call_make(world);
	if (world->answer.result != wanted)
		differ(world, "expected %" G_GINT64_FORMAT " %s, got %" G_GINT64_FORMAT " %s",
		       wanted, error_name(wanted), world->answer.result,
		       error_name(world->answer.result));
}

/* ---- Comparing ------------------------------------------------------------------- */

void compare_bytes(struct world *world, const char *what, GBytes *wanted)
{
	gsize size = 0;
	const char *bytes = wanted ? g_bytes_get_data(wanted, &size) : "";

	if (size != world->answer.size ||
	    (size > 0 && memcmp(bytes, world->answer.data, size) != 0))
		differ(world, "%s: expected %zu bytes '%.*s',\ngot %u '%.*s'", what, size,
		       (int)size, bytes, world->answer.size, (int)world->answer.size,
		       world->answer.data);
}

void compare_text(struct world *world, const char *what, const char *wanted)
{
	g_autoptr(GBytes) bytes = g_bytes_new(wanted, strlen(wanted));

	compare_bytes(world, what, bytes);
}

/* A number stands for one item only, as long as that is. */
static void compare_ino(struct world *world, const struct place *place, const struct item *item)
{
	gpointer id = GSIZE_TO_POINTER(item->id);
	gpointer known = g_hash_table_lookup(place->inos, id);

	if (!known)
		g_hash_table_insert(place->inos, id, GSIZE_TO_POINTER(world->answer.ino));
	else if (GPOINTER_TO_SIZE(known) != world->answer.ino)
		differ(world, "st_ino was %zu, is %" G_GUINT64_FORMAT, GPOINTER_TO_SIZE(known),
		       world->answer.ino);
}

void compare_status(struct world *world, const struct place *place, const struct item *item)
{
	static const unsigned types[] = { ['f'] = 0100000, ['d'] = 0040000, ['l'] = 0120000 };
	const struct answer *answer = &world->answer;
	uint64_t size = item->data ? g_bytes_get_size(item->data) : 0;

	if (answer->mode != (types[item->type] | item->mode))
		differ(world, "expected mode %o, got %o", types[item->type] | item->mode,
		       answer->mode);
	if (answer->uid != item->uid || answer->gid != item->gid)
		differ(world, "expected owner %u:%u, got %u:%u", item->uid, item->gid, answer->uid,
		       answer->gid);
	if (answer->links != 1 || answer->blocks != (answer->bytes + 511) / 512)
		differ(world, "%u links, %" G_GUINT64_FORMAT " blocks", answer->links,
		       answer->blocks);
	if (answer->bytes != size)
		differ(world, "expected size %" G_GUINT64_FORMAT ", got %" G_GUINT64_FORMAT, size,
		       answer->bytes);
	if (item->mtime_s != MTIME_OF_COMMIT && (place->txn || !item->renewed) &&
	    answer->mtime_s != item->mtime_s)
		differ(world, "expected mtime %" G_GINT64_FORMAT ", got %" G_GINT64_FORMAT,
		       item->mtime_s, answer->mtime_s);
	compare_ino(world, place, item);
}

/* ---- Places ---------------------------------------------------------------------- */

void place_live(struct world *world, struct place *ret)
{
	*ret = (struct place){ .tree = world->live, .inos = world->live_inos };
	snprintf(ret->root, sizeof(ret->root), "%s/keys", world->point);
}

void place_txn(struct world *world, int index, struct place *ret)
{
	struct txn *txn = world->txns[index];

	*ret = (struct place){ .tree = txn->view, .txn = txn, .inos = world->txn_inos[index] };
	snprintf(ret->root, sizeof(ret->root), "%s/txn/%s/keys", world->point, txn->name);
}

static void observe(const struct place *place, enum observed what, const char *key)
{
	if (place->txn)
		txn_observe(place->txn, what, key);
}

/* What a link leads to, which is never there. */
static void follow(const struct place *place, const char *key, const struct item *link)
{
	char parent[KEY_MAX], target[2 * KEY_MAX];

	key_parent(key, parent);
	snprintf(target, sizeof(target), "%s%s%.*s", parent, *parent ? "/" : "",
		 (int)g_bytes_get_size(link->data),
		 (const char *)g_bytes_get_data(link->data, NULL));
	observe(place, OBSERVED_VALUE, key);
	observe(place, OBSERVED_EXISTS, target);
}

int walk(const struct place *place, const char *key)
{
	for (const char *slash = strchr(key, '/'); slash; slash = strchr(slash + 1, '/')) {
		const struct item *item;
		char above[KEY_MAX];

		g_strlcpy(above, key, (gsize)(slash - key) + 1);
		observe(place, OBSERVED_EXISTS, above);
		item = tree_find(place->tree, above);
		if (item && item->type == ITEM_LINK)
			follow(place, above, item);
		if (!item || item->type == ITEM_LINK)
			return -ENOENT;
		if (item->type != ITEM_DIRECTORY)
			return -ENOTDIR;
	}
	return 0;
}

int look_up(const struct place *place, const char *key, struct item **ret)
{
	int r = walk(place, key);

	*ret = NULL;
	if (r < 0)
		return r;
	if (*key)
		observe(place, OBSERVED_EXISTS, key);
	*ret = tree_find(place->tree, key);
	return 0;
}

struct item *new_item(struct world *world, enum item_type type, unsigned mode)
{
	struct item *item = g_new0(struct item, 1);

	item->refs = 1;
	item->type = type;
	item->mode = mode;
	item->mtime_s = MTIME_OF_COMMIT;
	item->id = ++world->last_id;
	return item;
}

/* ---- Changing -------------------------------------------------------------------- */

int64_t refusal(const struct place *place)
{
	if (!place->txn || place->txn->state == TXN_OPEN)
		return 0;
	return place->txn->state == TXN_CONFLICT ? -ECANCELED : -ESTALE;
}

void note_commit(struct world *world)
{
	struct past *past = &world->past[world->revision % PAST_MAX];

	tree_free(past->tree);
	past->revision = world->revision;
	past->tree = tree_copy(world->live);
}

int64_t change_place(struct world *world, const struct place *place, const GArray *changes)
{
	int64_t r = changes->len > 0 ? refusal(place) : 0;

	if (r < 0 || changes->len == 0)
		return r;
	if (place->txn) {
		keep_orphans(world, place, changes);
		txn_write(place->txn, changes);
		return 0;
	}
	tree_commit(world->live, changes, ++world->revision);
	note_commit(world);
	return 0;
}

const char *key_of(const struct tree *tree, uint64_t id)
{
	GTreeNode *node;

	for (node = g_tree_node_first(tree->items); node; node = g_tree_node_next(node)) {
		const struct item *item = g_tree_node_value(node);

		if (item->id == id && item->type == ITEM_FILE)
			return g_tree_node_key(node);
	}
	return NULL;
}
