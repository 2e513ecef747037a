/* See tree.h. */
#include "tests/model/store/tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Paths ----------------------------------------------------------------------- */

static struct node *find(struct tree *tree, const char *key)
{
	for (int i = 0; i < tree->count; i++) {
		if (strcmp(tree->nodes[i].key, key) == 0)
			return &tree->nodes[i];
	}
	return NULL;
}

const struct node *model_find(const struct tree *tree, const char *key)
{
	return find((struct tree *)tree, key);
}

static void forget(struct tree *tree, struct node *node)
{
	*node = tree->nodes[--tree->count];
}

bool model_lies_in(const char *key, const char *directory)
{
	size_t length = strlen(directory);

	if (*key == '\0')
		return false;
	if (length == 0)
		return true;
	return strncmp(key, directory, length) == 0 && key[length] == '/';
}

static int check_parent(struct tree *tree, const char *key)
{
	char above[16];
	bool missing = false;
	char *slash;

	g_strlcpy(above, key, sizeof(above));
	while ((slash = strrchr(above, '/'))) {
		struct node *node;

		*slash = '\0';
		node = find(tree, above);
		if (node && node->type != RECORD_DIRECTORY)
			return -ENOTDIR;
		if (node)
			return missing ? -ENOENT : 0;
		missing = true;
	}
	return missing ? -ENOENT : 0;
}

static struct node *make(struct tree *tree, const char *key, enum record_type type, uint32_t mode)
{
	struct node *node = &tree->nodes[tree->count++];

	if (tree->count > TREE_MAX)
		abort();
	memset(node, 0, sizeof(*node));
	g_strlcpy(node->key, key, sizeof(node->key));
	node->type = type;
	node->mode = mode;
	node->created = true;
	return node;
}

/* ---- Operations ------------------------------------------------------------------ */

static bool has_entries(struct tree *tree, const char *directory)
{
	for (int i = 0; i < tree->count; i++) {
		if (model_lies_in(tree->nodes[i].key, directory))
			return true;
	}
	return false;
}

/* The directory above, made when `step` says so. */
static int place(struct tree *tree, const struct step *step)
{
	char above[16];

	if (!(step->flags & OP_PARENTS))
		return check_parent(tree, step->key);
	for (const char *slash = strchr(step->key, '/'); slash; slash = strchr(slash + 1, '/')) {
		const struct node *node;

		g_strlcpy(above, step->key, (gsize)(slash - step->key) + 1);
		node = model_find(tree, above);
		if (node && node->type != RECORD_DIRECTORY)
			return -ENOTDIR;
		if (!node)
			make(tree, above, RECORD_DIRECTORY,
			     step->mode | (step->mode & 0444) >> 2 | 0300);
	}
	return 0;
}

static int model_put(struct tree *tree, const struct step *step)
{
	struct node *node = find(tree, step->key);
	int r;

	if (!node) {
		if (step->kind == OP_PATCH)
			return -ENOENT;
		r = place(tree, step);
		if (r < 0)
			return r;
		node = make(tree, step->key, RECORD_VALUE, step->mode);
	} else if (step->kind == OP_PUT && (step->flags & OP_EXCLUSIVE)) {
		return -EEXIST;
	} else if (node->type != RECORD_VALUE) {
		return node->type == RECORD_DIRECTORY ? -EISDIR : -ELOOP;
	}
	if (step->kind == OP_PUT)
		node->value[0] = '\0';
	if (strlen(node->value) + strlen(step->value) >= sizeof(node->value))
		return -EFBIG;
	strcat(node->value, step->value);
	node->written = true;
	return 0;
}

static int model_number(struct tree *tree, const struct step *step, int64_t *ret_told)
{
	struct node *node = find(tree, step->key);
	struct step put = *step;
	long long there = 0, sum;
	char *end;

	if (node && node->type != RECORD_VALUE)
		return node->type == RECORD_DIRECTORY ? -EISDIR : -ELOOP;
	errno = 0;
	if (node)
		there = strtoll(node->value, &end, 10);
	if (node && (*end || end == node->value))
		return -EDOM;
	if (errno == ERANGE)
		return -ERANGE;
	if (__builtin_add_overflow(there, step->number, &sum))
		return step->kind == OP_ADD ? -ERANGE : -EINVAL;
	if (step->kind == OP_MAX)
		sum = MAX(there, step->number);
	*ret_told += sum;
	if (node && sum == there)
		return 0;
	put.kind = OP_PUT;
	snprintf(put.value, sizeof(put.value), "%lld", sum);
	return model_put(tree, &put);
}

