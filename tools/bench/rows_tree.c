/* Rows that start a program which walks a tree: in the store, and the same on the disk the
 * store lies on. Starting the program is part of both. */
#include "tools/bench/clients.h"
#include "tools/bench/rows.h"
#include "tools/bench/site.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LS_KEYS 1000
#define FIND_KEYS 100000
#define FIND_KEYS_QUICK 2000

/* The tree a row's program walks is called after the program. */
static char *tree_of(const struct bench *bench, const struct row *row)
{
	return g_build_filename(row->kind == ROW_OTHER ? bench->scratch : bench->site.keys,
				row->program, NULL);
}

static int prepare_in_store(struct bench *bench, const struct row *row)
{
	return site_fill(&bench->site, row->program, row->keys);
}

static int prepare_on_disk(struct bench *bench, const struct row *row)
{
	g_autofree char *path = tree_of(bench, row);

	return site_fill_directory(path, row->keys);
}

static int check_end(struct client *client, const char *tree, int status)
{
	const char *program = client->row->program;

	if (WIFSIGNALED(status))
		return client_fail(client, -EIO, "cannot walk a tree: signal %d ended %s '%s'",
				   WTERMSIG(status), program, tree);
	if (WEXITSTATUS(status) != 0)
		return client_fail(client, -EIO,
				   "cannot walk a tree: %s '%s' ended with %d, for the reason "
				   "it gave above",
				   program, tree, WEXITSTATUS(status));
	return 0;
}

static int walk(struct client *client)
{
	g_autofree char *tree = tree_of(client->bench, client->row);
	char *program = (char *)client->row->program;
	char *const argv[] = { program, tree, NULL };
	posix_spawn_file_actions_t actions;
	int r, status;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	r = posix_spawnp(&pid, program, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		return client_fail_at(client, "run", program, -r);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return client_fail_at(client, "wait for", program, -errno);
	return check_end(client, tree, status);
}

static const struct workload walk_workload = { .step = walk };

const struct row tree_rows[] = {
	{ .name = "ls",
	  .clients = 1,
	  .keys = LS_KEYS,
	  .kind = ROW_MOUNT,
	  .commits = -1,
	  .against = "ls-disk",
	  .program = "ls",
	  .prepare = prepare_in_store,
	  .workload = &walk_workload },
	{ .name = "ls-disk",
	  .clients = 1,
	  .keys = LS_KEYS,
	  .kind = ROW_OTHER,
	  .commits = -1,
	  .program = "ls",
	  .prepare = prepare_on_disk,
	  .workload = &walk_workload },
	{ .name = "find",
	  .clients = 1,
	  .keys = FIND_KEYS,
	  .quick_keys = FIND_KEYS_QUICK,
	  .kind = ROW_MOUNT,
	  .commits = -1,
	  .against = "find-disk",
	  .program = "find",
	  .prepare = prepare_in_store,
	  .workload = &walk_workload },
	{ .name = "find-disk",
	  .clients = 1,
	  .keys = FIND_KEYS,
	  .quick_keys = FIND_KEYS_QUICK,
	  .kind = ROW_OTHER,
	  .commits = -1,
	  .program = "find",
	  .prepare = prepare_on_disk,
	  .workload = &walk_workload },
};
const guint tree_rows_count = G_N_ELEMENTS(tree_rows);
