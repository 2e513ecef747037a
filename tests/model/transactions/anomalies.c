/* Each sort is made as the fault that it stands for would leave it behind, not by writing
 * nonsense into a record: a transaction that missed a commit is moved to an older snapshot
 * and its reads are made those of that snapshot, so that every single read is right. */
#include "anomalies.h"

#include "checker.h"
#include "tree.h"

#include <stdio.h>
#include <string.h>

/* What an anomaly may need to know of the good history. */
struct spoiler {
	struct history *good;
	struct history *copy; /* this one is spoilt */
	struct tree *tree;    /* of the good one, all revisions */
	GPtrArray *commits;   /* struct record of the copy, by revision */
	GString *result;
};

/* ---- The good history, replayed ------------------------------------------------- */

static gint by_revision(gconstpointer a, gconstpointer b)
{
	const struct record *left = *(const struct record *const *)a;
	const struct record *right = *(const struct record *const *)b;

	return left->revision < right->revision ? -1 : left->revision > right->revision;
}

static bool is_change(const struct record *record)
{
	return (record->outcome == OUTCOME_COMMITTED || record->outcome == OUTCOME_LIVE) &&
	       record->revision > record->base && record_has_changes(record);
}

/* The live changes of unknown revision fill the gaps, in their order. */
static void order_commits(struct spoiler *spoiler)
{
	const GPtrArray *records = spoiler->copy->records;
	g_autoptr(GPtrArray) unknown = g_ptr_array_new();
	uint64_t revision = spoiler->copy->first;
	unsigned known, next = 0;

	for (unsigned i = 0; i < records->len; i++) {
		struct record *record = g_ptr_array_index(records, i);

		if (is_change(record))
			g_ptr_array_add(spoiler->commits, record);
		else if (record->outcome == OUTCOME_LIVE && record_has_changes(record))
			g_ptr_array_add(unknown, record);
	}
	g_ptr_array_sort(spoiler->commits, by_revision);
	known = spoiler->commits->len;
	for (unsigned i = 0; i < known || next < unknown->len;) {
		const struct record *record = i < known ? g_ptr_array_index(spoiler->commits, i) :
							  NULL;
		struct record *live;

		revision++;
		if (record && record->revision == revision) {
			i++;
			continue;
		}
		live = g_ptr_array_index(unknown, next++);
		live->revision = revision;
		g_ptr_array_add(spoiler->commits, live);
	}
	g_ptr_array_sort(spoiler->commits, by_revision);
}

/* Runs the calls of a record on the state of `revision`, and with `refit` makes what comes
 * out its results. */
static void run_record(struct spoiler *spoiler, struct record *record, uint64_t revision,
		       bool refit)
{
	tree_view(spoiler->tree, revision);
	for (unsigned i = 0; i < record->events->len; i++) {
		struct event *event = record_event(record, i);
		int error = tree_call(spoiler->tree, event, spoiler->result);

		if (!refit)
			continue;
		event->error = error;
		event->result = call_changes(event->call) ?
					"" :
					history_string(spoiler->good, spoiler->result->str);
	}
}

static void spoiler_init(struct spoiler *spoiler, struct history *good)
{
	spoiler->good = good;
	spoiler->copy = history_copy(good);
	spoiler->tree = tree_new();
	spoiler->commits = g_ptr_array_new();
	spoiler->result = g_string_new(NULL);
	order_commits(spoiler);
	for (unsigned i = 0; i < spoiler->commits->len; i++) {
		struct record *record = g_ptr_array_index(spoiler->commits, i);

		run_record(spoiler, record, record->revision - 1, false);
		tree_apply(spoiler->tree, record->revision);
	}
}

static void spoiler_done(struct spoiler *spoiler)
{
	history_free(spoiler->copy);
	tree_free(spoiler->tree);
	g_ptr_array_unref(spoiler->commits);
	g_string_free(spoiler->result, TRUE);
}

/* ---- Finding a place ------------------------------------------------------------ */

static struct record *commit_at(const struct spoiler *spoiler, unsigned index)
{
	return g_ptr_array_index(spoiler->commits, index);
}

