/* The order matters: a note in the store says that a loss was accepted before anything is cut
 * off, and goes only when the log of commits says it. Whoever opens the store in between, for
 * whatever reason the first one did not come to its end, finishes the work.
 *
 * Tables may be newer than what is left of the write-ahead log: each family is written to
 * tables at its own time. Such a store would hold commits in part, and is refused. */
#include "store/loss.h"

#include "store/commit.h"
#include "store/files.h"
#include "store/log.h"
#include "store/log_reader.h"
#include "store/record.h"
#include "store/tree_sum.h"
#include "store/wal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOTE_NAME "accepted-loss"
#define LOST_NAME "lost"

static char *note_path(const struct local *local)
{
	return g_build_filename(local->path, NOTE_NAME, NULL);
}

bool loss_is_pending(const struct local *local)
{
	g_autofree char *note = note_path(local);

	return access(note, F_OK) == 0;
}

int loss_accept(struct local *local, const struct wal_report *report, const char *why)
{
	g_autofree char *database = g_build_filename(local->path, "db", NULL);
	g_autofree char *lost = g_build_filename(local->path, LOST_NAME, NULL);
	g_autofree char *note = note_path(local);
	int r = files_replace(note, why);

	return r < 0 ? r : wal_give_up(database, lost, report);
}

/* ---- Is the rest whole? --------------------------------------------------------- */

typedef bool entry_fits_fn(const struct local *local, const rocksdb_iterator_t *iterator,
			   uint64_t *expected);

static bool head_fits(const struct local *local, const rocksdb_iterator_t *iterator,
		      uint64_t *expected)
{
	g_autoptr(record) record = NULL;

	(void)expected;
	return layout_decode_record(&local->layout, iterator, false, &record) == 0 &&
	       record_last_revision(record) <= local->revision;
}

static bool history_fits(const struct local *local, const rocksdb_iterator_t *iterator,
			 uint64_t *expected)
{
	g_autoptr(record) record = NULL;
	uint64_t superseded;

	(void)expected;
	return layout_decode_history(&local->layout, iterator, false, &superseded, &record) == 0 &&
	       superseded <= local->revision && record_last_revision(record) <= local->revision;
}

static bool log_fits(const struct local *local, const rocksdb_iterator_t *iterator,
		     uint64_t *expected)
{
	size_t size;
	const char *key = rocksdb_iter_key(iterator, &size);
	uint64_t revision = size == sizeof(uint64_t) ? layout_decode_number(key) : 0;

	if (revision < local->oldest_revision) /* of a named snapshot */
		return revision != 0;
	return revision == (*expected)++;
}

static bool family_fits(const struct local *local, enum family family, entry_fits_fn *fits,
			uint64_t *expected)
{
	rocksdb_iterator_t *iterator = rocksdb_create_iterator_cf(
		local->layout.db, local->layout.newest, local->layout.families[family]);
	char *error = NULL;
	bool all = true;

	for (rocksdb_iter_seek_to_first(iterator); all && rocksdb_iter_valid(iterator);
	     rocksdb_iter_next(iterator))
		all = fits(local, iterator, expected);
	rocksdb_iter_get_error(iterator, &error);
	if (layout_result("read", error) < 0)
		all = false;
	rocksdb_iter_destroy(iterator);
	return all;
}

static bool is_whole(const struct local *local)
{
	const struct layout *layout = &local->layout;
	uint64_t expected = local->oldest_revision;

	if (layout->sealer && tree_sum_check(layout, layout->newest, local->revision) < 0)
		return false;
	return family_fits(local, FAMILY_KEYS, head_fits, NULL) &&
	       family_fits(local, FAMILY_HISTORY, history_fits, NULL) &&
	       family_fits(local, FAMILY_LOG, log_fits, &expected) &&
	       expected == local->revision + 1;
}

/* ---- The line in the log -------------------------------------------------------- */

static char *make_message(uint64_t lost_after, const char *why)
{
	return g_strdup_printf("mount --accept-loss: what was committed after revision "
			       "%" G_GUINT64_FORMAT " is lost: %s",
			       lost_after, why);
}

/* True when the newest commit is that loss: who logged it did not come to remove the note. An
 * earlier loss may read the same, but is older than the note. */
static bool is_logged(struct local *local, const char *note, const char *why)
{
	g_autofree char *message = make_message(local->revision - 1, why);
	g_autoptr(log_entry) last = NULL;
	struct stat status;
	int64_t noted_ns;

	if (stat(note, &status) < 0 || log_reader_get(local, local->revision, &last) < 0)
		return false;
	noted_ns = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
	return last->time_ns >= noted_ns && strcmp(last->message, message) == 0;
}

static struct log_entry *make_commit(const struct local *local, const struct log_entry *last,
				     const char *why)
{
	struct log_entry *commit = log_entry_new();
	struct log_place place = log_place_after(last);

	commit->revision = local->revision + 1;
	commit->time_ns = local_now_ns();
	commit->uid = geteuid();
	commit->gid = getegid();
	commit->pid = getpid();
	commit->id = g_strdup("");
	commit->command = g_strdup("commitfs");
	commit->message = make_message(local->revision, why);
	log_place_next(&place, commit);
	return commit;
}

/* With what every commit writes: the tree stays what it was, and so does its sum. */
static int log_loss(struct local *local, const char *why)
{
	const struct layout *layout = &local->layout;
	g_autoptr(log_entry) commit = NULL;
	rocksdb_writebatch_t *batch;
	struct tree_sum sum = { 0 };
	struct log_entry last;
	int r;

	r = log_reader_get_numbers(local, local->revision, &last);
	if (r == 0 && layout->sealer)
		r = tree_sum_read(layout, layout->newest, local->revision, &sum);
	if (r < 0)
		return r;
	commit = make_commit(local, &last, why);
	batch = rocksdb_writebatch_create();
	r = commit_write(layout, batch, commit);
	layout_batch_number(layout, batch, META_REVISION, commit->revision);
	if (layout->sealer)
		tree_sum_write(&sum, layout, batch, commit->revision);
	if (r == 0)
		r = layout_write(layout, batch, true);
	rocksdb_writebatch_destroy(batch);
	if (r < 0)
		return r;
	g_warning("store '%s': %s", local->path, commit->message);
	local->revision = commit->revision;
	return 0;
}

int loss_finish(struct local *local, char **ret_message)
{
	g_autofree char *note = note_path(local);
	g_autofree char *why = NULL;
	g_autoptr(GError) error = NULL;
	int r;

	if (!g_file_get_contents(note, &why, NULL, &error)) {
		g_warning("store: %s", error->message); /* it names the file */
		return -EIO;
	}
	if (!is_whole(local)) {
		*ret_message = g_strdup_printf("cannot open store '%s': what is left holds commits "
					       "in part, it cannot go on without those that are "
					       "lost; restore it from a backup",
					       local->path);
		return -EUCLEAN;
	}
	r = is_logged(local, note, why) ? 0 : log_loss(local, why);
	if (r == 0 && unlink(note) < 0)
		r = -errno;
	/* A note that came back would have the next opening log a loss that was none. */
	return r < 0 ? r : files_sync_directory(local->path);
}
