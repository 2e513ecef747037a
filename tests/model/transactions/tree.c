/* Each node keeps its versions for good, so that the tree can be asked about any revision.
 * The errors of calls, and which comes first where there are several, are those of Linux. */
#include "tree.h"

#include <errno.h>
#include <string.h>

struct version {
	uint64_t revision;
	struct content content;
};

struct tree {
	GHashTable *nodes; /* key -> struct tree_node */
	struct tree_node *root;
	GStringChunk *values; /* those that were made here */
	uint64_t revision;    /* of the view */
	GPtrArray *written;   /* by the view */
};

/* ---- Nodes ---------------------------------------------------------------------- */

static void node_free(void *data)
{
	struct tree_node *node = data;

	g_array_unref(node->versions);
	g_ptr_array_unref(node->children);
	g_free(node->key);
	g_free(node);
}

static void add_child(struct tree_node *parent, struct tree_node *node)
{
	unsigned at = 0;

	while (at < parent->children->len) {
		const struct tree_node *other = g_ptr_array_index(parent->children, at);

		if (strcmp(other->name, node->name) > 0)
			break;
		at++;
	}
	g_ptr_array_insert(parent->children, (int)at, node);
}

static struct tree_node *node_new(struct tree *tree, const char *key)
{
	struct tree_node *node = g_new0(struct tree_node, 1);
	const char *slash = strrchr(key, '/');

	node->key = g_strdup(key);
	node->versions = g_array_new(FALSE, FALSE, sizeof(struct version));
	node->children = g_ptr_array_new();
	node->name = slash ? node->key + (slash - key) + 1 : node->key;
	g_hash_table_insert(tree->nodes, node->key, node);
	return node;
}

struct tree_node *tree_find(struct tree *tree, const char *key)
{
	struct tree_node *node = g_hash_table_lookup(tree->nodes, key);
	const char *slash = strrchr(key, '/');

	if (node)
		return node;
	node = node_new(tree, key);
	if (slash) {
		g_autofree char *above = g_strndup(key, (size_t)(slash - key));

		node->parent = tree_find(tree, above);
	} else {
		node->parent = tree->root;
	}
	add_child(node->parent, node);
	return node;
}

static struct tree_node *child_of(struct tree *tree, const struct tree_node *parent,
				  const char *name)
{
	g_autofree char *key = *parent->key ? g_strconcat(parent->key, "/", name, NULL) :
					      g_strdup(name);

	return tree_find(tree, key);
}

static void add_version(struct tree_node *node, uint64_t revision, struct content content)
{
	struct version version = { revision, content };

	g_array_append_val(node->versions, version);
}

struct content tree_content(const struct tree_node *node, uint64_t revision)
{
	unsigned low = 0, high = node->versions->len;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (g_array_index(node->versions, struct version, middle).revision <= revision)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return (struct content){ .type = CONTENT_ABSENT };
	return g_array_index(node->versions, struct version, low - 1).content;
}

uint64_t tree_changed(const struct tree_node *node)
{
	if (node->versions->len == 0)
		return 0;
	return g_array_index(node->versions, struct version, node->versions->len - 1).revision;
}

struct tree *tree_new(void)
{
	struct tree *tree = g_new0(struct tree, 1);

	tree->nodes = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, node_free);
	tree->values = g_string_chunk_new(1 << 16);
	tree->written = g_ptr_array_new();
	tree->root = node_new(tree, "");
	add_version(tree->root, 0, (struct content){ .type = CONTENT_DIRECTORY });
	return tree;
}

void tree_free(struct tree *tree)
{
	if (!tree)
		return;
	g_hash_table_unref(tree->nodes);
	g_string_chunk_free(tree->values);
	g_ptr_array_unref(tree->written);
	g_free(tree);
}

/* ---- The view ------------------------------------------------------------------- */

void tree_view(struct tree *tree, uint64_t revision)
{
	for (unsigned i = 0; i < tree->written->len; i++) {
		struct tree_node *node = g_ptr_array_index(tree->written, i);

		node->written = false;
	}
	g_ptr_array_set_size(tree->written, 0);
	tree->revision = revision;
}

struct content tree_view_content(const struct tree *tree, const struct tree_node *node)
{
	return node->written ? node->own : tree_content(node, tree->revision);
}

static enum content_type type_of(const struct tree *tree, const struct tree_node *node)
{
	return tree_view_content(tree, node).type;
}

static void set(struct tree *tree, struct tree_node *node, enum content_type type,
		const char *value)
{
	if (!node->written)
		g_ptr_array_add(tree->written, node);
	node->written = true;
	node->own = (struct content){ type, value };
}

const GPtrArray *tree_written(const struct tree *tree)
{
	return tree->written;
}

bool tree_is_change(const struct tree *tree, const struct tree_node *node)
{
	/* What was put or made anew is a change, whatever was there before. */
	return node->written && (node->own.type != CONTENT_ABSENT ||
				 tree_content(node, tree->revision).type != CONTENT_ABSENT);
}

void tree_apply(struct tree *tree, uint64_t revision)
{
	for (unsigned i = 0; i < tree->written->len; i++) {
		struct tree_node *node = g_ptr_array_index(tree->written, i);

		if (tree_is_change(tree, node))
			add_version(node, revision, node->own);
	}
	tree_view(tree, revision);
}

/* ---- Calls ---------------------------------------------------------------------- */

/* That all directories above the node are there. */
static int walk(const struct tree *tree, const struct tree_node *node)
{
	enum content_type type;
	int r;

	if (!node->parent)
		return 0;
	r = walk(tree, node->parent);
	if (r != 0)
		return r;
	type = type_of(tree, node->parent);
	return type == CONTENT_ABSENT ? ENOENT : type == CONTENT_VALUE ? ENOTDIR : 0;
}

