/* The mount: kernel requests become calls on views and transactions.
 *
 * Code outside fs/ includes this header and no other of fs/.
 *
 * Lock order: end hook of the registry, listener of compactions -> node table -> eval ->
 * housekeeper -> session -> registry -> transaction -> accounts; left before right. Those of the
 * lock table and of the watch hub come after libfuse's of a request and before none of ours. A
 * handle's lock is held while its listing is made, or the transaction begun that it names. No
 * lock is held while submitting to a store or replying to the kernel; while notifying it, only
 * the first two, which are there to be waited for. */
#pragma once

#include "store/store.h"
#include "txn/txn.h"

#include <sys/ioctl.h>

/* ioctl(2) on an open `eval`: its replies are JSON from now on. */
#define FS_IOCTL_EVAL_JSON _IO(0xCF, 1)

struct fs;

struct fs_options {
	const char *mount_point;
	const char *source;	  /* what /proc/mounts shows */
	const char *fuse_options; /* more of them, comma-separated; NULL: none */
	const char *scratch;	  /* patterns, see scratch.h; NULL: the built-in ones */
	bool private_mount;	  /* only root may enter a mount made by root */
	uint64_t max_value_bytes;
	uint64_t max_nodes;	       /* what the kernel may hold by number */
	bool public_log;	       /* everybody may read `log`, `watch` and `metrics` */
	struct program_limits program; /* of texts for eval */
	/* Called once, when the kernel has accepted the mount and it answers. */
	void (*ready)(void *arg);
	void *ready_arg;
};

/* Defaults: 16 MiB values, 1,000,000 nodes, those of program_limits_init. */
void fs_options_init(struct fs_options *options);

/* Mounts. `store` and `registry` are borrowed and must outlive the mount; the store's
 * watcher and the registry's end hook are taken. On an error *ret_message (caller frees)
 * says what was tried, on what, and why. -EIO: the store could not be read. */
int fs_mount(const struct fs_options *options, struct store *store, struct registry *registry,
	     struct fs **ret, char **ret_message);

/* Serves until it is unmounted or SIGTERM, SIGINT or SIGHUP comes. */
int fs_run(struct fs *fs);

/* Unmounts if need be; open sessions of live writers are lost and logged. Accepts NULL. */
void fs_free(struct fs *fs);