static bool is_at(const struct record *record, enum level level)
{
	return record->outcome == OUTCOME_COMMITTED && record->level == level &&
	       strcmp(record->kind, "set up") != 0;
}

static bool writes(const struct record *record, const char *key)
{
	for (unsigned i = 0; i < record->events->len; i++) {
		const struct event *event = record_event(record, i);

		if (call_changes(event->call) && event->error == 0 &&
		    (strcmp(event->key, key) == 0 ||
		     (event->call == CALL_RENAME && strcmp(event->text, key) == 0)))
			return true;
	}
	return false;
}

static bool contents_equal(struct content a, struct content b)
{
	return a.type == b.type && (a.type != CONTENT_VALUE || strcmp(a.value, b.value) == 0);
}

/* The revision of the newest change of `key` up to `revision`, 0: none. */
static uint64_t last_change(struct spoiler *spoiler, const char *key, uint64_t revision)
{
	const struct tree_node *node = tree_find(spoiler->tree, key);

	for (; revision > spoiler->copy->first; revision--) {
		if (!contents_equal(tree_content(node, revision), tree_content(node, revision - 1)))
			return revision;
	}
	return 0;
}

/* The names of a directory, as text. */
static char *listing(struct spoiler *spoiler, const char *directory, uint64_t revision)
{
	const struct event event = { .call = CALL_LIST, .key = directory, .text = "" };

	tree_view(spoiler->tree, revision);
	tree_call(spoiler->tree, &event, spoiler->result);
	return g_strdup(spoiler->result->str);
}

static uint64_t last_listing_change(struct spoiler *spoiler, const char *directory,
				    uint64_t revision)
{
	for (; revision > spoiler->copy->first + 1; revision--) {
		g_autofree char *now = listing(spoiler, directory, revision);
		g_autofree char *before = listing(spoiler, directory, revision - 1);

		if (strcmp(now, before) != 0)
			return revision;
	}
	return 0;
}

/* Moves the transaction to an older snapshot: what it saw then, it saw rightly. True when it
 * still writes the same. */
static bool move_back(struct spoiler *spoiler, struct record *record, uint64_t base)
{
	g_autoptr(GArray) before = g_array_copy(record->events);

	run_record(spoiler, record, base, true);
	for (unsigned i = 0; i < before->len; i++) {
		const struct event *old = &g_array_index(before, struct event, i);

		if (call_changes(old->call) && record_event(record, i)->error != old->error) {
			g_array_unref(g_steal_pointer(&record->events));
			record->events = g_steal_pointer(&before);
			return false;
		}
	}
	record->base = base;
	record->floor = MIN(record->floor, base);
	return true;
}

/* ---- The anomalies. Each returns whether it found a place ------------------------ */

/* It read a value and wrote it, and never knew of the write in between. */
static bool lose_update(struct spoiler *spoiler, enum level level)
{
	for (unsigned i = spoiler->commits->len; i-- > 0;) {
		struct record *record = commit_at(spoiler, i);

		for (unsigned e = 0; is_at(record, level) && e < record->events->len; e++) {
			const struct event *event = record_event(record, e);
			uint64_t missed;

			if (event->call != CALL_READ || event->error || !writes(record, event->key))
				continue;
			missed = last_change(spoiler, event->key, record->revision - 1);
			if (missed > spoiler->copy->first + 1 &&
			    move_back(spoiler, record, missed - 1))
				return true;
		}
	}
	return false;
}

static bool lose_update_serializable(struct spoiler *spoiler)
{
	return lose_update(spoiler, LEVEL_SERIALIZABLE_SNAPSHOT);
}

static bool lose_update_snapshot(struct spoiler *spoiler)
{
	return lose_update(spoiler, LEVEL_SNAPSHOT);
}

/* None of the keys it wrote was changed after `missed`. */
static bool wrote_alone(struct spoiler *spoiler, const struct record *record, uint64_t missed)
{
	for (unsigned i = 0; i < record->events->len; i++) {
		const struct event *event = record_event(record, i);

		if (call_changes(event->call) &&
		    last_change(spoiler, event->key, record->revision - 1) >= missed)
			return false;
	}
	return true;
}