static bool is_empty(const struct tree *tree, const struct tree_node *node)
{
	for (unsigned i = 0; i < node->children->len; i++) {
		if (type_of(tree, g_ptr_array_index(node->children, i)) != CONTENT_ABSENT)
			return false;
	}
	return true;
}

static int call_read(struct tree *tree, struct tree_node *node, GString *result)
{
	struct content content = tree_view_content(tree, node);

	if (content.type == CONTENT_ABSENT)
		return ENOENT;
	if (content.type == CONTENT_DIRECTORY)
		return EISDIR;
	g_string_append(result, content.value);
	return 0;
}

static int call_stat(struct tree *tree, struct tree_node *node, GString *result)
{
	struct content content = tree_view_content(tree, node);

	if (content.type == CONTENT_ABSENT)
		return ENOENT;
	if (content.type == CONTENT_DIRECTORY)
		g_string_append(result, "directory");
	else
		g_string_append_printf(result, "%zu", strlen(content.value));
	return 0;
}

static int call_list(struct tree *tree, struct tree_node *node, GString *result)
{
	enum content_type type = type_of(tree, node);

	if (type != CONTENT_DIRECTORY)
		return type == CONTENT_ABSENT ? ENOENT : ENOTDIR;
	for (unsigned i = 0; i < node->children->len; i++) {
		const struct tree_node *child = g_ptr_array_index(node->children, i);

		type = type_of(tree, child);
		if (type != CONTENT_ABSENT)
			g_string_append_printf(result, "%s%s%s", result->len ? " " : "",
					       child->name, type == CONTENT_DIRECTORY ? "/" : "");
	}
	return 0;
}

static int call_put(struct tree *tree, struct tree_node *node, const char *value)
{
	if (type_of(tree, node) == CONTENT_DIRECTORY)
		return EISDIR;
	set(tree, node, CONTENT_VALUE, value);
	return 0;
}

static int call_append(struct tree *tree, struct tree_node *node, const char *text)
{
	struct content content = tree_view_content(tree, node);
	g_autofree char *value = NULL;

	if (content.type == CONTENT_DIRECTORY)
		return EISDIR;
	value = g_strconcat(content.type == CONTENT_VALUE ? content.value : "", text, NULL);
	set(tree, node, CONTENT_VALUE, g_string_chunk_insert(tree->values, value));
	return 0;
}

static int call_remove(struct tree *tree, struct tree_node *node)
{
	enum content_type type = type_of(tree, node);

	if (type != CONTENT_VALUE)
		return type == CONTENT_ABSENT ? ENOENT : EISDIR;
	set(tree, node, CONTENT_ABSENT, NULL);
	return 0;
}

static int call_mkdir(struct tree *tree, struct tree_node *node)
{
	if (type_of(tree, node) != CONTENT_ABSENT)
		return EEXIST;
	set(tree, node, CONTENT_DIRECTORY, NULL);
	return 0;
}

static int call_rmdir(struct tree *tree, struct tree_node *node)
{
	enum content_type type = type_of(tree, node);

	if (type != CONTENT_DIRECTORY)
		return type == CONTENT_ABSENT ? ENOENT : ENOTDIR;
	if (!is_empty(tree, node))
		return ENOTEMPTY;
	set(tree, node, CONTENT_ABSENT, NULL);
	return 0;
}

static bool is_above(const struct tree_node *above, const struct tree_node *node)
{
	while (node && node != above)
		node = node->parent;
	return node == above;
}

static void move(struct tree *tree, struct tree_node *from, struct tree_node *to)
{
	struct content content = tree_view_content(tree, from);

	set(tree, to, content.type, content.value);
	for (unsigned i = 0; i < from->children->len; i++) {
		struct tree_node *child = g_ptr_array_index(from->children, i);

		if (type_of(tree, child) != CONTENT_ABSENT)
			move(tree, child, child_of(tree, to, child->name));
	}
	set(tree, from, CONTENT_ABSENT, NULL);
}

static int call_rename(struct tree *tree, struct tree_node *from, struct tree_node *to)
{
	enum content_type type = type_of(tree, from), other;
	int r = walk(tree, to);

	if (r != 0)
		return r;
	other = type_of(tree, to);
	if (type == CONTENT_ABSENT)
		return ENOENT;
	if (from == to)
		return 0;
	if (is_above(from, to))
		return EINVAL;
	if (is_above(to, from))
		return ENOTEMPTY;
	if (type == CONTENT_DIRECTORY && other == CONTENT_VALUE)
		return ENOTDIR;
	if (type == CONTENT_VALUE && other == CONTENT_DIRECTORY)
		return EISDIR;
	if (other == CONTENT_DIRECTORY && !is_empty(tree, to))
		return ENOTEMPTY;
	move(tree, from, to);
	return 0;
}

int tree_call(struct tree *tree, const struct event *event, GString *result)
{
	struct tree_node *node = tree_find(tree, event->key);
	int r = walk(tree, node);

	g_string_truncate(result, 0);
	if (r != 0)
		return r;
	switch (event->call) {
	case CALL_READ:
		return call_read(tree, node, result);
	case CALL_STAT:
		return call_stat(tree, node, result);
	case CALL_LIST:
		return call_list(tree, node, result);
	case CALL_PUT:
		return call_put(tree, node, event->text);
	case CALL_APPEND:
		return call_append(tree, node, event->text);
	case CALL_REMOVE:
		return call_remove(tree, node);
	case CALL_MKDIR:
		return call_mkdir(tree, node);
	case CALL_RMDIR:
		return call_rmdir(tree, node);
	case CALL_RENAME:
		return call_rename(tree, node, tree_find(tree, event->text));
	case CALL_COUNT:
		break;
	}
	g_assert_not_reached();
}
