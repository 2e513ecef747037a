/* Records in memory and as lines: one line for the record, then one for each event of it,
 * fields separated by a TAB. */
#include "history.h"

#include <errno.h>
#include <string.h>

#define NUMBER "%" G_GUINT64_FORMAT

static const char *const call_names[] = { "read",   "stat",  "list",  "put",   "append",
					  "remove", "mkdir", "rmdir", "rename" };
static const char *const level_names[] = { "serializable-snapshot", "serializable", "snapshot",
					   "live" };
static const char *const outcome_names[] = { "committed", "conflict", "aborted",
					     "live",	  "cut off",  "not seen" };

G_STATIC_ASSERT(G_N_ELEMENTS(call_names) == CALL_COUNT);
G_STATIC_ASSERT(G_N_ELEMENTS(level_names) == LEVEL_COUNT);
G_STATIC_ASSERT(G_N_ELEMENTS(outcome_names) == OUTCOME_COUNT);

const char *call_name(enum call call)
{
	return call_names[call];
}

const char *level_name(enum level level)
{
	return level_names[level];
}

void escape_bytes(GString *out, const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (g_ascii_isprint(bytes[i]) && bytes[i] != '\\')
			g_string_append_c(out, bytes[i]);
		else
			g_string_append_printf(out, "\\%03o", (unsigned char)bytes[i]);
	}
}

/* ---- A record ------------------------------------------------------------------- */

void record_init(struct record *record)
{
	memset(record, 0, sizeof(*record));
	record->id = "";
	record->events = g_array_new(FALSE, FALSE, sizeof(struct event));
}

void record_done(struct record *record)
{
	g_array_unref(record->events);
}

static void record_free(void *data)
{
	record_done(data);
	g_free(data);
}

void record_add(struct record *record, const struct event *event)
{
	g_array_append_vals(record->events, event, 1);
}

struct event *record_event(const struct record *record, unsigned index)
{
	return &g_array_index(record->events, struct event, index);
}

bool record_has_changes(const struct record *record)
{
	for (unsigned i = 0; i < record->events->len; i++) {
		const struct event *event = record_event(record, i);

		/* A rename of a name to itself does nothing. */
		if (call_changes(event->call) && event->error == 0 &&
		    !(event->call == CALL_RENAME && strcmp(event->key, event->text) == 0))
			return true;
	}
	return false;
}

void record_write(const struct record *record, FILE *file)
{
	fprintf(file,
		"%u\t%u\t%s\t%d\t%d\t" NUMBER "\t" NUMBER "\t" NUMBER "\t" NUMBER "\t%d\t%s\t%u\n",
		record->process, record->sequence, record->kind, (int)record->level,
		(int)record->outcome, record->base, record->revision, record->floor,
		record->ceiling, (int)record->pid, record->id, record->events->len);
	for (unsigned i = 0; i < record->events->len; i++) {
		const struct event *event = record_event(record, i);

		fprintf(file, "%d\t%d\t%s\t%s\t%s\n", (int)event->call, event->error, event->key,
			event->text, event->result);
	}
}

static void describe_event(const struct event *event, GString *out)
{
	g_string_append_printf(out, "    %-6s %s", call_name(event->call), event->key);
	if (event->call == CALL_RENAME)
		g_string_append_printf(out, " to %s", event->text);
	else if (call_changes(event->call) && *event->text)
		g_string_append_printf(out, " '%s'", event->text);
	if (event->error)
		g_string_append_printf(out, ": %s\n", g_strerror(event->error));
	else if (call_changes(event->call))
		g_string_append_c(out, '\n');
	else
		g_string_append_printf(out, " = '%s'\n", event->result);
}

void record_describe(const struct record *record, GString *out)
{
	g_string_append_printf(out, "  process %u, number %u (%s, %s): %s", record->process,
			       record->sequence, record->kind, level_name(record->level),
			       outcome_names[record->outcome]);
	if (record->outcome == OUTCOME_LIVE)
		g_string_append_printf(out,
				       " at " NUMBER " (0: not known), between " NUMBER
				       " and " NUMBER "\n",
				       record->revision, record->floor, record->ceiling);
	else if (record->outcome == OUTCOME_COMMITTED)
		g_string_append_printf(out,
				       " " NUMBER ", base " NUMBER ", begun after " NUMBER "\n",
				       record->revision, record->base, record->floor);
	else
		g_string_append_printf(out, ", base " NUMBER ", begun after " NUMBER "\n",
				       record->base, record->floor);
	for (unsigned i = 0; i < record->events->len; i++)
		describe_event(record_event(record, i), out);
}

