#include "tools/export_line.h"

#include "tools/json.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#define FORMAT 1

static const char *const type_names[] = {
	[RECORD_VALUE] = "value",
	[RECORD_DIRECTORY] = "directory",
	[RECORD_SYMLINK] = "symlink",
};

void export_line_clear(struct export_line *line)
{
	g_free(line->path);
	g_clear_pointer(&line->value, g_bytes_unref);
	*line = (struct export_line){ 0 };
}

/* ---- Writing -------------------------------------------------------------------- */

/* "name":"text", or "name_base64":"..." */
static void append_bytes(GString *out, const char *name, const char *bytes, size_t size)
{
	if (g_utf8_validate(bytes, (gssize)size, NULL)) {
		g_autofree char *text = g_strndup(bytes, size);

		g_string_append_printf(out, "\"%s\":", name);
		json_append_string(out, text);
	} else {
		g_autofree char *text = g_base64_encode((const guchar *)bytes, size);

		g_string_append_printf(out, "\"%s_base64\":\"", name);
		g_string_append(out, text);
		g_string_append_c(out, '"');
	}
}

void export_head_append(const struct export_head *head, GString *out)
{
	g_string_append_printf(out, "{\"commitfs_export\":%d,\"store_id\":", FORMAT);
	json_append_string(out, head->store_id);
	g_string_append_printf(out, ",\"revision\":%" PRIu64 "}\n", head->revision);
}

void export_line_append(const struct export_line *line, GString *out)
{
	g_string_append_c(out, '{');
	append_bytes(out, "path", line->path, strlen(line->path));
	g_string_append_printf(out, ",\"type\":\"%s\",\"mode\":\"%04o\",\"uid\":%u,\"gid\":%u",
			       type_names[line->type], line->mode, line->uid, line->gid);
	/* That of the root is the time of the last change below it, wherever it is. */
	if (*line->path)
		g_string_append_printf(out, ",\"mtime\":\"%" PRId64 ".%09ld\"",
				       (int64_t)line->mtime.tv_sec, line->mtime.tv_nsec);
	g_string_append_printf(out,
			       ",\"create_revision\":%" PRIu64 ",\"mod_revision\":%" PRIu64
			       ",\"version\":%" PRIu64,
			       line->create_revision, line->mod_revision, line->version);
	if (line->value) {
		gsize size;
		const char *bytes = g_bytes_get_data(line->value, &size);

		g_string_append_c(out, ',');
		append_bytes(out, line->type == RECORD_SYMLINK ? "target" : "value",
			     bytes ? bytes : "", size);
	}
	g_string_append(out, "}\n");
}

/* ---- Reading -------------------------------------------------------------------- */

/* An object, and the first thing that is wrong with it. */
struct parse {
	json_t *object;
	char *error; /* NULL: nothing so far */
	size_t read; /* members that were asked for and there */
};

static void complain(struct parse *parse, char *error)
{
	if (parse->error)
		g_free(error);
	else
		parse->error = error;
}

static json_t *member(struct parse *parse, const char *name)
{
	json_t *found = json_object_get(parse->object, name);

	parse->read += found != NULL;
	return found;
}

static uint64_t read_number(struct parse *parse, const char *name, uint64_t max)
{
	json_t *found = member(parse, name);

	if (json_is_integer(found) && json_integer_value(found) >= 0 &&
	    (uint64_t)json_integer_value(found) <= max)
		return (uint64_t)json_integer_value(found);
	complain(parse,
		 g_strdup_printf("\"%s\" is missing or no number from 0 to %" PRIu64, name, max));
	return 0;
}

static const char *read_string(struct parse *parse, const char *name)
{
	json_t *found = member(parse, name);

	if (json_is_string(found))
		return json_string_value(found);
	complain(parse, g_strdup_printf("\"%s\" is missing or no text", name));
	return "";
}

