/* Stores with damage: a write-ahead log that is torn, damaged, zeroed or missing, and tables. */
#include "store/check.h"
#include "tests/unit/store_disk.h"

TestSuite(store_damage, .init = setup, .fini = teardown, .timeout = 120);
TestSuite(store_damage_encrypted, .init = setup_encrypted, .fini = teardown, .timeout = 120);

/* What holds for encrypted stores too. */
#define IN_BOTH(name)                      \
	static void name(void);            \
	Test(store_damage, name)           \
	{                                  \
		name();                    \
	}                                  \
	Test(store_damage_encrypted, name) \
	{                                  \
		name();                    \
	}                                  \
	static void name(void)

/* A store as a killed writer leaves it after so many commits, and a copy of it. The last one. */
static uint64_t leave_store(uint64_t commits, char **ret_whole, char **ret_wal, gsize *ret_size)
{
	uint64_t last;

	create();
	pauses = true;
	last = kill_a_writer(commits, STORE_SYNC_ALWAYS);
	*ret_whole = g_build_filename(base, "whole", NULL);
	copy_store(path, *ret_whole);
	*ret_wal = find_wal(ret_size);
	return last;
}

/* ---- Flipped bytes -------------------------------------------------------------- */

/* What one flipped byte at `at` of the log does: the store must not open with less than
 * was acknowledged. */
static bool expect_no_silent_loss(const char *whole, gsize at, uint64_t acknowledged)
{
	struct store *store = NULL;
	g_autofree char *message = NULL;
	g_autofree char *before = NULL;
	g_autofree char *after = NULL;
	g_autofree char *wal = NULL;
	gsize size;
	int r;

	copy_store(whole, path);
	wal = find_wal(&size);
	flip_byte(wal, at);
	before = fingerprint();
	r = try_open(&store, &message);
	if (r == 0) {
		bool lost = store_revision(store) < acknowledged;

		store_close(store);
		return !lost;
	}
	cr_expect_eq(r, -EUCLEAN, "byte %zu: %d %s", at, r, message);
	cr_expect_not_null(strstr(message, "nothing was changed"), "%s", message);
	after = fingerprint();
	cr_expect_str_eq(after, before, "byte %zu: the store was changed", at);
	return true;
}

IN_BOTH(a_flipped_byte_in_the_log_never_loses_silently)
{
	g_autofree char *whole = NULL;
	g_autofree char *wal = NULL;
	uint64_t acknowledged;
	int lost = 0;
	gsize size;

	acknowledged = leave_store(20, &whole, &wal, &size);
	cr_assert_gt(size, 1000);
	for (gsize at = 0; at < size; at += 1 + size / 70)
		lost += !expect_no_silent_loss(whole, at, acknowledged);
	/* Where there are zeros, to be written over. */
	for (gsize at = size; at < size + 100000; at += 1 + (at - size) * 2)
		lost += !expect_no_silent_loss(whole, at, acknowledged);
	cr_expect_eq(lost, 0, "%d lost", lost);
}

IN_BOTH(damage_names_the_revision_before_it)
{
	g_autofree char *wal = NULL;
	uint64_t last;
	gsize size;

	create();
	last = kill_a_writer(50, STORE_SYNC_ALWAYS);
	cr_assert_gt(last, 0);
	wal = find_wal(&size);
	flip_byte(wal, size / 2);
	expect_refused(-EUCLEAN, "everything up to revision");
	expect_refused(-EUCLEAN, "--accept-loss");
	expect_refused(-EUCLEAN, "nothing was changed");
}

/* ---- A torn end ----------------------------------------------------------------- */

static void zero(const char *file, gsize from, gsize size)
{
	g_autofree char *zeros = g_malloc0(size);
	int fd = open(file, O_RDWR);

	cr_assert_eq(pwrite(fd, zeros, size, (off_t)from), (ssize_t)size);
	close(fd);
}

