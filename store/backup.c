/* RocksDB's backup engine does the copying. Beside its files there is one of ours, which
 * makes the directory known and says, of each backup, which revision it is:
 *
 *   commitfs backup, format 1
 *   store UUID
 *   backup ID revision REVISION
 *
 * The line of a backup is written before the backup is made: a checkpoint does not change,
 * so it is right whenever there is one. A lock on the directory keeps others away. */
#include "store/backup.h"

#include "store/files.h"
#include "store/local.h"
#include "store/unfinished.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NUMBER "%" G_GUINT64_FORMAT
#define LIST_NAME "commitfs-backup"
#define LIST_HEAD "commitfs backup, format 1\n"
#define TRIAL_NAME "verify.tmp" /* what a verification restores into */

/* A directory of backups, locked. */
struct shelf {
	char *path;
	int lock;
	char store_id[37];		 /* "": it has none yet */
	GHashTable *revisions;		 /* id as a pointer -> uint64_t */
	rocksdb_backup_engine_t *engine; /* NULL: not opened */
};

static int refuse(char **ret_message, int error, char *message)
{
	*ret_message = message;
	return error;
}

/* "cannot ACTION 'x': why". */
static int refuse_errno(char **ret_message, const char *action, const char *path, int error)
{
	return refuse(ret_message, error,
		      g_strdup_printf("cannot %s '%s': %s", action, path, g_strerror(-error)));
}

/* Takes a text of RocksDB's (NULL: none). */
static int refuse_rocks(char **ret_message, const char *action, const char *path, char *error)
{
	int r;

	if (!error)
		return 0;
	r = strstr(error, "No space left")	  ? -ENOSPC :
	    g_str_has_prefix(error, "Corruption") ? -EUCLEAN :
						    -EIO;
	*ret_message = g_strdup_printf("cannot %s '%s': %s", action, path, error);
	rocksdb_free(error);
	return r;
}

/* ---- The list ------------------------------------------------------------------- */

static void note_revision(struct shelf *shelf, uint32_t id, uint64_t revision)
{
	g_hash_table_insert(shelf->revisions, GUINT_TO_POINTER(id),
			    g_memdup2(&revision, sizeof(revision)));
}

static void read_line(struct shelf *shelf, const char *line)
{
	guint64 revision;
	unsigned id;

	if (sscanf(line, "store %36s", shelf->store_id) == 1)
		return;
	if (sscanf(line, "backup %u revision " NUMBER, &id, &revision) == 2)
		note_revision(shelf, id, revision);
}

static int read_list(struct shelf *shelf, char **ret_message)
{
	g_autofree char *path = g_build_filename(shelf->path, LIST_NAME, NULL);
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;

	if (!g_file_get_contents(path, &text, NULL, NULL) || !g_str_has_prefix(text, LIST_HEAD))
		return refuse(ret_message, -EINVAL,
			      g_strdup_printf("cannot use '%s': it is no directory of backups: "
					      "'%s' in it does not say so",
					      shelf->path, LIST_NAME));
	lines = g_strsplit(text + strlen(LIST_HEAD), "\n", -1);
	for (char **line = lines; *line; line++)
		read_line(shelf, *line);
	return 0;
}

static int write_list(struct shelf *shelf, char **ret_message)
{
	g_autofree char *path = g_build_filename(shelf->path, LIST_NAME, NULL);
	g_autoptr(GString) text = g_string_new(LIST_HEAD);
	g_autoptr(GList) ids = g_hash_table_get_keys(shelf->revisions);
	int r;

	g_string_append_printf(text, "store %s\n", shelf->store_id);
	for (GList *link = ids; link; link = link->next) {
		const uint64_t *revision = g_hash_table_lookup(shelf->revisions, link->data);

		g_string_append_printf(text, "backup %u revision " NUMBER "\n",
				       GPOINTER_TO_UINT(link->data), *revision);
	}
	r = files_replace(path, text->str);
	return r < 0 ? refuse_errno(ret_message, "write", path, r) : 0;
}

/* ---- The directory -------------------------------------------------------------- */

/* Waits for what it still does after an error. */
static void close_engine(struct shelf *shelf)
{
	if (shelf->engine)
		rocksdb_backup_engine_close(shelf->engine);
	shelf->engine = NULL;
}

static void shelf_close(struct shelf *shelf)
{
	close_engine(shelf);
	if (shelf->lock >= 0)
		close(shelf->lock);
	g_clear_pointer(&shelf->revisions, g_hash_table_unref);
	g_free(shelf->path);
}

