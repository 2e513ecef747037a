/* The record decoder: never reads outside, and what it accepts it writes the same again. */
#include "store/record.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(record) record = NULL, head = NULL;
	guint8 header[RECORD_HEADER_SIZE];

	if (record_decode(data, size, true, &record) < 0) {
		g_assert(record_decode(data, size, false, &head) < 0);
		return 0;
	}
	g_assert(record_decode(data, size, false, &head) == 0);
	g_assert(!head->value && head->size_bytes == record->size_bytes);
	record_encode_header(record, header);
	/* The byte of flags is room for later formats. */
	g_assert(size >= sizeof(header) && memcmp(header, data, 1) == 0);
	g_assert(memcmp(header + 2, data + 2, sizeof(header) - 2) == 0);
	return 0;
}
