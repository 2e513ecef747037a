/* Views: one interface for the live tree, a transaction's tree and a past one. The live
 * view hands everything to the store; the past view refuses changes; the transaction's is
 * in txn.c. */
#include "txn/view.h"
#include "txn/scratch.h"

#include <errno.h>

struct listed {
	char *name;
	struct record *record;
};

static void listed_free(void *data)
{
	struct listed *listed = data;

	g_free(listed->name);
	record_unref(listed->record);
	g_free(listed);
}

static int collect(const char *name, struct record *record, void *arg)
{
	struct listed *listed = g_new(struct listed, 1);

	listed->name = g_strdup(name);
	listed->record = record_ref(record);
	g_ptr_array_add(arg, listed);
	return 0;
}

static gint by_name(gconstpointer a, gconstpointer b)
{
	const struct listed *left = *(const struct listed *const *)a;
	const struct listed *right = *(const struct listed *const *)b;

	return g_strcmp0(left->name, right->name);
}

/* `entries` of struct listed. A name that is there twice is visited once. */
static int visit_in_name_order(GPtrArray *entries, snapshot_visit_fn *visit, void *arg)
{
	const char *last = NULL;
	int r = 0;

	g_ptr_array_sort(entries, by_name);
	for (guint i = 0; i < entries->len && r == 0; i++) {
		struct listed *listed = g_ptr_array_index(entries, i);

		if (g_strcmp0(last, listed->name) != 0)
			r = visit(listed->name, listed->record, arg);
		last = listed->name;
	}
	return r;
}

int list_in_name_order(struct snapshot *snapshot, const char *directory, snapshot_visit_fn *visit,
		       void *arg)
{
	g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func(listed_free);
	int r = snapshot_list(snapshot, directory, NULL, collect, entries);

	return r == 0 ? visit_in_name_order(entries, visit, arg) : r;
}

int view_get(struct view *view, const char *key, struct record **ret)
{
	return view->class->get(view, key, ret);
}

int view_list(struct view *view, const char *directory, snapshot_visit_fn *visit, void *arg)
{
	return view->class->list(view, directory, visit, arg);
}

int view_observe(struct view *view, enum observation what, const char *key,
		 const struct record *record)
{
	return view->class->observe ? view->class->observe(view, what, key, record) : 0;
}

bool view_has_observed(struct view *view, enum observation what, const char *key)
{
	return view->class->has_observed && view->class->has_observed(view, what, key);
}

void view_apply(struct view *view, struct program *program, program_done_fn *done, void *arg)
{
	view->class->apply(view, program, done, arg);
}

static int plain_get(struct view *view, const char *key, struct record **ret)
{
	return snapshot_get(view->snapshot, key, ret);
}

static int plain_list(struct view *view, const char *directory, snapshot_visit_fn *visit, void *arg)
{
	return list_in_name_order(view->snapshot, directory, visit, arg);
}

static int live_get(struct view *view, const char *key, struct record **ret)
{
	*ret = scratch_get(view->scratch, key);
	return *ret ? 0 : plain_get(view, key, ret);
}

static int live_list(struct view *view, const char *directory, snapshot_visit_fn *visit, void *arg)
{
	g_autoptr(GPtrArray) entries = NULL;
	int r;

	if (!scratch_any(view->scratch))
		return plain_list(view, directory, visit, arg);
	entries = g_ptr_array_new_with_free_func(listed_free);
	r = snapshot_list(view->snapshot, directory, NULL, collect, entries);
	if (r == 0)
		r = scratch_list(view->scratch, directory, collect, entries);
	return r == 0 ? visit_in_name_order(entries, visit, arg) : r;
}

static void live_apply(struct view *view, struct program *program, program_done_fn *done, void *arg)
{
	if (!scratch_apply(view->scratch, program, done, arg))
		store_submit(view->store, program, done, arg);
}

void view_keep_scratch(struct view *view, struct registry *registry, store_watch_fn *watch,
		       void *arg)
{
	view->scratch = scratch_new(view->store, registry, watch, arg);
}

void view_commit_seen(struct view *view, const struct log_entry *commit)
{
	scratch_follow(view->scratch, commit);
}

void view_count_scratch(struct view *view, uint64_t *ret_files, uint64_t *ret_bytes)
{
	scratch_count(view->scratch, ret_files, ret_bytes);
}

static void past_apply(struct view *view, struct program *program, program_done_fn *done, void *arg)
{
	struct program_result result = { .error = -EROFS, .revision = view->snapshot->revision };

	program_free(program);
	done(&result, arg);
}

static const struct view_class live_class = {
	.get = live_get,
	.list = live_list,
	.apply = live_apply,
};

static const struct view_class past_class = {
	.get = plain_get,
	.list = plain_list,
	.apply = past_apply,
};

struct view *view_new_live(struct store *store)
{
	struct view *view = g_new0(struct view, 1);

	view->class = &live_class;
	view->store = store;
	view->snapshot = store_head(store);
	return view;
}

struct view *view_new_past(struct snapshot *snapshot)
{
	struct view *view = g_new0(struct view, 1);

	view->class = &past_class;
	view->snapshot = snapshot_ref(snapshot);
	return view;
}

void view_free(struct view *view)
{
	if (view && view->class == &past_class)
		snapshot_unref(view->snapshot);
	if (view)
		scratch_free(view->scratch);
	g_free(view);
}
