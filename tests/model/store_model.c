/* Random programs from several threads against a naive model.
 *
 * The threads submit programs on a few keys and write down what each was and what came of
 * it. When all are done, the programs that made a revision are replayed in the order of
 * revisions on a model that is nothing but an array of paths, and must do there what they
 * did in the store. Then the tree at random revisions, read through snapshots of the past,
 * must be the model's at that revision, numbers included; and so must those snapshots that
 * were taken while the threads ran.
 *
 * usage: store_model [SEED [PROGRAMS]] */
#include "tests/model/store/tree.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 4
/* ---- The store's side ----------------------------------------------------------- */

/* The first few are made directories most of the time, so that most programs can work. */
#define DIRECTORIES 5
static const char *const keys[] = { "a",     "b",     "c",   "a/x", "b/x", "d",	  "a/y",
				    "a/x/1", "a/x/2", "a-1", "c/x", "c/y", "d/x", "b/x/1" };

struct worker {
	pthread_t thread;
	unsigned seed;
	int programs;
	struct history *histories;
	struct snapshot **snapshots; /* taken on the way */
	struct store *store;
};

static unsigned choose(struct worker *worker, unsigned limit)
{
	return (unsigned)rand_r(&worker->seed) % limit;
}

static const char *choose_key(struct worker *worker)
{
	return keys[choose(worker, G_N_ELEMENTS(keys))];
}

static int depth(const char *key)
{
	int slashes = 0;

	for (; *key; key++)
		slashes += *key == '/';
	return slashes;
}

static void choose_step(struct worker *worker, struct step *step)
{
	static const enum op_kind kinds[] = { OP_PUT,	 OP_PUT,	OP_PUT,	  OP_PATCH,
					      OP_MKDIR,	 OP_MKDIR,	OP_MKDIR, OP_SYMLINK,
					      OP_DELETE, OP_DELETE,	OP_RMDIR, OP_ATTR,
					      OP_RENAME, OP_APPEND,	OP_ADD,	  OP_MAX,
					      OP_GET,	 OP_DELETE_TREE };

	step->kind = kinds[choose(worker, G_N_ELEMENTS(kinds))];
	g_strlcpy(step->key, choose_key(worker), sizeof(step->key));
	if (step->kind == OP_MKDIR)
		g_strlcpy(step->key, keys[choose(worker, DIRECTORIES)], sizeof(step->key));
	else if (step->kind == OP_PUT)
		g_strlcpy(step->key,
			  keys[DIRECTORIES + choose(worker, G_N_ELEMENTS(keys) - DIRECTORIES)],
			  sizeof(step->key));
	g_strlcpy(step->target, choose_key(worker), sizeof(step->target));
	snprintf(step->value, sizeof(step->value), "%u", choose(worker, 1000));
	step->mode = 0600 + choose(worker, 64);
	if (step->kind == OP_PUT && choose(worker, 8) == 0)
		step->flags = OP_EXCLUSIVE;
	if (step->kind == OP_RENAME) {
		step->flags = (unsigned[]){ 0, 0, OP_EXCLUSIVE, OP_EXCHANGE }[choose(worker, 4)];
		/* Trees that move downwards would grow without end. */
		if (depth(step->target) > depth(step->key) || (step->flags & OP_EXCHANGE))
			while (depth(step->target) != depth(step->key))
				g_strlcpy(step->target, choose_key(worker), sizeof(step->target));
	}
	if (step->kind == OP_DELETE || step->kind == OP_RMDIR)
		step->flags = choose(worker, 2) ? OP_PRESENT : 0;
	if (step->kind == OP_PUT || step->kind == OP_APPEND || step->kind == OP_ADD ||
	    step->kind == OP_MAX)
		step->flags |= choose(worker, 4) == 0 ? OP_PARENTS : 0;
	if (step->kind == OP_GET)
		step->flags = OP_TREE;
	step->number = (int64_t)choose(worker, 1000) - 300;
}

