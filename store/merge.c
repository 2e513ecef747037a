/* Operations that merge with what is there at their turn, and so never conflict with each
 * other: numbers that grow, shrink or are bounded, and text that is added. */
#include "store/execute.h"
#include "store/overlay.h"
#include "store/record.h"

#include <errno.h>
#include <string.h>

/* ---- Numbers -------------------------------------------------------------------- */

/* Digits, after a minus when `negative`: summed up downwards, which reaches further. */
static int parse_digits(const char *text, size_t length, bool negative, int64_t *ret)
{
	int64_t number = 0;

	if (length == 0)
		return -EDOM;
	for (size_t i = 0; i < length; i++) {
		if (!g_ascii_isdigit(text[i]))
			return -EDOM;
	}
	for (size_t i = 0; i < length; i++) {
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_sub_overflow(number, text[i] - '0', &number))
			return -ERANGE;
	}
	if (!negative && __builtin_sub_overflow(0, number, &number))
		return -ERANGE;
	*ret = number;
	return 0;
}

static int parse_number(GBytes *value, int64_t *ret, bool *ret_newline)
{
	gsize length = 0;
	const char *text = g_bytes_get_data(value, &length);
	bool newline = length > 0 && text[length - 1] == '\n';
	bool negative;

	length -= newline ? 1 : 0;
	negative = length > 0 && text[0] == '-';
	*ret_newline = newline;
	return parse_digits(text + negative, length - negative, negative, ret);
}

static GBytes *format_number(int64_t number, bool newline)
{
	char *text = g_strdup_printf("%" G_GINT64_FORMAT "%s", number, newline ? "\n" : "");

	return g_bytes_new_take(text, strlen(text));
}

static int merge_numbers(const struct op *op, int64_t there, int64_t *ret)
{
	switch (op->kind) {
	case OP_MIN:
		*ret = MIN(there, op->number);
		return 0;
	case OP_MAX:
		*ret = MAX(there, op->number);
		return 0;
	default:
		return __builtin_add_overflow(there, op->number, ret) ? -ERANGE : 0;
	}
}

static void tell_number(struct action *action, int64_t number)
{
	if (action->output)
		action->output->number = number;
}

static int create_number(struct action *action)
{
	g_autoptr(GBytes) value = NULL;
	int64_t number = 0;
	int r = merge_numbers(action->op, 0, &number);

	if (r < 0)
		return r;
	value = format_number(number, false);
	r = action_create(action, RECORD_VALUE, value);
	if (r == 0)
		tell_number(action, number);
	return r;
}

static int change_number(struct action *action, struct record *found)
{
	g_autoptr(GBytes) value = NULL;
	int64_t there = 0, number = 0;
	bool newline = false;
	int r;

	/* The sum tells what was there; so does the refusal of what is no number. */
	r = action_check_read(action, found);
	if (r == 0)
		r = parse_number(found->value, &there, &newline);
	if (r == 0)
		r = merge_numbers(action->op, there, &number);
	if (r < 0)
		return r;
	value = format_number(number, newline);
	r = action_check_writable(action, found, g_bytes_get_size(value));
	if (r == 0)
		r = action_tell_previous(action, found);
	if (r < 0)
		return r;
	tell_number(action, number);
	if (number != there)
		action_overwrite(action, found, g_steal_pointer(&value));
	return 0;
}

int action_number(struct action *action)
{
	g_autoptr(record) found = NULL;
	int r = action_find(action, action->op->key, &found);

	if (r < 0)
		return r;
	if (!found)
		return create_number(action);
	r = action_check_writable(action, found, found->size_bytes);
	return r < 0 ? r : change_number(action, found);
}

/* ---- Text ----------------------------------------------------------------------- */

int action_append(struct action *action)
{
	struct edit edit = { EDIT_APPEND, 0, action->op->value };
	g_autoptr(GPtrArray) edits = NULL;
	g_autoptr(record) found = NULL;
	int r = action_find(action, action->op->key, &found);

	if (r < 0)
		return r;
	if (!found)
		return action_create(action, RECORD_VALUE, action->op->value);
	g_clear_pointer(&found, record_unref); /* so that it may be changed in place */
	edits = g_ptr_array_new();
	g_ptr_array_add(edits, &edit);
	return action_patch(action, edits);
}
