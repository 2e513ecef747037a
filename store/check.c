/* Checking a store: what `meta` says, and the way through the rest, which is in
 * check_tree.c, check_log.c and check_compare.c.
 *
 * All is read once in the order in which it is stored. What has to agree across that order
 * (the log, which goes by revision, with history, which goes by key) is sorted beside, as
 * hashes. Only where it does not agree all is read once more, for the names of the keys. */
#include "store/check.h"

#include "store/check_private.h"
#include "store/reseal.h"
#include "store/tree_sum.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define NUMBER "%" G_GUINT64_FORMAT
#define READAHEAD ((size_t)2 * 1024 * 1024)

/* ---- Telling -------------------------------------------------------------------- */

bool check_report(struct check *check, const char *kind, enum check_repair repair,
		  const char *format, ...)
{
	struct store_problem problem = { .kind = kind, .repairable = repair == CHECK_REPAIRABLE };
	g_autofree char *text = NULL;
	va_list args;

	if (check->wanted)
		return false;
	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	problem.text = text;
	problem.repaired = problem.repairable && check->options->repair;
	check->result->problems++;
	check->result->repairable += problem.repairable;
	check->result->repaired += problem.repaired;
	if (check->options->problem)
		check->options->problem(&problem, check->options->arg);
	return problem.repaired;
}

int check_write(struct check *check, rocksdb_writebatch_t *batch)
{
	int r = layout_write(check->layout, batch, true);

	rocksdb_writebatch_destroy(batch);
	return r;
}

void check_count(struct check *check, const char *what, uint64_t *count)
{
	if (check->wanted)
		return;
	++*count;
	if (check->options->checked)
		check->options->checked(what, check->options->arg);
}

/* Damaged keys may hold NUL. */
static void append_bytes(GString *out, const char *bytes, size_t size)
{
	while (size > 0) {
		g_autofree char *part = g_strndup(bytes, size);
		size_t length = strlen(part);

		text_append_escaped(out, part);
		if (length == size)
			return;
		g_string_append(out, "\\000");
		bytes += length + 1;
		size -= length + 1;
	}
}

char *check_name(const char *key, size_t size)
{
	GString *out = g_string_new("'");

	if (size > 1 && key[size - 1] == '/')
		size--;
	append_bytes(out, key, size);
	g_string_append_c(out, '\'');
	return g_string_free(out, FALSE);
}

int check_iterator(struct check *check, enum family family, const rocksdb_iterator_t *iterator)
{
	char *error = NULL;

	rocksdb_iter_get_error(iterator, &error);
	if (!error)
		return 0;
	check_report(check, "unreadable", CHECK_LEFT,
		     "'%s' cannot be read to its end: %s; what lies behind was not checked",
		     layout_family_name(family), error);
	rocksdb_free(error);
	return 1;
}

/* ---- meta ----------------------------------------------------------------------- */

/* A number of `meta`; 0 where it is none, which is a problem. False: it is missing. */
static bool find_number(struct check *check, const char *name, uint64_t *ret)
{
	int r;

	*ret = 0;
	r = layout_get_number(check->layout, check->read, name, ret);
	if (r < 0 && r != -ENOENT)
		check_report(check, "meta", CHECK_LEFT, "'%s' is no number; it cannot be opened",
			     name);
	return r != -ENOENT;
}

/* One that every store has; 0 and a problem when it is not as it must be. */
static uint64_t read_number(struct check *check, const char *name)
{
	uint64_t number;

	if (!find_number(check, name, &number))
		check_report(check, "meta", CHECK_LEFT,
			     "'%s' is missing, which every store has; it cannot be opened", name);
	return number;
}

static void check_id(struct check *check)
{
	rocksdb_pinnableslice_t *slice;
	size_t size = 0;
	const char *bytes;
	bool valid = false;

	if (layout_get(check->layout, check->read, FAMILY_META, META_ID, strlen(META_ID), &slice) ==
	    0) {
		g_autofree char *id = NULL;

		bytes = rocksdb_pinnableslice_value(slice, &size);
		id = g_strndup(bytes, size);
		valid = g_uuid_string_is_valid(id);
		rocksdb_pinnableslice_destroy(slice);
	}
	if (!valid)
		check_report(check, "meta", CHECK_LEFT,
			     "'%s' is missing or no UUID; it cannot be opened", META_ID);
}

