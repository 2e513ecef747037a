/* Overlays: an ordered map of changed keys over a snapshot or over another overlay.
 *
 * An entry knows what it covers (`base`) and what is there now, so that a transaction can
 * become a program and a program a batch. Something made and removed again over nothing
 * leaves no entry. Below a directory that was removed every key has an entry, since only
 * an empty directory can be removed; so one lookup tells what a key is, never a walk. */
#include "store/overlay.h"

#include "store/record.h"

#include <errno.h>
#include <string.h>

/* Values larger than this, and more than so many bytes, are read again rather than kept. */
#define SEEN_VALUE_MAX (256 * 1024)
#define SEEN_BYTES_MAX (32 * 1024 * 1024)
/* Of a transaction, of which there may be thousands: the keys of one call, and no large ones. */
#define FEW_SEEN_MAX 8
#define FEW_VALUE_MAX 1024
/* What an entry takes beside its key and value, as was measured with a million of them. */
#define ENTRY_BYTES 320

struct overlay {
	struct snapshot *snapshot; /* NULL: it lies over `below` */
	struct overlay *below;	   /* borrowed */
	struct overlay_limits limits;
	GTree *entries; /* key, the entry's -> struct entry */
	uint64_t bytes;
	bool whole;	     /* bases keep their values */
	bool group;	     /* it is over the head, and short-lived */
	GHashTable *seen;    /* key -> record as read from the snapshot, NULL: absent; or NULL */
	uint64_t seen_bytes; /* of the values in it */
	GHashTable *removed; /* a program: inode number (the record's) -> record deleted */
};

static int compare_keys(gconstpointer left, gconstpointer right, gpointer arg)
{
	(void)arg;
	return strcmp(left, right);
}

static void entry_free(gpointer data)
{
	struct entry *entry = data;

	g_free(entry->public.key);
	record_unref(entry->public.base);
	record_unref(entry->public.now);
	g_free(entry);
}

static struct overlay *new_overlay(const struct overlay_limits *limits)
{
	struct overlay *overlay = g_new0(struct overlay, 1);

	overlay->limits = *limits;
	overlay->entries = g_tree_new_full(compare_keys, NULL, NULL, entry_free);
	return overlay;
}

static void unref_seen(gpointer record)
{
	record_unref(record);
}

static GHashTable *seen_new(void)
{
	return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, unref_seen);
}

struct overlay *overlay_new(struct snapshot *snapshot, const struct overlay_limits *limits)
{
	struct overlay *overlay = new_overlay(limits);

	overlay->snapshot = snapshot_ref(snapshot);
	if (snapshot->revision)
		overlay->seen = seen_new();
	return overlay;
}

struct overlay *overlay_new_group(struct snapshot *head)
{
	const struct overlay_limits none = { UINT64_MAX, UINT64_MAX, UINT64_MAX, 0 };
	struct overlay *overlay = overlay_new(head, &none);

	overlay->whole = true;
	overlay->group = true;
	overlay->seen = seen_new(); /* the head, but for a moment */
	return overlay;
}

struct overlay *overlay_new_program(struct overlay *group, const struct overlay_limits *limits)
{
	struct overlay *overlay = new_overlay(limits);

	overlay->below = group;
	overlay->whole = true;
	return overlay;
}

void overlay_free(struct overlay *overlay)
{
	if (!overlay)
		return;
	g_tree_unref(overlay->entries);
	g_clear_pointer(&overlay->seen, g_hash_table_unref);
	g_clear_pointer(&overlay->removed, g_hash_table_unref);
	snapshot_unref(overlay->snapshot);
	g_free(overlay);
}

/* ---- Reading -------------------------------------------------------------------- */

struct entry *overlay_find_entry(struct overlay *overlay, const char *key)
{
	return g_tree_lookup(overlay->entries, key);
}

const struct overlay_entry *overlay_find(struct overlay *overlay, const char *key)
{
	struct entry *entry = overlay_find_entry(overlay, key);

	return entry ? &entry->public : NULL;
}

