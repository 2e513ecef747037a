#include "fs/when.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 64, NS_DIGITS = 9 };

int when_parse_revision(const char *name, uint64_t *ret)
{
	if (name[0] == '\0' || name[strspn(name, "0123456789")] != '\0' || name[0] == '0')
		return -EINVAL;
	/* What no revision can be is not there, like one that is not reached. */
	if (!g_ascii_string_to_unsigned(name, 10, 1, G_MAXUINT64, ret, NULL))
		*ret = G_MAXUINT64;
	return 0;
}

/* `pattern`: 0 is any digit, everything else itself, letters in either case. */
static bool follows(const char *text, const char *pattern)
{
	for (; *pattern; text++, pattern++) {
		if (*pattern == '0' ? !g_ascii_isdigit(*text) : g_ascii_toupper(*text) != *pattern)
			return false;
	}
	return true;
}

/* The nanoseconds up to the end of the fraction at *text, which is moved behind it. */
static int parse_fraction(const char **text, int64_t *ret)
{
	int64_t unit = 1000000000, ns = 0;
	const char *at = *text;

	*ret = 0;
	if (*at != '.')
		return 0;
	if (!g_ascii_isdigit(*++at))
		return -EINVAL;
	for (int i = 0; g_ascii_isdigit(*at); i++, at++) {
		if (i >= NS_DIGITS)
			continue;
		unit /= 10;
		ns += (*at - '0') * unit;
	}
	*ret = ns + unit - 1;
	*text = at;
	return 0;
}

static int parse_number(const char *digits)
{
	return (digits[0] - '0') * 10 + (digits[1] - '0');
}

/* Seconds east of UTC. */
static int parse_zone(const char *text, int *ret)
{
	int sign = *text == '-' ? -1 : 1;

	*ret = 0;
	if (g_ascii_toupper(*text) == 'Z')
		return text[1] == '\0' ? 0 : -EINVAL;
	if ((*text != '+' && *text != '-') || !follows(text + 1, "00:00") || text[6] != '\0')
		return -EINVAL;
	if (parse_number(text + 1) > 23 || parse_number(text + 4) > 59)
		return -EINVAL;
	*ret = sign * (parse_number(text + 1) * 3600 + parse_number(text + 4) * 60);
	return 0;
}

int when_parse_time(const char *name, int64_t *ret)
{
	static const char seconds[] = "0000-00-00T00:00:00";
	g_autoptr(GDateTime) time = NULL;
	const char *rest;
	int64_t ns;
	int zone;

	if (!follows(name, seconds))
		return -EINVAL;
	rest = name + strlen(seconds);
	if (parse_fraction(&rest, &ns) < 0 || parse_zone(rest, &zone) < 0)
		return -EINVAL;
	time = g_date_time_new_utc(parse_number(name) * 100 + parse_number(name + 2),
				   parse_number(name + 5), parse_number(name + 8),
				   parse_number(name + 11), parse_number(name + 14),
				   parse_number(name + 17));
	/* Nanoseconds of 64 bits end in 2262. */
	if (!time || g_date_time_get_year(time) < 1970 || g_date_time_get_year(time) > 2261)
		return -EINVAL;
	*ret = (g_date_time_to_unix(time) - zone) * 1000000000 + ns;
	return 0;
}

/* However it is written: 5, 1.5, 1e3, -1, 0x10. */
static bool is_number(const char *name)
{
	char *end;

	if (!g_ascii_isdigit(name[0]) && name[0] != '-')
		return false;
	g_ascii_strtod(name, &end);
	return *end == '\0';
}

bool when_is_name(const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length > NAME_MAX_BYTES || name[0] == '.')
		return false;
	if (strcmp(name, "new") == 0 || strcmp(name, "self") == 0)
		return false;
	for (const char *c = name; *c; c++) {
		if (!g_ascii_isalnum(*c) && !strchr("._-", *c))
			return false;
	}
	return !is_number(name);
}
