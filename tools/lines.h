/* Lines of a file, read in blocks; none is longer than is said, whatever the file holds. For one
 * thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct lines {
	int fd;	    /* seekable */
	off_t next; /* of what is read next from it */
	char *bytes;
	size_t room;	   /* in `bytes` */
	size_t max_room;   /* at least 1: no line with its newline is longer */
	size_t begin, end; /* in `bytes`: what was read and is not given out yet */
};

/* Begins at the beginning of `fd`, which stays the caller's. */
void lines_init(struct lines *lines, int fd, size_t max_line);
void lines_done(struct lines *lines);

/* 1: there is a line, of *ret_size bytes with its newline, if that is not missing at the end of
 * the file; it holds until the next call. 0: there is none any more. -EMSGSIZE: it is too long;
 * -ENOMEM; or why it cannot be read. */
int lines_read(struct lines *lines, const char **ret, size_t *ret_size);

/* Where the next line begins. */
off_t lines_tell(const struct lines *lines);
void lines_seek(struct lines *lines, off_t offset);
/* True also when what follows cannot be read. */
bool lines_at_end(struct lines *lines);