static void remember(struct overlay *overlay, const char *key, struct record *record)
{
	uint64_t size = record && record->value ? record->size_bytes : 0;

	if (size > (overlay->group ? SEEN_VALUE_MAX : FEW_VALUE_MAX) ||
	    overlay->seen_bytes + size > SEEN_BYTES_MAX)
		return;
	if (!overlay->group && g_hash_table_size(overlay->seen) >= FEW_SEEN_MAX) {
		g_hash_table_remove_all(overlay->seen);
		overlay->seen_bytes = 0;
	}
	overlay->seen_bytes += size;
	g_hash_table_insert(overlay->seen, g_strdup(key), record ? record_ref(record) : NULL);
}

/* A snapshot does not change, nor the head while a group is evaluated: what was read once is
 * true. */
static int get_seen(struct overlay *overlay, const char *key, struct record **ret)
{
	gpointer found = NULL;
	int r;

	if (g_hash_table_lookup_extended(overlay->seen, key, NULL, &found)) {
		if (!found)
			return -ENOENT;
		*ret = record_ref(found);
		return 0;
	}
	r = snapshot_get(overlay->snapshot, key, ret);
	if (r == 0)
		remember(overlay, key, *ret);
	else if (r == -ENOENT)
		remember(overlay, key, NULL);
	return r;
}

static int get_below(struct overlay *overlay, const char *key, struct record **ret)
{
	if (overlay->below)
		return overlay_get(overlay->below, key, ret);
	if (overlay->seen)
		return get_seen(overlay, key, ret);
	return snapshot_get(overlay->snapshot, key, ret);
}

/* An entry with changed attributes only: the value is the one below. */
static int get_with_value_below(struct overlay *overlay, const struct overlay_entry *entry,
				struct record **ret)
{
	g_autoptr(record) below = NULL;
	g_autoptr(record) now = NULL;
	int r;

	r = get_below(overlay, entry->key, &below);
	if (r < 0)
		return r == -ENOENT ? -EIO : r;
	now = record_copy(entry->now);
	record_take_value(now, below->value ? g_bytes_ref(below->value) : NULL);
	*ret = g_steal_pointer(&now);
	return 0;
}

int overlay_get(struct overlay *overlay, const char *key, struct record **ret)
{
	const struct overlay_entry *entry = overlay_find(overlay, key);

	if (!entry)
		return get_below(overlay, key, ret);
	if (!entry->now)
		return -ENOENT;
	if (entry->now->type != RECORD_DIRECTORY && !entry->now->value)
		return get_with_value_below(overlay, entry, ret);
	*ret = record_ref(entry->now);
	return 0;
}

/* ---- Listing -------------------------------------------------------------------- */

struct listed {
	char *name;
	struct record *record;
};

struct listing {
	struct overlay *overlay;
	char *prefix;	/* of the keys of entries */
	GArray *listed; /* struct listed */
};

static void listed_clear(gpointer data)
{
	struct listed *listed = data;

	g_free(listed->name);
	record_unref(listed->record);
}

static int listed_compare(gconstpointer left, gconstpointer right)
{
	return strcmp(((const struct listed *)left)->name, ((const struct listed *)right)->name);
}

static char *prefix_of(const char *directory)
{
	return *directory ? g_strconcat(directory, "/", NULL) : g_strdup("");
}

/* Calls visit for the entries of this overlay itself that are direct entries of the
 * directory with `prefix`. Passes over what lies deeper in one seek per subdirectory. */
static int each_own_child(struct overlay *overlay, const char *prefix, overlay_visit_fn *visit,
			  void *arg)
{
	size_t length = strlen(prefix);
	GTreeNode *node = g_tree_lower_bound(overlay->entries, prefix);

	while (node) {
		const struct entry *entry = g_tree_node_value(node);
		const char *key = entry->public.key;
		const char *slash;
		int r;

		if (strncmp(key, prefix, length) != 0)
			break;
		slash = strchr(key + length, '/');
		if (slash) {
			g_autofree char *past = g_strndup(key, (gsize)(slash - key) + 1);

			past[slash - key] = '/' + 1;
			node = g_tree_lower_bound(overlay->entries, past);
			continue;
		}
		/* The root's own entry has no name in itself. */
		r = key[length] ? visit(&entry->public, arg) : 0;
		if (r != 0)
			return r;
		node = g_tree_node_next(node);
	}
	return 0;
}

