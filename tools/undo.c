#include "tools/undo.h"

#include "tools/command.h"
#include "tools/mount_file.h"
#include "tools/mount_status.h"
#include "tools/progress.h"
#include "tools/txn_advice.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MAX_TRIES = 10 };

static void print_committed(const struct txn_directory *txn)
{
	g_autofree char *outcome = NULL;

	if (txn_directory_read(txn, "commit", &outcome) == 0)
		printf("commitfs: %s\n", outcome);
}

/* Whether it has written anything, by what its status says. */
static bool has_writes(const struct txn_directory *txn)
{
	g_autofree char *status = NULL, *writes = NULL;

	if (txn_directory_read(txn, "status", &status) < 0)
		return true; /* the commit says why */
	writes = mount_status_get(status, "writes");
	return g_strcmp0(writes, "0") != 0;
}

static int fail_in_txn(const struct txn_directory *txn, const char *action, int error)
{
	g_autofree char *explained = txn_directory_explain(txn, error);

	if (error == -ENOTCONN || error == -ECONNABORTED)
		return mount_file_fail(error, "%s", action);
	if (error == -ECANCELED) {
		g_autofree char *conflict = txn_advice_read_conflict(txn);

		return command_fail(EXIT_CONFLICT,
				    "cannot %s: %s; tried %d times; others are busy there: "
				    "try again later",
				    action, conflict, MAX_TRIES);
	}
	return command_fail(mount_file_exit_code(error), "cannot %s: %s", action, explained);
}

static int fail_at(const struct txn_directory *txn, const char *action, const char *path,
		   int error)
{
	if (g_str_has_prefix(path, txn->keys)) {
		path += strlen(txn->keys);
		path = *path ? path + 1 : "/";
	}
	return command_fail(mount_file_exit_code(error), "cannot %s: '%s': %s", action, path,
			    error == -ENODATA ? "its value of then was purged" :
						g_strerror(-error));
}

/* -ECANCELED: others have committed meanwhile. */
static int try_once(const struct txn_directory *txn, const char *action, const char *message,
		    undo_fn *change, void *arg)
{
	g_autofree char *path = NULL;
	int r = change(txn, arg, &path);

	progress_end();
	if (r > 0 || r == -ECANCELED)
		return r;
	if (r < 0 && path != NULL)
		return fail_at(txn, action, path, r);
	if (r == 0 && !has_writes(txn)) {
		puts("commitfs: there is nothing to change: no commit was made");
		return 0;
	}
	if (r == 0)
		r = txn_directory_write(txn, "commit", message);
	if (r == 0)
		print_committed(txn);
	return r;
}

int undo_in_transaction(const struct mount *mount, const char *action, const char *message,
			undo_fn *change, void *arg)
{
	g_autoptr(txn_directory) txn = NULL;
	int r = txn_directory_begin(mount, TXN_OWNER_PROCESS, &txn);

	if (r < 0)
		return mount_file_fail(r, "%s", action);
	r = try_once(txn, action, message, change, arg);
	for (int i = 1; i < MAX_TRIES && r == -ECANCELED; i++) {
		r = txn_directory_write(txn, "restart", "\n");
		if (r == 0)
			r = try_once(txn, action, message, change, arg);
	}
	if (r < 0)
		r = fail_in_txn(txn, action, r);
	txn_directory_end(txn);
	return r;
}
