/* The lines that export writes and import reads: JSON objects (RFC 8259), the first of which
 * says what the others are.
 *
 *   {"commitfs_export":1,"store_id":"UUID","revision":N}
 *   {"path":"a/b","type":"value","mode":"0644","uid":0,"gid":0,"mtime":"SECONDS.NANOSECONDS",
 *    "create_revision":N,"mod_revision":N,"version":N,"value":"..."}
 *
 * A symbolic link has "target" in place of "value", a directory neither. Bytes that are no
 * text in UTF-8 are in "path_base64", "value_base64", "target_base64" instead. */
#pragma once

#include "store/store.h"

struct export_head {
	char store_id[37];
	uint64_t revision;
};

struct export_line {
	char *path; /* a key; "": the root */
	enum record_type type;
	uint32_t mode;
	uid_t uid;
	gid_t gid;
	struct timespec mtime;
	uint64_t create_revision; /* these three are facts of the store it comes from */
	uint64_t mod_revision;
	uint64_t version;
	GBytes *value; /* of a symbolic link: its text; of a directory: NULL */
};

void export_line_clear(struct export_line *line);

/* Appends a line with its newline. */
void export_head_append(const struct export_head *head, GString *out);
void export_line_append(const struct export_line *line, GString *out);

/* Reads a line of `size` bytes, with or without its newline. False: *ret_error (caller frees)
 * says what is wrong with it. */
bool export_head_parse(const char *text, size_t size, struct export_head *ret, char **ret_error);
bool export_line_parse(const char *text, size_t size, struct export_line *ret, char **ret_error);