/* What was committed at the end of a log that was cut. All of it is a prefix of what there was. */
static uint64_t expect_prefix(void)
{
	struct store *store = open_store();
	uint64_t revision = store_revision(store);

	if (revision > 1) {
		g_autofree char *both = g_strdup_printf("%d", (int)revision - 2);

		expect_value(store, "both", both);
		expect_whole(store);
	}
	store_close(store);
	return revision;
}

/* Behind the last group that is whole nothing was acknowledged, as long as the disk keeps what
 * it has synced. When it does not, what is left is still a prefix. */
IN_BOTH(a_log_that_ends_anywhere_is_forgiven)
{
	g_autofree char *whole = NULL;
	g_autofree char *wal = NULL;
	uint64_t last, before = 0;
	gsize size;

	last = leave_store(10, &whole, &wal, &size);
	for (gsize at = size; at > 0; at -= MIN(at, 1 + size / 30)) {
		uint64_t revision;

		copy_store(whole, path);
		cr_assert_eq(truncate(wal, (off_t)at), 0);
		revision = expect_prefix();
		cr_expect(before == 0 || revision <= before, "cut at %zu", at);
		/* A group is some hundred bytes. */
		cr_expect(at + 100 < size || revision + 1 >= last, "cut at %zu", at);
		before = revision;
	}
}

/* Sectors of the last group reach the disk in any order. */
IN_BOTH(a_last_group_with_parts_missing_is_forgiven)
{
	g_autofree char *whole = NULL;
	g_autofree char *wal = NULL;
	uint64_t last;
	gsize size;

	padding = 200000;
	last = leave_store(3, &whole, &wal, &size);
	for (gsize back = 1; back < 48; back += 9) {
		copy_store(whole, path);
		zero(wal, (size / 4096 - back) * 4096, 4096);
		cr_expect_eq(expect_prefix(), last - 1, "%zu pages before the end", back);
	}
	for (gsize back = 1; back < 300; back += 71) {
		copy_store(whole, path);
		zero(wal, (size / 512 - back) * 512, 512);
		cr_expect_eq(expect_prefix(), last - 1, "%zu sectors before the end", back);
	}
	copy_store(whole, path);
	zero(wal, (size / 4096 - 10) * 4096, 10 * 4096 + size % 4096);
	cr_expect_eq(expect_prefix(), last - 1);
	/* Of the last but one that is damage, and so is what is not a missing page. */
	copy_store(whole, path);
	zero(wal, size * 2 / 5 / 4096 * 4096, 4096);
	expect_refused(-EUCLEAN, "--accept-loss");
	copy_store(whole, path);
	flip_byte(wal, size - 100000);
	expect_refused(-EUCLEAN, "--accept-loss");
}

/* Reading at its beginning fails, as where a disk has a sector that it cannot read. */
Test(store_damage, a_log_that_cannot_be_read_is_refused)
{
	g_autofree char *link = NULL;

	create();
	link = g_build_filename(path, "db", "999999.log", NULL);
	cr_assert_eq(symlink("/proc/self/mem", link), 0);
	expect_refused(-EIO, "': Input/output error");
}

/* ---- Accepting a loss ----------------------------------------------------------- */

static int try_accept(struct store **ret, char **ret_message)
{
	struct store_options options;

	store_options_init(&options);
	options.path = path;
	options.key = store_key;
	options.accept_loss = true;
	return store_open(&options, ret, ret_message);
}

static void expect_log(struct store *store, uint64_t lost_after)
{
	uint64_t revision = store_revision(store);
	struct log_entry *entry = NULL;

	cr_expect_eq(revision, lost_after + 1);
	for (uint64_t i = 1; i <= revision; i++) {
		cr_assert_eq(store_log(store, i, &entry), 0, "revision %d", (int)i);
		if (i < revision)
			log_entry_free(entry);
	}
	cr_expect_not_null(strstr(entry->message, "accept-loss"), "%s", entry->message);
	cr_expect_eq(entry->changes->len, 0);
	log_entry_free(entry);
}

