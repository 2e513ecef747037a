/* Messages take one line each. stderr while somebody sees it: until the mount answers, or
 * for good in the foreground. Where stderr leads to the journal each line begins with its
 * level, as sd-daemon(3) has it; the journal knows the rest. */
#include "tools/log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

static const struct {
	const char *word;
	GLogLevelFlags level; /* the least grave that is shown */
} levels[] = {
	{ "error", G_LOG_LEVEL_CRITICAL },
	{ "warning", G_LOG_LEVEL_WARNING },
	{ "info", G_LOG_LEVEL_INFO },
	{ "debug", G_LOG_LEVEL_DEBUG },
};

static GLogLevelFlags log_level; /* set once, before there are threads */
static gint syslog_used;	 /* atomic */

int log_parse_level(const char *word, GLogLevelFlags *ret)
{
	for (guint i = 0; i < G_N_ELEMENTS(levels); i++)
		if (strcmp(levels[i].word, word) == 0) {
			*ret = levels[i].level;
			return 0;
		}
	return -EINVAL;
}

static int syslog_priority(GLogLevelFlags level)
{
	if (level <= G_LOG_LEVEL_CRITICAL)
		return LOG_ERR;
	if (level <= G_LOG_LEVEL_WARNING)
		return LOG_WARNING;
	if (level <= G_LOG_LEVEL_MESSAGE)
		return LOG_NOTICE;
	return level <= G_LOG_LEVEL_INFO ? LOG_INFO : LOG_DEBUG;
}

/* Who started us says in JOURNAL_STREAM which file leads to the journal; stderr may have
 * been redirected since. */
static bool stderr_is_journal(void)
{
	const char *stream = g_getenv("JOURNAL_STREAM");
	g_autofree char *own = NULL;
	struct stat status;

	if (stream == NULL || fstat(STDERR_FILENO, &status) < 0)
		return false;
	own = g_strdup_printf("%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT, (guint64)status.st_dev,
			      (guint64)status.st_ino);
	return strcmp(stream, own) == 0;
}

/* A message that quotes a name must neither speak to the terminal nor forge a line: controls,
 * those of the direction of writing too, and what is no text become a question mark. */
static char *hide_controls(const char *text)
{
	GString *out = g_string_new(NULL);

	while (*text != '\0') {
		gunichar c = g_utf8_get_char_validated(text, -1);

		if (c == (gunichar)-1 || c == (gunichar)-2) {
			g_string_append_c(out, '?');
			text++;
			continue;
		}
		g_string_append_unichar(
			out,
			g_unichar_iscntrl(c) || g_unichar_type(c) == G_UNICODE_FORMAT ? '?' : c);
		text = g_utf8_next_char(text);
	}
	return g_string_free(out, FALSE);
}

void log_print(GLogLevelFlags level, const char *text)
{
	g_autofree char *safe = hide_controls(text);

	if (stderr_is_journal())
		fprintf(stderr, "<%d>%s\n", syslog_priority(level), safe);
	else
		fprintf(stderr, "commitfs: %s\n", safe);
}

static char *find_message(const GLogField *fields, gsize count)
{
	for (gsize i = 0; i < count; i++) {
		const char *value = fields[i].value;

		if (strcmp(fields[i].key, "MESSAGE") == 0)
			return fields[i].length < 0 ? g_strdup(value) :
						      g_strndup(value, (gsize)fields[i].length);
	}
	return g_strdup("");
}

static GLogWriterOutput write_message(GLogLevelFlags level, const GLogField *fields, gsize count,
				      gpointer data)
{
	g_autofree char *message = NULL;

	(void)data;
	/* A graver level is a smaller number. */
	if ((level & G_LOG_LEVEL_MASK) > log_level)
		return G_LOG_WRITER_HANDLED;
	message = find_message(fields, count);
	if (g_atomic_int_get(&syslog_used)) {
		g_autofree char *safe = hide_controls(message);

		syslog(syslog_priority(level & G_LOG_LEVEL_MASK), "%s", safe);
	} else
		log_print(level & G_LOG_LEVEL_MASK, message);
	return G_LOG_WRITER_HANDLED;
}

void log_start(GLogLevelFlags level)
{
	log_level = level;
	g_log_set_writer_func(write_message, NULL, NULL);
}

void log_to_syslog(void)
{
	openlog("commitfs", LOG_PID, LOG_DAEMON);
	g_atomic_int_set(&syslog_used, 1);
}
