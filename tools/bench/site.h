/* The mounted store that is measured: somebody's mount, or a store of our own. */
#pragma once

#include "tools/bench/bench.h"

#define SITE_ACCOUNTS 1000

/* Somebody's mount on `mount`, an absolute path. */
void site_init_mounted(struct site *site, const char *mount);
/* A store of our own, in `directory`/NAME; made by site_create(). */
void site_init_own(struct site *site, const char *directory, const char *name);
void site_done(struct site *site);

/* Makes the store (which must not be there). */
int site_create(const struct site *site);
/* Serves it in a process of its own; returns when it answers. */
int site_mount(struct site *site);
/* Ends that. Not mounted: nothing. */
int site_unmount(struct site *site);

/* Makes the directory of the benchmark with `accounts/` in it, where missing. */
int site_prepare(const struct site *site);
/* Removes it with all in it. */
int site_clear(const struct site *site);

/* Makes `count` keys "0", "1"... of `size` bytes (or with the text "1000" when it is 0) in
 * the new directory `name` of the benchmark, in one transaction. */
int site_fill(const struct site *site, const char *name, guint count, guint size);

/* The path of what the mount has for everyone, such as "eval". Caller frees. */
char *site_control(const struct site *site, const char *name);
bool site_has(const struct site *site, const char *name);
