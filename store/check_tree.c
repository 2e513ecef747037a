/* Keys and history, side by side in the order of stored keys, in which a directory comes
 * before all that lies in it. Of the directories above the key that is looked at, which are
 * prefixes of each other, a stack is kept: whether they are there, and what their mod
 * revision has to be by what came and went in them. */
#include "store/check_chain.h"
#include "store/codec.h"
#include "store/record.h"

#include <errno.h>
#include <string.h>

#define NUMBER "%" G_GUINT64_FORMAT
#define REVISION_SUFFIX (1 + sizeof(uint64_t))

/* A directory that is there now. */
struct level {
	size_t length; /* of its stored key, the prefix of what lies in it; the root: 0 */
	uint64_t create_revision;
	uint64_t mod_revision; /* 0: not known, it is damaged */
	uint64_t listed;       /* when an entry last came or went; 0: not known of any */
};

struct tree_check {
	struct check *check;
	struct check_chain chain;
	rocksdb_iterator_t *heads;
	rocksdb_iterator_t *history;
	GString *prefix;  /* of the last level */
	GArray *levels;	  /* struct level; the root is first, always */
	GString *missing; /* the last directory that was told to be missing */
	bool root;	  /* the key that is looked at is the root */
};

static struct level *last_level(struct tree_check *tree)
{
	return &g_array_index(tree->levels, struct level, tree->levels->len - 1);
}

/* ---- Directories ---------------------------------------------------------------- */

/* The stored key of a level. */
static void level_key(const struct tree_check *tree, const struct level *level,
		      struct stored_key *ret)
{
	ret->size = MAX(level->length, 1);
	memcpy(ret->bytes, level->length ? tree->prefix->str : "/", ret->size);
}

/* Writes the directory with the mod revision that it has to have. */
static int repair_level(struct tree_check *tree, const struct level *level)
{
	rocksdb_writebatch_t *batch;
	g_autoptr(record) record = NULL;
	g_autofree char *key = NULL;
	struct stored_key stored;
	int r;

	level_key(tree, level, &stored);
	r = layout_get_record(tree->check->layout, tree->check->read, &stored, &record);
	if (r < 0)
		return r;
	key = g_strndup(stored.bytes, stored.size - 1);
	record->mod_revision = level->listed;
	batch = rocksdb_writebatch_create();
	r = layout_batch_record(tree->check->layout, batch, key, record);
	if (r == 0)
		return check_write(tree->check, batch);
	rocksdb_writebatch_destroy(batch);
	return r;
}

/* All that lies in it was seen. */
static int check_level(struct tree_check *tree, const struct level *level)
{
	struct check *check = tree->check;
	bool low = level->mod_revision < level->listed;
	bool high = level->mod_revision > MAX(level->listed, level->create_revision) &&
		    level->mod_revision > check->oldest;
	g_autofree char *name = NULL;
	enum check_repair repair;
	struct stored_key stored;

	if (!level->mod_revision || (!low && !high))
		return 0;
	level_key(tree, level, &stored);
	name = check_name(stored.bytes, stored.size);
	/* Of an encrypted store the sum of the tree would no longer be that of the tree. */
	repair = check->layout->sealer ? CHECK_LEFT : CHECK_REPAIRABLE;
	if (low && check_report(check, "directory-low", repair,
				"directory %s has the mod revision " NUMBER
				", but an entry came or went at " NUMBER
				"; a transaction that listed it could miss that",
				name, level->mod_revision, level->listed))
		return repair_level(tree, level);
	if (high)
		check_report(check, "directory-high", CHECK_LEFT,
			     "directory %s has the mod revision " NUMBER
			     ", at which no entry came or went; transactions that listed it could "
			     "conflict without need",
			     name, level->mod_revision);
	return 0;
}

