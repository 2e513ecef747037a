#include "fs/node.h"

#include <errno.h>
#include <string.h>

/* ---- Trees ---------------------------------------------------------------------- */

struct tree *tree_new(struct view *view, struct txn *txn)
{
	struct tree *tree = g_new0(struct tree, 1);

	tree->refs = 1;
	tree->kind = NODE_KEY;
	tree->view = view;
	tree->txn = txn ? txn_ref(txn) : NULL;
	return tree;
}

struct tree *tree_new_past(uint64_t revision)
{
	struct tree *tree = tree_new(NULL, NULL);

	tree->kind = NODE_PAST;
	tree->revision = revision;
	return tree;
}

struct tree *tree_new_meta(struct view *view, const struct control *control)
{
	struct tree *tree = tree_new(view, NULL);

	tree->kind = NODE_META;
	tree->control = control;
	return tree;
}

struct tree *tree_ref(struct tree *tree)
{
	g_atomic_int_inc(&tree->refs);
	return tree;
}

void tree_unref(struct tree *tree)
{
	if (!tree || !g_atomic_int_dec_and_test(&tree->refs))
		return;
	txn_unref(tree->txn);
	g_free(tree);
}

/* The finalizer of splitmix64 (Steele, Lea, Flood 2014): a bijection, so that two files of
 * one tree never share a number, and those of two trees do by accident only. */
uint64_t tree_ino(const struct tree *tree, uint64_t ino)
{
	uint64_t number = tree->txn ? txn_number(tree->txn) : tree->revision;
	uint64_t mixed = ino;

	if (tree->kind == NODE_KEY && !tree->txn)
		return ino;
	mixed += (number << 2 | (tree->kind - NODE_KEY)) * UINT64_C(0x9e3779b97f4a7c15);
	mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (mixed ^ (mixed >> 31)) | UINT64_C(1) << 63;
}

/* ---- The table ------------------------------------------------------------------ */

static guint hash_name(gconstpointer key)
{
	const struct node *node = key;

	return g_str_hash(node->name) ^ (guint)(node->parent->id * 2654435761U);
}

static gboolean equal_name(gconstpointer a, gconstpointer b)
{
	const struct node *left = a, *right = b;

	return left->parent == right->parent && strcmp(left->name, right->name) == 0;
}

static struct node *node_new_locked(struct node_table *table, enum node_kind kind,
				    struct node *parent, const char *name)
{
	struct node *node = g_new0(struct node, 1);

	node->id = ++table->last_id;
	node->kind = kind;
	node->parent = parent;
	node->name = g_strdup(name);
	if (parent)
		parent->refs++;
	g_hash_table_insert(table->by_id, &node->id, node);
	node->in_age.data = node;
	g_queue_push_tail_link(&table->by_age, &node->in_age);
	if (node_table_is_crowded_locked(table))
		pthread_cond_signal(&table->crowded);
	return node;
}

/* The kernel counts one lookup more. */
static void add_lookup_locked(struct node_table *table, struct node *node)
{
	node->lookups++;
	g_queue_unlink(&table->by_age, &node->in_age);
	g_queue_push_tail_link(&table->by_age, &node->in_age);
}

bool node_table_is_crowded_locked(const struct node_table *table)
{
	return g_hash_table_size(table->by_id) > table->max_nodes &&
	       table->last_id >= table->calm_until_id;
}

size_t node_take_oldest_locked(struct node_table *table, uint64_t *ret_ids, size_t count)
{
	size_t taken = 0, last = MIN(count, table->by_age.length);

	for (size_t i = 0; i < last; i++) {
		GList *link = g_queue_pop_head_link(&table->by_age);
		const struct node *node = link->data;

		if (node->lookups > 0 && node->refs == 0)
			ret_ids[taken++] = node->id;
		g_queue_push_tail_link(&table->by_age, link);
	}
	table->calm_until_id = table->last_id + count / 2;
	return taken;
}

static void enter_tree_locked(struct node *node, struct tree *tree, const struct record *record)
{
	node->tree = tree_ref(tree);
	node->control = record->type == RECORD_DIRECTORY ? NULL : tree->control;
	node->type = record->type;
	node->ino = record->ino;
	node->in_tree.data = node;
	g_queue_push_tail_link(&tree->nodes, &node->in_tree);
	if (tree->kind == NODE_PAST) {
		node->past = record_copy(record);
		g_clear_pointer(&node->past->value, g_bytes_unref);
	}
}