/* Revision `lost_after` is the last that is left, and the log says so; from then on it is a
 * store like any other. */
static void expect_accepted(uint64_t lost_after)
{
	g_autofree char *both = g_strdup_printf("%d", (int)lost_after - 2);
	g_autofree char *message = NULL;
	struct store *store = NULL;

	cr_assert_eq(try_accept(&store, &message), 0, "%s", message);
	expect_log(store, lost_after);
	if (lost_after > 1) {
		expect_value(store, "both", both);
		expect_whole(store);
	}
	cr_expect_eq(put(store, "after", "it"), 0);
	store_close(store);
	store = open_store();
	cr_expect_eq(store_revision(store), lost_after + 2);
	expect_value(store, "after", "it");
	store_close(store);
}

/* The revision that a refusal calls the last one that can be read. */
static uint64_t refused_after(void)
{
	struct store *store = NULL;
	g_autofree char *message = NULL;
	const char *words;

	cr_assert_eq(try_open(&store, &message), -EUCLEAN);
	words = strstr(message, "up to revision ");
	cr_assert_not_null(words, "%s", message);
	return g_ascii_strtoull(words + strlen("up to revision "), NULL, 10);
}

IN_BOTH(what_is_lost_is_kept_durably_before_anything_is_cut)
{
	g_autofree char *whole = NULL, *wal = NULL, *message = NULL;
	g_autofree char *made = g_strdup_printf("\n%s with lost\n", path);
	g_autofree char *kept = g_strdup_printf("\n%s/lost\ncut\n", path);
	struct store *store = NULL;
	const char *cut, *above;
	gsize size;

	leave_store(30, &whole, &wal, &size);
	flip_byte(wal, size / 2);
	synced = g_string_new("\n");
	cr_assert_eq(try_accept(&store, &message), 0, "%s", message);
	cut = strstr(synced->str, kept);
	above = strstr(synced->str, made);
	cr_expect(above && cut && above < cut, "synced:%s", synced->str);
	store_close(store);
	g_string_free(g_steal_pointer(&synced), TRUE);
}

/* `age_s`: of the note, when the store is opened. */
static uint64_t open_with_note(const char *note, const char *why, int age_s)
{
	const struct timespec when = { .tv_sec = time(NULL) - age_s };
	const struct timespec times[2] = { when, when };
	struct store *store;
	uint64_t revision;

	cr_assert(g_file_set_contents(note, why, -1, NULL));
	cr_assert_eq(utimensat(AT_FDCWD, note, times, 0), 0);
	store = open_store();
	revision = store_revision(store);
	store_close(store);
	cr_expect_neq(access(note, F_OK), 0);
	return revision;
}

/* Killed when the loss was logged, and its note not removed. */
IN_BOTH(a_loss_is_logged_once)
{
	g_autofree char *whole = NULL, *wal = NULL, *message = NULL;
	g_autofree char *note = g_build_filename(path, "accepted-loss", NULL);
	struct log_entry *entry = NULL;
	struct store *store = NULL;
	uint64_t revision;
	const char *why;
	gsize size;

	leave_store(30, &whole, &wal, &size);
	flip_byte(wal, size / 2);
	cr_assert_eq(try_accept(&store, &message), 0, "%s", message);
	revision = store_revision(store);
	cr_assert_eq(store_log(store, revision, &entry), 0);
	store_close(store);
	why = strstr(entry->message, "is lost: ") + strlen("is lost: ");
	cr_expect_eq(open_with_note(note, why, 60), revision);
	/* Another one, of the same reason. */
	cr_expect_eq(open_with_note(note, why, -60), revision + 1);
	log_entry_free(entry);
}

