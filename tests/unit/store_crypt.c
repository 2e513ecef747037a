/* Encryption at rest: what is in the boxes comes back, and nothing that was altered, moved,
 * swapped or taken from elsewhere is ever taken for data. */
#include "store/data_keys.h"
#include "store/log_reader.h"
#include "store/tree_sum.h"
#include "tests/unit/store_crypt_test.h"

#include <dlfcn.h>
#include <sodium.h>
#include <sys/stat.h>

static struct crypt_store secret;
static gint opened; /* atomic: heads and tails of boxes */

/* Instead of libsodium's, which it calls. */
int crypto_aead_xchacha20poly1305_ietf_decrypt(unsigned char *text, unsigned long long *text_size,
					       unsigned char *nothing, const unsigned char *box,
					       unsigned long long box_size,
					       const unsigned char *bound,
					       unsigned long long bound_size,
					       const unsigned char *nonce, const unsigned char *key)
{
	int (*decrypt)(unsigned char *, unsigned long long *, unsigned char *,
		       const unsigned char *, unsigned long long, const unsigned char *,
		       unsigned long long, const unsigned char *, const unsigned char *);

	*(void **)&decrypt = dlsym(RTLD_NEXT, "crypto_aead_xchacha20poly1305_ietf_decrypt");
	g_atomic_int_inc(&opened);
	return decrypt(text, text_size, nothing, box, box_size, bound, bound_size, nonce, key);
}

static void setup(void)
{
	make_crypt(&secret);
}

static void teardown(void)
{
	unmake_crypt(&secret);
}

TestSuite(store_crypt, .init = setup, .fini = teardown, .timeout = 120);

static int put_with_message(const char *key, const char *text, const char *message)
{
	struct credentials credentials = { .command = "a-command" };
	struct program *program = program_new(&credentials);

	add_put(program, key, text);
	program->message = g_strdup(message);
	return run_error(secret.store, program);
}

static void reopen(void)
{
	close_crypt(&secret);
	open_crypt(&secret);
}

/* ---- What is there comes back --------------------------------------------------- */

static int collect_version(const struct version *version, void *arg)
{
	g_autofree char *text = text_of(version->record);

	g_string_append_printf(arg, "%d-%d:%s ", (int)version->revision,
			       (int)version->superseded_revision, text ? text : "-");
	return 0;
}

Test(store_crypt, a_past_value_is_opened_once)
{
	g_autoptr(snapshot) past = NULL;
	g_autoptr(record) record = NULL;
	g_autofree char *text = NULL;
	int before;

	cr_assert_eq(put(secret.store, "k", "a value"), 0);
	cr_assert_eq(remove_key(secret.store, OP_DELETE, "k"), 0);
	cr_assert_eq(store_snapshot(secret.store, 2, &past), 0);
	before = g_atomic_int_get(&opened);
	cr_assert_eq(snapshot_get(past, "k", &record), 0);
	cr_expect_eq(g_atomic_int_get(&opened) - before, 2, "more than head and tail");
	text = text_of(record);
	cr_expect_str_eq(text, "a value");
}

Test(store_crypt, values_links_directories_and_history_come_back)
{
	g_autoptr(GString) versions = g_string_new("");
	g_autoptr(log_entry) entry = NULL;
	g_autofree char *old = NULL;
	uint64_t revision;

	cr_assert_eq(put_with_message("a", "first", "a message"), 0);
	cr_assert_eq(put(secret.store, "a", ""), 0);
	cr_assert_eq(make_link(secret.store, "l", "a"), 0);
	cr_assert_eq(make_directory(secret.store, "d"), 0);
	cr_assert_eq(put(secret.store, "d/x", "below"), 0);
	cr_assert_eq(store_name_snapshot(secret.store, "named", 0, 0, NULL), 0);
	cr_assert_eq(remove_key(secret.store, OP_DELETE, "a"), 0);
	reopen();
	cr_expect_null(record_now(secret.store, "a"));
	expect_value(secret.store, "l", "a");
	expect_value(secret.store, "d/x", "below");
	expect_names(secret.store, 0, "", "d/ l");
	expect_names(secret.store, 2, "", "a");
	old = value_at(secret.store, 2, "a");
	cr_expect_str_eq(old, "first");
	cr_expect_eq(store_find_snapshot(secret.store, "named", &revision), 0);
	cr_expect_eq(revision, 6);
	cr_expect_eq(store_history(secret.store, "a", true, collect_version, versions), 0);
	cr_expect_str_eq(versions->str, "3-7: 2-3:first ");
	cr_assert_eq(store_log(secret.store, 2, &entry), 0);
	cr_expect_str_eq(entry->message, "a message");
	cr_expect_str_eq(entry->command, "a-command");
	cr_expect_eq(check_tree(&secret), 0);
}