static void free_fields(struct node_table *table, struct node *node)
{
	if (node->charged_bytes)
		registry_charge(table->registry, txn_credentials(node->tree->txn)->uid,
				-node->charged_bytes);
	g_assert(!node->sessions || node->sessions->len == 0);
	g_clear_pointer(&node->sessions, g_ptr_array_unref);
	g_clear_pointer(&node->value, g_bytes_unref);
	record_unref(node->orphan);
	record_unref(node->template);
	record_unref(node->past);
	if (node->moved_to && table->moved)
		g_ptr_array_remove_fast(table->moved, node);
	g_free(node->moved_to);
	g_free(node->vanished_key);
	txn_unref(node->txn);
	tree_unref(node->tree);
	g_free(node->name);
	g_free(node);
}

/* The table a node is listed in by its name, or NULL for one that has none. */
static GHashTable *names_of(struct node_table *table, const struct node *node)
{
	if (node->state == NODE_LIVE)
		return table->children;
	return node->state == NODE_RESERVED ? table->reserved : NULL;
}

static void unlist_locked(struct node_table *table, struct node *node)
{
	GHashTable *names = names_of(table, node);

	if (names && node->parent && g_hash_table_lookup(names, node) == node) {
		g_hash_table_remove(names, node);
		node->parent->reserved -= node->state == NODE_RESERVED;
	}
	g_hash_table_remove(table->past, node);
}

static void list_locked(struct node_table *table, struct node *node)
{
	GHashTable *names = names_of(table, node);

	if (names && g_hash_table_add(names, node))
		node->parent->reserved += node->state == NODE_RESERVED;
}

/* Frees it, and its ancestors that only it held, when nobody needs it. */
static void drop_locked(struct node_table *table, struct node *node)
{
	while (node && node != table->root && node->lookups == 0 && node->refs == 0) {
		struct node *parent = node->parent;

		unlist_locked(table, node);
		g_hash_table_remove(table->by_id, &node->id);
		g_queue_unlink(&table->by_age, &node->in_age);
		if (node->tree)
			g_queue_unlink(&node->tree->nodes, &node->in_tree);
		free_fields(table, node);
		if (parent)
			parent->refs--;
		node = parent;
	}
}

void node_table_init(struct node_table *table, struct registry *registry,
		     const struct control *root, uint64_t max_nodes)
{
	table->registry = registry;
	table->max_nodes = max_nodes;
	pthread_mutex_init(&table->lock, NULL);
	pthread_cond_init(&table->crowded, NULL);
	table->by_id = g_hash_table_new(g_int64_hash, g_int64_equal);
	table->children = g_hash_table_new(hash_name, equal_name);
	table->reserved = g_hash_table_new(hash_name, equal_name);
	table->past = g_hash_table_new(NULL, NULL);
	table->moved = g_ptr_array_new();
	table->root = node_new_locked(table, NODE_DIRECTORY, NULL, "");
	table->root->control = root;
	g_assert(table->root->id == NODE_ID_ROOT);
}

void node_table_done(struct node_table *table)
{
	GHashTableIter iter;
	struct node *node;

	g_hash_table_unref(table->children);
	g_hash_table_unref(table->reserved);
	g_hash_table_unref(table->past);
	g_clear_pointer(&table->moved, g_ptr_array_unref);
	g_hash_table_iter_init(&iter, table->by_id);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&node))
		free_fields(table, node);
	g_hash_table_unref(table->by_id);
	pthread_cond_destroy(&table->crowded);
	pthread_mutex_destroy(&table->lock);
}

struct node *node_get(struct node_table *table, uint64_t id)
{
	struct node *node;

	pthread_mutex_lock(&table->lock);
	node = g_hash_table_lookup(table->by_id, &id);
	pthread_mutex_unlock(&table->lock);
	g_assert(node); /* the kernel speaks only of nodes it holds */
	return node;
}

void node_unref(struct node_table *table, struct node *node)
{
	if (!node)
		return;
	pthread_mutex_lock(&table->lock);
	g_assert(node->refs > 0);
	node->refs--;
	drop_locked(table, node);
	pthread_mutex_unlock(&table->lock);
}

void node_forget(struct node_table *table, uint64_t id, uint64_t count)
{
	struct node *node;

	pthread_mutex_lock(&table->lock);
	node = g_hash_table_lookup(table->by_id, &id);
	if (node) {
		g_assert(node->lookups >= count || node == table->root);
		node->lookups -= MIN(count, node->lookups);
		drop_locked(table, node);
	}
	pthread_mutex_unlock(&table->lock);
}