/* It read one key and wrote another, and what it read was changed in between. */
static bool skew_writes(struct spoiler *spoiler)
{
	for (unsigned i = spoiler->commits->len; i-- > 0;) {
		struct record *record = commit_at(spoiler, i);
		bool fits = is_at(record, LEVEL_SERIALIZABLE_SNAPSHOT) &&
			    strcmp(record->kind, "write skew") == 0;

		for (unsigned e = 0; fits && e < record->events->len; e++) {
			const struct event *event = record_event(record, e);
			uint64_t missed;

			if (event->call != CALL_READ || writes(record, event->key))
				continue;
			missed = last_change(spoiler, event->key, record->revision - 1);
			if (missed > spoiler->copy->first + 1 &&
			    wrote_alone(spoiler, record, missed) &&
			    move_back(spoiler, record, missed - 1))
				return true;
		}
	}
	return false;
}

/* It listed a directory, and an entry came or went in between. */
static bool show_phantom(struct spoiler *spoiler)
{
	for (unsigned i = spoiler->commits->len; i-- > 0;) {
		struct record *record = commit_at(spoiler, i);
		const struct event *event = record_event(record, 0);
		uint64_t missed;

		if (!is_at(record, LEVEL_SERIALIZABLE_SNAPSHOT) ||
		    strcmp(record->kind, "phantom") != 0 || event->call != CALL_LIST)
			continue;
		missed = last_listing_change(spoiler, event->key, record->revision - 1);
		if (missed > spoiler->copy->first + 1 && wrote_alone(spoiler, record, missed) &&
		    move_back(spoiler, record, missed - 1))
			return true;
	}
	return false;
}

/* It saw that a name was absent, and the name was created in between. */
static bool miss_creation(struct spoiler *spoiler)
{
	for (unsigned i = spoiler->commits->len; i-- > 0;) {
		struct record *record = commit_at(spoiler, i);
		const struct event *event = record_event(record, 0);
		uint64_t missed;

		if (!is_at(record, LEVEL_SERIALIZABLE_SNAPSHOT) ||
		    strcmp(record->kind, "absence") != 0 || writes(record, event->key))
			continue;
		missed = last_change(spoiler, event->key, record->revision - 1);
		if (missed > spoiler->copy->first + 1 && wrote_alone(spoiler, record, missed) &&
		    move_back(spoiler, record, missed - 1))
			return true;
	}
	return false;
}

/* The first record that read `key` without writing it before, not from `not_from`. */
static struct event *find_read(struct spoiler *spoiler, const char *key,
			       const struct record *not_from, enum outcome outcome)
{
	for (unsigned i = 0; i < spoiler->copy->records->len; i++) {
		struct record *record = g_ptr_array_index(spoiler->copy->records, i);

		if (record == not_from || record->outcome != outcome)
			continue;
		for (unsigned e = 0; e < record->events->len; e++) {
			struct event *event = record_event(record, e);

			if (call_changes(event->call))
				break;
			if (event->call == CALL_READ && event->error == 0 &&
			    strcmp(event->key, key) == 0)
				return event;
		}
	}
	return NULL;
}

/* Somebody read what a transaction wrote that never committed. */
static bool read_dirt(struct spoiler *spoiler, enum outcome reader)
{
	for (unsigned i = 0; i < spoiler->copy->records->len; i++) {
		struct record *record = g_ptr_array_index(spoiler->copy->records, i);
		bool gone = record->outcome == OUTCOME_CONFLICT ||
			    record->outcome == OUTCOME_ABORTED;

		for (unsigned e = 0; gone && e < record->events->len; e++) {
			const struct event *event = record_event(record, e);
			struct event *read;

			if (event->call != CALL_PUT || event->error)
				continue;
			read = find_read(spoiler, event->key, record, reader);
			if (read) {
				read->result = event->text;
				return true;
			}
		}
	}
	return false;
}

static bool read_dirt_committed(struct spoiler *spoiler)
{
	return read_dirt(spoiler, OUTCOME_COMMITTED);
}

static bool read_dirt_aborted(struct spoiler *spoiler)
{
	return read_dirt(spoiler, OUTCOME_ABORTED);
}

static bool read_dirt_live(struct spoiler *spoiler)
{
	return read_dirt(spoiler, OUTCOME_LIVE);
}

