/* Checking a store: every damage of a long list, planted into a good one, is found by its
 * name; good ones, also of random commits, give nothing; what is repaired is right again. */
#include "store/check.h"
#include "store/codec.h"
#include "store/layout.h"
#include "store/log.h"
#include "tests/unit/store_test.h"

#include <glib/gstdio.h>

static char *base; /* a directory of this test's */
static char *good; /* a good store in it */

/* ---- A good store --------------------------------------------------------------- */

struct waiting {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool finished;
	int error;
};

static void went_on(const struct compaction *progress, bool finished, int error, void *arg)
{
	struct waiting *waiting = arg;

	(void)progress;
	pthread_mutex_lock(&waiting->lock);
	waiting->finished = finished;
	waiting->error = error;
	pthread_cond_signal(&waiting->wake);
	pthread_mutex_unlock(&waiting->lock);
}

static void wait_for(struct waiting *waiting)
{
	pthread_mutex_lock(&waiting->lock);
	while (!waiting->finished)
		pthread_cond_wait(&waiting->wake, &waiting->lock);
	pthread_mutex_unlock(&waiting->lock);
}

static void compact(struct store *store, uint64_t revision)
{
	struct waiting waiting = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0 };

	cr_assert_eq(store_compact(store, revision, went_on, &waiting), 0);
	wait_for(&waiting);
}

static void purge(struct store *store, const char *key)
{
	struct waiting waiting = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0 };

	if (store_purge(store, key, went_on, &waiting) == 0)
		wait_for(&waiting);
	cr_expect_eq(waiting.error, 0);
}

static struct store *open_at(const char *path)
{
	struct store_options options;
	struct store *store = NULL;
	char *message = NULL;

	store_options_init(&options);
	options.path = path;
	options.sync = STORE_SYNC_NONE;
	cr_assert_eq(store_open(&options, &store, &message), 0, "%s", message);
	return store;
}

static struct store *create_at(const char *path)
{
	char *message = NULL;

	cr_assert_eq(store_create(path, &message), 0, "%s", message);
	return open_at(path);
}

static void must(int r)
{
	cr_assert_eq(r, 0, "%d", r);
}

static void value_becomes_directory(struct store *store, const char *key)
{
	struct program *program = program_new(&test_root);

	program_add(program, OP_DELETE, key);
	add_mkdir(program, key);
	must(run_error(store, program));
}

#define NEWEST 26

/* The numbers are those of the revisions. */
static void fill(struct store *store)
{
	must(make_directory(store, "a")); /* 2 */
	must(put(store, "a/x", "one"));
	must(put(store, "a/x", "two"));
	must(put(store, "a/y", "why")); /* 5 */
	must(store_name_snapshot(store, "n5", 5, 0, NULL));
	must(make_directory(store, "a/b"));
	must(put(store, "a/b/z", "zed"));
	must(make_link(store, "a/l", "x"));
	must(remove_key(store, OP_DELETE, "a/y"));
	must(put(store, "a/x", "three")); /* 10 */
	must(change_mode(store, "a", 0700));
	must(rename_key(store, "a/b", "c", 0));
	must(put(store, "d", "file"));
	value_becomes_directory(store, "d");
	must(put(store, "d/e", "e")); /* 15 */
	must(put(store, "a/x", "four"));
	must(remove_key(store, OP_DELETE, "a/x"));
	must(put(store, "a/x", "five"));
	must(put(store, "a/q", "q"));
	must(rename_key(store, "a/q", "a/l", 0)); /* 20 */
	must(put(store, "c/s", "s1"));
	must(put(store, "c/s", "s2"));
	must(put(store, "c/s", "s3"));
	must(put(store, "c/empty", ""));
	must(make_link(store, "c/link", "s")); /* 25 */
	must(put(store, "d/e", "e2"));
	compact(store, 10);
	purge(store, "d/e");
	cr_assert_eq(store_revision(store), NEWEST);
}

/* ---- Checking ------------------------------------------------------------------- */

struct findings {
	GString *kinds; /* " kind kind " */
	GString *texts;
};

static void add_problem(const struct store_problem *problem, void *arg)
{
	struct findings *found = arg;

	g_string_append_printf(found->kinds, "%s ", problem->kind);
	g_string_append_printf(found->texts, "  %s: %s\n", problem->kind, problem->text);
	cr_expect_null(strchr(problem->text, '\n'));
}

