/* Keys, records and log entries as bytes, and edits of values. */
#include "store/edits.h"
#include "store/layout.h"
#include "store/log.h"
#include "store/record.h"
#include "tests/unit/store_test.h"

static char *repeat(const char *text, int times)
{
	GString *all = g_string_new("");

	while (times-- > 0)
		g_string_append(all, text);
	return g_string_free(all, FALSE);
}

Test(store_codec, keys_are_clean_relative_paths)
{
	static const char *const good[] = {
		"", "a", "a/b", "...", ".a", "a/..b", " ", "\xff/\x01"
	};
	static const char *const bad[] = { "/",	 "/a",	"a/",	  "a//b", ".",
					   "..", "a/.", "a/../b", "./a" };

	for (size_t i = 0; i < G_N_ELEMENTS(good); i++)
		cr_expect_eq(key_check(good[i]), 0, "'%s'", good[i]);
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		cr_expect_eq(key_check(bad[i]), -EINVAL, "'%s'", bad[i]);
}

Test(store_codec, keys_and_components_have_a_length)
{
	g_autofree char *name = repeat("n", STORE_NAME_MAX);
	g_autofree char *long_name = repeat("n", STORE_NAME_MAX + 1);
	g_autofree char *deep = repeat("1234567/", STORE_KEY_MAX / 8);
	g_autofree char *longest = g_strndup(deep, STORE_KEY_MAX - 1);
	g_autofree char *too_long = g_strconcat(deep, "x", NULL);

	cr_expect_eq(key_check(name), 0);
	cr_expect_eq(key_check(long_name), -ENAMETOOLONG);
	cr_expect_eq(key_check(longest), 0);
	cr_expect_eq(key_check(too_long), -ENAMETOOLONG);
}

Test(store_codec, the_parent_of_a_top_level_key_is_the_root)
{
	g_autofree char *of_deep = key_parent("a/b/c");
	g_autofree char *of_top = key_parent("a");
	g_autofree char *of_root = key_parent("");

	cr_expect_str_eq(of_deep, "a/b");
	cr_expect_str_eq(of_top, "");
	cr_expect_str_eq(of_root, "");
}

Test(store_codec, below_means_whole_components)
{
	cr_expect(key_is_below("a/b", "a"));
	cr_expect(key_is_below("a", "a"));
	cr_expect(key_is_below("anything", ""));
	cr_expect_not(key_is_below("ab", "a"));
	cr_expect_not(key_is_below("a", "a/b"));
}

static struct record *sample_record(void)
{
	struct record *record = record_new(RECORD_VALUE);

	record->mode = 0640;
	record->uid = 1000;
	record->gid = UINT32_MAX;
	record->mtime_ns = -5;
	record->own_mtime_ns = -6;
	record->ctime_ns = INT64_MAX;
	record->ino = 77;
	record->create_revision = 1;
	record->mod_revision = UINT64_MAX;
	record->attribute_revision = 3;
	record->version = 9;
	record_take_value(record, bytes_of("a value"));
	return record;
}

static GByteArray *encode(const struct record *record)
{
	GByteArray *bytes = g_byte_array_new();
	guint8 header[RECORD_HEADER_SIZE];

	record_encode_header(record, header);
	g_byte_array_append(bytes, header, sizeof(header));
	if (record->value)
		g_byte_array_append(bytes, g_bytes_get_data(record->value, NULL),
				    (guint)g_bytes_get_size(record->value));
	return bytes;
}

Test(store_codec, a_record_comes_back_as_it_was)
{
	g_autoptr(record) record = sample_record();
	g_autoptr(GByteArray) bytes = encode(record);
	g_autoptr(record) back = NULL;
	g_autofree char *text = NULL;

	cr_assert_eq(record_decode(bytes->data, bytes->len, true, &back), 0);
	text = text_of(back);
	cr_expect_str_eq(text, "a value");
	cr_expect_eq(back->type, record->type);
	cr_expect_eq(back->mode, record->mode);
	cr_expect_eq(back->uid, record->uid);
	cr_expect_eq(back->gid, record->gid);
	cr_expect_eq(back->mtime_ns, record->mtime_ns);
	cr_expect_eq(back->own_mtime_ns, record->own_mtime_ns);
	cr_expect_eq(back->ctime_ns, record->ctime_ns);
	cr_expect_eq(back->ino, record->ino);
	cr_expect_eq(back->create_revision, record->create_revision);
	cr_expect_eq(back->mod_revision, record->mod_revision);
	cr_expect_eq(back->attribute_revision, record->attribute_revision);
	cr_expect_eq(back->version, record->version);
	cr_expect_eq(back->size_bytes, 7);
}

