/* A long random history against a naive model that keeps every version of every key.
 *
 * One thread makes commits (values made, changed, deleted, renamed; directories made,
 * removed, renamed with all below them; modes changed; several at once) that are right by
 * the model, so each must succeed. Then reads, listings and histories of keys at random
 * revisions must be the model's; after a compaction the same from its revision on, and at
 * the revisions that have a name; and the same again after a process that compacts was
 * killed, at once after opening the store, while the compaction that was cut short goes on.
 *
 * usage: history_model [SEED [COMMITS]], COMMITFS_FULL for 100,000 commits */
#include "store/check.h"
#include "tests/model/history_tree.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMITS 5000
#define COMMITS_FULL 100000
#define ENCRYPTED_PART 4 /* so many times shorter is the history of an encrypted store */
#define READS 10000
#define NAMES 5
#define KILLS 8
#define TREES 10 /* compared whole */

/* ---- Commits -------------------------------------------------------------------- */

static guint pick(guint end)
{
	return (guint)g_rand_int_range(model.random, 0, (gint)end);
}

static uint64_t pick_revision(uint64_t first, uint64_t last)
{
	return first + (uint64_t)(g_rand_double(model.random) * (double)(last - first + 1));
}

static struct key *pick_live(void)
{
	return model.live->pdata[pick(model.live->len)];
}

/* A key that may be absent, in a directory that is there. */
static struct key *pick_place(void)
{
	for (;;) {
		struct key *directory = pick_live();
		g_autofree char *name = NULL;
		guint depth = 0;

		for (const char *c = directory->name; *c; c++)
			depth += *c == '/';
		if (state_now(directory)->type != RECORD_DIRECTORY || depth >= 4)
			continue;
		name = g_strdup_printf("%s%s%c%u", directory->name, *directory->name ? "/" : "",
				       "akz-"[pick(4)], pick(12));
		return intern(name);
	}
}

static bool has_children(const struct key *key)
{
	for (guint i = 0; i < key->children->len; i++) {
		if (state_now(key->children->pdata[i]))
			return true;
	}
	return false;
}

static char *make_value(void)
{
	GString *value = g_string_new(NULL);

	g_string_printf(value, "%" G_GUINT64_FORMAT ":", model.revision);
	for (guint left = pick(20) ? pick(60) : pick(6000); left > 0; left--)
		g_string_append_c(value, (char)('!' + pick(90)));
	return g_string_free(value, FALSE);
}

static bool try_put(struct program *program, struct key *key)
{
	const struct state *now = state_now(key);
	g_autofree char *value = make_value();
	struct op *op;

	if (now && (now->type != RECORD_VALUE || now->revision == model.revision))
		return false;
	op = program_add(program, OP_PUT, key->name);
	op->mode = 0644;
	op->value = g_bytes_new(value, strlen(value));
	if (!now) {
		model_make(key, RECORD_VALUE, 0644, value);
	} else {
		struct state *state = change(key);

		g_free(state->value);
		state->value = g_steal_pointer(&value);
		state->mod = model.revision;
	}
	return true;
}

static bool try_make(struct program *program, struct key *key, enum record_type type)
{
	struct op *op;

	if (state_now(key))
		return false;
	op = program_add(program, type == RECORD_DIRECTORY ? OP_MKDIR : OP_SYMLINK, key->name);
	op->mode = 0755;
	if (type == RECORD_SYMLINK)
		op->value = g_bytes_new_static("target", 6);
	model_make(key, type, type == RECORD_SYMLINK ? 0777 : 0755,
		   type == RECORD_SYMLINK ? "target" : NULL);
	return true;
}

static bool try_remove(struct program *program, struct key *key)
{
	enum record_type type = state_now(key)->type;

	if (!*key->name || (type == RECORD_DIRECTORY && has_children(key)))
		return false;
	program_add(program, type == RECORD_DIRECTORY ? OP_RMDIR : OP_DELETE, key->name);
	model_remove(key);
	return true;
}

static bool try_chmod(struct program *program, struct key *key)
{
	const struct state *now = state_now(key);
	struct state *state;
	uint32_t mode = 0600 | pick(0100);

	if (now->type == RECORD_SYMLINK)
		return false;
	program_add(program, OP_ATTR, key->name)->changes =
		(struct attributes){ .mask = ATTRIBUTE_MODE, .mode = mode };
	state = change(key);
	state->mode = mode;
	if (state->type == RECORD_DIRECTORY)
		state->attribute = model.revision;
	else
		state->mod = model.revision;
	return true;
}

