/* The mount: kernel requests become calls on views and transactions.
 *
 * Code outside fs/ includes this header and no other of fs/.
 *
 * Lock order: end hook of the registry -> node table -> housekeeper -> session -> registry
 * -> transaction -> accounts; left before right. That of the lock table comes after libfuse's of a
 * request and before none. A handle's lock is held while its listing
 * or text is made. No lock is held while submitting to a store, replying to the kernel or
 * notifying it. */
#pragma once

#include "store/store.h"
#include "txn/txn.h"

struct fs;

struct fs_options {
	const char *mount_point;
	const char *source;	  /* what /proc/mounts shows */
	const char *fuse_options; /* more of them, comma-separated; NULL: none */
	const char *scratch;	  /* patterns, see scratch.h; NULL: the built-in ones */
	bool private_mount;	  /* only root may enter a mount made by root */
	unsigned workers;	  /* threads that serve requests */
	uint64_t max_value_bytes;
	/* Called once, when the kernel has accepted the mount and it answers. */
	void (*ready)(void *arg);
	void *ready_arg;
};

/* Defaults: 4 workers, 16 MiB values. */
void fs_options_init(struct fs_options *options);

/* Mounts. `store` and `registry` are borrowed and must outlive the mount; the store's
 * watcher and the registry's end hook are taken. On an error *ret_message (caller frees)
 * says what was tried, on what, and why. */
int fs_mount(const struct fs_options *options, struct store *store, struct registry *registry,
	     struct fs **ret, char **ret_message);

/* Serves until it is unmounted or SIGTERM, SIGINT or SIGHUP comes. */
int fs_run(struct fs *fs);

/* Unmounts if need be; open sessions of live writers are lost and logged. Accepts NULL. */
void fs_free(struct fs *fs);
