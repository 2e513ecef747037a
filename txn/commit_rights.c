/* See commit_rights.h.
 *
 * Two things are done by calls of which nothing is left at the commit. Who owns a directory
 * can open it with chmod(2), change what is in it and close it again, or fill it before he
 * closes it, or move it when it is closed: then its mode does not hold up its owner. And who
 * renames a directory of another needs no right to what is in it, though each key below is
 * removed and made again: an entry that keeps its name and its directory is left alone.
 * Neither gives a right that the calls would not have had; that others have taken a right
 * away meanwhile is found as a change of the directory's attributes. */
#include "txn/commit_rights.h"

#include <string.h>

struct commit_rights {
	struct overlay *writes;
	uid_t uid; /* who commits */
	gid_t gid;
	bool some_closed;    /* some directory of the write set is or was closed to its owner */
	GHashTable *left;    /* entries whose base goes along with its directory; or NULL */
	GHashTable *arrived; /* entries that came along; or NULL */
};

enum { OWNER_MAY_CHANGE = 0300 };

static bool is_removed(const struct overlay_entry *entry)
{
	return entry->base && (!entry->now || entry->fresh);
}

static bool is_made(const struct overlay_entry *entry)
{
	return entry->now && (!entry->base || entry->fresh);
}

static bool is_closed(const struct record *record)
{
	return record && record->type == RECORD_DIRECTORY &&
	       (record->mode & OWNER_MAY_CHANGE) != OWNER_MAY_CHANGE;
}

static bool has_closed(const struct overlay_entry *entry)
{
	return is_closed(entry->base) || is_closed(entry->now);
}

/* ---- What goes along with its directory ------------------------------------------ */

static const char *name_of(const char *key)
{
	const char *slash = strrchr(key, '/');

	return slash ? slash + 1 : key;
}

static const struct overlay_entry *find_above(const struct commit_rights *rights, const char *key)
{
	g_autofree char *directory = key_parent(key);

	return overlay_find(rights->writes, directory);
}

/* Whether what was at `from` is at `to` because its directory was moved. */
static bool came_along(const struct commit_rights *rights, const struct overlay_entry *from,
		       const struct overlay_entry *to)
{
	const struct overlay_entry *old = find_above(rights, from->key);
	const struct overlay_entry *new = find_above(rights, to->key);

	return strcmp(name_of(from->key), name_of(to->key)) == 0 && old && new &&is_removed(old) &&
	       is_made(new) && old->base->ino == new->now->ino;
}

static void find_moved(struct commit_rights *rights, const GPtrArray *entries)
{
	g_autoptr(GHashTable) removed = g_hash_table_new(g_int64_hash, g_int64_equal);

	rights->left = g_hash_table_new(NULL, NULL);
	rights->arrived = g_hash_table_new(NULL, NULL);
	for (guint i = 0; i < entries->len; i++) {
		struct overlay_entry *entry = g_ptr_array_index(entries, i);

		if (is_removed(entry))
			g_hash_table_insert(removed, &entry->base->ino, entry);
	}
	for (guint i = 0; i < entries->len; i++) {
		struct overlay_entry *entry = g_ptr_array_index(entries, i);
		struct overlay_entry *from =
			is_made(entry) ? g_hash_table_lookup(removed, &entry->now->ino) : NULL;

		if (!from || !came_along(rights, from, entry))
			continue;
		g_hash_table_add(rights->left, from);
		g_hash_table_add(rights->arrived, entry);
	}
}

/* ---- The answers ----------------------------------------------------------------- */

struct commit_rights *commit_rights_new(struct overlay *writes, const GPtrArray *entries,
					const struct credentials *credentials)
{
	struct commit_rights *rights = g_new0(struct commit_rights, 1);
	bool moves_others = false;

	rights->writes = writes;
	rights->uid = credentials->uid;
	rights->gid = credentials->gid;
	for (guint i = 0; credentials->uid != 0 && i < entries->len; i++) {
		const struct overlay_entry *entry = g_ptr_array_index(entries, i);

		rights->some_closed = rights->some_closed || has_closed(entry);
		moves_others = moves_others ||
			       (is_removed(entry) && entry->base->type == RECORD_DIRECTORY &&
				entry->base->uid != credentials->uid);
	}
	if (moves_others)
		find_moved(rights, entries);
	return rights;
}

void commit_rights_free(struct commit_rights *rights)
{
	if (!rights)
		return;
	g_clear_pointer(&rights->left, g_hash_table_unref);
	g_clear_pointer(&rights->arrived, g_hash_table_unref);
	g_free(rights);
}

static bool lies_in_closed(const struct commit_rights *rights, const char *key)
{
	g_autofree char *directory = g_strdup(key);

	while (*directory != '\0') {
		char *slash = strrchr(directory, '/');
		const struct overlay_entry *entry;

		*(slash ? slash : directory) = '\0';
		entry = overlay_find(rights->writes, directory);
		if (entry && has_closed(entry))
			return true;
	}
	return false;
}

static unsigned flags_of(const struct commit_rights *rights, GHashTable *along,
			 const struct overlay_entry *entry)
{
	unsigned flags = 0;

	if (along && g_hash_table_contains(along, entry))
		flags |= OP_ALONG;
	if (rights->some_closed && lies_in_closed(rights, entry->key))
		flags |= OP_AS_OWNER;
	return flags;
}

unsigned commit_rights_of_removal(const struct commit_rights *rights,
				  const struct overlay_entry *entry)
{
	return flags_of(rights, rights->left, entry);
}

unsigned commit_rights_of_change(const struct commit_rights *rights,
				 const struct overlay_entry *entry)
{
	unsigned flags = flags_of(rights, is_made(entry) ? rights->arrived : NULL, entry);

	/* It has the group of the set-group-ID directory that it was made in, which need not be
	 * the one it lies in now. */
	if (is_made(entry) && entry->now->uid == rights->uid && entry->now->gid != rights->gid)
		flags |= OP_MOVED;
	return flags;
}
