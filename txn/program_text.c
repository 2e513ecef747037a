/* Program texts: etcdctl's transactions, and more.
 *
 *   program   = [compares] SEPARATOR [operations] [SEPARATOR [operations]]
 *             | operations
 *   SEPARATOR = a blank line | a line "then", or "else" before the else-operations
 *   operation = a line as in program_operation.c | "txn {" | program | "}"
 *
 * each of these on lines of its own; program_compare.c has the compares. A line "if" may
 * stand before the compares, and lines whose first word begins with # are comments. Blank
 * lines beside a line "if", "then" or "else", and at the end, mean nothing. Otherwise a
 * blank line ends a section, as in etcdctl: one at the beginning ends the compares, of which
 * there are none. Where an operation behind a blank line would be an else-operation by
 * this rule and a then-operation by its looks (the then-operations began with "then", or
 * without any compares), it is an error.
 *
 * An error does not end the reading: it goes on with the next line. Nesting recurses, and
 * is therefore limited. */
#include "txn/program.h"

#include <errno.h>
#include <string.h>

enum section {
	SECTION_START, /* nothing yet */
	SECTION_IF,
	SECTION_THEN,
	SECTION_ELSE,
	SECTION_END, /* a blank line ended the else-operations */
};

/* One program of the text while it is read. */
struct block {
	struct program *program;
	enum section section;
	enum section reached; /* the last one that has lines, or began with a word */
	bool worded;	      /* the section began with a word, or with the program */
	bool filled;	      /* it has lines already */
	bool parted;	      /* a blank line came after those */
};

struct parser {
	struct lexer lexer;
	struct program_errors errors;
	const struct program_limits *limits;
	uint64_t lines; /* compares and operations so far */
	unsigned depth;
	int result;
	bool stopped; /* there is no sense in reading on */
};

void program_limits_init(struct program_limits *limits)
{
	limits->max_text_bytes = 16 << 20;
	limits->max_depth = 1000;
	limits->max_lines = 1000000;
}

/* A line was put into the section. */
static void fill_section(struct block *block)
{
	block->reached = MIN(block->section, SECTION_ELSE);
	block->filled = true;
	block->parted = false;
}

static void enter_section(struct block *block, enum section section, bool worded)
{
	block->section = section;
	block->worded = worded;
	block->filled = false;
	block->parted = false;
}

/* ---- Separators ------------------------------------------------------------------ */

static void parse_blank_line(struct block *block)
{
	switch (block->section) {
	case SECTION_START:
		enter_section(block, SECTION_THEN, false);
		break;
	case SECTION_IF:
		if (block->filled)
			enter_section(block, SECTION_THEN, false);
		break;
	case SECTION_THEN:
		if (block->worded)
			block->parted = block->filled;
		else
			enter_section(block, SECTION_ELSE, false);
		break;
	case SECTION_ELSE:
		if (block->worded)
			block->parted = block->filled;
		else
			block->section = SECTION_END;
		break;
	case SECTION_END:
		break;
	}
}

/* True when the rest of the line is `word`. */
static bool line_is(const struct lexer *lexer, const char *word)
{
	struct lexer ahead = *lexer;
	size_t length = strlen(word);

	if ((size_t)(lexer->line_end - lexer->here.at) < length ||
	    memcmp(lexer->here.at, word, length) != 0)
		return false;
	ahead.here.at += length;
	return lexer_at_end(&ahead);
}

/* "if", "then", "else": false when the line is none of these. */
static bool parse_separator(struct parser *parser, struct block *block)
{
	static const char *const names[] = { "if", "then", "else" };
	static const enum section sections[] = { SECTION_IF, SECTION_THEN, SECTION_ELSE };
	struct lexer *lexer = &parser->lexer;

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		if (!line_is(lexer, names[i]))
			continue;
		if (block->reached >= sections[i])
			lexer_error(lexer, &lexer->here,
				    "expected 'if', 'then' and 'else' once each, in this order, "
				    "found '%s'",
				    names[i]);
		enter_section(block, sections[i], true);
		block->reached = sections[i];
		return true;
	}
	return false;
}

