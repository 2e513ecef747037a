/* Renaming, as rename(2) and renameat2(2) have it, of a key or of a directory with all
 * that lies below it.
 *
 * What moves is read completely first; then the limits are known to hold, and the moves
 * are made. A moved record keeps its inode number, attributes and modification time, but
 * is a new key: it is created where it comes to. */
#include "store/access.h"
#include "store/execute.h"
#include "store/overlay.h"
#include "store/record.h"

#include <errno.h>
#include <string.h>

/* One key on its way from one place to another. */
struct move {
	char *from;
	char *to;
	struct record *record; /* with its value */
};

struct moves {
	struct action *action;
	GPtrArray *all; /* struct move; a directory before what lies below */
	uint64_t bytes;
};

static void move_free(gpointer data)
{
	struct move *move = data;

	g_free(move->from);
	g_free(move->to);
	record_unref(move->record);
	g_free(move);
}

static int collect_tree(struct moves *moves, const char *from, const char *to);

struct names {
	GPtrArray *names;
	uint64_t room; /* for so many more */
};

static int collect_name(const char *name, struct record *record, void *arg)
{
	struct names *names = arg;

	(void)record;
	if (names->names->len >= names->room)
		return -EDQUOT;
	g_ptr_array_add(names->names, g_strdup(name));
	return 0;
}

static int collect_entries(struct moves *moves, const char *from, const char *to)
{
	uint64_t max_keys = overlay_get_limits(moves->action->overlay)->max_keys;
	g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(g_free);
	struct names names = { all, max_keys - MIN(max_keys, moves->all->len) };
	int r;

	r = overlay_list(moves->action->overlay, from, collect_name, &names);
	for (guint i = 0; i < all->len && r == 0; i++) {
		g_autofree char *source = g_strdup_printf("%s/%s", from, (char *)all->pdata[i]);
		g_autofree char *target = g_strdup_printf("%s/%s", to, (char *)all->pdata[i]);

		r = collect_tree(moves, source, target);
	}
	return r;
}

static int collect_tree(struct moves *moves, const char *from, const char *to)
{
	const struct overlay_limits *limits = overlay_get_limits(moves->action->overlay);
	struct move *move;
	int r;

	r = key_check(to);
	if (r < 0)
		return action_refuse(moves->action, to, r);
	if (moves->all->len >= limits->max_keys)
		return -EDQUOT;
	move = g_new0(struct move, 1);
	move->from = g_strdup(from);
	move->to = g_strdup(to);
	g_ptr_array_add(moves->all, move);
	r = overlay_get(moves->action->overlay, from, &move->record);
	if (r < 0)
		return r == -ENOENT ? -EIO : r; /* it was just listed */
	moves->bytes += strlen(to) + move->record->size_bytes;
	if (moves->bytes > limits->max_values_bytes)
		return -EDQUOT;
	return move->record->type == RECORD_DIRECTORY ? collect_entries(moves, from, to) : 0;
}

/* What all moves together add, seen before any is made. */
static int check_growth(struct moves *moves, const char *replaced, struct record *target)
{
	struct overlay *overlay = moves->action->overlay;
	struct overlay_growth growth = { 0, 0 };

	if (target)
		overlay_measure_delete(overlay, replaced, target, &growth);
	for (guint i = 0; i < moves->all->len; i++) {
		const struct move *move = moves->all->pdata[i];

		overlay_measure_delete(overlay, move->from, move->record, &growth);
		overlay_measure(overlay, move->to, NULL, move->record->size_bytes, &growth);
	}
	return overlay_check_growth(overlay, &growth);
}

static void make_moves(struct moves *moves)
{
	struct overlay *overlay = moves->action->overlay;

	/* All leave before any arrives: the two sides of an exchange use the same names. */
	for (guint i = 0; i < moves->all->len; i++) {
		const struct move *move = moves->all->pdata[i];

		overlay_set_deleted(overlay, move->from, move->record);
	}
	for (guint i = 0; i < moves->all->len; i++) {
		const struct move *move = moves->all->pdata[i];
		struct record *now = record_copy(move->record);

		now->ctime_ns = moves->action->now_ns;
		/* Somebody wants it to stay; but not what a directory takes along. */
		if (strcmp(move->from, moves->action->op->key) == 0 ||
		    strcmp(move->from, moves->action->op->target) == 0)
			now->scratch = false;
		overlay_set_created(overlay, move->to, now, ATTRIBUTE_ALL);
	}
}

