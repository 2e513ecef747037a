/* The log. An entry begins, like a record, with the version of its format and a byte of
 * flags; touched directories are not in it. */
#include "store/log.h"

#include "store/codec.h"

#include <errno.h>
#include <string.h>

#define LOG_FORMAT 2

static const char *const kind_names[] = {
	[CHANGE_PUT] = "put",	  [CHANGE_DELETE] = "delete",	[CHANGE_MKDIR] = "mkdir",
	[CHANGE_RMDIR] = "rmdir", [CHANGE_SYMLINK] = "symlink", [CHANGE_ATTR] = "attr",
	[CHANGE_TOUCH] = "touch",
};

const char *change_kind_name(enum change_kind kind)
{
	if (kind < CHANGE_PUT || kind > CHANGE_TOUCH)
		return "unknown";
	return kind_names[kind];
}

static void change_free(gpointer data)
{
	struct change *change = data;

	g_free(change->key);
	record_unref(change->before);
	record_unref(change->after);
	g_free(change);
}

struct log_entry *log_entry_new(void)
{
	struct log_entry *entry = g_new0(struct log_entry, 1);

	entry->changes = g_ptr_array_new_with_free_func(change_free);
	return entry;
}

void log_entry_free(struct log_entry *entry)
{
	if (!entry)
		return;
	g_free(entry->id);
	g_free(entry->command);
	g_free(entry->message);
	g_ptr_array_unref(entry->changes);
	g_free(entry);
}

void log_entry_add(struct log_entry *entry, enum change_kind kind, const char *key,
		   struct record *before, struct record *after)
{
	struct change *change = g_new0(struct change, 1);

	change->kind = kind;
	change->key = g_strdup(key);
	change->before = before ? record_ref(before) : NULL;
	change->after = after ? record_ref(after) : NULL;
	g_ptr_array_add(entry->changes, change);
}

char *log_copy_text(const char *text)
{
	return text ? g_strndup(text, LOG_TEXT_MAX) : g_strdup("");
}

/* ---- Lines ---------------------------------------------------------------------- */

static void append_field(GString *out, const char *text)
{
	text_append_escaped(out, *text ? text : "-");
	g_string_append_c(out, '\t');
}

void log_entry_format(const struct log_entry *entry, GString *out)
{
	guint keys = 0;

	for (guint i = 0; i < entry->changes->len; i++) {
		const struct change *change = entry->changes->pdata[i];

		keys += change->kind != CHANGE_TOUCH;
	}
	append_field(out, entry->id);
	g_string_append_printf(out, "%" G_GUINT64_FORMAT "\t", entry->revision);
	text_append_time(out, entry->time_ns);
	g_string_append_printf(out, "\t%u\t%d\t", entry->uid, entry->pid);
	append_field(out, entry->command);
	g_string_append_printf(out, "%u\t", keys);
	text_append_escaped(out, *entry->message ? entry->message : "-");
	g_string_append_c(out, '\n');
}

void log_place_next(struct log_place *place, struct log_entry *entry)
{
	g_autoptr(GString) line = g_string_sized_new(256);

	log_entry_format(entry, line);
	entry->line_offset = place->end;
	entry->line_size = (uint32_t)line->len;
	entry->clock_revision = entry->time_ns < place->time_ns ? entry->revision :
								  place->clock_revision;
	*place = log_place_after(entry);
}

struct log_place log_place_after(const struct log_entry *entry)
{
	return (struct log_place){ .end = entry->line_offset + entry->line_size,
				   .time_ns = entry->time_ns,
				   .clock_revision = entry->clock_revision };
}

/* ---- Encoding ------------------------------------------------------------------- */

static size_t text_size(const char *text)
{
	return text ? MIN(strlen(text), UINT16_MAX) : 0;
}

static guint8 *encode_text(guint8 *at, const char *text)
{
	size_t size = text_size(text);

	at = encode_u16(at, (uint16_t)size);
	if (size)
		memcpy(at, text, size);
	return at + size;
}