static void purged(const struct compaction *progress, bool finished, int error, void *arg)
{
	(void)progress;
	if (finished)
		g_atomic_int_set((gint *)arg, 1 - error);
}

Test(store_crypt, a_purge_forgets_values_and_messages)
{
	g_autoptr(record) past = NULL;
	g_autoptr(log_entry) entry = NULL;
	gint done = 0;

	cr_assert_eq(put_with_message("k", "hunter2", "set to hunter2"), 0);
	cr_assert_eq(put(secret.store, "k", "now"), 0);
	cr_assert_eq(store_purge(secret.store, "k", purged, &done), 0);
	while (!g_atomic_int_get(&done))
		g_usleep(1000);
	cr_expect_eq(done, 1);
	past = record_at(secret.store, 2, "k");
	cr_assert_not_null(past);
	cr_expect(past->purged);
	cr_assert_eq(store_log(secret.store, 2, &entry), 0);
	cr_expect_str_eq(entry->message, "set to *******");
	expect_value(secret.store, "k", "now");
	cr_expect_eq(check_tree(&secret), 0);
}

/* ---- A byte that is another one ------------------------------------------------- */

/* What the store says of what lies there: 0 or an error. */
typedef int look_fn(void);

/* On the disk, whatever commits have left in memory. */
static int look_at(uint64_t revision, const char *key)
{
	struct local *local = (struct local *)secret.store;
	g_autoptr(snapshot) snapshot = NULL;
	g_autoptr(record) record = NULL;
	int r;

	cache_clear(local->committer.cache);
	r = store_snapshot(secret.store, revision, &snapshot);
	return r < 0 ? r : snapshot_get(snapshot, key, &record);
}

static int look_at_value(void)
{
	return look_at(0, "d/v");
}

static int look_at_link(void)
{
	return look_at(0, "d/l");
}

static int look_at_directory(void)
{
	return look_at(0, "d");
}

static int look_at_past_value(void)
{
	return look_at(3, "d/v");
}

static int look_at_past_link(void)
{
	return look_at(5, "d/l");
}

static int look_at_past_directory(void)
{
	return look_at(2, "d");
}

static int look_at_log(void)
{
	g_autoptr(log_entry) entry = NULL;

	return store_log(secret.store, 3, &entry);
}

static int look_at_tree_sum(void)
{
	return check_tree(&secret);
}

static int look_at_names(void)
{
	struct local *local = (struct local *)secret.store;
	int r;

	snapshot_names_done(&local->names);
	snapshot_names_init(&local->names);
	r = snapshot_names_load(local);
	return r;
}

static void flip_each_byte(const char *what, enum family family, const char *key, size_t size,
			   look_fn *look)
{
	const struct layout *layout = layout_of(&secret);
	g_autoptr(GBytes) stored = raw_get(layout, family, key, size);
	gsize count = g_bytes_get_size(stored);

	cr_expect_eq(look(), 0, "%s", what);
	for (gsize i = 0; i < count; i++) {
		g_autofree guint8 *bytes = g_memdup2(g_bytes_get_data(stored, NULL), count);
		int r;

		bytes[i] ^= (guint8)(1 << i % 8);
		raw_put(layout, family, key, size, bytes, count);
		r = look();
		cr_expect_eq(r, -EIO, "%s, byte %d of %d: %d", what, (int)i, (int)count, r);
	}
	for (gsize cut = 0; cut < count; cut++) {
		raw_put(layout, family, key, size, g_bytes_get_data(stored, NULL), cut);
		cr_expect_eq(look(), -EIO, "%s, cut to %d", what, (int)cut);
	}
	raw_put_bytes(layout, family, key, size, stored);
	cr_expect_eq(look(), 0, "%s", what);
}

/* The key of a history record, in *ret. */
static void set_history_key(struct stored_key *ret, const char *key, bool directory,
			    uint64_t revision)
{
	stored_key_set(ret, key, directory);
	stored_key_add_revision(ret, revision);
}

