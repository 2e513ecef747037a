/* Changing the key: at once, then everything with a new data key; killed anywhere. */
#include "store/reseal.h"
#include "store/tree_sum.h"
#include "tests/unit/store_crypt_test.h"

#define KEYS 700
#define WRITERS 2
#define BUSY_KEYS 2000

static struct crypt_store secret;

static void setup(void)
{
	make_crypt(&secret);
}

static void teardown(void)
{
	unmake_crypt(&secret);
}

TestSuite(store_reseal, .init = setup, .fini = teardown, .timeout = 240);

static void put_number(const char *key, int number)
{
	g_autofree char *text = g_strdup_printf("value %d", number);

	cr_assert_eq(put(secret.store, key, text), 0);
}

/* Keys with some history. */
static void fill(void)
{
	cr_assert_eq(make_directory(secret.store, "d"), 0);
	for (int i = 0; i < KEYS; i++) {
		g_autofree char *key = g_strdup_printf("d/k%d", i % (KEYS / 2));

		put_number(key, i);
	}
	cr_assert_eq(make_link(secret.store, "d/link", "text"), 0);
	cr_assert_eq(store_name_snapshot(secret.store, "name", 3, 0, NULL), 0);
}

static void expect_filled(void)
{
	g_autofree char *old = value_at(secret.store, 3, "d/k0");
	g_autoptr(log_entry) entry = NULL;
	uint64_t revision;

	cr_expect_str_eq(old, "value 0");
	for (int i = KEYS / 2; i < KEYS; i++) {
		g_autofree char *key = g_strdup_printf("d/k%d", i % (KEYS / 2));
		g_autofree char *text = g_strdup_printf("value %d", i);

		expect_value(secret.store, key, text);
	}
	expect_value(secret.store, "d/link", "text");
	cr_expect_eq(store_log(secret.store, 3, &entry), 0);
	cr_expect_eq(store_find_snapshot(secret.store, "name", &revision), 0);
	cr_expect_eq(check_tree(&secret), 0);
}

/* Gives the store a new key; it is closed then. The one it had (caller frees). */
static struct store_key *replace_key(const char *name)
{
	struct store_key *old = secret.key;
	char *message = NULL;

	secret.key = new_key(&secret, name);
	close_crypt(&secret);
	cr_assert_eq(store_change_key(secret.path, old, secret.key, &message), 0, "%s", message);
	return old;
}

static void change(const char *name)
{
	store_key_free(replace_key(name));
}

static void wait_resealed(void)
{
	struct store_status status;

	for (int i = 0; i < 60000; i++) {
		store_get_status(secret.store, &status);
		if (!status.resealing.running)
			return;
		g_usleep(1000);
	}
	cr_assert_fail("it does not end");
}

/* How many records of all families are not sealed by the current data key. */
static int count_old(void)
{
	const enum family families[] = { FAMILY_KEYS, FAMILY_HISTORY, FAMILY_LOG };
	const struct layout *layout = layout_of(&secret);
	int count = 0;

	for (guint i = 0; i < G_N_ELEMENTS(families); i++) {
		rocksdb_iterator_t *iterator = rocksdb_create_iterator_cf(
			layout->db, layout->newest, layout->families[families[i]]);
		size_t skip = families[i] == FAMILY_HISTORY ? sizeof(uint64_t) : 0;

		rocksdb_iter_seek_to_first(iterator);
		for (; rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator)) {
			struct seal_text text;
			const char *bytes = rocksdb_iter_value(iterator, &text.size);

			text.bytes = bytes + skip;
			text.size -= skip;
			count += !seal_is_current(layout->sealer, text);
		}
		rocksdb_iter_destroy(iterator);
	}
	return count;
}

Test(store_reseal, a_changed_key_opens_and_the_old_one_does_not)
{
	struct store_key *old;
	g_autofree char *message = NULL;
	struct store *store;

	fill();
	old = replace_key("new");
	cr_expect_eq(try_key(&secret, old, &store, &message), -EKEYREJECTED);
	store_key_free(old);
	open_crypt(&secret);
	expect_filled();
	wait_resealed();
	expect_filled();
}

Test(store_reseal, in_the_end_all_is_sealed_anew_and_the_old_data_key_is_gone)
{
	struct store_status status;

	fill();
	change("new");
	open_crypt(&secret);
	wait_resealed();
	cr_expect_eq(count_old(), 0);
	store_get_status(secret.store, &status);
	cr_expect_eq(status.data_key, 2);
	close_crypt(&secret);
	open_crypt(&secret);
	cr_expect_not(sealer_has_old(layout_of(&secret)->sealer));
	expect_filled();
}