/* The kinds of what is found, each between blanks. Caller frees. */
static char *check_at(const char *path, bool repair, struct store_check_result *ret)
{
	struct findings found = { g_string_new(" "), g_string_new(NULL) };
	struct store_check_options options = { .repair = repair,
					       .problem = add_problem,
					       .arg = &found };
	char *message = NULL;

	store_options_init(&options.open);
	options.open.path = path;
	cr_expect_eq(store_check(&options, ret, &message), 0, "%s", message);
	g_free(message);
	if (g_getenv("CHECK_VERBOSE"))
		fputs(found.texts->str, stderr);
	g_string_free(found.texts, TRUE);
	return g_string_free(found.kinds, FALSE);
}

static void expect_nothing(const char *path, const char *what)
{
	struct store_check_result result;
	g_autofree char *kinds = check_at(path, false, &result);

	cr_expect_str_eq(kinds, " ", "%s: found%s", what, kinds);
	cr_expect_eq(result.problems, 0);
}

static void setup(void)
{
	struct store *store;

	base = g_dir_make_tmp("check.XXXXXX", NULL);
	good = g_build_filename(base, "good", NULL);
	store = create_at(good);
	fill(store);
	store_close(store);
}

static void shell(const char *command, const char *a, const char *b)
{
	g_autofree char *line = g_strdup_printf(command, a, b);

	cr_assert_eq(system(line), 0, "%s", line);
}

static void teardown(void)
{
	shell("rm -rf '%s' %s", base, "");
	g_free(good);
	g_free(base);
}

TestSuite(store_check, .init = setup, .fini = teardown);

/* A copy of the good store. Caller frees. */
static char *copy_good(void)
{
	char *path = g_build_filename(base, "copy", NULL);

	shell("rm -rf '%s' %s", path, "");
	shell("cp -r '%s' '%s'", good, path);
	return path;
}

/* ---- Planting ------------------------------------------------------------------- */

enum how {
	SET,	/* `width` bytes at `offset` become the number */
	CUT,	/* to the first `offset` bytes */
	REMOVE, /* all of it */
	COPY,	/* also under `other`, which is revision `number` of it in history and log */
};

/* Where fields of records lie; in history behind the revision that superseded them. */
enum {
	AT_FORMAT = 0,
	AT_FLAGS = 1,
	AT_TYPE = 2,
	AT_MODE = 3,
	AT_OWN_MTIME = 23,
	AT_INO = 39,
	AT_CREATE = 47,
	AT_MOD = 55,
	AT_ATTRIBUTE = 63,
	AT_VERSION = 71,
	AT_VALUE = 79,
	PAST = 8,
	LOG_LINE = 22,
	LOG_CLOCK = 34,
	LOG_KIND = 48,
};

struct damage {
	enum how how;
	enum family family;
	const char *key;   /* as it is stored, without a revision; NULL: the revision alone */
	uint64_t revision; /* 0: none */
	unsigned offset, width;
	uint64_t number;
	const char *other;
	const char *kind; /* of what must be found */
	bool repairable;
};

#define KEYS_SET(key, offset, width, number, kind)                                 \
	{                                                                          \
		SET, FAMILY_KEYS, key, 0, offset, width, number, NULL, kind, false \
	}
#define PAST_SET(key, revision, offset, width, number, kind)                                 \
	{                                                                                    \
		SET, FAMILY_HISTORY, key, revision, offset, width, number, NULL, kind, false \
	}
#define LOG_SET(revision, offset, width, number, kind)                                    \
	{                                                                                 \
		SET, FAMILY_LOG, NULL, revision, offset, width, number, NULL, kind, false \
	}
#define META_SET(key, offset, width, number, kind, repairable)                          \
	{                                                                               \
		SET, FAMILY_META, key, 0, offset, width, number, NULL, kind, repairable \
	}