static void fill(void)
{
	cr_assert_eq(make_directory(secret.store, "d"), 0); /* 2 */
	cr_assert_eq(put_with_message("d/v", "value one", "because"), 0);
	cr_assert_eq(put(secret.store, "d/v", "value two"), 0); /* 4 */
	cr_assert_eq(make_link(secret.store, "d/l", "text"), 0);
	cr_assert_eq(remove_key(secret.store, OP_DELETE, "d/l"), 0); /* 6 */
	cr_assert_eq(make_link(secret.store, "d/l", "text two"), 0);
	cr_assert_eq(store_name_snapshot(secret.store, "name", 3, 0, NULL), 0);
}

Test(store_crypt, a_flipped_byte_is_an_error_and_never_data)
{
	struct stored_key stored;
	char number[8];

	fill();
	flip_each_byte("value", FAMILY_KEYS, "d/v", 3, look_at_value);
	flip_each_byte("link", FAMILY_KEYS, "d/l", 3, look_at_link);
	flip_each_byte("directory", FAMILY_KEYS, "d/", 2, look_at_directory);
	set_history_key(&stored, "d/v", false, 3);
	flip_each_byte("past value", FAMILY_HISTORY, stored.bytes, stored.size, look_at_past_value);
	set_history_key(&stored, "d/l", false, 5);
	flip_each_byte("past link", FAMILY_HISTORY, stored.bytes, stored.size, look_at_past_link);
	set_history_key(&stored, "d", true, 2);
	flip_each_byte("past directory", FAMILY_HISTORY, stored.bytes, stored.size,
		       look_at_past_directory);
	layout_encode_number(3, number);
	flip_each_byte("log", FAMILY_LOG, number, sizeof(number), look_at_log);
	flip_each_byte("revision", FAMILY_META, META_REVISION, strlen(META_REVISION),
		       look_at_value);
	flip_each_byte("tree sum", FAMILY_META, META_TREE_SUM, strlen(META_TREE_SUM),
		       look_at_tree_sum);
	flip_each_byte("name", FAMILY_META, "snapshot/name", strlen("snapshot/name"),
		       look_at_names);
}

static int list_nothing(const char *name, struct record *record, void *arg)
{
	(void)name;
	(void)record;
	(void)arg;
	return 0;
}

static int list_d(uint64_t revision)
{
	g_autoptr(snapshot) snapshot = NULL;

	cr_assert_eq(store_snapshot(secret.store, revision, &snapshot), 0);
	return snapshot_list(snapshot, "d", NULL, list_nothing, NULL);
}

/* A listing does not open values; what it tells, it has opened. */
Test(store_crypt, a_listing_tells_nothing_that_was_altered)
{
	const struct layout *layout = layout_of(&secret);
	g_autoptr(GBytes) stored = NULL;
	gsize count;

	fill();
	stored = raw_get(layout, FAMILY_KEYS, "d/v", 3);
	count = g_bytes_get_size(stored);
	for (gsize i = 0; i < SEAL_HEAD_EXTRA; i++) {
		g_autofree guint8 *bytes = g_memdup2(g_bytes_get_data(stored, NULL), count);

		bytes[i] ^= 1;
		raw_put(layout, FAMILY_KEYS, "d/v", 3, bytes, count);
		cr_expect_eq(list_d(0), -EIO, "byte %d", (int)i);
	}
	/* Its size is told too. */
	raw_put(layout, FAMILY_KEYS, "d/v", 3, g_bytes_get_data(stored, NULL), count - 1);
	cr_expect_eq(list_d(0), -EIO);
}

/* ---- What a box is bound to ----------------------------------------------------- */

static const struct seal_text head_text = { "the head", 8 };
static const struct seal_text tail_text = { "and its tail", 12 };

/* Opens `stored`, head and tail, as if it were at `place`. */
static int open_box(const struct sealer *sealer, const struct seal_place *place,
		    struct seal_text stored)
{
	struct sealed sealed;
	char bytes[64];
	int r;

	r = seal_open_head(sealer, place, stored, bytes, head_text.size, &sealed);
	if (r < 0)
		return r;
	cr_expect_eq(memcmp(bytes, head_text.bytes, head_text.size), 0);
	r = seal_open_tail(sealer, place, &sealed, bytes);
	cr_expect(r < 0 || memcmp(bytes, tail_text.bytes, tail_text.size) == 0);
	return r;
}

