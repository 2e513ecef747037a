/* A run: a new mount, random calls, and at the end everything once more. */
#include "world.h"

#include "../transactions/mounted.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void world_init(struct world *world, uint64_t seed, const char *point)
{
	g_autofree char *path = g_build_filename(point, "revision", NULL);

	memset(world, 0, sizeof(*world));
	world->random =
		g_rand_new_with_seed_array((guint32[]){ (guint32)seed, (guint32)(seed >> 32) }, 2);
	world->point = point;
	world->live = tree_new();
	world->revision = 1;
	world->live_inos = g_hash_table_new(NULL, NULL);
	world->revision_fd = open(path, O_RDONLY | O_CLOEXEC);
}

static void world_done(struct world *world)
{
	for (int i = 0; i < TXNS; i++) {
		txn_free(world->txns[i]);
		g_clear_pointer(&world->txn_inos[i], g_hash_table_unref);
	}
	for (int i = 0; i < PAST_MAX; i++)
		tree_free(world->past[i].tree);
	for (int i = 0; i < RECENT; i++)
		g_free(world->recent[i]);
	tree_free(world->live);
	g_hash_table_unref(world->live_inos);
	close(world->revision_fd);
	g_rand_free(world->random);
}

static void check_revision(struct world *world)
{
	char text[32] = "";

	if (pread(world->revision_fd, text, sizeof(text) - 1, 0) < 0)
		differ(world, "revision cannot be read: %s", strerror(errno));
	else if (g_ascii_strtoull(text, NULL, 10) != world->revision)
		differ(world, "expected revision %" G_GUINT64_FORMAT ", got %s", world->revision,
		       text);
}

/* Mostly the first process: the others cost a message each. */
static void choose_process(struct world *world)
{
	world->process = one_in(world, 3) ? chance(world, PROCESSES) : 0;
}

static void choose_place(struct world *world, struct place *ret)
{
	int index = chance(world, TXNS);

	if (one_in(world, 3) || !world->txns[index])
		place_live(world, ret);
	else
		place_txn(world, index, ret);
}

static void step(struct world *world)
{
	int what = chance(world, 100);
	struct place place;

	choose_process(world);
	choose_place(world, &place);
	if (what < 52)
		step_path(world, &place);
	else if (what < 67)
		step_open(world, &place);
	else if (what < 87)
		step_file(world);
	else if (what < 95)
		step_txn(world);
	else
		step_look(world);
	if (!world->differs && one_in(world, 2))
		check_revision(world);
}

/* ---- Everything at the end ------------------------------------------------------- */

static void check_key(struct world *world, const struct place *place, const char *key,
		      const struct item *item)
{
	world->process = 0;
	call_begin(world, CALL_LSTAT);
	call_set_path(world, place, key);
	call_expect(world, 0);
	if (!world->differs)
		compare_status(world, place, item);
	if (world->differs || item->type != ITEM_FILE)
		return;
	call_begin(world, CALL_READ_FILE);
	call_set_path(world, place, key);
	call_expect(world, (int64_t)g_bytes_get_size(item->data));
	compare_bytes(world, key, item->data);
}

/* Revisions and versions, of keys. */
static void check_meta(struct world *world, const char *key, const struct item *item)
{
	g_autofree char *numbers = NULL;

	call_begin(world, CALL_READ_FILE);
	snprintf(world->call.path, sizeof(world->call.path), "%s/meta/%s", world->point, key);
	call_make(world);
	world->answer.data[MIN(world->answer.size, DATA_MAX - 1)] = '\0';
	numbers = g_strdup_printf("create_revision %" G_GUINT64_FORMAT
				  "\nmod_revision %" G_GUINT64_FORMAT "\nversion %" G_GUINT64_FORMAT
				  "\n",
				  item->create, item->mod, item->version);
	if (!strstr(world->answer.data, numbers))
		differ(world, "meta: expected\n%sgot\n%s", numbers, world->answer.data);
}

static void check_all(struct world *world)
{
	struct place live;
	GTreeNode *node;

	for (int i = 0; i < OPEN_MAX; i++) {
		if (world->files[i].used)
			close_file(world, &world->files[i]);
	}
	for (int i = 0; i < TXNS; i++) {
		if (world->txns[i])
			check_sets(world, i);
	}
	place_live(world, &live);
	for (node = g_tree_node_first(world->live->items); node && !world->differs;
	     node = g_tree_node_next(node)) {
		const char *key = g_tree_node_key(node);
		const struct item *item = g_tree_node_value(node);

		if (!*key)
			continue;
		check_key(world, &live, key, item);
		if (item->type != ITEM_DIRECTORY)
			check_meta(world, key, item);
	}
}

/* ---- The run --------------------------------------------------------------------- */

static uint64_t all_calls, all_refused, all_commits, all_conflicts, all_unasked, kinds[CALL_COUNT];

static void count(const struct world *world)
{
	for (int i = 0; i < CALL_COUNT; i++) {
		kinds[i] += world->counts[i];
		all_calls += world->counts[i];
		all_refused += world->refused[i];
	}
	all_commits += world->commits;
	all_conflicts += world->conflicts;
	all_unasked += world->unasked;
}

static void run_steps(struct world *world, uint64_t steps)
{
	note_commit(world);
	for (world->steps = 1; world->steps <= steps && !world->differs; world->steps++)
		step(world);
	if (!world->differs)
		check_all(world);
}

/* What is still open after a difference must not keep the mount busy. */
static void abandon_files(struct world *world)
{
	for (int i = 0; i < OPEN_MAX; i++) {
		struct open_file *file = &world->files[i];

		if (file->used && file->process == 0) {
			call_begin(world, CALL_CLOSE)->slot = file->slot;
			calls_make(0, &world->call, &world->answer);
		}
		file->used = false;
	}
}

static bool run_on(struct mounted *mounted, uint64_t seed, uint64_t steps)
{
	static struct world world;
	bool equal = false;

	g_free(mounted->store);
	mounted->store = g_strdup("memory:");
	if (mounted_start(mounted) && calls_start()) {
		world_init(&world, seed, mounted->point);
		run_steps(&world, steps);
		calls_stop();
		equal = !world.differs;
		if (!equal)
			printf("at step %" G_GUINT64_FORMAT
			       "; again: tests/model/files %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT
			       "\n",
			       world.steps, seed, world.steps);
		abandon_files(&world);
		count(&world);
		world_done(&world);
	}
	equal = mounted_stop(mounted, true) && equal;
	return equal;
}

bool world_run(uint64_t seed, uint64_t steps)
{
	g_autofree char *command = mounted_find_command();
	struct mounted mounted;
	bool equal = mounted_init(&mounted, command) && run_on(&mounted, seed, steps);

	mounted_done(&mounted);
	return equal;
}

uint64_t world_calls(void)
{
	return all_calls;
}

void world_tell_counts(void)
{
	printf("%" G_GUINT64_FORMAT " calls, %" G_GUINT64_FORMAT " of them refused\n", all_calls,
	       all_refused);
	printf("%" G_GUINT64_FORMAT " transactions committed, %" G_GUINT64_FORMAT
	       " conflicts, %" G_GUINT64_FORMAT " names of later rounds not asked for\n",
	       all_commits, all_conflicts, all_unasked);
	for (int i = 0; i < CALL_COUNT; i++)
		printf("%s %" G_GUINT64_FORMAT "%s", call_names[i], kinds[i],
		       i + 1 < CALL_COUNT ? ", " : "\n");
}
