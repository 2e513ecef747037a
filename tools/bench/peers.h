/* What else people use for this, on the same disk and in the same run. All transfers are
 * durable when they return, and are refused or wait when another client is in their way. */
#pragma once

#include "tools/bench/bench.h"

#define PEER_ACCOUNTS 1000
#define PEER_START 1000

extern const struct row disk_rows[];
extern const guint disk_rows_count;
extern const struct row sqlite_rows[];
extern const guint sqlite_rows_count;
extern const struct row lmdb_rows[];
extern const guint lmdb_rows_count;
extern const struct row redis_rows[];
extern const guint redis_rows_count;
extern const struct row etcd_rows[];
extern const guint etcd_rows_count;

static inline bool peer_is_installed(const char *program)
{
	g_autofree char *path = g_find_program_in_path(program);

	return path != NULL;
}

/* The fields of a peer's row that are the same in all. */
#define PEER_ROW(row_name, row_clients)                                                         \
	.name = (row_name), .clients = (row_clients), .keys = PEER_ACCOUNTS, .kind = ROW_OTHER, \
	.commits = -1
/* The same of one that a script works for; needs clients.h. */
#define PEER_SHELL_ROW(row_name, row_script) \
	PEER_ROW(row_name, 1), .measure = clients_measure_shells, .script = (row_script)
