/* Programs: building, copying, freeing. They are plain data; execute.c and evaluate.c say
 * what they mean. */
#include "store/program.h"

#include <string.h>

struct credentials *credentials_copy(const struct credentials *credentials)
{
	struct credentials *copy = g_new0(struct credentials, 1);

	*copy = *credentials;
	copy->groups = credentials->groups ? g_array_copy(credentials->groups) : NULL;
	copy->command = g_strdup(credentials->command);
	return copy;
}

void credentials_free(struct credentials *credentials)
{
	if (!credentials)
		return;
	if (credentials->groups)
		g_array_unref(credentials->groups);
	g_free(credentials->command);
	g_free(credentials);
}

static void compare_free(gpointer data)
{
	struct compare *compare = data;

	g_free(compare->key);
	g_clear_pointer(&compare->value, g_bytes_unref);
	g_free(compare);
}

static void edit_free(gpointer data)
{
	struct edit *edit = data;

	g_clear_pointer(&edit->data, g_bytes_unref);
	g_free(edit);
}

static void op_free(gpointer data)
{
	struct op *op = data;

	g_free(op->key);
	g_free(op->target);
	g_clear_pointer(&op->value, g_bytes_unref);
	g_clear_pointer(&op->edits, g_ptr_array_unref);
	program_free(op->program);
	g_free(op);
}

struct program *program_new(const struct credentials *credentials)
{
	struct program *program = g_new0(struct program, 1);

	program->compares = g_ptr_array_new_with_free_func(compare_free);
	program->then_ops = g_ptr_array_new_with_free_func(op_free);
	program->credentials = credentials_copy(credentials);
	return program;
}

void program_free(struct program *program)
{
	if (!program)
		return;
	g_ptr_array_unref(program->compares);
	g_ptr_array_unref(program->then_ops);
	g_clear_pointer(&program->else_ops, g_ptr_array_unref);
	credentials_free(program->credentials);
	g_free(program->id);
	g_free(program->message);
	g_free(program);
}

struct compare *program_compare(struct program *program, enum compare_target target,
				enum compare_operator relation, const char *key, uint64_t number)
{
	struct compare *compare = g_new0(struct compare, 1);

	compare->target = target;
	compare->operator= relation;
	compare->key = g_strdup(key);
	compare->number = number;
	g_ptr_array_add(program->compares, compare);
	return compare;
}

static struct op *ops_add(GPtrArray *ops, enum op_kind kind, const char *key)
{
	struct op *op = g_new0(struct op, 1);

	op->kind = kind;
	op->key = g_strdup(key);
	g_ptr_array_add(ops, op);
	return op;
}

struct op *program_add(struct program *program, enum op_kind kind, const char *key)
{
	return ops_add(program->then_ops, kind, key);
}

struct op *program_add_else(struct program *program, enum op_kind kind, const char *key)
{
	if (!program->else_ops)
		program->else_ops = g_ptr_array_new_with_free_func(op_free);
	return ops_add(program->else_ops, kind, key);
}

void op_add_edit(struct op *op, enum edit_kind kind, uint64_t offset, GBytes *data)
{
	struct edit *edit = g_new0(struct edit, 1);

	if (!op->edits)
		op->edits = g_ptr_array_new_with_free_func(edit_free);
	edit->kind = kind;
	edit->offset = offset;
	edit->data = data ? g_bytes_ref(data) : NULL;
	g_ptr_array_add(op->edits, edit);
}

/* What a compare counts for: it takes as long as that much to write. */
#define COMPARE_BYTES ((uint64_t)100)

static uint64_t ops_bytes(const GPtrArray *ops)
{
	uint64_t bytes = 0;

	for (guint i = 0; ops && i < ops->len; i++) {
		const struct op *op = ops->pdata[i];

		bytes += strlen(op->key) + (op->value ? g_bytes_get_size(op->value) : 0);
		for (guint j = 0; op->edits && j < op->edits->len; j++) {
			const struct edit *edit = op->edits->pdata[j];

			bytes += edit->data ? g_bytes_get_size(edit->data) : 0;
		}
		if (op->program)
			bytes += program_bytes(op->program);
	}
	return bytes;
}

uint64_t program_bytes(const struct program *program)
{
	return ops_bytes(program->then_ops) + ops_bytes(program->else_ops) +
	       program->compares->len * COMPARE_BYTES;
}

static bool ops_write(const GPtrArray *ops)
{
	for (guint i = 0; ops && i < ops->len; i++) {
		const struct op *op = ops->pdata[i];

		if (op->kind == OP_PROGRAM ? program_writes(op->program) : op->kind != OP_GET)
			return true;
	}
	return false;
}

bool program_writes(const struct program *program)
{
	return ops_write(program->then_ops) || ops_write(program->else_ops);
}
