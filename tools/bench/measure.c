/* Percentiles are of all calls of all rounds; rates, ratios and fairness are the median of
 * the rounds, so that one disturbed round does not show. */
#include "tools/bench/measure.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

int64_t measure_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void measurement_init(struct measurement *measurement)
{
	*measurement = (struct measurement){ .requests = -1 };
	measurement->latencies = g_array_new(FALSE, FALSE, sizeof(float));
}

void measurement_done(struct measurement *measurement)
{
	g_clear_pointer(&measurement->latencies, g_array_unref);
}

struct results *results_new(void)
{
	struct results *results = g_new0(struct results, 1);

	results->latencies = g_array_new(FALSE, FALSE, sizeof(float));
	results->per_second = g_array_new(FALSE, FALSE, sizeof(double));
	results->ratios = g_array_new(FALSE, FALSE, sizeof(double));
	results->fairness = g_array_new(FALSE, FALSE, sizeof(double));
	return results;
}

void results_free(struct results *results)
{
	if (!results)
		return;
	g_array_unref(results->latencies);
	g_array_unref(results->per_second);
	g_array_unref(results->ratios);
	g_array_unref(results->fairness);
	g_free(results);
}

static int compare_floats(gconstpointer left, gconstpointer right)
{
	float a = *(const float *)left, b = *(const float *)right;

	return (a > b) - (a < b);
}

static int compare_doubles(gconstpointer left, gconstpointer right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

void results_add(struct results *results, const struct measurement *measurement, double base)
{
	double calls = (double)measurement->calls;
	double per_second = measurement->seconds > 0 ? calls / measurement->seconds : 0;

	if (measurement->latencies->len > 0)
		g_array_append_vals(results->latencies, measurement->latencies->data,
				    measurement->latencies->len);
	g_array_sort(results->latencies, compare_floats);
	if (measurement->seconds > 0)
		g_array_append_val(results->per_second, per_second);
	if (measurement->seconds > 0 && base > 0) {
		double ratio = per_second / base;

		g_array_append_val(results->ratios, ratio);
	}
	if (measurement->least > 0) {
		double fairness = (double)measurement->most / (double)measurement->least;

		g_array_append_val(results->fairness, fairness);
	}
	if (measurement->requests < 0 || results->requests < 0)
		results->requests = -1;
	else
		results->requests += measurement->requests;
	results->calls += measurement->calls;
	results->bytes = measurement->bytes;
}

double results_percentile(const struct results *results, double fraction)
{
	guint count = results->latencies->len;
	guint index;

	if (count == 0)
		return NAN;
	index = (guint)ceil(fraction * count);
	return (double)g_array_index(results->latencies, float, index > 0 ? index - 1 : 0);
}

double measure_median(const GArray *values)
{
	g_autoptr(GArray) sorted = NULL;

	if (values->len == 0)
		return NAN;
	sorted = g_array_sized_new(FALSE, FALSE, sizeof(double), values->len);
	g_array_append_vals(sorted, values->data, values->len);
	g_array_sort(sorted, compare_doubles);
	if (sorted->len % 2 == 1)
		return g_array_index(sorted, double, sorted->len / 2);
	return (g_array_index(sorted, double, sorted->len / 2 - 1) +
		g_array_index(sorted, double, sorted->len / 2)) /
	       2;
}