/* Leaves the directories that `key` does not lie in. */
static int leave_levels(struct tree_check *tree, const char *key, size_t size)
{
	int r = 0;

	while (r == 0 && tree->levels->len > 1) {
		const struct level *level = last_level(tree);

		if (size >= level->length && memcmp(key, tree->prefix->str, level->length) == 0)
			break;
		g_string_truncate(tree->prefix, level->length);
		r = check_level(tree, level);
		g_array_set_size(tree->levels, tree->levels->len - 1);
		g_string_truncate(tree->prefix, last_level(tree)->length);
	}
	return r;
}

static void enter_level(struct tree_check *tree, const char *key, size_t size,
			const struct record *record)
{
	struct level level = { .length = size };

	if (record) {
		level.create_revision = record->create_revision;
		level.mod_revision = record->mod_revision;
	}
	g_string_truncate(tree->prefix, 0);
	g_string_append_len(tree->prefix, key, (gssize)size);
	g_array_append_val(tree->levels, level);
}

/* The prefix of the directory that a stored key lies in. */
static size_t parent_length(const char *key, size_t size)
{
	size_t length = size - 1;

	while (length > 0 && key[length - 1] != '/')
		length--;
	return length;
}

static bool has_value(struct tree_check *tree, const char *key, size_t size)
{
	rocksdb_pinnableslice_t *slice;

	if (layout_get(tree->check->layout, tree->check->read, FAMILY_KEYS, key, size, &slice) < 0)
		return false;
	rocksdb_pinnableslice_destroy(slice);
	return true;
}

/* Each directory is missed once, whatever lies in it. */
static void check_parent(struct tree_check *tree, const char *key, size_t size)
{
	size_t length = parent_length(key, size);
	g_autofree char *name = NULL, *parent = NULL;

	if (last_level(tree)->length == length)
		return;
	if (tree->missing->len == length && memcmp(tree->missing->str, key, length) == 0)
		return;
	g_string_truncate(tree->missing, 0);
	g_string_append_len(tree->missing, key, (gssize)length);
	name = check_name(key, size);
	parent = check_name(key, length);
	if (has_value(tree, key, length - 1))
		check_report(tree->check, "parent-value", CHECK_LEFT,
			     "%s lies below %s, which is no directory; it cannot be reached", name,
			     parent);
	else
		check_report(tree->check, "parent-missing", CHECK_LEFT,
			     "%s lies in directory %s, which is not there; it cannot be reached",
			     name, parent);
}

/* An entry of the directory of the key that is looked at came or went. */
static void entry_listed(uint64_t revision, void *arg)
{
	struct tree_check *tree = arg;
	struct level *level = last_level(tree);
	const struct stored_key *key = &tree->chain.key;

	if (tree->root || level->length != parent_length(key->bytes, key->size))
		return; /* it is not there any more */
	/* What was before it, or may be compacted, says nothing. */
	if (revision > level->create_revision && revision > tree->check->oldest)
		level->listed = MAX(level->listed, revision);
}

/* ---- Both forms of a key -------------------------------------------------------- */

/* The times a stored key was there, newest first. */
struct spans {
	struct stored_key key;
	rocksdb_iterator_t *history;
	uint64_t first, superseded; /* 0: until now */
};

static bool next_span(struct spans *spans)
{
	struct reader reader;
	const char *bytes;
	size_t size;

	if (!rocksdb_iter_valid(spans->history))
		return false;
	bytes = rocksdb_iter_key(spans->history, &size);
	if (size != spans->key.size + REVISION_SUFFIX ||
	    memcmp(bytes, spans->key.bytes, spans->key.size) != 0 || bytes[spans->key.size] != '\0')
		return false;
	reader = reader_of(bytes + size - sizeof(uint64_t), sizeof(uint64_t));
	spans->first = ~read_u64(&reader);
	bytes = rocksdb_iter_value(spans->history, &size);
	reader = reader_of(bytes, size);
	spans->superseded = read_u64(&reader);
	rocksdb_iter_next(spans->history);
	return true;
}

