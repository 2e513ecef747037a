/* First the revisions are shared out: a committed transaction knows its own, and so does a
 * live change whose writer looked. Those that are left belong to the live changes of the one
 * process that does not look, in the order in which it made them. Then all changes are
 * replayed by revision, and what changed nothing is compared with the states it may have
 * seen. */
#include "checker.h"

#include "invariants.h"
#include "tree.h"

#include <string.h>

#define NUMBER "%" G_GUINT64_FORMAT

enum { REPORTED_MOST = 10 };

struct checking {
	const struct history *history;
	struct verdict *verdict;
	struct tree *tree;
	GPtrArray *commits; /* struct record, of revision first + 1 + index; NULL: nobody's */
	GString *result;
	GString *said;
	GPtrArray *touched;
};

const char *complaint_name(enum complaint complaint)
{
	static const char *const names[] = {
		"revisions that are not exactly one commit's",
		"outcomes that do not fit what was done",
		"snapshots older than what was acknowledged before",
		"reads that do not fit the snapshot",
		"reads that were not so any more at the commit",
		"lost updates",
		"live calls that fit no state",
		"sums that do not hold",
	};

	G_STATIC_ASSERT(G_N_ELEMENTS(names) == COMPLAINT_COUNT);
	return names[complaint];
}

void verdict_init(struct verdict *verdict)
{
	memset(verdict, 0, sizeof(*verdict));
	verdict->report = g_string_new(NULL);
}

void verdict_done(struct verdict *verdict)
{
	g_string_free(verdict->report, TRUE);
}

static bool wants_more(const struct checking *checking)
{
	return checking->verdict->total < REPORTED_MOST;
}

/* `why` is one or more lines, indented. `record` may be NULL. */
static void complain(struct checking *checking, enum complaint complaint, const char *why,
		     const struct record *record)
{
	struct verdict *verdict = checking->verdict;

	if (wants_more(checking)) {
		g_string_append_printf(verdict->report, "%s:\n%s", complaint_name(complaint), why);
		if (record)
			record_describe(record, verdict->report);
	}
	verdict->counts[complaint]++;
	verdict->total++;
}

G_GNUC_PRINTF(4, 5)
static void complain_of(struct checking *checking, enum complaint complaint,
			const struct record *record, const char *format, ...)
{
	g_autofree char *why = NULL;
	va_list args;

	va_start(args, format);
	why = g_strdup_vprintf(format, args);
	va_end(args);
	complain(checking, complaint, why, record);
}

/* ---- Whose revisions ------------------------------------------------------------ */

static void take_revision(struct checking *checking, struct record *record)
{
	uint64_t first = checking->history->first, last = checking->history->last;
	uint64_t revision = record->revision;
	const struct record *other;

	if (revision <= record->floor || revision > last || revision <= first ||
	    (record->outcome == OUTCOME_LIVE && revision > record->ceiling)) {
		complain_of(checking, COMPLAINT_REVISION, record,
			    "  not a revision of its time; the last one is " NUMBER "\n", last);
		return;
	}
	other = g_ptr_array_index(checking->commits, revision - first - 1);
	if (other) {
		complain(checking, COMPLAINT_REVISION, "  the same revision as the next\n", other);
		complain(checking, COMPLAINT_REVISION, "  the same revision as the last\n", record);
		return;
	}
	g_ptr_array_index(checking->commits, revision - first - 1) = record;
}

static bool is_live_change(const struct record *record)
{
	return record->outcome == OUTCOME_LIVE && record_has_changes(record);
}

/* A commit of nothing reports its snapshot's revision. */
static bool has_revision(const struct record *record)
{
	return (record->outcome == OUTCOME_COMMITTED && record->revision != record->base) ||
	       (is_live_change(record) && record->revision != 0);
}

