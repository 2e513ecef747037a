/* What can run together must not overlap: no key written twice, or written and deleted.
 *
 * A program and its nested ones are a tree: below a program its two branches, below a branch
 * operations and programs. So programs lie on even levels, branches on odd ones. Two
 * operations can run together unless they lie in different branches of one program, that is
 * unless their lowest common ancestor is a program: it is a branch when its level is odd.
 * Operations that write or delete are numbered in the order of the text, which is that of a
 * walk through the tree; the ancestor of i and j is then on the lowest level the walk came to
 * between them. A tree of minima over those levels answers that in O(log n).
 *
 * Two writes of one key. It is enough to look at neighbours: let x < z overlap in branch B
 * and y lie between them. The walk does not leave B between x and z, so y is below B too; x
 * and z are below different children of B, so one of them is not y's, and overlaps y in B.
 *
 * A write and deletes. The keys are gone through in the order of components ('/' sorts before
 * every other byte), so that what lies below a key follows it, and a stack has the deleted
 * trees around the key at hand: every delete that covers a write is in one of those lists or
 * in that of its own key. No interval tree is needed for that, since ranges are subtrees.
 * The deletes of a list cannot be tried one by one, though (p x d), and neighbours are not
 * enough: with a write i in the then-branch and a delete in the else-branch of one program, a
 * delete outside of it overlaps i all the same. So let j be the neighbour of i in the list
 * that has the deepest common ancestor A with i. If A is a branch, they overlap. Otherwise no
 * delete of the list lies between i and A, and i overlaps one exactly if some delete has a
 * branch above A as its common ancestor with j. For each j the highest such branch is found
 * beforehand, for the whole list in O(d): it is above A, or there is none.
 *
 * Together O((p + d) log (p + d)), and a step for each deleted tree around a write. Sorting
 * rather than hashing: the keys are the user's, who could choose such that collide.
 */
#include "txn/program.h"

#include <string.h>

#define KEY_SHOWN 200	     /* bytes of a key that an error shows */
#define LEVEL_NONE G_MAXUINT /* below everything */

/* ---- Levels ---------------------------------------------------------------------- */

struct walk {
	GPtrArray *ops;	 /* struct op: those that write or delete, in the order of the text */
	GArray *between; /* guint: level of the common ancestor of ops i and i + 1 */
	guint lowest;	 /* level the walk came to since the last op */
};

static bool is_delete(const struct op *op)
{
	return op->kind == OP_DELETE || op->kind == OP_DELETE_TREE;
}

static void walk_program(struct walk *walk, const struct program *program, guint level);

static void walk_branch(struct walk *walk, const GPtrArray *ops, guint level)
{
	for (guint i = 0; ops && i < ops->len; i++) {
		struct op *op = ops->pdata[i];

		walk->lowest = MIN(walk->lowest, level);
		if (op->kind == OP_PROGRAM) {
			walk_program(walk, op->program, level + 1);
		} else if (op->kind != OP_GET) {
			if (walk->ops->len > 0)
				g_array_append_val(walk->between, walk->lowest);
			g_ptr_array_add(walk->ops, op);
			walk->lowest = LEVEL_NONE;
		}
	}
}

/* Recurses: the parser limits the depth. */
static void walk_program(struct walk *walk, const struct program *program, guint level)
{
	walk_branch(walk, program->then_ops, level + 1);
	walk->lowest = MIN(walk->lowest, level);
	walk_branch(walk, program->else_ops, level + 1);
}

/* A tree of minima: leaves behind inner nodes, node n above 2n and 2n + 1. */
struct minima {
	guint *nodes;
	guint leaves;
};

static void minima_init(struct minima *minima, const GArray *numbers)
{
	minima->leaves = numbers->len;
	minima->nodes = g_new(guint, 2 * (gsize)numbers->len + 1);
	for (guint i = 0; i < numbers->len; i++)
		minima->nodes[numbers->len + i] = g_array_index(numbers, guint, i);
	for (guint i = numbers->len; i-- > 1;)
		minima->nodes[i] = MIN(minima->nodes[2 * i], minima->nodes[2 * i + 1]);
}

/* The smallest of the numbers from `first` up to and without `last`. */
static guint minima_get(const struct minima *minima, guint first, guint last)
{
	guint smallest = LEVEL_NONE;

	first += minima->leaves;
	last += minima->leaves;
	for (; first < last; first /= 2, last /= 2) {
		if (first & 1) {
			smallest = MIN(smallest, minima->nodes[first]);
			first++;
		}
		if (last & 1) {
			last--;
			smallest = MIN(smallest, minima->nodes[last]);
		}
	}
	return smallest;
}

