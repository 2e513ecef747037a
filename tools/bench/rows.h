/* The rows there are: each file has a table of its own. */
#pragma once

#include "tools/bench/bench.h"

extern const struct row store_rows[];
extern const guint store_rows_count;
extern const struct row mount_rows[];
extern const guint mount_rows_count;
extern const struct row shell_rows[];
extern const guint shell_rows_count;
extern const struct row tree_rows[];
extern const guint tree_rows_count;
extern const struct row stream_rows[];
extern const guint stream_rows_count;
extern const struct row crash_rows[];
extern const guint crash_rows_count;

/* Rows that others are related to: measured whatever was asked for. */
#define ROW_BASE "base"
#define ROW_ROUND_TRIP "round-trip"
/* Not measured in rounds; see scale.c. */
#define ROW_MEMORY "memory"
