/* Pictures: how latency and throughput grow with clients and with keys. */
#pragma once

#include "tools/bench/bench.h"

/* 0, or an exit code (told): gnuplot is missing, or `directory` cannot be made. */
int plot_check(const char *directory);

/* Writes clients-latency.svg, clients-throughput.svg, keys-latency.svg and
 * keys-throughput.svg into `directory`. An exit code; told. */
int plot_write(const struct bench *bench, const char *directory);
