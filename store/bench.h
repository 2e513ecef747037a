/* The floor under every commit: what RocksDB itself takes for one durable put. For
 * `commitfs bench`, which relates all its figures to it; nothing of a store is involved. */
#pragma once

#include "store/store.h"

struct store_floor;

/* Opens a bare database in the directory `path`, made where it is missing, with RocksDB's
 * own defaults. On an error -EIO, and why in *ret_message (caller frees). */
int store_floor_open(const char *path, struct store_floor **ret, char **ret_message);

/* Puts one key; durable when it returns. From any thread. -EIO. */
int store_floor_put(struct store_floor *floor, const char *key, const void *value, size_t size);

void store_floor_close(struct store_floor *floor); /* accepts NULL */
