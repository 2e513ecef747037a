/* RocksDB starts its threads with C++'s, which ends the process when there is none to be had.
 * It starts them while it opens, and none later; so as many are tried before. In between
 * somebody else may take them: there is no way to be sure. */
#include "store/threads.h"

#include <glib.h>
#include <pthread.h>
#include <stdbool.h>

struct trial {
	pthread_mutex_t lock;
	pthread_cond_t end;
	bool ended; /* lock */
};

static void *stay(void *arg)
{
	struct trial *trial = arg;

	pthread_mutex_lock(&trial->lock);
	while (!trial->ended)
		pthread_cond_wait(&trial->end, &trial->lock);
	pthread_mutex_unlock(&trial->lock);
	return NULL;
}

int threads_try(unsigned count)
{
	g_autofree pthread_t *threads = g_new(pthread_t, count);
	struct trial trial = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false };
	unsigned started = 0;
	int r = 0;

	while (started < count && r == 0) {
		r = -pthread_create(&threads[started], NULL, stay, &trial);
		if (r == 0)
			started++;
	}
	pthread_mutex_lock(&trial.lock);
	trial.ended = true;
	pthread_cond_broadcast(&trial.end);
	pthread_mutex_unlock(&trial.lock);
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	return r;
}
