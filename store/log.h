/* Log entries as bytes: who committed what, without the values.
 *
 * Each entry knows where its line lies in the log as a text, and which commit the last
 * stretch of time began with: both follow from the entry before it, and stay what they are
 * when that is compacted. */
#pragma once

#include "store/store.h"

/* Bytes of an id, a command or a message. In a line a byte becomes four at most, and what is
 * blanked in an entry is as long there as it was in its line. */
#define LOG_TEXT_MAX 16383

struct log_entry *log_entry_new(void);
void log_entry_add(struct log_entry *entry, enum change_kind kind, const char *key,
		   struct record *before, struct record *after);

/* A copy of an id, a command or a message (NULL: ""), cut to what an entry holds. */
char *log_copy_text(const char *text);

/* Where the next entry goes. All zeros: it is the first. */
struct log_place {
	uint64_t end;		 /* of the text so far */
	int64_t time_ns;	 /* of the newest entry */
	uint64_t clock_revision; /* of it */
};

/* Gives `entry`, complete otherwise, the next place. */
void log_place_next(struct log_place *place, struct log_entry *entry);
/* The place behind `entry`. */
struct log_place log_place_after(const struct log_entry *entry);

/* The numbers of an entry come first, and are so many bytes. */
#define LOG_NUMBERS_SIZE 42

/* NULL: there is no memory for it. */
GBytes *log_encode(const struct log_entry *entry);
/* -EIO: it is damaged. */
int log_decode(uint64_t revision, const void *data, size_t size, struct log_entry **ret);
/* Decodes only the numbers, into *ret, whose other fields become NULL. */
int log_decode_numbers(uint64_t revision, const void *data, size_t size, struct log_entry *ret);
