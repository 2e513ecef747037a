/* The kinds of transactions, and of live calls. What each may do is ruled by layout.h; the
 * sums there hold only if transactions are what they promise to be. */
#include "worker.h"

#include "invariants.h"
#include "layout.h"

#include <string.h>

static const char *const sides = "xy";

static bool chance(struct worker *worker, unsigned one_in)
{
	return worker_random(worker, one_in) == 0;
}

static int any(struct worker *worker, int limit)
{
	return (int)worker_random(worker, (unsigned)limit);
}

static void put(struct worker *worker, const char *key, const char *text)
{
	worker_call(worker, CALL_PUT, key, text);
}

static void put_number(struct worker *worker, const char *key, long number)
{
	put(worker, key, worker_text(worker, "%ld %s", number, worker_tag(worker)));
}

static const char *get(struct worker *worker, const char *key)
{
	return worker_call(worker, CALL_READ, key, NULL);
}

/* The number there, 0 when it is absent: the checker will see that it should not be. */
static long get_number(struct worker *worker, const char *key)
{
	const char *value = get(worker, key);

	return value ? value_number(value) : 0;
}

static const char *account(struct worker *worker)
{
	return worker_text(worker, "bank/a%02d", any(worker, ACCOUNTS));
}

static bool run_transfer(struct worker *worker)
{
	const char *from = account(worker), *to = account(worker);
	int amount = any(worker, 10);
	long left, right;

	if (strcmp(from, to) == 0)
		return false;
	left = get_number(worker, from);
	right = get_number(worker, to);
	put_number(worker, from, left - amount);
	put_number(worker, to, right + amount);
	return true;
}

static bool run_audit(struct worker *worker)
{
	worker_call(worker, CALL_LIST, "bank", NULL);
	for (int i = 0; i < ACCOUNTS; i++)
		get(worker, worker_text(worker, "bank/a%02d", i));
	return true;
}

static bool run_append(struct worker *worker)
{
	const char *key = worker_text(worker, "list/l%d", any(worker, LISTS));
	const char *tag = worker_text(worker, " %s", worker_tag(worker)), *value;

	if (chance(worker, 3)) {
		worker_call(worker, CALL_APPEND, key, tag);
		return true;
	}
	value = get(worker, key);
	if (!value)
		return false;
	put(worker, key, strlen(value) > 400 ? tag : worker_text(worker, "%s%s", value, tag));
	return true;
}

/* Each alone keeps a 1 in the pair; two at once, each on its own snapshot, would not. */
static bool run_skew(struct worker *worker)
{
	int pair = any(worker, PAIRS), side = any(worker, 2);
	const char *mine = worker_text(worker, "skew/p%d.%c", pair, sides[side]);
	const char *other = worker_text(worker, "skew/p%d.%c", pair, sides[!side]);
	bool both = get_number(worker, other) == 1;

	if (get_number(worker, mine) != 1)
		put_number(worker, mine, 1);
	else if (both)
		put_number(worker, mine, 0);
	else
		put_number(worker, other, 1);
	return true;
}

/* The names of a directory in the transaction; the caller frees them. */
static GStrv list(struct worker *worker, const char *key)
{
	const char *names = worker_call(worker, CALL_LIST, key, NULL);

	return g_strsplit(names ? names : "", " ", -1);
}

static bool run_crowd(struct worker *worker)
{
	const char *directory = worker_text(worker, "crowd/%d", any(worker, CROWDS));
	g_auto(GStrv) names = list(worker, directory);
	int count = (int)g_strv_length(names);

	if (count < CROWD_MOST)
		put(worker, worker_text(worker, "%s/e%02d", directory, any(worker, CROWD_NAMES)),
		    worker_tag(worker));
	else
		worker_call(worker, CALL_REMOVE,
			    worker_text(worker, "%s/%s", directory, names[any(worker, count)]),
			    NULL);
	return true;
}

