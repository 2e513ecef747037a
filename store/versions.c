/* All versions of one key, newest first: of its two stored forms, as a value and as a
 * directory, each has its head and its history in that order already. At any revision at
 * most one of the two has a record, so that they never overlap and are merged by revision.
 * What compaction has not come to yet is left out as if it had. */
#include "store/versions.h"

#include "store/local.h"
#include "store/record.h"

#include <errno.h>
#include <string.h>

/* One stored form on its way through its versions. */
struct form {
	struct stored_key stored;
	rocksdb_iterator_t *history;
	struct record *record; /* the next version; NULL: no more */
	uint64_t superseded;
};

struct versions {
	struct local *local;
	const struct place *place;
	bool with_values;
	uint64_t oldest;
	GArray *kept; /* revisions that have a name */
	struct form forms[2];
};

static bool at_form(const struct form *form)
{
	const char *key;
	size_t size;

	if (!rocksdb_iter_valid(form->history))
		return false;
	key = rocksdb_iter_key(form->history, &size);
	return size == form->stored.size + 1 + sizeof(uint64_t) && key[form->stored.size] == '\0' &&
	       memcmp(key, form->stored.bytes, form->stored.size) == 0;
}

static bool is_retained(const struct versions *versions, const struct form *form)
{
	if (!form->superseded || form->superseded > versions->oldest)
		return true;
	return revisions_contain(versions->kept, record_last_revision(form->record),
				 form->superseded);
}

/* Reads the version the iterator is at, and moves it on. */
static int read_version(struct versions *versions, struct form *form)
{
	int r;

	r = layout_decode_history(&versions->local->layout, form->history, versions->with_values,
				  &form->superseded, &form->record);
	if (r == 0)
		rocksdb_iter_next(form->history);
	return r;
}

/* Goes to the next version of the form. */
static int next_version(struct versions *versions, struct form *form)
{
	char *error = NULL;
	int r;

	g_clear_pointer(&form->record, record_unref);
	while (at_form(form)) {
		r = read_version(versions, form);
		if (r < 0 || is_retained(versions, form))
			return r;
		g_clear_pointer(&form->record, record_unref);
	}
	rocksdb_iter_get_error(form->history, &error);
	return layout_result("read on in the history", error);
}

static int open_form(struct versions *versions, struct form *form, const char *key, bool directory)
{
	const struct layout *layout = &versions->local->layout;
	struct stored_key sought;
	int r;

	stored_key_set(&form->stored, key, directory);
	sought = form->stored;
	stored_key_add_revision(&sought, UINT64_MAX);
	form->history = rocksdb_create_iterator_cf(layout->db, versions->place->options,
						   layout->families[FAMILY_HISTORY]);
	rocksdb_iter_seek(form->history, sought.bytes, sought.size);
	r = layout_get_record(layout, versions->place->options, &form->stored, &form->record);
	if (r == 0 && !versions->with_values) {
		struct record *bare = record_copy_bare(form->record);

		record_unref(form->record);
		form->record = bare;
	}
	return r == -ENOENT ? next_version(versions, form) : r;
}

static void close_form(struct form *form)
{
	record_unref(form->record);
	if (form->history)
		rocksdb_iter_destroy(form->history);
}

/* The form whose next version is the newer one, or NULL. */
static struct form *newer_form(struct versions *versions)
{
	struct form *a = &versions->forms[0], *b = &versions->forms[1];

	if (!a->record || !b->record)
		return a->record ? a : b->record ? b : NULL;
	return record_last_revision(a->record) > record_last_revision(b->record) ? a : b;
}

static int visit_versions(struct versions *versions, store_history_fn *visit, void *arg)
{
	struct form *form;
	int r = 0;

	while (r == 0 && (form = newer_form(versions))) {
		const struct version version = { form->record, record_last_revision(form->record),
						 form->superseded };

		r = visit(&version, arg);
		if (r == 0)
			r = next_version(versions, form);
	}
	return r;
}

int versions_visit(struct local *local, const char *key, bool with_values, store_history_fn *visit,
		   void *arg)
{
	g_autofree struct versions *versions = g_new0(struct versions, 1);
	g_autoptr(snapshot) snapshot = NULL;
	int r;

	r = snapshots_take(local, 0, &snapshot);
	if (r < 0)
		return r;
	versions->local = local;
	versions->place = &((struct local_snapshot *)snapshot)->place;
	versions->with_values = with_values;
	versions->oldest = local_oldest(local);
	versions->kept = snapshot_names_revisions(local);
	/* The root is never a value. */
	if (*key)
		r = open_form(versions, &versions->forms[0], key, false);
	if (r == 0)
		r = open_form(versions, &versions->forms[1], key, true);
	if (r == 0)
		r = visit_versions(versions, visit, arg);
	close_form(&versions->forms[0]);
	close_form(&versions->forms[1]);
	g_array_unref(versions->kept);
	return r;
}