static int list_below(struct overlay *overlay, const char *directory, snapshot_visit_fn *visit,
		      void *arg)
{
	if (!overlay->below)
		return snapshot_list(overlay->snapshot, directory, NULL, visit, arg);
	/* Saves collecting and sorting where only one overlay of the two says anything. */
	if (overlay_keys(overlay->below) == 0)
		return list_below(overlay->below, directory, visit, arg);
	return overlay_list(overlay->below, directory, visit, arg);
}

static void listing_add(struct listing *listing, const char *name, struct record *record)
{
	struct listed listed = { g_strdup(name), record };

	g_array_append_val(listing->listed, listed);
}

static int add_below(const char *name, struct record *record, void *arg)
{
	struct listing *listing = arg;
	g_autofree char *key = g_strconcat(listing->prefix, name, NULL);

	if (!overlay_find_entry(listing->overlay, key))
		listing_add(listing, name, record_ref(record));
	return 0;
}

static int add_own(const struct overlay_entry *entry, void *arg)
{
	struct listing *listing = arg;

	if (entry->now)
		listing_add(listing, entry->key + strlen(listing->prefix),
			    record_copy_bare(entry->now));
	return 0;
}

int overlay_list(struct overlay *overlay, const char *directory, snapshot_visit_fn *visit,
		 void *arg)
{
	g_autofree char *prefix = prefix_of(directory);
	g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(struct listed));
	struct listing listing = { overlay, prefix, all };
	int r;

	g_array_set_clear_func(all, listed_clear);
	r = list_below(overlay, directory, add_below, &listing);
	if (r < 0)
		return r;
	each_own_child(overlay, prefix, add_own, &listing);
	g_array_sort(all, listed_compare);
	for (guint i = 0; i < all->len && r == 0; i++) {
		struct listed *listed = &g_array_index(all, struct listed, i);

		r = visit(listed->name, listed->record, arg);
	}
	return r;
}

static int stop_at_present(const struct overlay_entry *entry, void *arg)
{
	(void)arg;
	return entry->now ? -ENOTEMPTY : 0;
}

static int stop_at_kept(const char *name, struct record *record, void *arg)
{
	struct listing *listing = arg;
	g_autofree char *key = g_strconcat(listing->prefix, name, NULL);

	(void)record;
	return overlay_find_entry(listing->overlay, key) ? 0 : -ENOTEMPTY;
}

int overlay_check_empty(struct overlay *overlay, const char *directory)
{
	g_autofree char *prefix = prefix_of(directory);
	struct listing listing = { overlay, prefix, NULL };
	int r;

	r = each_own_child(overlay, prefix, stop_at_present, NULL);
	if (r < 0)
		return r;
	return list_below(overlay, directory, stop_at_kept, &listing);
}

struct foreach {
	overlay_visit_fn *visit;
	void *arg;
	int result;
};

static gboolean foreach_entry(gpointer key, gpointer value, gpointer data)
{
	struct foreach *each = data;

	(void)key;
	each->result = each->visit(&((struct entry *)value)->public, each->arg);
	return each->result != 0;
}

int overlay_foreach(struct overlay *overlay, overlay_visit_fn *visit, void *arg)
{
	struct foreach each = { visit, arg, 0 };

	g_tree_foreach(overlay->entries, foreach_entry, &each);
	return each.result;
}

uint64_t overlay_keys(const struct overlay *overlay)
{
	return (uint64_t)g_tree_nnodes(overlay->entries);
}

uint64_t overlay_bytes(const struct overlay *overlay)
{
	return overlay->bytes;
}

uint64_t overlay_memory(const struct overlay *overlay)
{
	return overlay->bytes + overlay_keys(overlay) * ENTRY_BYTES;
}

void overlay_set_limits(struct overlay *overlay, const struct overlay_limits *limits)
{
	overlay->limits = *limits;
}

const struct overlay_limits *overlay_get_limits(const struct overlay *overlay)
{
	return &overlay->limits;
}

bool overlay_is_whole(const struct overlay *overlay)
{
	return overlay->whole;
}

uint64_t overlay_new_ino(struct overlay *overlay)
{
	while (overlay->below)
		overlay = overlay->below;
	return store_new_ino(overlay->snapshot->store);
}