Test(store_reseal, changes_one_after_the_other_before_it_is_opened_add_up)
{
	fill();
	change("second");
	change("third");
	change("fourth");
	open_crypt(&secret);
	cr_expect(sealer_has_old(layout_of(&secret)->sealer));
	wait_resealed();
	close_crypt(&secret);
	open_crypt(&secret);
	cr_expect_eq(sealer_current(layout_of(&secret)->sealer), 4);
	cr_expect_not(sealer_has_old(layout_of(&secret)->sealer));
	expect_filled();
}

Test(store_reseal, too_many_changes_are_refused_and_leave_the_key_it_has)
{
	struct store_key *key = new_key(&secret, "last");
	g_autofree char *message = NULL;

	for (int i = 2; i <= 16; i++) {
		g_autofree char *name = g_strdup_printf("key%d", i);

		change(name);
	}
	cr_expect_eq(store_change_key(secret.path, secret.key, key, &message), -EBUSY);
	cr_expect_not_null(strstr(message, "cannot change the key of store"), "%s", message);
	open_crypt(&secret);
	store_key_free(key);
}

/* Writes its own keys, over and over, while everything is sealed anew. */
struct writer {
	pthread_t thread;
	int first;
	int last[BUSY_KEYS]; /* what it wrote to each; 0: nothing */
	gint stop;	     /* atomic */
};

static void *write_keys(void *arg)
{
	struct writer *writer = arg;

	for (int i = 1; !g_atomic_int_get(&writer->stop); i++) {
		g_autofree char *key = g_strdup_printf("b/k%d", writer->first + i * 7 % BUSY_KEYS);

		put_number(key, i);
		writer->last[i * 7 % BUSY_KEYS] = i;
	}
	return NULL;
}

static void fill_busy(void)
{
	struct program *program = program_new(&test_root);

	add_mkdir(program, "b");
	for (int i = 0; i < WRITERS * BUSY_KEYS; i++) {
		g_autofree char *key = g_strdup_printf("b/k%d", i);

		add_put(program, key, "value 0");
	}
	cr_assert_eq(run_error(secret.store, program), 0);
}

static void expect_written(const struct writer *writer)
{
	for (int i = 0; i < BUSY_KEYS; i++) {
		g_autofree char *key = g_strdup_printf("b/k%d", writer->first + i);
		g_autofree char *text = g_strdup_printf("value %d", writer->last[i]);

		if (writer->last[i])
			expect_value(secret.store, key, text);
	}
}

/* Until it has come to what is not the tree. */
static void wait_tree_resealed(void)
{
	struct store_status status;

	do {
		g_usleep(1000);
		store_get_status(secret.store, &status);
	} while (status.resealing.running &&
		 status.resealing.records_done < (WRITERS + 1) * BUSY_KEYS);
}

Test(store_reseal, commits_go_on_meanwhile_and_none_is_undone)
{
	fill_busy();
	for (int round = 0; round < 2; round++) {
		g_autofree char *name = g_strdup_printf("new%d", round);
		g_autofree struct writer *writers = g_new0(struct writer, WRITERS);

		change(name);
		open_crypt(&secret);
		for (int i = 0; i < WRITERS; i++) {
			writers[i].first = i * BUSY_KEYS;
			pthread_create(&writers[i].thread, NULL, write_keys, &writers[i]);
		}
		wait_tree_resealed();
		for (int i = 0; i < WRITERS; i++) {
			g_atomic_int_set(&writers[i].stop, 1);
			pthread_join(writers[i].thread, NULL);
			expect_written(&writers[i]);
		}
		wait_resealed();
		cr_expect_eq(count_old(), 0);
		cr_expect_eq(check_tree(&secret), 0);
	}
}

/* ---- Taken away ----------------------------------------------------------------- */

/* Writes what META_ENCRYPTION has, of a store that is closed. */
static void put_data_keys(GBytes *keys)
{
	struct store_options options;
	struct local *local;
	char *message = NULL;

	store_options_init(&options);
	options.path = secret.path;
	options.key = secret.key;
	cr_assert_eq(local_open(&options, LAYOUT_OPEN, &local, &message), 0, "%s", message);
	raw_put_bytes(&local->layout, FAMILY_META, META_ENCRYPTION, strlen(META_ENCRYPTION), keys);
	local_free(local);
}