static bool lies_at(const char *key, const char *directory)
{
	return strcmp(key, directory) == 0 || model_lies_in(key, directory);
}

static int64_t count_keys(const struct tree *tree, const char *directory)
{
	int64_t count = 0;

	for (int i = 0; i < tree->count; i++)
		count += lies_at(tree->nodes[i].key, directory) &&
			 tree->nodes[i].type != RECORD_DIRECTORY;
	return count;
}

static void remove_tree(struct tree *tree, const char *directory)
{
	for (int i = tree->count; i-- > 0;) {
		if (*tree->nodes[i].key != '\0' && lies_at(tree->nodes[i].key, directory))
			forget(tree, &tree->nodes[i]);
	}
}

static int model_make(struct tree *tree, const struct step *step)
{
	enum record_type type = step->kind == OP_MKDIR ? RECORD_DIRECTORY : RECORD_SYMLINK;
	int r;

	if (find(tree, step->key))
		return -EEXIST;
	r = check_parent(tree, step->key);
	if (r < 0)
		return r;
	strcpy(make(tree, step->key, type, type == RECORD_SYMLINK ? 0777 : step->mode)->value,
	       type == RECORD_SYMLINK ? step->value : "");
	return 0;
}

static int model_remove(struct tree *tree, const struct step *step)
{
	struct node *node = find(tree, step->key);

	if (!node)
		return step->flags & OP_PRESENT ? -ENOENT : 0;
	if (step->kind == OP_DELETE && node->type == RECORD_DIRECTORY)
		return -EISDIR;
	if (step->kind == OP_RMDIR && node->type != RECORD_DIRECTORY)
		return -ENOTDIR;
	if (step->kind == OP_RMDIR && has_entries(tree, step->key))
		return -ENOTEMPTY;
	forget(tree, node);
	return 0;
}

static void model_move(struct tree *tree, const char *from, const char *to)
{
	for (int i = 0; i < tree->count; i++) {
		struct node *node = &tree->nodes[i];
		char key[32];

		if (strcmp(node->key, from) != 0 && !model_lies_in(node->key, from))
			continue;
		snprintf(key, sizeof(key), "%s%s", to, node->key + strlen(from));
		g_strlcpy(node->key, key, sizeof(node->key));
		node->created = true;
	}
}

static int model_rename(struct tree *tree, const struct step *step)
{
	struct node *source = find(tree, step->key);
	struct node *target = find(tree, step->target);
	int r;

	if (!source)
		return -ENOENT;
	if (strcmp(step->key, step->target) == 0)
		return step->flags & OP_EXCLUSIVE ? -EEXIST : 0;
	if (source->type == RECORD_DIRECTORY && model_lies_in(step->target, step->key))
		return -EINVAL;
	if ((step->flags & OP_EXCHANGE) && model_lies_in(step->key, step->target))
		return -EINVAL;
	if (step->flags & OP_EXCHANGE) {
		if (!target)
			return -ENOENT;
		model_move(tree, step->key, "\1");
		model_move(tree, step->target, step->key);
		model_move(tree, "\1", step->target);
		return 0;
	}
	if (!target) {
		r = check_parent(tree, step->target);
		if (r < 0)
			return r;
	} else {
		if (step->flags & OP_EXCLUSIVE)
			return -EEXIST;
		if (source->type == RECORD_DIRECTORY && target->type != RECORD_DIRECTORY)
			return -ENOTDIR;
		if (source->type != RECORD_DIRECTORY && target->type == RECORD_DIRECTORY)
			return -EISDIR;
		if (target->type == RECORD_DIRECTORY && has_entries(tree, step->target))
			return -ENOTEMPTY;
		forget(tree, target);
	}
	model_move(tree, step->key, step->target);
	return 0;
}

static int model_step(struct tree *tree, const struct step *step, int64_t *ret_told)
{
	struct node *node;

	switch (step->kind) {
	case OP_PUT:
	case OP_PATCH:
	case OP_APPEND:
		return model_put(tree, step);
	case OP_ADD:
	case OP_MAX:
		return model_number(tree, step, ret_told);
	case OP_GET:
		*ret_told += count_keys(tree, step->key);
		return 0;
	case OP_DELETE_TREE:
		*ret_told += count_keys(tree, step->key);
		remove_tree(tree, step->key);
		return 0;
	case OP_MKDIR:
	case OP_SYMLINK:
		return model_make(tree, step);
	case OP_DELETE:
	case OP_RMDIR:
		node = find(tree, step->key);
		*ret_told += step->kind == OP_DELETE && node;
		return model_remove(tree, step);
	case OP_RENAME:
		return model_rename(tree, step);
	case OP_ATTR:
		node = find(tree, step->key);
		if (!node)
			return -ENOENT;
		node->mode = step->mode;
		node->changed = true;
		return 0;
	default:
		break;
	}
	abort();
}

