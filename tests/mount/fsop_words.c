/* See fsop_words.h. */
#define _GNU_SOURCE
#include "fsop_words.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int slots[MAX_SLOTS];
bool answered;

_Noreturn void usage(const char *what)
{
	fprintf(stderr, "fsop: bad usage: %s\n", what);
	exit(64);
}

const char *arg_text(char **args, int index)
{
	for (int i = 0; i <= index; i++)
		if (args[i] == NULL)
			usage("an argument is missing");
	return args[index];
}

long long arg_number(char **args, int index)
{
	const char *text = arg_text(args, index);
	char *end = NULL;
	long long value = strtoll(text, &end, 0);

	if (end == text || *end != '\0')
		usage(text);
	return value;
}

int arg_octal(char **args, int index, int otherwise)
{
	if (args[index] == NULL)
		return otherwise;
	return (int)strtol(args[index], NULL, 8);
}

int *arg_slot(char **args, int index)
{
	long long slot = arg_number(args, index);

	if (slot < 0 || slot >= MAX_SLOTS)
		usage("no such slot");
	return &slots[slot];
}

int arg_flags(char **args, int index)
{
	static const struct {
		const char *name;
		int flag;
	} known[] = {
		{ "O_RDONLY", O_RDONLY },     { "O_WRONLY", O_WRONLY },
		{ "O_RDWR", O_RDWR },	      { "O_CREAT", O_CREAT },
		{ "O_EXCL", O_EXCL },	      { "O_TRUNC", O_TRUNC },
		{ "O_APPEND", O_APPEND },     { "O_DIRECTORY", O_DIRECTORY },
		{ "O_NOFOLLOW", O_NOFOLLOW }, { "O_PATH", O_PATH },
		{ "O_NONBLOCK", O_NONBLOCK }, { "O_SYNC", O_SYNC },
		{ "O_TMPFILE", O_TMPFILE },   { "O_CLOEXEC", O_CLOEXEC },
		{ "O_NOATIME", O_NOATIME },
	};
	char text[256];
	int flags = 0;

	snprintf(text, sizeof text, "%s", arg_text(args, index));
	for (char *rest = text, *word; (word = strsep(&rest, ",")) != NULL;) {
		size_t i = 0;

		while (i < sizeof known / sizeof *known && strcmp(known[i].name, word) != 0)
			i++;
		if (i == sizeof known / sizeof *known)
			usage(word);
		flags |= known[i].flag;
	}
	return flags;
}

/* Everything but printable ASCII, so that an answer is always one line. */
void print_escaped(const char *bytes, size_t length)
{
	answered = true;
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (c == '\n')
			fputs("\\n", stdout);
		else if (c == '\t')
			fputs("\\t", stdout);
		else if (c == '\\')
			fputs("\\\\", stdout);
		else if (c < 0x20 || c >= 0x7f)
			printf("\\%03o", c);
		else
			putchar(c);
	}
	putchar('\n');
}

void print_number(long long number)
{
	answered = true;
	printf("%lld\n", number);
}

int arg_word(char **args, int index, const char *const *words)
{
	const char *text = arg_text(args, index);

	for (int i = 0; words[i] != NULL; i++)
		if (strcmp(words[i], text) == 0)
			return i;
	usage(text);
}
