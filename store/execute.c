/* Operations on overlays: what each does, and what it refuses.
 *
 * The same code serves a transaction's writes and the committer. Every operation looks
 * first at everything that could refuse it and only then changes entries, so that it is
 * done as a whole or not at all. A key that is there has a directory above it, by
 * induction; so parents are looked up only where something is made. */
#include "store/execute.h"
#include "store/access.h"
#include "store/edits.h"
#include "store/output.h"
#include "store/overlay.h"
#include "store/record.h"

#include <errno.h>
#include <string.h>

int action_refuse(struct action *action, const char *key, int error)
{
	if (error == 0)
		return 0;
	g_free(action->way);
	action->way = g_strdup(key);
	return error;
}

int action_find(struct action *action, const char *key, struct record **ret)
{
	int r = overlay_get(action->overlay, key, ret);

	return r == -ENOENT ? 0 : r;
}

/* Why `directory` cannot have entries: the first directory above that is missing or is
 * something else. */
static int explain_parent(struct action *action, const char *directory)
{
	g_autofree char *key = g_strdup(directory);

	for (;;) {
		g_autoptr(record) record = NULL;
		g_autofree char *above = key_parent(key);
		int r = action_find(action, above, &record);

		if (r < 0)
			return action_refuse(action, above, r);
		if (record && record->type != RECORD_DIRECTORY)
			return action_refuse(action, above, -ENOTDIR);
		if (record)
			return action_refuse(action, key, -ENOENT);
		if (*above == '\0')
			return action_refuse(action, above, -EIO); /* a tree without a root */
		g_free(key);
		key = g_steal_pointer(&above);
	}
}

int action_find_parent(struct action *action, const char *key, struct record **ret)
{
	g_autofree char *directory = key_parent(key);
	g_autoptr(record) parent = NULL;
	int r;

	r = action_find(action, directory, &parent);
	if (r < 0)
		return action_refuse(action, directory, r);
	if (!parent)
		return explain_parent(action, directory);
	if (parent->type != RECORD_DIRECTORY)
		return action_refuse(action, directory, -ENOTDIR);
	*ret = g_steal_pointer(&parent);
	return 0;
}

int action_check_search(struct action *action, const char *key)
{
	if (!action->checked)
		return 0;
	return access_check_search(action->overlay, action->credentials, key,
				   action->op->flags & OP_AS_OWNER);
}

int action_check_entry(struct action *action, const char *key, const struct record *entry)
{
	bool as_owner = action->op->flags & OP_AS_OWNER;
	g_autoptr(record) parent = NULL;
	int r;

	if (!action->checked || action->credentials->uid == 0 || (action->op->flags & OP_ALONG))
		return 0;
	r = access_check_search(action->overlay, action->credentials, key, as_owner);
	if (r == 0)
		r = action_find_parent(action, key, &parent);
	if (r == 0)
		r = access_check_entry(action->credentials, parent, entry, as_owner);
	return r;
}

int action_check_read(struct action *action, const struct record *record)
{
	return action->checked_reads ? access_check_read(action->credentials, record) : 0;
}

static int check_growth(struct action *action, const char *key, const struct record *found,
			uint64_t value_bytes)
{
	struct overlay_growth growth = { 0, 0 };

	overlay_measure(action->overlay, key, found, value_bytes, &growth);
	return overlay_check_growth(action->overlay, &growth);
}

static uint64_t value_size(GBytes *value)
{
	return value ? g_bytes_get_size(value) : 0;
}

static int check_value(struct action *action, uint64_t size)
{
	return size > overlay_get_limits(action->overlay)->max_value_bytes ? -EFBIG : 0;
}

/* ---- Making --------------------------------------------------------------------- */

/* What a program removes and makes again under the same inode number was moved: it keeps
 * its owner, whoever moves it. */
