/* See queue.h. */
#include "store/queue.h"

#define GROUP_BYTES_MAX ((uint64_t)16 * 1024 * 1024)
/* Written in 10 ms or less, which others hardly feel. */
#define HEAVY_BYTES ((uint64_t)1024 * 1024)
/* Of the time that a heavy group took, so many times as much others have before the next: with
 * once as much, more than one in a hundred commits of another user waited for one. */
#define OTHERS_SHARE 4
/* Evaluated in less, a program is felt less by others than one sync. On a busy machine a short
 * one may take as long: its user's next ones wait some milliseconds then, if others wait too. */
#define COSTLY_NS ((int64_t)2 * 1000 * 1000)

static void lane_init(struct lane *lane)
{
	lane->first = NULL;
	lane->last = &lane->first;
}

static void lane_add(struct lane *lane, struct waiting *waiting)
{
	waiting->next = NULL;
	*lane->last = waiting;
	lane->last = &waiting->next;
}

static struct waiting *lane_cut(struct lane *lane)
{
	struct waiting *cut = lane->first;
	struct waiting **end = &lane->first;
	uint64_t bytes = 0;

	while (*end && (*end == cut || bytes + (*end)->bytes <= GROUP_BYTES_MAX)) {
		bytes += (*end)->bytes;
		end = &(*end)->next;
	}
	lane->first = *end;
	if (!lane->first)
		lane->last = &lane->first;
	*end = NULL;
	return cut;
}

void queue_init(struct queue *queue)
{
	lane_init(&queue->ordinary);
	lane_init(&queue->heavy);
	queue->heavy_due_ns = 0;
	queue->debts = g_hash_table_new_full(NULL, NULL, NULL, g_free);
}

void queue_done(struct queue *queue)
{
	g_assert(!queue->ordinary.first && !queue->heavy.first);
	g_hash_table_unref(queue->debts);
}

static bool is_in_debt(const struct queue *queue, uid_t uid, int64_t now_ns)
{
	const int64_t *until_ns = g_hash_table_lookup(queue->debts, GUINT_TO_POINTER(uid));

	return until_ns && now_ns < *until_ns;
}

bool queue_add(struct queue *queue, struct waiting *waiting, int64_t now_ns)
{
	bool heavy = waiting->bytes >= HEAVY_BYTES || is_in_debt(queue, waiting->uid, now_ns);

	lane_add(heavy ? &queue->heavy : &queue->ordinary, waiting);
	return heavy;
}

bool queue_take(struct queue *queue, int64_t now_ns, struct waiting **ret)
{
	bool heavy = queue->heavy.first && now_ns >= queue->heavy_due_ns;
	struct lane *lane = heavy ? &queue->heavy : &queue->ordinary;

	*ret = lane->first ? lane_cut(lane) : NULL;
	return heavy;
}

int64_t queue_due_ns(const struct queue *queue)
{
	if (queue->ordinary.first)
		return 0;
	return queue->heavy.first ? queue->heavy_due_ns : INT64_MAX;
}

void queue_heavy_done(struct queue *queue, int64_t took_ns, int64_t now_ns)
{
	queue->heavy_due_ns = queue->ordinary.first ? now_ns + OTHERS_SHARE * took_ns : 0;
}

static gboolean is_over(gpointer uid, gpointer until_ns, gpointer now_ns)
{
	(void)uid;
	return *(int64_t *)until_ns <= *(int64_t *)now_ns;
}

void queue_note_cost(struct queue *queue, uid_t uid, int64_t took_ns, int64_t now_ns)
{
	int64_t *until_ns = g_new(int64_t, 1);

	g_hash_table_foreach_remove(queue->debts, is_over, &now_ns);
	*until_ns = now_ns + took_ns;
	g_hash_table_replace(queue->debts, GUINT_TO_POINTER(uid), until_ns);
}

bool queue_is_costly(int64_t took_ns)
{
	return took_ns >= COSTLY_NS;
}
