/* Records as an encrypted store has them: what was altered in any way does not open. The input
 * is a box as it would be read from the disk; the first byte says whether it is that, or what
 * to alter in a box that was sealed a moment ago, and how. */
#include "store/seal.h"

#include <string.h>

#define STORE_ID "00000000-0000-4000-8000-000000000000"

static const unsigned char key_bytes[STORE_KEY_SIZE] = { 1, 2, 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sealer *make_sealer(void)
{
	struct store_key key = { .size = STORE_KEY_SIZE, .bytes = (unsigned char *)key_bytes };
	struct sealer *sealer = NULL;

	g_assert(sealer_new(STORE_ID, &key, &sealer) == 0);
	return sealer;
}

static const struct seal_place place = { .family = FAMILY_KEYS, .key = "a/b", .key_size = 3 };

/* True when both parts open; then they are what was sealed. */
static bool opens(const struct sealer *sealer, const guint8 *box, size_t box_size,
		  const uint8_t *text, size_t size)
{
	const struct seal_text stored = { box, box_size };
	size_t head_size = size / 2;
	g_autofree guint8 *head = g_malloc(head_size + 1), *tail = NULL;
	struct sealed sealed;

	if (seal_open_head(sealer, &place, stored, head, head_size, &sealed) < 0)
		return false;
	g_assert(sealed.tail && sealed.tail_size == size - head_size && sealed.revision == 7);
	tail = g_malloc(sealed.tail_size + 1);
	if (seal_open_tail(sealer, &place, &sealed, tail) < 0)
		return false;
	g_assert(memcmp(head, text, head_size) == 0);
	g_assert(memcmp(tail, text + head_size, sealed.tail_size) == 0);
	return true;
}

/* `data` says at which byte, and what becomes of it. */
static void alter(const struct sealer *sealer, const uint8_t *data, size_t size)
{
	const struct seal_text head = { data, size / 2 };
	const struct seal_text tail = { data + size / 2, size - size / 2 };
	size_t box_size = 0, at = (data[0] | (size_t)data[1] << 8);
	g_autofree guint8 *box = seal_close(sealer, &place, 7, head, tail, &box_size);

	g_assert(opens(sealer, box, box_size, data, size));
	at %= box_size;
	g_assert(!opens(sealer, box, at, data, size));
	box[at] ^= data[2] ? data[2] : 1;
	g_assert(!opens(sealer, box, box_size, data, size));
}

/* Made up: nobody without the key can. */
static void open_made_up(const struct sealer *sealer, const uint8_t *data, size_t size)
{
	guint8 head[64];
	struct sealed sealed;

	g_assert(seal_open_head(sealer, &place, (struct seal_text){ data, size }, head,
				MIN(size, sizeof(head)), &sealed) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sealer *sealer;

	if (!sealer)
		sealer = make_sealer();
	if (size < 4)
		return 0;
	if (data[0] & 1)
		alter(sealer, data + 1, size - 1);
	else
		open_made_up(sealer, data + 1, size - 1);
	return 0;
}