/* ---- Lines ----------------------------------------------------------------------- */

/* Counts a compare or an operation; false when there are too many. */
static bool count_line(struct parser *parser)
{
	if (parser->lines++ < parser->limits->max_lines)
		return true;
	lexer_error(&parser->lexer, &parser->lexer.here,
		    "the program has more than %" G_GUINT64_FORMAT " compares and operations",
		    parser->limits->max_lines);
	parser->result = -EFBIG;
	parser->stopped = true;
	return false;
}

static void parse_compare_line(struct parser *parser, struct block *block)
{
	struct lexer *lexer = &parser->lexer;

	if (block->section == SECTION_START)
		enter_section(block, SECTION_IF, false);
	if (block->section != SECTION_IF)
		lexer_expected(lexer, "an operation (compares come first, before a blank line or "
				      "'then')");
	else
		line_parse_compare(lexer, block->program);
	fill_section(block);
}

/* Whether an operation may stand here; it is read in any case. */
static void check_operation(struct parser *parser, struct block *block)
{
	struct lexer *lexer = &parser->lexer;

	if (block->section == SECTION_START)
		enter_section(block, SECTION_THEN, true);
	if (block->section == SECTION_IF) {
		lexer_expected(lexer, "a compare, a blank line or 'then'");
		enter_section(block, SECTION_THEN, true);
	} else if (block->section == SECTION_THEN && block->parted) {
		lexer_error(
			lexer, &lexer->here,
			"expected 'else' before this operation, or no blank line: behind one it "
			"would be an else-operation");
	} else if (block->section == SECTION_END || block->parted) {
		lexer_expected(lexer, "nothing behind the blank line that ends the "
				      "else-operations");
	}
	fill_section(block);
}

static struct program *parse_block(struct parser *parser, unsigned opened);

/* What remains of a line "txn {" behind the word. */
static void parse_opening(struct parser *parser)
{
	struct lexer *lexer = &parser->lexer;

	lexer_skip_blanks(lexer);
	if (!lexer_skip(lexer, '{'))
		lexer_expected(lexer, "'{'");
	else if (!lexer_at_end(lexer))
		lexer_expected(lexer, "the end of the line");
}

static void parse_nested(struct parser *parser, struct block *block)
{
	struct lexer *lexer = &parser->lexer;
	struct place place = lexer->here;
	bool otherwise = block->section >= SECTION_ELSE;
	struct op *op;

	if (parser->depth == parser->limits->max_depth) {
		lexer_error(lexer, &place, "programs are nested more than %u deep",
			    parser->limits->max_depth);
		parser->result = -EFBIG;
		parser->stopped = true;
		return;
	}
	lexer->here.at += strlen("txn");
	parse_opening(parser);
	op = otherwise ? program_add_else(block->program, OP_PROGRAM, "") :
			 program_add(block->program, OP_PROGRAM, "");
	op->line = place.number;
	op->column = place_column(&place);
	parser->depth++;
	op->program = parse_block(parser, place.number);
	parser->depth--;
}

static bool is_nested(const struct lexer *lexer)
{
	size_t length = strlen("txn");
	const char *after = lexer->here.at + length;

	return (size_t)(lexer->line_end - lexer->here.at) >= length &&
	       memcmp(lexer->here.at, "txn", length) == 0 &&
	       (after == lexer->line_end || strchr(" \t\r\v\f{", *after));
}

static void parse_line(struct parser *parser, struct block *block)
{
	struct lexer *lexer = &parser->lexer;

	if (parse_separator(parser, block) || !count_line(parser))
		return;
	if (line_is_compare(lexer)) {
		parse_compare_line(parser, block);
		return;
	}
	check_operation(parser, block);
	if (is_nested(lexer))
		parse_nested(parser, block);
	else
		line_parse_operation(lexer, block->program, block->section >= SECTION_ELSE);
}

