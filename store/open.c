/* Making and opening stores: everything that can be wrong with a directory, told to people.
 *
 * The marker file is written last by store_create, so that a directory without one is not a
 * store, whatever else is in it; it says the format, so that a store of a newer release is
 * told from a damaged one; and whoever has the store open holds a lock on it. */
#include "store/local.h"

#include "store/checkpoint.h"
#include "store/commit.h"
#include "store/files.h"
#include "store/log.h"
#include "store/loss.h"
#include "store/record.h"
#include "store/unlock.h"
#include "store/wal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARKER_NAME "commitfs-store"
#define MARKER_TEXT "commitfs store, format %u\n"
#define FIRST_REVISION 1
#define ROOT_INO 1

static int refuse(char **ret_message, int error, char *message)
{
	*ret_message = message;
	return error;
}

/* "cannot open store 'x': why". */
static int refuse_errno(char **ret_message, const char *action, const char *path, int error)
{
	return refuse(ret_message, error,
		      g_strdup_printf("cannot %s store '%s': %s%s", action, path,
				      error == -EAGAIN ? "cannot start a thread: " : "",
				      g_strerror(-error)));
}

static int refuse_damaged(char **ret_message, const char *path, const char *what)
{
	return refuse(ret_message, -EUCLEAN,
		      g_strdup_printf("cannot open store '%s': damaged: %s; restore it from a "
				      "backup",
				      path, what));
}

/* ---- What is in an empty store -------------------------------------------------- */

static struct record *make_root(int64_t now_ns)
{
	struct record *root = record_new(RECORD_DIRECTORY);

	root->mode = 0755;
	root->uid = geteuid();
	root->gid = getegid();
	root->mtime_ns = now_ns;
	root->own_mtime_ns = now_ns;
	root->ctime_ns = now_ns;
	root->ino = ROOT_INO;
	root->create_revision = FIRST_REVISION;
	root->mod_revision = FIRST_REVISION;
	root->attribute_revision = FIRST_REVISION;
	root->version = 1;
	return root;
}

/* The first commit makes the root, so that every revision there is has its log entry. */
static struct log_entry *make_first_commit(void)
{
	struct log_entry *commit = log_entry_new();
	struct log_place place = { 0 };
	g_autoptr(record) root = NULL;

	commit->revision = FIRST_REVISION;
	commit->time_ns = local_now_ns();
	commit->uid = geteuid();
	commit->gid = getegid();
	commit->pid = getpid();
	commit->id = g_strdup("");
	commit->command = g_strdup("");
	commit->message = g_strdup("");
	root = make_root(commit->time_ns);
	log_entry_add(commit, CHANGE_MKDIR, "", NULL, root);
	log_place_next(&place, commit);
	return commit;
}

static void batch_encryption(const struct layout *layout, rocksdb_writebatch_t *batch,
			     const struct log_entry *first)
{
	g_autoptr(GByteArray) keys = sealer_encode(layout->sealer);
	struct tree_sum sum = { 0 };

	layout_batch_meta(layout, batch, META_ENCRYPTION, 0, keys->data, keys->len);
	tree_sum_commit(&sum, layout, first);
	tree_sum_write(&sum, layout, batch, FIRST_REVISION);
}

static int fill_layout(const struct layout *layout, const char *id)
{
	g_autoptr(log_entry) commit = make_first_commit();
	rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
	int r;

	layout_batch_number(layout, batch, META_FORMAT,
			    layout->sealer ? LAYOUT_FORMAT_ENCRYPTED : LAYOUT_FORMAT);
	layout_batch_meta(layout, batch, META_ID, 0, id, strlen(id));
	if (layout->sealer)
		batch_encryption(layout, batch, commit);
	layout_batch_number(layout, batch, META_REVISION, FIRST_REVISION);
	layout_batch_number(layout, batch, META_OLDEST, FIRST_REVISION);
	layout_batch_number(layout, batch, META_OPENED, 0);
	r = commit_write(layout, batch, commit);
	if (r == 0)
		r = layout_write(layout, batch, true);
	rocksdb_writebatch_destroy(batch);
	return r;
}

/* ---- Making --------------------------------------------------------------------- */