static struct node *find_name(GHashTable *names, struct node *parent, const char *name)
{
	/* Only the two fields that make the name are looked at. */
	struct node wanted = { .parent = parent, .name = (char *)name };

	return g_hash_table_lookup(names, &wanted);
}

struct node *node_child_locked(struct node_table *table, struct node *parent, const char *name)
{
	return find_name(table->children, parent, name);
}

struct node *node_reserved_locked(struct node_table *table, struct node *parent, const char *name)
{
	return find_name(table->reserved, parent, name);
}

struct node *node_obtain_control(struct node_table *table, struct node *parent, const char *name,
				 const struct control *control, struct txn *txn)
{
	struct node *node;

	pthread_mutex_lock(&table->lock);
	node = node_child_locked(table, parent, name);
	if (node && (node->control != control || node->txn != txn)) {
		node_detach_locked(table, node, NODE_STALE);
		node = NULL;
	}
	if (!node) {
		node = node_new_locked(table, NODE_CONTROL, parent, name);
		node->control = control;
		node->txn = txn ? txn_ref(txn) : NULL;
		list_locked(table, node);
	}
	add_lookup_locked(table, node);
	pthread_mutex_unlock(&table->lock);
	return node;
}

bool node_is_known_locked(const struct node *node, const struct record *record)
{
	return node->known.mode == record->mode && node->known.uid == record->uid &&
	       node->known.gid == record->gid && node->known.own_mtime_ns == record->own_mtime_ns;
}

void node_know_locked(struct node *node, const struct record *record)
{
	node->known =
		(struct known){ record->mode, record->uid, record->gid, record->own_mtime_ns };
}

bool node_renew_locked(struct node *node, uint64_t round, const struct record *record)
{
	if (node->round == round)
		return true;
	if (node->type != RECORD_DIRECTORY && node->handles > 0)
		return false;
	node->round = round;
	node->generation = 0;
	if (node->tree->txn) {
		g_queue_unlink(&node->tree->nodes, &node->in_tree);
		g_queue_push_tail_link(&node->tree->nodes, &node->in_tree);
	}
	node_know_locked(node, record);
	return true;
}

/* A node of a transaction outlives a restart when the new snapshot has it too and nobody reads
 * on in the old one. */
static bool still_means(struct node *node, const struct tree *tree, const struct record *record,
			uint64_t round)
{
	if (node->kind != tree->kind || node->ino != record->ino || node->type != record->type)
		return false;
	if (node->tree->revision != tree->revision)
		return false; /* a named snapshot that was made anew */
	return node_renew_locked(node, round, record);
}

struct node *node_obtain_key(struct node_table *table, struct node *parent, const char *name,
			     struct tree *tree, const struct record *record)
{
	struct tree *in = tree ? tree : parent->tree;
	uint64_t round = in->txn ? txn_round(in->txn) : 0;
	struct node *node;

	pthread_mutex_lock(&table->lock);
	node = node_child_locked(table, parent, name);
	if (node && !still_means(node, in, record, round)) {
		/* A listing, or a slow reader, may come with what was there before. */
		if (!in->txn && in->kind != NODE_PAST &&
		    record->create_revision < node->create_revision) {
			pthread_mutex_unlock(&table->lock);
			return NULL;
		}
		node_detach_locked(table, node, NODE_STALE);
		node = NULL;
	}
	if (!node) {
		node = node_new_locked(table, in->kind, parent, name);
		enter_tree_locked(node, in, record);
		node_renew_locked(node, round, record);
		list_locked(table, node);
	}
	if (in->kind == NODE_PAST && !parent->tree)
		g_hash_table_add(table->past, node);
	node->create_revision = MAX(node->create_revision, record->create_revision);
	node->looked_up_us = g_get_monotonic_time();
	add_lookup_locked(table, node);
	pthread_mutex_unlock(&table->lock);
	return node;
}

int node_reserve(struct node_table *table, struct node *parent, const char *name,
		 struct record *template, struct node **ret)
{
	struct node *node;
	int r = 0;

	pthread_mutex_lock(&table->lock);
	node = node_reserved_locked(table, parent, name);
	if (node) {
		r = -EEXIST;
	} else {
		node = node_new_locked(table, NODE_KEY, parent, name);
		node->state = NODE_RESERVED;
		enter_tree_locked(node, parent->tree, template);
		node->template = record_ref(template);
		list_locked(table, node);
	}
	add_lookup_locked(table, node);
	pthread_mutex_unlock(&table->lock);
	*ret = node;
	return r;
}

