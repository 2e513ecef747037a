/* The decoder of log entries. */
#include "store/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(log_entry) entry = NULL;

	if (log_decode(7, data, size, &entry) < 0)
		return 0;
	g_assert(entry->revision == 7 && entry->id && entry->command && entry->message);
	for (guint i = 0; i < entry->changes->len; i++) {
		const struct change *change = g_ptr_array_index(entry->changes, i);

		g_assert(change->key && change_kind_name(change->kind));
	}
	return 0;
}