/* A compare that often holds: with what is there now. */
static void choose_check(struct worker *worker, struct check *check)
{
	static const enum compare_target targets[] = { COMPARE_MOD, COMPARE_CREATE, COMPARE_VERSION,
						       COMPARE_ATTRIBUTE };
	static const enum compare_operator operators[] = { COMPARE_EQUAL, COMPARE_LESS,
							   COMPARE_GREATER_EQUAL };
	g_autoptr(record) record = NULL;
	unsigned which = choose(worker, G_N_ELEMENTS(targets));

	check->target = targets[which];
	check->relation = operators[choose(worker, G_N_ELEMENTS(operators))];
	g_strlcpy(check->key, choose_key(worker), sizeof(check->key));
	if (snapshot_get(store_head(worker->store), check->key, &record) == 0)
		check->number = which == 0 ? record->mod_revision :
				which == 1 ? record->create_revision :
				which == 2 ? record->version :
					     record->attribute_revision;
	if (choose(worker, 8) == 0)
		check->number++;
	check->tree = choose(worker, 4) == 0;
}

static GBytes *text_bytes(const char *text)
{
	return g_bytes_new(text, strlen(text));
}

static void add_step(struct program *program, const struct step *step)
{
	struct op *op = program_add(program, step->kind, step->key);

	op->flags = step->flags;
	op->mode = step->mode;
	op->target = g_strdup(step->target);
	op->number = step->number;
	if (step->kind == OP_PUT || step->kind == OP_SYMLINK || step->kind == OP_APPEND)
		op->value = text_bytes(step->value);
	if (step->kind == OP_PATCH) {
		g_autoptr(GBytes) bytes = text_bytes(step->value);

		op_add_edit(op, EDIT_APPEND, 0, bytes);
	}
	if (step->kind == OP_ATTR)
		op->changes = (struct attributes){ .mask = ATTRIBUTE_MODE, .mode = step->mode };
}

struct wait {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct history *history; /* lock */
};

static int64_t told_by(const GArray *outputs)
{
	int64_t told = 0;

	for (guint i = 0; outputs && i < outputs->len; i++) {
		const struct output *output = &g_array_index(outputs, struct output, i);

		told += (int64_t)output->count + output->number;
		if (output->op->kind == OP_GET &&
		    output->count != (output->found ? output->found->len : 0))
			abort();
	}
	return told;
}

static void note_result(const struct program_result *result, void *arg)
{
	struct wait *wait = arg;

	pthread_mutex_lock(&wait->lock);
	wait->history->error = result->error;
	wait->history->succeeded = result->succeeded;
	wait->history->changed = result->changed;
	wait->history->revision = result->revision;
	wait->history->told = told_by(result->outputs);
	wait->history->done = true;
	pthread_cond_signal(&wait->wake);
	pthread_mutex_unlock(&wait->lock);
}

static void run_program(struct worker *worker, struct history *history)
{
	const struct credentials credentials = { 0 };
	struct wait wait = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, history };
	struct program *program = program_new(&credentials);

	for (int i = 0; i < history->checks_count; i++)
		program_compare(program, history->checks[i].target, history->checks[i].relation,
				history->checks[i].key, history->checks[i].number)
			->tree = history->checks[i].tree;
	program->max_output_bytes = UINT64_MAX;
	for (int i = 0; i < history->steps_count; i++)
		add_step(program, &history->steps[i]);
	store_submit(worker->store, program, note_result, &wait);
	pthread_mutex_lock(&wait.lock);
	while (!history->done)
		pthread_cond_wait(&wait.wake, &wait.lock);
	pthread_mutex_unlock(&wait.lock);
}

static void *work(void *arg)
{
	struct worker *worker = arg;

	for (int i = 0; i < worker->programs; i++) {
		struct history *history = &worker->histories[i];

		history->checks_count = (int)(choose(worker, COMPARES_MAX + 1) * choose(worker, 2));
		history->steps_count = 1 + (int)(choose(worker, OPS_MAX) * choose(worker, 2));
		for (int j = 0; j < history->checks_count; j++)
			choose_check(worker, &history->checks[j]);
		for (int j = 0; j < history->steps_count; j++)
			choose_step(worker, &history->steps[j]);
		run_program(worker, history);
		if (i % 64 == 0 && store_snapshot(worker->store, 0, &worker->snapshots[i / 64]) < 0)
			abort();
	}
	return NULL;
}

