/* Operations in program texts:
 *
 *   put KEY VALUE [--prev-kv]
 *   get KEY [--prefix] [--limit=N] [--keys-only] [--count-only]
 *   del KEY [--prefix] [--prev-kv]
 *   add KEY N [--prev-kv]         min and max too
 *   append KEY VALUE [--prev-kv]
 *
 * VALUE may be <<WORD: the lines up to one that is WORD, newlines included. Flags may stand
 * anywhere behind the operation; a bare -- ends them, and what is quoted is none. The line
 * is read into words first, so that the lines of a value are passed over whatever is wrong
 * with the operation. */
#include "txn/program.h"

#include <string.h>

#define WORDS_MAX 16 /* of an operation: more than any has with all its flags */

enum {
	FLAG_PREFIX = 1 << 0,
	FLAG_LIMIT = 1 << 1,
	FLAG_KEYS_ONLY = 1 << 2,
	FLAG_COUNT_ONLY = 1 << 3,
	FLAG_PREV_KV = 1 << 4,
};

static const struct {
	const char *name;
	unsigned flag;
	unsigned op_flag;
} flag_forms[] = {
	{ "--prefix", FLAG_PREFIX, OP_TREE },
	{ "--limit", FLAG_LIMIT, 0 },
	{ "--keys-only", FLAG_KEYS_ONLY, OP_KEYS_ONLY },
	{ "--count-only", FLAG_COUNT_ONLY, OP_COUNT_ONLY },
	{ "--prev-kv", FLAG_PREV_KV, OP_PREVIOUS },
};

enum argument { ARGUMENT_NONE, ARGUMENT_VALUE, ARGUMENT_NUMBER };

static const struct form {
	const char *name;
	enum op_kind kind;
	enum argument argument;
	unsigned flags;	      /* that it knows */
	const char *explains; /* them */
} forms[] = {
	{ "put", OP_PUT, ARGUMENT_VALUE, FLAG_PREV_KV, "--prev-kv" },
	{ "get", OP_GET, ARGUMENT_NONE, FLAG_PREFIX | FLAG_LIMIT | FLAG_KEYS_ONLY | FLAG_COUNT_ONLY,
	  "--prefix, --limit=N, --keys-only or --count-only" },
	{ "del", OP_DELETE, ARGUMENT_NONE, FLAG_PREFIX | FLAG_PREV_KV, "--prefix or --prev-kv" },
	{ "add", OP_ADD, ARGUMENT_NUMBER, FLAG_PREV_KV, "--prev-kv" },
	{ "min", OP_MIN, ARGUMENT_NUMBER, FLAG_PREV_KV, "--prev-kv" },
	{ "max", OP_MAX, ARGUMENT_NUMBER, FLAG_PREV_KV, "--prev-kv" },
	{ "append", OP_APPEND, ARGUMENT_VALUE, FLAG_PREV_KV, "--prev-kv" },
};

/* A line, read into words, and what they were found to be. */
struct command {
	const struct form *form;
	struct word words[WORDS_MAX];
	unsigned count;
	struct place end;	   /* behind the last word */
	struct word *arguments[3]; /* the key, the value; one more is one too many */
	unsigned argument_count;
	const struct word *lines_word; /* <<WORD; NULL: none */
	GBytes *lines;		       /* that it gives */
	unsigned flags;
	unsigned op_flags;
	uint64_t limit;
	bool good; /* nothing was wrong with it so far */
};

static void command_clear(struct command *command)
{
	for (unsigned i = 0; i < command->count; i++)
		word_clear(&command->words[i]);
	g_clear_pointer(&command->lines, g_bytes_unref);
}

/* ---- Words ----------------------------------------------------------------------- */

/* "<<WORD": the lines that follow. */
static void read_lines(struct lexer *lexer, struct command *command)
{
	for (unsigned i = 0; i < command->count && !command->lines_word; i++) {
		if (!command->words[i].quoted && g_str_has_prefix(command->words[i].bytes, "<<"))
			command->lines_word = &command->words[i];
	}
	if (!command->lines_word)
		return;
	if (command->lines_word->size == 2) {
		lexer_error(
			lexer, &command->lines_word->place,
			"expected <<WORD, or in quotes a value that begins with <<, found '<<'");
		command->good = false;
	} else if (!lexer_lines(lexer, command->lines_word->bytes + 2, &command->lines)) {
		command->good = false;
	}
}

