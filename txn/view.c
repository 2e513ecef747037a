/* Views: one interface for the live tree, a transaction's tree and a past one. The live
 * view hands everything to the store; the past view refuses changes; the transaction's is
 * in txn.c. */
#include "txn/view.h"

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

int list_in_name_order(struct snapshot *snapshot, const char *directory, snapshot_visit_fn *visit,
		       void *arg)
{
	g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func(listed_free);
	int r = snapshot_list(snapshot, directory, NULL, collect, entries);

	if (r != 0)
		return r;
	g_ptr_array_sort(entries, by_name);
	for (guint i = 0; i < entries->len && r == 0; i++) {
		struct listed *listed = g_ptr_array_index(entries, i);

		r = visit(listed->name, listed->record, arg);
	}
	return r;
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

static void live_apply(struct view *view, struct program *program, program_done_fn *done, void *arg)
{
	store_submit(view->store, program, done, arg);
}

static void past_apply(struct view *view, struct program *program, program_done_fn *done, void *arg)
{
	struct program_result result = { .error = -EROFS, .revision = view->snapshot->revision };

	program_free(program);
	done(&result, arg);
}

static const struct view_class live_class = {
	.get = plain_get,
	.list = plain_list,
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
	g_free(view);
}
