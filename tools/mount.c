/* commitfs mount: checks the words, forks, opens the store and serves the mount.
 *
 * What can be wrong with the words is found before the fork. The child alone opens the
 * store, because neither the database nor its threads would survive one. */
#include "fs/fs.h"
#include "tools/command.h"
#include "tools/daemon.h"
#include "tools/guardian.h"
#include "tools/log.h"
#include "tools/mount_options.h"
#include "tools/mount_point.h"
#include "tools/service.h"

#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMORY_STORE "memory:"

struct mount_job {
	struct mount_options options;
	const char *store;     /* as it was given */
	char *store_path;      /* absolute; NULL: in memory */
	char *point;	       /* absolute */
	struct store_key *key; /* NULL: none was given */
	int ready;	       /* for daemon_ready(); -1: in the foreground */
};

static void job_done(struct mount_job *job)
{
	mount_options_done(&job->options);
	store_key_free(job->key);
	g_free(job->store_path);
	g_free(job->point);
}

static const char *job_source(const struct mount_job *job)
{
	return job->store_path != NULL ? job->store_path : MEMORY_STORE;
}

/* Who may enter, as section 10 of the contract has it: said at every mount, because it
 * differs from what other FUSE file systems do. */
static void print_mounted(const struct mount_job *job)
{
	const struct passwd *user = getpwuid(geteuid());
	const char *name = user != NULL ? user->pw_name : "the user who mounted it";
	bool root = geteuid() == 0 && !job->options.private_mount;

	printf("commitfs: mounted '%s' on %s; ", job_source(job), job->point);
	if (root || mount_options_have(&job->options, "allow_other"))
		printf("every user may enter, permissions decide\n");
	else
		printf("only %s may enter\n", name);
	fflush(stdout);
}

/* Called by a thread of the mount when it answers. */
static void mount_is_ready(void *arg)
{
	const struct mount_job *job = arg;

	guardian_note_mounted(job->point);
	if (job->ready < 0) {
		print_mounted(job);
		service_notify_ready(job->point);
		return;
	}
	log_to_syslog();
	daemon_ready(job->ready);
}

static void prepare_process(const struct mount_job *job)
{
	struct rlimit files;

	log_start(job->options.log_level);
	/* The database has a file open for each of its tables. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	/* A file that grew too large and a reader that went away are errors to be returned,
	 * not reasons to die. */
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	/* The files of the store hold every key, whatever its permissions. */
	umask(077);
	if (chdir("/") < 0)
		g_warning("cannot change to /: %s", g_strerror(errno));
}

static int serve_store(struct mount_job *job, struct store *store)
{
	g_autofree char *message = NULL;
	struct fs_options options;
	struct registry *registry;
	struct fs *fs;
	int r;

	r = registry_new(store, &job->options.registry, &registry);
	if (r < 0)
		return command_fail(EXIT_NO_MOUNT,
				    "cannot mount '%s': no thread or descriptor to be had: %s",
				    job->store, g_strerror(-r));
	fs_options_init(&options);
	options.mount_point = job->point;
	options.source = job_source(job);
	options.fuse_options = job->options.fuse_options->len > 0 ? job->options.fuse_options->str :
								    NULL;
	options.private_mount = job->options.private_mount;
	options.public_log = job->options.public_log;
	options.scratch = job->options.scratch;
	options.max_value_bytes = job->options.store.max_value_bytes;
	options.program = job->options.program;
	options.max_nodes = job->options.max_nodes;
	options.ready = mount_is_ready;
	options.ready_arg = job;

	r = fs_mount(&options, store, registry, &fs, &message);
	if (r < 0) {
		registry_free(registry);
		return command_fail(r == -EIO ? EXIT_STORE : EXIT_NO_MOUNT, "%s", message);
	}
	r = fs_run(fs);
	if (job->ready < 0)
		service_notify_stopping();
	if (r < 0)
		g_critical("cannot go on serving %s: %s", job->point, g_strerror(-r));
	fs_free(fs);
	registry_free(registry);
	return r < 0 ? EXIT_NO_MOUNT : 0;
}

static int serve(struct mount_job *job)
{
	g_autofree char *message = NULL;
	struct store *store;
	int exit_code;

	prepare_process(job);
	job->options.store.key = job->key;
	guardian_start(job->point, job->key);
	if (store_open(&job->options.store, &store, &message) < 0)
		return command_fail(EXIT_STORE, "%s", message);
	g_clear_pointer(&job->key, store_key_free);
	exit_code = serve_store(job, store);
	store_close(store);
	return exit_code;
}

/* Store and limits as one: what is said once must hold in every layer. */
static int complete_options(struct mount_job *job)
{
	struct mount_options *options = &job->options;
	char *path;

	if (options->private_mount && mount_options_have(options, "allow_other"))
		return command_fail(EXIT_USAGE,
				    "cannot mount '%s': --private and -o allow_other "
				    "exclude each other",
				    job->store);
	options->registry.limits.max_value_bytes = options->store.max_value_bytes;
	options->store.max_program_keys = options->registry.limits.max_keys;
	if (strcmp(job->store, MEMORY_STORE) == 0)
		return 0;
	path = realpath(job->store, NULL);
	if (path == NULL)
		return command_fail(EXIT_STORE, "cannot open store '%s': %s%s%s", job->store,
				    g_strerror(errno),
				    errno == ENOENT ? "; make it with: commitfs init " : "",
				    errno == ENOENT ? job->store : "");
	job->store_path = g_strdup(path);
	free(path);
	options->store.path = job->store_path;
	return 0;
}

static int read_key(struct mount_job *job)
{
	g_autofree char *question = g_strdup_printf("Passphrase of '%s'", job->store);

	return key_options_read(&job->options.key, question, false, &job->key);
}

static int start(struct mount_job *job, const char *path)
{
	int exit_code = complete_options(job);

	if (exit_code == 0)
		exit_code = mount_point_prepare(path, job->store_path, &job->point);
	/* Before the fork, which takes terminal and descriptors away. */
	if (exit_code == 0)
		exit_code = read_key(job);
	if (exit_code != 0 || job->options.foreground)
		return exit_code != 0 ? exit_code : serve(job);
	exit_code = daemon_fork(&job->ready);
	if (exit_code < 0)
		return serve(job);
	if (exit_code == 0)
		print_mounted(job);
	return exit_code;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct mount_job job = { .ready = -1 };
	g_auto(GStrv) arguments = NULL;
	int exit_code;

	mount_options_init(&job.options);
	if (command_parse(command, mount_option_entries, &job.options, 2, argc, argv, &arguments,
			  &exit_code)) {
		job.store = arguments[0];
		exit_code = start(&job, arguments[1]);
	}
	job_done(&job);
	return exit_code;
}

const struct command mount_command = {
	.name = "mount",
	.arguments = "[options] STORE MNT",
	.summary = "Mount a store on a directory",
	.description =
		"Mounts STORE, a directory made by 'commitfs init', or 'memory:' for a store\n"
		"that is gone when it is unmounted, on the directory MNT, and returns when\n"
		"the mount answers. Mounted by root every user may enter, mounted by a user\n"
		"only that user. With -f it serves until it is unmounted, and tells a service\n"
		"manager when it is ready (Type=notify).\n"
		"\n"
		"Example:\n"
		"  commitfs mount --max-value=64M /srv/store /mnt",
	.run = run,
};