Test(store_reseal, who_puts_old_data_keys_back_makes_it_unreadable_not_readable)
{
	struct store_key *old;
	g_autoptr(GBytes) before = NULL;
	g_autofree char *message = NULL;
	struct store *store;

	fill();
	before = raw_get(layout_of(&secret), FAMILY_META, META_ENCRYPTION, strlen(META_ENCRYPTION));
	old = replace_key("new");
	/* Those of before the change, for who has the old key. */
	put_data_keys(before);
	cr_expect_lt(try_key(&secret, old, &store, &message), 0);
	store_key_free(old);
}

Test(store_reseal, no_data_key_can_be_taken_away)
{
	const gsize wrapped = 4 + 24 + 32 + 16;
	g_autoptr(GBytes) keys = NULL;
	g_autoptr(GByteArray) rest = g_byte_array_new();
	const char *id;
	struct sealer *sealer = NULL;
	struct seal_text text;

	keys = raw_get(layout_of(&secret), FAMILY_META, META_ENCRYPTION, strlen(META_ENCRYPTION));
	id = ((struct local *)secret.store)->id;
	text.bytes = g_bytes_get_data(keys, &text.size);
	/* The only data key; then the key of the fingerprints, which comes before it. */
	text.size -= wrapped;
	cr_expect_eq(sealer_open(id, text, secret.key, &sealer), -EIO);
	g_byte_array_append(rest, text.bytes, (guint)(text.size - wrapped));
	g_byte_array_append(rest, (const guint8 *)text.bytes + text.size, (guint)wrapped);
	text.bytes = rest->data;
	text.size = rest->len;
	cr_expect_eq(sealer_open(id, text, secret.key, &sealer), -EIO);
}

/* ---- Killed --------------------------------------------------------------------- */

/* The store as it would be if the process were killed now, opened with `key`. */
static void look_at_copy(const struct store_key *key, const char *when)
{
	struct crypt_store original = secret;
	g_autofree char *copy = g_build_filename(secret.base, "copy", NULL);
	g_autofree char *command =
		g_strdup_printf("rm -rf '%s'; cp -r '%s' '%s'", copy, secret.path, copy);
	char *message = NULL;

	cr_assert_eq(system(command), 0);
	secret.path = copy;
	cr_assert_eq(try_key(&secret, key, &secret.store, &message), 0, "%s: %s", when, message);
	expect_filled();
	wait_resealed();
	cr_expect_eq(count_old(), 0, "%s", when);
	expect_filled();
	store_close(secret.store);
	secret = original;
}

Test(store_reseal, killed_after_any_step_it_goes_on)
{
	struct store_options options;
	struct reseal *reseal;
	struct local *local;
	char *message = NULL;
	int steps = 0, r;

	fill();
	change("new");
	look_at_copy(secret.key, "before");
	store_options_init(&options);
	options.path = secret.path;
	options.key = secret.key;
	cr_assert_eq(local_open(&options, LAYOUT_OPEN, &local, &message), 0, "%s", message);
	local->compactor.local = local;
	cr_assert_eq(layout_get_number(&local->layout, local->layout.newest, META_REVISION,
				       &local->revision),
		     0);
	cr_assert_eq(reseal_new(local, &reseal), 0);
	cr_assert_not_null(reseal);
	do {
		g_autofree char *when = g_strdup_printf("after %d steps", steps + 1);

		r = reseal_step(reseal);
		steps++;
		look_at_copy(secret.key, when);
	} while (r == 1);
	cr_expect_eq(r, 0);
	cr_expect_gt(steps, 6);
	reseal_free(reseal);
	local_free(local);
}

Test(store_reseal, a_damaged_record_keeps_the_old_data_key)
{
	fill();
	raw_put(layout_of(&secret), FAMILY_KEYS, "d/link", 6, "\0\0\0\1 damaged", 12);
	change("new");
	open_crypt(&secret);
	wait_resealed();
	cr_expect_eq(count_old(), 1);
	/* The second opening keeps it too, though it goes on where the first one was. */
	for (int i = 0; i < 2; i++) {
		close_crypt(&secret);
		open_crypt(&secret);
		cr_expect(sealer_has_old(layout_of(&secret)->sealer));
		wait_resealed();
	}
}
