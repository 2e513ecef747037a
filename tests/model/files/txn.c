/* See txn.h. */
#include "txn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *const level_names[LEVEL_COUNT] = { "serializable-snapshot", "serializable",
					       "snapshot" };

/* ---- Life ------------------------------------------------------------------------ */

static gint compare_keys(gconstpointer a, gconstpointer b, gpointer data)
{
	(void)data;
	return strcmp(a, b);
}

static void write_free(gpointer data)
{
	struct write *write = data;

	item_unref(write->base);
	item_unref(write->now);
	g_free(write);
}

static void unref_bytes(gpointer bytes)
{
	g_bytes_unref(bytes);
}

static void begin(struct txn *txn, const struct tree *live, uint64_t revision)
{
	txn->state = TXN_OPEN;
	txn->rounds++;
	txn->base_revision = revision;
	txn->snapshot = tree_copy(live);
	txn->view = tree_copy(live);
	txn->reads = g_tree_new_full(compare_keys, NULL, g_free, g_free);
	txn->writes = g_tree_new_full(compare_keys, NULL, g_free, write_free);
	txn->orphans = g_hash_table_new_full(NULL, NULL, NULL, unref_bytes);
}

static void end(struct txn *txn)
{
	tree_free(txn->snapshot);
	tree_free(txn->view);
	g_tree_unref(txn->reads);
	g_tree_unref(txn->writes);
	g_hash_table_unref(txn->orphans);
}

struct txn *txn_new(const char *name, const struct tree *live, uint64_t revision)
{
	struct txn *txn = g_new0(struct txn, 1);

	g_strlcpy(txn->name, name, sizeof(txn->name));
	begin(txn, live, revision);
	return txn;
}

void txn_free(struct txn *txn)
{
	if (!txn)
		return;
	end(txn);
	g_free(txn);
}

void txn_restart(struct txn *txn, const struct tree *live, uint64_t revision)
{
	end(txn);
	begin(txn, live, revision);
}

/* ---- Reads ----------------------------------------------------------------------- */

static bool is_own(const struct txn *txn, enum observed what, const char *key)
{
	const struct write *write = g_tree_lookup(txn->writes, key);

	if (!write)
		return false;
	if (write->fresh || !write->now || !write->base)
		return true;
	return what == OBSERVED_EXISTS || (what == OBSERVED_VALUE && write->value);
}

static void read_set(struct read *read, const struct item *item)
{
	read->directory = item && item->type == ITEM_DIRECTORY;
	read->exists = !item ? 0 : read->directory ? item->attribute : item->create;
	read->mod = item ? item->mod : 0;
}

static struct read *read_at(struct txn *txn, const char *key)
{
	struct read *read = g_tree_lookup(txn->reads, key);

	if (read)
		return read;
	read = g_new0(struct read, 1);
	read_set(read, tree_find(txn->snapshot, key));
	g_tree_insert(txn->reads, g_strdup(key), read);
	return read;
}

void txn_observe(struct txn *txn, enum observed what, const char *key)
{
	const struct item *item = tree_find(txn->view, key);
	struct read *read;

	if (txn->state != TXN_OPEN || is_own(txn, what, key))
		return;
	read = read_at(txn, key);
	read->observed |= what;
	read_set(read, item);
}

void txn_observe_moved(struct txn *txn, const char *key)
{
	GTreeNode *node = g_tree_node_first(txn->view->items);

	for (; node; node = g_tree_node_next(node)) {
		const char *found = g_tree_node_key(node);
		const struct item *item = g_tree_node_value(node);

		if (strcmp(found, key) != 0 && !key_below(found, key))
			continue;
		if (strcmp(found, key) != 0 && item->type == ITEM_DIRECTORY)
			txn_observe(txn, OBSERVED_EXISTS, found);
		txn_observe(txn, item->type == ITEM_DIRECTORY ? OBSERVED_LIST : OBSERVED_VALUE,
			    found);
	}
}

/* ---- Writes ---------------------------------------------------------------------- */

static struct write *write_at(struct txn *txn, const char *key)
{
	struct write *write = g_tree_lookup(txn->writes, key);
	struct item *base = tree_find(txn->snapshot, key);

