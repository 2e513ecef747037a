/* Checking an encrypted store: a good one gives nothing, what does not open is told, and so is
 * what opens but was put back. */
#include "store/check.h"
#include "tests/unit/store_crypt_test.h"

static struct crypt_store secret;

static void setup(void)
{
	make_crypt(&secret);
	for (int i = 0; i < 5; i++) {
		g_autofree char *text = g_strdup_printf("%d", i);

		cr_assert_eq(put(secret.store, "a", text), 0);
		cr_assert_eq(put(secret.store, "b", text), 0);
	}
}

static void teardown(void)
{
	unmake_crypt(&secret);
}

TestSuite(store_check_crypt, .init = setup, .fini = teardown, .timeout = 120);

static void note(const struct store_problem *problem, void *arg)
{
	cr_expect(!problem->repairable, "%s", problem->kind);
	g_string_append_printf(arg, "%s ", problem->kind);
}

static int check_with(const struct store_key *key, GString *kinds)
{
	struct store_check_options options = { .problem = note, .arg = kinds };
	struct store_check_result result;
	g_autofree char *message = NULL;

	store_options_init(&options.open);
	options.open.path = secret.path;
	options.open.key = key;
	return store_check(&options, &result, &message);
}

/* Closes the store; what is found has to be `kinds`. */
static void expect_found(const char *kinds)
{
	g_autoptr(GString) found = g_string_new("");

	close_crypt(&secret);
	cr_assert_eq(check_with(secret.key, found), 0);
	cr_expect_str_eq(found->str, kinds);
}

/* Flips a bit of what lies under a stored key, so many bytes before its end. */
static void flip(enum family family, const char *key, size_t size, size_t back)
{
	const struct layout *layout = layout_of(&secret);
	g_autoptr(GBytes) old = raw_get(layout, family, key, size);
	gsize length = g_bytes_get_size(old);
	g_autofree guint8 *bytes = g_memdup2(g_bytes_get_data(old, NULL), length);

	bytes[length - back] ^= 1;
	raw_put(layout, family, key, size, bytes, length);
}

Test(store_check_crypt, a_good_store_gives_nothing)
{
	expect_found("");
}

Test(store_check_crypt, no_key_or_another_one_is_refused)
{
	struct store_key *other = new_key(&secret, "other");
	g_autoptr(GString) found = g_string_new("");

	close_crypt(&secret);
	cr_expect_eq(check_with(NULL, found), -ENOKEY);
	cr_expect_eq(check_with(other, found), -EKEYREJECTED);
	cr_expect_str_eq(found->str, "");
	store_key_free(other);
}

Test(store_check_crypt, the_tag_of_a_value_is_checked)
{
	flip(FAMILY_KEYS, "a", 1, 1);
	/* And that the log tells of a change that is not to be seen. */
	expect_found("record-damaged history-key ");
}

Test(store_check_crypt, the_tag_of_a_past_version_is_checked)
{
	struct stored_key stored;

	stored_key_set(&stored, "a", false);
	stored_key_add_revision(&stored, 4);
	flip(FAMILY_HISTORY, stored.bytes, stored.size, 1);
	expect_found("record-damaged history-key history-key ");
}

Test(store_check_crypt, the_tag_of_a_commit_is_checked)
{
	char key[sizeof(uint64_t)];

	layout_encode_number(4, key);
	flip(FAMILY_LOG, key, sizeof(key), 1);
	expect_found("log-damaged ");
}

Test(store_check_crypt, the_counters_are_checked)
{
	g_autoptr(GString) found = g_string_new("");

	flip(FAMILY_META, META_OLDEST, strlen(META_OLDEST), 1);
	close_crypt(&secret);
	cr_assert_eq(check_with(secret.key, found), 0);
	cr_expect(g_str_has_prefix(found->str, "meta "), "%s", found->str);
}

Test(store_check_crypt, how_far_a_change_of_the_key_is_is_checked)
{
	struct store_key *old = secret.key;
	struct store_options options;
	struct local *local;
	char *message = NULL;

	secret.key = new_key(&secret, "new");
	close_crypt(&secret);
	cr_assert_eq(store_change_key(secret.path, old, secret.key, &message), 0, "%s", message);
	store_key_free(old);
	store_options_init(&options);
	options.path = secret.path;
	options.key = secret.key;
	cr_assert_eq(local_open(&options, LAYOUT_OPEN, &local, &message), 0, "%s", message);
	raw_put(&local->layout, FAMILY_META, META_RESEALING, strlen(META_RESEALING), "x", 1);
	local_free(local);
	cr_expect_eq(try_key(&secret, secret.key, &secret.store, &message), -EUCLEAN);
	cr_expect_not_null(strstr(message, "damaged: its note of what has the new key"), "%s",
			   message);
	g_free(message);
	expect_found("meta ");
}

Test(store_check_crypt, the_sum_of_the_tree_is_checked)
{
	flip(FAMILY_META, META_TREE_SUM, strlen(META_TREE_SUM), 1);
	expect_found("tree-sum ");
}

/* It opens, where it lies; log, history and sum do not agree with it. */
Test(store_check_crypt, a_record_that_was_put_back_is_told)
{
	const struct layout *layout = layout_of(&secret);
	g_autoptr(GBytes) old = raw_get(layout, FAMILY_KEYS, "b", 1);
	g_autoptr(GString) found = g_string_new("");

	cr_assert_eq(put(secret.store, "b", "newer"), 0);
	raw_put_bytes(layout, FAMILY_KEYS, "b", 1, old);
	close_crypt(&secret);
	cr_assert_eq(check_with(secret.key, found), 0);
	cr_expect_not_null(strstr(found->str, "tree-sum "), "%s", found->str);
}