static void model_move(struct key *from, struct key *to)
{
	struct state moved = *state_now(from);
	g_autofree char *value = g_strdup(moved.value);
	guint children = from->children->len;

	model_make(to, moved.type, moved.mode, value);
	for (guint i = 0; i < children; i++) {
		struct key *child = from->children->pdata[i];

		if (state_now(child)) {
			g_autofree char *name =
				g_strconcat(to->name, strrchr(child->name, '/'), NULL);

			model_move(child, intern(name));
		}
	}
	model_remove(from);
}

static bool try_rename(struct program *program, struct key *from, struct key *to)
{
	const struct state *source = state_now(from), *target = state_now(to);

	if (!*from->name || from == to || key_is_below(to->name, from->name))
		return false;
	if (target && (source->type == RECORD_DIRECTORY || target->type == RECORD_DIRECTORY))
		return false;
	program_add(program, OP_RENAME, from->name)->target = g_strdup(to->name);
	model_move(from, to);
	return true;
}

static bool try_one(struct program *program)
{
	/* Directories grow fewer than they come, when there are many. */
	bool full = model.live->len > 400;

	switch (pick(20)) {
	case 0:
		return !full && try_make(program, pick_place(), RECORD_DIRECTORY);
	case 1:
		return !full && try_make(program, pick_place(), RECORD_SYMLINK);
	case 2:
	case 3:
	case 4:
		return try_remove(program, pick_live());
	case 5:
	case 6:
		return try_chmod(program, pick_live());
	case 7:
	case 8:
		return try_rename(program, pick_live(), pick_place());
	default:
		return try_put(program, full ? pick_live() : pick_place());
	}
}

static void fill_program(struct program *program)
{
	model.revision++;
	while (!try_one(program))
		;
	if (pick(4) == 0) {
		try_put(program, pick_live());
		try_put(program, pick_live());
	}
}

struct waiting {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool done;
	int error;
	uint64_t revision;
};

static void wait_done(struct waiting *waiting)
{
	pthread_mutex_lock(&waiting->lock);
	while (!waiting->done)
		pthread_cond_wait(&waiting->wake, &waiting->lock);
	pthread_mutex_unlock(&waiting->lock);
}

static void set_done(struct waiting *waiting, int error)
{
	pthread_mutex_lock(&waiting->lock);
	waiting->done = true;
	waiting->error = error;
	pthread_cond_signal(&waiting->wake);
	pthread_mutex_unlock(&waiting->lock);
}

static void submitted(const struct program_result *result, void *arg)
{
	struct waiting *waiting = arg;

	waiting->revision = result->revision;
	set_done(waiting, result->error);
}

static struct waiting submit(struct store *store, struct program *program)
{
	struct waiting waiting = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0 };

	store_submit(store, program, submitted, &waiting);
	wait_done(&waiting);
	return waiting;
}

static void commit_one(struct store *store)
{
	const struct credentials author = { .uid = 0, .command = (char *)"model" };
	struct program *program = program_new(&author);
	struct waiting waiting;

	fill_program(program);
	waiting = submit(store, program);
	check(waiting.error == 0);
	check(waiting.revision == model.revision);
}

/* ---- Comparing ------------------------------------------------------------------ */

static void compare_record(const struct record *record, const struct state *state, bool listed)
{
	size_t size = state->value ? strlen(state->value) : 0;

	check(record->type == state->type);
	check(record->mode == state->mode);
	check(record->create_revision == state->create);
	check(record->mod_revision == state->mod);
	check(record->attribute_revision == state->attribute);
	check(record->version == state->version);
	check(record->size_bytes == size);
	check(!record->purged);
	if (!listed && state->type != RECORD_DIRECTORY)
		check(memcmp(g_bytes_get_data(record->value, NULL), state->value, size) == 0);
}

static void compare_key(struct snapshot *snapshot, const struct key *key)
{
	const struct state *state = state_at(key, snapshot->revision);
	g_autoptr(record) record = NULL;
	int r = snapshot_get(snapshot, key->name, &record);

	check(r == (state ? 0 : -ENOENT));
	if (state)
		compare_record(record, state, false);
}

struct listing {
	struct snapshot *snapshot;
	const struct key *directory;
	guint count;
	bool deep;
};

static void compare_listing(struct snapshot *snapshot, const struct key *directory, bool deep);

