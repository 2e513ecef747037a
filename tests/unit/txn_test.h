/* What the tests of transactions share: a store in memory, and files' work in one line. */
#pragma once

#include "txn/txn.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Whoever runs the tests: the root directory of the store is theirs. */
static struct credentials test_user = { .pid = 77, .command = (char *)"test" };

struct bench {
	struct store *store;
	struct registry *registry;
	struct view *live;
};

/* Declared first with BENCH, it is closed last. */
static inline void bench_close(struct bench *bench)
{
	if (!bench->store)
		return;
	registry_free(bench->registry);
	view_free(bench->live);
	store_close(bench->store);
}
#define BENCH __attribute__((cleanup(bench_close))) struct bench

static inline struct bench bench_open(const struct registry_options *options)
{
	struct registry_options defaults;
	struct store_options store_options;
	struct bench bench = { 0 };
	char *message = NULL;

	test_user.uid = getuid();
	test_user.gid = getgid();
	registry_options_init(&defaults);
	store_options_init(&store_options);
	cr_assert_eq(store_open(&store_options, &bench.store, &message), 0, "%s", message);
	cr_assert_eq(registry_new(bench.store, options ? options : &defaults, &bench.registry), 0);
	bench.live = view_new_live(bench.store);
	return bench;
}

static inline struct txn *begin(struct bench *bench, const char *name)
{
	struct txn *txn = NULL;

	cr_assert_eq(registry_begin(bench->registry, name, getpid(), &test_user, &txn), 0);
	return txn;
}

static inline void keep_error(const struct program_result *result, void *arg)
{
	*(int *)arg = result->error ? result->error : result->succeeded ? 0 : -ESTALE;
}

static inline struct program *program_of(enum op_kind kind, const char *key, struct op **ret)
{
	struct program *program = program_new(&test_user);

	*ret = program_add(program, kind, key);
	(*ret)->mode = 0755;
	return program;
}

static inline int apply(struct view *view, enum op_kind kind, const char *key)
{
	struct op *op;
	struct program *program = program_of(kind, key, &op);
	int error = 1;

	view_apply(view, program, keep_error, &error);
	return error;
}

static inline int put(struct view *view, const char *key, const char *value)
{
	struct op *op;
	struct program *program = program_of(OP_PUT, key, &op);
	int error = 1;

	op->value = g_bytes_new(value, strlen(value));
	view_apply(view, program, keep_error, &error);
	return error;
}

static inline int rename_key(struct view *view, const char *from, const char *to)
{
	struct op *op;
	struct program *program = program_of(OP_RENAME, from, &op);
	int error = 1;

	op->target = g_strdup(to);
	view_apply(view, program, keep_error, &error);
	return error;
}

/* What open(2) and read(2) of a key do; NULL: absent. Caller frees. */
static inline char *read_value(struct view *view, const char *key)
{
	g_autoptr(record) record = NULL;
	const char *data;
	gsize length;

	(void)view_get(view, key, &record);
	cr_assert_eq(view_observe(view, OBSERVE_EXISTS, key, record), 0);
	if (!record)
		return NULL;
	cr_assert_eq(view_observe(view, OBSERVE_VALUE, key, record), 0);
	data = g_bytes_get_data(record->value, &length);
	return g_strndup(data, length);
}

static inline void expect_value(struct view *view, const char *key, const char *wanted)
{
	g_autofree char *value = read_value(view, key);

	cr_expect_str_eq(value ? value : "(absent)", wanted, "of %s", key);
}

static inline void keep_outcome(int error, void *arg)
{
	*(int *)arg = error;
}

/* Nobody else leads a group here, so the outcome is known when this returns. */
static inline int commit(struct txn *txn, const char *message)
{
	int outcome = 1;

	txn_commit(txn, message, strlen(message), keep_outcome, &outcome);
	return outcome;
}

static inline void expect_text(GString *text, const char *wanted)
{
	cr_expect_str_eq(text->str, wanted);
	g_string_free(text, TRUE);
}

static inline void expect_in_text(GString *text, const char *part)
{
	cr_expect(strstr(text->str, part), "'%s' is not in '%s'", part, text->str);
	g_string_free(text, TRUE);
}
