/* Bytes whose size a user chooses. GLib aborts when there is no memory for a GBytes, and does
 * not tell whether a reference is the only one. So the memory of large ones is got here, and
 * found again by its address: whoever holds the last reference may change it in place. */
#include "store/bytes.h"

#include <pthread.h>
#include <string.h>

struct large {
	guint8 *data;
	size_t room;   /* bytes there */
	guint values;  /* lock: the GBytes that have it */
	guint lookers; /* lock: who looks whether that was the last */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static GHashTable *by_data; /* lock: data -> struct large, of those that are in a GBytes */

struct large *large_try_new(size_t room)
{
	guint8 *data = g_try_malloc(MAX(room, 1));
	struct large *large;

	if (!data)
		return NULL;
	large = g_new0(struct large, 1);
	large->data = data;
	large->room = room;
	return large;
}

guint8 *large_data(struct large *large)
{
	return large->data;
}

bool large_resize(struct large *large, size_t room)
{
	guint8 *data;

	if (room == large->room)
		return true;
	data = g_try_realloc(large->data, MAX(room, 1));
	if (!data)
		return false;
	large->data = data;
	large->room = room;
	return true;
}

void large_free(struct large *large)
{
	if (!large)
		return;
	g_free(large->data);
	g_free(large);
}

/* A GBytes is gone. */
static void forget(gpointer data)
{
	struct large *large = data;
	bool last;

	pthread_mutex_lock(&lock);
	if (--large->values == 0)
		g_hash_table_remove(by_data, large->data);
	last = large->values == 0 && large->lookers == 0;
	pthread_mutex_unlock(&lock);
	if (last)
		large_free(large);
}

static void remember_locked(struct large *large)
{
	if (!by_data)
		by_data = g_hash_table_new(NULL, NULL);
	if (large->values++ == 0)
		g_hash_table_insert(by_data, large->data, large);
}

GBytes *large_to_bytes(struct large *large, size_t size)
{
	pthread_mutex_lock(&lock);
	remember_locked(large);
	pthread_mutex_unlock(&lock);
	return g_bytes_new_with_free_func(large->data, size, forget, large);
}

static struct large *look_for(GBytes *value)
{
	gconstpointer data = g_bytes_get_data(value, NULL);
	struct large *large;

	pthread_mutex_lock(&lock);
	large = by_data ? g_hash_table_lookup(by_data, data) : NULL;
	if (large)
		large->lookers++;
	pthread_mutex_unlock(&lock);
	return large;
}

struct large *large_take(GBytes **value)
{
	size_t size = g_bytes_get_size(*value);
	struct large *large = look_for(*value);
	bool own;

	if (!large)
		return NULL;
	g_bytes_unref(g_steal_pointer(value));
	pthread_mutex_lock(&lock);
	own = large->values == 0 && large->lookers == 1;
	large->lookers--;
	if (!own)
		remember_locked(large);
	pthread_mutex_unlock(&lock);
	if (own)
		return large;
	*value = g_bytes_new_with_free_func(large->data, size, forget, large);
	return NULL;
}

GBytes *bytes_try_new(const void *data, size_t size)
{
	struct large *large;

	if (size < BYTES_LARGE)
		return g_bytes_new(data, size);
	large = large_try_new(size);
	if (!large)
		return NULL;
	memcpy(large->data, data, size);
	return large_to_bytes(large, size);
}

bool string_try_reserve(GString *string, size_t more)
{
	size_t room = string->len + more + 1;
	char *grown;

	if (room <= string->allocated_len || room < BYTES_LARGE)
		return true;
	/* As GString does, so that many small additions move it seldom. */
	room = MAX(room, string->allocated_len * 2);
	grown = g_try_realloc(string->str, room);
	if (!grown)
		return false;
	string->str = grown;
	string->allocated_len = room;
	return true;
}