Test(store_crypt, a_box_opens_at_its_place_in_its_store_alone)
{
	const struct seal_place place = { FAMILY_KEYS, "a key", 5, 0 };
	struct seal_place family = place, key = place, superseded = place;
	struct sealer *sealer = (struct sealer *)layout_of(&secret)->sealer;
	g_autofree guint8 *again = NULL;
	g_autofree guint8 *bytes = NULL;
	struct seal_text stored;
	size_t size;

	bytes = seal_close(sealer, &place, 7, head_text, tail_text, &stored.size);
	stored.bytes = bytes;
	cr_expect_eq(open_box(sealer, &place, stored), 0);
	family.family = FAMILY_LOG;
	cr_expect_eq(open_box(sealer, &family, stored), -EIO);
	key.key = "a kez";
	cr_expect_eq(open_box(sealer, &key, stored), -EIO);
	superseded.superseded = 8;
	cr_expect_eq(open_box(sealer, &superseded, stored), -EIO);
	sealer->store_id[0] ^= 1;
	cr_expect_eq(open_box(sealer, &place, stored), -EIO);
	sealer->store_id[0] ^= 1;
	cr_expect_eq(open_box(sealer, &place, stored), 0);
	/* The same text is never the same twice. */
	again = seal_close(sealer, &place, 7, head_text, tail_text, &size);
	cr_expect_eq(size, stored.size);
	cr_expect_neq(memcmp(again, bytes, size), 0);
}

/* ---- Elsewhere ------------------------------------------------------------------ */

static void expect_unreadable(const char *what, look_fn *look)
{
	int r = look();

	cr_expect_eq(r, -EIO, "%s: %d", what, r);
}

Test(store_crypt, a_record_under_another_key_is_an_error)
{
	const struct layout *layout = layout_of(&secret);
	g_autoptr(GBytes) other = NULL;

	fill();
	cr_assert_eq(put(secret.store, "d/w", "value two"), 0);
	other = raw_get(layout, FAMILY_KEYS, "d/w", 3);
	raw_put_bytes(layout, FAMILY_KEYS, "d/v", 3, other);
	expect_unreadable("swapped", look_at_value);
	cr_expect_eq(list_d(0), -EIO);
	raw_put_bytes(layout, FAMILY_KEYS, "d/", 2, other);
	expect_unreadable("for a directory", look_at_directory);
}

Test(store_crypt, a_record_of_another_family_or_revision_is_an_error)
{
	const struct layout *layout = layout_of(&secret);
	g_autoptr(GBytes) head = NULL, past = NULL;
	g_autoptr(GByteArray) longer = g_byte_array_new();
	struct stored_key third, fifth;
	const guint8 superseded[8] = { 0, 0, 0, 0, 0, 0, 0, 4 };
	const guint8 later[8] = { 0, 0, 0, 0, 0, 0, 0, 9 };

	fill();
	set_history_key(&third, "d/v", false, 3);
	set_history_key(&fifth, "d/l", false, 5);
	head = raw_get(layout, FAMILY_KEYS, "d/v", 3);
	past = raw_get(layout, FAMILY_HISTORY, third.bytes, third.size);
	/* What is past, without what superseded it, as if it were now. */
	raw_put(layout, FAMILY_KEYS, "d/v", 3, (const guint8 *)g_bytes_get_data(past, NULL) + 8,
		g_bytes_get_size(past) - 8);
	expect_unreadable("past as head", look_at_value);
	raw_put_bytes(layout, FAMILY_KEYS, "d/v", 3, head);
	/* What is now, as if it were past. */
	g_byte_array_append(longer, superseded, sizeof(superseded));
	g_byte_array_append(longer, g_bytes_get_data(head, NULL), (guint)g_bytes_get_size(head));
	raw_put(layout, FAMILY_HISTORY, third.bytes, third.size, longer->data, longer->len);
	expect_unreadable("head as past", look_at_past_value);
	/* As if it had been there longer. */
	g_byte_array_set_size(longer, 0);
	g_byte_array_append(longer, later, sizeof(later));
	g_byte_array_append(longer, (const guint8 *)g_bytes_get_data(past, NULL) + 8,
			    (guint)g_bytes_get_size(past) - 8);
	raw_put(layout, FAMILY_HISTORY, third.bytes, third.size, longer->data, longer->len);
	expect_unreadable("superseded later", look_at_past_value);
	raw_put_bytes(layout, FAMILY_HISTORY, fifth.bytes, fifth.size, past);
	expect_unreadable("of another revision and key", look_at_past_link);
}