static int check_creatable(const char *path, char **ret_message)
{
	g_autofree char *marker = g_build_filename(path, MARKER_NAME, NULL);
	struct dirent *entry;
	bool empty = true;
	DIR *directory;

	if (access(marker, F_OK) == 0)
		return refuse(ret_message, -EEXIST,
			      g_strdup_printf("cannot make a store in '%s': it is one already; "
					      "mount it with: commitfs mount %s MNT",
					      path, path));
	directory = opendir(path);
	if (!directory)
		return refuse(ret_message, -errno,
			      g_strdup_printf("cannot make a store in '%s': %s", path,
					      g_strerror(errno)));
	while ((entry = readdir(directory)))
		empty = empty && entry->d_name[0] == '.' &&
			(!entry->d_name[1] || strcmp(entry->d_name, "..") == 0);
	closedir(directory);
	if (!empty)
		return refuse(ret_message, -ENOTEMPTY,
			      g_strdup_printf("cannot make a store in '%s': it is not empty; "
					      "give a directory that is missing or empty",
					      path));
	return 0;
}

int local_write_marker(const char *path, uint64_t format)
{
	g_autofree char *text = g_strdup_printf(MARKER_TEXT, (unsigned)format);
	g_autofree char *marker = g_build_filename(path, MARKER_NAME, NULL);

	return files_replace(marker, text);
}

static int create_database(const char *path, const char *id, const struct sealer *sealer,
			   char **ret_message)
{
	g_autofree char *database = g_build_filename(path, "db", NULL);
	g_autofree char *error = NULL;
	struct layout layout;
	int r;

	if (mkdir(database, 0700) < 0)
		return refuse_errno(ret_message, "make", path, -errno);
	if (layout_open(&layout, database, LAYOUT_CREATE, &error) < 0)
		return refuse(ret_message, -EIO,
			      g_strdup_printf("cannot make store '%s': %s", path, error));
	layout.sealer = sealer;
	r = fill_layout(&layout, id);
	layout_close(&layout, r == 0);
	return r < 0 ? refuse_errno(ret_message, "make", path, r) : 0;
}

static int create_encrypted_database(const char *path, const char *id, const struct store_key *key,
				     char **ret_message)
{
	struct sealer *sealer;
	int r;

	r = sealer_new(id, key, &sealer);
	if (r < 0)
		return unlock_refuse("make", path, r, key, ret_message);
	r = create_database(path, id, sealer, ret_message);
	sealer_free(sealer);
	return r;
}

static int create(const char *path, const struct store_key *key, char **ret_message)
{
	g_autofree char *id = g_uuid_string_random();
	int r;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return refuse(ret_message, -errno,
			      g_strdup_printf("cannot make directory '%s': %s", path,
					      g_strerror(errno)));
	r = check_creatable(path, ret_message);
	if (r == 0)
		r = key ? create_encrypted_database(path, id, key, ret_message) :
			  create_database(path, id, NULL, ret_message);
	if (r < 0)
		return r;
	r = local_write_marker(path, key ? LAYOUT_FORMAT_ENCRYPTED : LAYOUT_FORMAT);
	if (r == 0)
		r = files_sync_above(path);
	return r < 0 ? refuse_errno(ret_message, "make", path, r) : 0;
}

int store_create(const char *path, char **ret_message)
{
	return create(path, NULL, ret_message);
}

int store_create_encrypted(const char *path, const struct store_key *key, char **ret_message)
{
	return create(path, key, ret_message);
}

/* ---- Opening: the marker -------------------------------------------------------- */

static int check_directory(const char *path, char **ret_message)
{
	struct stat status;

	if (stat(path, &status) < 0 && errno == ENOENT)
		return refuse(ret_message, -ENOENT,
			      g_strdup_printf("cannot open store '%s': no such directory; "
					      "make one with: commitfs init %s",
					      path, path));
	if (stat(path, &status) < 0)
		return refuse_errno(ret_message, "open", path, -errno);
	if (!S_ISDIR(status.st_mode))
		return refuse(ret_message, -ENOTDIR,
			      g_strdup_printf("cannot open store '%s': not a directory", path));
	return 0;
}

static int refuse_newer(const char *path, uint64_t format, char **ret_message)
{
	return refuse(ret_message, -EPROTO,
		      g_strdup_printf("cannot open store '%s': it has format %" G_GUINT64_FORMAT
				      ", this release knows formats up to %u; use a newer release",
				      path, format, LAYOUT_FORMAT_NEWEST));
}

