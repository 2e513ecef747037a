/* The registry: transactions by name, and the processes that own them. One thread waits for
 * the end of owners (a pidfd each in one epoll set). A transaction begun through `new`
 * passes to the next ancestor of the same user while nothing was done in it, so that
 * t=$(cat new) gives it to the shell and not to cat. */
#include "txn/transaction.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <unistd.h>

enum { MAX_NAME_BYTES = 64, MAX_HEIRS = 64, MAX_EVENTS = 64 };

struct registry {
	struct store *store;		 /* set once */
	struct registry_options options; /* set once */
	char *id_prefix;		 /* set once: tells this mount's transactions from others' */
	int epoll_fd;			 /* set once */
	int stop_fd;			 /* set once */
	pthread_t owner_thread;		 /* set once */

	/* Held while the hook runs, so that taking it back waits for it. */
	pthread_mutex_t ended_lock;
	registry_ended_fn *ended; /* ended_lock; NULL: none */
	void *ended_arg;	  /* ended_lock */

	pthread_mutex_t lock;
	GHashTable *by_name;   /* lock: name -> txn, a reference */
	GHashTable *by_number; /* lock: number -> txn, no reference */
	uint64_t last_number;  /* lock */
	uint64_t abandoned;    /* lock */
};

void registry_options_init(struct registry_options *options)
{
	*options = (struct registry_options){
		.limits = {
			.max_value_bytes = 16 << 20,
			.max_keys = 1000000,
			.max_values_bytes = 256 << 20,
		},
		.max_transactions = 65536,
		.max_user_transactions = 1024,
		.max_message_bytes = 4096,
	};
}

/* ---- Owners --------------------------------------------------------------------- */

/* Watches the owner's end. False: it has ended already. Under the lock. */
static bool watch_owner(struct registry *registry, struct txn *txn)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = txn->number };

	txn->owner_fd = pidfd_open(txn->owner.pid, 0);
	if (txn->owner_fd < 0)
		return false;
	/* The number may have been given away between reading /proc and opening it. */
	if (!process_is_alive(&txn->owner) ||
	    epoll_ctl(registry->epoll_fd, EPOLL_CTL_ADD, txn->owner_fd, &event) < 0) {
		close(txn->owner_fd);
		txn->owner_fd = -1;
		return false;
	}
	return true;
}

static void unwatch_owner(struct txn *txn)
{
	if (txn->owner_fd >= 0)
		close(txn->owner_fd); /* which takes it out of the epoll set */
	txn->owner_fd = -1;
}

static bool was_used(struct txn *txn)
{
	bool used;

	pthread_mutex_lock(&txn->lock);
	used = txn->used;
	pthread_mutex_unlock(&txn->lock);
	return used;
}

/* Gives an unused transaction to the nearest living heir. Under the lock. */
static bool pass_on(struct registry *registry, struct txn *txn)
{
	if (!txn->inherited || was_used(txn))
		return false;
	while (txn->heirs->len > 0) {
		txn->owner = g_array_index(txn->heirs, struct process, 0);
		g_array_remove_index(txn->heirs, 0);
		if (watch_owner(registry, txn))
			return true;
	}
	return false;
}

static void owner_ended(struct registry *registry, uint64_t number)
{
	g_autoptr(txn) txn = NULL;
	bool passed;

	pthread_mutex_lock(&registry->lock);
	txn = g_hash_table_lookup(registry->by_number, &number);
	if (txn)
		txn_ref(txn);
	if (txn && txn->registered && txn->owner_fd >= 0 && !process_is_alive(&txn->owner)) {
		unwatch_owner(txn);
		passed = pass_on(registry, txn);
	} else {
		passed = true;
	}
	pthread_mutex_unlock(&registry->lock);
	if (!passed)
		txn_end(txn);
}

static void *watch_owners(void *arg)
{
	struct registry *registry = arg;
	struct epoll_event events[MAX_EVENTS];

	for (;;) {
		int count = epoll_wait(registry->epoll_fd, events, MAX_EVENTS, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.u64 == 0)
				return NULL;
			owner_ended(registry, events[i].data.u64);
		}
	}
}

/* ---- Life ----------------------------------------------------------------------- */

static void start_owner_thread(struct registry *registry)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 0 };

	registry->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	registry->stop_fd = eventfd(0, EFD_CLOEXEC);
	g_assert(registry->epoll_fd >= 0 && registry->stop_fd >= 0);
	epoll_ctl(registry->epoll_fd, EPOLL_CTL_ADD, registry->stop_fd, &event);
	if (pthread_create(&registry->owner_thread, NULL, watch_owners, registry) != 0)
		g_error("cannot start the thread that watches owners");
}

struct registry *registry_new(struct store *store, const struct registry_options *options)
{
	struct registry *registry = g_new0(struct registry, 1);