Test(store_crypt, the_value_of_another_version_is_an_error)
{
	const struct layout *layout = layout_of(&secret);
	const gsize tail_size = SEAL_TAIL_EXTRA + strlen("value two");
	g_autoptr(GByteArray) mixed = g_byte_array_new();
	g_autoptr(GBytes) old = NULL, head = NULL;
	gsize size;

	fill();
	old = raw_get(layout, FAMILY_KEYS, "d/v", 3);
	cr_assert_eq(put(secret.store, "d/v", "value 333"), 0);
	head = raw_get(layout, FAMILY_KEYS, "d/v", 3);
	size = g_bytes_get_size(head);
	cr_assert_eq(size, g_bytes_get_size(old));
	g_byte_array_append(mixed, g_bytes_get_data(head, NULL), (guint)(size - tail_size));
	g_byte_array_append(mixed, (const guint8 *)g_bytes_get_data(old, NULL) + size - tail_size,
			    (guint)tail_size);
	raw_put(layout, FAMILY_KEYS, "d/v", 3, mixed->data, mixed->len);
	expect_unreadable("its value", look_at_value);
	/* And none at all. */
	raw_put(layout, FAMILY_KEYS, "d/v", 3, g_bytes_get_data(head, NULL), size - tail_size);
	expect_unreadable("no value", look_at_value);
}

Test(store_crypt, an_entry_of_the_log_for_another_revision_is_an_error)
{
	const struct layout *layout = layout_of(&secret);
	g_autoptr(GBytes) entry = NULL;
	struct log_entry numbers;
	char third[8], fourth[8];

	fill();
	layout_encode_number(3, third);
	layout_encode_number(4, fourth);
	entry = raw_get(layout, FAMILY_LOG, fourth, 8);
	raw_put_bytes(layout, FAMILY_LOG, third, 8, entry);
	expect_unreadable("log", look_at_log);
	cr_expect_eq(log_reader_get_numbers((struct local *)secret.store, 3, &numbers), -EIO);
}

Test(store_crypt, a_record_of_another_store_is_an_error)
{
	struct crypt_store other;
	g_autoptr(GBytes) stored = NULL;

	fill();
	make_crypt(&other);
	cr_assert_eq(make_directory(other.store, "d"), 0);
	cr_assert_eq(put(other.store, "d/v", "value one"), 0);
	cr_assert_eq(put(other.store, "d/v", "value two"), 0);
	stored = raw_get(layout_of(&other), FAMILY_KEYS, "d/v", 3);
	raw_put_bytes(layout_of(&secret), FAMILY_KEYS, "d/v", 3, stored);
	expect_unreadable("of another store", look_at_value);
	unmake_crypt(&other);
}

/* ---- What only going through the tree shows ------------------------------------- */

Test(store_crypt, an_older_record_that_was_put_back_is_found_by_a_check)
{
	const struct layout *layout = layout_of(&secret);
	g_autoptr(GBytes) old = NULL;

	fill();
	old = raw_get(layout, FAMILY_KEYS, "d/v", 3);
	cr_assert_eq(put(secret.store, "d/v", "value three"), 0);
	cr_expect_eq(check_tree(&secret), 0);
	raw_put_bytes(layout, FAMILY_KEYS, "d/v", 3, old);
	cr_expect_eq(check_tree(&secret), -EBADMSG);
	/* Neither does opening see it, as seal.h says, nor reading. */
	reopen();
	expect_value(secret.store, "d/v", "value two");
}

Test(store_crypt, a_record_taken_away_or_made_again_is_found_by_a_check)
{
	const struct layout *layout = layout_of(&secret);
	g_autoptr(GBytes) old = NULL;

	fill();
	old = raw_get(layout, FAMILY_KEYS, "d/v", 3);
	raw_put(layout, FAMILY_KEYS, "d/v", 3, NULL, 0);
	cr_expect_eq(check_tree(&secret), -EBADMSG);
	raw_put_bytes(layout, FAMILY_KEYS, "d/v", 3, old);
	cr_expect_eq(check_tree(&secret), 0);
	cr_assert_eq(remove_key(secret.store, OP_DELETE, "d/v"), 0);
	cr_expect_eq(check_tree(&secret), 0);
	raw_put_bytes(layout, FAMILY_KEYS, "d/v", 3, old);
	cr_expect_eq(check_tree(&secret), -EBADMSG);
}

