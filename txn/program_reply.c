/* The reply to a program, for people and scripts:
 *
 *   SUCCESS REVISION | FAILURE REVISION | ERROR LINE:COLUMN text (and nothing else)
 *   compare LINE TARGET FOUND KEY        for each compare that failed
 *   put, append, add N, min N, max N, del COUNT, get COUNT    in the order they ran
 *   MOD_REVISION LENGTH KEY              below get, and what was there with --prev-kv;
 *                                        then LENGTH bytes and a newline, unless --keys-only
 *
 * FOUND is a number; of a value, "absent", "directory", or LENGTH and the text in double
 * quotes, escaped and perhaps cut short; a line "differs only by a final newline" follows
 * where that is so. After so many of these there is a line "more COUNT". Keys come last in
 * their lines, because they may hold blanks. */
#include "txn/program.h"

#include <errno.h>
#include <string.h>

/* ---- Names ----------------------------------------------------------------------- */

const char *compare_target_name(enum compare_target target)
{
	switch (target) {
	case COMPARE_VALUE:
		return "value";
	case COMPARE_VERSION:
		return "version";
	case COMPARE_CREATE:
		return "create";
	case COMPARE_MOD:
		return "mod";
	case COMPARE_ATTRIBUTE: /* no text has those two */
	case COMPARE_INO:
		break;
	}
	g_assert_not_reached();
}

const char *op_name(const struct op *op)
{
	switch (op->kind) {
	case OP_PUT:
		return "put";
	case OP_GET:
		return "get";
	case OP_DELETE:
	case OP_DELETE_TREE:
		return "del";
	case OP_ADD:
		return "add";
	case OP_MIN:
		return "min";
	case OP_MAX:
		return "max";
	case OP_APPEND:
		return "append";
	default:
		g_assert_not_reached(); /* no text has others */
	}
}

bool op_has_count(const struct op *op)
{
	return op->kind == OP_GET || op->kind == OP_DELETE || op->kind == OP_DELETE_TREE;
}

bool op_has_number(const struct op *op)
{
	return op->kind == OP_ADD || op->kind == OP_MIN || op->kind == OP_MAX;
}

/* True when one is the other with a newline at its end. */
static bool differs_by_newline(GBytes *one, GBytes *other)
{
	gsize size, other_size;
	const char *bytes = g_bytes_get_data(one, &size);
	const char *other_bytes = g_bytes_get_data(other, &other_size);

	if (size > other_size)
		return differs_by_newline(other, one);
	return size + 1 == other_size && other_bytes[size] == '\n' &&
	       (size == 0 || memcmp(bytes, other_bytes, size) == 0);
}

bool failure_is_newline(const struct failure *failure)
{
	return failure->expected->value && failure->found_value &&
	       differs_by_newline(failure->expected->value, failure->found_value);
}

/* ---- Errors ---------------------------------------------------------------------- */

/* Why an operation was refused, where errno's words say too little; else NULL. */
static const char *explain(const struct failure *failure)
{
	enum op_kind kind = failure->op->kind;

	switch (failure->error) {
	case -EDOM:
		return "the value is no number of 64 bits";
	case -ERANGE:
		return "the sum is no number of 64 bits";
	case -EISDIR:
		return kind == OP_DELETE ? "it is a directory, which needs --prefix" :
					   "it is a directory";
	case -ENOTDIR:
		return "it is no directory";
	case -ELOOP:
		return "it is a symbolic link";
	case -EFBIG:
		return "the value is too large";
	case -EDQUOT:
		return kind == OP_GET || failure->op->flags & OP_PREVIOUS ?
			       "the reply is too large, or the program changes too many keys" :
			       "the program changes too many keys";
	default:
		return NULL;
	}
}

static void append_quoted(GString *out, const char *key)
{
	g_string_append_c(out, '\'');
	text_append_escaped(out, key);
	g_string_append_c(out, '\'');
}

static void append_refusal(GString *out, const struct failure *failure)
{
	const struct op *op = failure->op;
	const char *reason = explain(failure);

	g_string_append_printf(out, "ERROR %u:%u cannot %s ", op->line, op->column, op_name(op));
	append_quoted(out, op->key);
	if (failure->key && strcmp(failure->key, op->key) != 0) {
		g_string_append(out, ": ");
		append_quoted(out, failure->key);
	}
	g_string_append_printf(out, ": %s\n", reason ? reason : g_strerror(-failure->error));
}

static void append_unread(GString *out, const struct failure *failure)
{
	const struct compare *compare = failure->expected;

	g_string_append_printf(out, "ERROR %u:%u cannot compare ", compare->line, compare->column);
	append_quoted(out, failure->key ? failure->key : compare->key);
	g_string_append_printf(out, ": %s\n", g_strerror(-failure->error));
}

