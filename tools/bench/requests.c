/* Looking costs requests too: always the same ones, so two looks tell how many. */
#include "tools/bench/requests.h"

#include <math.h>
#include <string.h>

#define COUNTER "commitfs_requests_total{op=\""

static bool is_counted(const char *operation)
{
	static const char *const others[] = { "release",      "releasedir",   "forget",
					      "batch_forget", "forget_multi", "interrupt" };

	for (guint i = 0; i < G_N_ELEMENTS(others); i++)
		if (g_ascii_strncasecmp(operation, others[i], strlen(others[i])) == 0 &&
		    operation[strlen(others[i])] == '"')
			return false;
	return true;
}

/* All of them since the mount began; < 0 when it does not count. */
static double look(const struct site *site)
{
	g_autofree char *path = g_build_filename(site->mount, "metrics", NULL);
	g_autofree char *text = NULL;
	double sum = -1;
	char *line;

	if (!g_file_get_contents(path, &text, NULL, NULL))
		return -1;
	for (line = strstr(text, COUNTER); line; line = strstr(line, COUNTER)) {
		line += strlen(COUNTER);
		if (sum < 0)
			sum = 0;
		if (is_counted(line)) {
			const char *number = strchr(line, '}');

			sum += number ? g_ascii_strtod(number + 1, NULL) : 0;
		}
	}
	return sum;
}

void requests_begin(struct requests *requests, const struct site *site)
{
	double first = look(site);

	requests->before = first < 0 ? -1 : look(site);
	requests->own = requests->before - first;
}

double requests_end(const struct requests *requests, const struct site *site)
{
	double now = requests->before < 0 ? -1 : look(site);

	return now < 0 ? -1 : fmax(0, now - requests->before - requests->own);
}
