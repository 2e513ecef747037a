/* Programs: compares choose a path through the nested programs, then its operations run. */
#include "store/evaluate.h"

#include "store/overlay.h"
#include "store/record.h"

#include <errno.h>

/* Programs nest to any depth a person would write; beyond this it is an attack on stacks. */
#define PROGRAM_DEPTH_MAX 10000

static void failure_free(gpointer data)
{
	struct failure *failure = data;

	g_free(failure->key);
	g_free(failure);
}

static void unref_record(gpointer record)
{
	record_unref(record);
}

void evaluation_init(struct evaluation *evaluation)
{
	evaluation->result = (struct program_result){ 0 };
	evaluation->result.failures = g_ptr_array_new_with_free_func(failure_free);
	evaluation->result.records = g_ptr_array_new_with_free_func(unref_record);
	evaluation->path = g_ptr_array_new();
}

void evaluation_done(struct evaluation *evaluation)
{
	g_clear_pointer(&evaluation->result.failures, g_ptr_array_unref);
	g_clear_pointer(&evaluation->result.records, g_ptr_array_unref);
	g_clear_pointer(&evaluation->path, g_ptr_array_unref);
}

void evaluation_fail(struct evaluation *evaluation, int error)
{
	evaluation->result.error = error;
	evaluation->result.changed = false;
	g_ptr_array_set_size(evaluation->result.failures, 0);
	g_ptr_array_set_size(evaluation->result.records, 0);
}

/* ---- Compares ------------------------------------------------------------------- */

static uint64_t number_of(const struct record *record, enum compare_target target)
{
	if (!record)
		return 0;
	switch (target) {
	case COMPARE_VERSION:
		return record->version;
	case COMPARE_CREATE:
		return record->create_revision;
	case COMPARE_ATTRIBUTE:
		return record->attribute_revision;
	case COMPARE_INO:
		return record->ino;
	case COMPARE_VALUE: /* told in place of the value */
	case COMPARE_MOD:
		break;
	}
	return record->mod_revision;
}

static bool order_holds(enum compare_operator relation, int order)
{
	switch (relation) {
	case COMPARE_EQUAL:
		return order == 0;
	case COMPARE_NOT_EQUAL:
		return order != 0;
	case COMPARE_LESS:
		return order < 0;
	case COMPARE_GREATER:
		return order > 0;
	case COMPARE_LESS_EQUAL:
		return order <= 0;
	case COMPARE_GREATER_EQUAL:
		return order >= 0;
	}
	g_assert_not_reached();
}

static int order_of(uint64_t left, uint64_t right)
{
	return left == right ? 0 : left > right ? 1 : -1;
}

static bool compare_holds(const struct compare *compare, const struct record *record)
{
	if (compare->target != COMPARE_VALUE)
		return order_holds(compare->operator,
				   order_of(number_of(record, compare->target), compare->number));
	/* What has no value compares as false, even to "not equal". */
	if (!record || !record->value || !compare->value)
		return false;
	return order_holds(compare->operator, g_bytes_compare(record->value, compare->value));
}

/* The commit that made what the compare found as it is. */
static uint64_t change_revision(struct evaluation *evaluation, const struct compare *compare,
				const struct record *record)
{
	if (!record)
		return evaluation->deleted_revision(evaluation->arg, compare->key);
	switch (compare->target) {
	case COMPARE_CREATE:
	case COMPARE_INO:
		return record->create_revision;
	case COMPARE_ATTRIBUTE:
		return record->attribute_revision ? record->attribute_revision :
						    record->create_revision;
	case COMPARE_VERSION:
		return record_last_revision(record);
	case COMPARE_VALUE:
	case COMPARE_MOD:
		break;
	}
	return record->mod_revision;
}

static void add_failed_compare(struct evaluation *evaluation, guint index,
			       const struct compare *compare, const struct record *record)
{
	struct failure *failure = g_new0(struct failure, 1);

	failure->compare = true;
	failure->index = index;
	failure->key = g_strdup(compare->key);
	failure->found = number_of(record, compare->target);
	failure->change_revision = change_revision(evaluation, compare, record);
	g_ptr_array_add(evaluation->result.failures, failure);
}

/* *ret tells whether all hold. Those that do not are told of when `outermost`. */
static int compare_all(struct evaluation *evaluation, const struct program *program, bool outermost,
		       bool *ret)
{
	bool all = true;

	for (guint i = 0; i < program->compares->len; i++) {
		const struct compare *compare = program->compares->pdata[i];
		g_autoptr(record) record = NULL;
		int r = overlay_get(evaluation->before, compare->key, &record);

		if (r < 0 && r != -ENOENT)
			return r;
		if (compare_holds(compare, record))
			continue;
		all = false;
		if (!outermost)
			break;
		add_failed_compare(evaluation, i, compare, record);
	}
	*ret = all;
	return 0;
}

static int choose_path(struct evaluation *evaluation, const struct program *program, guint depth)
{
	const GPtrArray *ops;
	bool holds = false;
	int r;

	if (depth > PROGRAM_DEPTH_MAX)
		return -EINVAL;
	r = compare_all(evaluation, program, depth == 0, &holds);
	if (r < 0)
		return r;
	if (depth == 0)
		evaluation->result.succeeded = holds;
	ops = holds ? program->then_ops : program->else_ops;
	for (guint i = 0; ops && i < ops->len; i++) {
		struct op *op = ops->pdata[i];

		if (op->kind != OP_PROGRAM) {
			g_ptr_array_add(evaluation->path, op);
			continue;
		}
		r = choose_path(evaluation, op->program, depth + 1);
		if (r < 0)
			return r;
	}
	return 0;
}

void evaluate_compares(struct evaluation *evaluation, const struct program *program)
{
	int r = choose_path(evaluation, program, 0);

	if (r < 0)
		evaluation_fail(evaluation, r);
}

/* ---- Operations ----------------------------------------------------------------- */

static void add_refused_op(struct evaluation *evaluation, guint index, int error, char *key)
{
	struct failure *failure = g_new0(struct failure, 1);

	failure->index = index;
	failure->error = error;
	failure->key = key;
	g_ptr_array_add(evaluation->result.failures, failure);
	if (evaluation->result.error == 0)
		evaluation->result.error = error;
}

void evaluate_path(struct evaluation *evaluation, const struct program *program,
		   struct overlay *overlay, int64_t now_ns)
{
	if (evaluation->result.error < 0)
		return;
	/* A refused operation does not end it: who asks why wants to know everything. */
	for (guint i = 0; i < evaluation->path->len; i++) {
		struct record *record = NULL;
		char *key = NULL;
		int r;

		r = overlay_apply(overlay, evaluation->path->pdata[i], program->credentials,
				  program->checked, now_ns, &record, &key);
		if (r < 0)
			add_refused_op(evaluation, i, r, key);
		g_ptr_array_add(evaluation->result.records, record);
	}
	if (evaluation->result.error < 0)
		g_ptr_array_set_size(evaluation->result.records, 0);
}
