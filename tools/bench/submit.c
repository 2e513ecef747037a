#include "tools/bench/submit.h"

#include <semaphore.h>
#include <unistd.h>

struct outcome {
	sem_t done;
	int error;
	bool succeeded;
};

static void note_outcome(const struct program_result *result, void *arg)
{
	struct outcome *outcome = arg;

	outcome->error = result->error;
	outcome->succeeded = result->succeeded;
	sem_post(&outcome->done);
}

int submit_and_wait(struct store *store, struct program *program, bool *ret_succeeded)
{
	struct outcome outcome = { 0 };

	sem_init(&outcome.done, 0, 0);
	store_submit(store, program, note_outcome, &outcome);
	while (sem_wait(&outcome.done) < 0)
		continue;
	sem_destroy(&outcome.done);
	*ret_succeeded = outcome.succeeded;
	return outcome.error;
}

struct program *submit_new_program(void)
{
	struct credentials own = { .uid = geteuid(), .gid = getegid() };

	return program_new(&own);
}