static int check_changes(struct action *action, const struct record *record, bool created)
{
	const struct op *op = action->op;
	const struct record *moved = NULL;
	struct attributes changes = op->changes;

	if (!action->checked || !changes.mask || (op->flags & OP_MOVED))
		return 0;
	if (created && op->ino)
		moved = overlay_find_removed(action->overlay, op->ino);
	if (moved && (changes.mask & ATTRIBUTE_UID) && changes.uid == moved->uid &&
	    (changes.mask & ATTRIBUTE_GID) && changes.gid == moved->gid)
		return 0;
	return access_check_attributes(action->credentials, record, &changes);
}

static void apply_changes(struct record *record, const struct attributes *changes)
{
	if (changes->mask & ATTRIBUTE_MODE)
		record->mode = changes->mode & 07777;
	if (changes->mask & ATTRIBUTE_UID)
		record->uid = changes->uid;
	if (changes->mask & ATTRIBUTE_GID)
		record->gid = changes->gid;
	if (changes->mask & ATTRIBUTE_MTIME)
		record->mtime_ns = changes->mtime_ns;
	if ((changes->mask & ATTRIBUTE_MTIME) && record->type == RECORD_DIRECTORY)
		record->own_mtime_ns = changes->mtime_ns;
	/* Setuid and setgid bits have no meaning on values. */
	if (record->type != RECORD_DIRECTORY)
		record->mode &= ~06000u;
}

/* A new record as the operation makes it below `parent`, before its changes. */
static struct record *make_record(struct action *action, enum record_type type,
				  const struct record *parent, uint32_t mode)
{
	struct record *record = record_new(type);

	record->mode = mode & 07777 & ~action->credentials->umask;
	record->uid = action->credentials->uid;
	record->gid = action->credentials->gid;
	if (parent->mode & 02000) {
		record->gid = parent->gid;
		if (type == RECORD_DIRECTORY)
			record->mode |= 02000;
	}
	record->mtime_ns = action->now_ns;
	record->own_mtime_ns = type == RECORD_DIRECTORY ? action->now_ns : 0;
	record->ctime_ns = action->now_ns;
	record->scratch = action->op->flags & OP_SCRATCH;
	if (type != RECORD_DIRECTORY)
		record->mode &= ~06000u;
	if (type == RECORD_SYMLINK)
		record->mode = 0777;
	return record;
}

static struct record *make_key(struct action *action, enum record_type type,
			       const struct record *parent, GBytes *value)
{
	struct record *record = make_record(action, type, parent, action->op->mode);

	record->ino = action->op->ino;
	if (type != RECORD_DIRECTORY)
		record_take_value(record, value ? g_bytes_ref(value) : g_bytes_new(NULL, 0));
	return record;
}

/* A directory that is to be made above a key. */
struct above {
	char *key;
	struct record *record;
};

static void above_clear(gpointer data)
{
	struct above *above = data;

	g_free(above->key);
	record_unref(above->record);
}

/* Fills `missing` with the directories above the key that are absent, the lowest first;
 * *ret is the one that is there. */
static int find_missing(struct action *action, GArray *missing, struct record **ret)
{
	g_autofree char *key = key_parent(action->op->key);

	for (;;) {
		struct above above = { NULL, NULL };
		g_autoptr(record) found = NULL;
		int r = action_find(action, key, &found);

		if (r < 0)
			return action_refuse(action, key, r);
		if (found && found->type != RECORD_DIRECTORY)
			return action_refuse(action, key, -ENOTDIR);
		if (found) {
			*ret = g_steal_pointer(&found);
			return 0;
		}
		if (*key == '\0')
			return action_refuse(action, key, -EIO); /* a tree without a root */
		above.key = g_steal_pointer(&key);
		key = key_parent(above.key);
		g_array_append_val(missing, above);
	}
}

/* Makes the records of the missing directories, but not them: the lowest is in *parent then
 * in place of the one that is there. Whoever may read a key may search the way to it. */
static void make_missing(struct action *action, GArray *missing, struct record **parent)
{
	uint32_t mode = action->op->mode | (action->op->mode & 0444) >> 2;

	for (guint i = missing->len; i-- > 0;) {
		struct above *above = &g_array_index(missing, struct above, i);

		above->record = make_record(action, RECORD_DIRECTORY, *parent, mode);
		above->record->mode |= 0300;
		record_unref(*parent);
		*parent = record_ref(above->record);
	}
}