static int compare_entry(const char *name, struct record *record, void *arg)
{
	struct listing *listing = arg;
	const char *directory = listing->directory->name;
	g_autofree char *full = g_strconcat(directory, *directory ? "/" : "", name, NULL);
	struct key *key = g_hash_table_lookup(model.keys, full);
	const struct state *state = key ? state_at(key, listing->snapshot->revision) : NULL;

	check(state != NULL);
	compare_record(record, state, true);
	listing->count++;
	if (listing->deep && state->type == RECORD_DIRECTORY)
		compare_listing(listing->snapshot, key, true);
	return 0;
}

static void compare_listing(struct snapshot *snapshot, const struct key *directory, bool deep)
{
	struct listing listing = { snapshot, directory, 0, deep };
	guint expected = 0;

	for (guint i = 0; i < directory->children->len; i++)
		expected += state_at(directory->children->pdata[i], snapshot->revision) != NULL;
	check(snapshot_list(snapshot, directory->name, NULL, compare_entry, &listing) == 0);
	check(listing.count == expected);
}

static int compare_version(const struct version *version, void *arg)
{
	struct key *key = ((gpointer *)arg)[0];
	guint *left = ((gpointer *)arg)[1];
	const struct state *state;
	uint64_t superseded = 0;

	/* The model's newest that is left and is no deletion. */
	do {
		check(*left > 0);
		if (*left < key->states->len)
			superseded = g_array_index(key->states, struct state, *left).revision;
		state = &g_array_index(key->states, struct state, --*left);
	} while (!state->present);
	check(version->revision == state->revision);
	check(version->superseded_revision == superseded);
	compare_record(version->record, state, false);
	return 0;
}

/* All versions from `oldest` on. */
static void compare_history(struct store *store, struct key *key, uint64_t oldest)
{
	guint left = key->states->len;
	gpointer arg[] = { key, &left };
	int r = store_history(store, key->name, true, compare_version, arg);

	check(r == 0);
	/* What was not visited is nothing, or ended by then. */
	while (left > 0) {
		const struct state *state = &g_array_index(key->states, struct state, --left);
		const struct state *next = left + 1 < key->states->len ? state + 1 : NULL;

		check(!state->present || (next && next->revision <= oldest));
	}
}

struct reading {
	struct store *store;
	uint64_t oldest;
	GArray *named; /* uint64_t */
};

static uint64_t pick_readable(const struct reading *reading)
{
	if (reading->named->len && pick(10) == 0)
		return g_array_index(reading->named, uint64_t, pick(reading->named->len));
	return pick_revision(reading->oldest, model.revision);
}

static void compare_log(const struct reading *reading)
{
	uint64_t revision = pick_revision(1, model.revision);
	struct log_entry *entry = NULL;
	int r = store_log(reading->store, revision, &entry);

	check(r == (revision < reading->oldest ? -ENOENT : 0));
	check(r < 0 || entry->revision == revision);
	log_entry_free(entry);
}

static void compare_reads(const struct reading *reading, guint reads)
{
	for (guint i = 0; i < reads; i++) {
		g_autoptr(snapshot) snapshot = NULL;
		struct key *key = model.all->pdata[pick(model.all->len)];

		check(store_snapshot(reading->store, pick_readable(reading), &snapshot) == 0);
		compare_key(snapshot, key);
		if (i % 10 == 0)
			compare_listing(snapshot, key, false);
		if (i % 50 == 0)
			compare_log(reading);
		/* A name keeps what the model does not tell apart. */
		if (i % 20 == 0 && reading->named->len == 0 && strcmp(key->name, "extra") != 0)
			compare_history(reading->store, key, reading->oldest);
	}
	for (guint i = 0; i < TREES; i++) {
		g_autoptr(snapshot) snapshot = NULL;

		check(store_snapshot(reading->store, pick_readable(reading), &snapshot) == 0);
		compare_listing(snapshot, intern(""), true);
	}
}

static bool is_named(const struct reading *reading, uint64_t revision)
{
	for (guint i = 0; i < reading->named->len; i++) {
		if (g_array_index(reading->named, uint64_t, i) == revision)
			return true;
	}
	return false;
}

static void expect_compacted(const struct reading *reading)
{
	for (guint i = 0; i < 100 && reading->oldest > 1; i++) {
		uint64_t revision = pick_revision(1, reading->oldest - 1);
		struct snapshot *snapshot;

		if (!is_named(reading, revision))
			check(store_snapshot(reading->store, revision, &snapshot) == -ENOENT);
	}
}

/* ---- Compaction ----------------------------------------------------------------- */

/* Where the key of an encrypted store is. */
static char *key_path(const char *path)
{
	return g_strconcat(path, ".key", NULL);
}