/* True when there is a time at all. */
static bool open_spans(struct tree_check *tree, struct spans *spans, const char *key, size_t size)
{
	const struct layout *layout = tree->check->layout;
	struct stored_key sought;
	g_autoptr(record) head = NULL;

	spans->key.size = size;
	memcpy(spans->key.bytes, key, size);
	sought = spans->key;
	stored_key_add_revision(&sought, UINT64_MAX);
	/* Not check->read: to read ahead is lost on who looks at one key. */
	spans->history = rocksdb_create_iterator_cf(layout->db, layout->newest,
						    layout->families[FAMILY_HISTORY]);
	rocksdb_iter_seek(spans->history, sought.bytes, sought.size);
	if (layout_get_record(layout, tree->check->read, &spans->key, &head) < 0)
		return next_span(spans);
	spans->first = record_last_revision(head);
	spans->superseded = 0;
	return true;
}

static void compare_spans(struct tree_check *tree, struct spans *a, struct spans *b)
{
	bool more = true;

	while (more) {
		struct spans *newer = a->first > b->first ? a : b;
		struct spans *older = newer == a ? b : a;

		if (!older->superseded || older->superseded > newer->first) {
			g_autofree char *name = check_name(a->key.bytes, a->key.size);

			check_report(tree->check, "both-forms", CHECK_LEFT,
				     "%s at revision " NUMBER
				     ": it is both a directory and a value; which one is seen is "
				     "chance",
				     name, newer->first);
			return;
		}
		more = next_span(newer);
	}
}

/* At no time a key is a directory and a value. Most directories never were a value. */
static void check_forms(struct tree_check *tree, const char *key, size_t size)
{
	struct spans value, directory;

	if (open_spans(tree, &value, key, size - 1)) {
		if (open_spans(tree, &directory, key, size))
			compare_spans(tree, &value, &directory);
		rocksdb_iter_destroy(directory.history);
	}
	rocksdb_iter_destroy(value.history);
}

/* ---- The walk ------------------------------------------------------------------- */

/* True for what a key can be stored as. */
static bool is_stored_key(const char *key, size_t size)
{
	g_autofree char *text = NULL;

	if (size == 1 && key[0] == '/')
		return true;
	if (size == 0 || size > STORE_KEY_MAX + 1 || memchr(key, '\0', size))
		return false;
	text = g_strndup(key, key[size - 1] == '/' ? size - 1 : size);
	return *text && key_check(text) == 0;
}

/* Passes what is no key. True: the iterator is at one. */
static bool at_key(struct tree_check *tree, rocksdb_iterator_t *iterator, const char **ret,
		   size_t *ret_size)
{
	bool history = iterator == tree->history;

	for (; rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator)) {
		size_t size;
		const char *key = rocksdb_iter_key(iterator, &size);
		size_t stored = history ? size - MIN(size, REVISION_SUFFIX) : size;
		g_autofree char *name = NULL;

		*ret = key;
		*ret_size = stored;
		if (is_stored_key(key, stored) && (!history || key[stored] == '\0'))
			return true;
		name = check_name(key, size);
		check_report(
			tree->check, "key-form", CHECK_LEFT,
			"there is a record in '%s' under %s, which is no key; it is never seen",
			layout_family_name(history ? FAMILY_HISTORY : FAMILY_KEYS), name);
	}
	return false;
}

/* The stored key that comes next of the two. */
static bool next_key(struct tree_check *tree, struct stored_key *ret, bool *ret_head)
{
	const char *head, *past, *chosen;
	size_t head_size = 0, past_size = 0;
	bool has_head = at_key(tree, tree->heads, &head, &head_size);
	bool has_past = at_key(tree, tree->history, &past, &past_size);
	int order = has_head ? -1 : 1;

	if (!has_head && !has_past)
		return false;
	if (has_head && has_past) {
		order = memcmp(head, past, MIN(head_size, past_size));
		if (order == 0)
			order = head_size < past_size ? -1 : head_size > past_size;
	}
	*ret_head = order <= 0;
	chosen = *ret_head ? head : past;
	ret->size = *ret_head ? head_size : past_size;
	memcpy(ret->bytes, chosen, ret->size);
	return true;
}