/* The directory that the key comes to lie in, as it will be. */
static int find_place(struct action *action, GArray *missing, struct record **ret)
{
	const char *key = action->op->key;
	g_autoptr(record) parent = NULL;
	int r;

	r = missing ? find_missing(action, missing, &parent) :
		      action_find_parent(action, key, &parent);
	if (r < 0)
		return r;
	if (missing && missing->len > 0)
		key = g_array_index(missing, struct above, missing->len - 1).key;
	r = action_check_entry(action, key, NULL);
	if (r < 0)
		return r;
	if (missing)
		make_missing(action, missing, &parent);
	*ret = g_steal_pointer(&parent);
	return 0;
}

static int check_created(struct action *action, const GArray *missing, const struct record *made)
{
	struct overlay_growth growth = { 0, 0 };
	int r = check_value(action, made->size_bytes);

	if (r == 0)
		r = check_changes(action, made, true);
	if (r < 0)
		return r;
	overlay_measure(action->overlay, action->op->key, NULL, made->size_bytes, &growth);
	for (guint i = 0; missing && i < missing->len; i++)
		overlay_measure(action->overlay, g_array_index(missing, struct above, i).key, NULL,
				0, &growth);
	return overlay_check_growth(action->overlay, &growth);
}

static int create_with(struct action *action, enum record_type type, GBytes *value, GArray *missing)
{
	const struct op *op = action->op;
	g_autoptr(record) parent = NULL;
	g_autoptr(record) made = NULL;
	int r;

	r = find_place(action, missing, &parent);
	if (r < 0)
		return r;
	made = make_key(action, type, parent, value);
	r = check_created(action, missing, made);
	if (r < 0)
		return r;
	for (guint i = missing ? missing->len : 0; i-- > 0;) {
		struct above *above = &g_array_index(missing, struct above, i);

		above->record->ino = overlay_new_ino(action->overlay);
		overlay_set_created(action->overlay, above->key, g_steal_pointer(&above->record),
				    0);
	}
	if (!made->ino)
		made->ino = overlay_new_ino(action->overlay);
	apply_changes(made, &op->changes);
	overlay_set_created(action->overlay, op->key, g_steal_pointer(&made), op->changes.mask);
	return 0;
}

int action_create(struct action *action, enum record_type type, GBytes *value)
{
	g_autoptr(GArray) missing = NULL;

	if (action->op->flags & OP_PARENTS) {
		missing = g_array_new(FALSE, FALSE, sizeof(struct above));
		g_array_set_clear_func(missing, above_clear);
	}
	return create_with(action, type, value, missing);
}

static int op_mkdir_or_symlink(struct action *action, enum record_type type)
{
	g_autoptr(record) found = NULL;
	int r;

	r = action_find(action, action->op->key, &found);
	if (r < 0)
		return r;
	return found ? -EEXIST : action_create(action, type, action->op->value);
}

/* ---- Writing values ------------------------------------------------------------- */

/* The rules of writing a value to what is there already. */
int action_check_writable(struct action *action, const struct record *found, uint64_t size)
{
	const struct op *op = action->op;
	int r;

	if (found->type == RECORD_DIRECTORY)
		return -EISDIR;
	if (found->type == RECORD_SYMLINK)
		return -ELOOP;
	r = check_value(action, size);
	if (r == 0)
		r = action_check_search(action, op->key);
	if (r == 0 && action->checked)
		r = access_check_write(action->credentials, found, &op->changes);
	if (r == 0)
		r = check_changes(action, found, false);
	if (r == 0)
		r = check_growth(action, op->key, found, size);
	return r;
}

static void stamp(struct action *action, struct record *record)
{
	record->mtime_ns = action->now_ns;
	record->ctime_ns = action->now_ns;
	apply_changes(record, &action->op->changes);
}

