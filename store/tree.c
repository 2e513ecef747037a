/* Operations on a key and everything below it: getting and removing. */
#include "store/access.h"
#include "store/execute.h"
#include "store/output.h"
#include "store/overlay.h"
#include "store/walk.h"

#include <errno.h>
#include <string.h>

/* Walks the tree of the operation's key. */
static int walk(struct action *action, bool directories, bool checked, walk_visit_fn *visit,
		void *arg)
{
	struct walk walk = { .overlay = action->overlay,
			     .credentials = checked ? action->credentials : NULL,
			     .directories = directories,
			     .visit = visit,
			     .arg = arg };
	int r = walk_tree(&walk, action->op->key);

	if (walk.way)
		action_refuse(action, walk.way, r);
	g_free(walk.way);
	return r;
}

/* ---- Getting -------------------------------------------------------------------- */

/* Adds a key to the output, with its value where that is wanted. */
static int get_found(struct action *action, const char *key, struct record *record)
{
	bool bare = action->op->flags & OP_KEYS_ONLY;
	g_autoptr(record) whole = NULL;
	int r;

	if (!bare && !record->value) {
		r = overlay_get(action->overlay, key, &whole);
		if (r < 0)
			return r == -ENOENT ? -EIO : r; /* it was just listed */
		record = whole;
	}
	r = bare ? 0 : action_check_read(action, record);
	if (r == 0)
		r = output_add(action->output, action->overlay, key, record, bare, action->room);
	return action_refuse(action, key, r);
}

static int visit_get(const char *key, struct record *record, const struct record *parent, void *arg)
{
	struct action *action = arg;
	const struct op *op = action->op;

	(void)parent;
	action->output->count++;
	if ((op->flags & OP_COUNT_ONLY) || (op->limit && action->output->count > op->limit))
		return 0;
	return get_found(action, key, record);
}

static int get_one(struct action *action)
{
	g_autoptr(record) found = NULL;
	int r = action_find(action, action->op->key, &found);

	if (r < 0 || !found || found->type == RECORD_DIRECTORY)
		return r;
	return visit_get(action->op->key, found, NULL, action);
}

int action_get(struct action *action)
{
	if (!action->output)
		return 0;
	if (action->op->flags & OP_TREE)
		return walk(action, false, action->checked_reads, visit_get, action);
	return get_one(action);
}

/* ---- Removing ------------------------------------------------------------------- */

/* What is about to be removed: read and checked completely before any of it is. */
struct removal {
	struct action *action;
	GArray *doomed; /* struct doomed */
	struct overlay_growth growth;
	uint64_t bytes;
	uint64_t count; /* directories aside */
};

struct doomed {
	char *key;
	struct record *record;
};

static void doomed_clear(gpointer data)
{
	struct doomed *doomed = data;

	g_free(doomed->key);
	record_unref(doomed->record);
}

static int check_removal(struct action *action, const char *key, const struct record *record,
			 const struct record *parent)
{
	if (!parent)
		return action_check_entry(action, key, record);
	return action->checked ? access_check_entry(action->credentials, parent, record, false) : 0;
}

static int tell_removal(struct action *action, const char *key, struct record *record)
{
	int r;

	if (!action->output || !(action->op->flags & OP_PREVIOUS) ||
	    record->type == RECORD_DIRECTORY)
		return 0;
	r = action_check_read(action, record);
	if (r < 0)
		return r;
	return output_add(action->output, action->overlay, key, record, false, action->room);
}

/* The history needs what is superseded as a whole, as does whoever wants to be told. */
static int find_whole(struct action *action, const char *key, struct record *record,
		      struct record **ret)
{
	int r;

	if (record->type == RECORD_DIRECTORY || record->value ||
	    (!overlay_is_whole(action->overlay) && !action->output)) {
		*ret = record_ref(record);
		return 0;
	}
	r = overlay_get(action->overlay, key, ret);
	return r == -ENOENT ? -EIO : r; /* it was just listed */
}

static int visit_removal(const char *key, struct record *record, const struct record *parent,
			 void *arg)
{
	struct removal *removal = arg;
	struct action *action = removal->action;
	const struct overlay_limits *limits = overlay_get_limits(action->overlay);
	struct doomed doomed = { NULL, NULL };
	int r;

	if (removal->doomed->len >= limits->max_keys)
		return -EDQUOT;
	r = check_removal(action, key, record, parent);
	if (r == 0)
		r = find_whole(action, key, record, &doomed.record);
	if (r < 0)
		return action_refuse(action, key, r);
	doomed.key = g_strdup(key);
	g_array_append_val(removal->doomed, doomed);
	overlay_measure_delete(action->overlay, key, doomed.record, &removal->growth);
	removal->bytes += strlen(key) + doomed.record->size_bytes;
	removal->count += record->type != RECORD_DIRECTORY;
	if (removal->bytes > limits->max_values_bytes)
		return -EDQUOT;
	return action_refuse(action, key, tell_removal(action, key, doomed.record));
}

static void remove_all(struct removal *removal)
{
	for (guint i = 0; i < removal->doomed->len; i++) {
		const struct doomed *doomed = &g_array_index(removal->doomed, struct doomed, i);

		overlay_set_deleted(removal->action->overlay, doomed->key, doomed->record);
	}
	if (removal->action->output)
		removal->action->output->count = removal->count;
}

int action_delete_tree(struct action *action)
{
	g_autoptr(GArray) doomed = g_array_new(FALSE, FALSE, sizeof(struct doomed));
	struct removal removal = { .action = action, .doomed = doomed };
	int r = action_check_search(action, action->op->key);

	g_array_set_clear_func(doomed, doomed_clear);
	if (r == 0)
		r = walk(action, true, action->checked, visit_removal, &removal);
	if (r == 0)
		r = overlay_check_growth(action->overlay, &removal.growth);
	if (r < 0)
		return r;
	remove_all(&removal);
	return 0;
}
