/* Lines and words of program texts.
 *
 * Words are etcdctl's: bare ones up to the next blank, "double quoted" ones with the escapes
 * of Go and C, 'single quoted' ones as they are; and `back quoted` ones, which its compares
 * know, as they are. Blanks are spaces, tabs and carriage returns. Bare words are UTF-8;
 * quoted words and given lines may hold any bytes but NUL, which a text never contains: it
 * is written as \000. */
#include "txn/program.h"

#include <errno.h>
#include <string.h>

#define FOUND_MAX 40 /* bytes of what was found that an error shows */

void word_clear(struct word *word)
{
	g_clear_pointer(&word->bytes, g_free);
}

/* ---- Places and errors ----------------------------------------------------------- */

unsigned place_column(const struct place *place)
{
	unsigned column = 1;

	for (const char *at = place->line; at < place->at; column++) {
		gunichar c = g_utf8_get_char_validated(at, place->at - at);

		/* A byte that is no character counts as one. */
		at = c == (gunichar)-1 || c == (gunichar)-2 ? at + 1 : g_utf8_next_char(at);
	}
	return column;
}

void lexer_error(struct lexer *lexer, const struct place *place, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list arguments;

	/* Also spares the counting of columns. */
	if (lexer->errors->full)
		return;
	va_start(arguments, format);
	text = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	program_errors_add(lexer->errors, place->number, place_column(place), "%s", text);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static void expected_at(struct lexer *lexer, const struct place *place, const char *expected)
{
	g_autoptr(GString) found = g_string_new("'");
	const char *stop = place->at;

	while (stop < lexer->line_end && !is_blank(*stop))
		stop++;
	text_append_shortened(found, place->at, (size_t)(stop - place->at), FOUND_MAX, '\0');
	g_string_append_c(found, '\'');
	if (place->at == stop)
		g_string_assign(found,
				lexer->ended ? "the end of the text" : "the end of the line");
	lexer_error(lexer, place, "expected %s, found %s", expected, found->str);
}

void lexer_expected(struct lexer *lexer, const char *expected)
{
	expected_at(lexer, &lexer->here, expected);
}

void lexer_expected_not(struct lexer *lexer, const char *expected, const struct word *found)
{
	g_autoptr(GString) text = g_string_new(NULL);

	text_append_shortened(text, found->bytes, found->size, FOUND_MAX, '\0');
	lexer_error(lexer, &found->place, "expected %s, found '%s'", expected, text->str);
}

/* ---- Lines ----------------------------------------------------------------------- */

void lexer_init(struct lexer *lexer, const char *text, size_t text_bytes,
		struct program_errors *errors)
{
	lexer->end = text + text_bytes;
	lexer->next = text;
	lexer->line_end = text;
	lexer->here = (struct place){ text, text, 0 };
	lexer->ended = false;
	lexer->errors = errors;
}

bool lexer_next_line(struct lexer *lexer)
{
	const char *newline;

	if (lexer->next == lexer->end) {
		/* Without a newline at its end, a text ends in its last line. */
		if (!lexer->ended && (lexer->here.number == 0 || lexer->line_end != lexer->end)) {
			lexer->here.line = lexer->end;
			lexer->here.number++;
		}
		lexer->here.at = lexer->line_end = lexer->end;
		lexer->ended = true;
		return false;
	}
	newline = memchr(lexer->next, '\n', (size_t)(lexer->end - lexer->next));
	lexer->here.line = lexer->here.at = lexer->next;
	lexer->here.number++;
	lexer->line_end = newline ? newline : lexer->end;
	lexer->next = newline ? newline + 1 : lexer->end;
	return true;
}

bool lexer_lines(struct lexer *lexer, const char *name, GBytes **ret)
{
	const char *first = lexer->next;
	unsigned opened = lexer->here.number;
	size_t length = strlen(name);
	g_autoptr(GString) shown = NULL;

	while (lexer_next_line(lexer)) {
		if ((size_t)(lexer->line_end - lexer->here.line) != length ||
		    memcmp(lexer->here.line, name, length) != 0)
			continue;
		*ret = bytes_try_new(first, (gsize)(lexer->here.line - first));
		lexer->here.at = lexer->line_end;
		if (!*ret)
			lexer_error(lexer, &lexer->here, "there is not enough memory");
		return *ret != NULL;
	}
	shown = g_string_new(NULL);
	text_append_shortened(shown, name, length, FOUND_MAX, '\0');
	lexer_error(lexer, &lexer->here,
		    "expected a line '%s' to end the value of line %u, found the end of the text",
		    shown->str, opened);
	return false;
}

void lexer_skip_blanks(struct lexer *lexer)
{
	while (lexer->here.at < lexer->line_end && is_blank(*lexer->here.at))
		lexer->here.at++;
}

bool lexer_at_end(struct lexer *lexer)
{
	lexer_skip_blanks(lexer);
	return lexer->here.at == lexer->line_end;
}

char lexer_peek(const struct lexer *lexer)
{
	return lexer->here.at < lexer->line_end ? *lexer->here.at : '\0';
}

bool lexer_skip(struct lexer *lexer, char byte)
{
	if (lexer_peek(lexer) != byte)
		return false;
	lexer->here.at++;
	return true;
}

/* ---- Words ----------------------------------------------------------------------- */

/* Reads exactly `digits` digits of base 8 or 16. */
static bool read_digits(struct lexer *lexer, int base, int digits, guint32 *ret)
{
	guint32 number = 0;

	for (int i = 0; i < digits; i++, lexer->here.at++) {
		int digit = g_ascii_xdigit_value(lexer_peek(lexer));

		if (digit < 0 || digit >= base)
			return false;
		number = number * (guint32)base + (guint32)digit;
	}
	*ret = number;
	return true;
}

static bool read_byte(struct lexer *lexer, int base, int digits, GString *out)
{
	guint32 number;

	if (!read_digits(lexer, base, digits, &number) || number > 0xff)
		return false;
	g_string_append_c(out, (char)number);
	return true;
}

static bool read_character(struct lexer *lexer, int digits, GString *out)
{
	guint32 number;

	if (!read_digits(lexer, 16, digits, &number) || number > 0x10ffff ||
	    (number >= 0xd800 && number < 0xe000))
		return false;
	g_string_append_unichar(out, number);
	return true;
}

/* What follows a backslash. */
static bool read_escape(struct lexer *lexer, GString *out)
{
	static const char names[] = "abfnrtv\\\"", bytes[] = "\a\b\f\n\r\t\v\\\"";
	char c = lexer_peek(lexer);
	const char *name = c ? strchr(names, c) : NULL;

	if (c >= '0' && c <= '7')
		return read_byte(lexer, 8, 3, out);
	if (c == '\0')
		return false;
	lexer->here.at++;
	if (c == 'x')
		return read_byte(lexer, 16, 2, out);
	if (c == 'u' || c == 'U')
		return read_character(lexer, c == 'u' ? 4 : 8, out);
	if (name)
		g_string_append_c(out, bytes[name - names]);
	return name != NULL;
}

/* A string from its opening quote to behind its closing one. */
static bool read_quoted(struct lexer *lexer, GString *out)
{
	struct place opening = lexer->here;
	char quote = *lexer->here.at++;
	bool good = true;

	while (lexer->here.at < lexer->line_end && *lexer->here.at != quote) {
		struct place backslash = lexer->here;

		if (quote != '"' || *lexer->here.at != '\\') {
			g_string_append_c(out, *lexer->here.at++);
			continue;
		}
		lexer->here.at++;
		if (read_escape(lexer, out))
			continue;
		good = false;
		lexer_error(lexer, &backslash,
			    "expected an escape: \\a \\b \\f \\n \\r \\t \\v \\\\ \\\" "
			    "\\ooo \\xhh \\uhhhh \\Uhhhhhhhh");
		/* What was skipped of it may be the closing quote. */
		lexer->here.at = MIN(backslash.at + 2, lexer->line_end);
	}
	if (lexer_skip(lexer, quote))
		return good;
	lexer_error(lexer, &opening, "expected a closing quote %c before the end of the line",
		    quote);
	return false;
}

static bool read_bare(struct lexer *lexer, const char *stops, GString *out)
{
	struct place start = lexer->here, bad = start;
	const gchar *invalid;

	while (lexer->here.at < lexer->line_end && !is_blank(*lexer->here.at) &&
	       !strchr(stops, *lexer->here.at))
		lexer->here.at++;
	g_string_append_len(out, start.at, lexer->here.at - start.at);
	if (g_utf8_validate(start.at, lexer->here.at - start.at, &invalid))
		return true;
	bad.at = invalid;
	lexer_error(lexer, &bad, "expected UTF-8, found the byte \\x%02x; put it in quotes",
		    (unsigned char)*invalid);
	return false;
}

bool lexer_word(struct lexer *lexer, const char *stops, struct word *ret)
{
	g_autoptr(GString) out = g_string_new(NULL);
	struct place place = lexer->here;
	char first = lexer_peek(lexer);
	bool quoted = first == '"' || first == '\'' || first == '`';
	bool good;

	g_assert(lexer->here.at < lexer->line_end);
	/* A word is at most as long as what it is written with. */
	if (!string_try_reserve(out, (size_t)(lexer->line_end - lexer->here.at))) {
		lexer_error(lexer, &place, "there is not enough memory");
		lexer->here.at = lexer->line_end;
		return false;
	}
	good = quoted ? read_quoted(lexer, out) : read_bare(lexer, stops, out);
	if (good && quoted && lexer_peek(lexer) && !is_blank(lexer_peek(lexer)) &&
	    !strchr(stops, lexer_peek(lexer))) {
		lexer_expected(lexer, "a blank after the closing quote");
		good = false;
	}
	if (!good)
		return false;
	*ret = (struct word){ place, NULL, out->len, quoted };
	ret->bytes = g_string_free(g_steal_pointer(&out), FALSE);
	return true;
}

/* ---- Keys ------------------------------------------------------------------------ */

/* Why `key`, for which key_check() gave `error`, is none. */
static const char *explain_key(const char *key, int error)
{
	if (error == -ENAMETOOLONG)
		return strlen(key) > STORE_KEY_MAX ?
			       "the key is longer than " G_STRINGIFY(STORE_KEY_MAX) " bytes" :
			       "a component of the key is longer than " G_STRINGIFY(
				       STORE_NAME_MAX) " bytes";
	if (*key == '/')
		return "a key does not begin with '/'";
	if (g_str_has_suffix(key, "/"))
		return "only the key of a prefix may end with '/'";
	if (strstr(key, "//"))
		return "a component of the key is empty";
	return "a component of the key is '.' or '..'";
}

bool word_check_key(struct lexer *lexer, struct word *word, bool tree)
{
	int r;

	if (memchr(word->bytes, '\0', word->size)) {
		lexer_error(lexer, &word->place, "a key has no NUL byte");
		return false;
	}
	if (tree && word->size > 0 && word->bytes[word->size - 1] == '/')
		word->bytes[--word->size] = '\0';
	if (!tree && word->size == 0) {
		lexer_error(lexer, &word->place, "expected a key, found an empty one");
		return false;
	}
	r = key_check(word->bytes);
	if (r < 0)
		lexer_error(lexer, &word->place, "%s", explain_key(word->bytes, r));
	return r == 0;
}