static const struct damage damages[] = {
	/* Records, field by field. */
	KEYS_SET("a/l", AT_FORMAT, 1, 9, "record-damaged"),
	KEYS_SET("a/l", AT_FLAGS, 1, 8, "record-damaged"),
	KEYS_SET("a/l", AT_FLAGS, 1, 1, "record-damaged"),
	KEYS_SET("c/empty", AT_FLAGS, 1, 1, "record-value"),
	KEYS_SET("a/l", AT_TYPE, 1, 7, "record-damaged"),
	KEYS_SET("c/empty", AT_TYPE, 1, RECORD_DIRECTORY, "record-type"),
	KEYS_SET("c/", AT_TYPE, 1, RECORD_VALUE, "record-type"),
	KEYS_SET("a/l", AT_MODE, 4, 0100644, "record-attributes"),
	KEYS_SET("a/l", AT_MODE, 4, 04755, "record-attributes"),
	KEYS_SET("a/l", AT_OWN_MTIME, 8, 7, "record-attributes"),
	KEYS_SET("a/l", AT_INO, 8, 0, "record-attributes"),
	KEYS_SET("a/l", AT_INO, 8, 1, "inode-shared"),
	{ SET, FAMILY_KEYS, "a/l", 0, AT_INO, 8, (UINT64_C(99) << 40) + 5, NULL, "open-count",
	  true },
	KEYS_SET("a/l", AT_CREATE, 8, 0, "record-revisions"),
	KEYS_SET("a/l", AT_CREATE, 8, 21, "record-revisions"),
	KEYS_SET("a/l", AT_MOD, 8, 500, "revision-beyond"),
	KEYS_SET("a/l", AT_ATTRIBUTE, 8, 20, "record-revisions"),
	KEYS_SET("a/", AT_ATTRIBUTE, 8, 1, "record-revisions"),
	KEYS_SET("a/l", AT_VERSION, 8, 0, "record-revisions"),
	KEYS_SET("a/l", AT_VERSION, 8, 2, "record-revisions"),
	KEYS_SET("c/s", AT_VERSION, 8, 2, "history-version"),
	{ CUT, FAMILY_KEYS, "a/l", 0, 40, 0, 0, NULL, "record-damaged", false },
	{ CUT, FAMILY_KEYS, "c/link", 0, AT_VALUE, 0, 0, NULL, "record-value", false },
	{ CUT, FAMILY_KEYS, "/", 0, 5, 0, 0, NULL, "record-damaged", false },
	/* The tree. */
	{ REMOVE, FAMILY_KEYS, "c/", 0, 0, 0, 0, NULL, "parent-missing", false },
	{ REMOVE, FAMILY_KEYS, "/", 0, 0, 0, 0, NULL, "parent-missing", false },
	{ REMOVE, FAMILY_KEYS, "c/s", 0, 0, 0, 0, NULL, "log-kind", false },
	{ COPY, FAMILY_KEYS, "c/z", 0, 0, 0, 0, "c/z/w", "parent-value", false },
	{ COPY, FAMILY_KEYS, "c/z", 0, 0, 0, 0, "d", "both-forms", false },
	{ COPY, FAMILY_KEYS, "c/z", 0, 0, 0, 0, "c//z", "key-form", false },
	{ COPY, FAMILY_KEYS, "c/z", 0, 0, 0, 0, "c/new", "log-key", false },
	{ SET, FAMILY_KEYS, "c/", 0, AT_MOD, 8, 21, NULL, "directory-low", true },
	KEYS_SET("c/", AT_MOD, 8, 26, "directory-high"),
	/* The history. */
	{ REMOVE, FAMILY_HISTORY, "c/s", 22, 0, 0, 0, NULL, "history-gap", false },
	{ REMOVE, FAMILY_HISTORY, "c/s", 21, 0, 0, 0, NULL, "history-gap", false },
	{ REMOVE, FAMILY_HISTORY, "a/x", 4, 0, 0, 0, NULL, "history-snapshot", false },
	{ REMOVE, FAMILY_HISTORY, "a/x", 16, 0, 0, 0, NULL, "history-key", false },
	PAST_SET("c/s", 21, 0, 8, 23, "history-overlap"),
	PAST_SET("c/s", 22, 0, 8, 24, "history-overlap"),
	PAST_SET("c/s", 21, 0, 8, 21, "history-superseded"),
	PAST_SET("c/s", 22, 0, 8, 900, "revision-beyond"),
	PAST_SET("d", 13, 0, 8, 16, "both-forms"),
	PAST_SET("c/s", 22, PAST + AT_MOD, 8, 21, "history-revision"),
	PAST_SET("c/s", 22, PAST + AT_INO, 8, 77, "history-inode"),
	PAST_SET("c/s", 22, PAST + AT_CREATE, 8, 20, "history-life"),
	PAST_SET("c/s", 22, PAST + AT_FORMAT, 1, 3, "record-damaged"),
	{ CUT, FAMILY_HISTORY, "c/s", 22, 4, 0, 0, NULL, "record-damaged", false },
	{ CUT, FAMILY_HISTORY, "c/s", 22, 30, 0, 0, NULL, "record-damaged", false },
	{ COPY, FAMILY_HISTORY, "c/s", 22, 0, 0, 900, "c/s", "history-revision", false },
	{ COPY, FAMILY_HISTORY, "c/s", 22, 0, 0, 22, "c//s", "key-form", false },
	/* The log. */
	{ REMOVE, FAMILY_LOG, NULL, 15, 0, 0, 0, NULL, "log-missing", false },
	{ REMOVE, FAMILY_LOG, NULL, NEWEST, 0, 0, 0, NULL, "counter-high", false },
	{ CUT, FAMILY_LOG, NULL, 15, 30, 0, 0, NULL, "log-damaged", false },
	LOG_SET(15, 0, 1, 9, "log-damaged"),
	LOG_SET(15, LOG_LINE, 8, 7, "log-place"),
	LOG_SET(15, LOG_CLOCK, 8, 3, "log-clock"),
	LOG_SET(15, LOG_KIND, 1, CHANGE_DELETE, "log-kind"),
	LOG_SET(15, LOG_KIND, 1, 77, "log-damaged"),
	{ COPY, FAMILY_LOG, NULL, 13, 0, 0, 15, NULL, "history-key", false },
	{ COPY, FAMILY_LOG, NULL, 13, 0, 0, 15, NULL, "log-key", false },
	{ COPY, FAMILY_LOG, NULL, 13, 0, 0, 500, NULL, "log-beyond", false },
	{ COPY, FAMILY_LOG, NULL, 13, 0, 0, 0, "no number", "log-damaged", false },
	/* Counters, names and notes. */
	META_SET(META_REVISION, 0, 8, NEWEST - 2, "counter-low", true),
	META_SET(META_REVISION, 0, 8, NEWEST + 5, "counter-high", false),
	META_SET(META_OLDEST, 0, 8, 900, "oldest-revision", false),
	META_SET(META_OLDEST, 0, 8, 20, "leftovers", true),
	META_SET(META_OLDEST, 0, 8, 5, "log-missing", false),
	META_SET(META_FORMAT, 0, 8, 77, "meta", false),
	META_SET(META_ID, 0, 1, 'z', "meta", false),
	{ CUT, FAMILY_META, META_REVISION, 0, 4, 0, 0, NULL, "meta", false },
	{ REMOVE, FAMILY_META, META_REVISION, 0, 0, 0, 0, NULL, "meta", false },
	{ REMOVE, FAMILY_META, META_OPENED, 0, 0, 0, 0, NULL, "meta", false },
	{ REMOVE, FAMILY_META, META_ID, 0, 0, 0, 0, NULL, "meta", false },
	{ COPY, FAMILY_META, "snapshot/n5", 0, 0, 0, 0, META_COMPACTING, "meta", false },
	META_SET(META_OPENED, 0, 8, 0, "open-count", true),
	META_SET("snapshot/n5", 1, 8, 900, "snapshot-dangling", true),
	META_SET("snapshot/n5", 0, 1, 9, "snapshot-damaged", false),
	{ COPY, FAMILY_META, "snapshot/n5", 0, 0, 0, 0, "snapshot/a/b", "snapshot-name", false },
	{ COPY, FAMILY_META, "snapshot/n5", 0, 0, 0, 0, "purge//x", "purge-note", false },
};