/* Absence is read by stat, and by nothing else. */
static bool run_claim(struct worker *worker)
{
	int pair = any(worker, CLAIMS), side = any(worker, 2);
	const char *mine = worker_text(worker, "claim/c%d.%c", pair, sides[side]);
	const char *other = worker_text(worker, "claim/c%d.%c", pair, sides[!side]);

	if (worker_call(worker, CALL_STAT, other, NULL))
		worker_call(worker, CALL_REMOVE, other, NULL);
	else if (worker_call(worker, CALL_STAT, mine, NULL))
		worker_call(worker, CALL_REMOVE, mine, NULL);
	else
		put(worker, mine, worker_tag(worker));
	return true;
}

static bool run_counter(struct worker *worker)
{
	const char *key = worker_text(worker, "count/c%d", any(worker, COUNTERS));

	put_number(worker, key, get_number(worker, key) + 1);
	return true;
}

static bool has(GStrv names, const char *name)
{
	return g_strv_contains((const char *const *)names, name);
}

static bool run_rename(struct worker *worker)
{
	const char *directory = worker_text(worker, "box/%d", any(worker, BOXES));
	const char *target = worker_text(worker, "t%02d", any(worker, BOX_NAMES));
	g_auto(GStrv) names = list(worker, directory);
	int count = (int)g_strv_length(names);

	if (count == 0 || has(names, target))
		return false;
	worker_call(worker, CALL_RENAME,
		    worker_text(worker, "%s/%s", directory, names[any(worker, count)]),
		    worker_text(worker, "%s/%s", directory, target));
	return true;
}

/* ---- tree/ ---------------------------------------------------------------------- */

static const char *tree_directory(struct worker *worker)
{
	int top = any(worker, TREES);

	return chance(worker, 3) ? worker_text(worker, "tree/d%d/s%d", top, any(worker, 2)) :
				   worker_text(worker, "tree/d%d", top);
}

static const char *tree_file(struct worker *worker)
{
	return worker_text(worker, "%s/f%d", tree_directory(worker), any(worker, 3));
}

static void look_in_tree(struct worker *worker)
{
	switch (any(worker, 4)) {
	case 0:
		worker_call(worker, CALL_LIST, "tree", NULL);
		break;
	case 1:
		worker_call(worker, CALL_LIST, tree_directory(worker), NULL);
		break;
	case 2:
		worker_call(worker, CALL_STAT, tree_file(worker), NULL);
		break;
	case 3:
		get(worker, tree_file(worker));
		break;
	}
}

static bool run_move(struct worker *worker)
{
	const char *target = tree_directory(worker);

	if (chance(worker, 2))
		look_in_tree(worker);
	worker_call(worker, CALL_RENAME, tree_directory(worker), target);
	worker_call(worker, CALL_LIST, target, NULL);
	if (chance(worker, 2))
		put(worker, worker_text(worker, "%s/f0", target), worker_tag(worker));
	return true;
}

static void change_tree(struct worker *worker)
{
	switch (any(worker, 8)) {
	case 0:
	case 1:
		worker_call(worker, CALL_MKDIR, tree_directory(worker), NULL);
		break;
	case 2:
		worker_call(worker, CALL_RMDIR, tree_directory(worker), NULL);
		break;
	case 3:
		worker_call(worker, CALL_REMOVE, tree_file(worker), NULL);
		break;
	case 4:
		worker_call(worker, CALL_RENAME, tree_file(worker), tree_file(worker));
		break;
	default:
		put(worker, tree_file(worker), worker_tag(worker));
		break;
	}
}

static bool run_tree(struct worker *worker)
{
	for (int i = 1 + any(worker, 4); i > 0; i--) {
		if (chance(worker, 3))
			look_in_tree(worker);
		else
			change_tree(worker);
	}
	return true;
}

/* ---- All over ------------------------------------------------------------------- */

static const char *mixed_key(struct worker *worker)
{
	return worker_text(worker, "mix/f%d", any(worker, MIXED));
}

