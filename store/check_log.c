/* The log: an entry for each revision, in a row; and what each says was changed, for
 * comparing. */
#include "store/check_private.h"

#include "store/codec.h"
#include "store/log.h"

#include <string.h>

#define NUMBER "%" G_GUINT64_FORMAT

struct log_check {
	struct check *check;
	uint64_t last; /* revision before; 0: there was none */
	bool decoded;  /* it could be, so that `place` is the next one */
	struct log_place place;
};

/* Those between the last one and `revision` are missing. */
static void check_row(struct log_check *log, uint64_t revision)
{
	uint64_t next = log->last ? log->last + 1 : log->check->oldest;

	if (log->last == 0 && revision < log->check->oldest) {
		log->check->leftovers = !log->check->compacting;
		return;
	}
	/* Beyond the newest none is missing. */
	if (revision > log->check->newest)
		revision = log->check->newest + 1;
	if (log->last && log->last >= revision)
		return;
	if (revision > next && next + 1 == revision)
		check_report(log->check, "log-missing", CHECK_LEFT,
			     "the log has no entry for revision " NUMBER
			     "; who changed what then is not known",
			     next);
	else if (revision > next)
		check_report(log->check, "log-missing", CHECK_LEFT,
			     "the log has no entries for revisions " NUMBER " to " NUMBER
			     "; who changed what then is not known",
			     next, revision - 1);
}

static void check_place(struct log_check *log, const struct log_entry *entry)
{
	struct log_place *place = &log->place;
	uint64_t clock = entry->time_ns < place->time_ns ? entry->revision : place->clock_revision;

	if (!log->decoded || log->last + 1 != entry->revision)
		return;
	if (entry->line_offset != place->end)
		check_report(log->check, "log-place", CHECK_LEFT,
			     "the line of revision " NUMBER " begins at byte " NUMBER
			     " of the log, the one before ends at " NUMBER
			     "; reading the log there fails",
			     entry->revision, entry->line_offset, place->end);
	if (entry->clock_revision != clock)
		check_report(log->check, "log-clock", CHECK_LEFT,
			     "revision " NUMBER " says that the clock was last set back at " NUMBER
			     ", it was at " NUMBER "; at/TIME may find another revision",
			     entry->revision, entry->clock_revision, clock);
}

static int add_changes(struct check *check, const struct log_entry *entry)
{
	int r = check_add_commit(check, entry->revision);

	for (guint i = 0; r == 0 && i < entry->changes->len; i++) {
		const struct change *change = entry->changes->pdata[i];

		if (key_check(change->key) < 0)
			check_report(check, "log-damaged", CHECK_LEFT,
				     "the log entry of revision " NUMBER
				     " names what is no key; it cannot be shown",
				     entry->revision);
		r = check_add_change(check, entry->revision, change->key, strlen(change->key),
				     SOURCE_LOG, 1u << change->kind);
	}
	return r;
}

static int check_entry(struct log_check *log, uint64_t revision, const char *bytes, size_t size)
{
	struct check *check = log->check;
	g_autoptr(log_entry) entry = NULL;

	check_row(log, revision);
	if (revision > check->newest)
		check_report(check, "log-beyond", CHECK_LEFT,
			     "the log has an entry for revision " NUMBER ", the newest is " NUMBER,
			     revision, check->newest);
	if (layout_decode_log(check->layout, revision, bytes, size, &entry) < 0) {
		check_report(check, "log-damaged", CHECK_LEFT,
			     "the log entry of revision " NUMBER
			     " cannot be decoded; who changed what then is not known",
			     revision);
		log->decoded = false;
		return 0;
	}
	check_place(log, entry);
	log->place = log_place_after(entry);
	log->decoded = true;
	return add_changes(check, entry);
}

static int check_at(struct log_check *log, const rocksdb_iterator_t *iterator)
{
	size_t key_size, size;
	const char *key = rocksdb_iter_key(iterator, &key_size);
	const char *bytes = rocksdb_iter_value(iterator, &size);
	struct reader reader = reader_of(key, key_size);
	uint64_t revision = read_u64(&reader);
	int r;

	check_count(log->check, "commits", &log->check->result->commits);
	if (reader.failed || reader.left) {
		g_autofree char *name = check_name(key, key_size);

		check_report(log->check, "log-damaged", CHECK_LEFT,
			     "the log has an entry under %s, which is no revision", name);
		return 0;
	}
	r = check_entry(log, revision, bytes, size);
	log->last = revision;
	return r;
}

int check_log(struct check *check)
{
	const struct layout *layout = check->layout;
	struct log_check log = { .check = check };
	rocksdb_iterator_t *iterator =
		rocksdb_create_iterator_cf(layout->db, check->read, layout->families[FAMILY_LOG]);
	int r = 0;

	rocksdb_iter_seek_to_first(iterator);
	for (; r == 0 && rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator))
		r = check_at(&log, iterator);
	if (r == 0)
		r = check_iterator(check, FAMILY_LOG, iterator);
	if (r == 0)
		check_row(&log, check->newest + 1);
	rocksdb_iter_destroy(iterator);
	return r;
}
