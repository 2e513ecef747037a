/* Options, the run, the verdict. */
#include "main.h"

#include "anomalies.h"
#include "checker.h"
#include "mounted.h"
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* By default for a minute or two with sanitizers. */
enum {
	DEFAULT_TRANSACTIONS = BUILT_WITH_TSAN ? 10000 : 100000,
	SELF_TEST_TRANSACTIONS = 3000,
	DEFAULT_PROCESSES = 8,
	USAGE = 64,
};

static bool number(const char *text, uint64_t *ret)
{
	return g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT64, ret, NULL);
}

static bool parse_option(const char *argument, struct run_options *options, bool *self_test)
{
	uint64_t processes;

	if (g_str_has_prefix(argument, "--seed="))
		return number(argument + strlen("--seed="), &options->seed);
	if (g_str_has_prefix(argument, "--transactions="))
		return number(argument + strlen("--transactions="), &options->transactions);
	if (g_str_has_prefix(argument, "--processes=")) {
		if (!number(argument + strlen("--processes="), &processes) || processes < 1 ||
		    processes > 200)
			return false;
		options->processes = (unsigned)processes;
		return true;
	}
	if (strcmp(argument, "--self-test") == 0) {
		*self_test = true;
		return true;
	}
	return number(argument, &options->seed);
}

static void print_summary(const struct history *history)
{
	unsigned counts[OUTCOME_COUNT] = { 0 };

	for (unsigned i = 0; i < history->records->len; i++) {
		const struct record *record = g_ptr_array_index(history->records, i);

		counts[record->outcome]++;
	}
	printf("%u committed, %u conflicts, %u given up, %u live calls; revisions %" G_GUINT64_FORMAT
	       " to %" G_GUINT64_FORMAT "\n",
	       counts[OUTCOME_COMMITTED], counts[OUTCOME_CONFLICT], counts[OUTCOME_ABORTED],
	       counts[OUTCOME_LIVE], history->first + 1, history->last);
}

int transactions_judge(const struct history *history)
{
	struct verdict verdict;
	int result;

	print_summary(history);
	verdict_init(&verdict);
	check_history(history, &verdict);
	if (verdict.total > 0)
		printf("%s\n", verdict.report->str);
	for (unsigned i = 0; i < COMPLAINT_COUNT; i++) {
		if (verdict.counts[i] > 0)
			printf("%u %s\n", verdict.counts[i], complaint_name((enum complaint)i));
	}
	printf("%u anomalies\n", verdict.total);
	result = verdict.total > 0;
	verdict_done(&verdict);
	return result;
}

int transactions_main(int argc, char **argv, bool self_test)
{
	struct run_options options = { .seed = 1, .processes = DEFAULT_PROCESSES };
	struct history *history = NULL;
	g_autofree char *command = NULL;
	int result;

	for (int i = 1; i < argc; i++) {
		if (!parse_option(argv[i], &options, &self_test)) {
			fprintf(stderr, "usage: transactions [SEED] [--seed=N] [--transactions=N] "
					"[--processes=N] [--self-test]\n");
			return USAGE;
		}
	}
	if (options.transactions == 0)
		options.transactions = self_test ? SELF_TEST_TRANSACTIONS : DEFAULT_TRANSACTIONS;
	options.command = command = mounted_find_command();
	/* The sanitizer sees malloc, not what GLib's slices do with it. */
	if (BUILT_WITH_TSAN)
		g_setenv("G_SLICE", "always-malloc", TRUE);
	printf("seed %" G_GUINT64_FORMAT "\n", options.seed);
	fflush(stdout);
	if (run_workload(&options, &history) < 0)
		return 1;
	result = transactions_judge(history);
	if (result == 0 && self_test)
		result = anomalies_test(history);
	history_free(history);
	return result;
}