/* The key as RocksDB has it. */
static GString *stored_under(const struct damage *damage, const char *key, uint64_t revision)
{
	GString *stored = g_string_new(key);
	char number[sizeof(revision)];

	layout_encode_number(damage->family == FAMILY_LOG ? revision : ~revision, number);
	if (damage->family == FAMILY_HISTORY)
		g_string_append_c(stored, '\0');
	if (revision)
		g_string_append_len(stored, number, sizeof(number));
	return stored;
}

static void put_bytes(struct layout *layout, enum family family, const GString *key,
		      const GByteArray *bytes)
{
	rocksdb_writebatch_t *batch = rocksdb_writebatch_create();

	rocksdb_writebatch_put_cf(batch, layout->families[family], key->str, key->len,
				  (const char *)bytes->data, bytes->len);
	cr_assert_eq(layout_write(layout, batch, true), 0);
	rocksdb_writebatch_destroy(batch);
}

static void remove_bytes(struct layout *layout, enum family family, const GString *key)
{
	rocksdb_writebatch_t *batch = rocksdb_writebatch_create();

	rocksdb_writebatch_delete_cf(batch, layout->families[family], key->str, key->len);
	cr_assert_eq(layout_write(layout, batch, true), 0);
	rocksdb_writebatch_destroy(batch);
}