/* ---- Programs -------------------------------------------------------------------- */

/* A closing brace; false when the block goes on. */
static bool parse_closing(struct parser *parser, unsigned opened)
{
	struct lexer *lexer = &parser->lexer;

	if (!opened) {
		lexer_expected(lexer, "an operation (no 'txn {' is open)");
		return false;
	}
	lexer->here.at++;
	if (!lexer_at_end(lexer))
		lexer_expected(lexer, "the end of the line");
	return true;
}

/* The end of the text, or of the block. */
static void check_end(struct parser *parser, const struct block *block)
{
	if (block->section == SECTION_IF && block->filled && !parser->stopped)
		lexer_expected(&parser->lexer, "a blank line or 'then' behind the compares");
}

/* Reads lines to the end of the text or, of a program that was opened in line `opened`, to
 * its closing brace. */
static void parse_lines(struct parser *parser, struct block *block, unsigned opened)
{
	struct lexer *lexer = &parser->lexer;
	g_autofree char *expected = NULL;

	while (!parser->stopped && lexer_next_line(lexer)) {
		if (lexer_at_end(lexer)) {
			parse_blank_line(block);
			continue;
		}
		if (lexer_peek(lexer) == '}') {
			if (opened)
				check_end(parser, block);
			if (parse_closing(parser, opened))
				return;
		} else if (lexer_peek(lexer) != '#') {
			parse_line(parser, block);
		}
		parser->stopped |= parser->errors.full;
	}
	if (parser->stopped)
		return;
	check_end(parser, block);
	if (opened) {
		expected = g_strdup_printf("'}' for the 'txn {' of line %u", opened);
		lexer_expected(lexer, expected);
		parser->stopped = true; /* once is enough */
	}
}

static struct program *parse_block(struct parser *parser, unsigned opened)
{
	static const struct credentials nobody = { 0 };
	struct block block = { 0 };

	/* A nested program runs as the outermost does. */
	block.program = program_new(&nobody);
	parse_lines(parser, &block, opened);
	return block.program;
}

/* What the lines cannot see. */
static bool check_text(struct parser *parser, const char *text, size_t text_bytes)
{
	const char *nul;

	if (text_bytes > parser->limits->max_text_bytes) {
		program_errors_add(&parser->errors, 1, 1,
				   "the program has %zu bytes, more than %" G_GUINT64_FORMAT,
				   text_bytes, parser->limits->max_text_bytes);
		parser->result = -EFBIG;
		return false;
	}
	nul = text_bytes ? memchr(text, '\0', text_bytes) : NULL;
	if (!nul)
		return true;
	while (lexer_next_line(&parser->lexer) && parser->lexer.line_end < nul)
		;
	parser->lexer.here.at = nul;
	lexer_error(&parser->lexer, &parser->lexer.here,
		    "expected text, found a NUL byte; in quotes it is written as \\000");
	return false;
}

int program_parse(const char *text, size_t text_bytes, const struct credentials *credentials,
		  const struct program_limits *limits, struct program **ret, GString **ret_errors)
{
	struct parser parser = { .limits = limits, .result = -EINVAL };
	g_autoptr(program) program = NULL;
	bool good;

	if (!text)
		text = "";
	program_errors_init(&parser.errors);
	lexer_init(&parser.lexer, text, text_bytes, &parser.errors);
	if (check_text(&parser, text, text_bytes)) {
		program = parse_block(&parser, 0);
		if (parser.errors.list->len == 0)
			overlap_check(program, &parser.errors);
	}
	good = parser.errors.list->len == 0;
	if (good) {
		credentials_free(program->credentials);
		program->credentials = credentials_copy(credentials);
		*ret = g_steal_pointer(&program);
	} else {
		*ret_errors = program_errors_text(&parser.errors);
	}
	program_errors_done(&parser.errors);
	return good ? 0 : parser.result;
}
