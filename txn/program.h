/* What the files that read and answer program texts share.
 *
 * A text is read line by line. Errors are collected, so that one reading of a text tells of
 * all of them; whoever finds one goes on with the next line. Nothing here is called from
 * more than one thread. */
#pragma once

#include "txn/txn.h"

/* ---- Errors (program_errors.c) --------------------------------------------------- */

#define PROGRAM_ERRORS_MAX 20

struct program_error {
	unsigned line;
	unsigned column;
	char *text;
};

struct program_errors {
	GArray *list; /* struct program_error */
	bool full;    /* there were more */
};

void program_errors_init(struct program_errors *errors);
void program_errors_done(struct program_errors *errors);
void program_errors_add(struct program_errors *errors, unsigned line, unsigned column,
			const char *format, ...) G_GNUC_PRINTF(4, 5);
/* The lines "ERROR LINE:COLUMN text" in the order of the text. */
GString *program_errors_text(struct program_errors *errors);

/* How much of `bytes` is shown when it should not be more than `limit`: whole characters. */
size_t text_shorten(const char *bytes, size_t size, size_t limit);
/* Appends as text_append_escaped does so much of `bytes`, and "..." where that is not all;
 * `quote` is escaped too. */
void text_append_shortened(GString *out, const char *bytes, size_t size, size_t limit, char quote);

/* ---- Lines and words (program_lex.c) --------------------------------------------- */

/* A place in the text. Its column is counted only when somebody asks. */
struct place {
	const char *line; /* where its line begins */
	const char *at;
	unsigned number; /* of the line, from 1 */
};

struct lexer {
	const char *end;      /* of the text */
	const char *next;     /* where the next line begins */
	const char *line_end; /* of the line, without its newline */
	struct place here;    /* what comes next in the line */
	bool ended;	      /* there is no further line */
	struct program_errors *errors;
};

/* One word of a line: bare or quoted, without its quotes and escapes. */
struct word {
	struct place place;
	char *bytes; /* with a NUL behind; owned */
	size_t size;
	bool quoted;
};

void word_clear(struct word *word);
/* Checks that `word` is a key; of a tree it may be empty, and end with a slash, which goes.
 * False with an error told. */
bool word_check_key(struct lexer *lexer, struct word *word, bool tree);

void lexer_init(struct lexer *lexer, const char *text, size_t text_bytes,
		struct program_errors *errors);
/* Goes to the next line; false at the end of the text, which is then where errors are. */
bool lexer_next_line(struct lexer *lexer);
void lexer_skip_blanks(struct lexer *lexer);
/* Skips blanks; true when the line has nothing more. */
bool lexer_at_end(struct lexer *lexer);
/* The byte that comes next, 0 at the end of the line. */
char lexer_peek(const struct lexer *lexer);
/* Skips `byte` if it comes next. */
bool lexer_skip(struct lexer *lexer, char byte);

/* Reads the word that begins here; a bare one ends before a blank or one of `stops`. False
 * with an error told when it is none; what was read of it is then skipped, and *ret is not
 * to be cleared. The line must not be at its end. */
bool lexer_word(struct lexer *lexer, const char *stops, struct word *ret);

/* The lines up to one that is `name`, with their newlines. False with an error told. */
bool lexer_lines(struct lexer *lexer, const char *name, GBytes **ret);

unsigned place_column(const struct place *place);
void lexer_error(struct lexer *lexer, const struct place *place, const char *format, ...)
	G_GNUC_PRINTF(3, 4);
/* "expected X, found Y" for what comes next. */
void lexer_expected(struct lexer *lexer, const char *expected);
/* The same for a word that was read. */
void lexer_expected_not(struct lexer *lexer, const char *expected, const struct word *found);

/* ---- Compares and operations (program_compare.c, program_operation.c) ------------ */

/* True when the line is a compare rather than an operation, whether right or wrong. */
bool line_is_compare(const struct lexer *lexer);
/* Reads the line into a compare of `program`, or into a then- or, `otherwise`, an
 * else-operation. Errors are told. */
void line_parse_compare(struct lexer *lexer, struct program *program);
void line_parse_operation(struct lexer *lexer, struct program *program, bool otherwise);

/* ---- Overlap (overlap.c) --------------------------------------------------------- */

/* Tells of everything in `program` that can run together and writes a key twice, or writes
 * and deletes it: at most one error for each operation that writes. */
void overlap_check(const struct program *program, struct program_errors *errors);

/* ---- Replies (program_reply.c; program_json.c has them in another form) ---------- */

#define PROGRAM_FAILURES_MAX 1000 /* failed compares that a reply tells of */
#define PROGRAM_FOUND_MAX 200	  /* bytes of the value that one found */

const char *compare_target_name(enum compare_target target);
const char *op_name(const struct op *op);
bool op_has_count(const struct op *op);
bool op_has_number(const struct op *op);
/* True when what a compare of values found differs only by a final newline. */
bool failure_is_newline(const struct failure *failure);
