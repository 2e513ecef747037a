/* Clients: what does a row's work, in processes of their own. */
#pragma once

#include "tools/bench/bench.h"

struct client {
	const struct bench *bench;
	const struct row *row;
	guint index;
	guint32 random;	     /* state of client_random() */
	int64_t deadline_ns; /* from then on nothing new is begun */
	void *shared;	     /* workload.share */
	void *state;	     /* workload.open's to set */
	double latency_us;   /* set by a step that knows better than its duration */
	struct slot *slot;
};

/* All of it runs in the client. An error is told with client_fail(). */
struct workload {
	/* The clients are threads of one process, which gets what they share first. */
	bool threads;
	int (*share)(struct client *client, void **ret);
	void (*unshare)(void *shared);

	/* Makes ready, before the time begins. NULL: nothing to do. */
	int (*open)(struct client *client);
	/* One call. -EAGAIN: the time was over before it succeeded; not counted. */
	int (*step)(struct client *client);
	void (*close)(struct client *client); /* also after a failed open */
};

/* Notes why the client gives up and returns `error`. */
int client_fail(struct client *client, int error, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* The same of something done to a file: "cannot ACTION 'WHAT': why". */
int client_fail_at(struct client *client, const char *action, const char *what, int error);

/* True when it is too late to try again: the time is over, and not all was in vain. */
bool client_expired(const struct client *client);

/* 0 <= number < `below`, from a generator of the client's own. */
guint client_random(struct client *client, guint below);
/* Two different ones. */
void client_random_pair(struct client *client, guint below, guint ret[static 2]);

/* Runs the row's clients for options.seconds. */
int clients_measure(struct bench *bench, const struct row *row, struct measurement *ret);

/* The same with a bash script: it prints `ready`, reads how many microseconds it has,
 * works, prints `done`, reads a line, and prints its begin, its end (microseconds of
 * EPOCHREALTIME) and the latency of each call. */
int clients_measure_shells(struct bench *bench, const struct row *row, struct measurement *ret);

/* What each such script begins with; then it defines `call`, which works once, or returns 2
 * when it gave up because it was `expired`, and says `work`. */
#define SHELL_BEGIN                                                               \
	"LC_ALL=C mount=$1 name=$2 keys=$3 scratch=$4 port=$5\n"                  \
	"expired() { ((${#latencies[@]} > 0 && ${EPOCHREALTIME/./} >= end)); }\n" \
	"work() {\n"                                                              \
	"	echo ready\n"                                                           \
	"	local begin end last now latencies=() microseconds\n"                   \
	"	read -r microseconds || exit\n"                                         \
	"	begin=${EPOCHREALTIME/./} last=$begin end=$((begin + microseconds))\n"  \
	"	while ((last < end)); do\n"                                             \
	"		call || { [ $? = 2 ] && break; exit; }\n"                              \
	"		now=${EPOCHREALTIME/./}\n"                                             \
	"		latencies+=($((now - last)))\n"                                        \
	"		last=$now\n"                                                           \
	"	done\n"                                                                 \
	"	echo done\n"                                                            \
	"	read -r microseconds || exit\n"                                         \
	"	echo \"$begin $last ${latencies[*]}\"\n"                                \
	"}\n"