static void set_number(GByteArray *bytes, const struct damage *damage)
{
	char number[sizeof(uint64_t)];

	cr_assert_leq(damage->offset + damage->width, bytes->len);
	layout_encode_number(damage->number, number);
	memcpy(bytes->data + damage->offset, number + sizeof(number) - damage->width,
	       damage->width);
}

static void plant_into(struct layout *layout, const struct damage *damage)
{
	g_autoptr(GByteArray) bytes = g_byte_array_new();
	GString *key = stored_under(damage, damage->key, damage->revision);
	rocksdb_pinnableslice_t *slice = NULL;
	const char *found;
	size_t size;

	cr_assert_eq(layout_get(layout, layout->newest, damage->family, key->str, key->len, &slice),
		     0, "nothing under %s", key->str);
	found = rocksdb_pinnableslice_value(slice, &size);
	g_byte_array_append(bytes, (const guint8 *)found, (guint)size);
	rocksdb_pinnableslice_destroy(slice);
	switch (damage->how) {
	case SET:
		set_number(bytes, damage);
		break;
	case CUT:
		cr_assert_lt(damage->offset, bytes->len);
		g_byte_array_set_size(bytes, damage->offset);
		break;
	case REMOVE:
		remove_bytes(layout, damage->family, key);
		break;
	case COPY:
		g_string_free(key, TRUE);
		key = stored_under(damage, damage->other, damage->number);
		break;
	}
	if (damage->how != REMOVE)
		put_bytes(layout, damage->family, key, bytes);
	g_string_free(key, TRUE);
}

static void plant(const char *path, const struct damage *damage)
{
	g_autofree char *database = g_build_filename(path, "db", NULL);
	struct layout layout;
	char *error = NULL;

	cr_assert_eq(layout_open(&layout, database, LAYOUT_OPEN, &error), 0, "%s", error);
	plant_into(&layout, damage);
	layout_close(&layout, true);
}

/* "set keys a/l 3: record-damaged", for messages. Caller frees. */
static char *describe(const struct damage *damage)
{
	static const char *const hows[] = { "set", "cut", "remove", "copy" };

	return g_strdup_printf("%s %s %s@%d %u %d: %s", hows[damage->how],
			       layout_family_name(damage->family), damage->key ? damage->key : "",
			       (int)damage->revision, damage->offset, (int)damage->number,
			       damage->kind);
}

/* ---- Tests ---------------------------------------------------------------------- */

Test(store_check, a_good_store_has_no_problem)
{
	struct store_check_result result;
	g_autofree char *kinds = check_at(good, false, &result);

	cr_expect_str_eq(kinds, " ");
	cr_expect_eq(result.revision, NEWEST);
	cr_expect_eq(result.oldest_revision, 10);
	cr_expect_eq(result.keys, 11, "%d", (int)result.keys);
	cr_expect_eq(result.commits, NEWEST - 10 + 1);
	cr_expect_gt(result.versions, 10);
}

