#include "tools/number.h"

#include <errno.h>
#include <glib.h>

static int number_parse(const char *text, const char **ret_end, uint64_t *ret)
{
	char *end;

	/* strtoull takes blanks and signs; a limit has neither. */
	if (!g_ascii_isdigit(text[0]))
		return -EINVAL;
	errno = 0;
	*ret = g_ascii_strtoull(text, &end, 10);
	*ret_end = end;
	return -errno;
}

static int number_limit(uint64_t number, unsigned shift, uint64_t max, uint64_t *ret)
{
	if (number == 0 || number > max >> shift)
		return -ERANGE;
	*ret = number << shift;
	return 0;
}

int number_parse_count(const char *text, uint64_t max, uint64_t *ret)
{
	const char *end;
	uint64_t number;
	int r = number_parse(text, &end, &number);

	if (r < 0)
		return r;
	return *end == '\0' ? number_limit(number, 0, max, ret) : -EINVAL;
}

static int suffix_shift(const char *suffix)
{
	if (suffix[0] == '\0')
		return 0;
	if (suffix[1] != '\0')
		return -EINVAL;
	switch (suffix[0]) {
	case 'K':
	case 'k':
		return 10;
	case 'M':
	case 'm':
		return 20;
	case 'G':
	case 'g':
		return 30;
	default:
		return -EINVAL;
	}
}

int number_parse_size(const char *text, uint64_t max, uint64_t *ret)
{
	const char *end;
	uint64_t number;
	int shift;
	int r = number_parse(text, &end, &number);

	if (r < 0)
		return r;
	shift = suffix_shift(end);
	if (shift < 0)
		return shift;
	return number_limit(number, (unsigned)shift, max, ret);
}

char *number_format_size(uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	unsigned shift = 0;

	if (bytes < 1024)
		return g_strdup_printf("%u B", (unsigned)bytes);
	while (bytes >> shift >= 1024)
		shift += 10;
	if (bytes % (UINT64_C(1) << shift) == 0)
		return g_strdup_printf("%u %ciB", (unsigned)(bytes >> shift),
				       units[shift / 10 - 1]);
	return g_strdup_printf("%.1f %ciB", (double)bytes / (double)(UINT64_C(1) << shift),
			       units[shift / 10 - 1]);
}

char *number_format_duration(uint64_t seconds)
{
	static const struct {
		const char *name;
		uint64_t seconds;
	} units[] = { { "d", 24 * 60 * 60 }, { "h", 60 * 60 }, { "min", 60 }, { "s", 1 } };
	guint i = 0;

	while (seconds % units[i].seconds != 0 || (seconds == 0 && units[i].seconds > 1))
		i++;
	return g_strdup_printf("%" G_GUINT64_FORMAT " %s", seconds / units[i].seconds,
			       units[i].name);
}

static uint64_t unit_seconds(const char *suffix)
{
	static const struct {
		char suffix;
		uint64_t seconds;
	} units[] = { { 's', 1 },
		      { 'm', 60 },
		      { 'h', 3600 },
		      { 'd', 24 * 3600 },
		      { 'w', 7 * 24 * 3600 },
		      { 'y', 365 * 24 * 3600 } };

	for (guint i = 0; i < G_N_ELEMENTS(units); i++)
		if (suffix[0] == units[i].suffix && suffix[1] == '\0')
			return units[i].seconds;
	return 0;
}

int number_parse_duration(const char *text, uint64_t max, uint64_t *ret)
{
	const char *end;
	uint64_t number, unit;
	int r = number_parse(text, &end, &number);

	if (r < 0)
		return r;
	unit = unit_seconds(end);
	if (unit == 0)
		return -EINVAL;
	if (number == 0 || number > max / unit)
		return -ERANGE;
	*ret = number * unit;
	return 0;
}