/* Why nothing was applied. */
static GString *errors_text(const struct program_result *result)
{
	GString *out = g_string_new(NULL);
	guint count = MIN(result->failures->len, PROGRAM_ERRORS_MAX);

	for (guint i = 0; i < count; i++) {
		const struct failure *failure = result->failures->pdata[i];

		if (!failure->compare)
			append_refusal(out, failure);
		else if (failure->error < 0)
			append_unread(out, failure);
	}
	if (out->len == 0)
		g_string_append_printf(out, "ERROR 1:1 cannot run the program: %s\n",
				       g_strerror(-result->error));
	return out;
}

/* ---- Failed compares ------------------------------------------------------------- */

static void append_found_value(GString *out, const struct failure *failure)
{
	gsize size;
	const char *bytes;

	if (!failure->found_value) {
		g_string_append(out, failure->absent ? "absent" : "directory");
		return;
	}
	bytes = g_bytes_get_data(failure->found_value, &size);
	g_string_append_printf(out, "%zu \"", size);
	text_append_shortened(out, bytes, size, PROGRAM_FOUND_MAX, '"');
	g_string_append_c(out, '"');
}

static void append_failure(GString *out, const struct failure *failure)
{
	const struct compare *compare = failure->expected;

	g_string_append_printf(out, "compare %u %s ", compare->line,
			       compare_target_name(compare->target));
	if (compare->target == COMPARE_VALUE)
		append_found_value(out, failure);
	else
		g_string_append_printf(out, "%" G_GUINT64_FORMAT, failure->found);
	g_string_append_c(out, ' ');
	text_append_escaped(out, failure->key);
	g_string_append_c(out, '\n');
	if (failure_is_newline(failure))
		g_string_append(out, "differs only by a final newline\n");
}

/* ---- Results --------------------------------------------------------------------- */

/* What else a line has, at most. */
#define LINE_BYTES 256

/* Room for a line with `key`, escaped, and for a value of `size` bytes. */
static bool reserve(GString *out, const char *key, size_t size)
{
	return string_try_reserve(out, 4 * strlen(key) + LINE_BYTES + size);
}

static bool append_found(GString *out, const struct op *op, const struct found *found)
{
	const struct record *record = found->record;
	bool with_value = !(op->flags & OP_KEYS_ONLY);
	gsize size = 0;
	const char *bytes = record->value ? g_bytes_get_data(record->value, &size) : NULL;

	if (!reserve(out, found->key, with_value ? size : 0))
		return false;
	g_string_append_printf(out, "%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " ",
			       record->mod_revision, record->size_bytes);
	text_append_escaped(out, found->key);
	g_string_append_c(out, '\n');
	if (!with_value)
		return true;
	if (bytes)
		g_string_append_len(out, bytes, (gssize)size);
	g_string_append_c(out, '\n');
	return true;
}

static bool append_output(GString *out, const struct output *output)
{
	const struct op *op = output->op;
	bool good = reserve(out, "", 0);

	if (!good)
		return false;
	g_string_append(out, op_name(op));
	if (op_has_count(op))
		g_string_append_printf(out, " %" G_GUINT64_FORMAT, output->count);
	else if (op_has_number(op))
		g_string_append_printf(out, " %" G_GINT64_FORMAT, output->number);
	g_string_append_c(out, '\n');
	for (guint i = 0; good && output->found && i < output->found->len; i++)
		good = append_found(out, op, output->found->pdata[i]);
	return good;
}

static bool append_failures(GString *out, const GPtrArray *failures)
{
	guint count = MIN(failures->len, PROGRAM_FAILURES_MAX);

	for (guint i = 0; i < count; i++) {
		const struct failure *failure = failures->pdata[i];

		/* A byte of the value that was found takes four at most. */
		if (!reserve(out, failure->key, 4 * PROGRAM_FOUND_MAX))
			return false;
		append_failure(out, failure);
	}
	if (count < failures->len)
		g_string_append_printf(out, "more %u\n", failures->len - count);
	return true;
}

GString *program_reply(const struct program_result *result)
{
	g_autoptr(GString) out = NULL;
	bool good;

	if (result->error < 0)
		return errors_text(result);
	out = g_string_new(NULL);
	g_string_append_printf(out, "%s %" G_GUINT64_FORMAT "\n",
			       result->succeeded ? "SUCCESS" : "FAILURE", result->revision);
	good = append_failures(out, result->failures);
	for (guint i = 0; good && result->outputs && i < result->outputs->len; i++)
		good = append_output(out, &g_array_index(result->outputs, struct output, i));
	return good ? g_steal_pointer(&out) : NULL;
}