/* NULL: the store is not to be encrypted. */
static struct store_key *read_key(const char *path)
{
	g_autofree char *file = key_path(path);
	struct store_key *key = NULL;
	char *message = NULL;

	if (access(file, F_OK) == 0)
		check(store_key_read_file(file, &key, &message) == 0);
	return key;
}

static struct store *open_store(const char *path)
{
	struct store_key *key = read_key(path);
	struct store_options options;
	struct store *store;
	char *message = NULL;

	store_options_init(&options);
	options.path = path;
	options.sync = STORE_SYNC_NONE;
	options.key = key;
	if (store_open(&options, &store, &message) < 0) {
		fprintf(stderr, "%s\n", message);
		abort();
	}
	store_key_free(key);
	return store;
}

static void create_store(const char *path, bool encrypted)
{
	g_autofree char *file = key_path(path);
	struct store_key *key;
	char *message = NULL;

	if (encrypted)
		check(store_key_write_file(file, &message) == 0);
	key = read_key(path);
	check((key ? store_create_encrypted(path, key, &message) : store_create(path, &message)) ==
	      0);
	store_key_free(key);
}

static void compacted(const struct compaction *progress, bool finished, int error, void *arg)
{
	(void)progress;
	if (finished)
		set_done(arg, error);
}

static int compact(struct store *store, uint64_t revision)
{
	struct waiting waiting = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0 };
	int r = store_compact(store, revision, compacted, &waiting);

	if (r < 0)
		return r;
	wait_done(&waiting);
	return waiting.error;
}

/* The process that is killed: compacts, and commits meanwhile what the model does not look
 * at. Says so when oldest_revision has been moved. */
static int compact_until_killed(const char *path, uint64_t revision)
{
	const struct credentials author = { .uid = 0 };
	struct store *store = open_store(path);

	if (store_compact(store, revision, NULL, NULL) < 0 || write(1, "x", 1) != 1)
		return 1;
	for (int i = 0;; i++) {
		struct program *program = program_new(&author);
		struct op *op = program_add(program, OP_PUT, "extra");

		op->value = g_bytes_new(&i, sizeof(i));
		if (submit(store, program).error < 0)
			return 1;
	}
}

static void print_problem(const struct store_problem *problem, void *arg)
{
	(void)arg;
	fprintf(stderr, "%s: %s\n", problem->kind, problem->text);
}

/* What a kill leaves behind has to agree. */
static void check_store(const char *path)
{
	struct store_check_options options = { .problem = print_problem };
	struct store_key *key = read_key(path);
	struct store_check_result result;
	char *message = NULL;

	store_options_init(&options.open);
	options.open.path = path;
	options.open.key = key;
	check(store_check(&options, &result, &message) == 0);
	check(result.problems == 0);
	store_key_free(key);
}

static void kill_a_compaction(const char *self, const char *path, uint64_t revision)
{
	g_autofree char *number = g_strdup_printf("%" G_GUINT64_FORMAT, revision);
	int pipes[2];
	pid_t child;
	char byte;

	check(pipe(pipes) == 0);
	child = fork();
	if (child == 0) {
		dup2(pipes[1], 1);
		close(pipes[0]);
		/* RocksDB's threads do not outlive a fork. */
		execl(self, self, "--compact", path, number, (char *)NULL);
		_exit(127);
	}
	close(pipes[1]);
	check(read(pipes[0], &byte, 1) == 1);
	close(pipes[0]);
	g_usleep(pick(3) ? pick(30000) : pick(300));
	kill(child, SIGKILL);
	check(waitpid(child, NULL, 0) == child);
}

static void test_kills(const char *self, const char *path, struct reading *reading)
{
	for (int i = 0; i < KILLS; i++) {
		reading->oldest = pick_revision(
			reading->oldest, reading->oldest + (model.revision - reading->oldest) / 3);
		kill_a_compaction(self, path, reading->oldest);
		check_store(path);
		reading->store = open_store(path);
		/* While the compaction that was cut short goes on. */
		compare_reads(reading, 500);
		expect_compacted(reading);
		if (i % 2)
			check(compact(reading->store, reading->oldest) == 0);
		compare_reads(reading, 500);
		store_close(reading->store);
	}
}

static void name_some(struct reading *reading)
{
	for (int i = 0; i < NAMES; i++) {
		g_autofree char *name = g_strdup_printf("name%d", i);
		uint64_t revision = pick_revision(1, model.revision);

		check(store_name_snapshot(reading->store, name, revision, 0, NULL) == 0);
		g_array_append_val(reading->named, revision);
	}
}