Test(store_codec, a_record_without_its_value_keeps_its_size)
{
	g_autoptr(record) record = sample_record();
	g_autoptr(GByteArray) bytes = encode(record);
	g_autoptr(record) back = NULL;

	cr_assert_eq(record_decode(bytes->data, bytes->len, false, &back), 0);
	cr_expect_null(back->value);
	cr_expect_eq(back->size_bytes, 7);
}

Test(store_codec, a_record_that_is_not_understood_is_refused)
{
	g_autoptr(record) record = sample_record();
	g_autoptr(GByteArray) bytes = encode(record);
	struct record *back = NULL;

	for (guint size = 0; size < RECORD_HEADER_SIZE; size++)
		cr_expect_eq(record_decode(bytes->data, size, true, &back), -EIO, "%u", size);
	bytes->data[0]++; /* a later format */
	cr_expect_eq(record_decode(bytes->data, bytes->len, true, &back), -EIO);
	bytes->data[0]--;
	bytes->data[1] = 1; /* a flag */
	cr_expect_eq(record_decode(bytes->data, bytes->len, true, &back), -EIO);
	bytes->data[1] = 0;
	bytes->data[2] = 4; /* a type */
	cr_expect_eq(record_decode(bytes->data, bytes->len, true, &back), -EIO);
	cr_expect_null(back);
}

Test(store_codec, stored_keys_of_a_directory_enclose_its_entries)
{
	struct stored_key directory, entry, value;

	stored_key_set(&directory, "d", true);
	stored_key_set(&entry, "d/e", false);
	stored_key_set(&value, "d", false);
	cr_expect_eq(directory.size, 2);
	cr_expect_arr_eq(directory.bytes, "d/", 2);
	cr_expect_arr_eq(entry.bytes, directory.bytes, directory.size);
	cr_expect_eq(value.size, 1);
}

Test(store_codec, newer_history_sorts_first)
{
	struct stored_key older, newer;

	stored_key_set(&older, "k", false);
	stored_key_set(&newer, "k", false);
	stored_key_add_revision(&older, 255);
	stored_key_add_revision(&newer, 256);
	cr_expect_eq(older.size, newer.size);
	cr_expect_lt(memcmp(newer.bytes, older.bytes, older.size), 0);
}

static struct log_entry *sample_log(void)
{
	struct log_entry *entry = log_entry_new();

	entry->time_ns = 1234567890123456789;
	entry->uid = 1000;
	entry->gid = 100;
	entry->pid = 4242;
	entry->id = g_strdup("id");
	entry->command = g_strdup("");
	entry->message = g_strdup("why\nnot");
	log_entry_add(entry, CHANGE_TOUCH, "d", NULL, NULL);
	log_entry_add(entry, CHANGE_DELETE, "d/a", NULL, NULL);
	log_entry_add(entry, CHANGE_PUT, "d/b\xff", NULL, NULL);
	return entry;
}

Test(store_codec, a_log_entry_comes_back_without_touched_directories)
{
	g_autoptr(log_entry) entry = sample_log();
	g_autoptr(GBytes) bytes = log_encode(entry);
	g_autoptr(log_entry) back = NULL;
	const struct change *change;

	cr_assert_eq(log_decode(7, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), &back),
		     0);
	cr_expect_eq(back->revision, 7);
	cr_expect_eq(back->time_ns, entry->time_ns);
	cr_expect_eq(back->pid, 4242);
	cr_expect_str_eq(back->id, "id");
	cr_expect_str_eq(back->command, "");
	cr_expect_str_eq(back->message, "why\nnot");
	cr_assert_eq(back->changes->len, 2);
	change = back->changes->pdata[1];
	cr_expect_eq(change->kind, CHANGE_PUT);
	cr_expect_str_eq(change->key, "d/b\xff");
}

Test(store_codec, a_log_entry_cut_short_is_refused_or_has_fewer_changes)
{
	g_autoptr(log_entry) entry = sample_log();
	g_autoptr(GBytes) bytes = log_encode(entry);

	for (gsize size = 0; size < g_bytes_get_size(bytes); size++) {
		g_autoptr(log_entry) back = NULL;
		int r = log_decode(1, g_bytes_get_data(bytes, NULL), size, &back);

		cr_expect(r == -EIO || back->changes->len < 2, "%zu", size);
	}
}

/* ---- Edits ---------------------------------------------------------------------- */

static struct op *new_patch(struct program **ret)
{
	*ret = program_new(&test_root);
	return program_add(*ret, OP_PATCH, "k");
}

static void add_edit(struct op *op, enum edit_kind kind, uint64_t offset, const char *text)
{
	g_autoptr(GBytes) bytes = text ? bytes_of(text) : NULL;

	op_add_edit(op, kind, offset, bytes);
}

static void expect_edited(const char *before, struct op *op, const char *after, size_t size)
{
	g_autoptr(GBytes) value = before ? bytes_of(before) : NULL;

	cr_assert_eq(edits_change(&value, op->edits, 100), 0);
	cr_assert_eq(g_bytes_get_size(value), size);
	if (size)
		cr_expect_arr_eq(g_bytes_get_data(value, NULL), after, size);
}