static int repair_number(struct check *check, const char *name, uint64_t number)
{
	rocksdb_writebatch_t *batch = rocksdb_writebatch_create();

	layout_batch_number(check->layout, batch, name, number);
	return check_write(check, batch);
}

/* A damaged number in a key of the log must not become the counter: there has to be a
 * commit that can be read. */
static bool has_commit(struct check *check, uint64_t revision)
{
	rocksdb_pinnableslice_t *slice;
	struct log_entry numbers;
	char key[sizeof(revision)];
	const char *bytes;
	size_t size;
	bool found;

	layout_encode_number(revision, key);
	if (layout_get(check->layout, check->read, FAMILY_LOG, key, sizeof(key), &slice) < 0)
		return false;
	bytes = rocksdb_pinnableslice_value(slice, &size);
	found = layout_decode_log_numbers(check->layout, revision, bytes, size, &numbers) == 0;
	rocksdb_pinnableslice_destroy(slice);
	return found;
}

static int check_counters(struct check *check)
{
	uint64_t counter = read_number(check, META_REVISION);
	/* A key that is no revision is told of with the log. */
	uint64_t last = local_last_commit(check->local, check->read);
	/* What follows from the log: the next one was written, and then others. */
	enum check_repair repair = counter && has_commit(check, counter + 1) &&
						   has_commit(check, last) ?
					   CHECK_REPAIRABLE :
					   CHECK_LEFT;

	check->oldest = read_number(check, META_OLDEST);
	check->newest = MAX(counter, repair == CHECK_REPAIRABLE ? last : 0);
	check->result->revision = check->newest;
	check->result->oldest_revision = check->oldest;
	if (counter && last > counter &&
	    check_report(check, "counter-low", repair,
			 "the revision counter is " NUMBER ", but the log goes on to " NUMBER
			 "; new commits would write over what is there",
			 counter, last))
		return repair_number(check, META_REVISION, last);
	if (counter && last < counter)
		check_report(check, "counter-high", CHECK_LEFT,
			     "the revision counter is " NUMBER ", but the log ends with " NUMBER
			     "; commits are lost",
			     counter, last);
	if (check->oldest > check->newest)
		check_report(check, "oldest-revision", CHECK_LEFT,
			     "the oldest revision is " NUMBER ", but the newest " NUMBER
			     "; nothing could be read",
			     check->oldest, check->newest);
	return 0;
}

/* After all inode numbers were seen. */
static int check_opened(struct check *check)
{
	if (check->opened_ino > check->opened &&
	    check_report(check, "open-count", CHECK_REPAIRABLE,
			 "it was opened " NUMBER " times, but an inode number is of opening " NUMBER
			 "; numbers would be given twice",
			 check->opened, check->opened_ino))
		return repair_number(check, META_OPENED, check->opened_ino);
	return 0;
}

/* ---- Names and notes in meta ---------------------------------------------------- */

static int drop_meta(struct check *check, const char *key, size_t size)
{
	rocksdb_writebatch_t *batch = rocksdb_writebatch_create();

	rocksdb_writebatch_delete_cf(batch, check->layout->families[FAMILY_META], key, size);
	return check_write(check, batch);
}

