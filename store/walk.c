/* See walk.h. A directory is listed whole before anything in it is visited: a listing
 * holds an iterator of the database, and trees may be as deep as keys are long. */
#include "store/walk.h"

#include "store/access.h"

#include <errno.h>
#include <string.h>

struct child {
	char *name;
	struct record *record;
};

static void child_clear(gpointer data)
{
	struct child *child = data;

	g_free(child->name);
	record_unref(child->record);
}

/* A directory goes where its entries' keys go: as if its name ended in a slash. */
static int compare_children(gconstpointer a, gconstpointer b)
{
	const struct child *left = a, *right = b;
	const unsigned char *x = (const unsigned char *)left->name;
	const unsigned char *y = (const unsigned char *)right->name;

	while (*x && *x == *y) {
		x++;
		y++;
	}
	return (*x				       ? *x :
		left->record->type == RECORD_DIRECTORY ? '/' :
							 0) -
	       (*y					? *y :
		right->record->type == RECORD_DIRECTORY ? '/' :
							  0);
}

static int add_child(const char *name, struct record *record, void *arg)
{
	struct child child = { g_strdup(name), record_ref(record) };

	g_array_append_val((GArray *)arg, child);
	return 0;
}

static int check_list(struct walk *walk, const char *key, const struct record *record)
{
	int r = walk->credentials ? access_check_list(walk->credentials, record) : 0;

	if (r < 0)
		walk->way = g_strdup(key);
	return r;
}

static int walk_directory(struct walk *walk, const char *key, struct record *record,
			  const struct record *parent)
{
	g_autoptr(GArray) children = g_array_new(FALSE, FALSE, sizeof(struct child));
	int r;

	g_array_set_clear_func(children, child_clear);
	r = overlay_list(walk->overlay, key, add_child, children);
	/* Whoever may remove an empty directory need not be able to list it. */
	if (r == 0 && (children->len > 0 || !walk->directories))
		r = check_list(walk, key, record);
	g_array_sort(children, compare_children);
	for (guint i = 0; r == 0 && i < children->len; i++) {
		const struct child *child = &g_array_index(children, struct child, i);
		g_autofree char *below = *key ? g_strconcat(key, "/", child->name, NULL) :
						g_strdup(child->name);

		r = child->record->type == RECORD_DIRECTORY ?
			    walk_directory(walk, below, child->record, record) :
			    walk->visit(below, child->record, record, walk->arg);
	}
	if (r == 0 && walk->directories && *key)
		r = walk->visit(key, record, parent, walk->arg);
	return r;
}

int walk_tree(struct walk *walk, const char *key)
{
	g_autoptr(record) record = NULL;
	int r = overlay_get(walk->overlay, key, &record);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (record->type == RECORD_DIRECTORY)
		return walk_directory(walk, key, record, NULL);
	return walk->visit(key, record, NULL, walk->arg);
}