Test(store_crypt, the_sum_of_the_tree_follows_every_kind_of_change)
{
	struct program *program = program_new(&test_root);

	fill();
	cr_assert_eq(rename_key(secret.store, "d", "e", 0), 0);
	cr_expect_eq(check_tree(&secret), 0);
	cr_assert_eq(change_mode(secret.store, "e/v", 0600), 0);
	cr_assert_eq(change_mode(secret.store, "e", 0700), 0);
	cr_expect_eq(check_tree(&secret), 0);
	/* A value where a directory was. */
	program_add(program, OP_DELETE_TREE, "e");
	cr_assert_eq(run_error(secret.store, program), 0);
	cr_assert_eq(put(secret.store, "e", "value"), 0);
	cr_expect_eq(check_tree(&secret), 0);
	reopen();
	cr_assert_eq(put(secret.store, "f", "after opening"), 0);
	cr_expect_eq(check_tree(&secret), 0);
}

Test(store_crypt, a_revision_that_was_put_back_refuses_to_open)
{
	const struct layout *layout = layout_of(&secret);
	g_autoptr(GBytes) revision = NULL, sum = NULL;
	g_autofree char *message = NULL;
	struct store *store;

	fill();
	revision = raw_get(layout, FAMILY_META, META_REVISION, strlen(META_REVISION));
	sum = raw_get(layout, FAMILY_META, META_TREE_SUM, strlen(META_TREE_SUM));
	cr_assert_eq(put(secret.store, "d/v", "value three"), 0);
	raw_put_bytes(layout, FAMILY_META, META_REVISION, strlen(META_REVISION), revision);
	raw_put_bytes(layout, FAMILY_META, META_TREE_SUM, strlen(META_TREE_SUM), sum);
	close_crypt(&secret);
	cr_expect_eq(try_key(&secret, secret.key, &store, &message), -EUCLEAN);
	cr_expect(message && strstr(message, "not of one commit"), "%s", message);
}

/* ---- Keys ----------------------------------------------------------------------- */

static void expect_refused(const struct store_key *key, int error, const char *words)
{
	g_autofree char *message = NULL;
	struct store *store;

	cr_expect_eq(try_key(&secret, key, &store, &message), error, "%s", words);
	cr_expect(message && strstr(message, words) && strstr(message, secret.path), "%s", message);
}

Test(store_crypt, without_its_key_a_store_is_refused)
{
	struct store_key *other = new_key(&secret, "other");
	struct store_key *passphrase;
	char *message = NULL;
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(write(fds[1], "secret\n", 7), 7);
	cr_assert_eq(store_key_read_passphrase(fds[0], &passphrase, &message), 0, "%s", message);
	close_crypt(&secret);
	expect_refused(NULL, -ENOKEY, "it is encrypted");
	expect_refused(other, -EKEYREJECTED, "not the one");
	expect_refused(passphrase, -EINVAL, "with a key file");
	open_crypt(&secret);
	store_key_free(other);
	store_key_free(passphrase);
	close(fds[0]);
	close(fds[1]);
}

Test(store_crypt, a_key_for_a_store_that_is_not_encrypted_is_refused)
{
	g_autofree char *plain = g_build_filename(secret.base, "plain", NULL);
	g_autofree char *in_memory = NULL;
	struct store_options options;
	char *message = NULL;
	struct store *store;

	cr_assert_eq(store_create(plain, &message), 0, "%s", message);
	close_crypt(&secret);
	g_free(secret.path);
	secret.path = g_steal_pointer(&plain);
	expect_refused(secret.key, -EINVAL, "not encrypted");
	store_options_init(&options);
	options.key = secret.key;
	cr_expect_eq(store_open(&options, &store, &in_memory), -EINVAL);
}