/* ---- Measuring ------------------------------------------------------------------ */

/* The committer writes what it supersedes to the history: that counts there too. */
static uint64_t base_bytes(const struct overlay *overlay, const struct record *base)
{
	return overlay->whole && base ? base->size_bytes : 0;
}

static uint64_t entry_bytes(const struct overlay *overlay, const struct entry *entry)
{
	uint64_t bytes = strlen(entry->public.key) + base_bytes(overlay, entry->public.base);

	if (entry->public.now && entry->public.value_written)
		bytes += entry->public.now->size_bytes;
	return bytes;
}

void overlay_measure(struct overlay *overlay, const char *key, const struct record *found,
		     uint64_t value_bytes, struct overlay_growth *growth)
{
	const struct entry *entry = overlay_find_entry(overlay, key);
	uint64_t before = entry ? entry_bytes(overlay, entry) : 0;
	uint64_t base = base_bytes(overlay, entry ? entry->public.base : found);

	growth->keys += entry ? 0 : 1;
	growth->bytes += (int64_t)(strlen(key) + value_bytes + base) - (int64_t)before;
}

void overlay_measure_delete(struct overlay *overlay, const char *key, const struct record *found,
			    struct overlay_growth *growth)
{
	const struct entry *entry = overlay_find_entry(overlay, key);

	if (!entry || entry->public.base) {
		overlay_measure(overlay, key, found, 0, growth);
		return;
	}
	growth->keys -= 1;
	growth->bytes -= (int64_t)entry_bytes(overlay, entry);
}

int overlay_check_growth(const struct overlay *overlay, const struct overlay_growth *growth)
{
	const struct overlay_limits *limits = &overlay->limits;
	int64_t memory = growth->bytes + growth->keys * ENTRY_BYTES;

	if (memory > 0 && limits->max_memory_bytes &&
	    overlay_memory(overlay) + (uint64_t)memory > limits->max_memory_bytes)
		return -EDQUOT;
	if (growth->keys > 0 && overlay_keys(overlay) + (uint64_t)growth->keys > limits->max_keys)
		return -EDQUOT;
	if (growth->bytes > 0 &&
	    overlay->bytes + (uint64_t)growth->bytes > limits->max_values_bytes)
		return -EDQUOT;
	return 0;
}

/* ---- Changing ------------------------------------------------------------------- */

static struct record *base_of(struct overlay *overlay, struct record *found)
{
	if (!found)
		return NULL;
	return overlay->whole || !found->value ? record_ref(found) : record_copy_bare(found);
}

static void account(struct overlay *overlay, uint64_t before, const struct entry *entry)
{
	overlay->bytes = overlay->bytes - before + (entry ? entry_bytes(overlay, entry) : 0);
}

static struct entry *add_entry(struct overlay *overlay, const char *key, struct record *base)
{
	struct entry *entry = g_new0(struct entry, 1);

	entry->public.key = g_strdup(key);
	entry->public.base = base;
	g_tree_insert(overlay->entries, entry->public.key, entry);
	return entry;
}

/* The entry of `key`, made when there is none, and what it counted for. */
static struct entry *change_entry(struct overlay *overlay, const char *key, struct record *found,
				  uint64_t *ret_before)
{
	struct entry *entry = overlay_find_entry(overlay, key);

	*ret_before = entry ? entry_bytes(overlay, entry) : 0;
	if (!entry)
		entry = add_entry(overlay, key, base_of(overlay, found));
	return entry;
}

static void set_now(struct entry *entry, struct record *now)
{
	record_unref(entry->public.now);
	entry->public.now = now;
}

static void note_removed(struct overlay *overlay, struct record *record)
{
	if (!overlay->below)
		return;
	if (!overlay->removed)
		overlay->removed =
			g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, unref_seen);
	g_hash_table_insert(overlay->removed, &record->ino, record_ref(record));
}

const struct record *overlay_find_removed(struct overlay *overlay, uint64_t ino)
{
	gint64 key = (gint64)ino;

	return overlay->removed ? g_hash_table_lookup(overlay->removed, &key) : NULL;
}