void action_overwrite(struct action *action, struct record *found, GBytes *value)
{
	struct record *now = record_copy_bare(found);

	record_take_value(now, value);
	stamp(action, now);
	overlay_set_modified(action->overlay, action->op->key, found, now, true,
			     action->op->changes.mask);
}

int action_tell_previous(struct action *action, struct record *found)
{
	int r;

	if (!action->output || !(action->op->flags & OP_PREVIOUS) || !found)
		return 0;
	r = action_check_read(action, found);
	if (r < 0)
		return r;
	return output_add(action->output, action->overlay, action->op->key, found, false,
			  action->room);
}

static int op_put(struct action *action)
{
	const struct op *op = action->op;
	g_autoptr(record) found = NULL;
	int r;

	r = action_find(action, op->key, &found);
	if (r < 0)
		return r;
	if (!found)
		return action_create(action, RECORD_VALUE, op->value);
	if (op->flags & OP_EXCLUSIVE)
		return -EEXIST;
	r = action_check_writable(action, found, value_size(op->value));
	if (r == 0)
		r = action_tell_previous(action, found);
	if (r < 0)
		return r;
	action_overwrite(action, found, op->value ? g_bytes_ref(op->value) : g_bytes_new(NULL, 0));
	return 0;
}

/* Edits a value that was written before, where it is. */
static int patch_in_place(struct action *action, struct record *now, const GPtrArray *edits)
{
	const struct op *op = action->op;
	GBytes *value = g_steal_pointer(&now->value);
	int r;

	r = edits_change(&value, edits, overlay_get_limits(action->overlay)->max_value_bytes);
	record_take_value(now, value);
	if (r == 0)
		stamp(action, now);
	overlay_edit_end(action->overlay, op->key, r == 0 ? op->changes.mask : 0);
	return r;
}

/* Edits a value that lies below, or that others hold too. */
static int patch_copy(struct action *action, struct record *found, const GPtrArray *edits)
{
	const struct op *op = action->op;
	g_autoptr(record) now = record_copy_bare(found);
	GBytes *value = g_bytes_ref(found->value);
	int r;

	/* The value just read belongs to nobody else then, and is not copied again. The
	 * committer needs it for the history. */
	if (!overlay_is_whole(action->overlay) && g_atomic_int_get(&found->refs) == 1)
		g_clear_pointer(&found->value, g_bytes_unref);
	r = edits_change(&value, edits, overlay_get_limits(action->overlay)->max_value_bytes);
	record_take_value(now, value);
	if (r < 0)
		return r;
	stamp(action, now);
	overlay_set_modified(action->overlay, op->key, found, g_steal_pointer(&now), true,
			     op->changes.mask);
	return 0;
}

int action_patch(struct action *action, const GPtrArray *edits)
{
	const struct op *op = action->op;
	uint64_t max_bytes = overlay_get_limits(action->overlay)->max_value_bytes;
	g_autoptr(record) found = NULL;
	uint64_t size = 0, peak = 0;
	struct record *own;
	int r;

	r = overlay_get(action->overlay, op->key, &found);
	if (r == 0)
		r = action_tell_previous(action, found);
	if (r < 0)
		return r;
	if (found->type == RECORD_VALUE)
		r = edits_size(found->size_bytes, edits, max_bytes, &size, &peak);
	if (r == 0)
		r = action_check_writable(action, found, size);
	if (r < 0)
		return r;
	own = overlay_edit_begin(action->overlay, op->key, &found);
	return own ? patch_in_place(action, own, edits) : patch_copy(action, found, edits);
}

/* ---- Attributes, removing ------------------------------------------------------- */

static int op_attr(struct action *action)
{
	const struct op *op = action->op;
	g_autoptr(record) found = NULL;
	struct record *now;
	int r;

	r = overlay_get(action->overlay, op->key, &found);
	if (r < 0)
		return r;
	if (!op->changes.mask)
		return 0;
	r = action_check_search(action, op->key);
	if (r == 0)
		r = check_changes(action, found, false);
	if (r == 0)
		r = check_growth(action, op->key, found, 0);
	if (r < 0)
		return r;
	now = record_copy(found);
	now->ctime_ns = action->now_ns;
	apply_changes(now, &op->changes);
	overlay_set_modified(action->overlay, op->key, found, now, false, op->changes.mask);
	return 0;
}