static int check_marker(int fd, const char *path, unsigned *ret_format, char **ret_message)
{
	char text[128] = "";
	unsigned format;
	ssize_t size = read(fd, text, sizeof(text) - 1);

	if (size < 0)
		return refuse_errno(ret_message, "open", path, -errno);
	if (sscanf(text, MARKER_TEXT, &format) != 1)
		return refuse(ret_message, -EINVAL,
			      g_strdup_printf("cannot open store '%s': not a commitfs store: '%s' "
					      "in it does not say so",
					      path, MARKER_NAME));
	if (format > LAYOUT_FORMAT_NEWEST)
		return refuse_newer(path, format, ret_message);
	if (format < LAYOUT_FORMAT_OLDEST)
		return refuse(ret_message, -EPROTO,
			      g_strdup_printf("cannot open store '%s': it has format %u, of before "
					      "the first release; this release knows formats from "
					      "%u on; make it anew",
					      path, format, LAYOUT_FORMAT_OLDEST));
	*ret_format = format;
	return 0;
}

/* Opens the marker, with the lock on it. */
static int open_marker(const char *path, int *ret, bool *ret_encrypted, char **ret_message)
{
	g_autofree char *marker = g_build_filename(path, MARKER_NAME, NULL);
	int fd = open(marker, O_RDONLY | O_CLOEXEC);
	unsigned format = 0;
	int r = 0;

	if (fd < 0 && errno == ENOENT)
		return refuse(ret_message, -EINVAL,
			      g_strdup_printf("cannot open store '%s': not a commitfs store; make "
					      "one in an empty directory with: commitfs init DIR",
					      path));
	if (fd < 0)
		return refuse_errno(ret_message, "open", path, -errno);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		r = errno == EWOULDBLOCK ?
			    refuse(ret_message, -EBUSY,
				   g_strdup_printf("cannot open store '%s': another process has "
						   "it open; where it is mounted: findmnt -t "
						   "fuse.commitfs",
						   path)) :
			    refuse_errno(ret_message, "lock", path, -errno);
	if (r == 0)
		r = check_marker(fd, path, &format, ret_message);
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_encrypted = format == LAYOUT_FORMAT_ENCRYPTED;
	*ret = fd;
	return 0;
}

/* ---- Opening: the database ------------------------------------------------------ */

/* What was found out about a log, and of the tables when that was asked for. */
struct survey {
	struct wal_report report;
	bool tables_read;
	uint64_t table_revision; /* of what is in tables; 0: they cannot be read so */
	uint64_t first_log;	 /* number of the first that RocksDB needs; 0: not known */
};

/* Changes nothing on the disk. */
static void read_tables(const struct local *local, const char *database, struct survey *survey)
{
	g_autofree char *error = NULL;
	struct layout layout;

	if (survey->tables_read)
		return;
	survey->tables_read = true;
	if (layout_open(&layout, database, LAYOUT_TABLES, &error) < 0)
		return;
	layout.sealer = local->sealer;
	layout_get_number(&layout, layout.newest, META_REVISION, &survey->table_revision);
	rocksdb_property_int(layout.db, "rocksdb.min-log-number-to-keep", &survey->first_log);
	layout_close(&layout, false);
}

/* As wal_examine. Logs that it needs no more RocksDB removes the newest first: cut short, that
 * leaves a gap behind those that are left. They are not looked at, if that matters. */
static int examine_log(const struct local *local, const char *database, bool thorough,
		       uint64_t before, struct survey *ret)
{
	int r = wal_examine(database, thorough, 0, before, &ret->report);

	if (r < 0 || ret->report.state != WAL_DAMAGED)
		return r;
	read_tables(local, database, ret);
	if (!ret->first_log)
		return r;
	return wal_examine(database, thorough, ret->first_log, before, &ret->report);
}

/* The newest revision that the damage does not concern; 0: there is none. */
static uint64_t find_safe_revision(const struct local *local, const char *database,
				   struct survey *survey)
{
	if (survey->report.revision)
		return survey->report.revision;
	read_tables(local, database, survey);
	return survey->table_revision;
}

