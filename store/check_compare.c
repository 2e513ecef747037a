/* What log, history and keys say of the same change, sorted so that it comes together, as
 *
 *   'c', revision, hash of the key, source and what it may be called
 *   'i', inode number, hash of the key
 *
 * where an entry of the hash 0 and no source says that the log has that revision. Keys are
 * not written: they may be long, and nobody else is to read them. What does not agree is
 * remembered, and named the next time it comes by. */
#include "store/check_private.h"

#include "store/codec.h"

#include <string.h>

#define NUMBER "%" G_GUINT64_FORMAT
#define ENTRY_CHANGE 'c'
#define ENTRY_INO 'i'
#define ENTRY_SIZE (1 + 2 * sizeof(uint64_t) + 2)

struct entry {
	guint8 bytes[ENTRY_SIZE];
};

/* FNV-1a; only what is changed at one revision must not have the same. */
static uint64_t hash_key(const char *key, size_t size)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (guchar)key[i]) * UINT64_C(1099511628211);
	return hash ? hash : 1;
}

static struct entry make_entry(char what, uint64_t number, uint64_t hash, enum check_source source,
			       unsigned kinds)
{
	struct entry entry;
	guint8 *at = encode_u8(entry.bytes, (uint8_t)what);

	at = encode_u64(at, number);
	at = encode_u64(at, hash);
	at = encode_u8(at, (uint8_t)source);
	encode_u8(at, (uint8_t)kinds);
	return entry;
}

/* ---- What may not agree --------------------------------------------------------- */

enum mismatch { NOT_LOGGED = 1, NOT_STORED, OTHER_KIND, SAME_INO };

static const struct {
	const char *kind;
	const char *what; /* the number is */
	const char *text;
} mismatches[] = {
	[NOT_LOGGED] = { "log-key", "revision",
			 "it was changed there, but the log does not tell of it; watchers and "
			 "conflict reports missed it" },
	[NOT_STORED] = { "history-key", "revision",
			 "the log tells of a change that neither history nor keys have; what it "
			 "was there is lost" },
	[OTHER_KIND] = { "log-kind", "revision",
			 "the log calls the change something that it was not" },
	[SAME_INO] = { "inode-shared", "inode number",
		       "another key has the same; tools take the two for one file" },
};

/* The second time through. */
static void name_entry(struct check *check, const struct entry *entry, uint64_t number,
		       const char *key, size_t size)
{
	g_autoptr(GBytes) bytes = g_bytes_new_static(entry->bytes, sizeof(entry->bytes));
	gpointer found = g_hash_table_lookup(check->wanted, bytes);
	GHashTable *wanted = check->wanted;
	g_autofree char *name = NULL;

	if (!found)
		return;
	name = check_name(key, size);
	check->wanted = NULL; /* this is to be told */
	check_report(check, mismatches[GPOINTER_TO_INT(found)].kind, CHECK_LEFT,
		     "%s at %s " NUMBER ": %s", name, mismatches[GPOINTER_TO_INT(found)].what,
		     number, mismatches[GPOINTER_TO_INT(found)].text);
	check->wanted = wanted;
}

static int add_entry(struct check *check, const struct entry *entry, uint64_t number,
		     const char *key, size_t size)
{
	if (!check->wanted)
		return sorter_add(check->sorter, entry->bytes, sizeof(entry->bytes));
	name_entry(check, entry, number, key, size);
	return 0;
}

int check_add_change(struct check *check, uint64_t revision, const char *key, size_t size,
		     enum check_source source, unsigned kinds)
{
	struct entry entry;

	/* What ended before or at the oldest revision may be compacted. */
	if (revision <= check->oldest)
		return 0;
	entry = make_entry(ENTRY_CHANGE, revision, hash_key(key, size), source, kinds);
	return add_entry(check, &entry, revision, key, size);
}

int check_add_commit(struct check *check, uint64_t revision)
{
	struct entry entry = make_entry(ENTRY_CHANGE, revision, 0, SOURCE_LOG, 0);

	return check->wanted ? 0 : sorter_add(check->sorter, entry.bytes, sizeof(entry.bytes));
}

int check_add_ino(struct check *check, uint64_t ino, const char *key, size_t size)
{
	struct entry entry = make_entry(ENTRY_INO, ino, hash_key(key, size), SOURCE_TREE, 0);

	return add_entry(check, &entry, ino, key, size);
}

