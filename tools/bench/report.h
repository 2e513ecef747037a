/* What came out, as a table for people, as markdown, and as JSON. */
#pragma once

#include "tools/bench/bench.h"

#include <stdio.h>

enum report_format { REPORT_TABLE, REPORT_MARKDOWN, REPORT_JSON };

void report_print(const struct bench *bench, enum report_format format, FILE *out);
