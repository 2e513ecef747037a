/* Random nested programs: the overlap check against one that compares every pair.
 *
 * A program grows by operations at random places that the naive check has no objection
 * against, so that large programs without an overlap come about; after each of them the text
 * must be accepted. With an operation that it does object against it must be refused, and
 * each error be in the line of an operation that overlaps another. In the end, time is
 * measured: it must not grow with the square of the operations.
 *
 * usage: overlap_model [SEED [PROGRAMS]] */
#include "txn/txn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OPS_MAX 60
#define BRANCHES_MAX 24
#define DEPTH_MAX 8

/* ---- Programs -------------------------------------------------------------------- */

enum verb { VERB_PUT, VERB_ADD, VERB_DELETE, VERB_TREE, VERB_GET };

/* A branch of a program; branch 0 and 1 are those of the outermost. */
struct branch {
	int program;
	int above; /* the branch that its program is in, -1: none */
	int depth;
};

struct item {
	enum verb verb;
	char key[32];
	int branch;
	int program; /* it is this program rather than an operation; -1 */
	unsigned line;
};

struct model {
	struct branch branches[2 * BRANCHES_MAX];
	int branch_count;
	struct item items[OPS_MAX + BRANCHES_MAX + 1]; /* each branch has its own in this order */
	int item_count;
};

static GRand *dice;

static int roll(int sides)
{
	return g_rand_int_range(dice, 0, sides);
}

static int add_program(struct model *model, int above)
{
	int program = model->branch_count / 2;
	int depth = above < 0 ? 0 : model->branches[above].depth + 1;

	for (int i = 0; i < 2; i++)
		model->branches[model->branch_count++] = (struct branch){ program, above, depth };
	return program;
}

/* Makes room in front of a random item. */
static struct item *insert_item(struct model *model)
{
	int at = roll(model->item_count + 1);

	memmove(&model->items[at + 1], &model->items[at],
		sizeof(struct item) * (size_t)(model->item_count - at));
	model->item_count++;
	model->items[at] = (struct item){ .program = -1 };
	return &model->items[at];
}

static void random_key(char *key, enum verb verb)
{
	static const char *const names[] = { "d", "d-", "d0", "e" };
	int components = 1 + roll(3);

	if (verb == VERB_TREE && roll(12) == 0)
		components = 0;
	*key = '\0';
	for (int i = 0; i < components; i++) {
		strcat(key, i ? "/" : "");
		strcat(key, names[roll(4)]);
	}
}

static struct item random_item(const struct model *model)
{
	static const enum verb verbs[] = { VERB_PUT,	VERB_PUT,  VERB_ADD, VERB_DELETE,
					   VERB_DELETE, VERB_TREE, VERB_GET };
	struct item item = { .program = -1 };

	item.verb = verbs[roll(G_N_ELEMENTS(verbs))];
	item.branch = roll(model->branch_count);
	random_key(item.key, item.verb);
	return item;
}

static void write_branch(struct model *model, int branch, GString *text, unsigned *line);

static void write_program(struct model *model, int program, GString *text, unsigned *line)
{
	g_string_append(text, "then\n");
	++*line;
	write_branch(model, 2 * program, text, line);
	g_string_append(text, "else\n");
	++*line;
	write_branch(model, 2 * program + 1, text, line);
}

static void write_branch(struct model *model, int branch, GString *text, unsigned *line)
{
	static const char *const verbs[] = { "put", "add", "del", "del --prefix", "get" };

	for (int i = 0; i < model->item_count; i++) {
		struct item *item = &model->items[i];

		if (item->branch != branch)
			continue;
		item->line = ++*line;
		if (item->program < 0) {
			g_string_append_printf(text, "%s \"%s\"%s\n", verbs[item->verb], item->key,
					       item->verb <= VERB_ADD ? " 1" : "");
			continue;
		}
		g_string_append(text, "txn {\n");
		write_program(model, item->program, text, line);
		g_string_append(text, "}\n");
		++*line;
	}
}

/* ---- The naive check ------------------------------------------------------------- */

