/* commitfs bench: what its files share.
 *
 * A *row* is one line of the table: something that is done again and again, by one client
 * or by several. In each round every row is measured once, for a fraction of a second or
 * some, so that whatever disturbs the machine disturbs all of them. The process of the
 * benchmark itself never opens a store and has no threads: clients are processes it forks.
 *
 * Results are 0 or a negative errno, -EINTR once the user has asked for the end. Whoever
 * meets an error prints it, once, with bench_fail(). */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BENCH_HOT_KEYS 10

struct bench_options {
	gboolean store;
	gboolean json;
	gboolean markdown;
	gboolean quick;
	gboolean peers;
	gboolean scale;
	int rounds;
	double seconds;
	char *only;
	char *plot;
	char *scratch;
};

/* A mounted store, and the directory of the benchmark in it. */
struct site {
	char *store;  /* a store of our own, which we mount; NULL: somebody else's mount */
	char *mount;  /* the mount point */
	char *name;   /* of the directory below keys/ */
	char *keys;   /* MNT/keys/NAME */
	pid_t daemon; /* of our own mount; 0: not mounted */
};

struct row;

struct bench {
	struct bench_options options;
	struct site site;     /* where rows are measured now */
	char *scratch;	      /* a directory of ours on the disk of the store */
	GPtrArray *rows;      /* struct row, of this run */
	GPtrArray *servers;   /* struct server, of peers, that are running */
	double round_base;    /* puts per second, measured in this round */
	double base_p50;      /* us, of all rounds so far */
	double round_trip_us; /* the same of an empty request */
};

/* What one measurement of a row gave. */
struct measurement {
	GArray *latencies; /* float, us; not more than fit of each client */
	uint64_t calls;
	double seconds;
	uint64_t most, least; /* calls of one client */
	double requests;      /* sent to the mount in all; < 0: not known */
	uint64_t bytes;	      /* of a row that measures memory */
};

enum row_kind {
	ROW_STORE, /* in a process that has a store open, no mount involved */
	ROW_MOUNT,
	ROW_SHELL,
	ROW_OTHER, /* something else on the same disk, to compare with */
};

struct workload;

/* One line of the table; and what it is made of. */
struct row {
	const char *name;
	guint clients;
	guint keys; /* it works on; 0: does not matter */
	enum row_kind kind;
	/* Commits one call waits for, for its floor; < 0: a floor says nothing here. */
	double commits;
	bool fairness;	     /* clients stand in each other's way: who gets how much? */
	const char *against; /* name of a row whose p50 this one's is compared with */

	/* Once, before the first round. NULL: nothing to do. */
	int (*prepare)(struct bench *bench, const struct row *row);
	/* NULL: by `workload`. */
	int (*measure)(struct bench *bench, const struct row *row, struct measurement *ret);
	const struct workload *workload;
	const char *script;  /* of bash, for clients_measure_shells() */
	const char *server;  /* the script talks to; NULL: to none */
	const char *program; /* of rows that start one */
	guint quick_keys;    /* instead of `keys` in a quick run; 0: as many */
	/* Why it cannot be measured here, or NULL when it can. NULL: it always can. */
	const char *(*missing)(const struct bench *bench);

	/* Collected over the rounds. */
	struct results *results;
};

/* Prints `commitfs: MESSAGE` (the progress line gives way) and returns `error`. */
int bench_fail(int error, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* Shows what is being done, when stderr is a terminal. NULL: nothing any more. */
void bench_progress(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* True once the user has asked for the end. */
bool bench_interrupted(void);

/* True when rows of this name were asked for. */
bool bench_wants(const struct bench *bench, const char *name);