static struct record *find_kind(const struct spoiler *spoiler, const char *kind)
{
	for (unsigned i = 0; i < spoiler->copy->records->len; i++) {
		struct record *record = g_ptr_array_index(spoiler->copy->records, i);

		if (strcmp(record->kind, kind) == 0)
			return record;
	}
	return NULL;
}

/* An audit saw one account as a transfer left it and the other as it was before. */
static bool tear_seen(struct spoiler *spoiler)
{
	for (unsigned i = 0; i < spoiler->copy->records->len; i++) {
		struct record *audit = g_ptr_array_index(spoiler->copy->records, i);

		if (strcmp(audit->kind, "audit") != 0 || audit->outcome != OUTCOME_COMMITTED)
			continue;
		for (unsigned e = 1; e < audit->events->len; e++) {
			struct event *event = record_event(audit, e);
			uint64_t change = last_change(spoiler, event->key, audit->base);
			struct content before;

			before = tree_content(tree_find(spoiler->tree, event->key), change - 1);
			if (change <= spoiler->copy->first + 1 || before.type != CONTENT_VALUE)
				continue;
			event->result = before.value;
			return true;
		}
	}
	return false;
}

/* The states found at the end: of the newest write to one key nothing is there, though it
 * was acknowledged. With `torn` the commit wrote another key too, and that is there. */
static bool forget_write(struct spoiler *spoiler, bool torn)
{
	for (unsigned i = spoiler->commits->len; i-- > 0;) {
		const struct record *record = commit_at(spoiler, i);
		const struct event *event = record_event(record, record->events->len - 1);
		uint64_t last = spoiler->copy->last;
		struct content before;
		struct event *seen;

		if (event->call != CALL_PUT ||
		    last_change(spoiler, event->key, last) != record->revision ||
		    torn != (strcmp(record->kind, "transfer") == 0))
			continue;
		before = tree_content(tree_find(spoiler->tree, event->key), record->revision - 1);
		for (unsigned e = 0; before.type == CONTENT_VALUE; e++) {
			seen = record_event(find_kind(spoiler, "final state"), e);
			if (strcmp(seen->key, event->key) == 0) {
				seen->result = before.value;
				return true;
			}
		}
	}
	return false;
}

static bool lose_acknowledged(struct spoiler *spoiler)
{
	return forget_write(spoiler, false);
}

static bool tear_commit(struct spoiler *spoiler)
{
	return forget_write(spoiler, true);
}

/* The store counted a revision, and nobody made that commit. */
static bool lose_revision(struct spoiler *spoiler)
{
	struct record *record = commit_at(spoiler, spoiler->commits->len / 2);

	g_array_set_size(record->events, 0);
	record->outcome = OUTCOME_CONFLICT;
	return true;
}

static bool repeat_revision(struct spoiler *spoiler)
{
	struct record *first = NULL;

	for (unsigned i = spoiler->commits->len / 2; i < spoiler->commits->len; i++) {
		struct record *record = commit_at(spoiler, i);

		if (!is_at(record, LEVEL_SERIALIZABLE_SNAPSHOT))
			continue;
		if (first && record->base < first->revision) {
			record->revision = first->revision;
			return true;
		}
		first = record;
	}
	return false;
}

/* Its snapshot lacked a commit that had been acknowledged when it began. */
static bool give_old_snapshot(struct spoiler *spoiler)
{
	for (unsigned i = spoiler->copy->records->len; i-- > 0;) {
		struct record *record = g_ptr_array_index(spoiler->copy->records, i);
		uint64_t floor = record->floor;

		if (strcmp(record->kind, "audit") != 0 || record->outcome != OUTCOME_COMMITTED)
			continue;
		run_record(spoiler, record, floor - 1, true);
		record->base = record->revision = floor - 1;
		return true;
	}
	return false;
}

/* One live write more was acknowledged than the store has revisions for. */
static bool lose_live_write(struct spoiler *spoiler)
{
	for (unsigned i = 0; i < spoiler->good->records->len; i++) {
		struct record *record = g_ptr_array_index(spoiler->good->records, i);
		struct record *twin;

		if (strcmp(record->kind, "live") != 0 || !record_has_changes(record))
			continue;
		twin = g_memdup2(record, sizeof(*record));
		twin->events = g_array_copy(record->events);
		g_ptr_array_add(spoiler->copy->records, twin);
		twin->revision = 0;
		return true;
	}
	return false;
}