/* ---- Comparing ------------------------------------------------------------------ */

/* What there is of one key at one revision, or the last inode number. */
struct comparison {
	struct check *check;
	uint64_t logged;    /* the log has this revision */
	uint64_t revision;  /* the group's; 0: none yet */
	uint64_t hash;	    /* the same */
	unsigned log, tree; /* kinds */
	bool in_log, in_tree;
	struct entry log_entry, tree_entry;
	uint64_t ino; /* the last one; 0: none yet */
	struct entry ino_entry;
};

static void want(struct comparison *comparison, const struct entry *entry, enum mismatch mismatch)
{
	struct check *check = comparison->check;
	GHashTable *wanted = check->wanted;

	if (g_hash_table_size(wanted) >= CHECK_NAMED_MAX)
		check->unnamed++;
	else
		g_hash_table_insert(wanted, g_bytes_new(entry->bytes, sizeof(entry->bytes)),
				    GINT_TO_POINTER(mismatch));
}

static void compare_group(struct comparison *comparison)
{
	/* That there is no entry at all was told with the log. */
	bool logged = comparison->logged == comparison->revision;

	if (comparison->in_tree && !comparison->in_log && logged)
		want(comparison, &comparison->tree_entry, NOT_LOGGED);
	if (comparison->in_log && !comparison->in_tree)
		want(comparison, &comparison->log_entry, NOT_STORED);
	if (comparison->in_log && comparison->in_tree && !(comparison->log & comparison->tree))
		want(comparison, &comparison->log_entry, OTHER_KIND);
	comparison->in_log = comparison->in_tree = false;
	comparison->log = comparison->tree = 0;
}

/* Where a key ended as a directory and began as a value, or the other way round, or was
 * made anew, the log tells only what came. */
static void add_tree(struct comparison *comparison, const struct entry *entry, unsigned kinds)
{
	const unsigned gone = 1u << CHANGE_DELETE | 1u << CHANGE_RMDIR;

	if (comparison->in_tree && (kinds & gone))
		return;
	if (comparison->in_tree && (comparison->tree & gone))
		comparison->tree = 0;
	comparison->tree |= kinds;
	comparison->in_tree = true;
	comparison->tree_entry = *entry;
}

static void compare_change(struct comparison *comparison, const struct entry *entry,
			   uint64_t revision, uint64_t hash, enum check_source source,
			   unsigned kinds)
{
	if (revision != comparison->revision || hash != comparison->hash) {
		compare_group(comparison);
		comparison->revision = revision;
		comparison->hash = hash;
	}
	if (hash == 0) {
		comparison->logged = revision;
	} else if (source == SOURCE_TREE) {
		add_tree(comparison, entry, kinds);
	} else {
		comparison->in_log = true;
		comparison->log |= kinds;
		comparison->log_entry = *entry;
	}
}

static void compare_ino(struct comparison *comparison, const struct entry *entry, uint64_t ino)
{
	if (ino == comparison->ino) {
		want(comparison, &comparison->ino_entry, SAME_INO);
		want(comparison, entry, SAME_INO);
	}
	comparison->ino = ino;
	comparison->ino_entry = *entry;
}

static int compare_entry(const void *bytes, size_t size, void *arg)
{
	struct comparison *comparison = arg;
	struct reader reader = reader_of(bytes, size);
	char what = (char)read_u8(&reader);
	uint64_t number = read_u64(&reader), hash = read_u64(&reader);
	enum check_source source = read_u8(&reader);
	unsigned kinds = read_u8(&reader);
	struct entry entry;

	g_assert(!reader.failed && size == sizeof(entry.bytes));
	memcpy(entry.bytes, bytes, size);
	if (what == ENTRY_CHANGE)
		compare_change(comparison, &entry, number, hash, source, kinds);
	else
		compare_ino(comparison, &entry, number);
	return 0;
}

int check_compare(struct check *check, bool *ret)
{
	struct comparison comparison = { .check = check };
	int r;

	check->wanted = g_hash_table_new_full(g_bytes_hash, g_bytes_equal,
					      (GDestroyNotify)g_bytes_unref, NULL);
	r = sorter_visit(check->sorter, compare_entry, &comparison);
	compare_group(&comparison);
	*ret = r == 0 && g_hash_table_size(check->wanted) > 0;
	return r;
}
