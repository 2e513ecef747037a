/* See output.h. */
#include "store/output.h"

#include "store/record.h"

#include <errno.h>
#include <string.h>

/* Stands for the revision that the program is about to make. */
#define OWN_REVISION UINT64_MAX
/* What a key costs beside its bytes and its value's. */
#define FOUND_BYTES (sizeof(struct found) + sizeof(struct record) + sizeof(void *))
#define CHARGED_AT_ONCE ((uint64_t)65536)

static void found_free(gpointer data)
{
	struct found *found = data;

	g_free(found->key);
	record_unref(found->record);
	g_free(found);
}

static void output_clear(gpointer data)
{
	struct output *output = data;

	g_clear_pointer(&output->found, g_ptr_array_unref);
}

GArray *outputs_new(void)
{
	GArray *outputs = g_array_new(FALSE, FALSE, sizeof(struct output));

	g_array_set_clear_func(outputs, output_clear);
	return outputs;
}

/* The record as it is told. Those that the program changed get their numbers only when it
 * commits, and may be changed again before: they are copied. */
static struct record *told_record(struct overlay *overlay, const char *key, struct record *record,
				  bool bare)
{
	const struct overlay_entry *entry = overlay_find(overlay, key);
	struct record *copy;

	if (!entry && (!bare || !record->value))
		return record_ref(record);
	copy = bare ? record_copy_bare(record) : record_copy(record);
	if (entry) {
		copy->mod_revision = OWN_REVISION;
		copy->version = entry->fresh ? 1 : entry->base->version + 1;
	}
	if (entry && entry->fresh)
		copy->create_revision = OWN_REVISION;
	return copy;
}

/* Charges ahead, since most outputs are small. */
static int take_room(struct output_room *room, uint64_t bytes)
{
	const struct program *program = room->program;
	uint64_t more = MAX(bytes, CHARGED_AT_ONCE);
	int r = 0;

	if (bytes > room->left_bytes)
		return -EDQUOT;
	if (program->charge && bytes > room->charged_bytes) {
		r = program->charge(program->charge_arg, more);
		if (r < 0)
			return r;
		room->charged_bytes += more;
	}
	if (program->charge)
		room->charged_bytes -= bytes;
	room->left_bytes -= bytes;
	return 0;
}

int output_add(struct output *output, struct overlay *overlay, const char *key,
	       struct record *record, bool bare, struct output_room *room)
{
	uint64_t bytes = strlen(key) + FOUND_BYTES + (bare ? 0 : record->size_bytes);
	struct found *found;
	int r = take_room(room, bytes);

	if (r < 0)
		return r;
	if (!output->found)
		output->found = g_ptr_array_new_with_free_func(found_free);
	found = g_new(struct found, 1);
	found->key = g_strdup(key);
	found->record = told_record(overlay, key, record, bare);
	g_ptr_array_add(output->found, found);
	return 0;
}

static void finish_record(struct record *record, uint64_t revision)
{
	if (record->mod_revision == OWN_REVISION)
		record->mod_revision = revision;
	if (record->create_revision == OWN_REVISION)
		record->create_revision = revision;
}

void outputs_finish(GArray *outputs, uint64_t revision)
{
	for (guint i = 0; outputs && i < outputs->len; i++) {
		const struct output *output = &g_array_index(outputs, struct output, i);

		for (guint j = 0; output->found && j < output->found->len; j++) {
			const struct found *found = output->found->pdata[j];

			finish_record(found->record, revision);
		}
	}
}
