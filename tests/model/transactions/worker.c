/* Transactions are restarted rather than begun anew, most of the time: that is what a busy
 * program does, and nothing of an old round may show in the next. */
#include "worker.h"

#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void worker_fail(const struct worker *worker, const char *format, ...)
{
	g_autofree char *why = NULL;
	va_list args;

	va_start(args, format);
	why = g_strdup_vprintf(format, args);
	va_end(args);
	fprintf(stderr, "process %u, number %u: %s\n", worker->index, worker->record.sequence, why);
	_exit(1);
}

/* ---- A mount that dies ---------------------------------------------------------- */

static void write_cut_off(struct worker *worker)
{
	struct record *record = &worker->record;

	record->outcome = worker->answered ? OUTCOME_UNSEEN : OUTCOME_CUT;
	record->id = record->level == LEVEL_LIVE ? "" : worker->id;
	record_write(record, worker->out);
}

static void write_own(struct worker *worker)
{
	struct record *record = &worker->record;

	g_array_set_size(record->events, 0);
	record_add(record, &worker->own);
	record->kind = "own";
	record->level = LEVEL_LIVE;
	record->outcome = OUTCOME_UNSEEN;
	record->floor = worker->own_floor;
	record_write(record, worker->out);
}

/* Returns unless `error` is that of a dead mount that was to die. */
static void check_alive(struct worker *worker, int error)
{
	if (!worker->shared->mortal || (error != ENOTCONN && error != ECONNABORTED))
		return;
	if (worker->asked)
		write_cut_off(worker);
	if (worker->own.key)
		write_own(worker);
	_exit(fclose(worker->out) != 0);
}

/* What a control file says, or NULL. */
static const char *read_control(struct worker *worker, int fd)
{
	const char *text = control_text(fd);

	if (!text)
		check_alive(worker, errno);
	return text;
}