/* The level of the common ancestor of two operations. */
static guint common_level(const struct minima *minima, guint a, guint b)
{
	return minima_get(minima, MIN(a, b), MAX(a, b));
}

static bool is_branch(guint level)
{
	return level != LEVEL_NONE && level % 2 == 1;
}

/* ---- Deletes --------------------------------------------------------------------- */

/* A delete in a list: of the others in the list, one that it has the highest branch as its
 * common ancestor with. */
struct removal {
	guint op;
	guint highest; /* level of that branch; LEVEL_NONE: there is none */
	guint witness; /* the other one */
};

struct check {
	struct walk walk;
	struct minima minima;
	GPtrArray *around; /* struct tree: the deleted trees that the key at hand lies in */
	struct program_errors *errors;
};

/* A deleted tree, by all who delete it. */
struct tree {
	const char *key;
	GArray *deletes; /* struct removal, in the order of the text */
};

static void tree_free(gpointer data)
{
	struct tree *tree = data;

	g_array_unref(tree->deletes);
	g_free(tree);
}

/* Goes through a list from one end. The stack has the levels of the common ancestors of this
 * removal with the earlier ones, each once, highest at the bottom, and with each the highest
 * branch of it and those below it in the stack. */
static void find_highest(const struct check *check, GArray *list, bool backwards)
{
	struct level {
		guint level;
		struct removal highest;
	} *stack = g_new(struct level, list->len);
	guint depth = 0;

	for (guint i = 1; i < list->len; i++) {
		guint at = backwards ? list->len - 1 - i : i;
		struct removal *removal = &g_array_index(list, struct removal, at);
		guint before = g_array_index(list, struct removal, backwards ? at + 1 : at - 1).op;
		guint level = common_level(&check->minima, removal->op, before);

		while (depth > 0 && stack[depth - 1].level >= level)
			depth--;
		stack[depth].level = level;
		stack[depth].highest = (struct removal){ 0, LEVEL_NONE, 0 };
		if (depth > 0 && stack[depth - 1].highest.highest != LEVEL_NONE)
			stack[depth].highest = stack[depth - 1].highest;
		else if (is_branch(level))
			stack[depth].highest = (struct removal){ 0, level, before };
		if (stack[depth].highest.highest < removal->highest) {
			removal->highest = stack[depth].highest.highest;
			removal->witness = stack[depth].highest.witness;
		}
		depth++;
	}
	g_free(stack);
}

/* ---- Writes ---------------------------------------------------------------------- */

/* The first removal of the list that comes behind `op`. */
static guint find_behind(const GArray *list, guint op)
{
	guint first = 0, last = list->len;

	while (first < last) {
		guint middle = first + (last - first) / 2;

		if (g_array_index(list, struct removal, middle).op > op)
			last = middle;
		else
			first = middle + 1;
	}
	return first;
}

/* The delete of the list that overlaps the write `op`, or `op` when none does. */
static guint find_overlap(const struct check *check, const GArray *list, guint op)
{
	const struct removal *nearest = NULL;
	guint behind = find_behind(list, op);
	guint deepest = 0;

	for (guint i = behind > 0 ? behind - 1 : 0; i < list->len && i <= behind; i++) {
		const struct removal *removal = &g_array_index(list, struct removal, i);
		guint level = common_level(&check->minima, op, removal->op);

		if (!nearest || level > deepest) {
			nearest = removal;
			deepest = level;
		}
	}
	if (is_branch(deepest))
		return nearest->op;
	return nearest->highest < deepest ? nearest->witness : op;
}

/* Tells of two operations, at the later one. */
static void tell(struct check *check, guint a, guint b)
{
	const struct op *later = check->walk.ops->pdata[MAX(a, b)];
	const struct op *earlier = check->walk.ops->pdata[MIN(a, b)];
	const struct op *write = is_delete(later) ? earlier : later;
	g_autoptr(GString) key = g_string_new(NULL);

	text_append_shortened(key, write->key, strlen(write->key), KEY_SHOWN, '\0');
	if (!is_delete(earlier) && !is_delete(later))
		program_errors_add(check->errors, later->line, later->column,
				   "the key '%s' is written twice: here and in line %u", key->str,
				   earlier->line);
	else
		program_errors_add(check->errors, later->line, later->column,
				   "the key '%s' is written and deleted: in line %u and here",
				   key->str, earlier->line);
}

/* ---- Keys ------------------------------------------------------------------------ */

static guint rank(char c)
{
	return c == '/' ? 1 : c == '\0' ? 0 : 1u + (guchar)c;
}

