/* Mounting, serving, unmounting. */
#include "fs/mount.h"

#include "fs/commit.h"
#include "fs/control.h"
#include "fs/forget.h"
#include "fs/gate.h"
#include "fs/housekeeper.h"
#include "fs/lock.h"
#include "fs/loop.h"
#include "fs/meta.h"
#include "fs/ops.h"
#include "fs/prune.h"
#include "fs/requests.h"
#include "fs/scratch.h"
#include "fs/session.h"
#include "fs/tree.h"
#include "fs/watch.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void fs_options_init(struct fs_options *options)
{
	*options = (struct fs_options){ .max_value_bytes = 16 << 20, .max_nodes = 1000000 };
	program_limits_init(&options->program);
}

/* Commas and backslashes in a name would end or change the option. */
static char *escape_option(const char *text)
{
	GString *escaped = g_string_new(NULL);

	for (; *text; text++) {
		if (*text == ',' || *text == '\\')
			g_string_append_c(escaped, '\\');
		g_string_append_c(escaped, *text);
	}
	return g_string_free(escaped, FALSE);
}

/* The kernel checks permissions on every path; set-user-ID and devices mean nothing here.
 * A mount made by root is for all, like any other filesystem. */
static void add_options(struct fuse_args *args, const struct fs_options *options)
{
	g_autofree char *source = escape_option(options->source ? options->source : "commitfs");
	g_autofree char *name = g_strdup_printf("fsname=%s", source);

	fuse_opt_add_arg(args, "commitfs");
	fuse_opt_add_arg(args, "-odefault_permissions,nosuid,nodev,subtype=commitfs");
	fuse_opt_add_arg(args, "-o");
	fuse_opt_add_arg(args, name);
	if (geteuid() == 0 && !options->private_mount)
		fuse_opt_add_arg(args, "-oallow_other");
	if (options->fuse_options) {
		fuse_opt_add_arg(args, "-o");
		fuse_opt_add_arg(args, options->fuse_options);
	}
}

static struct fs *fs_new(const struct fs_options *options, struct store *store,
			 struct registry *registry)
{
	struct fs *fs = g_new0(struct fs, 1);

	fs->options = *options;
	fs->store = store;
	fs->registry = registry;
	fs->owner_uid = geteuid();
	fs->owner_gid = getegid();
	fs->mounted_ns = g_get_real_time() * 1000;
	fs->seen_revision = store_revision(store);
	fs->live = tree_new(view_new_live(store), NULL);
	fs->meta = tree_new_meta(fs->live->view, &meta_file);
	fs->handles = g_hash_table_new(NULL, NULL);
	fs->requests = requests_new();
	fs->locks = lock_table_new();
	fs->gate = gate_new();
	fs->scratch = scratch_names_new(options->scratch);
	view_keep_scratch(fs->live->view, registry, commit_seen, fs);
	node_table_init(&fs->nodes, registry, control_root(), options->max_nodes);
	pthread_mutex_init(&fs->poll_lock, NULL);
	fs->poll_handles = g_hash_table_new(NULL, NULL);
	fs->log_handles = g_ptr_array_new();
	pthread_mutex_init(&fs->provisional_lock, NULL);
	fs->provisional = provisional_table_new();
	return fs;
}

/* The top of the live tree is there before the first commit can be seen. */
static int hold_live_root(struct fs *fs)
{
	g_autoptr(record) record = NULL;
	int r = view_get(fs->live->view, "", &record);

	if (r == 0)
		fs->live_root =
			node_obtain_key(&fs->nodes, fs->nodes.root, "keys", fs->live, record);
	return r;
}

static void step_down(void *arg)
{
	(void)arg;
	loop_step_down();
}

static int start_threads(struct fs *fs)
{
	int r = watch_hub_new(fs, &fs->watch);

	if (r == 0)
		r = notifier_new(fs, &fs->notifier);
	if (r == 0)
		r = notifier_new(fs, &fs->pages);
	if (r == 0)
		r = housekeeper_new(fs, &fs->housekeeper);
	if (r == 0)
		r = pruner_new(fs, &fs->pruner);
	return r;
}

