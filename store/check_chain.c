/* One stored key: each record by itself, and whether they follow each other. A version was
 * there from its own revision until the one that superseded it. Either the next one begins
 * with that and continues it; or the key was gone until the next one was made; or compaction
 * took away what was between, which it does only up to oldest_revision, and not where a
 * snapshot has a name. */
#include "store/check_chain.h"

#include "store/record.h"

#include <string.h>

#define NUMBER "%" G_GUINT64_FORMAT

static char *name_of(const struct check_chain *chain)
{
	return check_name(chain->key.bytes, chain->key.size);
}

/* Tells of a problem with the record of `revision`; `text` ends the sentence. */
static void report(struct check_chain *chain, const char *kind, uint64_t revision, const char *text)
{
	g_autofree char *name = name_of(chain);

	check_report(chain->check, kind, CHECK_LEFT, "%s at revision " NUMBER ": %s", name,
		     revision, text);
}

/* ---- One record ----------------------------------------------------------------- */

static const char *wrong_type(const struct check_chain *chain, const struct record *record)
{
	if ((record->type == RECORD_DIRECTORY) == chain->directory)
		return NULL;
	return chain->directory ? "it is stored as a directory, but is none" :
				  "it is stored as a value, but is a directory";
}

static const char *wrong_revisions(const struct record *record)
{
	uint64_t last = record_last_revision(record);
	bool directory = record->type == RECORD_DIRECTORY;

	if (record->create_revision == 0 || record->create_revision > record->mod_revision)
		return "its create revision is 0 or after its mod revision";
	if (directory && record->attribute_revision < record->create_revision)
		return "its attribute revision is before its create revision";
	if (!directory && record->attribute_revision)
		return "it has an attribute revision, which only directories have";
	if (record->version == 0)
		return "its version is 0";
	if ((record->version == 1) != (last == record->create_revision) ||
	    record->version - 1 > last - record->create_revision)
		return "its version does not go with its create and mod revisions";
	return NULL;
}

static const char *wrong_attributes(const struct record *record)
{
	if (record->mode & (record->type == RECORD_DIRECTORY ? ~07777u : ~01777u))
		return "its mode has bits that are no permissions";
	if (record->ino == 0)
		return "its inode number is 0";
	if (record->type != RECORD_DIRECTORY && record->own_mtime_ns)
		return "it has a second time of its own, which only directories have";
	return NULL;
}

static const char *wrong_value(const struct record *record, bool head)
{
	size_t size;
	const void *bytes;

	if (record->purged)
		return head ? "its value is marked as purged, which only past ones can be" : NULL;
	if (record->type != RECORD_SYMLINK)
		return NULL;
	bytes = g_bytes_get_data(record->value, &size);
	if (size == 0 || memchr(bytes, '\0', size))
		return "it is a symbolic link that leads nowhere";
	return NULL;
}

static void check_record(struct check_chain *chain, const struct record *record, bool head)
{
	uint64_t last = record_last_revision(record);
	const char *wrong = wrong_revisions(record);

	if (wrong)
		report(chain, "record-revisions", last, wrong);
	wrong = wrong_attributes(record);
	if (wrong)
		report(chain, "record-attributes", last, wrong);
	wrong = wrong_value(record, head);
	if (wrong)
		report(chain, "record-value", last, wrong);
	if (last > chain->check->newest)
		report(chain, "revision-beyond", last,
		       "it is of a revision that the store has not come to");
}

static void break_off(struct check_chain *chain)
{
	g_clear_pointer(&chain->newer, record_unref);
	chain->broken = true;
}

/* ---- From what is stored -------------------------------------------------------- */

/* True when the record can be in this chain. */
static bool check_decoded(struct check_chain *chain, const struct record *record, bool head)
{
	const char *wrong = wrong_type(chain, record);

	if (wrong) {
		report(chain, "record-type", record_last_revision(record), wrong);
		return false;
	}
	check_record(chain, record, head);
	return true;
}

/* ---- What happened when --------------------------------------------------------- */

static int add_change(struct check_chain *chain, uint64_t revision, unsigned kinds)
{
	size_t size = chain->key.size - chain->directory;

	return check_add_change(chain->check, revision, chain->key.bytes, size, SOURCE_TREE, kinds);
}

/* `newer` continues no other record. `listed`: nor is there one of its type before it. */
static int came(struct check_chain *chain, bool listed)
{
	static const unsigned kinds[] = { [RECORD_VALUE] = 1u << CHANGE_PUT,
					  [RECORD_DIRECTORY] = 1u << CHANGE_MKDIR,
					  [RECORD_SYMLINK] = 1u << CHANGE_SYMLINK };

	if (listed)
		chain->listed(chain->newer_first, chain->arg);
	return add_change(chain, chain->newer_first, kinds[chain->newer->type]);
}

/* `newer` continues another record. */
static int changed(struct check_chain *chain)
{
	const struct record *newer = chain->newer;

	if (newer->type != RECORD_DIRECTORY)
		return add_change(chain, chain->newer_first, 1u << CHANGE_PUT | 1u << CHANGE_ATTR);
	/* That only an entry came or went, the log does not tell. */
	if (newer->attribute_revision != chain->newer_first)
		return 0;
	return add_change(chain, chain->newer_first, 1u << CHANGE_ATTR);
}