	if (write)
		return write;
	write = g_new0(struct write, 1);
	write->base = base ? item_ref(base) : NULL;
	g_tree_insert(txn->writes, g_strdup(key), write);
	return write;
}

static void write_change(struct txn *txn, const struct change *change)
{
	struct write *write = write_at(txn, change->key);

	item_unref(write->now);
	write->now = change->item ? item_ref(change->item) : NULL;
	if (change->kind == CHANGE_DELETE && !write->base) {
		g_tree_remove(txn->writes, change->key);
	} else if (change->kind != CHANGE_MODIFY) {
		write->fresh = change->kind == CHANGE_CREATE;
		write->value = write->fresh && change->item->type != ITEM_DIRECTORY;
		write->set = change->set;
	} else {
		if (change->value)
			write->set &= ~(unsigned)SET_MTIME;
		write->value |= change->value;
		write->set |= change->set;
	}
}

void txn_write(struct txn *txn, const GArray *changes)
{
	for (guint i = 0; i < changes->len; i++)
		write_change(txn, &g_array_index(changes, struct change, i));
	tree_change(txn->view, changes);
}

/* ---- Texts ----------------------------------------------------------------------- */

static void append_item(GString *text, const char *kind, uint64_t number, const char *key,
			bool directory)
{
	g_string_append_printf(text, "%s\t%" G_GUINT64_FORMAT "\t%s%s\n", kind, number, key,
			       directory || !*key ? "/" : "");
}

char *txn_reads_text(const struct txn *txn)
{
	GString *text = g_string_new(NULL);
	GTreeNode *node;

	for (node = g_tree_node_first(txn->reads); node; node = g_tree_node_next(node)) {
		const struct read *read = g_tree_node_value(node);
		const char *key = g_tree_node_key(node);

		if (read->observed & OBSERVED_EXISTS)
			append_item(text, "exists", read->exists, key, false);
		if (read->observed & OBSERVED_VALUE)
			append_item(text, "value", read->mod, key, false);
		if (read->observed & OBSERVED_LIST)
			append_item(text, "list", read->mod, key, true);
	}
	return g_string_free(text, FALSE);
}

static void take_over(struct txn *txn, const char *line)
{
	g_auto(GStrv) fields = g_strsplit(line, "\t", 3);
	struct read *read;

	if (g_strv_length(fields) != 3 || strcmp(fields[0], "exists") != 0)
		return;
	read = read_at(txn, fields[2]);
	if (g_ascii_strtoull(fields[1], NULL, 10) == read->exists)
		read->observed |= OBSERVED_EXISTS;
}

unsigned txn_forget_unasked(struct txn *txn, const char *reads)
{
	g_auto(GStrv) lines = g_strsplit(reads, "\n", -1);
	unsigned before = 0, after = 0;
	GTreeNode *node;

	if (txn->rounds == 1)
		return 0;
	for (node = g_tree_node_first(txn->reads); node; node = g_tree_node_next(node)) {
		struct read *read = g_tree_node_value(node);

		before += read->observed & OBSERVED_EXISTS;
		read->observed &= ~(unsigned)OBSERVED_EXISTS;
	}
	for (char **line = lines; *line; line++)
		take_over(txn, *line);
	for (node = g_tree_node_first(txn->reads); node; node = g_tree_node_next(node))
		after += ((struct read *)g_tree_node_value(node))->observed & OBSERVED_EXISTS;
	return before - MIN(before, after);
}

static const char *write_name(const struct write *write)
{
	if (!write->now)
		return write->base->type == ITEM_DIRECTORY ? "rmdir" : "delete";
	if (write->base && !write->fresh && !write->value)
		return "attr";
	return write->now->type == ITEM_DIRECTORY ? "mkdir" :
	       write->now->type == ITEM_LINK	  ? "symlink" :
						    "put";
}

char *txn_writes_text(const struct txn *txn)
{
	GString *text = g_string_new(NULL);
	GTreeNode *node;

	for (node = g_tree_node_first(txn->writes); node; node = g_tree_node_next(node)) {
		const struct write *write = g_tree_node_value(node);
		bool sized = write->now && write->now->data;

		append_item(text, write_name(write), sized ? g_bytes_get_size(write->now->data) : 0,
			    g_tree_node_key(node), false);
	}
	return g_string_free(text, FALSE);
}

