/* getdelim(3) would take all the memory there is for a line that does not end. */
#include "tools/lines.h"

#include <errno.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK ((size_t)65536)

void lines_init(struct lines *lines, int fd, size_t max_line)
{
	*lines = (struct lines){ .fd = fd, .max_room = max_line };
}

void lines_done(struct lines *lines)
{
	g_clear_pointer(&lines->bytes, g_free);
}

/* Room for more behind what is there. */
static int make_room(struct lines *lines)
{
	size_t used = lines->end - lines->begin, room;
	char *bytes;

	if (used == lines->max_room)
		return -EMSGSIZE;
	if (lines->begin > 0) {
		memmove(lines->bytes, lines->bytes + lines->begin, used);
		lines->begin = 0;
		lines->end = used;
	}
	if (lines->end < lines->room)
		return 0;
	room = MIN(MAX(2 * lines->room, BLOCK), lines->max_room);
	bytes = g_try_realloc(lines->bytes, room);
	if (!bytes)
		return -ENOMEM;
	lines->bytes = bytes;
	lines->room = room;
	return 0;
}

/* 1: there is more now; 0: the file ends. */
static int read_more(struct lines *lines)
{
	ssize_t count;
	int r;

	r = make_room(lines);
	if (r < 0)
		return r;
	do
		count = pread(lines->fd, lines->bytes + lines->end, lines->room - lines->end,
			      lines->next);
	while (count < 0 && errno == EINTR);
	if (count < 0)
		return -errno;
	lines->next += count;
	lines->end += (size_t)count;
	return count > 0;
}

int lines_read(struct lines *lines, const char **ret, size_t *ret_size)
{
	const char *newline = NULL;
	size_t looked = 0;
	int r = 1;

	while (r == 1 && !newline) {
		size_t size = lines->end - lines->begin;

		if (size > looked)
			newline = memchr(lines->bytes + lines->begin + looked, '\n', size - looked);
		looked = size;
		if (!newline)
			r = read_more(lines);
	}
	if (r < 0)
		return r;
	*ret = lines->bytes + lines->begin;
	*ret_size = newline ? (size_t)(newline - *ret) + 1 : looked;
	lines->begin += *ret_size;
	return *ret_size > 0;
}

off_t lines_tell(const struct lines *lines)
{
	return lines->next - (off_t)(lines->end - lines->begin);
}

void lines_seek(struct lines *lines, off_t offset)
{
	lines->next = offset;
	lines->begin = lines->end = 0;
}

bool lines_at_end(struct lines *lines)
{
	return lines->begin == lines->end && read_more(lines) <= 0;
}
