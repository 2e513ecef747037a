/* The reply to a program as one JSON object:
 *
 *   {"status":"success","revision":7,"failed":[],"results":[
 *     {"op":"get","count":1,"keys":[{"key":"a","mod_revision":3,"length":2,"value":"x\n"}]}]}
 *   {"status":"failure","revision":7,"failed":[
 *     {"line":1,"target":"value","key":"a","found":"x\n","length":2,"only_newline":true}],
 *     "more":0,"results":[]}
 *   {"status":"error","errors":[{"line":1,"column":1,"text":"..."}]}
 *
 * "found" of a value is null where there is none, and its beginning where "length" is more;
 * "only_newline" stands only where it is true; "more" compares failed that are not in
 * "failed". Strings that are no valid UTF-8 come as base64 and their names end in "_base64". */
#include "txn/program.h"

#include <stdio.h>
#include <string.h>

/* ---- Strings --------------------------------------------------------------------- */

static void append_json_text(GString *out, const char *bytes, size_t size)
{
	g_string_append_c(out, '"');
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (c == '"' || c == '\\')
			g_string_append_printf(out, "\\%c", c);
		else if (c == '\n')
			g_string_append(out, "\\n");
		else if (c < 0x20 || c == 0x7f)
			g_string_append_printf(out, "\\u%04x", c);
		else
			g_string_append_c(out, (char)c);
	}
	g_string_append_c(out, '"');
}

/* Unlike g_utf8_validate, NUL is a character here: it has an escape. */
static bool is_text(const char *bytes, size_t size)
{
	while (size > 0) {
		const char *nul = memchr(bytes, '\0', size);
		size_t length = nul ? (size_t)(nul - bytes) : size;

		if (!g_utf8_validate(bytes, (gssize)length, NULL))
			return false;
		length = nul ? length + 1 : length;
		bytes += length;
		size -= length;
	}
	return true;
}

static void append_base64(GString *out, const char *bytes, size_t size)
{
	gsize start = out->len, end;
	gint state = 0, save = 0;

	g_string_set_size(out, start + (size / 3 + 1) * 4 + 4);
	end = start + g_base64_encode_step((const guchar *)bytes, size, FALSE, out->str + start,
					   &state, &save);
	end += g_base64_encode_close(FALSE, out->str + end, &state, &save);
	g_string_truncate(out, end);
}

/* "NAME":"..." or "NAME_base64":"..." */
static void append_member(GString *out, const char *name, const char *bytes, size_t size)
{
	if (is_text(bytes, size)) {
		g_string_append_printf(out, "\"%s\":", name);
		append_json_text(out, bytes, size);
		return;
	}
	g_string_append_printf(out, "\"%s_base64\":\"", name);
	append_base64(out, bytes, size);
	g_string_append_c(out, '"');
}

/* What else a member has, at most. */
#define MEMBER_BYTES 256

/* Room for members with `size` bytes of text: a byte becomes six at most. */
static bool reserve(GString *out, size_t size)
{
	return string_try_reserve(out, 6 * size + MEMBER_BYTES);
}

/* ---- Members --------------------------------------------------------------------- */

static void append_found_value(GString *out, GBytes *value)
{
	gsize size = 0;
	const char *bytes = value ? g_bytes_get_data(value, &size) : NULL;

	if (!value) {
		g_string_append(out, "\"found\":null");
		return;
	}
	append_member(out, "found", bytes ? bytes : "",
		      text_shorten(bytes, size, PROGRAM_FOUND_MAX));
	g_string_append_printf(out, ",\"length\":%zu", size);
}

static void append_failure(GString *out, const struct failure *failure)
{
	const struct compare *compare = failure->expected;

	g_string_append_printf(out, "{\"line\":%u,\"target\":\"%s\",", compare->line,
			       compare_target_name(compare->target));
	append_member(out, "key", failure->key, strlen(failure->key));
	g_string_append_c(out, ',');
	if (compare->target == COMPARE_VALUE)
		append_found_value(out, failure->found_value);
	else
		g_string_append_printf(out, "\"found\":%" G_GUINT64_FORMAT, failure->found);
	if (failure_is_newline(failure))
		g_string_append(out, ",\"only_newline\":true");
	g_string_append_c(out, '}');
}

