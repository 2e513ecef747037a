/* A transaction is found by its id, behind the snapshot of its round: rounds share the id. A
 * live call has none: its process made one call at a time, and had read the store's revision
 * just before, so that what the log has of it after that revision is this call. */
#include "deaths.h"

#include "worker.h"

#include <errno.h>
#include <string.h>

#define NUMBER "%" G_GUINT64_FORMAT

enum { LOG_ID, LOG_REVISION, LOG_PID = 4, LOG_FIELDS = 8 };

struct line {
	char *id;
	uint64_t revision;
	pid_t pid;
};

static void clear_line(gpointer data)
{
	g_free(((struct line *)data)->id);
}

static int parse_log(const char *text, GArray *lines)
{
	g_auto(GStrv) all = g_strsplit(text, "\n", -1);

	for (unsigned i = 0; all[i] && *all[i]; i++) {
		g_auto(GStrv) fields = g_strsplit(all[i], "\t", LOG_FIELDS);
		struct line line;

		if (g_strv_length(fields) != LOG_FIELDS)
			return -EINVAL;
		line.id = g_strdup(fields[LOG_ID]);
		line.revision = g_ascii_strtoull(fields[LOG_REVISION], NULL, 10);
		line.pid = (pid_t)g_ascii_strtoll(fields[LOG_PID], NULL, 10);
		g_array_append_val(lines, line);
		if (line.revision != i + 1) {
			printf("the log has revision " NUMBER " where %u should be\n",
			       line.revision, i + 1);
			return -EUCLEAN;
		}
	}
	return 0;
}

/* 0: it is not there. Up to `last`: behind that the number of its process may be another's. */
static uint64_t find(const GArray *lines, const struct record *record, uint64_t last)
{
	for (unsigned i = 0; i < lines->len; i++) {
		const struct line *line = &g_array_index(lines, struct line, i);

		if (record->level == LEVEL_LIVE ?
			    line->pid == record->pid && line->revision > record->floor &&
				    line->revision <= last :
			    line->revision > record->base && strcmp(line->id, record->id) == 0)
			return line->revision;
	}
	return 0;
}

/* False: as if it had not been. */
static bool resolve(const GArray *lines, struct record *record, uint64_t last)
{
	uint64_t revision = find(lines, record, last);
	bool answered = record->outcome == OUTCOME_UNSEEN;

	record->revision = revision;
	if (record->level == LEVEL_LIVE) {
		record->outcome = OUTCOME_LIVE;
		record->ceiling = last;
		return revision || answered;
	}
	/* Answered and not found: it made no revision, or is lost, which the checker tells
	 * from what it did. */
	if (!revision)
		record->revision = record->base;
	record->outcome = revision || answered ? OUTCOME_COMMITTED : OUTCOME_ABORTED;
	return true;
}

/* The store's revision after the death that cut off the record at `index`. */
static uint64_t revision_after(const struct history *history, unsigned index)
{
	for (; index < history->records->len; index++) {
		const struct record *record = g_ptr_array_index(history->records, index);

		if (strcmp(record->kind, DUMP_KIND) == 0)
			return record->base;
	}
	return history->last;
}

int deaths_resolve(struct history *history, const char *point)
{
	g_autofree char *path = g_build_filename(point, "log", NULL);
	g_autoptr(GArray) lines = g_array_new(FALSE, FALSE, sizeof(struct line));
	unsigned cut = 0, found = 0, unseen = 0;
	g_autofree char *text = NULL;
	int r;

	g_array_set_clear_func(lines, clear_line);
	if (!g_file_get_contents(path, &text, NULL, NULL))
		return -EIO;
	r = parse_log(text, lines);
	for (unsigned i = 0; r == 0 && i < history->records->len;) {
		struct record *record = g_ptr_array_index(history->records, i);
		bool kept = true;

		cut += record->outcome == OUTCOME_CUT;
		unseen += record->outcome == OUTCOME_UNSEEN;
		if (record->outcome == OUTCOME_CUT || record->outcome == OUTCOME_UNSEEN) {
			uint64_t last = revision_after(history, i);

			found += record->outcome == OUTCOME_CUT && find(lines, record, last) != 0;
			kept = resolve(lines, record, last);
		}
		if (kept)
			i++;
		else
			g_ptr_array_remove_index(history->records, i);
	}
	if (r == 0)
		printf("%u revisions in the log without a gap; %u calls cut off, %u of them "
		       "committed; %u acknowledged while it died\n",
		       lines->len, cut, found, unseen);
	return r;
}