IN_BOTH(a_loss_that_is_accepted_is_logged_and_leaves_a_prefix)
{
	g_autofree char *whole = NULL;
	g_autofree char *lost = g_build_filename(path, "lost", NULL);
	g_autofree char *wal = NULL;
	uint64_t last;
	gsize size;

	last = leave_store(30, &whole, &wal, &size);
	for (gsize at = 40; at < size; at += size / 8) {
		uint64_t safe;

		copy_store(whole, path);
		flip_byte(wal, at);
		safe = refused_after();
		cr_expect_lt(safe, last);
		expect_accepted(safe);
		cr_expect(g_file_test(lost, G_FILE_TEST_IS_DIR));
	}
}

IN_BOTH(a_zeroed_log_is_a_loss)
{
	g_autofree char *wal = NULL;
	gsize size;

	create();
	kill_a_writer(10, STORE_SYNC_ALWAYS);
	wal = find_wal(&size);
	zero(wal, 0, size);
	cr_expect_eq(refused_after(), 1);
	expect_accepted(1);
}

IN_BOTH(a_log_without_files_is_a_loss)
{
	g_autofree char *command = g_strdup_printf("rm '%s'/db/*.log", path);

	create();
	kill_a_writer(10, STORE_SYNC_ALWAYS);
	cr_assert_eq(system(command), 0);
	cr_expect_eq(refused_after(), 1);
	expect_accepted(1);
}

IN_BOTH(zeros_within_the_log_are_a_loss)
{
	g_autofree char *wal = NULL;
	uint64_t safe;
	gsize size;

	create();
	padding = 3000;
	kill_a_writer(60, STORE_SYNC_ALWAYS);
	wal = find_wal(&size);
	cr_assert_gt(size, 3 * 32768);
	zero(wal, 32768, 32768); /* a block: its end is where RocksDB goes on */
	safe = refused_after();
	cr_expect_gt(safe, 1);
	cr_expect_lt(safe, 20);
	expect_accepted(safe);
}

/* A process whose threads of RocksDB are to work must not be the child of one that has some. */
static void create_elsewhere(void)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		char *message;

		_exit(try_create(&message) < 0);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
}

/* Does what it says to $1, the log number `which`. False: there is none. */
static bool do_to_log(int which, const char *what)
{
	g_autofree char *command = g_strdup_printf(
		"cd '%s/db' && set -- *.log && [ $# -gt %d ] && shift %d && [ -e $1 ] && %s $1",
		path, which, which, what);

	return system(command) == 0;
}

/* With more than one log the families are in tables up to different revisions: then nothing but
 * a backup helps, and never is a part shown. */
IN_BOTH(a_log_that_is_missing_is_a_loss)
{
	g_autofree char *whole = g_build_filename(base, "whole", NULL);
	uint64_t last;
	int missing;

	create_elsewhere();
	padding = 1 << 20;
	last = kill_a_writer(25, STORE_SYNC_ALWAYS);
	copy_store(path, whole);
	for (missing = 0;; missing++) {
		g_autofree char *message = NULL;
		struct store *store = NULL;
		bool newest;
		int r;

		copy_store(whole, path);
		if (!do_to_log(missing, "rm"))
			break;
		newest = !do_to_log(missing, "test -s"); /* none, or begun and empty */
		r = try_open(&store, &message);
		if (r == 0) {
			store_close(store);
			copy_store(whole, path);
			do_to_log(missing, "rm");
			/* One that is not needed any more, or the newest. */
			cr_expect(expect_prefix() >= last || newest, "log %d", missing);
			continue;
		}
		cr_expect_eq(r, -EUCLEAN);
		cr_expect_not_null(strstr(message, "nothing was changed"), "%s", message);
		g_clear_pointer(&message, g_free);
		r = try_accept(&store, &message);
		if (r == 0) {
			expect_log(store, store_revision(store) - 1);
			if (store_revision(store) > 2)
				expect_whole(store);
			store_close(store);
		} else {
			cr_expect_eq(r, -EUCLEAN, "%s", message);
			cr_expect_eq(try_open(&store, &message), -EUCLEAN, "once is for all");
		}
	}
	cr_expect_gt(missing, 1);
}