static bool can_run_together(const struct model *model, int a, int b)
{
	while (model->branches[a].depth > model->branches[b].depth)
		a = model->branches[a].above;
	while (model->branches[b].depth > model->branches[a].depth)
		b = model->branches[b].above;
	while (a != b) {
		if (model->branches[a].program == model->branches[b].program)
			return false;
		a = model->branches[a].above;
		b = model->branches[b].above;
	}
	return true;
}

static bool covers(const struct item *deletion, const char *key)
{
	g_autofree char *directory = g_strconcat(deletion->key, "/", NULL);

	if (strcmp(deletion->key, key) == 0)
		return true;
	return deletion->verb == VERB_TREE &&
	       (*deletion->key == '\0' || g_str_has_prefix(key, directory));
}

static bool is_write(const struct item *item)
{
	return item->verb <= VERB_ADD;
}

static bool overlap(const struct model *model, const struct item *a, const struct item *b)
{
	if (a == b || a->program >= 0 || b->program >= 0 || a->verb == VERB_GET ||
	    b->verb == VERB_GET || (!is_write(a) && !is_write(b)) ||
	    !can_run_together(model, a->branch, b->branch))
		return false;
	if (is_write(a) && is_write(b))
		return strcmp(a->key, b->key) == 0;
	return is_write(a) ? covers(b, a->key) : covers(a, b->key);
}

static bool overlaps_any(const struct model *model, const struct item *item)
{
	for (int i = 0; i < model->item_count; i++) {
		if (overlap(model, item, &model->items[i]))
			return true;
	}
	return false;
}

/* ---- Comparing ------------------------------------------------------------------- */

static int parse(const char *text, size_t size, GString **ret_errors)
{
	static const struct credentials somebody = { 0 };
	g_autoptr(program) program = NULL;
	struct program_limits limits;

	program_limits_init(&limits);
	return program_parse(text, size, &somebody, &limits, &program, ret_errors);
}

static void fail(const char *what, const char *text, const GString *errors)
{
	fprintf(stderr, "%s:\n%s\n%s", what, text, errors ? errors->str : "");
	exit(1);
}

/* Every error must be in the line of an operation that overlaps another. */
static void check_errors(const struct model *model, const char *text, const GString *errors)
{
	g_auto(GStrv) lines = g_strsplit(errors->str, "\n", -1);

	for (char **line = lines; *line && **line; line++) {
		unsigned number = 0;
		bool found = false;

		sscanf(*line, "ERROR %u:", &number);
		for (int i = 0; i < model->item_count; i++) {
			if (model->items[i].program < 0 && model->items[i].line == number)
				found |= overlaps_any(model, &model->items[i]);
		}
		if (!found)
			fail("an error where nothing overlaps", text, errors);
	}
}

static void check_model(struct model *model, bool expected)
{
	g_autoptr(GString) text = g_string_new(NULL), errors = NULL;
	unsigned line = 0;
	int r;

	write_program(model, 0, text, &line);
	r = parse(text->str, text->len, &errors);
	if (r < 0 && r != -EINVAL)
		fail("not parsed", text->str, errors);
	if ((r < 0) != expected)
		fail(expected ? "an overlap was not seen" : "no overlap, but refused", text->str,
		     errors);
	if (r < 0)
		check_errors(model, text->str, errors);
}

static void grow(struct model *model, int *overlaps)
{
	struct model before = *model;
	struct item *item;

	if (model->branch_count + 2 <= 2 * BRANCHES_MAX && roll(4) == 0) {
		int branch = roll(model->branch_count);

		if (model->branches[branch].depth < DEPTH_MAX) {
			item = insert_item(model);
			item->branch = branch;
			item->program = add_program(model, branch);
			return;
		}
	}
	item = insert_item(model);
	*item = random_item(model);
	if (!overlaps_any(model, item)) {
		check_model(model, false);
		return;
	}
	check_model(model, true);
	++*overlaps;
	*model = before;
}

static void run_program(int *overlaps, int *operations)
{
	struct model model = { 0 };
	int turns = 5 + roll(3 * OPS_MAX);

	add_program(&model, -1);
	while (turns-- > 0 && model.item_count < OPS_MAX)
		grow(&model, overlaps);
	*operations += model.item_count;
}