void node_give_up(struct node_table *table, struct node *node)
{
	pthread_mutex_lock(&table->lock);
	node_detach_locked(table, node, NODE_UNLINKED);
	node->lookups--;
	drop_locked(table, node);
	pthread_mutex_unlock(&table->lock);
}

struct node *node_find_locked(struct node_table *table, struct node *root, const char *key)
{
	char name[STORE_NAME_MAX + 1];

	while (root && *key) {
		size_t length = strcspn(key, "/");

		memcpy(name, key, length);
		name[length] = '\0';
		root = node_child_locked(table, root, name);
		key += length + (key[length] == '/');
	}
	return root;
}

/* ---- Changing places ------------------------------------------------------------ */

void node_detach_locked(struct node_table *table, struct node *node, enum node_state state)
{
	unlist_locked(table, node);
	node->state = state;
}

void node_note_vanished_locked(struct node *node, uint64_t revision)
{
	if (node->kind != NODE_KEY || node->type != RECORD_VALUE || node->vanished_key)
		return;
	if (node_key_locked(node, NULL, &node->vanished_key) == 0)
		node->vanished_revision = revision;
}

static void place_locked(struct node_table *table, struct node *node, struct node *parent,
			 const char *name)
{
	struct node *old_parent = node->parent;
	char *new_name = g_strdup(name);

	unlist_locked(table, node);
	g_free(node->name);
	node->name = new_name;
	node->parent = parent;
	parent->refs++;
	old_parent->refs--;
	drop_locked(table, old_parent);
	list_locked(table, node);
}

void node_move_locked(struct node_table *table, struct node *node, struct node *parent,
		      const char *name)
{
	struct node *displaced = find_name(names_of(table, node), parent, name);

	if (displaced && displaced != node)
		node_detach_locked(table, displaced, NODE_UNLINKED);
	place_locked(table, node, parent, name);
}

void node_exchange_locked(struct node_table *table, struct node *a, struct node *b)
{
	struct node *parent = a->parent;
	char *name = a->name;

	unlist_locked(table, a);
	unlist_locked(table, b);
	a->parent = b->parent; /* each parent still has one child of the two */
	a->name = b->name;
	b->parent = parent;
	b->name = name;
	list_locked(table, a);
	list_locked(table, b);
}

void node_settle_locked(struct node_table *table, struct node *node)
{
	struct node *displaced = node_child_locked(table, node->parent, node->name);

	if (displaced)
		node_detach_locked(table, displaced, NODE_STALE);
	unlist_locked(table, node);
	node->state = NODE_LIVE;
	node->replaces = false;
	g_clear_pointer(&node->template, record_unref);
	list_locked(table, node);
}

/* ---- Keys ----------------------------------------------------------------------- */

/* Counts the bytes first, then fills from the end: no copy per component. */
int node_key_locked(struct node *node, const char *name, char **ret)
{
	size_t length = name ? strlen(name) : 0;
	char *key, *end;

	if (length > STORE_NAME_MAX)
		return -ENAMETOOLONG;
	for (struct node *n = node; n->parent && n->parent->tree; n = n->parent) {
		if (n->state == NODE_STALE || n->state == NODE_UNLINKED)
			return -ESTALE;
		length += strlen(n->name) + (length > 0);
	}
	if (length > STORE_KEY_MAX)
		return -ENAMETOOLONG;
	key = g_malloc(length + 1);
	end = key + length;
	*end = '\0';
	if (name) {
		end -= strlen(name);
		memcpy(end, name, strlen(name));
	}
	for (struct node *n = node; n->parent && n->parent->tree; n = n->parent) {
		if (*end != '\0')
			*--end = '/';
		end -= strlen(n->name);
		memcpy(end, n->name, strlen(n->name));
	}
	*ret = key;
	return 0;
}

int node_key(struct node_table *table, struct node *node, const char *name, char **ret)
{
	int r;

	pthread_mutex_lock(&table->lock);
	r = node_key_locked(node, name, ret);
	pthread_mutex_unlock(&table->lock);
	return r;
}

enum node_state node_state(struct node_table *table, struct node *node)
{
	enum node_state state;

	pthread_mutex_lock(&table->lock);
	state = node->state;
	pthread_mutex_unlock(&table->lock);
	return state;
}