static int start(struct fs *fs, char **ret_message)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	int r = hold_live_root(fs);

	if (r < 0) {
		*ret_message = g_strdup_printf("cannot read the root of store '%s': %s",
					       fs->options.source, g_strerror(-r));
		return -EIO;
	}
	add_options(&args, &fs->options);
	fs->session = fuse_session_new(&args, &fs_operations, sizeof(fs_operations), fs);
	fuse_opt_free_args(&args);
	if (!fs->session) {
		*ret_message = g_strdup_printf("cannot mount on '%s': an option of -o is not known",
					       fs->options.mount_point);
		return -EINVAL;
	}
	r = start_threads(fs);
	if (r < 0) {
		*ret_message = g_strdup_printf("cannot mount on '%s': cannot start a thread: %s",
					       fs->options.mount_point, g_strerror(-r));
		return r;
	}
	errno = 0;
	if (fuse_session_mount(fs->session, fs->options.mount_point) != 0) {
		r = errno ? -errno : -EPERM;
		*ret_message = g_strdup_printf("cannot mount on '%s': %s", fs->options.mount_point,
					       g_strerror(-r));
		return r;
	}
	r = requests_watch(fs->session);
	if (r < 0) {
		*ret_message = g_strdup_printf("cannot serve the mount on '%s': %s",
					       fs->options.mount_point, g_strerror(-r));
		return r;
	}
	store_watch(fs->store, commit_seen, fs);
	store_on_lead(fs->store, step_down, NULL);
	forget_listen(fs);
	registry_on_end(fs->registry, control_txn_ended, fs);
	return 0;
}

int fs_mount(const struct fs_options *options, struct store *store, struct registry *registry,
	     struct fs **ret, char **ret_message)
{
	struct fs *fs = fs_new(options, store, registry);
	int r = start(fs, ret_message);

	if (r < 0)
		fs_free(fs);
	else
		*ret = fs;
	return r;
}

int fs_run(struct fs *fs)
{
	return loop_run(fs->session);
}

static void ignore_outcome(int error, void *arg)
{
	(void)error; /* logged where it happened */
	(void)arg;
}

/* RELEASE does not come any more: what writers had not closed is lost. */
static void drop_handles(struct fs *fs)
{
	g_autoptr(GList) handles = g_hash_table_get_keys(fs->handles);

	for (GList *link = handles; link; link = link->next) {
		struct handle *handle = link->data;

		/* Appenders lose nothing; and what was closed everywhere had only its RELEASE
		 * to come. */
		if (handle->session && session_is_kept(handle->session))
			session_commit(handle->session, ignore_outcome, NULL);
		if (handle->session && session_is_pending(handle->session))
			g_warning("unmounted while '%s' was open for writing: what was not closed "
				  "is lost",
				  handle->node->name);
		handle_free(handle);
	}
}

static void warn_of_scratch(struct fs *fs)
{
	uint64_t files, bytes;

	view_count_scratch(fs->live->view, &files, &bytes);
	if (files > 0)
		g_message("unmounted; the scratch files of editors and tools are gone: "
			  "%" G_GUINT64_FORMAT,
			  files);
}

void fs_free(struct fs *fs)
{
	if (!fs)
		return;
	registry_on_end(fs->registry, NULL, NULL);
	registry_stop_turns(fs->registry);
	forget_listen(NULL);
	pruner_stop(fs->pruner);
	if (fs->session)
		fuse_session_unmount(fs->session);
	housekeeper_free(fs->housekeeper);
	fs->housekeeper = NULL;
	watch_hub_stop(fs->watch);
	lock_table_end(fs->locks);
	store_drain(fs->store);
	drop_handles(fs);
	store_drain(fs->store);
	store_watch(fs->store, NULL, NULL);
	store_on_lead(fs->store, NULL, NULL);
	pruner_free(fs->pruner);
	if (!notifier_free(fs->notifier) || !notifier_free(fs->pages))
		return; /* its thread still has the session and us */
	if (fs->session)
		fuse_session_destroy(fs->session);
	node_table_done(&fs->nodes);
	watch_hub_free(fs->watch);
	tree_unref(fs->meta);
	lock_table_free(fs->locks);
	gate_free(fs->gate);
	warn_of_scratch(fs);
	scratch_names_free(fs->scratch);
	view_free(fs->live->view);
	tree_unref(fs->live);
	g_hash_table_unref(fs->handles);
	requests_free(fs->requests);
	g_hash_table_unref(fs->poll_handles);
	g_ptr_array_unref(fs->log_handles);
	g_hash_table_unref(fs->provisional);
	pthread_mutex_destroy(&fs->poll_lock);
	pthread_mutex_destroy(&fs->provisional_lock);
	g_free(fs);
}