/* The revisions that nobody took, to the live changes in their order. */
static void share_remaining(struct checking *checking, const GPtrArray *unknown)
{
	uint64_t first = checking->history->first;
	unsigned next = 0;

	for (unsigned i = 0; i < checking->commits->len; i++) {
		uint64_t revision = first + 1 + i;
		struct record *record = NULL;

		if (g_ptr_array_index(checking->commits, i))
			continue;
		for (; next < unknown->len; next++) {
			record = g_ptr_array_index(unknown, next);
			if (revision <= record->ceiling)
				break;
			complain(checking, COMPLAINT_REVISION, "  no revision is left for\n",
				 record);
			record = NULL;
		}
		if (record && revision > record->floor) {
			g_ptr_array_index(checking->commits, i) = record;
			next++;
		} else {
			complain_of(checking, COMPLAINT_REVISION, NULL,
				    "  revision " NUMBER " is nobody's\n", revision);
		}
	}
	for (; next < unknown->len; next++)
		complain(checking, COMPLAINT_REVISION, "  no revision is left for\n",
			 g_ptr_array_index(unknown, next));
}

static void share_revisions(struct checking *checking)
{
	const GPtrArray *records = checking->history->records;
	g_autoptr(GPtrArray) unknown = g_ptr_array_new();

	g_ptr_array_set_size(checking->commits,
			     (int)(checking->history->last - checking->history->first));
	for (unsigned i = 0; i < records->len; i++) {
		struct record *record = g_ptr_array_index(records, i);

		if (has_revision(record))
			take_revision(checking, record);
		else if (is_live_change(record))
			g_ptr_array_add(unknown, record);
	}
	share_remaining(checking, unknown);
}

/* ---- One record against one state ----------------------------------------------- */

/* Runs the record's calls on the state of `revision`, up to the first that comes out
 * otherwise than the record says. Its number, with what came out in checking->result; -1:
 * there is none. */
static int replay(struct checking *checking, const struct record *record, uint64_t revision,
		  int *ret_error)
{
	tree_view(checking->tree, revision);
	for (unsigned i = 0; i < record->events->len; i++) {
		const struct event *event = record_event(record, i);
		int error = tree_call(checking->tree, event, checking->result);

		if (error != event->error || (!call_changes(event->call) && error == 0 &&
					      strcmp(checking->result->str, event->result) != 0)) {
			*ret_error = error;
			return (int)i;
		}
	}
	return -1;
}

/* The changes that the record says were done, whatever else it says: after an anomaly the
 * model shall go on as the store did. */
static void replay_changes(struct checking *checking, const struct record *record,
			   uint64_t revision)
{
	tree_view(checking->tree, revision);
	for (unsigned i = 0; i < record->events->len; i++) {
		const struct event *event = record_event(record, i);

		if (call_changes(event->call) && event->error == 0)
			tree_call(checking->tree, event, checking->result);
	}
}

/* Leaves the view with the record's changes. */
static void check_state(struct checking *checking, const struct record *record, uint64_t revision,
			enum complaint complaint)
{
	int error, at = replay(checking, record, revision, &error);
	const struct event *event;

	if (at < 0)
		return;
	event = record_event(record, (unsigned)at);
	complain_of(checking, complaint, record,
		    "  at revision " NUMBER " %s %s gives %s%s%s, not what call %d of this gave\n",
		    revision, call_name(event->call), event->key, error ? g_strerror(error) : "'",
		    error ? "" : checking->result->str, error ? "" : "'", at + 1);
	replay_changes(checking, record, revision);
}

/* A name that was absent and is absent again is no update: so the contract. */
static bool is_absent_again(const struct tree_node *node, uint64_t base)
{
	return tree_content(node, base).type == CONTENT_ABSENT &&
	       tree_content(node, G_MAXUINT64).type == CONTENT_ABSENT;
}

static void check_lost_update(struct checking *checking, const struct record *record)
{
	const GPtrArray *written = tree_written(checking->tree);

	for (unsigned i = 0; i < written->len; i++) {
		const struct tree_node *node = g_ptr_array_index(written, i);

		if (tree_is_change(checking->tree, node) && tree_changed(node) > record->base &&
		    !is_absent_again(node, record->base))
			complain_of(checking, COMPLAINT_LOST_UPDATE, record,
				    "  %s was changed at revision " NUMBER "\n", node->key,
				    tree_changed(node));
	}
}

static void check_floor(struct checking *checking, const struct record *record)
{
	if (record->base < record->floor || record->base > checking->history->last)
		complain(checking, COMPLAINT_OUTDATED, "", record);
}

