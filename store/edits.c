/* Edits of values: writes, appends and truncations applied to bytes.
 *
 * The memory is enlarged once, to a power of two, before anything is changed: no edit can
 * fail half way, and a value that grows by many small writes is moved seldom. What lies
 * behind the value's end is not part of it and holds anything. */
#include "store/edits.h"

#include "store/bytes.h"

#include <errno.h>
#include <string.h>

static uint64_t edit_bytes(const struct edit *edit)
{
	return edit->data ? g_bytes_get_size(edit->data) : 0;
}

/* Where the value ends after `edit`, when it ended at `size` before. */
static bool edit_end(const struct edit *edit, uint64_t size, uint64_t *ret)
{
	uint64_t start = edit->kind == EDIT_APPEND ? size : edit->offset;
	uint64_t end;

	if (edit->kind == EDIT_TRUNCATE) {
		*ret = edit->offset;
		return true;
	}
	if (!g_uint64_checked_add(&end, start, edit_bytes(edit)))
		return false;
	/* As write(2): writing nothing beyond the end does not extend it. */
	*ret = edit_bytes(edit) == 0 ? size : MAX(size, end);
	return true;
}

int edits_size(uint64_t size, const GPtrArray *edits, uint64_t max_bytes, uint64_t *ret_size,
	       uint64_t *ret_peak)
{
	uint64_t peak = size;

	for (guint i = 0; edits && i < edits->len; i++) {
		if (!edit_end(edits->pdata[i], size, &size) || size > max_bytes ||
		    size > G_MAXSSIZE)
			return -EFBIG;
		peak = MAX(peak, size);
	}
	if (size > max_bytes)
		return -EFBIG;
	*ret_size = size;
	*ret_peak = peak;
	return 0;
}

/* Applies one edit to the value of `size` bytes at `data`, which has room for it. */
static uint64_t edit_in_place(guint8 *data, uint64_t size, const struct edit *edit)
{
	uint64_t start = edit->kind == EDIT_APPEND ? size : edit->offset;
	uint64_t end = size;
	gconstpointer bytes;
	gsize length;

	edit_end(edit, size, &end);
	if (end > size && start > size)
		memset(data + size, 0, MIN(start, end) - size);
	if (edit->kind != EDIT_TRUNCATE && edit_bytes(edit) > 0) {
		bytes = g_bytes_get_data(edit->data, &length);
		memcpy(data + start, bytes, length);
	}
	return end;
}

static uint64_t round_up(uint64_t size)
{
	uint64_t rounded = 64;

	while (rounded < size && rounded < (uint64_t)1 << 62)
		rounded *= 2;
	return rounded;
}

static uint64_t apply_all(guint8 *data, uint64_t size, const GPtrArray *edits)
{
	for (guint i = 0; edits && i < edits->len; i++)
		size = edit_in_place(data, size, edits->pdata[i]);
	return size;
}

/* Small values: there is memory. */
static void change_small(GBytes **value, const GPtrArray *edits, uint64_t peak)
{
	gsize length = 0;
	uint64_t end;
	/* Copies unless this is the only reference. */
	guint8 *data = *value ? g_bytes_unref_to_data(g_steal_pointer(value), &length) : NULL;

	if (peak > length)
		data = g_realloc(data, round_up(peak));
	end = apply_all(data, length, edits);
	if (end < peak / 2)
		data = g_realloc(data, MAX(end, 1));
	*value = g_bytes_new_take(data, end);
}

/* The memory to change: with `room` bytes, in which the value is. NULL: *value is as it was. */
static struct large *take_room(GBytes **value, uint64_t room)
{
	gsize length = *value ? g_bytes_get_size(*value) : 0;
	struct large *large = *value ? large_take(value) : NULL;

	if (large) {
		if (room <= length || large_resize(large, room))
			return large;
		*value = large_to_bytes(large, length);
		return NULL;
	}
	large = large_try_new(room);
	if (large && length)
		memcpy(large_data(large), g_bytes_get_data(*value, NULL), length);
	if (large)
		g_clear_pointer(value, g_bytes_unref);
	return large;
}

static int change_large(GBytes **value, const GPtrArray *edits, uint64_t peak)
{
	uint64_t size = *value ? g_bytes_get_size(*value) : 0;
	struct large *large = take_room(value, peak > size ? round_up(peak) : peak);
	uint64_t end;

	if (!large)
		return -ENOMEM;
	end = apply_all(large_data(large), size, edits);
	if (end < peak / 2)
		(void)large_resize(large, end); /* it stays as large as it is */
	*value = large_to_bytes(large, end);
	return 0;
}

int edits_change(GBytes **value, const GPtrArray *edits, uint64_t max_bytes)
{
	uint64_t end, peak;
	int r;

	r = edits_size(*value ? g_bytes_get_size(*value) : 0, edits, max_bytes, &end, &peak);
	if (r < 0)
		return r;
	if (round_up(peak) >= BYTES_LARGE)
		return change_large(value, edits, peak);
	change_small(value, edits, peak);
	return 0;
}