static void read_words(struct lexer *lexer, struct command *command)
{
	while (!lexer_at_end(lexer)) {
		if (command->count == WORDS_MAX) {
			lexer_expected(lexer, "the end of the line");
			command->good = false;
			lexer->here.at = lexer->line_end;
			return;
		}
		if (lexer_word(lexer, "", &command->words[command->count]))
			command->count++;
		else
			command->good = false;
	}
	command->end = lexer->here;
	read_lines(lexer, command);
}

/* ---- Flags and arguments --------------------------------------------------------- */

/* The number of --limit, in this word behind `equals` or in the next one, *index. */
static bool read_limit(struct lexer *lexer, struct command *command, const char *equals,
		       unsigned *index)
{
	const struct word *word = &command->words[*index];
	const char *number = equals ? equals + 1 : NULL;

	if (!equals && *index + 1 < command->count) {
		word = &command->words[++*index];
		number = word->bytes;
	}
	if (number && *number != '+' &&
	    g_ascii_string_to_unsigned(number, 10, 0, G_MAXUINT64, &command->limit, NULL))
		return true;
	lexer_expected_not(lexer, "--limit with a number from 0", word);
	return false;
}

/* "--prefix", "--prefix=true", "--prefix=false" */
static bool read_switch(struct lexer *lexer, const struct word *word, const char *equals, bool *ret)
{
	*ret = !equals || strcmp(equals, "=true") == 0;
	if (*ret || strcmp(equals, "=false") == 0)
		return true;
	lexer_expected_not(lexer, "a flag without a value", word);
	return false;
}

static bool read_flag(struct lexer *lexer, struct command *command, unsigned *index)
{
	const struct word *word = &command->words[*index];
	size_t length = strcspn(word->bytes, "=");
	const char *equals = word->bytes[length] ? word->bytes + length : NULL;
	g_autofree char *expected = NULL;
	bool set = false;

	for (guint i = 0; i < G_N_ELEMENTS(flag_forms); i++) {
		if (strlen(flag_forms[i].name) != length ||
		    memcmp(flag_forms[i].name, word->bytes, length) != 0 ||
		    !(command->form->flags & flag_forms[i].flag))
			continue;
		if (flag_forms[i].flag == FLAG_LIMIT)
			return read_limit(lexer, command, equals, index);
		if (!read_switch(lexer, word, equals, &set))
			return false;
		if (set) {
			command->flags |= flag_forms[i].flag;
			command->op_flags |= flag_forms[i].op_flag;
		}
		return true;
	}
	expected =
		g_strdup_printf("a flag of %s: %s", command->form->name, command->form->explains);
	lexer_expected_not(lexer, expected, word);
	return false;
}

/* Tells flags from arguments. */
static void sort_words(struct lexer *lexer, struct command *command)
{
	bool flags_end = false;

	for (unsigned i = 1; i < command->count; i++) {
		struct word *word = &command->words[i];
		bool dashes = !flags_end && !word->quoted && g_str_has_prefix(word->bytes, "--");

		if (dashes && word->size == 2)
			flags_end = true;
		else if (dashes)
			command->good &= read_flag(lexer, command, &i);
		else if (command->argument_count < G_N_ELEMENTS(command->arguments))
			command->arguments[command->argument_count++] = word;
	}
	if (command->flags & FLAG_KEYS_ONLY && command->flags & FLAG_COUNT_ONLY) {
		lexer_error(lexer, &command->words[0].place,
			    "expected one of --keys-only and --count-only, found both");
		command->good = false;
	}
}