/* Only the log is damaged. `safe`: the newest revision before that, 0 when it is not known. */
static int refuse_damaged_log(const char *path, const char *what, uint64_t safe, char **ret_message)
{
	g_autofree char *risk =
		safe ? g_strdup_printf("everything up to revision %" G_GUINT64_FORMAT
				       " can be read, commits from revision %" G_GUINT64_FORMAT
				       " on are at risk",
				       safe, safe + 1) :
		       g_strdup("all commits in its write-ahead log are at risk");

	return refuse(ret_message, -EUCLEAN,
		      g_strdup_printf("cannot open store '%s': damaged (%s); %s; nothing was "
				      "changed; restore it from a backup, or copy it and go on "
				      "without them with: commitfs mount --accept-loss",
				      path, what, risk));
}

static char *describe_damage(const struct wal_report *report)
{
	if (!report->number)
		return g_strdup("its write-ahead log is missing");
	return g_strdup_printf("its write-ahead log is not whole at byte %" G_GUINT64_FORMAT
			       " of %06" G_GUINT64_FORMAT ".log",
			       report->offset, report->number);
}

/* A log that RocksDB knows of is missing, or shorter than what was synced of it: nothing
 * behind it is of use. `error` is its text. */
static bool tells_of_missing_log(const char *error, struct wal_report *ret)
{
	static const char *const words[] = { "Missing WAL with log number: ",
					     "Size mismatch: WAL (log number: " };

	*ret = (struct wal_report){ .state = WAL_DAMAGED };
	for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
		const char *at = strstr(error, words[i]);

		if (at) {
			ret->number = g_ascii_strtoull(at + strlen(words[i]), NULL, 10);
			ret->offset = UINT64_MAX;
			return true;
		}
	}
	return false;
}

/* RocksDB found it damaged: the log, or the tables, without which nothing helps. */
static int refuse_corrupt(const struct local *local, const char *database, const char *error,
			  char **ret_message)
{
	const char *path = local->path;
	struct survey survey = { 0 };
	bool damaged = false;

	if (tells_of_missing_log(error, &survey.report)) {
		uint64_t before = survey.report.number;

		damaged = examine_log(local, database, false, before, &survey) == 0;
	} else if (examine_log(local, database, true, WAL_ALL, &survey) == 0) {
		damaged = survey.report.state == WAL_DAMAGED;
	}
	if (damaged)
		return refuse_damaged_log(path, error, find_safe_revision(local, database, &survey),
					  ret_message);
	return refuse(ret_message, -EUCLEAN,
		      g_strdup_printf("cannot open store '%s': damaged (%s); nothing was changed; "
				      "restore it from a backup",
				      path, error));
}

/* RocksDB tells errors as text only. Whether the lock is held elsewhere was found out with
 * the marker, except for tools that open the database themselves. */
static int refuse_database(const struct local *local, const char *database, const char *error,
			   char **ret_message)
{
	const char *path = local->path;

	if (strstr(error, "While lock file") || strstr(error, "lock hold by current process"))
		return refuse(ret_message, -EBUSY,
			      g_strdup_printf("cannot open store '%s': another process has its "
					      "database open",
					      path));
	if (strstr(error, "No space left"))
		return refuse_errno(ret_message, "open", path, -ENOSPC);
	if (strstr(error, "Permission denied"))
		return refuse_errno(ret_message, "open", path, -EACCES);
	if (g_str_has_prefix(error, "Corruption") || strstr(error, "No such file") ||
	    g_str_has_prefix(error, "Invalid argument"))
		return refuse_corrupt(local, database, error, ret_message);
	return refuse(ret_message, -EIO,
		      g_strdup_printf("cannot open store '%s': %s", path, error));
}

/* The data keys, from the database as it is up to damage of the log, or as far as it is in
 * tables: so a wrong key is refused before anything is changed, whatever the log is like. */
static int open_keys(struct local *local, const char *database, char **ret_message)
{
	const struct store_key *key = local->options.key;
	g_autofree char *error = NULL, *ignored = NULL;
	struct layout layout;
	int r;

	if (layout_open(&layout, database, LAYOUT_SALVAGE, &error) < 0 &&
	    layout_open(&layout, database, LAYOUT_TABLES, &ignored) < 0)
		return refuse_database(local, database, error, ret_message);
	r = unlock(&layout, key, &local->sealer);
	layout_close(&layout, false);
	return r < 0 ? unlock_refuse("open", local->path, r, key, ret_message) : 0;
}

/* What RocksDB would not find: see wal.h. Those who only read leave a torn end as it is, and
 * read up to it: *mode says so. */