static int check_head(struct tree_check *tree, const struct stored_key *key)
{
	int r;

	check_count(tree->check, "keys", &tree->check->result->keys);
	if (!tree->root)
		check_parent(tree, key->bytes, key->size);
	r = check_chain_add_head(&tree->chain, tree->heads);
	rocksdb_iter_next(tree->heads);
	return r;
}

static int check_versions(struct tree_check *tree, const struct stored_key *key)
{
	const char *found;
	size_t found_size;
	int r = 0;

	while (r == 0 && at_key(tree, tree->history, &found, &found_size)) {
		struct reader reader = reader_of(found + found_size + 1, sizeof(uint64_t));

		if (found_size != key->size || memcmp(found, key->bytes, key->size) != 0)
			break;
		check_count(tree->check, "versions", &tree->check->result->versions);
		r = check_chain_add_version(&tree->chain, ~read_u64(&reader), tree->history);
		rocksdb_iter_next(tree->history);
	}
	return r;
}

static int check_key(struct tree_check *tree, const struct stored_key *key, bool head)
{
	g_autoptr(record) directory = NULL;
	int r;

	tree->root = key->size == 1 && key->bytes[0] == '/';
	r = tree->root ? 0 : leave_levels(tree, key->bytes, key->size);
	check_chain_begin(&tree->chain, key->bytes, key->size);
	if (r == 0 && head)
		r = check_head(tree, key);
	if (head && tree->chain.directory && tree->chain.newer)
		directory = record_ref(tree->chain.newer);
	if (r == 0)
		r = check_versions(tree, key);
	if (r == 0)
		r = check_chain_end(&tree->chain);
	if (!tree->chain.directory || tree->root)
		return r;
	check_forms(tree, key->bytes, key->size);
	/* One that is damaged is there all the same. */
	if (r == 0 && head)
		enter_level(tree, key->bytes, key->size, directory);
	return r;
}

/* The root lies in the middle of its entries. */
static void enter_root(struct tree_check *tree)
{
	g_autoptr(record) root = NULL;
	const struct stored_key key = { .size = 1, .bytes = "/" };
	int r = layout_get_record(tree->check->layout, tree->check->read, &key, &root);

	if (r == -ENOENT)
		check_report(tree->check, "parent-missing", CHECK_LEFT,
			     "the root directory is not there; nothing can be reached");
	enter_level(tree, "", 0, root);
}

static int walk(struct tree_check *tree)
{
	struct stored_key *key = g_new(struct stored_key, 1);
	bool head;
	int r = 0;

	enter_root(tree);
	while (r == 0 && next_key(tree, key, &head))
		r = check_key(tree, key, head);
	g_free(key);
	if (r == 0)
		r = check_iterator(tree->check, FAMILY_KEYS, tree->heads);
	if (r == 0)
		r = check_iterator(tree->check, FAMILY_HISTORY, tree->history);
	if (r == 0)
		r = leave_levels(tree, "", 0);
	return r == 0 ? check_level(tree, last_level(tree)) : r;
}

int check_tree(struct check *check)
{
	const struct layout *layout = check->layout;
	struct tree_check *tree = g_new0(struct tree_check, 1);
	int r;

	tree->check = check;
	tree->chain.check = check;
	tree->chain.listed = entry_listed;
	tree->chain.arg = tree;
	tree->prefix = g_string_new(NULL);
	tree->missing = g_string_new(NULL);
	tree->levels = g_array_new(FALSE, FALSE, sizeof(struct level));
	tree->heads =
		rocksdb_create_iterator_cf(layout->db, check->read, layout->families[FAMILY_KEYS]);
	tree->history = rocksdb_create_iterator_cf(layout->db, check->read,
						   layout->families[FAMILY_HISTORY]);
	rocksdb_iter_seek_to_first(tree->heads);
	rocksdb_iter_seek_to_first(tree->history);
	r = walk(tree);
	rocksdb_iter_destroy(tree->heads);
	rocksdb_iter_destroy(tree->history);
	record_unref(tree->chain.newer);
	g_array_unref(tree->levels);
	g_string_free(tree->prefix, TRUE);
	g_string_free(tree->missing, TRUE);
	g_free(tree);
	return r;
}