/* ---- A history ------------------------------------------------------------------ */

struct history *history_new(void)
{
	struct history *history = g_new0(struct history, 1);

	history->strings = g_string_chunk_new(1 << 20);
	history->records = g_ptr_array_new_with_free_func(record_free);
	return history;
}

/* The strings of a copy are those of the original, which lives longer. */
void history_free(struct history *history)
{
	if (!history)
		return;
	g_ptr_array_unref(history->records);
	if (history->strings)
		g_string_chunk_free(history->strings);
	g_free(history);
}

const char *history_string(struct history *history, const char *text)
{
	return g_string_chunk_insert_const(history->strings, text);
}

struct history *history_copy(const struct history *history)
{
	struct history *copy = g_new0(struct history, 1);

	copy->records = g_ptr_array_new_with_free_func(record_free);
	copy->first = history->first;
	copy->last = history->last;
	for (unsigned i = 0; i < history->records->len; i++) {
		const struct record *record = g_ptr_array_index(history->records, i);
		struct record *twin = g_memdup2(record, sizeof(*record));

		twin->events = g_array_copy(record->events);
		g_ptr_array_add(copy->records, twin);
	}
	return copy;
}

/* Cuts `line` at its TABs. True when there are exactly `count` fields. */
static bool split(char *line, char **fields, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char *end = strchr(line, i + 1 < count ? '\t' : '\n');

		if (!end)
			return false;
		*end = '\0';
		fields[i] = line;
		line = end + 1;
	}
	return *line == '\0';
}

static uint64_t number(const char *text)
{
	return g_ascii_strtoull(text, NULL, 10);
}

static bool read_event(struct history *history, struct record *record, char *line)
{
	char *fields[5];
	struct event event;

	if (!split(line, fields, G_N_ELEMENTS(fields)) || number(fields[0]) >= CALL_COUNT)
		return false;
	event.call = (enum call)number(fields[0]);
	event.error = (int)number(fields[1]);
	event.key = history_string(history, fields[2]);
	event.text = history_string(history, fields[3]);
	event.result = history_string(history, fields[4]);
	record_add(record, &event);
	return true;
}

/* The fields of a record's own line; *ret_events: how many lines follow. */
static bool read_head(struct history *history, struct record *record, char *line,
		      uint64_t *ret_events)
{
	char *fields[12];

	if (!split(line, fields, G_N_ELEMENTS(fields)) || number(fields[3]) >= LEVEL_COUNT ||
	    number(fields[4]) >= OUTCOME_COUNT)
		return false;
	record->process = (unsigned)number(fields[0]);
	record->sequence = (unsigned)number(fields[1]);
	record->kind = history_string(history, fields[2]);
	record->level = (enum level)number(fields[3]);
	record->outcome = (enum outcome)number(fields[4]);
	record->base = number(fields[5]);
	record->revision = number(fields[6]);
	record->floor = number(fields[7]);
	record->ceiling = number(fields[8]);
	record->pid = (pid_t)number(fields[9]);
	record->id = history_string(history, fields[10]);
	*ret_events = number(fields[11]);
	return true;
}

static int read_records(struct history *history, FILE *file, char **line, size_t *size)
{
	while (getline(line, size, file) > 0) {
		struct record *record = g_new0(struct record, 1);
		uint64_t events;

		record_init(record);
		g_ptr_array_add(history->records, record);
		if (!read_head(history, record, *line, &events))
			return -EINVAL;
		for (; events > 0; events--) {
			if (getline(line, size, file) <= 0 || !read_event(history, record, *line))
				return -EINVAL;
		}
	}
	return ferror(file) ? -EIO : 0;
}

int history_read(struct history *history, const char *path)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	int r;

	if (!file)
		return -errno;
	r = read_records(history, file, &line, &size);
	free(line);
	fclose(file);
	return r;
}