/* ---- Commits --------------------------------------------------------------------- */

static void compare(GPtrArray *lines, const char *kind, const char *key, uint64_t seen,
		    uint64_t found, bool directory)
{
	if (seen != found)
		g_ptr_array_add(lines, g_strdup_printf("%s%s\t%s\t%" G_GUINT64_FORMAT
						       "\t%" G_GUINT64_FORMAT,
						       key, directory || !*key ? "/" : "", kind,
						       seen, found));
}

static void compare_reads(const struct txn *txn, const struct tree *live, GPtrArray *lines)
{
	GTreeNode *node;

	for (node = g_tree_node_first(txn->reads); node; node = g_tree_node_next(node)) {
		const struct read *read = g_tree_node_value(node);
		const char *key = g_tree_node_key(node);
		const struct item *item = tree_find(live, key);
		uint64_t mod = item ? item->mod : 0;

		if (read->observed & OBSERVED_EXISTS)
			compare(lines, "exists", key, read->exists,
				!item		? 0 :
				read->directory ? item->attribute :
						  item->create,
				false);
		if (read->observed & OBSERVED_VALUE)
			compare(lines, "value", key, read->mod, mod, false);
		if (read->observed & OBSERVED_LIST)
			compare(lines, "list", key, read->mod, mod, true);
	}
}

static void compare_writes(const struct txn *txn, const struct tree *live, GPtrArray *lines)
{
	GTreeNode *node;

	for (node = g_tree_node_first(txn->writes); node; node = g_tree_node_next(node)) {
		const struct write *write = g_tree_node_value(node);
		const char *key = g_tree_node_key(node);
		const struct item *item = tree_find(live, key), *base = write->base;
		bool name_only = !base || txn->level == LEVEL_SERIALIZABLE;

		if (name_only)
			compare(lines, "write", key, base ? base->create : 0,
				item ? item->create : 0, false);
		else if (base->type == ITEM_DIRECTORY)
			compare(lines, "write", key, base->attribute, item ? item->attribute : 0,
				false);
		else
			compare(lines, "write", key, base->mod, item ? item->mod : 0, false);
	}
}

static gint by_text(gconstpointer a, gconstpointer b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static GPtrArray *conflicts(const struct txn *txn, const struct tree *live)
{
	GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);

	if (txn->level != LEVEL_SNAPSHOT)
		compare_reads(txn, live, lines);
	compare_writes(txn, live, lines);
	g_ptr_array_sort(lines, by_text);
	return lines;
}

char *txn_conflicts_text(const struct txn *txn, const struct tree *live)
{
	g_autoptr(GPtrArray) lines = conflicts(txn, live);

	g_ptr_array_add(lines, NULL);
	return g_strjoinv("\n", (char **)lines->pdata);
}

/* What the write comes to on what is there: a put keeps the attributes of the key. */
static struct item *merge(const struct write *write, const struct item *there)
{
	struct item *item = item_copy(there);

	if (write->value) {
		g_clear_pointer(&item->data, g_bytes_unref);
		item->data = g_bytes_ref(write->now->data);
		item->mtime_s = MTIME_OF_COMMIT;
	}
	if (write->set & SET_MODE)
		item->mode = write->now->mode;
	if (write->set & SET_OWNER) {
		item->uid = write->now->uid;
		item->gid = write->now->gid;
	}
	if (write->set & SET_MTIME) {
		item->mtime_s = write->now->mtime_s;
		item->renewed = write->now->renewed;
	}
	return item;
}

static void add_creation(GArray *changes, const char *key, const struct write *write)
{
	struct item *item = item_copy(write->now);

	/* The modification time of a directory is that of its entries, wherever it goes. */
	if (item->renewed)
		item->mtime_s = MTIME_OF_COMMIT;
	changes_add(changes, CHANGE_CREATE, key, item, true, write->set);
	item_unref(item);
}

static void add_merged(GArray *changes, const char *key, const struct write *write,
		       const struct item *there)
{
	struct item *item = merge(write, there);

	changes_add(changes, CHANGE_MODIFY, key, item, write->value, write->set);
	item_unref(item);
}

/* What was there and is removed or made anew goes first, from below. False: a directory is
 * not empty then. */
