/* MNT/metrics: what is counted anywhere, as one text. */
#include "fs/metrics.h"

#include "fs/exposition.h"
#include "fs/requests.h"

static void append_requests(GString *out, struct fs *fs)
{
	g_autofree struct request_counts *counts = g_new(struct request_counts, 1);

	requests_get(fs->requests, counts);
	exposition_family(out, "commitfs_requests_total", "counter",
			  "Requests of the kernel, by kind.");
	for (unsigned kind = 0; kind < REQUEST_KINDS; kind++)
		if (request_name(kind))
			exposition_sample(out, "commitfs_requests_total", "op", request_name(kind),
					  counts->kinds[kind].received);
	exposition_family(out, "commitfs_request_seconds", "histogram",
			  "From the arrival of a request until its reply, by kind.");
	for (unsigned kind = 0; kind < REQUEST_KINDS; kind++)
		if (histogram_count(&counts->kinds[kind].seconds) > 0)
			exposition_histogram(out, "commitfs_request_seconds", "op",
					     request_name(kind), &counts->kinds[kind].seconds,
					     &exposition_seconds);
	exposition_family(out, "commitfs_notifications_total", "counter",
			  "Notifications to the kernel, by kind.");
	for (unsigned kind = 0; kind < NOTICE_KINDS; kind++)
		if (notice_name(kind))
			exposition_sample(out, "commitfs_notifications_total", "kind",
					  notice_name(kind), counts->notices[kind]);
}

GString *metrics_text(struct fs *fs)
{
	GString *out = g_string_new(NULL);

	append_requests(out, fs);
	return out;
}