Test(store_check, every_damage_is_found_by_its_name)
{
	for (size_t i = 0; i < G_N_ELEMENTS(damages); i++) {
		g_autofree char *path = copy_good(), *what = describe(&damages[i]);
		g_autofree char *wanted = g_strdup_printf(" %s ", damages[i].kind);
		g_autofree char *kinds = NULL;
		struct store_check_result result;

		plant(path, &damages[i]);
		kinds = check_at(path, false, &result);
		cr_expect(strstr(kinds, wanted), "%s; found%s", what, kinds);
		cr_expect_eq(result.repaired, 0);
		cr_expect(result.repairable > 0 || !damages[i].repairable, "%s", what);
	}
}

/* A damaged key: nothing is missing between the newest revision and it. */
Test(store_check, an_entry_of_the_last_number_is_beyond_and_nothing_is_missing)
{
	const struct damage damage = {
		.how = COPY, .family = FAMILY_LOG, .revision = NEWEST, .number = UINT64_MAX
	};
	g_autofree char *path = copy_good(), *kinds = NULL;
	struct store_check_result result;

	plant(path, &damage);
	kinds = check_at(path, false, &result);
	cr_expect(strstr(kinds, " log-beyond "), "found%s", kinds);
	cr_expect_null(strstr(kinds, " log-missing "), "found%s", kinds);
}

Test(store_check, what_is_repaired_is_right_again)
{
	for (size_t i = 0; i < G_N_ELEMENTS(damages); i++) {
		g_autofree char *path = NULL, *what = NULL, *kinds = NULL;
		struct store_check_result result;

		if (!damages[i].repairable)
			continue;
		path = copy_good();
		what = describe(&damages[i]);
		plant(path, &damages[i]);
		kinds = check_at(path, true, &result);
		cr_expect_eq(result.repaired, result.repairable, "%s", what);
		expect_nothing(path, what);
		store_close(open_at(path));
		expect_nothing(path, what);
	}
}

Test(store_check, repairing_a_good_store_changes_nothing)
{
	struct store_check_result result;
	g_autofree char *kinds = check_at(good, true, &result);

	cr_expect_str_eq(kinds, " ");
	expect_nothing(good, "repaired without need");
}

/* Flips a byte in the middle of a data block of each table, one at a time. */
Test(store_check, a_flipped_byte_in_any_table_is_found)
{
	g_autofree char *database = g_build_filename(good, "db", NULL);
	g_autoptr(GDir) directory = g_dir_open(database, 0, NULL);
	const char *name;
	int tables = 0;

	while ((name = g_dir_read_name(directory))) {
		g_autofree char *path = NULL, *table = NULL, *kinds = NULL, *bytes = NULL;
		struct store_check_result result;
		gsize size;

		if (!g_str_has_suffix(name, ".sst"))
			continue;
		path = copy_good();
		table = g_build_filename(path, "db", name, NULL);
		cr_assert(g_file_get_contents(table, &bytes, &size, NULL));
		bytes[20] ^= 0x10;
		cr_assert(g_file_set_contents(table, bytes, (gssize)size, NULL));
		kinds = check_at(path, false, &result);
		cr_expect(strstr(kinds, " unreadable ") || strstr(kinds, " not-openable "),
			  "%s: found%s", name, kinds);
		tables++;
	}
	cr_expect_geq(tables, 4);
}

Test(store_check, a_missing_file_is_found)
{
	static const char *const files[] = { "CURRENT", "MANIFEST-*", "*.sst" };

	for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
		g_autofree char *path = copy_good(), *kinds = NULL;
		struct store_check_result result;

		shell("rm '%s'/db/%s", path, files[i]);
		kinds = check_at(path, false, &result);
		cr_expect_str_eq(kinds, " not-openable ", "%s: found%s", files[i], kinds);
	}
}

static guint count_threads(void)
{
	g_autoptr(GDir) tasks = g_dir_open("/proc/self/task", 0, NULL);
	guint count = 0;

	while (g_dir_read_name(tasks))
		count++;
	return count;
}

static void expect_not_started(const char *path)
{
	struct store_options options;
	g_autofree char *message = NULL;
	struct store *store;

	store_options_init(&options);
	options.path = path;
	options.sync = STORE_SYNC_INTERVAL;
	cr_assert_eq(store_open(&options, &store, &message), -EUCLEAN);
	cr_expect_not_null(strstr(message, "damaged: its note of a compaction"), "%s", message);
}