static int check_snapshot(const char *key, size_t key_size, const char *bytes, size_t size,
			  void *arg)
{
	struct check *check = arg;
	size_t prefix = strlen(META_SNAPSHOT_PREFIX);
	g_autofree char *text = g_strndup(key + prefix, key_size - prefix);
	g_autofree char *name = check_name(key + prefix, key_size - prefix);
	struct named_snapshot named;

	if (snapshot_name_decode(bytes, size, &named) < 0) {
		check_report(check, "snapshot-damaged", CHECK_LEFT,
			     "named snapshot %s cannot be decoded; the store cannot be opened",
			     name);
		return 0;
	}
	if (strlen(text) != key_size - prefix || !*text || strchr(text, '/') || key_check(text) < 0)
		check_report(check, "snapshot-name", CHECK_LEFT,
			     "the name %s of a snapshot is none that can be entered", name);
	if (named.revision >= 1 && named.revision <= check->newest) {
		g_array_append_val(check->kept, named.revision);
		return 0;
	}
	if (check_report(check, "snapshot-dangling", CHECK_REPAIRABLE,
			 "named snapshot %s is of revision " NUMBER
			 ", which is not there; it cannot be entered",
			 name, named.revision))
		return drop_meta(check, key, key_size);
	return 0;
}

static int check_purge(const char *key, size_t key_size, const char *bytes, size_t size, void *arg)
{
	struct check *check = arg;
	size_t prefix = strlen(META_PURGE_PREFIX);
	g_autofree char *text = g_strndup(key + prefix, key_size - prefix);
	g_autofree char *name = check_name(key + prefix, key_size - prefix);

	(void)bytes;
	(void)size;
	if (strlen(text) != key_size - prefix || key_check(text) < 0)
		check_report(check, "purge-note", CHECK_LEFT,
			     "it is noted that %s is to be purged, which is no key", name);
	return 0;
}

/* How far a change of the key is: opening goes on from there. */
static void check_resealing(struct check *check)
{
	struct reseal *reseal = NULL;

	if (reseal_new(check->local, &reseal) < 0)
		check_report(check, "meta", CHECK_LEFT, "'%s' is damaged; it cannot be opened",
			     META_RESEALING);
	reseal_free(reseal);
}

/* Whether what an encrypted store has under such names opens. */
static int check_listed(struct check *check, const char *prefix, layout_meta_fn *visit)
{
	int r = layout_list_meta(check->layout, prefix, visit, check);

	if (r != -EIO)
		return r;
	check_report(check, "meta", CHECK_LEFT,
		     "what lies under '%s' cannot be decoded; the rest of it was not checked",
		     prefix);
	return 0;
}

static int by_revision(gconstpointer left, gconstpointer right)
{
	const uint64_t *a = left, *b = right;

	return *a < *b ? -1 : *a > *b;
}

/* Whether `meta`, which is small, can be read at all. 1: no. */
static int check_meta_readable(struct check *check)
{
	rocksdb_iterator_t *iterator = rocksdb_create_iterator_cf(
		check->layout->db, check->read, check->layout->families[FAMILY_META]);
	int r;

	rocksdb_iter_seek_to_first(iterator);
	while (rocksdb_iter_valid(iterator))
		rocksdb_iter_next(iterator);
	r = check_iterator(check, FAMILY_META, iterator);
	rocksdb_iter_destroy(iterator);
	return r;
}

static int check_meta(struct check *check)
{
	uint64_t format, ignored;
	int r = check_meta_readable(check);

	if (r != 0)
		return r;
	format = read_number(check, META_FORMAT);
	if (format && (format > LAYOUT_FORMAT_NEWEST || format < LAYOUT_FORMAT_OLDEST))
		check_report(check, "meta", CHECK_LEFT,
			     "the format is " NUMBER ", this release knows " NUMBER " to " NUMBER,
			     format, (uint64_t)LAYOUT_FORMAT_OLDEST,
			     (uint64_t)LAYOUT_FORMAT_NEWEST);
	check_id(check);
	check->opened = read_number(check, META_OPENED);
	check->compacting = find_number(check, META_COMPACTING, &ignored);
	check_resealing(check);
	r = check_counters(check);
	if (r == 0)
		r = check_listed(check, META_SNAPSHOT_PREFIX, check_snapshot);
	if (r == 0)
		r = check_listed(check, META_PURGE_PREFIX, check_purge);
	g_array_sort(check->kept, by_revision);
	return r;
}

/* ---- All of it ------------------------------------------------------------------ */