void overlay_set_deleted(struct overlay *overlay, const char *key, struct record *found)
{
	uint64_t before;
	struct entry *entry = change_entry(overlay, key, found, &before);

	if (!entry->public.base) {
		account(overlay, before, NULL);
		g_tree_remove(overlay->entries, key);
		return;
	}
	note_removed(overlay, entry->public.base);
	set_now(entry, NULL);
	entry->public.fresh = false;
	entry->public.value_written = false;
	entry->public.attributes = 0;
	entry->touched = false;
	account(overlay, before, entry);
}

void overlay_set_created(struct overlay *overlay, const char *key, struct record *now,
			 unsigned attributes)
{
	uint64_t before;
	struct entry *entry = change_entry(overlay, key, NULL, &before);

	g_assert(!entry->public.now);
	set_now(entry, now);
	entry->public.fresh = true;
	entry->public.value_written = now->type != RECORD_DIRECTORY;
	entry->public.attributes = attributes;
	entry->touched = false;
	account(overlay, before, entry);
}

void overlay_set_modified(struct overlay *overlay, const char *key, struct record *found,
			  struct record *now, bool value_written, unsigned attributes)
{
	uint64_t before;
	struct entry *entry = change_entry(overlay, key, found, &before);

	if (value_written) {
		entry->public.attributes &= ~(unsigned)ATTRIBUTE_MTIME;
		entry->public.value_written = true;
	}
	entry->public.attributes |= attributes;
	if (!overlay->whole && !entry->public.value_written && now->value) {
		/* Only the attributes are ours: do not hold on to the value. */
		set_now(entry, record_copy_bare(now));
		record_unref(now);
	} else {
		set_now(entry, now);
	}
	account(overlay, before, entry);
}

void overlay_set_touched(struct overlay *overlay, const char *key, struct record *found,
			 int64_t now_ns)
{
	struct entry *entry = overlay_find_entry(overlay, key);
	struct record *now = record_copy(found);

	now->ctime_ns = now_ns;
	if (!entry || !(entry->public.attributes & ATTRIBUTE_MTIME))
		now->mtime_ns = now_ns;
	overlay_set_modified(overlay, key, found, now, false, 0);
	overlay_find_entry(overlay, key)->touched = true;
}

struct record *overlay_edit_begin(struct overlay *overlay, const char *key, struct record **found)
{
	struct entry *entry = overlay_find_entry(overlay, key);

	if (!entry || entry->public.now != *found || !entry->public.value_written)
		return NULL;
	if (g_atomic_int_get(&entry->public.now->refs) != 2)
		return NULL;
	g_clear_pointer(found, record_unref);
	overlay->bytes -= entry_bytes(overlay, entry);
	return entry->public.now;
}

void overlay_edit_end(struct overlay *overlay, const char *key, unsigned attributes)
{
	struct entry *entry = overlay_find_entry(overlay, key);

	entry->public.attributes &= ~(unsigned)ATTRIBUTE_MTIME;
	entry->public.attributes |= attributes;
	account(overlay, 0, entry);
}

/* ---- Groups --------------------------------------------------------------------- */

static int merge_entry(const struct overlay_entry *from, void *arg)
{
	struct overlay *group = arg;
	struct entry *entry = overlay_find_entry(group, from->key);

	/* What was made and removed again by the group keeps its entry: a compare of a later
	 * program wants to know which commit removed it. */
	if (!entry)
		entry = add_entry(group, from->key, from->base ? record_ref(from->base) : NULL);
	set_now(entry, from->now ? record_ref(from->now) : NULL);
	entry->public.fresh = from->fresh;
	entry->public.value_written = from->value_written;
	entry->public.attributes = from->attributes;
	return 0;
}

void overlay_merge(struct overlay *group, struct overlay *program, uint64_t revision)
{
	GTreeNode *node;

	for (node = g_tree_node_first(program->entries); node; node = g_tree_node_next(node)) {
		const struct entry *entry = g_tree_node_value(node);

		merge_entry(&entry->public, group);
		overlay_find_entry(group, entry->public.key)->revision = revision;
	}
}

uint64_t overlay_deleted_revision(struct overlay *group, const char *key)
{
	const struct entry *entry = overlay_find_entry(group, key);

	return entry && !entry->public.now ? entry->revision : 0;
}