static int open_or_fail(struct worker *worker, const char *directory, const char *name, int flags)
{
	g_autofree char *path = g_strdup_printf("%s/%s/%s", worker->point, directory, name);
	int fd = open(path, flags | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	check_alive(worker, errno);
	worker_fail(worker, "cannot open %s: %s", path, g_strerror(errno));
}

void worker_init(struct worker *worker, const char *path)
{
	worker->out = fopen(path, "we");
	if (!worker->out)
		worker_fail(worker, "cannot make %s: %s", path, g_strerror(errno));
	record_init(&worker->record);
	worker->strings = g_string_chunk_new(1 << 14);
	worker->result = g_string_new(NULL);
	worker->record.pid = getpid();
	worker->live = open_or_fail(worker, "keys", "", O_RDONLY | O_DIRECTORY);
	worker->revision = open_or_fail(worker, "", "revision", O_RDONLY);
}

/* ---- Words ---------------------------------------------------------------------- */

/* splitmix64 */
unsigned worker_random(struct worker *worker, unsigned limit)
{
	uint64_t x = worker->random += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (unsigned)((x ^ (x >> 31)) % limit);
}

const char *worker_text(struct worker *worker, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	return g_string_chunk_insert(worker->strings, text);
}

const char *worker_tag(struct worker *worker)
{
	return worker_text(worker, "%u.%u.%u", worker->index, worker->record.sequence,
			   worker->record.events->len);
}

/* ---- Records -------------------------------------------------------------------- */

static void begin_record(struct worker *worker, const char *kind, enum level level)
{
	struct record *record = &worker->record;

	g_array_set_size(record->events, 0);
	g_string_chunk_clear(worker->strings);
	record->process = worker->index;
	record->sequence++;
	record->kind = kind;
	record->level = level;
	record->base = record->revision = record->ceiling = 0;
	worker->asked = worker->answered = false;
}

static void end_record(struct worker *worker)
{
	record_write(&worker->record, worker->out);
	worker->asked = worker->answered = false;
	atomic_fetch_add(&worker->shared->steps, 1);
}

static const struct event *do_call(struct worker *worker, int directory, enum call call,
				   const char *key, const char *text)
{
	struct event event = { .call = call, .key = key, .text = text ? text : "" };
	struct event done = { .call = call, .key = key, .text = event.text, .result = "" };

	worker->asked = worker->record.level == LEVEL_LIVE && call_changes(call);
	call_do(directory, &event, worker->result);
	if (worker->asked && (event.error == ENOTCONN || event.error == ECONNABORTED))
		record_add(&worker->record, &done);
	check_alive(worker, event.error);
	worker->answered = worker->asked;
	event.result = g_string_chunk_insert(worker->strings, worker->result->str);
	record_add(&worker->record, &event);
	return record_event(&worker->record, worker->record.events->len - 1);
}

const char *worker_call(struct worker *worker, enum call call, const char *key, const char *text)
{
	const struct event *event = do_call(worker, worker->keys, call, key, text);

	worker->fresh = false;
	return event->error == 0 ? event->result : NULL;
}

static void acknowledge(struct worker *worker, uint64_t revision)
{
	uint64_t known = atomic_load(&worker->shared->acknowledged);

	while (known < revision &&
	       !atomic_compare_exchange_weak(&worker->shared->acknowledged, &known, revision))
		;
}

uint64_t worker_revision(struct worker *worker)
{
	const char *text = read_control(worker, worker->revision);
	uint64_t revision;

	if (!text)
		worker_fail(worker, "cannot read revision: %s", g_strerror(errno));
	revision = g_ascii_strtoull(text, NULL, 10);
	acknowledge(worker, revision);
	return revision;
}

/* ---- Transactions --------------------------------------------------------------- */

static void open_transaction(struct worker *worker)
{
	int fd = open_or_fail(worker, "txn", "new", O_RDONLY);
	const char *text = read_control(worker, fd);

	if (!text)
		worker_fail(worker, "cannot read txn/new: %s", g_strerror(errno));
	g_snprintf(worker->name, sizeof(worker->name), "txn/%s", text);
	g_strchomp(worker->name);
	close(fd);
	worker->keys = open_or_fail(worker, worker->name, "keys", O_RDONLY | O_DIRECTORY);
	worker->commit = open_or_fail(worker, worker->name, "commit", O_RDWR);
	worker->restart = open_or_fail(worker, worker->name, "restart", O_WRONLY);
	worker->status = open_or_fail(worker, worker->name, "status", O_RDONLY);
	worker->isolation = open_or_fail(worker, worker->name, "isolation", O_RDWR);
	worker->reads = open_or_fail(worker, worker->name, "reads", O_RDONLY);
	worker->level = LEVEL_SERIALIZABLE_SNAPSHOT;
	worker->fresh = true;
}

static void close_transaction(struct worker *worker)
{
	g_autofree char *path = g_strdup_printf("%s/%s", worker->point, worker->name);

	if (!*worker->name)
		return;
	if (rmdir(path) < 0) {
		check_alive(worker, errno);
		worker_fail(worker, "cannot remove %s: %s", path, g_strerror(errno));
	}
	close(worker->keys);
	close(worker->commit);
	close(worker->restart);
	close(worker->status);
	close(worker->isolation);
	close(worker->reads);
	*worker->name = '\0';
}

void worker_done(struct worker *worker)
{
	close_transaction(worker);
	close(worker->live);
	close(worker->revision);
	if (fclose(worker->out) != 0)
		worker_fail(worker, "cannot write the records: %s", g_strerror(errno));
	record_done(&worker->record);
	g_string_chunk_free(worker->strings);
	g_string_free(worker->result, TRUE);
}

static void write_or_fail(struct worker *worker, int fd, const char *what, const char *text)
{
	if (write(fd, text, strlen(text)) >= 0)
		return;
	check_alive(worker, errno);
	worker_fail(worker, "cannot write to %s: %s", what, g_strerror(errno));
}

static void begin_transaction(struct worker *worker, enum level level)
{
	if (*worker->name && worker_random(worker, 50) == 0)
		close_transaction(worker);
	worker->record.floor = atomic_load(&worker->shared->acknowledged);
	if (!*worker->name)
		open_transaction(worker);
	else if (!worker->fresh)
		write_or_fail(worker, worker->restart, "restart", "again\n");
	worker->fresh = false;
	if (level != worker->level)
		write_or_fail(worker, worker->isolation, "isolation", level_name(level));
	worker->level = level;
}

/* What the commit says and what the status says must be the same. */
static void check_commit_text(struct worker *worker, const struct record *record)
{
	static const char *const words[] = {
		[OUTCOME_COMMITTED] = "committed ",
		[OUTCOME_CONFLICT] = "conflict",
		[OUTCOME_ABORTED] = "open",
	};
	const char *text = read_control(worker, worker->commit);

	if (!text || !g_str_has_prefix(text, words[record->outcome]) ||
	    (record->outcome == OUTCOME_COMMITTED &&
	     g_ascii_strtoull(text + strlen("committed "), NULL, 10) != record->revision))
		worker_fail(worker, "commit says '%s' when it should be '%s'", text ? text : "-",
			    words[record->outcome]);
}

static void learn_outcome(struct worker *worker)
{
	struct record *record = &worker->record;
	const char *text = read_control(worker, worker->status);

	if (!text || !control_number(text, "base_revision", &record->base) ||
	    (record->outcome == OUTCOME_COMMITTED &&
	     !control_number(text, "revision", &record->revision)))
		worker_fail(worker, "status says '%s'", text ? text : "-");
	if (record->outcome == OUTCOME_COMMITTED)
		acknowledge(worker, record->revision);
	if (worker_random(worker, 16) == 0)
		check_commit_text(worker, record);
}

/* What it takes to find in the log what becomes of the commit. */
static void note_id(struct worker *worker)
{
	const char *text = read_control(worker, worker->status);
	const char *id;

	id = text ? strstr(text, "\nid ") : NULL;
	if (!id || !control_number(text, "base_revision", &worker->record.base) ||
	    sscanf(id, " id %63s", worker->id) != 1)
		worker_fail(worker, "status says '%s'", text ? text : "-");
}

static enum outcome commit(struct worker *worker)
{
	if (worker->shared->mortal)
		note_id(worker);
	worker->asked = true;
	if (write(worker->commit, "checked\n", 8) == 8) {
		worker->answered = true;
		return OUTCOME_COMMITTED;
	}
	check_alive(worker, errno);
	worker->asked = false;
	if (errno != ECANCELED)
		worker_fail(worker, "cannot commit: %s", g_strerror(errno));
	return OUTCOME_CONFLICT;
}

void worker_transaction(struct worker *worker, const char *kind, enum level level,
			worker_body_fn *body)
{
	begin_record(worker, kind, level);
	begin_transaction(worker, level);
	worker->record.outcome = body(worker) ? commit(worker) : OUTCOME_ABORTED;
	learn_outcome(worker);
	end_record(worker);
}

/* ---- The live tree -------------------------------------------------------------- */

static const char *text_of(struct worker *worker, enum call call)
{
	if (call == CALL_PUT)
		return worker_tag(worker);
	return call == CALL_APPEND ? worker_text(worker, " %s", worker_tag(worker)) : "";
}

static void live_call(struct worker *worker, const char *kind, enum call call, const char *key,
		      const char *text)
{
	begin_record(worker, kind, LEVEL_LIVE);
	worker->record.outcome = OUTCOME_LIVE;
	worker->record.floor = worker_revision(worker);
	do_call(worker, worker->live, call, key, text ? text : text_of(worker, call));
	worker->record.ceiling = worker_revision(worker);
}

void worker_live(struct worker *worker, const char *kind, enum call call, const char *key,
		 const char *text)
{
	char *own_key = g_strdup(key), *own_text = g_strdup(text);

	live_call(worker, kind, call, own_key, own_text);
	end_record(worker);
	g_free(own_key);
	g_free(own_text);
}

/* The revision of the value of `key` in the read set: `value REVISION KEY` */
static uint64_t read_set_revision(struct worker *worker, const char *key)
{
	g_autofree char *end = g_strdup_printf("\t%s", key);
	g_auto(GStrv) lines = NULL;
	const char *text = read_control(worker, worker->reads);

	lines = g_strsplit(text ? text : "", "\n", -1);
	for (unsigned i = 0; lines[i]; i++) {
		if (g_str_has_prefix(lines[i], "value\t") && g_str_has_suffix(lines[i], end))
			return g_ascii_strtoull(lines[i] + strlen("value\t"), NULL, 10);
	}
	worker_fail(worker, "%s was read, but reads says '%s'", key, text ? text : "-");
}

/* The live call's record waits until a transaction has found its revision: nobody else
 * writes that key, so what it finds there is the live call's. */
void worker_live_own(struct worker *worker, const char *key)
{
	g_autofree char *own_key = g_strdup(key), *tag = NULL;
	uint64_t floor, ceiling, revision;
	struct event event;

	live_call(worker, "own", CALL_PUT, own_key, NULL);
	event = *record_event(&worker->record, 0);
	event.text = tag = g_strdup(event.text);
	floor = worker->own_floor = worker->record.floor;
	ceiling = worker->record.ceiling;
	worker->own = event;
	worker->own.key = own_key;
	worker->own.result = "";

	begin_record(worker, "look", LEVEL_SERIALIZABLE_SNAPSHOT);
	begin_transaction(worker, LEVEL_SERIALIZABLE_SNAPSHOT);
	worker_call(worker, CALL_READ, own_key, NULL);
	worker->record.outcome = OUTCOME_ABORTED;
	learn_outcome(worker);
	revision = read_set_revision(worker, own_key);
	end_record(worker);

	begin_record(worker, "own", LEVEL_LIVE);
	event.result = "";
	record_add(&worker->record, &event);
	worker->own.key = NULL;
	worker->record.outcome = OUTCOME_LIVE;
	worker->record.floor = floor;
	worker->record.ceiling = ceiling;
	worker->record.revision = revision;
	end_record(worker);
}

static void dump_directory(struct worker *worker, const char *directory)
{
	g_auto(GStrv) names = NULL;
	const struct event *event = do_call(worker, worker->live, CALL_LIST, directory, NULL);

	if (event->error != 0)
		worker_fail(worker, "cannot list '%s': %s", directory, g_strerror(event->error));
	names = g_strsplit(event->result, " ", -1);
	for (unsigned i = 0; names[i] && *names[i]; i++) {
		bool is_directory = g_str_has_suffix(names[i], "/");
		const char *key;

		if (is_directory)
			names[i][strlen(names[i]) - 1] = '\0';
		key = worker_text(worker, "%s%s%s", directory, *directory ? "/" : "", names[i]);
		if (is_directory)
			dump_directory(worker, key);
		else
			do_call(worker, worker->live, CALL_READ, key, NULL);
	}
}

/* Written down as a transaction that saw it all at the last revision. */
void worker_dump(struct worker *worker, const char *kind)
{
	begin_record(worker, kind, LEVEL_SERIALIZABLE_SNAPSHOT);
	worker->record.outcome = OUTCOME_ABORTED;
	worker->record.floor = atomic_load(&worker->shared->acknowledged);
	worker->record.base = worker_revision(worker);
	dump_directory(worker, "");
	end_record(worker);
}
