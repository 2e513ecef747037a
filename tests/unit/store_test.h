/* What the tests of the store share: programs in one line, run to their end. */
#pragma once

#include "store/store.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

static const struct credentials test_root = { .uid = 0, .gid = 0 };

G_GNUC_UNUSED static inline struct store *open_memory_store(void)
{
	struct store_options options;
	struct store *store = NULL;
	char *message = NULL;

	store_options_init(&options);
	cr_assert_eq(store_open(&options, &store, &message), 0, "%s", message);
	return store;
}

/* The result of a program, kept. */
struct outcome {
	int error;
	bool succeeded;
	bool changed;
	uint64_t revision;
	GPtrArray *records; /* struct record or NULL */
	GArray *failures;   /* struct failure, keys are kept */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool done;
};

static inline void keep_outcome(const struct program_result *result, void *arg)
{
	struct outcome *outcome = arg;

	pthread_mutex_lock(&outcome->lock);
	outcome->error = result->error;
	outcome->succeeded = result->succeeded;
	outcome->changed = result->changed;
	outcome->revision = result->revision;
	outcome->records = g_ptr_array_new();
	outcome->failures = g_array_new(FALSE, TRUE, sizeof(struct failure));
	for (guint i = 0; i < result->records->len; i++) {
		struct record *record = result->records->pdata[i];

		g_ptr_array_add(outcome->records, record ? record_ref(record) : NULL);
	}
	for (guint i = 0; i < result->failures->len; i++) {
		struct failure failure = *(struct failure *)result->failures->pdata[i];

		failure.key = g_strdup(failure.key);
		g_array_append_val(outcome->failures, failure);
	}
	outcome->done = true;
	pthread_cond_signal(&outcome->wake);
	pthread_mutex_unlock(&outcome->lock);
}

static inline void outcome_clear(struct outcome *outcome)
{
	for (guint i = 0; i < outcome->records->len; i++)
		record_unref(outcome->records->pdata[i]);
	for (guint i = 0; i < outcome->failures->len; i++)
		g_free(g_array_index(outcome->failures, struct failure, i).key);
	g_ptr_array_unref(outcome->records);
	g_array_unref(outcome->failures);
}

/* Runs `program` and waits for its result; call outcome_clear. */
static inline struct outcome run(struct store *store, struct program *program)
{
	struct outcome outcome = { .lock = PTHREAD_MUTEX_INITIALIZER,
				   .wake = PTHREAD_COND_INITIALIZER };

	store_submit(store, program, keep_outcome, &outcome);
	pthread_mutex_lock(&outcome.lock);
	while (!outcome.done)
		pthread_cond_wait(&outcome.wake, &outcome.lock);
	pthread_mutex_unlock(&outcome.lock);
	return outcome;
}

/* The same when only the error matters. */
static inline int run_error(struct store *store, struct program *program)
{
	struct outcome outcome = run(store, program);

	outcome_clear(&outcome);
	return outcome.error;
}

static inline GBytes *bytes_of(const char *text)
{
	return g_bytes_new(text, strlen(text));
}

static inline struct op *add_put(struct program *program, const char *key, const char *text)
{
	struct op *op = program_add(program, OP_PUT, key);

	op->mode = 0644;
	op->value = bytes_of(text);
	return op;
}

static inline struct op *add_mkdir(struct program *program, const char *key)
{
	struct op *op = program_add(program, OP_MKDIR, key);

	op->mode = 0755;
	return op;
}

static inline struct op *add_rename(struct program *program, const char *from, const char *to,
				    unsigned flags)
{
	struct op *op = program_add(program, OP_RENAME, from);

	op->target = g_strdup(to);
	op->flags = flags;
	return op;
}

static inline struct op *add_append(struct program *program, const char *key, const char *text)
{
	struct op *op = program_add(program, OP_PATCH, key);
	GBytes *bytes = bytes_of(text);

	op_add_edit(op, EDIT_APPEND, 0, bytes);
	g_bytes_unref(bytes);
	return op;
}

