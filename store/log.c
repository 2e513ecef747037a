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

static void append_text(GByteArray *bytes, const char *text)
{
	guint8 length[sizeof(uint16_t)];
	size_t size = text ? strlen(text) : 0;

	size = MIN(size, UINT16_MAX);
	encode_u16(length, (uint16_t)size);
	g_byte_array_append(bytes, length, sizeof(length));
	g_byte_array_append(bytes, (const guint8 *)text, (guint)size);
}

static void append_change(GByteArray *bytes, const struct change *change)
{
	guint8 kind = (guint8)change->kind;

	g_byte_array_append(bytes, &kind, 1);
	append_text(bytes, change->key);
}

GBytes *log_encode(const struct log_entry *entry)
{
	GByteArray *bytes = g_byte_array_new();
	guint8 head[LOG_NUMBERS_SIZE];
	guint8 *at = head;

	at = encode_u8(at, LOG_FORMAT);
	at = encode_u8(at, 0);
	at = encode_u64(at, (uint64_t)entry->time_ns);
	at = encode_u32(at, entry->uid);
	at = encode_u32(at, entry->gid);
	at = encode_u32(at, (uint32_t)entry->pid);
	at = encode_u64(at, entry->line_offset);
	at = encode_u32(at, entry->line_size);
	at = encode_u64(at, entry->clock_revision);
	g_assert(at == head + sizeof(head));
	g_byte_array_append(bytes, head, sizeof(head));
	append_text(bytes, entry->id);
	append_text(bytes, entry->command);
	append_text(bytes, entry->message);
	for (guint i = 0; i < entry->changes->len; i++) {
		const struct change *change = entry->changes->pdata[i];

		if (change->kind != CHANGE_TOUCH)
			append_change(bytes, change);
	}
	return g_byte_array_free_to_bytes(bytes);
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