static int went(struct check_chain *chain, uint64_t revision)
{
	chain->listed(revision, chain->arg);
	return add_change(chain, revision,
			  chain->directory ? 1u << CHANGE_RMDIR : 1u << CHANGE_DELETE);
}

/* ---- One after the other -------------------------------------------------------- */

/* What `newer` continues is not there; from `since` on it may have been. */
static void check_missing(struct check_chain *chain, uint64_t since)
{
	struct check *check = chain->check;
	uint64_t first = MAX(since, chain->newer->create_revision);

	if (chain->newer_first > check->oldest)
		report(chain, "history-gap", chain->newer_first,
		       "what it was before is missing in the history; at/ shows it as absent then");
	else if (revisions_contain(check->kept, first, chain->newer_first))
		report(chain, "history-snapshot", chain->newer_first,
		       "what it was before is missing in the history, though a named snapshot "
		       "shows it");
}

/* `older` was superseded by `newer`. */
static void check_continued(struct check_chain *chain, const struct record *older)
{
	const struct record *newer = chain->newer;

	if (newer->create_revision != older->create_revision)
		report(chain, "history-life", chain->newer_first,
		       "it continues what it was before, but has another create revision");
	else if (newer->version != older->version + 1)
		report(chain, "history-version", chain->newer_first,
		       "its version is not that of what it was before and one more");
	if (newer->ino != older->ino)
		report(chain, "history-inode", chain->newer_first,
		       "it continues what it was before, but has another inode number");
}

/* `older` ended with the revision `superseded`; it is what comes before `newer`. */
static int check_link(struct check_chain *chain, const struct record *older, uint64_t superseded)
{
	bool fresh = chain->newer->create_revision == chain->newer_first;
	int r = 0;

	if (superseded > chain->newer_first)
		report(chain, "history-overlap", chain->newer_first,
		       "what it was before is said to have been there still; at/ may show either");
	if (superseded >= chain->newer_first) {
		if (!fresh)
			check_continued(chain, older);
		return fresh ? came(chain, older->type != chain->newer->type) : changed(chain);
	}
	if (fresh || chain->newer->create_revision > superseded)
		r = went(chain, superseded);
	if (!fresh)
		check_missing(chain, superseded);
	if (r == 0)
		r = fresh ? came(chain, true) : changed(chain);
	return r;
}

static void check_span(struct check_chain *chain, uint64_t first, uint64_t superseded)
{
	struct check *check = chain->check;

	if (superseded <= first)
		report(chain, "history-superseded", first,
		       "it is said to have been superseded before it was there");
	if (superseded > check->newest)
		report(chain, "revision-beyond", first,
		       "it is said to be superseded by a revision that the store has not come to");
	if (superseded <= check->oldest && !check->compacting &&
	    !revisions_contain(check->kept, first, superseded))
		check->leftovers = true;
}

/* ---- The calls ------------------------------------------------------------------ */

void check_chain_begin(struct check_chain *chain, const char *key, size_t size)
{
	chain->key.size = size;
	memcpy(chain->key.bytes, key, size);
	chain->directory = key[size - 1] == '/';
	chain->broken = false;
}

int check_chain_add_head(struct check_chain *chain, const rocksdb_iterator_t *iterator)
{
	struct check *check = chain->check;
	g_autoptr(record) head = NULL;

	if (layout_decode_record(check->layout, iterator, true, &head) < 0) {
		g_autofree char *name = name_of(chain);

		check_report(check, "record-damaged", CHECK_LEFT,
			     "%s: it cannot be decoded; reading it fails", name);
		break_off(chain);
		return 0;
	}
	if (!check_decoded(chain, head, true)) {
		break_off(chain);
		return 0;
	}
	chain->newer_first = record_last_revision(head);
	check->opened_ino = MAX(check->opened_ino, head->ino >> LOCAL_INO_COUNTER_BITS);
	chain->newer = g_steal_pointer(&head);
	return check_add_ino(check, chain->newer->ino, chain->key.bytes,
			     chain->key.size - chain->directory);
}

int check_chain_add_version(struct check_chain *chain, uint64_t first,
			    const rocksdb_iterator_t *iterator)
{
	struct record *older = NULL;
	uint64_t superseded;
	int r = 0;

	if (layout_decode_history(chain->check->layout, iterator, true, &superseded, &older) < 0) {
		report(chain, "record-damaged", first,
		       "what it was cannot be decoded; that past is lost");
	} else if (!check_decoded(chain, older, false)) {
		g_clear_pointer(&older, record_unref);
	} else if (record_last_revision(older) != first) {
		report(chain, "history-revision", first,
		       "the record itself says that it is of another revision");
	}
	if (!older) {
		break_off(chain);
		return 0;
	}
	check_span(chain, first, superseded);
	if (chain->newer)
		r = check_link(chain, older, superseded);
	else if (!chain->broken)
		r = went(chain, superseded);
	record_unref(chain->newer);
	chain->newer = older;
	chain->newer_first = first;
	chain->broken = false;
	return r;
}

int check_chain_end(struct check_chain *chain)
{
	int r = 0;

	if (chain->newer && chain->newer->create_revision == chain->newer_first) {
		r = came(chain, true);
	} else if (chain->newer) {
		check_missing(chain, 0);
		r = changed(chain);
	}
	g_clear_pointer(&chain->newer, record_unref);
	return r;
}