/* ---- Comparing ------------------------------------------------------------------ */

static int failures;

#define complain(...)                         \
	do {                                  \
		fprintf(stderr, __VA_ARGS__); \
		fputc('\n', stderr);          \
		failures++;                   \
	} while (0)

static void check_record(uint64_t revision, const struct node *node, const struct record *record)
{
	if (record->type != node->type || record->mode != node->mode ||
	    record->create_revision != node->create || record->mod_revision != node->mod ||
	    record->attribute_revision != node->attribute || record->version != node->version)
		complain("'%s' at %d: type %d mode %o create %d mod %d attribute %d version %d, "
			 "model: type %d mode %o create %d mod %d attribute %d version %d",
			 node->key, (int)revision, record->type, record->mode,
			 (int)record->create_revision, (int)record->mod_revision,
			 (int)record->attribute_revision, (int)record->version, node->type,
			 node->mode, (int)node->create, (int)node->mod, (int)node->attribute,
			 (int)node->version);
	if (record->value &&
	    (record->size_bytes != strlen(node->value) ||
	     memcmp(g_bytes_get_data(record->value, NULL), node->value, record->size_bytes) != 0))
		complain("'%s' at %d: another value", node->key, (int)revision);
}

struct listing {
	const struct tree *tree;
	const char *directory;
	uint64_t revision;
	int count;
};

static int check_listed(const char *name, struct record *record, void *arg)
{
	struct listing *listing = arg;
	char key[STORE_KEY_MAX];
	const struct node *node;

	snprintf(key, sizeof(key), "%s%s%s", listing->directory, *listing->directory ? "/" : "",
		 name);
	node = model_find(listing->tree, key);
	listing->count++;
	if (!node)
		complain("'%s' listed at %d", key, (int)listing->revision);
	else
		check_record(listing->revision, node, record);
	return 0;
}

static void check_list(struct snapshot *snapshot, const struct tree *tree, const char *directory)
{
	struct listing listing = { tree, directory, snapshot->revision, 0 };
	size_t length = strlen(directory);
	int expected = 0;

	if (snapshot_list(snapshot, directory, NULL, check_listed, &listing) < 0)
		complain("cannot list '%s'", directory);
	for (int i = 0; i < tree->count; i++) {
		const char *key = tree->nodes[i].key;

		if (model_lies_in(key, directory) && !strchr(key + length + (length > 0), '/'))
			expected++;
	}
	if (listing.count != expected)
		complain("'%s' at %d: %d entries, model: %d", directory, (int)snapshot->revision,
			 listing.count, expected);
}

static void check_key(struct snapshot *snapshot, const struct tree *tree, const char *key)
{
	const struct node *node = model_find(tree, key);
	g_autoptr(record) record = NULL;
	int r = snapshot_get(snapshot, key, &record);

	if ((r == 0) != (node != NULL))
		complain("'%s' at %d: %d, model: %s", key, (int)snapshot->revision, r,
			 node ? "there" : "absent");
	else if (node)
		check_record(snapshot->revision, node, record);
	check_list(snapshot, tree, key);
}

static void check_snapshot(struct snapshot *snapshot, const struct tree *tree)
{
	for (guint i = 0; i < G_N_ELEMENTS(keys); i++)
		check_key(snapshot, tree, keys[i]);
	for (int i = 0; i < tree->count; i++)
		check_key(snapshot, tree, tree->nodes[i].key);
}

static int by_revision(const void *left, const void *right)
{
	uint64_t a = (*(struct history *const *)left)->revision;
	uint64_t b = (*(struct history *const *)right)->revision;

	return a < b ? -1 : a > b;
}

/* The trees of all revisions, replayed; index 0 is not used. */
static struct tree *replay_all(struct history **made, guint count)
{
	struct tree *trees = calloc(count + 2, sizeof(*trees));