static int check_wal(struct local *local, const char *database, enum layout_mode *mode,
		     char **ret_message)
{
	bool reading = *mode == LAYOUT_READ;
	bool accept = local->options.accept_loss && !reading;
	g_autofree char *what = NULL;
	struct survey survey = { 0 };
	const struct wal_report *report = &survey.report;
	int r;

	r = examine_log(local, database, accept || reading, WAL_ALL, &survey);
	if (r == 0 && report->state == WAL_TORN && reading)
		*mode = LAYOUT_SALVAGE;
	else if (r == 0 && report->state == WAL_TORN)
		r = wal_forgive(database, report);
	if (r < 0)
		return refuse_errno(ret_message, "open", local->path, r);
	if (report->state != WAL_DAMAGED)
		return 0;
	what = describe_damage(report);
	if (!accept)
		return refuse_damaged_log(local->path, what,
					  find_safe_revision(local, database, &survey),
					  ret_message);
	r = loss_accept(local, report, what);
	return r < 0 ? refuse_errno(ret_message, "cut the log of", local->path, r) : 0;
}

static int open_layout(struct local *local, const char *database, enum layout_mode mode,
		       char **ret_message)
{
	g_autofree char *error = NULL;
	struct wal_report report;
	int r;

	/* Once a loss was accepted, logs are missing that there should be. */
	if (mode == LAYOUT_OPEN && loss_is_pending(local))
		mode = LAYOUT_OPEN_REST;
	if (layout_open(&local->layout, database, mode, &error) == 0)
		return 0;
	if (mode != LAYOUT_OPEN || !local->options.accept_loss ||
	    !tells_of_missing_log(error, &report))
		return refuse_database(local, database, error, ret_message);
	r = loss_accept(local, &report, error);
	if (r < 0)
		return refuse_errno(ret_message, "cut the log of", local->path, r);
	g_clear_pointer(&error, g_free);
	if (layout_open(&local->layout, database, LAYOUT_OPEN_REST, &error) == 0)
		return 0;
	return refuse_database(local, database, error, ret_message);
}

static int open_database(struct local *local, enum layout_mode mode, char **ret_message)
{
	g_autofree char *database = g_build_filename(local->path, "db", NULL);
	int rights = mode == LAYOUT_READ ? R_OK | X_OK : R_OK | W_OK | X_OK;
	int r;

	if (faccessat(AT_FDCWD, database, rights, AT_EACCESS) < 0) {
		if (errno != ENOENT)
			return refuse_errno(ret_message, "open", local->path, -errno);
		return refuse(ret_message, -EUCLEAN,
			      g_strdup_printf("cannot open store '%s': its database is missing; "
					      "restore it from a backup",
					      local->path));
	}
	r = local->encrypted ? open_keys(local, database, ret_message) : 0;
	if (r == 0)
		r = check_wal(local, database, &mode, ret_message);
	if (r == 0)
		r = open_layout(local, database, mode, ret_message);
	if (r == 0)
		local->layout.sealer = local->sealer;
	return r;
}

/* ---- Opening: what is in it ----------------------------------------------------- */

static int read_id(struct local *local)
{
	g_autoptr(GBytes) id = NULL;
	int r;

	r = layout_get_meta(&local->layout, local->layout.newest, META_ID, &id, NULL);
	if (r < 0)
		return r;
	if (g_bytes_get_size(id) != sizeof(local->id) - 1)
		return -EIO;
	memcpy(local->id, g_bytes_get_data(id, NULL), sizeof(local->id) - 1);
	return 0;
}

/* Notes durably that the store is opened once more: inode numbers hold that count. */
static int count_opening(struct local *local)
{
	const struct layout *layout = &local->layout;
	rocksdb_writebatch_t *batch;
	uint64_t opened;
	int r;

	r = layout_get_number(layout, layout->newest, META_OPENED, &opened);
	if (r < 0)
		return r;
	local->opened = (gint64)opened + 1;
	batch = rocksdb_writebatch_create();
	layout_batch_number(layout, batch, META_OPENED, opened + 1);
	r = layout_write(layout, batch, true);
	rocksdb_writebatch_destroy(batch);
	return r;
}