static const char *any_key(struct worker *worker)
{
	switch (any(worker, 8)) {
	case 0:
		return account(worker);
	case 1:
		return worker_text(worker, "list/l%d", any(worker, LISTS));
	case 2:
		return worker_text(worker, "skew/p%d.%c", any(worker, PAIRS),
				   sides[any(worker, 2)]);
	case 3:
		return worker_text(worker, "crowd/%d/e%02d", any(worker, CROWDS),
				   any(worker, CROWD_NAMES));
	case 4:
		return worker_text(worker, "box/%d/t%02d", any(worker, BOXES),
				   any(worker, BOX_NAMES));
	case 5:
		return worker_text(worker, "own/%d.%d", any(worker, (int)worker->processes),
				   any(worker, OWN));
	case 6:
		return tree_file(worker);
	default:
		return mixed_key(worker);
	}
}

static const char *any_directory(struct worker *worker)
{
	switch (any(worker, 4)) {
	case 0:
		return worker_text(worker, "crowd/%d", any(worker, CROWDS));
	case 1:
		return worker_text(worker, "box/%d", any(worker, BOXES));
	case 2:
		return "claim";
	default:
		return tree_directory(worker);
	}
}

static void look_anywhere(struct worker *worker)
{
	switch (any(worker, 4)) {
	case 0:
		worker_call(worker, CALL_LIST, any_directory(worker), NULL);
		break;
	case 1:
		worker_call(worker, CALL_STAT, any_key(worker), NULL);
		break;
	default:
		get(worker, any_key(worker));
		break;
	}
}

static bool run_observe(struct worker *worker)
{
	for (int i = 2 + any(worker, 5); i > 0; i--)
		look_anywhere(worker);
	return true;
}

/* Looks here, writes there: what it saw must still be so when it commits. */
static bool run_mixed(struct worker *worker)
{
	for (int i = any(worker, 3); i > 0; i--)
		look_anywhere(worker);
	for (int i = 1 + any(worker, 3); i > 0; i--) {
		const char *key = mixed_key(worker);

		if (chance(worker, 5))
			worker_call(worker, CALL_APPEND, key,
				    worker_text(worker, " %s", worker_tag(worker)));
		else
			put(worker, key, worker_tag(worker));
		if (chance(worker, 4))
			get(worker, key);
	}
	return true;
}

/* ---- Choosing ------------------------------------------------------------------- */

static const struct kind {
	const char *name;
	worker_body_fn *body;
	unsigned weight;
	bool at_snapshot; /* its sum holds at that level too */
} kinds[] = {
	{ "transfer", run_transfer, 14, true }, { "audit", run_audit, 3, true },
	{ "append", run_append, 10, true },	{ "write skew", run_skew, 12, false },
	{ "phantom", run_crowd, 10, false },	{ "absence", run_claim, 8, false },
	{ "counter", run_counter, 10, true },	{ "rename", run_rename, 7, true },
	{ "move", run_move, 6, true },		{ "tree", run_tree, 8, true },
	{ "observe", run_observe, 6, true },	{ "mixed", run_mixed, 10, true },
};

static const struct kind *choose(struct worker *worker)
{
	unsigned sum = 0, at;

	for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
		sum += kinds[i].weight;
	at = worker_random(worker, sum);
	for (unsigned i = 0;; i++) {
		if (at < kinds[i].weight)
			return &kinds[i];
		at -= kinds[i].weight;
	}
}

/* Isolation outlives a restart, so it is not chosen for every transaction. */
static enum level next_level(struct worker *worker)
{
	if (worker->level != LEVEL_LIVE && !chance(worker, 8))
		return worker->level;
	switch (any(worker, 8)) {
	case 0:
		return LEVEL_SERIALIZABLE;
	case 1:
		return LEVEL_SNAPSHOT;
	default:
		return LEVEL_SERIALIZABLE_SNAPSHOT;
	}
}

static worker_body_fn *given_up; /* what a transaction does before it is given up */

static bool run_and_give_up(struct worker *worker)
{
	given_up(worker);
	return false;
}

static void do_transaction(struct worker *worker)
{
	enum level level = next_level(worker);
	const struct kind *kind = choose(worker);

	while (level == LEVEL_SNAPSHOT && !kind->at_snapshot)
		kind = choose(worker);
	given_up = kind->body;
	worker_transaction(worker, kind->name, level,
			   chance(worker, 20) ? run_and_give_up : kind->body);
}