	trees[1] = model_first_tree();
	for (guint i = 0; i < count; i++) {
		uint64_t revision = i + 2;
		struct replayed result;

		trees[revision] = trees[revision - 1];
		if (made[i]->revision != revision)
			complain("revision %d is missing", (int)revision);
		result = model_replay(&trees[revision], made[i], revision);
		if (!result.succeeded || result.error || !result.changed)
			complain("revision %d: the model does not make it (%d)", (int)revision,
				 result.error);
		if (result.told != made[i]->told)
			complain("revision %d told %d, the model %d", (int)revision,
				 (int)made[i]->told, (int)result.told);
	}
	return trees;
}

/* Programs that changed nothing did so on the tree of the revision they tell. */
static void check_unchanged(struct tree *trees, const struct history *history)
{
	struct tree tree = trees[history->revision];
	struct replayed result = model_replay(&tree, history, history->revision + 1);

	if (result.changed || result.succeeded != history->succeeded ||
	    result.error != history->error || (!result.error && result.told != history->told))
		complain("at %d: succeeded %d, error %d; model: %d, %d", (int)history->revision,
			 history->succeeded, history->error, result.succeeded, result.error);
}

static void check_all(struct store *store, struct worker *workers, unsigned seed)
{
	g_autoptr(GPtrArray) made = g_ptr_array_new();
	uint64_t newest = store_revision(store);
	struct tree *trees;

	for (int i = 0; i < THREADS; i++) {
		for (int j = 0; j < workers[i].programs; j++) {
			if (workers[i].histories[j].changed)
				g_ptr_array_add(made, &workers[i].histories[j]);
		}
	}
	qsort(made->pdata, made->len, sizeof(gpointer), by_revision);
	if (newest != made->len + 1)
		complain("revision %d after %u commits", (int)newest, made->len);
	trees = replay_all((struct history **)made->pdata, made->len);
	for (int i = 0; i < THREADS; i++) {
		for (int j = 0; j < workers[i].programs; j++) {
			if (!workers[i].histories[j].changed)
				check_unchanged(trees, &workers[i].histories[j]);
			if (j % 64 == 0)
				check_snapshot(workers[i].snapshots[j / 64],
					       &trees[workers[i].snapshots[j / 64]->revision]);
		}
	}
	for (int i = 0; i < 200; i++) {
		uint64_t revision = 1 + (uint64_t)rand_r(&seed) % newest;
		g_autoptr(snapshot) snapshot = NULL;

		if (store_snapshot(store, revision, &snapshot) < 0)
			complain("no snapshot of %d", (int)revision);
		else
			check_snapshot(snapshot, &trees[revision]);
	}
	printf("%u of %d programs made a revision\n", made->len, THREADS * workers[0].programs);
	free(trees);
}

static void run_workers(struct store *store, struct worker *workers, unsigned seed, int programs)
{
	for (int i = 0; i < THREADS; i++) {
		workers[i].seed = seed * 31 + (unsigned)i;
		workers[i].programs = programs / THREADS;
		workers[i].histories = calloc((size_t)programs, sizeof(struct history));
		workers[i].snapshots = calloc((size_t)programs, sizeof(struct snapshot *));
		workers[i].store = store;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
			abort();
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
}

int main(int argc, char **argv)
{
	unsigned seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1;
	int programs = argc > 2 ? atoi(argv[2]) : 8000;
	struct worker workers[THREADS] = { 0 };
	struct store_options options;
	struct store *store;
	char *message;

	printf("seed %u\n", seed);
	store_options_init(&options);
	if (store_open(&options, &store, &message) < 0) {
		fprintf(stderr, "%s\n", message);
		return 2;
	}
	run_workers(store, workers, seed, programs);
	check_all(store, workers, seed);
	for (int i = 0; i < THREADS; i++) {
		for (int j = 0; j < workers[i].programs; j++)
			snapshot_unref(workers[i].snapshots[j]);
		free(workers[i].histories);
		free(workers[i].snapshots);
	}
	store_close(store);
	if (failures)
		printf("%d differences, seed %u\n", failures, seed);
	return failures ? 1 : 0;
}