static int lock_directory(struct shelf *shelf, char **ret_message)
{
	shelf->lock = open(shelf->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (shelf->lock < 0)
		return refuse_errno(ret_message, "open the directory of backups", shelf->path,
				    -errno);
	if (flock(shelf->lock, LOCK_EX | LOCK_NB) < 0)
		return refuse(ret_message, -EBUSY,
			      g_strdup_printf("cannot use '%s': another command works on its "
					      "backups",
					      shelf->path));
	return 0;
}

static int open_engine(struct shelf *shelf, char **ret_message)
{
	rocksdb_env_t *env = rocksdb_create_default_env();
	rocksdb_backup_engine_options_t *options =
		rocksdb_backup_engine_options_create(shelf->path);
	char *error = NULL;

	rocksdb_backup_engine_options_set_sync(options, 1);
	shelf->engine = rocksdb_backup_engine_open_opts(options, env, &error);
	rocksdb_backup_engine_options_destroy(options);
	rocksdb_env_destroy(env);
	return refuse_rocks(ret_message, "open the backups in", shelf->path, error);
}

static void shelf_init(struct shelf *shelf, const char *path)
{
	*shelf = (struct shelf){ .path = files_without_slashes(path), .lock = -1 };
	shelf->revisions = g_hash_table_new_full(NULL, NULL, NULL, g_free);
}

/* Opens one that is there; shelf_close() whatever is answered. */
static int shelf_open(struct shelf *shelf, const char *path, char **ret_message)
{
	int r;

	shelf_init(shelf, path);
	r = lock_directory(shelf, ret_message);
	if (r == 0)
		r = read_list(shelf, ret_message);
	if (r == 0)
		r = open_engine(shelf, ret_message);
	return r;
}

/* True when it has nothing in it, or what a kill while it was made the first time left. */
static bool is_new(const char *path)
{
	g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
	const char *name = directory ? g_dir_read_name(directory) : "";

	if (name && strcmp(name, LIST_NAME ".new") == 0)
		name = g_dir_read_name(directory);
	return !name;
}

/* The same for backups of the store `id`; makes it when it is missing or empty. */
static int shelf_open_for(struct shelf *shelf, const char *path, const char *id, char **ret_message)
{
	int r;

	shelf_init(shelf, path);
	r = g_mkdir(shelf->path, 0700) < 0 ? -errno : files_sync_above(shelf->path);
	if (r < 0 && r != -EEXIST)
		return refuse_errno(ret_message, "make the directory of backups", path, r);
	r = lock_directory(shelf, ret_message);
	if (r < 0)
		return r;
	if (is_new(path)) {
		g_strlcpy(shelf->store_id, id, sizeof(shelf->store_id));
		r = write_list(shelf, ret_message);
	} else {
		r = read_list(shelf, ret_message);
		if (r == -EINVAL)
			r = -ENOTEMPTY;
	}
	if (r == 0 && strcmp(shelf->store_id, id) != 0)
		return refuse(ret_message, -EXDEV,
			      g_strdup_printf("cannot back up to '%s': it has backups of another "
					      "store (%s, this one is %s); give each a directory "
					      "of its own",
					      path, shelf->store_id, id));
	return r == 0 ? open_engine(shelf, ret_message) : r;
}

/* The backups that are whole, oldest first, of struct backup. */
static GArray *list_backups(struct shelf *shelf)
{
	const rocksdb_backup_engine_info_t *info =
		rocksdb_backup_engine_get_backup_info(shelf->engine);
	GArray *backups = g_array_new(FALSE, FALSE, sizeof(struct backup));

	for (int i = 0; i < rocksdb_backup_engine_info_count(info); i++) {
		struct backup backup = { 0 };
		const uint64_t *revision;

		backup.id = rocksdb_backup_engine_info_backup_id(info, i);
		backup.time_s = rocksdb_backup_engine_info_timestamp(info, i);
		backup.size_bytes = rocksdb_backup_engine_info_size(info, i);
		revision = g_hash_table_lookup(shelf->revisions, GUINT_TO_POINTER(backup.id));
		backup.revision = revision ? *revision : 0;
		g_array_append_val(backups, backup);
	}
	rocksdb_backup_engine_info_destroy(info);
	return backups;
}

static int find_backup(struct shelf *shelf, uint32_t id, struct backup *ret, char **ret_message)
{
	g_autoptr(GArray) backups = list_backups(shelf);

	for (guint i = backups->len; i-- > 0;) {
		const struct backup *backup = &g_array_index(backups, struct backup, i);

		if (id && backup->id != id)
			continue;
		*ret = *backup;
		return 0;
	}
	if (!id)
		return refuse(ret_message, -ENOENT,
			      g_strdup_printf("cannot find a backup in '%s': there is none",
					      shelf->path));
	return refuse(ret_message, -ENOENT,
		      g_strdup_printf("cannot find backup %u in '%s'; see: commitfs backup list %s",
				      id, shelf->path, shelf->path));
}

/* ---- Making one ----------------------------------------------------------------- */

/* Opens a database as it lies in a directory, and tells what it is. */
static int open_copy(struct layout *layout, const char *path, char *ret_id, uint64_t *ret_revision,
		     char **ret_message)
{
	rocksdb_pinnableslice_t *slice = NULL;
	g_autofree char *error = NULL;
	int r;

	if (layout_open(layout, path, LAYOUT_COPY, &error) < 0)
		return refuse(ret_message, -EUCLEAN,
			      g_strdup_printf("cannot open '%s': %s", path, error));
	r = layout_peek_revision(layout, ret_revision);
	if (r == 0)
		r = layout_get(layout, layout->newest, FAMILY_META, META_ID, strlen(META_ID),
			       &slice);
	if (r == 0) {
		size_t size;
		const char *bytes = rocksdb_pinnableslice_value(slice, &size);

		g_snprintf(ret_id, 37, "%.*s", (int)MIN(size, 36), bytes);
		rocksdb_pinnableslice_destroy(slice);
		return 0;
	}
	layout_close(layout, false);
	return refuse_errno(ret_message, "read", path, r == -ENOENT ? -EUCLEAN : r);
}

static void forget_dropped(struct shelf *shelf)
{
	g_autoptr(GArray) backups = list_backups(shelf);

	g_hash_table_remove_all(shelf->revisions);
	for (guint i = 0; i < backups->len; i++) {
		const struct backup *backup = &g_array_index(backups, struct backup, i);

		note_revision(shelf, backup->id, backup->revision);
	}
}

static int add_backup(struct shelf *shelf, rocksdb_t *db, uint64_t revision, struct backup *ret,
		      char **ret_message)
{
	g_autoptr(GArray) before = list_backups(shelf);
	uint32_t next = before->len ? g_array_index(before, struct backup, before->len - 1).id + 1 :
				      1;
	char *error = NULL;
	int r;

	note_revision(shelf, next, revision);
	r = write_list(shelf, ret_message);
	if (r < 0)
		return r;
	rocksdb_backup_engine_create_new_backup_flush(shelf->engine, db, 1, &error);
	r = refuse_rocks(ret_message, "back up to", shelf->path, error);
	if (r == 0)
		r = find_backup(shelf, 0, ret, ret_message);
	if (r < 0)
		return r;
	/* Not `next` where a damaged one had the number already. */
	note_revision(shelf, ret->id, revision);
	ret->revision = revision;
	error = NULL;
	rocksdb_backup_engine_verify_backup(shelf->engine, ret->id, &error);
	return refuse_rocks(ret_message, "verify the backup in", shelf->path, error);
}

static int drop_old(struct shelf *shelf, uint32_t keep, char **ret_message)
{
	char *error = NULL;
	int r = 0;

	if (keep) {
		rocksdb_backup_engine_purge_old_backups(shelf->engine, keep, &error);
		r = refuse_rocks(ret_message, "drop old backups in", shelf->path, error);
	}
	if (r < 0)
		return r;
	forget_dropped(shelf);
	return write_list(shelf, ret_message);
}

int backup_create(const char *checkpoint, const char *directory, uint32_t keep, struct backup *ret,
		  char **ret_message)
{
	struct layout layout;
	struct shelf shelf;
	uint64_t revision;
	char id[37];
	int r;

	r = open_copy(&layout, checkpoint, id, &revision, ret_message);
	if (r < 0)
		return r;
	r = shelf_open_for(&shelf, directory, id, ret_message);
	if (r == 0)
		r = add_backup(&shelf, layout.db, revision, ret, ret_message);
	if (r == 0)
		r = drop_old(&shelf, keep, ret_message);
	shelf_close(&shelf);
	layout_close(&layout, false);
	return r;
}

/* ---- Listing -------------------------------------------------------------------- */

int backup_list(const char *directory, backup_visit_fn *visit, void *arg, char **ret_message)
{
	g_autoptr(GArray) backups = NULL;
	struct shelf shelf;
	int r;

	r = shelf_open(&shelf, directory, ret_message);
	if (r == 0)
		backups = list_backups(&shelf);
	for (guint i = 0; r == 0 && i < backups->len; i++)
		r = visit(&g_array_index(backups, struct backup, i), arg);
	shelf_close(&shelf);
	return r;
}

/* ---- Restoring ------------------------------------------------------------------ */

static int copy_files(struct shelf *shelf, uint32_t id, const char *database, char **ret_message)
{
	rocksdb_restore_options_t *options = rocksdb_restore_options_create();
	char *error = NULL;

	rocksdb_backup_engine_restore_db_from_backup(shelf->engine, database, database, options, id,
						     &error);
	rocksdb_restore_options_destroy(options);
	return refuse_rocks(ret_message, "restore the backup in", shelf->path, error);
}

/* Opens what came out once, and makes it a store. */
static int finish_store(const char *path, const char *database, struct backup *backup,
			char **ret_message)
{
	struct layout layout;
	uint64_t format = 0;
	char id[37];
	int r;

	r = open_copy(&layout, database, id, &backup->revision, ret_message);
	if (r < 0)
		return r;
	r = layout_get_number(&layout, layout.newest, META_FORMAT, &format);
	layout_close(&layout, false);
	if (r == 0)
		r = local_write_marker(path, format);
	return r < 0 ? refuse_errno(ret_message, "make a store in", path, r) : 0;
}

/* Restores into the directory `path`, which is there and empty. */
static int restore_into(struct shelf *shelf, uint32_t id, const char *path, struct backup *ret,
			char **ret_message)
{
	g_autofree char *database = g_build_filename(path, "db", NULL);
	int r;

	r = find_backup(shelf, id, ret, ret_message);
	if (r == 0 && g_mkdir(database, 0700) < 0)
		r = refuse_errno(ret_message, "make", database, -errno);
	if (r == 0)
		r = copy_files(shelf, ret->id, database, ret_message);
	return r == 0 ? finish_store(path, database, ret, ret_message) : r;
}

static int move_into_place(const char *partial, const char *path, char **ret_message)
{
	g_autofree char *database = g_build_filename(partial, "db", NULL);
	int r;

	r = files_sync_all(database); /* RocksDB has not synced what it restored */
	if (r == 0 && renameat2(AT_FDCWD, partial, AT_FDCWD, path, RENAME_NOREPLACE) < 0)
		r = -errno;
	if (r == 0)
		r = files_sync_above(path);
	return r < 0 ? refuse_errno(ret_message, "make store", path, r) : 0;
}

static int restore_to(struct shelf *shelf, uint32_t id, const char *path, struct backup *ret,
		      char **ret_message)
{
	g_autofree char *prefix = g_strconcat(path, ".commitfs-restore.", NULL);
	struct unfinished partial;
	int r;

	r = unfinished_begin(prefix, &partial);
	if (r < 0)
		return refuse_errno(ret_message, "make a directory beside", path, r);
	r = restore_into(shelf, id, partial.path, ret, ret_message);
	if (r == 0)
		r = move_into_place(partial.path, path, ret_message);
	if (r < 0) {
		close_engine(shelf);
		unfinished_remove(&partial);
	} else {
		unfinished_keep(&partial);
	}
	return r;
}

int backup_restore(const char *directory, uint32_t id, const char *path, struct backup *ret,
		   char **ret_message)
{
	g_autofree char *target = files_without_slashes(path);
	struct shelf shelf;
	struct stat status;
	int r;

	if (lstat(target, &status) == 0)
		return refuse(ret_message, -EEXIST,
			      g_strdup_printf("cannot restore to '%s': it is there already; give a "
					      "name that is free",
					      target));
	r = shelf_open(&shelf, directory, ret_message);
	if (r == 0)
		r = restore_to(&shelf, id, target, ret, ret_message);
	shelf_close(&shelf);
	return r;
}

static int verify_trial(struct shelf *shelf, uint32_t id, const char *path,
			const struct store_check_options *options, struct backup *ret,
			struct store_check_result *ret_result, char **ret_message)
{
	struct store_check_options trial = *options;
	int r;

	if (g_mkdir(path, 0700) < 0)
		return refuse_errno(ret_message, "make", path, -errno);
	r = restore_into(shelf, id, path, ret, ret_message);
	trial.open.path = path;
	trial.repair = false;
	return r == 0 ? store_check(&trial, ret_result, ret_message) : r;
}

int backup_verify(const char *directory, uint32_t id, const struct store_check_options *options,
		  struct backup *ret, struct store_check_result *ret_result, char **ret_message)
{
	g_autofree char *path = g_build_filename(directory, TRIAL_NAME, NULL);
	struct shelf shelf;
	int r;

	r = shelf_open(&shelf, directory, ret_message);
	if (r == 0) {
		files_remove_tree(path); /* of one that was killed */
		r = verify_trial(&shelf, id, path, options, ret, ret_result, ret_message);
		close_engine(&shelf);
		files_remove_tree(path);
	}
	shelf_close(&shelf);
	return r;
}
