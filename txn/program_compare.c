/* Compares in program texts:
 *
 *   TARGET(KEY) OPERATOR VALUE    TARGET: value val, version ver, create c, mod m
 *   exists(KEY)  missing(KEY)     OPERATOR: = != < > <= >=
 *
 * In place of KEY may stand prefix(KEY). Existing is a create revision above 0, so that of
 * a prefix it is at least one key, and of a missing one there is none. */
#include "txn/program.h"

#include <string.h>

static const struct {
	const char *name;
	enum compare_target target;
	bool whole;			/* it has no operator and no value */
	enum compare_operator relation; /* of a whole one, to 0 */
} targets[] = {
	{ "value", COMPARE_VALUE, false, 0 },
	{ "val", COMPARE_VALUE, false, 0 },
	{ "version", COMPARE_VERSION, false, 0 },
	{ "ver", COMPARE_VERSION, false, 0 },
	{ "create", COMPARE_CREATE, false, 0 },
	{ "c", COMPARE_CREATE, false, 0 },
	{ "mod", COMPARE_MOD, false, 0 },
	{ "m", COMPARE_MOD, false, 0 },
	{ "exists", COMPARE_CREATE, true, COMPARE_GREATER },
	{ "missing", COMPARE_CREATE, true, COMPARE_EQUAL },
};

static const struct {
	const char *name;
	enum compare_operator relation;
} operators[] = {
	{ "=", COMPARE_EQUAL },	  { "!=", COMPARE_NOT_EQUAL },	{ "<", COMPARE_LESS },
	{ ">", COMPARE_GREATER }, { "<=", COMPARE_LESS_EQUAL }, { ">=", COMPARE_GREATER_EQUAL },
};

/* The length of the name at the beginning of a line. */
static size_t name_length(const struct lexer *lexer)
{
	const char *at = lexer->here.at;

	while (at < lexer->line_end && (g_ascii_isalnum(*at) || *at == '_' || *at == '-'))
		at++;
	return (size_t)(at - lexer->here.at);
}

static bool name_is(const struct lexer *lexer, size_t length, const char *name)
{
	return strlen(name) == length && memcmp(lexer->here.at, name, length) == 0;
}

/* Skips a target and tells its index; -1 with an error told. */
static int read_target(struct lexer *lexer)
{
	size_t length = name_length(lexer);

	for (guint i = 0; i < G_N_ELEMENTS(targets); i++) {
		if (!name_is(lexer, length, targets[i].name))
			continue;
		lexer->here.at += length;
		return (int)i;
	}
	lexer_expected(lexer, "value, version, create, mod, exists or missing");
	return -1;
}

static bool read_parenthesis(struct lexer *lexer, char parenthesis)
{
	const char expected[] = { '\'', parenthesis, '\'', '\0' };

	lexer_skip_blanks(lexer);
	if (lexer_skip(lexer, parenthesis))
		return true;
	lexer_expected(lexer, expected);
	return false;
}

static bool read_key_word(struct lexer *lexer, struct word *ret)
{
	lexer_skip_blanks(lexer);
	if (lexer_peek(lexer) && !strchr("()", lexer_peek(lexer)))
		return lexer_word(lexer, "()", ret);
	lexer_expected(lexer, "a key");
	return false;
}

/* Skips "prefix (" when it is there. */
static bool skip_prefix(struct lexer *lexer)
{
	struct place before = lexer->here;

	if (name_is(lexer, name_length(lexer), "prefix")) {
		lexer->here.at += strlen("prefix");
		lexer_skip_blanks(lexer);
		if (lexer_skip(lexer, '('))
			return true;
	}
	lexer->here = before;
	return false;
}

/* "(KEY)" or "(prefix(KEY))". */
static bool read_compare_key(struct lexer *lexer, struct word *ret, bool *ret_tree)
{
	struct word word;
	bool good, tree;

	if (!read_parenthesis(lexer, '('))
		return false;
	lexer_skip_blanks(lexer);
	tree = skip_prefix(lexer);
	if (!read_key_word(lexer, &word))
		return false;
	good = (!tree || read_parenthesis(lexer, ')')) && read_parenthesis(lexer, ')') &&
	       word_check_key(lexer, &word, tree);
	if (!good) {
		word_clear(&word);
		return false;
	}
	*ret = word;
	*ret_tree = tree;
	return true;
}