static int remove_found(struct action *action, struct record *found)
{
	const struct op *op = action->op;
	struct overlay_growth growth = { 0, 0 };
	int r;

	r = action_check_entry(action, op->key, found);
	if (r < 0)
		return r;
	overlay_measure_delete(action->overlay, op->key, found, &growth);
	r = overlay_check_growth(action->overlay, &growth);
	if (r < 0)
		return r;
	overlay_set_deleted(action->overlay, op->key, found);
	return 0;
}

static int op_delete(struct action *action)
{
	const struct op *op = action->op;
	g_autoptr(record) found = NULL;
	int r;

	r = action_find(action, op->key, &found);
	if (r < 0)
		return r;
	if (!found)
		return op->flags & OP_PRESENT ? -ENOENT : 0;
	if (found->type == RECORD_DIRECTORY)
		return -EISDIR;
	r = action_tell_previous(action, found);
	if (r == 0)
		r = remove_found(action, found);
	if (r == 0 && action->output)
		action->output->count = 1;
	return r;
}

static int op_rmdir(struct action *action)
{
	const struct op *op = action->op;
	g_autoptr(record) found = NULL;
	int r;

	if (*op->key == '\0')
		return -EBUSY;
	r = action_find(action, op->key, &found);
	if (r < 0)
		return r;
	if (!found)
		return op->flags & OP_PRESENT ? -ENOENT : 0;
	if (found->type != RECORD_DIRECTORY)
		return -ENOTDIR;
	r = overlay_check_empty(action->overlay, op->key);
	if (r < 0)
		return r;
	return remove_found(action, found);
}

static int run(struct action *action)
{
	switch (action->op->kind) {
	case OP_PUT:
		return op_put(action);
	case OP_PATCH:
		return action_patch(action, action->op->edits);
	case OP_DELETE:
		return op_delete(action);
	case OP_MKDIR:
		return op_mkdir_or_symlink(action, RECORD_DIRECTORY);
	case OP_RMDIR:
		return op_rmdir(action);
	case OP_SYMLINK:
		return op_mkdir_or_symlink(action, RECORD_SYMLINK);
	case OP_RENAME:
		return action_rename(action);
	case OP_ATTR:
		return op_attr(action);
	case OP_DELETE_TREE:
		return action_delete_tree(action);
	case OP_GET:
		return action_get(action);
	case OP_ADD:
	case OP_MIN:
	case OP_MAX:
		return action_number(action);
	case OP_APPEND:
		return action_append(action);
	case OP_PROGRAM:
		break;
	}
	g_assert_not_reached();
}

int action_run(struct action *action)
{
	int r = key_check(action->op->key);

	/* First of all, or the refusals would tell what there is. */
	if (r == 0 && action->checked_reads)
		r = access_check_search(action->overlay, action->credentials, action->op->key,
					false);
	return r < 0 ? r : run(action);
}

char *action_take_way(struct action *action)
{
	return action->way ? g_steal_pointer(&action->way) : g_strdup(action->op->key);
}

int action_record_after(struct action *action, struct record **ret)
{
	const struct op *op = action->op;

	*ret = NULL;
	return action_find(action, op->kind == OP_RENAME ? op->target : op->key, ret);
}

int overlay_apply(struct overlay *overlay, const struct op *op,
		  const struct credentials *credentials, bool checked, int64_t now_ns,
		  struct record **ret, char **ret_key)
{
	struct action action = { .overlay = overlay,
				 .op = op,
				 .credentials = credentials,
				 .checked = checked,
				 .now_ns = now_ns };
	int r = action_run(&action);

	if (r == 0 && ret)
		r = action_record_after(&action, ret);
	if (r < 0 && ret_key)
		*ret_key = action_take_way(&action);
	g_free(action.way);
	return r;
}
