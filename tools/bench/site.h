/* The mounted store that is measured: somebody's mount, or a store of our own. */
#pragma once

#include "tools/bench/bench.h"

#define SITE_ACCOUNTS 1000
/* Keys in one directory; where there are more, they are in directories "0", "1"... */
#define SITE_FANOUT 1000
#define SITE_NAME_MAX 32
#define SITE_ACCOUNT_TEXT "1000\n"

/* What key number `index` of `count` is called. */
void site_key_name(guint index, guint count, char ret[static SITE_NAME_MAX]);

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

/* Makes `count` keys with the text of an account in the new directory `name` of the
 * benchmark, in one transaction. */
int site_fill(const struct site *site, const char *name, guint count);
/* The same in a directory of the disk, which is made. */
int site_fill_directory(const char *path, guint count);

/* Makes `count` accounts of `size` bytes in the store of an unmounted site, with many
 * commits. `crash`: the process that does it dies of kill -9, the store open. */
int site_load(const struct site *site, guint count, guint size, bool crash);

/* The path of what the mount has for everyone, such as "eval". Caller frees. */
char *site_control(const struct site *site, const char *name);
bool site_has(const struct site *site, const char *name);
