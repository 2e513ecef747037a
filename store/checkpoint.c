/* RocksDB writes what is in memory to tables first, so that next to nothing has to be
 * copied: tables never change, and are linked. */
#include "store/checkpoint.h"

#include "store/files.h"

#include <errno.h>

#define NAME_PREFIX "checkpoint."
/* What flushing and linking may need. */
#define SPACE_BYTES ((uint64_t)16 * 1024 * 1024)

static int make(const struct layout *layout, const char *path)
{
	char *error = NULL;
	rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(layout->db, &error);

	if (!error)
		rocksdb_checkpoint_create(checkpoint, path, 0, &error);
	if (checkpoint)
		rocksdb_checkpoint_object_destroy(checkpoint);
	return layout_result("make a checkpoint", error);
}

int checkpoint_make(struct local *local, char **ret_path)
{
	static gint count; /* atomic */
	g_autofree char *path = NULL;
	int r;

	if (!local->path)
		return -EOPNOTSUPP;
	r = g_atomic_int_get(&local->read_only) ? -EROFS : 0;
	if (r == 0 && !local_has_space(local_free_bytes(local), SPACE_BYTES, true))
		r = -ENOSPC;
	if (r < 0)
		return r;
	path = g_strdup_printf("%s/" NAME_PREFIX "%d", local->path, g_atomic_int_add(&count, 1));
	r = make(&local->layout, path);
	if (r < 0) {
		files_remove_tree(path);
		return r;
	}
	*ret_path = g_steal_pointer(&path);
	return 0;
}

void store_remove_checkpoint(const char *path)
{
	if (path)
		files_remove_tree(path);
}

void checkpoint_remove_all(const char *path)
{
	g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
	const char *name;

	while (directory && (name = g_dir_read_name(directory))) {
		g_autofree char *left = g_build_filename(path, name, NULL);

		if (g_str_has_prefix(name, NAME_PREFIX))
			files_remove_tree(left);
	}
}