/* ---- The commits ---------------------------------------------------------------- */

/* Leaves the view with what is to be applied to the state before `revision`. */
static void check_commit(struct checking *checking, const struct record *record, uint64_t revision)
{
	check_floor(checking, record);
	if (record->base >= revision)
		complain(checking, COMPLAINT_OUTCOME, "  its snapshot is not older\n", record);
	check_state(checking, record, record->base, COMPLAINT_SNAPSHOT);
	if (record->level != LEVEL_SERIALIZABLE)
		check_lost_update(checking, record);
	if (record->level != LEVEL_SNAPSHOT)
		check_state(checking, record, revision - 1, COMPLAINT_STALE);
}

static void apply(struct checking *checking, const struct record *record, uint64_t revision)
{
	const GPtrArray *written = tree_written(checking->tree);
	bool changed = false;

	g_ptr_array_set_size(checking->touched, 0);
	for (unsigned i = 0; i < written->len; i++) {
		g_ptr_array_add(checking->touched, g_ptr_array_index(written, i));
		changed |= tree_is_change(checking->tree, g_ptr_array_index(written, i));
	}
	if (!changed)
		complain(checking, COMPLAINT_OUTCOME, "  a revision without a change\n", record);
	tree_apply(checking->tree, revision);
	g_string_truncate(checking->said, 0);
	invariants_check(checking->tree, checking->touched, revision, checking->said);
	if (checking->said->len > 0)
		complain(checking, COMPLAINT_INVARIANT, checking->said->str, record);
}

static void check_commits(struct checking *checking)
{
	for (unsigned i = 0; i < checking->commits->len; i++) {
		const struct record *record = g_ptr_array_index(checking->commits, i);
		uint64_t revision = checking->history->first + 1 + i;

		if (!record)
			continue;
		if (record->outcome == OUTCOME_LIVE)
			check_state(checking, record, revision - 1, COMPLAINT_LIVE);
		else
			check_commit(checking, record, revision);
		apply(checking, record, revision);
	}
}

/* ---- What made no revision ------------------------------------------------------ */

static bool view_has_changes(const struct checking *checking)
{
	const GPtrArray *written = tree_written(checking->tree);

	for (unsigned i = 0; i < written->len; i++) {
		if (tree_is_change(checking->tree, g_ptr_array_index(written, i)))
			return true;
	}
	return false;
}

static void check_unchanging(struct checking *checking, const struct record *record)
{
	check_floor(checking, record);
	check_state(checking, record, record->base, COMPLAINT_SNAPSHOT);
	if (record->outcome == OUTCOME_COMMITTED && view_has_changes(checking))
		complain(checking, COMPLAINT_OUTCOME, "  changes without a revision\n", record);
}

/* A live call that changed nothing: some state of its time explains it. */
static void check_live(struct checking *checking, const struct record *record)
{
	int error;

	for (uint64_t revision = record->floor; revision <= record->ceiling; revision++) {
		if (replay(checking, record, revision, &error) < 0)
			return;
	}
	complain_of(checking, COMPLAINT_LIVE, record,
		    "  no state from revision " NUMBER " to " NUMBER "\n", record->floor,
		    record->ceiling);
}

static void check_others(struct checking *checking)
{
	const GPtrArray *records = checking->history->records;

	for (unsigned i = 0; i < records->len; i++) {
		const struct record *record = g_ptr_array_index(records, i);

		if (has_revision(record) || is_live_change(record))
			continue;
		if (record->outcome == OUTCOME_LIVE)
			check_live(checking, record);
		else
			check_unchanging(checking, record);
	}
}

void check_history(const struct history *history, struct verdict *verdict)
{
	struct checking checking = {
		.history = history,
		.verdict = verdict,
		.tree = tree_new(),
		.commits = g_ptr_array_new(),
		.result = g_string_new(NULL),
		.said = g_string_new(NULL),
		.touched = g_ptr_array_new(),
	};

	share_revisions(&checking);
	check_commits(&checking);
	check_others(&checking);
	tree_free(checking.tree);
	g_ptr_array_unref(checking.commits);
	g_ptr_array_unref(checking.touched);
	g_string_free(checking.result, TRUE);
	g_string_free(checking.said, TRUE);
}