Test(store_crypt, altered_data_keys_refuse_to_open)
{
	const struct layout *layout = layout_of(&secret);
	const char *names[] = { META_ENCRYPTION, META_ID };

	for (guint n = 0; n < G_N_ELEMENTS(names); n++) {
		g_autoptr(GBytes) stored = raw_get(layout, FAMILY_META, names[n], strlen(names[n]));
		gsize count = g_bytes_get_size(stored);

		for (gsize i = 0; i < count; i++) {
			g_autofree guint8 *bytes = g_memdup2(g_bytes_get_data(stored, NULL), count);
			struct sealer *sealer = NULL;
			struct seal_text text = { bytes, count };
			g_autofree char *id = NULL;

			bytes[i] ^= 1;
			if (n == 0) {
				id = g_strdup(((struct local *)secret.store)->id);
				cr_expect_lt(sealer_open(id, text, secret.key, &sealer), 0,
					     "byte %d", (int)i);
			} else {
				GBytes *keys = raw_get(layout, FAMILY_META, META_ENCRYPTION,
						       strlen(META_ENCRYPTION));

				id = g_strndup((const char *)bytes, count);
				text.bytes = g_bytes_get_data(keys, &text.size);
				cr_expect_eq(sealer_open(id, text, secret.key, &sealer),
					     -EKEYREJECTED, "byte %d of the id", (int)i);
				g_bytes_unref(keys);
			}
			sealer_free(sealer);
		}
	}
}

Test(store_crypt, a_passphrase_that_takes_no_work_is_damage_not_want_of_memory)
{
	guint8 bytes[1 + 1 + 8 + 8 + 16] = { 1, 1 };
	const struct seal_text text = { bytes, sizeof(bytes) };
	unsigned char word[] = "word";
	const struct store_key key = { true, 4, word };
	const char *id = ((struct local *)secret.store)->id;
	struct sealer *sealer = NULL;

	cr_expect_eq(sealer_open(id, text, &key, &sealer), -EIO);
}

/* ---- Key files ------------------------------------------------------------------ */

static int read_key_file(const char *name, const char *content, gssize size, mode_t mode)
{
	g_autofree char *path = g_build_filename(secret.base, name, NULL);
	g_autofree char *message = NULL;
	struct store_key *key = NULL;
	int r;

	cr_assert(g_file_set_contents(path, content, size, NULL));
	cr_assert_eq(chmod(path, mode), 0);
	r = store_key_read_file(path, &key, &message);
	cr_expect(r == 0 || strstr(message, path), "%s", message);
	store_key_free(key);
	return r;
}

Test(store_crypt, a_key_file_is_32_bytes_or_64_digits_of_its_owner)
{
	const char *digits = "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef\n";
	char raw[33] = "";

	cr_expect_eq(read_key_file("raw", raw, 32, 0600), 0);
	cr_expect_eq(read_key_file("hex", digits, 65, 0400), 0);
	cr_expect_eq(read_key_file("hex", digits, 64, 0600), 0);
	cr_expect_eq(read_key_file("short", raw, 31, 0600), -EINVAL);
	cr_expect_eq(read_key_file("long", raw, 33, 0600), -EINVAL);
	cr_expect_eq(read_key_file("empty", "", 0, 0600), -EINVAL);
	cr_expect_eq(read_key_file("cut", digits, 63, 0600), -EINVAL);
	cr_expect_eq(read_key_file("more",
				   "0123456789abcdef0123456789ABCDEF0123456789abcdef01234"
				   "56789abcdef\n\n",
				   66, 0600),
		     -EINVAL);
	cr_expect_eq(read_key_file("no-digits",
				   "x123456789abcdef0123456789abcdef0123456789abcdef"
				   "0123456789abcdef",
				   64, 0600),
		     -EINVAL);
	cr_expect_eq(read_key_file("group", raw, 32, 0640), -EPERM);
	cr_expect_eq(read_key_file("others", raw, 32, 0604), -EPERM);
}

Test(store_crypt, a_key_file_is_no_link_and_no_fifo)
{
	g_autofree char *target = g_build_filename(secret.base, "key", NULL);
	g_autofree char *path = g_build_filename(secret.base, "link", NULL);
	g_autofree char *fifo = g_build_filename(secret.base, "fifo", NULL);
	struct store_key *key;
	char *message = NULL;

	cr_assert_eq(symlink(target, path), 0);
	cr_assert_eq(mkfifo(fifo, 0600), 0);
	cr_expect_eq(store_key_read_file(path, &key, &message), -ELOOP);
	g_clear_pointer(&message, g_free);
	cr_expect_eq(store_key_read_file(fifo, &key, &message), -EPERM);
	g_clear_pointer(&message, g_free);
	cr_expect_eq(store_key_write_file(target, &message), -EEXIST);
	g_free(message);
}