/* Of "name" or "name_base64". */
static GBytes *read_bytes(struct parse *parse, const char *name)
{
	g_autofree char *encoded_name = g_strconcat(name, "_base64", NULL);
	json_t *encoded = member(parse, encoded_name);
	json_t *text;
	guchar *bytes;
	gsize size;

	if (!encoded) {
		text = member(parse, name);
		if (!json_is_string(text)) {
			complain(parse, g_strdup_printf("\"%s\" is missing or no text", name));
			return g_bytes_new(NULL, 0);
		}
		return g_bytes_new(json_string_value(text), json_string_length(text));
	}
	if (!json_is_string(encoded) || json_string_length(encoded) % 4 != 0 ||
	    strspn(json_string_value(encoded),
		   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") !=
		    json_string_length(encoded)) {
		complain(parse, g_strdup_printf("\"%s\" is no base64", encoded_name));
		return g_bytes_new(NULL, 0);
	}
	bytes = g_base64_decode(json_string_value(encoded), &size);
	return g_bytes_new_take(bytes, size);
}

static char *read_path(struct parse *parse)
{
	g_autoptr(GBytes) bytes = read_bytes(parse, "path");
	gsize size;
	const char *data = g_bytes_get_data(bytes, &size);
	g_autofree char *path = g_strndup(data ? data : "", size);

	if (strlen(path) != size || key_check(path) < 0)
		complain(parse, g_strdup("\"path\" is no key"));
	return g_steal_pointer(&path);
}

static enum record_type read_type(struct parse *parse)
{
	const char *text = read_string(parse, "type");

	for (enum record_type type = RECORD_VALUE; type <= RECORD_SYMLINK; type++) {
		if (strcmp(text, type_names[type]) == 0)
			return type;
	}
	complain(parse, g_strdup("\"type\" is none of value, directory, symlink"));
	return RECORD_VALUE;
}

static uint32_t read_mode(struct parse *parse)
{
	const char *text = read_string(parse, "mode");
	guint64 mode = 0;

	if (!g_ascii_string_to_unsigned(text, 8, 0, 07777, &mode, NULL))
		complain(parse, g_strdup("\"mode\" is no octal number from 0000 to 7777"));
	return (uint32_t)mode;
}

/* As far as nanoseconds of 64 bits reach: what a store keeps, 1677 to 2262. */
static struct timespec read_time(struct parse *parse)
{
	g_auto(GStrv) parts = g_strsplit(read_string(parse, "mtime"), ".", 2);
	guint64 rest = 0;
	const gint64 most = G_MAXINT64 / 1000000000;
	gint64 seconds = 0;

	if (g_strv_length(parts) != 2 || strlen(parts[1]) != 9 ||
	    !g_ascii_string_to_signed(parts[0], 10, -most - 1, most, &seconds, NULL) ||
	    !g_ascii_string_to_unsigned(parts[1], 10, 0, 999999999, &rest, NULL))
		complain(parse, g_strdup("\"mtime\" is no time as SECONDS.NANOSECONDS"));
	return (struct timespec){ .tv_sec = seconds, .tv_nsec = (long)rest };
}

/* What is wrong is told with a piece of the input, which may hold anything. */
static char *explain_syntax(const json_error_t *error)
{
	g_autoptr(GString) escaped = g_string_new(NULL);

	text_append_escaped(escaped, error->text);
	return g_strdup_printf("it is no JSON: %s, at byte %d", escaped->str, error->position);
}

static bool parse_begin(struct parse *parse, const char *text, size_t size, char **ret_error)
{
	json_error_t error;

	*parse = (struct parse){ 0 };
	parse->object = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
	if (!parse->object)
		*ret_error = explain_syntax(&error);
	else if (!json_is_object(parse->object))
		*ret_error = g_strdup("it is no JSON object");
	if (json_is_object(parse->object))
		return true;
	json_decref(parse->object);
	return false;
}

static bool parse_end(struct parse *parse, char **ret_error)
{
	if (parse->read < json_object_size(parse->object))
		complain(parse, g_strdup("it has members that no such line has"));
	json_decref(parse->object);
	*ret_error = parse->error;
	return !parse->error;
}

bool export_head_parse(const char *text, size_t size, struct export_head *ret, char **ret_error)
{
	struct export_head head = { 0 };
	const char *store_id;
	struct parse parse;
	uint64_t format;

	if (!parse_begin(&parse, text, size, ret_error))
		return false;
	if (!json_object_get(parse.object, "commitfs_export"))
		complain(&parse, g_strdup("it does not begin as an export does"));
	format = read_number(&parse, "commitfs_export", INT32_MAX);
	if (format > FORMAT)
		complain(&parse, g_strdup_printf("it has format %" PRIu64
						 ", this release knows %d; use a newer release",
						 format, FORMAT));
	store_id = read_string(&parse, "store_id");
	if (!g_uuid_string_is_valid(store_id))
		complain(&parse, g_strdup("\"store_id\" is no UUID"));
	g_strlcpy(head.store_id, store_id, sizeof(head.store_id));
	head.revision = read_number(&parse, "revision", INT64_MAX);
	if (!parse_end(&parse, ret_error))
		return false;
	*ret = head;
	return true;
}

static void read_content(struct parse *parse, struct export_line *line)
{
	gsize size;
	const char *bytes;

	if (line->type == RECORD_DIRECTORY)
		return;
	line->value = read_bytes(parse, line->type == RECORD_SYMLINK ? "target" : "value");
	bytes = g_bytes_get_data(line->value, &size);
	if (line->type == RECORD_SYMLINK && (size == 0 || memchr(bytes, '\0', size)))
		complain(parse, g_strdup("\"target\" is nothing that a link can lead to"));
}

bool export_line_parse(const char *text, size_t size, struct export_line *ret, char **ret_error)
{
	struct export_line line = { 0 };
	struct parse parse;

	if (!parse_begin(&parse, text, size, ret_error))
		return false;
	line.path = read_path(&parse);
	line.type = read_type(&parse);
	line.mode = read_mode(&parse);
	line.uid = (uid_t)read_number(&parse, "uid", UINT32_MAX - 1);
	line.gid = (gid_t)read_number(&parse, "gid", UINT32_MAX - 1);
	if (*line.path)
		line.mtime = read_time(&parse);
	line.create_revision = read_number(&parse, "create_revision", INT64_MAX);
	line.mod_revision = read_number(&parse, "mod_revision", INT64_MAX);
	line.version = read_number(&parse, "version", INT64_MAX);
	read_content(&parse, &line);
	if (!*line.path && line.type != RECORD_DIRECTORY)
		complain(&parse, g_strdup("the root is no directory"));
	if (parse_end(&parse, ret_error)) {
		*ret = line;
		return true;
	}
	export_line_clear(&line);
	return false;
}