static bool append_failures(GString *out, const GPtrArray *failures)
{
	guint count = MIN(failures->len, PROGRAM_FAILURES_MAX);

	g_string_append(out, ",\"failed\":[");
	for (guint i = 0; i < count; i++) {
		const struct failure *failure = failures->pdata[i];

		if (!reserve(out, strlen(failure->key) + PROGRAM_FOUND_MAX))
			return false;
		g_string_append(out, i ? "," : "");
		append_failure(out, failure);
	}
	g_string_append_printf(out, "],\"more\":%u", failures->len - count);
	return true;
}

static bool append_found(GString *out, const struct op *op, const struct found *found)
{
	gsize size = 0;
	const char *bytes = found->record->value ? g_bytes_get_data(found->record->value, &size) :
						   NULL;

	if (!reserve(out, strlen(found->key) + (op->flags & OP_KEYS_ONLY ? 0 : size)))
		return false;
	g_string_append_c(out, '{');
	append_member(out, "key", found->key, strlen(found->key));
	g_string_append_printf(out,
			       ",\"mod_revision\":%" G_GUINT64_FORMAT
			       ",\"length\":%" G_GUINT64_FORMAT,
			       found->record->mod_revision, found->record->size_bytes);
	if (!(op->flags & OP_KEYS_ONLY)) {
		g_string_append_c(out, ',');
		append_member(out, "value", bytes ? bytes : "", size);
	}
	g_string_append_c(out, '}');
	return true;
}

static bool append_output(GString *out, const struct output *output)
{
	const struct op *op = output->op;
	const char *list = op->kind == OP_GET ? "keys" : "previous";
	bool good = reserve(out, 0);

	if (!good)
		return false;
	g_string_append_printf(out, "{\"op\":\"%s\"", op_name(op));
	if (op_has_count(op))
		g_string_append_printf(out, ",\"count\":%" G_GUINT64_FORMAT, output->count);
	else if (op_has_number(op))
		g_string_append_printf(out, ",\"number\":%" G_GINT64_FORMAT, output->number);
	if (op->flags & OP_PREVIOUS || (op->kind == OP_GET && !(op->flags & OP_COUNT_ONLY))) {
		g_string_append_printf(out, ",\"%s\":[", list);
		for (guint i = 0; good && output->found && i < output->found->len; i++) {
			g_string_append(out, i ? "," : "");
			good = append_found(out, op, output->found->pdata[i]);
		}
		g_string_append_c(out, ']');
	}
	g_string_append_c(out, '}');
	return good;
}

GString *program_errors_json(const GString *errors)
{
	GString *out = g_string_new("{\"status\":\"error\",\"errors\":[");
	const char *at = errors->str;
	unsigned line, column;
	int length;

	for (; *at; at += strcspn(at, "\n"), at += *at == '\n') {
		if (sscanf(at, "ERROR %u:%u %n", &line, &column, &length) != 2)
			continue;
		g_string_append_printf(out, "%s{\"line\":%u,\"column\":%u,",
				       at == errors->str ? "" : ",", line, column);
		at += length;
		append_member(out, "text", at, strcspn(at, "\n"));
		g_string_append_c(out, '}');
	}
	return g_string_append(out, "]}\n");
}

GString *program_reply_json(const struct program_result *result)
{
	g_autoptr(GString) out = NULL;
	bool good;

	if (result->error < 0) {
		g_autoptr(GString) errors = program_reply(result);

		return program_errors_json(errors);
	}
	out = g_string_new(NULL);
	g_string_append_printf(out, "{\"status\":\"%s\",\"revision\":%" G_GUINT64_FORMAT,
			       result->succeeded ? "success" : "failure", result->revision);
	good = append_failures(out, result->failures);
	g_string_append(out, ",\"results\":[");
	for (guint i = 0; good && result->outputs && i < result->outputs->len; i++) {
		g_string_append(out, i ? "," : "");
		good = append_output(out, &g_array_index(result->outputs, struct output, i));
	}
	g_string_append(out, "]}\n");
	return good ? g_steal_pointer(&out) : NULL;
}
