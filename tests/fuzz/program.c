/* The parser of program texts and the check for overlaps: what is refused is refused in
 * errors that are lines of text, in the text's order; what is accepted has keys that are
 * keys, and no two operations that overlap by a check of every pair. */
#include "txn/txn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define OPS_MAX 300 /* so many are compared in pairs */
#define DEPTH_MAX 20

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- Errors ---------------------------------------------------------------------- */

static void check_errors(const GString *errors)
{
	unsigned last_line = 0, last_column = 0;
	unsigned count = 0;

	g_assert(errors->len > 0 && errors->str[errors->len - 1] == '\n');
	g_assert(g_utf8_validate(errors->str, (gssize)errors->len, NULL));
	for (const char *at = errors->str; *at; at = strchr(at, '\n') + 1, count++) {
		unsigned line, column;

		g_assert(sscanf(at, "ERROR %u:%u ", &line, &column) == 2);
		g_assert(line > last_line || (line == last_line && column >= last_column));
		g_assert(column > 0);
		last_line = line;
		last_column = column;
	}
	g_assert(count <= 21);
	for (const char *at = errors->str; *at; at++)
		g_assert(*at == '\n' || (guchar)*at >= ' ');
}

/* ---- What was accepted ------------------------------------------------------------ */

/* A writing operation, and the branch it is in at each depth. */
struct placed {
	const struct op *op;
	int depth;
	const struct program *programs[DEPTH_MAX];
	bool otherwise[DEPTH_MAX];
};

struct placed_ops {
	struct placed list[OPS_MAX];
	int count;
};

static void collect(struct placed_ops *found, const struct program *program, struct placed *place);

static void collect_branch(struct placed_ops *found, const GPtrArray *ops, struct placed *place)
{
	for (guint i = 0; ops && i < ops->len; i++) {
		const struct op *op = ops->pdata[i];

		g_assert(op->line > 0 && op->column > 0);
		if (op->kind == OP_PROGRAM) {
			collect(found, op->program, place);
			continue;
		}
		g_assert(key_check(op->key) == 0);
		g_assert(*op->key || op->kind == OP_DELETE_TREE || op->flags & OP_TREE);
		g_assert((op->value != NULL) == (op->kind == OP_PUT || op->kind == OP_APPEND));
		if (op->kind == OP_GET || found->count == OPS_MAX)
			continue;
		place->op = op;
		found->list[found->count++] = *place;
	}
}

static void collect(struct placed_ops *found, const struct program *program, struct placed *place)
{
	int depth = place->depth;

	for (guint i = 0; i < program->compares->len; i++) {
		const struct compare *compare = program->compares->pdata[i];

		g_assert(key_check(compare->key) == 0 && (*compare->key || compare->tree));
		g_assert((compare->value != NULL) == (compare->target == COMPARE_VALUE));
	}
	if (depth == DEPTH_MAX)
		return;
	place->depth++;
	place->programs[depth] = program;
	place->otherwise[depth] = false;
	collect_branch(found, program->then_ops, place);
	place->otherwise[depth] = true;
	collect_branch(found, program->else_ops, place);
	place->depth--;
}

static bool is_delete(const struct op *op)
{
	return op->kind == OP_DELETE || op->kind == OP_DELETE_TREE;
}

static bool deletes(const struct op *op, const char *key)
{
	return op->kind == OP_DELETE_TREE ? key_is_below(key, op->key) : strcmp(key, op->key) == 0;
}

static bool overlap(const struct placed *a, const struct placed *b)
{
	for (int i = 0; i < a->depth && i < b->depth && a->programs[i] == b->programs[i]; i++) {
		if (a->otherwise[i] != b->otherwise[i])
			return false;
	}
	if (is_delete(a->op))
		return !is_delete(b->op) && deletes(a->op, b->op->key);
	return is_delete(b->op) ? deletes(b->op, a->op->key) : strcmp(a->op->key, b->op->key) == 0;
}

static void check_program(const struct program *program)
{
	struct placed_ops *found = g_new0(struct placed_ops, 1);
	struct placed place = { 0 };

	collect(found, program, &place);
	for (int i = 0; i < found->count; i++) {
		for (int j = 0; j < i; j++)
			g_assert(!overlap(&found->list[i], &found->list[j]));
	}
	g_free(found);
}

/* That what is refused does overlap is for tests/model/overlap_model.c to find. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct credentials somebody = { 0 };
	g_autoptr(program) program = NULL;
	g_autoptr(GString) errors = NULL, json = NULL;
	struct program_limits limits;
	int r;

	program_limits_init(&limits);
	limits.max_depth = 100;
	r = program_parse((const char *)data, size, &somebody, &limits, &program, &errors);
	if (r == 0) {
		check_program(program);
		return 0;
	}
	g_assert(r == -EINVAL || r == -EFBIG);
	check_errors(errors);
	json = program_errors_json(errors);
	g_assert(g_utf8_validate(json->str, (gssize)json->len, NULL));
	return 0;
}