static int read_meta(struct local *local, char **ret_message)
{
	const struct layout *layout = &local->layout;
	const char *path = local->path ? local->path : "memory:";
	uint64_t format = 0;
	int r;

	r = layout_get_number(layout, layout->newest, META_FORMAT, &format);
	if (r == 0 && format > LAYOUT_FORMAT_NEWEST)
		return refuse_newer(path, format, ret_message);
	if (r == 0 && (format == LAYOUT_FORMAT_ENCRYPTED) != (local->sealer != NULL))
		return refuse_damaged(ret_message, path,
				      local->sealer ? "its marker says that it is encrypted, its "
						      "database that it is not" :
						      "its database says that it is encrypted, "
						      "its marker that it is not");
	if (r == 0)
		r = layout_get_number(layout, layout->newest, META_REVISION, &local->revision);
	if (r == 0)
		r = layout_get_number(layout, layout->newest, META_OLDEST, &local->oldest_revision);
	if (r == 0)
		r = read_id(local);
	if (r == 0)
		r = snapshot_names_load(local);
	if (r == -ENOENT)
		return refuse_damaged(ret_message, path, "what every store begins with is missing");
	if (r == 0)
		r = count_opening(local);
	return r < 0 ? refuse_errno(ret_message, "open", path, r) : 0;
}

static int open_memory(struct local *local, char **ret_message)
{
	g_autofree char *error = NULL;
	g_autofree char *id = g_uuid_string_random();
	int r;

	r = unlock_check("memory:", false, local->options.key, ret_message);
	if (r < 0)
		return r;
	if (layout_open(&local->layout, NULL, LAYOUT_CREATE, &error) < 0)
		return refuse(ret_message, -EIO,
			      g_strdup_printf("cannot make a store in memory: %s", error));
	r = fill_layout(&local->layout, id);
	return r < 0 ? refuse_errno(ret_message, "make", "memory:", r) : 0;
}

static int open_directory(struct local *local, enum layout_mode mode, char **ret_message)
{
	int r;

	r = check_directory(local->path, ret_message);
	if (r == 0)
		r = open_marker(local->path, &local->marker, &local->encrypted, ret_message);
	if (r == 0)
		r = unlock_check(local->path, local->encrypted, local->options.key, ret_message);
	if (r == 0)
		r = open_database(local, mode, ret_message);
	/* Of those who were killed. */
	if (r == 0 && mode == LAYOUT_OPEN)
		checkpoint_remove_all(local->path);
	return r;
}

void local_free(struct local *local)
{
	if (!local)
		return;
	layout_close(&local->layout, false);
	local_done(local);
	sealer_free(local->sealer);
	if (local->marker >= 0)
		close(local->marker);
	g_free(local->path);
	g_free(local);
}

void store_options_init(struct store_options *options)
{
	*options = (struct store_options){
		.sync = STORE_SYNC_ALWAYS,
		.sync_interval_ms = 1000,
		.max_value_bytes = (uint64_t)16 * 1024 * 1024,
		.max_program_keys = 1000000,
		.history_age_ns = (int64_t)30 * 24 * 3600 * 1000000000,
	};
}

int local_open(const struct store_options *options, enum layout_mode mode, struct local **ret,
	       char **ret_message)
{
	struct local *local = g_new0(struct local, 1);
	int r;

	local->options = *options;
	local->path = g_strdup(options->path);
	local->options.path = local->path;
	local->marker = -1;
	local_init(local);
	r = local->path ? open_directory(local, mode, ret_message) :
			  open_memory(local, ret_message);
	local->options.key = NULL;
	if (r < 0) {
		local_free(local);
		return r;
	}
	*ret = local;
	return 0;
}

int store_open(const struct store_options *options, struct store **ret, char **ret_message)
{
	const char *damaged;
	struct local *local;
	int r;

	r = local_open(options, LAYOUT_OPEN, &local, ret_message);
	if (r < 0)
		return r;
	r = read_meta(local, ret_message);
	if (r == 0 && local->path && loss_is_pending(local)) {
		r = loss_finish(local, ret_message);
		if (r < 0 && r != -EUCLEAN)
			refuse_errno(ret_message, "open", local->path, r);
	}
	if (r == 0) {
		r = local_start(local, &damaged);
		if (r == -EUCLEAN)
			refuse_damaged(ret_message, local->path, damaged);
		else if (r < 0)
			refuse_errno(ret_message, "open", local->path, r);
	}
	if (r < 0)
		local_free(local);
	else
		*ret = &local->base;
	return r;
}
