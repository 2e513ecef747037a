/* See tree.h. */
#include "tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct item *item_ref(struct item *item)
{
	item->refs++;
	return item;
}

void item_unref(struct item *item)
{
	if (!item || --item->refs > 0)
		return;
	g_clear_pointer(&item->data, g_bytes_unref);
	g_free(item);
}

struct item *item_copy(const struct item *item)
{
	struct item *copy = g_memdup2(item, sizeof(*item));

	copy->refs = 1;
	if (copy->data)
		g_bytes_ref(copy->data);
	return copy;
}

/* ---- Trees ----------------------------------------------------------------------- */

static void unref_item(gpointer item)
{
	item_unref(item);
}

static gint compare_keys(gconstpointer a, gconstpointer b, gpointer data)
{
	(void)data;
	return strcmp(a, b);
}

static struct tree *tree_empty(void)
{
	struct tree *tree = g_new0(struct tree, 1);

	tree->items = g_tree_new_full(compare_keys, NULL, g_free, unref_item);
	return tree;
}

struct tree *tree_new(void)
{
	struct tree *tree = tree_empty();
	struct item *root = g_new0(struct item, 1);

	root->refs = 1;
	root->type = ITEM_DIRECTORY;
	root->mode = 0755;
	root->mtime_s = MTIME_OF_COMMIT;
	root->create = root->mod = root->attribute = root->version = 1;
	g_tree_insert(tree->items, g_strdup(""), root);
	return tree;
}

static gboolean copy_item(gpointer key, gpointer item, gpointer copy)
{
	g_tree_insert(((struct tree *)copy)->items, g_strdup(key), item_ref(item));
	return FALSE;
}

struct tree *tree_copy(const struct tree *tree)
{
	struct tree *copy = tree_empty();

	g_tree_foreach(tree->items, copy_item, copy);
	return copy;
}

void tree_free(struct tree *tree)
{
	if (!tree)
		return;
	g_tree_unref(tree->items);
	g_free(tree);
}

struct item *tree_find(const struct tree *tree, const char *key)
{
	return g_tree_lookup(tree->items, key);
}

/* ---- Keys ------------------------------------------------------------------------ */

void key_parent(const char *key, char ret[static KEY_MAX])
{
	const char *slash = strrchr(key, '/');

	g_strlcpy(ret, key, slash ? (gsize)(slash - key) + 1 : 1);
}

bool key_below(const char *key, const char *directory)
{
	size_t length = strlen(directory);

	if (length == 0)
		return *key != '\0';
	return strncmp(key, directory, length) == 0 && key[length] == '/';
}

/* ---- Changes --------------------------------------------------------------------- */

static void change_clear(gpointer change)
{
	item_unref(((struct change *)change)->item);
}

GArray *changes_new(void)
{
	GArray *changes = g_array_new(FALSE, FALSE, sizeof(struct change));

	g_array_set_clear_func(changes, change_clear);
	return changes;
}

void changes_add(GArray *changes, enum change_kind kind, const char *key, struct item *item,
		 bool value, unsigned set)
{
	struct change change = { .kind = kind, .value = value, .set = set };

	g_strlcpy(change.key, key, sizeof(change.key));
	change.item = item ? item_ref(item) : NULL;
	g_array_append_val(changes, change);
}

static bool has_entries(const struct tree *tree, const char *directory)
{
	GTreeNode *node;

	for (node = g_tree_node_first(tree->items); node; node = g_tree_node_next(node)) {
		if (key_below(g_tree_node_key(node), directory))
			return true;
	}
	return false;
}

int tree_rmdir(const struct tree *tree, const char *key, GArray *changes)
{
	if (has_entries(tree, key))
		return -ENOTEMPTY;
	changes_add(changes, CHANGE_DELETE, key, NULL, false, 0);
	return 0;
}

/* All that is at `from` and below leaves, or arrives at `to`. */
static void move_all(const struct tree *tree, const char *from, const char *to, bool arrive,
		     GArray *changes)
{
	GTreeNode *node;

	for (node = g_tree_node_first(tree->items); node; node = g_tree_node_next(node)) {
		const char *key = g_tree_node_key(node);
		char moved[2 * KEY_MAX];

		if (strcmp(key, from) != 0 && !key_below(key, from))
			continue;
		snprintf(moved, sizeof(moved), "%s%s", to, key + strlen(from));
		if (arrive)
			changes_add(changes, CHANGE_CREATE, moved, g_tree_node_value(node), true,
				    SET_ALL);
		else
			changes_add(changes, CHANGE_DELETE, key, NULL, false, 0);
	}
}

