/* The lines that import reads: what is accepted is written again, by export, as a line that
 * means the same; what is wrong with the others is told in words that end no line and do not
 * reach a terminal. */
#include "tools/export_line.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
	g_assert(text && *text && g_utf8_validate(text, -1, NULL));
	for (const char *c = text; *c; c = g_utf8_next_char(c)) {
		gunichar character = g_utf8_get_char(c);

		g_assert(character >= 0x20 && !(character >= 0x7f && character < 0xa0));
	}
}

static bool is_same(const struct export_line *a, const struct export_line *b)
{
	if (!a->value != !b->value || (a->value && !g_bytes_equal(a->value, b->value)))
		return false;
	return strcmp(a->path, b->path) == 0 && a->type == b->type && a->mode == b->mode &&
	       a->uid == b->uid && a->gid == b->gid && a->mtime.tv_sec == b->mtime.tv_sec &&
	       a->mtime.tv_nsec == b->mtime.tv_nsec && a->create_revision == b->create_revision &&
	       a->mod_revision == b->mod_revision && a->version == b->version;
}

/* One line of JSON, and nothing that reaches a terminal. */
static void check_line(const GString *line)
{
	g_autofree char *text = g_strndup(line->str, line->len - 1);

	g_assert(line->str[line->len - 1] == '\n' && strlen(text) == line->len - 1);
	g_assert(g_utf8_validate(text, -1, NULL));
	for (const char *c = text; *c; c++)
		g_assert((guchar)*c >= 0x20 && *c != 0x7f);
}

static void check_accepted(const struct export_line *line)
{
	g_autoptr(GString) written = g_string_new(NULL), again = g_string_new(NULL);
	g_autofree char *error = NULL;
	struct export_line read = { 0 };

	g_assert(key_check(line->path) == 0);
	g_assert(line->type >= RECORD_VALUE && line->type <= RECORD_SYMLINK);
	g_assert(line->mode <= 07777 && line->uid != (uid_t)-1 && line->gid != (gid_t)-1);
	g_assert((line->value == NULL) == (line->type == RECORD_DIRECTORY));
	export_line_append(line, written);
	check_line(written);
	g_assert(export_line_parse(written->str, written->len, &read, &error));
	g_assert(is_same(line, &read));
	export_line_append(&read, again);
	g_assert(strcmp(written->str, again->str) == 0);
	export_line_clear(&read);
}

static void check_key(const char *text, size_t size)
{
	g_autofree char *error = NULL;
	struct export_line line = { 0 };

	if (!export_line_parse(text, size, &line, &error)) {
		check_text(error);
		return;
	}
	g_assert(!error);
	check_accepted(&line);
	export_line_clear(&line);
}

static void check_head(const char *text, size_t size)
{
	g_autoptr(GString) written = g_string_new(NULL);
	g_autofree char *error = NULL;
	struct export_head head = { 0 }, read = { 0 };

	if (!export_head_parse(text, size, &head, &error)) {
		check_text(error);
		return;
	}
	g_assert(!error);
	check_text(head.store_id);
	export_head_append(&head, written);
	check_line(written);
	g_assert(export_head_parse(written->str, written->len, &read, &error));
	g_assert(strcmp(read.store_id, head.store_id) == 0 && read.revision == head.revision);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* As getline(3) has it: a buffer of that size, and a zero behind it. */
	g_autofree char *text = g_malloc0(size + 1);

	memcpy(text, data, size);
	check_head(text, size);
	check_key(text, size);
	return 0;
}
