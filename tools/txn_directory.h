/* A transaction as a command has it: a directory of the mount, worked through its files.
 * Results are 0 or a negative errno, that of the system call: -ENOTCONN when the daemon is
 * gone. Nothing is printed. */
#pragma once

#include "tools/mounts.h"

enum txn_owner {
	TXN_OWNER_PROCESS, /* this process: it ends with it */
	TXN_OWNER_NOBODY,  /* stays until it is removed or has been idle too long */
};

struct txn_directory {
	char *path; /* MNT/txn/NAME, absolute */
	char *keys; /* its view: MNT/txn/NAME/keys */
};

/* Begins a transaction. -EDQUOT: a limit; -EACCES: this user may not enter the mount. */
int txn_directory_begin(const struct mount *mount, enum txn_owner owner,
			struct txn_directory **ret);
/* The transaction itself stays as it is. Accepts NULL. */
void txn_directory_free(struct txn_directory *txn);
DEFINE_AUTOPTR(txn_directory, txn_directory_free);

/* Writes `text` to one of its files, in one write(2). Errors are those of section 4 of the
 * contract; -ENOENT and -ESTALE: the transaction is over. */
int txn_directory_write(const struct txn_directory *txn, const char *file, const char *text);

/* What one of its files tells, without the last newline. Caller frees. */
int txn_directory_read(const struct txn_directory *txn, const char *file, char **ret);

/* Why it refused `error`: its own words if it has any, else those of errno. Caller frees. */
char *txn_directory_explain(const struct txn_directory *txn, int error);

/* Ends the transaction, whatever is open or works in it. */
int txn_directory_end(const struct txn_directory *txn);
