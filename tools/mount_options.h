/* The options of `commitfs mount`. */
#pragma once

#include "store/store.h"
#include "tools/key_options.h"
#include "txn/txn.h"

struct mount_options {
	struct store_options store;
	struct registry_options registry;
	struct program_limits program;
	struct key_options key;
	uint64_t max_nodes;    /* what the kernel may hold by number */
	char *scratch;	       /* patterns; NULL: the built-in ones */
	GString *fuse_options; /* comma-separated; empty: none */
	GLogLevelFlags log_level;
	bool private_mount;
	bool public_log;
	bool foreground;
};

void mount_options_init(struct mount_options *options);
void mount_options_done(struct mount_options *options);

/* For command_parse(), with a struct mount_options as data. */
extern const GOptionEntry mount_option_entries[];

/* True when `option` is one of the FUSE options. */
bool mount_options_have(const struct mount_options *options, const char *option);