Test(store_codec, edits_apply_in_order)
{
	g_autoptr(program) program = NULL;
	struct op *op = new_patch(&program);

	add_edit(op, EDIT_WRITE, 1, "XY");
	add_edit(op, EDIT_APPEND, 0, "end");
	add_edit(op, EDIT_TRUNCATE, 6, NULL);
	add_edit(op, EDIT_WRITE, 8, "z");
	expect_edited("abcd", op, "aXYden\0\0z", 9);
}

Test(store_codec, what_was_cut_off_comes_back_as_zeros)
{
	g_autoptr(program) program = NULL;
	struct op *op = new_patch(&program);

	add_edit(op, EDIT_TRUNCATE, 1, NULL);
	add_edit(op, EDIT_TRUNCATE, 4, NULL);
	expect_edited("abcd", op, "a\0\0\0", 4);
}

Test(store_codec, writing_nothing_beyond_the_end_extends_nothing)
{
	g_autoptr(program) program = NULL;
	struct op *op = new_patch(&program);

	add_edit(op, EDIT_WRITE, 50, "");
	add_edit(op, EDIT_APPEND, 0, NULL);
	expect_edited(NULL, op, "", 0);
}

Test(store_codec, edits_beyond_the_limit_change_nothing)
{
	g_autoptr(program) program = NULL;
	struct op *op = new_patch(&program);
	g_autoptr(GBytes) value = bytes_of("abcd");

	add_edit(op, EDIT_WRITE, 0, "XX");
	add_edit(op, EDIT_WRITE, UINT64_MAX, "far");
	cr_expect_eq(edits_change(&value, op->edits, 100), -EFBIG);
	cr_expect_eq(g_bytes_get_size(value), 4);
	cr_expect_arr_eq(g_bytes_get_data(value, NULL), "abcd", 4);
}

Test(store_codec, edits_leave_a_shared_value_alone)
{
	g_autoptr(program) program = NULL;
	struct op *op = new_patch(&program);
	g_autoptr(GBytes) shared = bytes_of("abcd");
	g_autoptr(GBytes) value = g_bytes_ref(shared);

	add_edit(op, EDIT_WRITE, 0, "XXXXXXXX");
	cr_assert_eq(edits_change(&value, op->edits, 100), 0);
	cr_expect_arr_eq(g_bytes_get_data(shared, NULL), "abcd", 4);
}

enum { LARGE = 100000 };

static GBytes *new_large(void)
{
	g_autofree char *bytes = g_strnfill(LARGE, 'a');

	return bytes_try_new(bytes, LARGE);
}

Test(store_codec, a_large_value_is_changed_in_place)
{
	g_autoptr(program) program = NULL;
	struct op *op = new_patch(&program);
	g_autoptr(GBytes) value = new_large();
	gconstpointer data = g_bytes_get_data(value, NULL);

	add_edit(op, EDIT_WRITE, LARGE - 1, "Z");
	cr_assert_eq(edits_change(&value, op->edits, 2 * LARGE), 0);
	cr_expect_eq(g_bytes_get_data(value, NULL), data);
	cr_expect_eq(((const char *)g_bytes_get_data(value, NULL))[LARGE - 1], 'Z');
}

Test(store_codec, a_large_value_that_is_shared_is_left_alone)
{
	g_autoptr(program) program = NULL;
	struct op *op = new_patch(&program);
	g_autoptr(GBytes) shared = new_large();
	g_autoptr(GBytes) value = g_bytes_ref(shared);

	add_edit(op, EDIT_APPEND, 0, "Z");
	cr_assert_eq(edits_change(&value, op->edits, 2 * LARGE), 0);
	cr_assert_eq(edits_change(&value, op->edits, 2 * LARGE), 0);
	cr_expect_eq(g_bytes_get_size(value), LARGE + 2);
	cr_expect_eq(g_bytes_get_size(shared), LARGE);
	cr_expect_eq(((const char *)g_bytes_get_data(shared, NULL))[LARGE - 1], 'a');
}

/* The address sanitizer ends who asks for so much; with it tests/crash/allocations.bats does. */
#ifndef __SANITIZE_ADDRESS__
Test(store_codec, a_large_value_stays_when_there_is_no_memory)
{
	g_autoptr(program) program = NULL;
	struct op *op = new_patch(&program);
	g_autoptr(GBytes) value = new_large();

	op_add_edit(op, EDIT_TRUNCATE, G_MAXSSIZE / 2, NULL);
	cr_expect_eq(edits_change(&value, op->edits, G_MAXSSIZE), -ENOMEM);
	cr_expect_eq(g_bytes_get_size(value), LARGE);
	cr_expect_eq(((const char *)g_bytes_get_data(value, NULL))[0], 'a');
}
#endif