/* ---- Compares -------------------------------------------------------------------- */

static uint64_t number_of(const struct node *node, const struct check *check)
{
	if (!node)
		return 0;
	switch (check->target) {
	case COMPARE_MOD:
		return node->mod;
	case COMPARE_CREATE:
		return node->create;
	case COMPARE_VERSION:
		return node->version;
	default:
		return node->attribute;
	}
}

static bool holds_of(const struct node *node, const struct check *check)
{
	uint64_t number = number_of(node, check);

	return check->relation == COMPARE_EQUAL ? number == check->number :
	       check->relation == COMPARE_LESS	? number < check->number :
						  number >= check->number;
}

static bool holds_of_tree(const struct tree *tree, const struct check *check)
{
	for (int i = 0; i < tree->count; i++) {
		const struct node *node = &tree->nodes[i];

		if (node->type != RECORD_DIRECTORY && lies_at(node->key, check->key) &&
		    !holds_of(node, check))
			return false;
	}
	return count_keys(tree, check->key) > 0 || holds_of(NULL, check);
}

static bool model_holds(const struct tree *tree, const struct history *program)
{
	for (int i = 0; i < program->checks_count; i++) {
		const struct check *check = &program->checks[i];

		if (!(check->tree ? holds_of_tree(tree, check) :
				    holds_of(model_find(tree, check->key), check)))
			return false;
	}
	return true;
}

/* ---- What a program as a whole comes to ----------------------------------------- */

static void touch_parent(struct tree *tree, const char *key)
{
	char above[16];
	char *slash;
	struct node *node;

	g_strlcpy(above, key, sizeof(above));
	slash = strrchr(above, '/');
	if (slash)
		*slash = '\0';
	else
		above[0] = '\0';
	node = find(tree, above);
	if (node)
		node->touched = true;
}

static void number_node(struct node *node, const struct node *old, uint64_t revision)
{
	if (node->created) {
		node->create = node->mod = revision;
		node->attribute = node->type == RECORD_DIRECTORY ? revision : 0;
		node->version = 1;
	} else if (node->written || node->touched || node->changed) {
		node->version = old->version + 1;
		if (node->type != RECORD_DIRECTORY || node->touched)
			node->mod = revision;
		if (node->type == RECORD_DIRECTORY && node->changed)
			node->attribute = revision;
	}
	node->created = node->written = node->touched = node->changed = false;
}

/* Directories whose entries came, went or changed type, and whether anything changed. */
static bool compare_trees(struct tree *tree, const struct tree *old)
{
	bool changed = false;

	for (int i = 0; i < tree->count; i++) {
		struct node *node = &tree->nodes[i];
		const struct node *before = model_find(old, node->key);

		changed |= node->created || node->written || node->changed;
		if (!before || before->type != node->type)
			touch_parent(tree, node->key);
	}
	for (int i = 0; i < old->count; i++) {
		if (!find(tree, old->nodes[i].key)) {
			touch_parent(tree, old->nodes[i].key);
			changed = true;
		}
	}
	return changed;
}

struct replayed model_replay(struct tree *tree, const struct history *program, uint64_t revision)
{
	struct replayed result = { .succeeded = model_holds(tree, program) };
	struct tree next = *tree;

	for (int i = 0; result.succeeded && i < program->steps_count; i++) {
		int r = model_step(&next, &program->steps[i], &result.told);

		if (r < 0 && result.error == 0)
			result.error = r;
	}
	if (result.error < 0)
		return result;
	result.changed = compare_trees(&next, tree);
	if (!result.changed)
		return result;
	for (int i = 0; i < next.count; i++)
		number_node(&next.nodes[i], model_find(tree, next.nodes[i].key), revision);
	*tree = next;
	return result;
}

struct tree model_first_tree(void)
{
	struct tree tree = { .count = 0 };
	struct node *root = make(&tree, "", RECORD_DIRECTORY, 0755);

	root->created = false;
	root->create = root->mod = root->attribute = root->version = 1;
	return tree;
}
