/* Programs: compares choose a path through the nested programs, then its operations run. */
#include "store/evaluate.h"

#include "store/access.h"
#include "store/execute.h"
#include "store/output.h"
#include "store/overlay.h"
#include "store/record.h"
#include "store/walk.h"

#include <errno.h>

/* Programs nest to any depth a person would write; beyond this it is an attack on stacks. */
#define PROGRAM_DEPTH_MAX 10000

static void failure_free(gpointer data)
{
	struct failure *failure = data;

	g_free(failure->key);
	g_clear_pointer(&failure->found_value, g_bytes_unref);
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
	g_clear_pointer(&evaluation->result.outputs, g_array_unref);
	g_clear_pointer(&evaluation->path, g_ptr_array_unref);
}

void evaluation_finish(struct evaluation *evaluation, uint64_t revision)
{
	evaluation->result.revision = revision;
	outputs_finish(evaluation->result.outputs, revision);
}

void evaluation_fail(struct evaluation *evaluation, int error)
{
	evaluation->result.error = error;
	evaluation->result.changed = false;
	g_ptr_array_set_size(evaluation->result.failures, 0);
	g_ptr_array_set_size(evaluation->result.records, 0);
	g_clear_pointer(&evaluation->result.outputs, g_array_unref);
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

/* One compare, and what it looked at last: what it did not hold of, or could not be read. */
struct look {
	struct evaluation *evaluation;
	const struct compare *compare;
	char *key;	       /* owned; NULL: the compare's own */
	struct record *record; /* owned; NULL: absent */
	bool seen;	       /* there is a key in the tree */
	bool holds;
};

static void look_done(struct look *look)
{
	g_free(look->key);
	record_unref(look->record);
}

static const char *look_key(const struct look *look)
{
	return look->key ? look->key : look->compare->key;
}

/* The commit that made what the compare found as it is. */
static uint64_t change_revision(struct evaluation *evaluation, const struct look *look)
{
	const struct record *record = look->record;

	if (!record)
		return evaluation->deleted_revision(evaluation->arg, look_key(look));
	switch (look->compare->target) {
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

static struct failure *add_failure(struct evaluation *evaluation, guint index,
				   const struct look *look)
{
	struct failure *failure = g_new0(struct failure, 1);

	failure->compare = true;
	failure->index = index;
	failure->expected = look->compare;
	failure->key = g_strdup(look_key(look));
	g_ptr_array_add(evaluation->result.failures, failure);
	return failure;
}

static void add_failed_compare(struct evaluation *evaluation, guint index, const struct look *look)
{
	struct failure *failure = add_failure(evaluation, index, look);
	enum compare_target target = look->compare->target;

	failure->absent = !look->record;
	failure->found = number_of(look->record, target);
	failure->change_revision = change_revision(evaluation, look);
	if (target == COMPARE_VALUE && look->record && look->record->value)
		failure->found_value = g_bytes_ref(look->record->value);
}

/* What could not be read makes the whole program an error. */
static void add_unreadable(struct evaluation *evaluation, guint index, const struct look *look,
			   int error)
{
	add_failure(evaluation, index, look)->error = error;
	if (evaluation->result.error == 0)
		evaluation->result.error = error;
}

/* Whose permission to read is checked; NULL: nobody's. */
static const struct credentials *reader(const struct evaluation *evaluation)
{
	return evaluation->program->checked_reads ? evaluation->program->credentials : NULL;
}

static int look_at(struct look *look, const char *key)
{
	const struct credentials *credentials = reader(look->evaluation);
	int r = overlay_get(look->evaluation->before, key, &look->record);

	if (r < 0 && r != -ENOENT)
		return r;
	r = 0;
	if (credentials && look->record && look->compare->target == COMPARE_VALUE)
		r = access_check_read(credentials, look->record);
	look->holds = r == 0 && compare_holds(look->compare, look->record);
	return r;
}

enum { TREE_ENDS = 1 };

static int visit_tree(const char *key, struct record *record, const struct record *parent,
		      void *arg)
{
	struct look *look = arg;
	int r = 0;

	(void)parent;
	look->seen = true;
	g_clear_pointer(&look->record, record_unref);
	if (look->compare->target == COMPARE_VALUE) {
		r = look_at(look, key);
	} else {
		look->record = record_ref(record);
		look->holds = compare_holds(look->compare, record);
	}
	if (r == 0 && look->holds)
		return 0;
	look->key = g_strdup(key);
	return r < 0 ? r : TREE_ENDS;
}

/* Every key of the tree, until it does not hold of one. None is like an absent key. */
static int look_at_tree(struct look *look)
{
	struct walk walk = { .overlay = look->evaluation->before,
			     .credentials = reader(look->evaluation),
			     .visit = visit_tree,
			     .arg = look };
	int r = walk_tree(&walk, look->compare->key);

	if (walk.way)
		look->key = walk.way;
	if (r == 0 && !look->seen)
		look->holds = compare_holds(look->compare, NULL);
	return r == TREE_ENDS ? 0 : r;
}

static int look(struct look *look)
{
	const struct credentials *credentials = reader(look->evaluation);
	const char *key = look->compare->key;
	int r = 0;

	if (credentials)
		r = access_check_search(look->evaluation->before, credentials, key, false);
	if (r < 0)
		return r;
	return look->compare->tree ? look_at_tree(look) : look_at(look, key);
}

/* True when all hold. Those that do not are told of when `outermost`. */
static bool compare_all(struct evaluation *evaluation, const struct program *program,
			bool outermost)
{
	bool all = true;

	for (guint i = 0; i < program->compares->len && (all || outermost); i++) {
		struct look at = { .evaluation = evaluation,
				   .compare = program->compares->pdata[i] };
		int r = look(&at);

		if (r < 0)
			add_unreadable(evaluation, i, &at, r);
		else if (!at.holds && outermost)
			add_failed_compare(evaluation, i, &at);
		all = all && r == 0 && at.holds;
		look_done(&at);
	}
	return all;
}

static int choose_path(struct evaluation *evaluation, const struct program *program, guint depth)
{
	const GPtrArray *ops;
	bool holds;
	int r;

	if (depth > PROGRAM_DEPTH_MAX)
		return -EINVAL;
	holds = compare_all(evaluation, program, depth == 0);
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
	int r;

	evaluation->program = program;
	r = choose_path(evaluation, program, 0);
	if (r < 0)
		evaluation_fail(evaluation, r);
}

/* ---- Operations ----------------------------------------------------------------- */

static void add_refused_op(struct evaluation *evaluation, guint index, int error, char *key)
{
	struct failure *failure = g_new0(struct failure, 1);

	failure->index = index;
	failure->op = evaluation->path->pdata[index];
	failure->error = error;
	failure->key = key;
	g_ptr_array_add(evaluation->result.failures, failure);
	if (evaluation->result.error == 0)
		evaluation->result.error = error;
}

/* Runs one operation, which tells of itself or leaves a record. */
static void run_op(struct evaluation *evaluation, struct action *action, guint index)
{
	struct program_result *result = &evaluation->result;
	struct output output = { .op = action->op };
	struct record *record = NULL;
	int r;

	action->output = result->outputs ? &output : NULL;
	r = action_run(action);
	if (r == 0 && !result->outputs)
		r = action_record_after(action, &record);
	if (r < 0)
		add_refused_op(evaluation, index, r, action_take_way(action));
	g_clear_pointer(&action->way, g_free);
	if (result->outputs)
		g_array_append_val(result->outputs, output);
	else
		g_ptr_array_add(result->records, record);
}

void evaluate_path(struct evaluation *evaluation, const struct program *program,
		   struct overlay *overlay, int64_t now_ns)
{
	struct program_result *result = &evaluation->result;
	struct output_room room = { .program = program, .left_bytes = program->max_output_bytes };
	struct action action = { .overlay = overlay,
				 .credentials = program->credentials,
				 .checked = program->checked,
				 .checked_reads = program->checked_reads,
				 .now_ns = now_ns,
				 .room = &room };

	if (result->error < 0)
		return;
	if (program->max_output_bytes)
		result->outputs = outputs_new();
	/* A refused operation does not end it: who asks why wants to know everything. */
	for (guint i = 0; i < evaluation->path->len; i++) {
		action.op = evaluation->path->pdata[i];
		run_op(evaluation, &action, i);
	}
	if (result->error < 0) {
		g_ptr_array_set_size(result->records, 0);
		g_clear_pointer(&result->outputs, g_array_unref);
	}
}
