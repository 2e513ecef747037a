/* All versions of one key. */
#pragma once

#include "store/store.h"

struct local;

/* As store_history. */
int versions_visit(struct local *local, const char *key, bool with_values, store_history_fn *visit,
		   void *arg);
