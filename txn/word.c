/* The words people write where texts are read. */
#include "txn/txn.h"

#include <errno.h>
#include <string.h>

int text_parse_number(const char *data, size_t size, uint64_t *ret)
{
	g_autofree char *word = g_strstrip(g_strndup(data, size));

	if (!g_ascii_isdigit(word[0]) ||
	    !g_ascii_string_to_unsigned(word, 10, 0, G_MAXUINT64, ret, NULL))
		return -EINVAL;
	return 0;
}

/* The bytes that `\ooo` says; 0: it says none. */
static char octal(const char *digits, const char *end)
{
	int number = 0;

	if (end - digits < 3)
		return 0;
	for (int i = 0; i < 3; i++) {
		if (digits[i] < '0' || digits[i] > '7')
			return 0;
		number = number * 8 + (digits[i] - '0');
	}
	return number <= 0377 ? (char)number : 0;
}

static int append_unescaped(GString *key, const char **at, const char *end)
{
	static const char letters[] = "abtnvfr\\", bytes[] = "\a\b\t\n\v\f\r\\";
	const char *escape = *at + 1;
	const char *letter = escape < end ? memchr(letters, *escape, sizeof(letters) - 1) : NULL;
	char byte = letter ? bytes[letter - letters] : octal(escape, end);

	if (!byte)
		return -EINVAL;
	g_string_append_c(key, byte);
	*at = escape + (letter ? 1 : 3);
	return 0;
}

int text_unescape(const char *data, size_t size, GString *out)
{
	const char *at = data, *end = data + size;

	while (at < end) {
		if (*at == '\0')
			return -EINVAL;
		if (*at != '\\')
			g_string_append_c(out, *at++);
		else if (append_unescaped(out, &at, end) < 0)
			return -EINVAL;
	}
	return 0;
}

int text_parse_key(const char *data, size_t size, char **ret)
{
	g_autoptr(GString) key = g_string_new(NULL);

	if (size > 0 && data[size - 1] == '\n')
		size--;
	if (text_unescape(data, size, key) < 0)
		return -EINVAL;
	if (key->len > 0 && key->str[key->len - 1] == '/')
		g_string_truncate(key, key->len - 1);
	if (key_check(key->str) < 0)
		return -EINVAL;
	*ret = g_string_free(g_steal_pointer(&key), FALSE);
	return 0;
}
