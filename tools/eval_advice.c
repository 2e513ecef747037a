/* The lines that follow FAILURE are `compare LINE TARGET FOUND KEY`, see program_reply.c:
 * FOUND is a number, or of a value its length and the beginning of it in quotes, or a word. */
#include "tools/eval_advice.h"

#include "tools/command.h"
#include "tools/last_commit.h"

#include "txn/txn.h"

#include <stdio.h>
#include <string.h>

enum { MAX_PRINTED = 10 };

struct failed_compare {
	char *line, *target, *found;
	char *key; /* escaped */
};

static void failed_compare_done(struct failed_compare *failed)
{
	g_free(failed->line);
	g_free(failed->target);
	g_free(failed->found);
	g_free(failed->key);
}

/* Behind FOUND: a text in quotes may have blanks, and quotes behind a backslash. */
static const char *skip_found(const char *text)
{
	const char *quote = strchr(text, '"');
	const char *blank = strchr(text, ' ');

	if (blank == NULL || quote != blank + 1 || !g_ascii_isdigit(*text))
		return blank;
	for (text = quote + 1; *text != '\0' && *text != '"'; text++)
		if (*text == '\\' && text[1] != '\0')
			text++;
	return *text != '\0' ? strchr(text, ' ') : NULL;
}

static bool parse(const char *line, struct failed_compare *ret)
{
	g_auto(GStrv) words = g_strsplit(line, " ", 4);
	const char *end;

	if (g_strv_length(words) != 4 || strcmp(words[0], "compare") != 0)
		return false;
	end = skip_found(words[3]);
	if (end == NULL)
		return false;
	*ret = (struct failed_compare){
		.line = g_strdup(words[1]),
		.target = g_strdup(words[2]),
		.found = g_strndup(words[3], (gsize)(end - words[3])),
		.key = g_strdup(end + 1),
	};
	return true;
}

static void print_found(const struct failed_compare *failed)
{
	bool value = strcmp(failed->target, "value") == 0;
	const char *text = strchr(failed->found, '"');

	fprintf(stderr, "  line %s, %s: ", failed->line, failed->key);
	if (!value && strcmp(failed->found, "0") == 0)
		fputs("it is not there", stderr);
	else if (!value)
		fprintf(stderr, "its %s%s is %s", failed->target,
			strcmp(failed->target, "version") == 0 ? "" : " revision", failed->found);
	else if (text != NULL)
		fprintf(stderr, "its value is %s", text);
	else
		fprintf(stderr, "it is %s", failed->found);
}

static void print_compare(const struct mount *mount, const char *line)
{
	g_autofree char *key = NULL, *commit = NULL;
	struct failed_compare failed;

	if (!parse(line, &failed))
		return;
	print_found(&failed);
	if (text_parse_key(failed.key, strlen(failed.key), &key) == 0)
		commit = last_commit_describe(mount, key);
	if (commit != NULL)
		fprintf(stderr, "; %s", commit);
	fputc('\n', stderr);
	failed_compare_done(&failed);
}

void eval_advice_print(const struct mount *mount, const char *reply)
{
	g_auto(GStrv) lines = g_strsplit(reply, "\n", -1);

	if (!g_str_has_prefix(reply, "FAILURE "))
		return;
	command_fail(0,
		     "the compares did not hold at revision %s; what follows 'else' was done, "
		     "if anything",
		     lines[0] + strlen("FAILURE "));
	for (guint i = 1; i <= MAX_PRINTED && lines[i] != NULL; i++) {
		if (g_str_has_prefix(lines[i], "compare "))
			print_compare(mount, lines[i]);
		else if (strcmp(lines[i], "differs only by a final newline") == 0)
			fputs("    it differs only by a final newline, which echo(1) writes\n",
			      stderr);
		else
			break;
	}
	fprintf(stderr, "  to see more of a key: commitfs log --key KEY %s\n", mount->point);
}
