/* Numbers as people write them on a command line. Results are 0 or -EINVAL, when the text
 * is no such number, or -ERANGE, when it is above `max` or is 0. */
#pragma once

#include <stdint.h>

/* A plain decimal number. */
int number_parse_count(const char *text, uint64_t max, uint64_t *ret);

/* Bytes; K, M or G behind the number multiplies it by 2^10, 2^20 or 2^30. */
int number_parse_size(const char *text, uint64_t max, uint64_t *ret);

/* For people to read (caller frees): 1536 bytes are `1.5 KiB`. */
char *number_format_size(uint64_t bytes);

/* 5400 seconds are `90 min`: the largest unit that divides them. */
char *number_format_duration(uint64_t seconds);

/* Seconds: a number with s, m, h, d, w or y (of 365 days) behind it. */
int number_parse_duration(const char *text, uint64_t max, uint64_t *ret);