/* ---- Growth ---------------------------------------------------------------------- */

/* `count` writes and as many deletes, none of which overlap. */
typedef void shape_fn(GString *text, int count);

static void write_different_keys(GString *text, int count)
{
	for (int i = 0; i < count; i++)
		g_string_append_printf(text, "put a/%d/b 1\ndel b/%d --prefix\n", i, i);
}

/* All of one key, each in a leaf of a tree of branches. */
static void write_one_key(GString *text, int count)
{
	if (count == 1) {
		g_string_append(text, "txn {\nthen\nput k 1\nelse\ndel k\n}\n");
		return;
	}
	g_string_append(text, "txn {\nthen\n");
	write_one_key(text, count / 2);
	g_string_append(text, "else\n");
	write_one_key(text, count - count / 2);
	g_string_append(text, "}\n");
}

/* The writes in the innermost of many programs, the deletes of everything around them, in
 * the other branch of each. */
static void write_one_path(GString *text, int count)
{
	const int depth = 900;

	for (int i = 0; i < depth; i++) {
		g_string_append(text, "txn {\nthen\n");
		for (int j = i * count / depth; j < (i + 1) * count / depth; j++)
			g_string_append(text, "del \"\" --prefix\n");
		g_string_append(text, "else\n");
	}
	for (int i = 0; i < count; i++)
		g_string_append_printf(text, "put a/%d 1\n", i);
	for (int i = 0; i < depth; i++)
		g_string_append(text, "}\n");
}

/* Each key below the one before, which is deleted in another branch. */
static void write_deep_keys(GString *text, int count)
{
	g_autoptr(GString) key = g_string_new("k");
	const int depth = 100;

	g_string_append(text, "txn {\nthen\n");
	for (int i = 0; i < count; i++) {
		g_string_append_printf(text, "del %s --prefix\n", key->str);
		if (i % depth == depth - 1)
			g_string_assign(key, "k");
		else
			g_string_append(key, "/k");
	}
	g_string_append(text, "else\n");
	for (int i = 0; i < count; i++)
		g_string_append_printf(text, "put k/%d/k/k/k/k/k/k 1\n", i);
	g_string_append(text, "}\n");
}

static double time_of(shape_fn *shape, int count)
{
	g_autoptr(GString) text = g_string_new(NULL), errors = NULL;
	double best = 1e9;

	shape(text, count);
	for (int i = 0; i < 3; i++) {
		clock_t begin = clock();
		int r = parse(text->str, text->len, &errors);
		double time = (double)(clock() - begin) / CLOCKS_PER_SEC;

		if (r < 0)
			fail("a program without an overlap was refused", "", errors);
		best = MIN(best, time);
	}
	return best;
}

static void check_growth(void)
{
	static const struct {
		const char *name;
		shape_fn *shape;
	} shapes[] = {
		{ "different keys", write_different_keys },
		{ "one key in many branches", write_one_key },
		{ "one path through many branches", write_one_path },
		{ "keys within keys", write_deep_keys },
	};

	for (guint i = 0; i < G_N_ELEMENTS(shapes); i++) {
		double first = time_of(shapes[i].shape, 10000);
		double last = time_of(shapes[i].shape, 40000);

		printf("%s: 10000 + 10000 in %.1f ms, 40000 + 40000 in %.1f ms\n", shapes[i].name,
		       1000 * first, 1000 * last);
		/* Four times as many: 4 to 5 times as long, not 16. */
		if (last > 10 * first + 0.05)
			fail("time grows with the square", shapes[i].name, NULL);
	}
}

int main(int argc, char **argv)
{
	guint32 seed = argc > 1 ? (guint32)strtoul(argv[1], NULL, 10) : 1;
	int programs = argc > 2 ? atoi(argv[2]) : 150;
	int overlaps = 0, operations = 0;

	printf("seed %u\n", seed);
	fflush(stdout);
	dice = g_rand_new_with_seed(seed);
	for (int i = 0; i < programs; i++)
		run_program(&overlaps, &operations);
	g_rand_free(dice);
	printf("%d programs: %d operations, and %d that overlap\n", programs, operations, overlaps);
	check_growth();
	return 0;
}