/* A live reader saw a value before it was written. */
static bool read_live_early(struct spoiler *spoiler)
{
	for (unsigned i = 0; i < spoiler->copy->records->len; i++) {
		struct record *record = g_ptr_array_index(spoiler->copy->records, i);
		struct event *event = record_event(record, 0);
		const struct tree_node *node;

		if (strcmp(record->kind, "live look") != 0 || event->call != CALL_READ ||
		    event->error)
			continue;
		node = tree_find(spoiler->tree, event->key);
		for (uint64_t later = record->ceiling + 1; later <= spoiler->copy->last; later++) {
			struct content content = tree_content(node, later);

			if (content.type != CONTENT_VALUE ||
			    strcmp(content.value, event->result) == 0)
				continue;
			event->result = content.value;
			return true;
		}
	}
	return false;
}

/* The other half of a write skew: the sum does not hold, whoever is to blame. */
static bool break_sum(struct spoiler *spoiler)
{
	for (unsigned i = 0; i < spoiler->commits->len; i++) {
		struct record *record = commit_at(spoiler, i);
		struct event *event = record_event(record, record->events->len - 1);

		if (strcmp(record->kind, "transfer") == 0 && event->call == CALL_PUT) {
			event->text = "123456 broken";
			return true;
		}
	}
	return false;
}

static const struct anomaly {
	const char *name;
	bool (*inject)(struct spoiler *spoiler);
	enum complaint expected;
} anomalies[] = {
	{ "lost update", lose_update_serializable, COMPLAINT_LOST_UPDATE },
	{ "lost update (snapshot)", lose_update_snapshot, COMPLAINT_LOST_UPDATE },
	{ "write skew", skew_writes, COMPLAINT_STALE },
	{ "phantom", show_phantom, COMPLAINT_STALE },
	{ "phantom by name", miss_creation, COMPLAINT_STALE },
	{ "dirty read (committed)", read_dirt_committed, COMPLAINT_SNAPSHOT },
	{ "dirty read (given up)", read_dirt_aborted, COMPLAINT_SNAPSHOT },
	{ "dirty read (live)", read_dirt_live, COMPLAINT_LIVE },
	{ "torn commit (seen)", tear_seen, COMPLAINT_SNAPSHOT },
	{ "torn commit (at the end)", tear_commit, COMPLAINT_SNAPSHOT },
	{ "lost acknowledged commit", lose_acknowledged, COMPLAINT_SNAPSHOT },
	{ "lost acknowledged live write", lose_live_write, COMPLAINT_REVISION },
	{ "revision of nobody", lose_revision, COMPLAINT_REVISION },
	{ "revision given twice", repeat_revision, COMPLAINT_REVISION },
	{ "old snapshot", give_old_snapshot, COMPLAINT_OUTDATED },
	{ "live read too early", read_live_early, COMPLAINT_LIVE },
	{ "broken sum", break_sum, COMPLAINT_INVARIANT },
};

static bool test(struct history *history, const struct anomaly *anomaly)
{
	struct spoiler spoiler;
	struct verdict verdict;
	bool injected, found;

	spoiler_init(&spoiler, history);
	verdict_init(&verdict);
	injected = anomaly->inject(&spoiler);
	if (injected)
		check_history(spoiler.copy, &verdict);
	found = verdict.counts[anomaly->expected] > 0;
	printf("%-30s %s (%u complaints)\n", anomaly->name,
	       found	? "found" :
	       injected ? "NOT FOUND" :
			  "NOT TESTED: no place for it in this history",
	       verdict.total);
	if (injected && !found)
		printf("%s\n", verdict.report->str);
	verdict_done(&verdict);
	spoiler_done(&spoiler);
	return found;
}

int anomalies_test(struct history *history)
{
	int result = 0;

	for (unsigned i = 0; i < G_N_ELEMENTS(anomalies); i++) {
		if (!test(history, &anomalies[i]))
			result = 1;
	}
	return result;
}