/* The next compaction would take them away too, if there is one. */
static int check_leftovers(struct check *check)
{
	bool compactable = check->oldest <= check->newest;

	if (check->leftovers &&
	    check_report(check, "leftovers", compactable ? CHECK_REPAIRABLE : CHECK_LEFT,
			 "there are history or log entries before the oldest revision " NUMBER
			 "; they are never seen, but take space; the next mount removes them",
			 check->oldest))
		return repair_number(check, META_COMPACTING, 1);
	return 0;
}

static int read_all(struct check *check)
{
	int log, tree;

	log = check_log(check);
	if (log < 0)
		return log;
	/* Where the log ends early, for what this tells: there is nothing to compare. */
	tree = check_tree(check);
	return tree == 0 ? log : tree;
}

static int check_agreement(struct check *check)
{
	bool again = false;
	int r;

	r = check_compare(check, &again);
	if (r == 0 && again)
		r = read_all(check);
	g_clear_pointer(&check->wanted, g_hash_table_unref);
	if (r == 0 && check->unnamed)
		check_report(check, "more", CHECK_LEFT,
			     NUMBER " more places where log, history and keys do not agree",
			     check->unnamed);
	return r;
}

/* What an encrypted store keeps against records that were put back: see tree_sum.h. */
static int check_tree_sum(struct check *check)
{
	int r;

	if (!check->layout->sealer)
		return 0;
	r = tree_sum_check(check->layout, check->read, check->newest);
	if (r == -EBADMSG)
		check_report(check, "tree-sum", CHECK_LEFT,
			     "the keys are not those of revision " NUMBER
			     ": some were replaced by older ones, or taken away",
			     check->newest);
	else if (r == -EIO)
		check_report(check, "tree-sum", CHECK_LEFT,
			     "the sum of the keys at revision " NUMBER
			     " is damaged, missing or of another revision, or some of them are",
			     check->newest);
	return r == -EBADMSG || r == -EIO ? 0 : r;
}

static int check_content(struct check *check)
{
	int r;

	r = check_meta(check);
	if (r == 0 && check->newest)
		r = read_all(check);
	if (r == 0 && check->newest)
		r = check_agreement(check);
	if (r == 0 && check->newest)
		r = check_tree_sum(check);
	r = MIN(r, 0);
	if (r == 0)
		r = check_opened(check);
	if (r == 0)
		r = check_leftovers(check);
	return r;
}

static rocksdb_readoptions_t *new_read_options(void)
{
	rocksdb_readoptions_t *options = rocksdb_readoptions_create();

	rocksdb_readoptions_set_verify_checksums(options, 1);
	rocksdb_readoptions_set_fill_cache(options, 0);
	rocksdb_readoptions_set_readahead_size(options, READAHEAD);
	return options;
}

static int check_opened_store(struct check *check, char **ret_message)
{
	int r;

	check->layout = &check->local->layout;
	check->read = new_read_options();
	check->kept = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	r = sorter_new(&check->sorter);
	if (r == 0)
		r = check_content(check);
	if (r < 0)
		*ret_message = g_strdup_printf("cannot check store '%s' to its end: %s",
					       check->local->path, g_strerror(-r));
	sorter_free(check->sorter);
	rocksdb_readoptions_destroy(check->read);
	g_array_unref(check->kept);
	return r;
}

int store_check(const struct store_check_options *options, struct store_check_result *ret,
		char **ret_message)
{
	struct store_check_result result = { 0 };
	struct check check = { .options = options, .result = &result };
	int r;

	/* Through the same door as a mount, which is what unlocks it. */
	r = local_open(&options->open, options->repair ? LAYOUT_OPEN : LAYOUT_READ, &check.local,
		       ret_message);
	if (r == 0) {
		r = check_opened_store(&check, ret_message);
		local_free(check.local);
	} else if (r == -EUCLEAN) {
		check_report(&check, "not-openable", CHECK_LEFT, "%s", *ret_message);
		g_clear_pointer(ret_message, g_free);
		r = 0;
	}
	*ret = result;
	return r;
}