IN_BOTH(accepting_a_loss_where_there_is_none_does_nothing)
{
	g_autofree char *message = NULL;
	struct store *store;
	uint64_t last;

	create();
	last = kill_a_writer(10, STORE_SYNC_ALWAYS);
	cr_assert_eq(try_accept(&store, &message), 0, "%s", message);
	/* One more may have been written, and not told. */
	cr_expect_leq(store_revision(store) - last, 1);
	store_close(store);
}

/* ---- Keys ----------------------------------------------------------------------- */

/* Whatever the log is like, nothing is changed for who has another key, not even what is
 * forgiven or given up otherwise. */
static void expect_other_key_refused(bool accept_loss)
{
	g_autofree char *before = fingerprint(), *after = NULL, *message = NULL;
	struct store_options options;
	struct store *store = NULL;

	store_options_init(&options);
	options.path = path;
	options.key = make_key(accept_loss ? "other" : "another");
	options.accept_loss = accept_loss;
	cr_expect_eq(store_open(&options, &store, &message), -EKEYREJECTED, "%s", message);
	cr_expect_not_null(strstr(message, "nothing was changed"), "%s", message);
	after = fingerprint();
	cr_expect_str_eq(after, before);
	store_key_free((struct store_key *)options.key);
}

static void expect_other_keys_refused(const char *whole, const char *wal, gsize from, gsize cut)
{
	g_autofree char *other = g_build_filename(base, "other", NULL);
	g_autofree char *another = g_build_filename(base, "another", NULL);

	copy_store(whole, path);
	if (cut)
		cr_assert_eq(truncate(wal, (off_t)from), 0);
	else
		flip_byte(wal, from);
	expect_other_key_refused(false);
	expect_other_key_refused(true);
	unlink(other);
	unlink(another);
}

Test(store_damage_encrypted, another_key_is_refused_whatever_the_log_is_like)
{
	g_autofree char *whole = NULL;
	g_autofree char *wal = NULL;
	gsize size;

	leave_store(20, &whole, &wal, &size);
	expect_other_keys_refused(whole, wal, size - 5, true);
	expect_other_keys_refused(whole, wal, 2, true);
	expect_other_keys_refused(whole, wal, 40, false);
	expect_other_keys_refused(whole, wal, size / 2, false);
	copy_store(whole, path);
	zero(wal, 0, size);
	expect_other_key_refused(true);
	copy_store(whole, path);
	cr_assert_eq(unlink(wal), 0);
	expect_other_key_refused(false);
}

/* ---- Only looking --------------------------------------------------------------- */

static const char *kind_found;

static void note_problem(const struct store_problem *problem, void *arg)
{
	(void)arg;
	cr_expect_null(kind_found, "%s: %s", problem->kind, problem->text);
	kind_found = g_intern_string(problem->kind);
}

/* `kind`: NULL: nothing is found. */
static void expect_checked(const char *kind, uint64_t revision)
{
	struct store_check_options options = { .problem = note_problem };
	g_autofree char *before = fingerprint(), *after = NULL, *message = NULL;
	struct store_check_result result;

	kind_found = NULL;
	store_options_init(&options.open);
	options.open.path = path;
	options.open.key = store_key;
	cr_assert_eq(store_check(&options, &result, &message), 0, "%s", message);
	cr_expect_str_eq(kind_found ? kind_found : "nothing", kind ? kind : "nothing");
	if (!kind)
		cr_expect_eq(result.revision, revision);
	after = fingerprint();
	cr_expect_str_eq(after, before);
}

IN_BOTH(who_checks_a_log_that_is_torn_or_damaged_changes_nothing)
{
	g_autofree char *whole = NULL;
	g_autofree char *wal = NULL;
	uint64_t last;
	gsize size;

	padding = 50000;
	last = leave_store(5, &whole, &wal, &size);
	expect_checked(NULL, last);
	cr_assert_eq(truncate(wal, (off_t)size - 5), 0);
	expect_checked(NULL, last - 1);
	copy_store(whole, path);
	zero(wal, (size / 4096 - 3) * 4096, 4096);
	expect_checked(NULL, last - 1);
	copy_store(whole, path);
	flip_byte(wal, size / 2);
	expect_checked("not-openable", 0);
}

