/* Small files as programs use them: whole, in as few calls as it takes. Results are 0, or
 * a size, or a negative errno; nothing is printed. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Opens, reads to the end, closes. What is longer than `size - 1` is cut; a NUL follows. */
ssize_t file_read_at(int directory, const char *name, char *buffer, size_t size);
/* Opens with O_CREAT and O_TRUNC, writes, closes. */
int file_write_at(int directory, const char *name, const void *data, size_t size);
/* The same of a file that is there. */
int file_replace_at(int directory, const char *name, const void *data, size_t size);
/* All of it to an open descriptor, in one call. */
int file_write(int fd, const void *data, size_t size);

/* Begins a transaction of this process; its name in `ret`. */
int txn_begin_new(const char *mount, char *ret, size_t size);