/* Only process 0 does these: nobody notes their revisions, so their order must be known. */
static void do_live_change(struct worker *worker)
{
	switch (any(worker, 10)) {
	case 0:
		worker_live(worker, "live", CALL_MKDIR, tree_directory(worker), NULL);
		break;
	case 1:
		worker_live(worker, "live", CALL_RMDIR, tree_directory(worker), NULL);
		break;
	case 2:
		worker_live(worker, "live", CALL_REMOVE, tree_file(worker), NULL);
		break;
	case 3:
		worker_live(worker, "live", CALL_RENAME, tree_file(worker), tree_file(worker));
		break;
	case 4:
		worker_live(worker, "live", CALL_RENAME, tree_directory(worker),
			    tree_directory(worker));
		break;
	case 5:
		worker_live(worker, "live", CALL_APPEND,
			    worker_text(worker, "list/l%d", any(worker, LISTS)), NULL);
		break;
	case 6:
		worker_live(worker, "live", CALL_APPEND, mixed_key(worker), NULL);
		break;
	default:
		worker_live(worker, "live", CALL_PUT, mixed_key(worker), NULL);
		break;
	}
}

static void do_live_look(struct worker *worker)
{
	switch (any(worker, 4)) {
	case 0:
		worker_live(worker, "live look", CALL_LIST, any_directory(worker), NULL);
		break;
	case 1:
		worker_live(worker, "live look", CALL_STAT, any_key(worker), NULL);
		break;
	default:
		worker_live(worker, "live look", CALL_READ, any_key(worker), NULL);
		break;
	}
}

static bool take_ticket(struct worker *worker)
{
	uint64_t left = atomic_load(&worker->shared->left);

	while (left > 0) {
		if (atomic_compare_exchange_weak(&worker->shared->left, &left, left - 1))
			return true;
	}
	return false;
}

void worker_run(struct worker *worker)
{
	worker->level = LEVEL_LIVE;
	while (!atomic_load(&worker->shared->stop) && take_ticket(worker)) {
		do_transaction(worker);
		if (worker->index == 0 && chance(worker, 3))
			do_live_change(worker);
		if (chance(worker, 16))
			worker_live_own(worker, worker_text(worker, "own/%u.%d", worker->index,
							    any(worker, OWN)));
		if (chance(worker, 16))
			do_live_look(worker);
	}
}

/* ---- The beginning -------------------------------------------------------------- */

static void set_up_directories(struct worker *worker)
{
	static const char *const names[] = { "bank",  "list", "skew", "crowd", "claim",
					     "count", "box",  "tree", "mix",   "own" };

	for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
		worker_call(worker, CALL_MKDIR, names[i], NULL);
	for (int i = 0; i < CROWDS; i++)
		worker_call(worker, CALL_MKDIR, worker_text(worker, "crowd/%d", i), NULL);
	for (int i = 0; i < BOXES; i++) {
		worker_call(worker, CALL_MKDIR, worker_text(worker, "box/%d", i), NULL);
		for (int token = 0; token < BOX_TOKENS; token++)
			put(worker, worker_text(worker, "box/%d/t%02d", i, token),
			    worker_tag(worker));
	}
}

bool worker_set_up(struct worker *worker)
{
	set_up_directories(worker);
	for (int i = 0; i < ACCOUNTS; i++)
		put_number(worker, worker_text(worker, "bank/a%02d", i), BALANCE);
	for (int i = 0; i < LISTS; i++)
		put(worker, worker_text(worker, "list/l%d", i), worker_tag(worker));
	for (int i = 0; i < PAIRS; i++) {
		put_number(worker, worker_text(worker, "skew/p%d.x", i), 1);
		put_number(worker, worker_text(worker, "skew/p%d.y", i), 1);
	}
	for (int i = 0; i < COUNTERS; i++)
		put_number(worker, worker_text(worker, "count/c%d", i), 0);
	for (int i = 0; i < MIXED; i++)
		put(worker, worker_text(worker, "mix/f%d", i), worker_tag(worker));
	for (unsigned i = 0; i < worker->processes * OWN; i++)
		put(worker, worker_text(worker, "own/%u.%u", i / OWN, i % OWN), worker_tag(worker));
	return true;
}