static bool add_removals(const struct txn *txn, const struct tree *live, GArray *changes)
{
	struct tree *left = tree_copy(live);
	bool empty = true;
	GTreeNode *node;

	for (node = g_tree_node_last(txn->writes); node && empty;
	     node = g_tree_node_previous(node)) {
		const struct write *write = g_tree_node_value(node);
		const char *key = g_tree_node_key(node);

		if (!write->base || (write->now && !write->fresh) || !tree_find(live, key))
			continue;
		empty = tree_rmdir(left, key, changes) == 0;
		g_tree_remove(left->items, key);
	}
	tree_free(left);
	return empty;
}

/* The change of `live`; false: it cannot be made. */
static bool build(const struct txn *txn, const struct tree *live, GArray *changes)
{
	GTreeNode *node;

	if (!add_removals(txn, live, changes))
		return false;
	for (node = g_tree_node_first(txn->writes); node; node = g_tree_node_next(node)) {
		const struct write *write = g_tree_node_value(node);
		const char *key = g_tree_node_key(node);
		const struct item *there = tree_find(live, key);

		if (!write->now)
			continue;
		if (write->fresh || !write->base)
			add_creation(changes, key, write);
		else if (there)
			add_merged(changes, key, write, there);
		else
			return false;
	}
	return true;
}

/* Everything lies in a directory. */
static bool is_sound(const struct tree *tree)
{
	GTreeNode *node;

	for (node = g_tree_node_first(tree->items); node; node = g_tree_node_next(node)) {
		const struct item *above;
		char parent[KEY_MAX];

		key_parent(g_tree_node_key(node), parent);
		above = tree_find(tree, parent);
		if (!above || above->type != ITEM_DIRECTORY)
			return false;
	}
	return true;
}

int txn_commit(struct txn *txn, struct tree *live, uint64_t *revision)
{
	g_autoptr(GPtrArray) lines = conflicts(txn, live);
	g_autoptr(GArray) changes = changes_new();
	struct tree *next;
	bool sound;

	txn->state = TXN_COMMITTED;
	txn->revision = txn->base_revision;
	if (g_tree_nnodes(txn->writes) == 0)
		return 0;
	next = tree_copy(live);
	sound = lines->len == 0 && build(txn, live, changes);
	if (sound)
		tree_change(next, changes);
	sound = sound && is_sound(next);
	tree_free(next);
	if (!sound) {
		txn->state = TXN_CONFLICT;
		return -ECANCELED;
	}
	tree_commit(live, changes, ++*revision);
	txn->revision = *revision;
	return 0;
}

/* ---- Rebasing -------------------------------------------------------------------- */

static void renew_reads(struct txn *txn, const struct tree *live)
{
	GTreeNode *node;

	for (node = g_tree_node_first(txn->reads); node; node = g_tree_node_next(node)) {
		const char *key = g_tree_node_key(node);

		read_set(g_tree_node_value(node), tree_find(live, key));
	}
}

static void renew_writes(struct txn *txn, const struct tree *live)
{
	GTreeNode *node;

	for (node = g_tree_node_first(txn->writes); node; node = g_tree_node_next(node)) {
		struct item *base = tree_find(live, g_tree_node_key(node));
		struct item *now = tree_find(txn->view, g_tree_node_key(node));
		struct write *write = g_tree_node_value(node);

		item_unref(write->base);
		item_unref(write->now);
		write->base = base ? item_ref(base) : NULL;
		write->now = now ? item_ref(now) : NULL;
	}
}

bool txn_rebase(struct txn *txn, const struct tree *live, uint64_t revision)
{
	g_autoptr(GPtrArray) lines = conflicts(txn, live);
	g_autoptr(GArray) changes = changes_new();
	struct tree *view = tree_copy(live);
	bool possible = txn->state == TXN_OPEN && txn->level == LEVEL_SERIALIZABLE_SNAPSHOT &&
			lines->len == 0 && build(txn, live, changes);

	tree_change(view, changes);
	if (!possible || !is_sound(view)) {
		tree_free(view);
		return false;
	}
	tree_free(txn->view);
	tree_free(txn->snapshot);
	txn->view = view;
	txn->snapshot = tree_copy(live);
	txn->base_revision = revision;
	txn->rounds++;
	renew_reads(txn, live);
	renew_writes(txn, live);
	return true;
}