static inline int put(struct store *store, const char *key, const char *text)
{
	struct program *program = program_new(&test_root);

	add_put(program, key, text);
	return run_error(store, program);
}

static inline int make_directory(struct store *store, const char *key)
{
	struct program *program = program_new(&test_root);

	add_mkdir(program, key);
	return run_error(store, program);
}

static inline int make_link(struct store *store, const char *key, const char *text)
{
	struct program *program = program_new(&test_root);

	program_add(program, OP_SYMLINK, key)->value = bytes_of(text);
	return run_error(store, program);
}

static inline int rename_key(struct store *store, const char *from, const char *to, unsigned flags)
{
	struct program *program = program_new(&test_root);

	add_rename(program, from, to, flags);
	return run_error(store, program);
}

/* A delete or an rmdir. */
static inline int remove_key(struct store *store, enum op_kind kind, const char *key)
{
	struct program *program = program_new(&test_root);

	program_add(program, kind, key)->flags = OP_PRESENT;
	return run_error(store, program);
}

static inline int change_mode(struct store *store, const char *key, uint32_t mode)
{
	struct program *program = program_new(&test_root);

	program_add(program, OP_ATTR, key)->changes =
		(struct attributes){ .mask = ATTRIBUTE_MODE, .mode = mode };
	return run_error(store, program);
}

/* The record at a revision (0: now), or NULL. Caller unrefs. */
static inline struct record *record_at(struct store *store, uint64_t revision, const char *key)
{
	g_autoptr(snapshot) snapshot = NULL;
	struct record *record = NULL;
	int r;

	cr_assert_eq(store_snapshot(store, revision, &snapshot), 0);
	r = snapshot_get(snapshot, key, &record);
	cr_assert(r == 0 || r == -ENOENT, "%s: %d", key, r);
	return record;
}

static inline struct record *record_now(struct store *store, const char *key)
{
	return record_at(store, 0, key);
}

static inline char *text_of(const struct record *record)
{
	gsize size;
	const char *data;

	if (!record || !record->value)
		return NULL;
	data = g_bytes_get_data(record->value, &size);
	return g_strndup(data ? data : "", size);
}

/* Its value as text, NULL where there is none. Caller frees. */
static inline char *value_at(struct store *store, uint64_t revision, const char *key)
{
	g_autoptr(record) record = record_at(store, revision, key);

	return text_of(record);
}

static inline char *value_now(struct store *store, const char *key)
{
	return value_at(store, 0, key);
}

#define expect_value(store, key, text)                                           \
	do {                                                                     \
		g_autofree char *found_ = value_now(store, key);                 \
		cr_expect_str_eq(found_ ? found_ : "(absent)", text, "%s", key); \
	} while (0)

static inline int append_name(const char *name, struct record *record, void *arg)
{
	GString *names = arg;

	cr_expect_null(record->value);
	g_string_append_printf(names, "%s%s%s", names->len ? " " : "", name,
			       record->type == RECORD_DIRECTORY ? "/" : "");
	return 0;
}

/* "a b/ c": the entries of a directory in the order of the listing. */
static inline char *names_in(struct snapshot *snapshot, const char *directory, const char *after)
{
	GString *names = g_string_new("");

	cr_assert_eq(snapshot_list(snapshot, directory, after, append_name, names), 0);
	return g_string_free(names, FALSE);
}

static inline char *names_at(struct store *store, uint64_t revision, const char *directory)
{
	g_autoptr(snapshot) snapshot = NULL;

	cr_assert_eq(store_snapshot(store, revision, &snapshot), 0);
	return names_in(snapshot, directory, NULL);
}

#define expect_names(store, revision, directory, names)                                    \
	do {                                                                               \
		g_autofree char *found_ = names_at(store, revision, directory);            \
		cr_expect_str_eq(found_, names, "'%s' at %d", directory, (int)(revision)); \
	} while (0)