/* The order of components, and of the text where keys are equal. */
static gint index_order(gconstpointer left, gconstpointer right, gpointer data)
{
	const struct walk *walk = data;
	guint a = *(const guint *)left, b = *(const guint *)right;
	const char *at = ((const struct op *)walk->ops->pdata[a])->key;
	const char *bt = ((const struct op *)walk->ops->pdata[b])->key;

	for (; *at && *at == *bt; at++, bt++)
		;
	if (*at != *bt)
		return rank(*at) < rank(*bt) ? -1 : 1;
	return a < b ? -1 : a > b;
}

/* The deletes of one kind among the operations on a key; NULL: there are none. */
static GArray *collect_deletes(const struct check *check, const guint *indexes, guint count,
			       enum op_kind kind)
{
	GArray *list = g_array_new(FALSE, FALSE, sizeof(struct removal));

	for (guint i = 0; i < count; i++) {
		const struct op *op = check->walk.ops->pdata[indexes[i]];
		struct removal removal = { indexes[i], LEVEL_NONE, indexes[i] };

		if (op->kind == kind)
			g_array_append_val(list, removal);
	}
	if (list->len == 0) {
		g_array_unref(list);
		return NULL;
	}
	find_highest(check, list, false);
	find_highest(check, list, true);
	return list;
}

/* Looks for a delete that overlaps the write; `keys` has those of its key alone. */
static void check_deletes(struct check *check, const GArray *keys, guint index)
{
	guint other = keys ? find_overlap(check, keys, index) : index;

	for (guint i = 0; other == index && i < check->around->len; i++) {
		const struct tree *tree = check->around->pdata[i];

		other = find_overlap(check, tree->deletes, index);
	}
	if (other != index)
		tell(check, index, other);
}

/* Looks at the writes of one key. */
static void check_writes(struct check *check, const GArray *keys, const guint *indexes, guint count)
{
	const guint *before = NULL;

	for (guint i = 0; i < count && !check->errors->full; i++) {
		if (is_delete(check->walk.ops->pdata[indexes[i]]))
			continue;
		if (before && is_branch(common_level(&check->minima, *before, indexes[i])))
			tell(check, *before, indexes[i]);
		else
			check_deletes(check, keys, indexes[i]);
		before = &indexes[i];
	}
}

/* All operations on one key, which comes behind every key checked before. */
static void check_key(struct check *check, const guint *indexes, guint count)
{
	const char *key = ((const struct op *)check->walk.ops->pdata[indexes[0]])->key;
	g_autoptr(GArray) keys = collect_deletes(check, indexes, count, OP_DELETE);
	GArray *trees = collect_deletes(check, indexes, count, OP_DELETE_TREE);
	struct tree *tree;

	while (check->around->len > 0) {
		tree = check->around->pdata[check->around->len - 1];
		if (key_is_below(key, tree->key))
			break;
		g_ptr_array_set_size(check->around, (gint)check->around->len - 1);
	}
	if (trees) {
		tree = g_new(struct tree, 1);
		*tree = (struct tree){ key, trees };
		g_ptr_array_add(check->around, tree);
	}
	check_writes(check, keys, indexes, count);
}

static void check_keys(struct check *check)
{
	const GPtrArray *ops = check->walk.ops;
	g_autoptr(GArray) order = g_array_sized_new(FALSE, FALSE, sizeof(guint), ops->len);
	guint first = 0, last;

	for (guint i = 0; i < ops->len; i++)
		g_array_append_val(order, i);
	g_array_sort_with_data(order, index_order, &check->walk);
	for (; first < ops->len && !check->errors->full; first = last) {
		const guint *indexes = &g_array_index(order, guint, first);
		const struct op *op = ops->pdata[*indexes];

		for (last = first + 1; last < ops->len; last++) {
			const struct op *next = ops->pdata[g_array_index(order, guint, last)];

			if (strcmp(op->key, next->key) != 0)
				break;
		}
		check_key(check, indexes, last - first);
	}
}

void overlap_check(const struct program *program, struct program_errors *errors)
{
	struct check check = { .errors = errors };

	check.walk.ops = g_ptr_array_new();
	check.walk.between = g_array_new(FALSE, FALSE, sizeof(guint));
	check.walk.lowest = LEVEL_NONE;
	check.around = g_ptr_array_new_with_free_func(tree_free);
	walk_program(&check.walk, program, 0);
	minima_init(&check.minima, check.walk.between);
	check_keys(&check);
	g_free(check.minima.nodes);
	g_ptr_array_unref(check.around);
	g_array_unref(check.walk.between);
	g_ptr_array_unref(check.walk.ops);
}