/* The checks are those of rename(2) in the kernel's order; the names are there. */
int tree_rename(const struct tree *tree, const char *from, const char *to, unsigned flags,
		GArray *changes)
{
	const struct item *source = tree_find(tree, from), *target = tree_find(tree, to);

	if (target && (flags & MOVE_NOREPLACE))
		return -EEXIST;
	if (!target && (flags & MOVE_EXCHANGE))
		return -ENOENT;
	if (key_below(to, from))
		return -EINVAL;
	if (key_below(from, to))
		return flags & MOVE_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	if (strcmp(from, to) == 0)
		return 0;
	if (target && !(flags & MOVE_EXCHANGE)) {
		if (source->type == ITEM_DIRECTORY && target->type != ITEM_DIRECTORY)
			return -ENOTDIR;
		if (source->type != ITEM_DIRECTORY && target->type == ITEM_DIRECTORY)
			return -EISDIR;
		if (target->type == ITEM_DIRECTORY && has_entries(tree, to))
			return -ENOTEMPTY;
		changes_add(changes, CHANGE_DELETE, to, NULL, false, 0);
	}
	move_all(tree, from, to, false, changes);
	if (flags & MOVE_EXCHANGE)
		move_all(tree, to, from, false, changes);
	move_all(tree, from, to, true, changes);
	if (flags & MOVE_EXCHANGE)
		move_all(tree, to, from, true, changes);
	return 0;
}

void tree_change(struct tree *tree, const GArray *changes)
{
	for (guint i = 0; i < changes->len; i++) {
		const struct change *change = &g_array_index(changes, struct change, i);

		if (change->item)
			g_tree_replace(tree->items, g_strdup(change->key), item_ref(change->item));
		else
			g_tree_remove(tree->items, change->key);
	}
}

/* ---- Commits --------------------------------------------------------------------- */

static void touch(struct tree *tree, GHashTable *touched, const char *key)
{
	char parent[KEY_MAX];

	key_parent(key, parent);
	if (tree_find(tree, parent))
		g_hash_table_add(touched, g_strdup(parent));
}

/* Which directories had an entry come, go or change its type. */
static GHashTable *find_touched(struct tree *tree, const struct tree *old, const GArray *changes)
{
	GHashTable *touched = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

	for (guint i = 0; i < changes->len; i++) {
		const char *key = g_array_index(changes, struct change, i).key;
		const struct item *before = tree_find(old, key), *after = tree_find(tree, key);

		if (!before != !after || (before && before->type != after->type))
			touch(tree, touched, key);
	}
	return touched;
}

/* Numbers what is at `key`, which `last` has changed. */
static void number_item(struct tree *tree, const struct tree *old, const struct change *last,
			bool created, uint64_t revision)
{
	const struct item *before = tree_find(old, last->key);
	struct item *item;

	if (!tree_find(tree, last->key))
		return;
	item = item_copy(tree_find(tree, last->key));
	item->version = created ? 1 : before->version + 1;
	if (created)
		item->create = revision;
	if (created || item->type != ITEM_DIRECTORY)
		item->mod = revision;
	if (item->type == ITEM_DIRECTORY)
		item->attribute = revision;
	g_tree_replace(tree->items, g_strdup(last->key), item);
}

static void number_touched(struct tree *tree, GHashTable *touched, uint64_t revision)
{
	GHashTableIter iter;
	char *key;

	g_hash_table_iter_init(&iter, touched);
	while (g_hash_table_iter_next(&iter, (void **)&key, NULL)) {
		struct item *item = item_copy(tree_find(tree, key));

		if (item->mod != revision && item->attribute != revision)
			item->version++;
		item->mod = revision;
		item->renewed = true;
		g_tree_replace(tree->items, g_strdup(key), item);
	}
}

void tree_commit(struct tree *tree, const GArray *changes, uint64_t revision)
{
	g_autoptr(GHashTable) created = g_hash_table_new(g_str_hash, g_str_equal), touched = NULL;
	struct tree *old = tree_copy(tree);

	tree_change(tree, changes);
	for (guint i = 0; i < changes->len; i++) {
		const struct change *change = &g_array_index(changes, struct change, i);

		if (change->kind == CHANGE_CREATE)
			g_hash_table_add(created, (char *)change->key);
		number_item(tree, old, change, g_hash_table_contains(created, change->key),
			    revision);
	}
	touched = find_touched(tree, old, changes);
	number_touched(tree, touched, revision);
	tree_free(old);
}