/* What is left of a compaction is read last, when the threads of a store run already. */
Test(store_check, a_store_that_does_not_start_leaves_no_thread)
{
	const struct damage damage = {
		.how = COPY, .family = FAMILY_META, .key = "snapshot/n5", .other = META_COMPACTING
	};
	g_autofree char *path = copy_good();
	guint before;

	plant(path, &damage);
	expect_not_started(path); /* RocksDB has its threads now */
	before = count_threads();
	for (int i = 0; i < 3; i++)
		expect_not_started(path);
	cr_expect_eq(count_threads(), before);
}

Test(store_check, an_open_store_is_refused)
{
	struct store_check_options options = { 0 };
	struct store_check_result result;
	struct store *store = open_at(good);
	g_autofree char *message = NULL;

	store_options_init(&options.open);
	options.open.path = good;
	cr_expect_eq(store_check(&options, &result, &message), -EBUSY);
	cr_expect(strstr(message, "another process has it open"), "%s", message);
	store_close(store);
}

/* ---- Random commits ------------------------------------------------------------- */

static const char *const some_keys[] = { "a",	  "b",	"a/a",	 "a/b",	    "b/a", "a/a/a", "a/a/b",
					 "b/a/a", "a-", "a.b/c", "a/a/a/a", "+",   "a.b" };

static const char *any_key(GRand *rand)
{
	return some_keys[g_rand_int_range(rand, 0, G_N_ELEMENTS(some_keys))];
}

static void add_any(GRand *rand, struct program *program)
{
	static const enum op_kind kinds[] = { OP_PUT,	  OP_PUT,	  OP_DELETE, OP_MKDIR,
					      OP_MKDIR,	  OP_RENAME,	  OP_RMDIR,  OP_ATTR,
					      OP_SYMLINK, OP_DELETE_TREE, OP_APPEND };
	struct op *op = program_add(program, kinds[g_rand_int_range(rand, 0, G_N_ELEMENTS(kinds))],
				    any_key(rand));

	op->mode = 0755;
	if (op->kind == OP_RENAME) {
		op->target = g_strdup(any_key(rand));
		op->flags = g_rand_int_range(rand, 0, 4) ? 0 : OP_EXCHANGE;
	} else if (op->kind == OP_ATTR) {
		op->changes = (struct attributes){ .mask = ATTRIBUTE_MODE, .mode = 0700 };
	} else if (op->kind == OP_PUT || op->kind == OP_SYMLINK || op->kind == OP_APPEND) {
		op->value = bytes_of(g_rand_boolean(rand) ? "some" : "other");
	}
}

static void commit_some(GRand *rand, struct store *store)
{
	for (int i = 0; i < 60; i++) {
		struct program *program = program_new(&test_root);
		int ops = g_rand_int_range(rand, 0, 3) ? 1 : g_rand_int_range(rand, 1, 5);

		for (int j = 0; j < ops; j++)
			add_any(rand, program);
		(void)run_error(store, program);
	}
}

static void keep_some(GRand *rand, struct store *store)
{
	g_autofree char *name = g_strdup_printf("n%d", g_rand_int_range(rand, 0, 5));
	struct store_status status;
	uint64_t revision = store_revision(store);

	store_get_status(store, &status);
	if (store_drop_snapshot(store, name) == -ENOENT)
		(void)store_name_snapshot(store, name, revision - revision / 7, 0, NULL);
	if (g_rand_boolean(rand))
		purge(store, any_key(rand));
	if (g_rand_boolean(rand))
		compact(store, MAX(status.oldest_revision, revision - revision / 5));
}

static void check_random(guint32 seed)
{
	g_autofree char *path = g_strdup_printf("%s/random%u", base, seed);
	g_autofree char *what = g_strdup_printf("seed %u", seed);
	g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
	struct store *store = create_at(path);

	for (int round = 0; round < 8; round++) {
		commit_some(rand, store);
		keep_some(rand, store);
		commit_some(rand, store);
		store_close(store);
		expect_nothing(path, what);
		store = open_at(path);
	}
	store_close(store);
}

Test(store_check, random_good_stores_have_no_problem)
{
	guint32 seeds = g_getenv("COMMITFS_FULL") ? 100 : 6;

	for (guint32 seed = 1; seed <= seeds; seed++)
		check_random(seed);
}