/* Checks that there are as many arguments as the operation takes. */
static bool check_count(struct lexer *lexer, const struct command *command)
{
	static const char *const names[] = { "a key", "a value", "a number" };
	unsigned wanted = command->form->argument == ARGUMENT_NONE ? 1 : 2;
	const char *name = names[command->argument_count == 0		    ? 0 :
				 command->form->argument == ARGUMENT_NUMBER ? 2 :
									      1];

	if (command->argument_count < wanted) {
		lexer_error(lexer, &command->end, "expected %s, found the end of the line", name);
		return false;
	}
	if (command->argument_count == wanted)
		return true;
	lexer_expected_not(lexer,
			   wanted == 2 ? "the end of the line (a value with blanks is quoted)" :
					 "the end of the line (there are no range ends: "
					 "--prefix takes a key and all below it)",
			   command->arguments[wanted]);
	return false;
}

/* ---- The operation --------------------------------------------------------------- */

static bool read_number(struct lexer *lexer, const struct word *word, int64_t *ret)
{
	if (word->size == strlen(word->bytes) && *word->bytes != '+' &&
	    g_ascii_string_to_signed(word->bytes, 10, G_MININT64, G_MAXINT64, ret, NULL))
		return true;
	lexer_expected_not(lexer, "a number from -9223372036854775808 to 9223372036854775807",
			   word);
	return false;
}

static bool read_argument(struct lexer *lexer, struct command *command, struct op *op)
{
	struct word *word = command->arguments[1];

	switch (command->form->argument) {
	case ARGUMENT_NONE:
		break;
	case ARGUMENT_NUMBER:
		return read_number(lexer, word, &op->number);
	case ARGUMENT_VALUE:
		op->value = command->lines ?
				    g_steal_pointer(&command->lines) :
				    g_bytes_new_take(g_steal_pointer(&word->bytes), word->size);
	}
	return true;
}

/* Only a value can be lines. */
static bool check_lines(struct lexer *lexer, const struct command *command)
{
	if (!command->lines || (command->form->argument == ARGUMENT_VALUE &&
				command->arguments[1] == command->lines_word))
		return true;
	lexer_expected_not(lexer, "<<WORD only as a value", command->lines_word);
	return false;
}

static void add_operation(struct lexer *lexer, struct command *command, struct program *program,
			  bool otherwise)
{
	struct word *key = command->arguments[0];
	bool tree = command->flags & FLAG_PREFIX;
	struct op parsed = { 0 };
	struct op *op;

	if (!word_check_key(lexer, key, tree) || !read_argument(lexer, command, &parsed))
		return;
	op = otherwise ? program_add_else(program, command->form->kind, key->bytes) :
			 program_add(program, command->form->kind, key->bytes);
	op->value = parsed.value;
	op->number = parsed.number;
	op->limit = command->limit;
	op->flags = command->op_flags;
	op->line = command->words[0].place.number;
	op->column = place_column(&command->words[0].place);
	if (op->kind == OP_DELETE && tree) {
		op->kind = OP_DELETE_TREE;
		op->flags &= ~(unsigned)OP_TREE;
	}
	if (op->kind != OP_GET && op->kind != OP_DELETE && op->kind != OP_DELETE_TREE) {
		op->flags |= OP_PARENTS;
		op->mode = 0666;
	}
}

static const struct form *find_form(const struct word *name)
{
	for (guint i = 0; i < G_N_ELEMENTS(forms); i++) {
		if (!name->quoted && strcmp(name->bytes, forms[i].name) == 0)
			return &forms[i];
	}
	return NULL;
}

void line_parse_operation(struct lexer *lexer, struct program *program, bool otherwise)
{
	struct command command = { .good = true };

	read_words(lexer, &command);
	if (command.good) {
		command.form = find_form(&command.words[0]);
		if (!command.form)
			lexer_expected_not(
				lexer,
				"an operation: put, get, del, add, min, max, append or txn {",
				&command.words[0]);
	}
	if (command.form) {
		sort_words(lexer, &command);
		/* What a wrong flag makes of the words behind it is anybody's guess. */
		if (command.good && check_count(lexer, &command) && check_lines(lexer, &command))
			add_operation(lexer, &command, program, otherwise);
	}
	command_clear(&command);
}
