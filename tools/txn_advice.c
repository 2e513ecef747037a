#include "tools/txn_advice.h"

#include "tools/command.h"

#include <stdio.h>
#include <string.h>

enum { CONFLICT_FIELDS = 9, MAX_PRINTED = 6 };

/* ---- conflicts ---------------------------------------------------------------------- */

static void conflict_free(void *data)
{
	struct txn_conflict *conflict = data;

	g_strfreev(conflict->fields);
	g_free(conflict);
}

static struct txn_conflict *parse_conflict(const char *line)
{
	char **fields = g_strsplit(line, "\t", CONFLICT_FIELDS);
	struct txn_conflict *conflict;

	if (g_strv_length(fields) != CONFLICT_FIELDS) {
		g_strfreev(fields);
		return NULL;
	}
	conflict = g_new(struct txn_conflict, 1);
	*conflict = (struct txn_conflict){
		.fields = fields,
		.kind = fields[0],
		.seen = fields[1],
		.found = fields[2],
		.author.time = fields[3],
		.author.uid = fields[4],
		.author.pid = fields[5],
		.author.command = fields[6],
		.author.message = fields[7],
		.key = fields[8],
	};
	return conflict;
}

int txn_conflicts_read(const struct txn_directory *txn, GPtrArray **ret)
{
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;
	int r = txn_directory_read(txn, "conflicts", &text);

	if (r < 0)
		return r;
	*ret = g_ptr_array_new_with_free_func(conflict_free);
	lines = g_strsplit(text, "\n", -1);
	for (char **line = lines; *line != NULL; line++) {
		struct txn_conflict *conflict = parse_conflict(*line);

		if (conflict != NULL)
			g_ptr_array_add(*ret, conflict);
	}
	return 0;
}

char *txn_conflict_describe(const struct txn_conflict *conflict)
{
	GString *text = g_string_new(NULL);

	g_string_printf(text, "seen at revision %s, found %s", conflict->seen, conflict->found);
	author_append(text, ", ", &conflict->author);
	return g_string_free(text, FALSE);
}

char *txn_advice_read_conflict(const struct txn_directory *txn)
{
	g_autofree char *line = NULL;
	char *advice;

	if (txn_directory_read(txn, "commit", &line) < 0)
		return g_strdup("conflict");
	advice = strstr(line, "; all in conflicts");
	if (advice != NULL)
		*advice = '\0';
	return g_steal_pointer(&line);
}

void txn_advice_print_others(const struct txn_directory *txn)
{
	g_autoptr(GPtrArray) conflicts = NULL;

	if (txn_conflicts_read(txn, &conflicts) < 0)
		return;
	for (guint i = 1; i < conflicts->len && i < MAX_PRINTED; i++) {
		const struct txn_conflict *conflict = g_ptr_array_index(conflicts, i);
		g_autofree char *description = txn_conflict_describe(conflict);

		fprintf(stderr, "  also %s %s: %s\n", conflict->kind, conflict->key, description);
	}
	if (conflicts->len > MAX_PRINTED)
		fprintf(stderr, "  and %u more\n", conflicts->len - MAX_PRINTED);
}

/* ---- What can be done --------------------------------------------------------------- */

/* For a shell, and as people would write it where that is enough. */
static char *quote(const char *path)
{
	size_t plain = strspn(path, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "/._-+,:@%=");

	return path[plain] == '\0' ? g_strdup(path) : g_shell_quote(path);
}

void txn_advice_print_kept(const struct mount *mount, const struct txn_directory *txn)
{
	g_autofree char *path = quote(txn->path);
	g_autofree char *point = quote(mount->point);
	g_autofree char *state = NULL;

	/* It may be over: then there is nothing left to look at. */
	if (txn_directory_read(txn, "commit", &state) < 0 || g_str_has_prefix(state, "over"))
		return;
	command_fail(0, "the transaction is kept: %s", txn->path);
	fprintf(stderr, "  to see what it wrote:    cat %s/writes\n", path);
	fprintf(stderr, "  to compare it with now:  diff -r %s/keys %s/keys\n", point, path);
	if (g_str_has_prefix(state, "conflict"))
		fprintf(stderr,
			"  to see what conflicts:   cat %s/conflicts\n"
			"  to commit it all the same, having looked:\n"
			"                           echo > %s/rebase && echo MESSAGE > %s/commit\n",
			path, path, path);
	else
		fprintf(stderr, "  to commit it:            echo MESSAGE > %s/commit\n", path);
	fprintf(stderr, "  to drop it:              rmdir %s\n", path);
}