	registry->store = store;
	registry->options = *options;
	registry->id_prefix = g_strdup_printf("%08x%08x", g_random_int(), g_random_int());
	pthread_mutex_init(&registry->lock, NULL);
	pthread_mutex_init(&registry->ended_lock, NULL);
	registry->by_name = g_hash_table_new(g_str_hash, g_str_equal);
	registry->by_number = g_hash_table_new(g_int64_hash, g_int64_equal);
	start_owner_thread(registry);
	return registry;
}

void registry_free(struct registry *registry)
{
	g_autoptr(GPtrArray) open = NULL;

	if (!registry)
		return;
	eventfd_write(registry->stop_fd, 1);
	pthread_join(registry->owner_thread, NULL);
	open = registry_list(registry);
	for (guint i = 0; i < open->len; i++)
		txn_end(g_ptr_array_index(open, i));
	close(registry->stop_fd);
	close(registry->epoll_fd);
	g_hash_table_unref(registry->by_name);
	g_hash_table_unref(registry->by_number);
	pthread_mutex_destroy(&registry->lock);
	pthread_mutex_destroy(&registry->ended_lock);
	g_free(registry->id_prefix);
	g_free(registry);
}

void registry_on_end(struct registry *registry, registry_ended_fn *ended, void *arg)
{
	pthread_mutex_lock(&registry->ended_lock);
	registry->ended = ended;
	registry->ended_arg = arg;
	pthread_mutex_unlock(&registry->ended_lock);
}

const struct registry_options *registry_get_options(const struct registry *registry)
{
	return &registry->options;
}

uint64_t registry_count(struct registry *registry)
{
	uint64_t count;

	pthread_mutex_lock(&registry->lock);
	count = g_hash_table_size(registry->by_name);
	pthread_mutex_unlock(&registry->lock);
	return count;
}

uint64_t registry_abandoned(struct registry *registry)
{
	uint64_t abandoned;

	pthread_mutex_lock(&registry->lock);
	abandoned = registry->abandoned;
	pthread_mutex_unlock(&registry->lock);
	return abandoned;
}

/* ---- Beginning ------------------------------------------------------------------ */

static int check_name(const char *name)
{
	size_t length = strlen(name);

	if (length < 1 || length > MAX_NAME_BYTES || name[0] == '.')
		return -EINVAL;
	if (strcmp(name, "new") == 0 || strcmp(name, "self") == 0)
		return -EINVAL;
	for (const char *c = name; *c; c++) {
		if (!g_ascii_isalnum(*c) && !strchr("._-", *c))
			return -EINVAL;
	}
	return 0;
}

/* The process a name claims: digits, also digits, dot and anything. 0: none. */
static pid_t claimed_pid(const char *name)
{
	size_t digits = strspn(name, "0123456789");
	uint64_t pid;

	if (digits == 0 || (name[digits] != '\0' && name[digits] != '.'))
		return 0;
	pid = g_ascii_strtoull(name, NULL, 10);
	return pid > 0 && pid <= G_MAXINT32 ? (pid_t)pid : -1;
}

/* Ancestors of the owner that run as the same user, nearest first. */
static void find_heirs(struct txn *txn)
{
	struct process heir = txn->owner;

	while (txn->heirs->len < MAX_HEIRS && heir.parent > 1 &&
	       process_read(heir.parent, &heir) == 0 &&
	       process_uid(heir.pid) == txn->credentials->uid)
		g_array_append_val(txn->heirs, heir);
}

static int find_owner(struct txn *txn, const char *name, pid_t tid)
{
	pid_t pid;
	int r;

	if (!name) {
		r = process_read(tid, &txn->owner);
		txn->owned = txn->inherited = r == 0;
		if (r == 0)
			find_heirs(txn);
		return 0; /* a reader that cannot be seen from here owns nothing */
	}
	pid = claimed_pid(name);
	if (pid == 0)
		return 0;
	txn->owned = true;
	return pid < 0 ? -ESRCH : process_claim(tid, pid, &txn->owner);
}

static guint count_of_user(struct registry *registry, uid_t uid)
{
	GHashTableIter iter;
	struct txn *txn;
	guint count = 0;

	g_hash_table_iter_init(&iter, registry->by_name);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&txn)) {
		if (txn->credentials->uid == uid)
			count++;
	}
	return count;
}

/* Under the lock. */
static int admit(struct registry *registry, struct txn *txn)
{
	if (g_hash_table_contains(registry->by_name, txn->name))
		return -EEXIST;
	if (g_hash_table_size(registry->by_name) >= registry->options.max_transactions ||
	    (txn->credentials->uid != 0 && count_of_user(registry, txn->credentials->uid) >=
						   registry->options.max_user_transactions))
		return -EDQUOT;
	if (txn->owned && !watch_owner(registry, txn) && !pass_on(registry, txn))
		return -ESRCH;
	txn->registered = true;
	g_hash_table_insert(registry->by_name, txn->name, txn_ref(txn));
	g_hash_table_insert(registry->by_number, &txn->number, txn);
	return 0;
}