static size_t encoded_size(const struct log_entry *entry)
{
	size_t size = LOG_NUMBERS_SIZE + 3 * sizeof(uint16_t) + text_size(entry->id) +
		      text_size(entry->command) + text_size(entry->message);

	for (guint i = 0; i < entry->changes->len; i++) {
		const struct change *change = entry->changes->pdata[i];

		if (change->kind != CHANGE_TOUCH)
			size += 1 + sizeof(uint16_t) + text_size(change->key);
	}
	return size;
}

GBytes *log_encode(const struct log_entry *entry)
{
	size_t size = encoded_size(entry);
	guint8 *bytes = g_try_malloc(size);
	guint8 *at = bytes;

	if (!bytes)
		return NULL;
	at = encode_u8(at, LOG_FORMAT);
	at = encode_u8(at, 0);
	at = encode_u64(at, (uint64_t)entry->time_ns);
	at = encode_u32(at, entry->uid);
	at = encode_u32(at, entry->gid);
	at = encode_u32(at, (uint32_t)entry->pid);
	at = encode_u64(at, entry->line_offset);
	at = encode_u32(at, entry->line_size);
	at = encode_u64(at, entry->clock_revision);
	g_assert(at == bytes + LOG_NUMBERS_SIZE);
	at = encode_text(at, entry->id);
	at = encode_text(at, entry->command);
	at = encode_text(at, entry->message);
	for (guint i = 0; i < entry->changes->len; i++) {
		const struct change *change = entry->changes->pdata[i];

		if (change->kind == CHANGE_TOUCH)
			continue;
		at = encode_u8(at, (guint8)change->kind);
		at = encode_text(at, change->key);
	}
	g_assert(at == bytes + size);
	return g_bytes_new_take(bytes, size);
}

/* ---- Decoding ------------------------------------------------------------------- */

static char *read_text(struct reader *reader)
{
	size_t size = read_u16(reader);
	const guint8 *bytes = read_bytes(reader, size);

	return bytes ? g_strndup((const char *)bytes, size) : NULL;
}

static int read_change(struct reader *reader, struct log_entry *entry)
{
	enum change_kind kind = read_u8(reader);
	g_autofree char *key = read_text(reader);

	if (!key || kind < CHANGE_PUT || kind >= CHANGE_TOUCH)
		return -EIO;
	log_entry_add(entry, kind, key, NULL, NULL);
	return 0;
}

static int read_numbers(struct reader *reader, uint64_t revision, struct log_entry *ret)
{
	struct log_entry entry = { .revision = revision };

	if (read_u8(reader) != LOG_FORMAT || read_u8(reader) != 0)
		return -EIO;
	entry.time_ns = (int64_t)read_u64(reader);
	entry.uid = read_u32(reader);
	entry.gid = read_u32(reader);
	entry.pid = (pid_t)read_u32(reader);
	entry.line_offset = read_u64(reader);
	entry.line_size = read_u32(reader);
	entry.clock_revision = read_u64(reader);
	if (reader->failed)
		return -EIO;
	*ret = entry;
	return 0;
}

int log_decode_numbers(uint64_t revision, const void *data, size_t size, struct log_entry *ret)
{
	struct reader reader = reader_of(data, size);

	return read_numbers(&reader, revision, ret);
}

int log_decode(uint64_t revision, const void *data, size_t size, struct log_entry **ret)
{
	struct reader reader = reader_of(data, size);
	g_autoptr(log_entry) entry = log_entry_new();
	GPtrArray *changes = entry->changes;
	int r;

	r = read_numbers(&reader, revision, entry);
	entry->changes = changes;
	if (r < 0)
		return r;
	entry->id = read_text(&reader);
	entry->command = read_text(&reader);
	entry->message = read_text(&reader);
	if (reader.failed)
		return -EIO;
	while (reader.left > 0) {
		if (read_change(&reader, entry) < 0)
			return -EIO;
	}
	*ret = g_steal_pointer(&entry);
	return 0;
}