static bool read_operator(struct lexer *lexer, enum compare_operator *ret)
{
	const char *at;
	size_t length;

	lexer_skip_blanks(lexer);
	at = lexer->here.at;
	while (at < lexer->line_end && strchr("=!<>", *at))
		at++;
	length = (size_t)(at - lexer->here.at);
	for (guint i = 0; i < G_N_ELEMENTS(operators); i++) {
		if (!name_is(lexer, length, operators[i].name))
			continue;
		lexer->here.at = at;
		*ret = operators[i].relation;
		return true;
	}
	lexer_expected(lexer, "one of = != < > <= >=");
	return false;
}

/* A word that is all the line still has. */
static bool read_last_word(struct lexer *lexer, const char *expected, struct word *ret)
{
	if (lexer_at_end(lexer)) {
		lexer_expected(lexer, expected);
		return false;
	}
	if (!lexer_word(lexer, "", ret))
		return false;
	if (lexer_at_end(lexer))
		return true;
	lexer_expected(lexer, "the end of the line");
	word_clear(ret);
	return false;
}

static bool read_number(struct lexer *lexer, const struct word *word, uint64_t *ret)
{
	if (word->size == strlen(word->bytes) &&
	    g_ascii_string_to_unsigned(word->bytes, 10, 0, G_MAXUINT64, ret, NULL) &&
	    *word->bytes != '+')
		return true;
	lexer_expected_not(lexer, "a number from 0 to 18446744073709551615", word);
	return false;
}

/* "OPERATOR VALUE" */
static bool read_relation(struct lexer *lexer, struct compare *compare,
			  enum compare_operator *ret_relation)
{
	bool is_value = compare->target == COMPARE_VALUE;
	struct word word;
	bool good = true;

	if (!read_operator(lexer, ret_relation) ||
	    !read_last_word(lexer, is_value ? "a value" : "a number", &word))
		return false;
	if (is_value)
		compare->value = g_bytes_new_take(g_steal_pointer(&word.bytes), word.size);
	else
		good = read_number(lexer, &word, &compare->number);
	word_clear(&word);
	return good;
}

bool line_is_compare(const struct lexer *lexer)
{
	static const char *const names[] = { "put", "get", "del", "add", "min", "max", "append" };
	size_t length = name_length(lexer);
	struct lexer ahead = *lexer;

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		if (name_is(lexer, length, names[i]))
			return false;
	}
	ahead.here.at += length;
	lexer_skip_blanks(&ahead);
	return lexer_peek(&ahead) == '(';
}

/* What follows the key. */
static bool read_condition(struct lexer *lexer, int target, struct compare *compare,
			   enum compare_operator *ret_relation)
{
	if (!targets[target].whole)
		return read_relation(lexer, compare, ret_relation);
	*ret_relation = targets[target].relation;
	if (lexer_at_end(lexer))
		return true;
	lexer_expected(lexer, "the end of the line");
	return false;
}

void line_parse_compare(struct lexer *lexer, struct program *program)
{
	struct compare parsed = { .line = lexer->here.number,
				  .column = place_column(&lexer->here) };
	int target = read_target(lexer);
	enum compare_operator relation;
	struct compare *compare;
	struct word key;

	if (target < 0 || !read_compare_key(lexer, &key, &parsed.tree))
		return;
	parsed.target = targets[target].target;
	if (read_condition(lexer, target, &parsed, &relation)) {
		compare =
			program_compare(program, parsed.target, relation, key.bytes, parsed.number);
		compare->value = g_steal_pointer(&parsed.value);
		compare->tree = parsed.tree;
		compare->line = parsed.line;
		compare->column = parsed.column;
	}
	g_clear_pointer(&parsed.value, g_bytes_unref);
	word_clear(&key);
}