/* A transaction over `snapshot`, with a name of its own where `name` is NULL. */
static struct txn *make_txn(struct registry *registry, const char *name,
			    const struct credentials *credentials, struct snapshot *snapshot)
{
	g_autofree char *chosen = NULL, *id = NULL;
	uint64_t number;

	pthread_mutex_lock(&registry->lock);
	number = ++registry->last_number;
	pthread_mutex_unlock(&registry->lock);
	chosen = g_strdup_printf("new-%" G_GUINT64_FORMAT, number);
	id = g_strdup_printf("%s-%" G_GUINT64_FORMAT, registry->id_prefix, number);
	return txn_new(registry->store, registry, name ? name : chosen, id, number, credentials,
		       snapshot);
}

static int try_begin(struct registry *registry, const char *name, pid_t tid,
		     const struct credentials *credentials, struct txn **ret)
{
	g_autoptr(snapshot) snapshot = NULL;
	g_autoptr(txn) txn = NULL;
	int r = store_snapshot(registry->store, 0, &snapshot);

	if (r < 0)
		return r;
	txn = make_txn(registry, name, credentials, snapshot);
	r = find_owner(txn, name, tid);
	if (r < 0)
		return r;
	pthread_mutex_lock(&registry->lock);
	r = admit(registry, txn);
	pthread_mutex_unlock(&registry->lock);
	if (r == 0)
		*ret = g_steal_pointer(&txn);
	return r;
}

int registry_begin(struct registry *registry, const char *name, pid_t tid,
		   const struct credentials *credentials, struct txn **ret)
{
	int r = name ? check_name(name) : 0;

	if (r < 0)
		return r;
	/* A chosen name may be one that somebody has made. */
	do {
		r = try_begin(registry, name, tid, credentials, ret);
	} while (r == -EEXIST && !name);
	return r;
}

/* ---- Finding -------------------------------------------------------------------- */

int registry_find(struct registry *registry, const char *name, struct txn **ret)
{
	struct txn *txn;

	pthread_mutex_lock(&registry->lock);
	txn = g_hash_table_lookup(registry->by_name, name);
	if (txn)
		txn_ref(txn);
	pthread_mutex_unlock(&registry->lock);
	if (!txn)
		return -ENOENT;
	*ret = txn;
	return 0;
}

static struct txn *newest_owned_by(struct registry *registry, uid_t uid,
				   const struct process *process)
{
	struct txn *txn, *newest = NULL;
	GHashTableIter iter;

	pthread_mutex_lock(&registry->lock);
	g_hash_table_iter_init(&iter, registry->by_name);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&txn)) {
		if (txn->owned && txn->credentials->uid == uid &&
		    process_equal(&txn->owner, process) &&
		    (!newest || txn->number > newest->number))
			newest = txn;
	}
	if (newest)
		txn_ref(newest);
	pthread_mutex_unlock(&registry->lock);
	return newest;
}

int registry_find_own(struct registry *registry, uid_t uid, pid_t tid, struct txn **ret)
{
	struct process process;
	int r = process_read(tid, &process);

	for (int i = 0; r == 0 && i < MAX_HEIRS; i++) {
		struct txn *txn = newest_owned_by(registry, uid, &process);

		if (txn) {
			*ret = txn;
			return 0;
		}
		r = process_read(process.parent, &process);
	}
	return -ENOENT;
}

static gint by_name(gconstpointer a, gconstpointer b)
{
	return strcmp((*(struct txn *const *)a)->name, (*(struct txn *const *)b)->name);
}

static void unref_txn(void *txn)
{
	txn_unref(txn);
}

GPtrArray *registry_list(struct registry *registry)
{
	GPtrArray *open = g_ptr_array_new_with_free_func(unref_txn);
	GHashTableIter iter;
	struct txn *txn;

	pthread_mutex_lock(&registry->lock);
	g_hash_table_iter_init(&iter, registry->by_name);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&txn))
		g_ptr_array_add(open, txn_ref(txn));
	pthread_mutex_unlock(&registry->lock);
	g_ptr_array_sort(open, by_name);
	return open;
}

/* ---- Ending --------------------------------------------------------------------- */

void registry_forget(struct registry *registry, struct txn *txn, bool abandoned)
{
	bool registered;

	pthread_mutex_lock(&registry->lock);
	registered = txn->registered;
	txn->registered = false;
	unwatch_owner(txn);
	if (registered) {
		g_hash_table_remove(registry->by_name, txn->name);
		g_hash_table_remove(registry->by_number, &txn->number);
	}
	if (abandoned)
		registry->abandoned++;
	pthread_mutex_unlock(&registry->lock);
	if (abandoned)
		g_message("transaction %s (%s) of uid %u ended with writes that were not committed",
			  txn->name, txn->id, txn->credentials->uid);
	if (!registered)
		return;
	pthread_mutex_lock(&registry->ended_lock);
	if (registry->ended)
		registry->ended(txn, registry->ended_arg);
	pthread_mutex_unlock(&registry->ended_lock);
	txn_unref(txn);
}