/* What may lie where the record goes. */
static int check_replaced(struct action *action, const struct record *source,
			  const struct record *target)
{
	const char *key = action->op->target;

	if (action->op->flags & OP_EXCLUSIVE)
		return action_refuse(action, key, -EEXIST);
	if (source->type == RECORD_DIRECTORY) {
		if (target->type != RECORD_DIRECTORY)
			return action_refuse(action, key, -ENOTDIR);
		return action_refuse(action, key, overlay_check_empty(action->overlay, key));
	}
	if (target->type == RECORD_DIRECTORY)
		return action_refuse(action, key, -EISDIR);
	return 0;
}

/* Moving a directory elsewhere changes its "..": that needs the right to write it. */
static int check_leaving(struct action *action, const char *key, const struct record *record)
{
	const struct attributes none = { 0 };
	g_autofree char *from = key_parent(action->op->key);
	g_autofree char *to = key_parent(action->op->target);
	int r;

	r = action_check_entry(action, key, record);
	if (r < 0)
		return action_refuse(action, key, r);
	if (!action->checked || record->type != RECORD_DIRECTORY || strcmp(from, to) == 0)
		return 0;
	return action_refuse(action, key, access_check_write(action->credentials, record, &none));
}

static int check_permissions(struct action *action, const struct record *source,
			     const struct record *target)
{
	const struct op *op = action->op;
	int r;

	r = check_leaving(action, op->key, source);
	if (r < 0)
		return r;
	if (op->flags & OP_EXCHANGE)
		return check_leaving(action, op->target, target);
	return action_refuse(action, op->target, action_check_entry(action, op->target, target));
}

/* The places themselves, whatever is there. */
static int check_places(struct action *action)
{
	const struct op *op = action->op;
	int r;

	r = op->target ? key_check(op->target) : -EINVAL;
	if (r < 0)
		return action_refuse(action, op->target ? op->target : op->key, r);
	if ((op->flags & OP_EXCHANGE) && (op->flags & OP_EXCLUSIVE))
		return -EINVAL;
	if (*op->key == '\0' || *op->target == '\0')
		return action_refuse(action, "", -EBUSY);
	return 0;
}

static int check_nesting(struct action *action, const struct record *source)
{
	const struct op *op = action->op;

	if (source->type == RECORD_DIRECTORY && key_is_below(op->target, op->key))
		return action_refuse(action, op->target, -EINVAL);
	if ((op->flags & OP_EXCHANGE) && key_is_below(op->key, op->target))
		return action_refuse(action, op->target, -EINVAL);
	return 0;
}

static int check_target(struct action *action, const struct record *source,
			const struct record *target)
{
	g_autoptr(record) parent = NULL;

	if (!target && (action->op->flags & OP_EXCHANGE))
		return action_refuse(action, action->op->target, -ENOENT);
	if (!target)
		return action_find_parent(action, action->op->target, &parent);
	return action->op->flags & OP_EXCHANGE ? 0 : check_replaced(action, source, target);
}

static int move_all(struct action *action, struct record *target)
{
	const struct op *op = action->op;
	g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(move_free);
	struct moves moves = { action, all, 0 };
	bool exchange = op->flags & OP_EXCHANGE;
	int r;

	r = collect_tree(&moves, op->key, op->target);
	if (r == 0 && exchange)
		r = collect_tree(&moves, op->target, op->key);
	if (r == 0)
		r = check_growth(&moves, op->target, exchange ? NULL : target);
	if (r < 0)
		return r;
	if (target && !exchange)
		overlay_set_deleted(action->overlay, op->target, target);
	make_moves(&moves);
	return 0;
}

int action_rename(struct action *action)
{
	const struct op *op = action->op;
	g_autoptr(record) source = NULL;
	g_autoptr(record) target = NULL;
	int r;

	r = check_places(action);
	if (r == 0)
		r = overlay_get(action->overlay, op->key, &source);
	if (r < 0)
		return r;
	/* Nothing happens, whatever the flags but NOREPLACE. */
	if (strcmp(op->key, op->target) == 0)
		return op->flags & OP_EXCLUSIVE ? -EEXIST : 0;
	r = check_nesting(action, source);
	if (r == 0)
		r = action_find(action, op->target, &target);
	if (r == 0)
		r = check_target(action, source, target);
	if (r == 0)
		r = check_permissions(action, source, target);
	return r < 0 ? r : move_all(action, target);
}