static void drop_names(struct reading *reading)
{
	for (int i = 0; i < NAMES; i++) {
		g_autofree char *name = g_strdup_printf("name%d", i);

		check(store_drop_snapshot(reading->store, name) == 0);
	}
	g_array_set_size(reading->named, 0);
}

static void test_compaction(struct reading *reading)
{
	g_autoptr(snapshot) held = NULL;
	struct store_status before, after;
	uint64_t revision;

	name_some(reading);
	revision = pick_revision(1, model.revision);
	check(store_snapshot(reading->store, revision, &held) == 0);
	store_get_status(reading->store, &before);
	reading->oldest = pick_revision(model.revision / 4, model.revision * 3 / 4);
	check(compact(reading->store, reading->oldest) == 0);
	store_get_status(reading->store, &after);
	check(after.oldest_revision == reading->oldest);
	check(after.compaction.records_removed > 0);
	printf("compacted to %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT ": %" G_GUINT64_FORMAT
	       " records removed, %" G_GUINT64_FORMAT " -> %" G_GUINT64_FORMAT " KiB\n",
	       reading->oldest, model.revision, after.compaction.records_removed,
	       before.disk_bytes / 1024, after.disk_bytes / 1024);
	compare_listing(held, intern(""), true);
	compare_reads(reading, READS);
	expect_compacted(reading);
}

static void make_history(struct store *store, uint64_t commits)
{
	model.revision = 1;
	model_make(intern(""), RECORD_DIRECTORY, 0755, NULL);
	model.revision = 2;
	{
		const struct credentials author = { .uid = 0 };
		struct program *program = program_new(&author);

		check(try_put(program, intern("extra")));
		check(submit(store, program).error == 0);
		set_live(intern("extra"), false); /* nobody picks it */
	}
	while (model.revision < commits)
		commit_one(store);
}

static void test_all(const char *self, const char *path, uint64_t commits, bool encrypted)
{
	struct reading reading = { .oldest = 1 };

	create_store(path, encrypted);
	reading.named = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	reading.store = open_store(path);
	make_history(reading.store, commits);
	printf("%" G_GUINT64_FORMAT " commits on %u keys%s\n", commits, model.all->len,
	       encrypted ? ", encrypted" : "");
	compare_reads(&reading, READS);
	test_compaction(&reading);
	store_close(reading.store);
	test_kills(self, path, &reading);

	reading.store = open_store(path);
	drop_names(&reading);
	check(compact(reading.store, reading.oldest) == 0);
	expect_compacted(&reading);
	compare_reads(&reading, READS / 4);
	store_close(reading.store);
	check_store(path);
	g_array_unref(reading.named);
}

static void free_model(void)
{
	for (guint i = 0; i < model.all->len; i++) {
		struct key *key = model.all->pdata[i];

		for (guint j = 0; j < key->states->len; j++)
			g_free(g_array_index(key->states, struct state, j).value);
		g_array_unref(key->states);
		g_ptr_array_unref(key->children);
		g_free(key->name);
		g_free(key);
	}
	g_ptr_array_unref(model.all);
	g_ptr_array_unref(model.live);
	g_hash_table_unref(model.keys);
	g_rand_free(model.random);
}

static void remove_tree(const char *path)
{
	g_autofree char *quoted = g_shell_quote(path);
	g_autofree char *command = g_strconcat("rm -rf ", quoted, NULL);

	check(system(command) == 0);
}

static void test_store(guint32 seed, uint64_t commits, bool encrypted)
{
	g_autofree char *directory = g_dir_make_tmp("history.XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "store", NULL);

	model.keys = g_hash_table_new(g_str_hash, g_str_equal);
	model.all = g_ptr_array_new();
	model.live = g_ptr_array_new();
	model.random = g_rand_new_with_seed(seed);
	test_all("/proc/self/exe", path, commits, encrypted);
	remove_tree(directory);
	free_model();
}

int main(int argc, char **argv)
{
	uint64_t commits = getenv("COMMITFS_FULL") ? COMMITS_FULL : COMMITS;
	guint32 seed = 1;

	if (argc == 4 && strcmp(argv[1], "--compact") == 0)
		return compact_until_killed(argv[2], g_ascii_strtoull(argv[3], NULL, 10));
	if (argc > 1)
		seed = (guint32)g_ascii_strtoull(argv[1], NULL, 10);
	if (argc > 2)
		commits = g_ascii_strtoull(argv[2], NULL, 10);
	printf("seed %u\n", seed);
	fflush(stdout);
	test_store(seed, commits, false);
	test_store(seed, commits / ENCRYPTED_PART, true);
	return 0;
}