/* ---- Logs that are not needed ---------------------------------------------------- */

/* The newest go first, so that between those that are left and those that are needed there may
 * be a gap. */
IN_BOTH(logs_that_were_not_removed_yet_do_no_harm)
{
	g_autofree char *old = g_build_filename(base, "old", NULL);
	g_autofree char *whole = g_build_filename(base, "whole", NULL);
	g_autofree char *wal = NULL;
	struct store *store;
	uint64_t revision;
	gsize size;

	create();
	kill_a_writer(3, STORE_SYNC_ALWAYS);
	wal = find_wal(&size);
	copy_store(wal, old);
	store_close(open_store());
	cr_assert_neq(access(wal, F_OK), 0);
	kill_a_writer(3, STORE_SYNC_ALWAYS);
	copy_store(path, whole);
	store = open_store();
	revision = store_revision(store);
	store_close(store);
	copy_store(whole, path);
	copy_store(old, wal);
	for (int damaged = 0; damaged < 2; damaged++) {
		expect_checked(NULL, revision);
		flip_byte(wal, size / 2);
	}
	store = open_store();
	cr_expect_eq(store_revision(store), revision);
	expect_whole(store);
	store_close(store);
	cr_expect_neq(access(wal, F_OK), 0, "RocksDB needs it");
}

/* ---- Tables --------------------------------------------------------------------- */

static void fill_tables(void)
{
	struct store *store = open_store();

	for (int i = 0; i < 200; i++) {
		g_autofree char *key = g_strdup_printf("t%03d", i);

		cr_expect_eq(put(store, key, key), 0);
	}
	store_close(store);
}

static char *find_table(int which)
{
	g_autofree char *command =
		g_strdup_printf("cd '%s/db' && ls -S *.sst | sed -n %dp", path, which + 1);
	FILE *pipe = popen(command, "r");
	char line[64] = "";
	bool found = fgets(line, sizeof(line), pipe) != NULL;

	pclose(pipe);
	return found ? g_build_filename(path, "db", g_strchomp(line), NULL) : NULL;
}

/* Refused, or an error where it is read: never another value. */
static void expect_never_wrong(gsize at)
{
	g_autofree char *message = NULL;
	struct store *store = NULL;
	int r = try_open(&store, &message);

	if (r < 0) {
		cr_expect(r == -EUCLEAN || r == -EIO, "byte %zu: %d %s", at, r, message);
		return;
	}
	for (int i = 0; i < 200; i++) {
		g_autofree char *key = g_strdup_printf("t%03d", i);
		g_autoptr(snapshot) snapshot = NULL;
		g_autoptr(record) record = NULL;

		cr_assert_eq(store_snapshot(store, 0, &snapshot), 0);
		r = snapshot_get(snapshot, key, &record);
		cr_expect(r == -EIO || (r == 0 && g_bytes_get_size(record->value) == strlen(key) &&
					memcmp(g_bytes_get_data(record->value, NULL), key,
					       strlen(key)) == 0),
			  "byte %zu: %s: %d", at, key, r);
	}
	store_close(store);
}

IN_BOTH(a_damaged_table_never_gives_another_value)
{
	g_autofree char *whole = g_build_filename(base, "whole", NULL);

	create();
	fill_tables();
	copy_store(path, whole);
	for (int which = 0; which < 4; which++) {
		struct stat status;
		g_autofree char *table = NULL;

		copy_store(whole, path);
		table = find_table(which);
		cr_assert_not_null(table);
		cr_assert_eq(stat(table, &status), 0);
		for (gsize at = 1; at < (gsize)status.st_size; at += (gsize)status.st_size / 4) {
			copy_store(whole, path);
			flip_byte(table, at);
			expect_never_wrong(at);
		}
	}
}
