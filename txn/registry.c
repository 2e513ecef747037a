/* The registry: transactions by name, the processes that own them, and their time-outs. One
 * thread waits for the end of owners (a pidfd each in one epoll set) and until the next
 * time-out is due. A transaction begun through `new`
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

/* What the events tell of that are not ends of owners, whose data is a number from 1. */
#define EVENT_WAKE UINT64_C(0)
#define EVENT_TURNS UINT64_MAX

struct registry {
	struct store *store;		 /* set once */
	struct registry_options options; /* set once */
	char *id_prefix;	   /* set once: tells this mount's transactions from others' */
	struct accounts *accounts; /* set once */
	struct turns *turns;	   /* set once */
	int epoll_fd;		   /* set once */
	int wake_fd;		   /* set once */
	pthread_t end_thread;	   /* set once: ends what is due */
	gint stop;		   /* atomic */

	/* Held while the hook runs, so that taking it back waits for it. */
	pthread_mutex_t ended_lock;
	registry_ended_fn *ended; /* ended_lock; NULL: none */
	void *ended_arg;	  /* ended_lock */

	pthread_mutex_t lock;
	GHashTable *by_name;   /* lock: name -> txn, a reference */
	GHashTable *by_number; /* lock: number -> txn, no reference */
	uint64_t last_number;  /* lock */
	uint64_t abandoned;    /* lock */
	int64_t due_us;	       /* lock: monotonic, when the next time-out may be due */

	struct registry_metrics metrics; /* lock; all but `begun` */
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
		.max_user_bytes = G_GUINT64_CONSTANT(1) << 30,
		.max_user_reads = 4000000,
		.max_message_bytes = 4096,
		.idle_timeout_s = 3600,
		.max_age_s = 24 * 3600,
	};
}

/* ---- Owners --------------------------------------------------------------------- */

/* Watches the owner's end. False: it has ended already. Under the lock, or before it is
 * registered. */
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

/* Gives an unused transaction to the nearest living heir. As watch_owner. */
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

/* ---- Ending --------------------------------------------------------------------- */

static void note_abandoned(struct registry *registry, struct txn *txn)
{
	pthread_mutex_lock(&registry->lock);
	registry->abandoned++;
	pthread_mutex_unlock(&registry->lock);
	g_message("transaction %s (%s) of uid %u ended with writes that were not committed",
		  txn->name, txn->id, txn->credentials->uid);
}

static void tell_ended(struct registry *registry, struct txn *txn)
{
	pthread_mutex_lock(&registry->ended_lock);
	if (registry->ended)
		registry->ended(txn, registry->ended_arg);
	pthread_mutex_unlock(&registry->ended_lock);
}

void registry_forget(struct registry *registry, struct txn *txn, bool abandoned)
{
	static const struct account one_less = { .transactions = -1 };
	bool registered;

	if (abandoned)
		note_abandoned(registry, txn);
	pthread_mutex_lock(&registry->lock);
	registered = txn->registered;
	txn->registered = false;
	unwatch_owner(txn);
	if (registered) {
		g_hash_table_remove(registry->by_name, txn->name);
		g_hash_table_remove(registry->by_number, &txn->number);
		accounts_adjust(registry->accounts, txn->credentials->uid, &one_less);
	}
	pthread_mutex_unlock(&registry->lock);
	if (!registered)
		return;
	tell_ended(registry, txn);
	txn_unref(txn);
}

/* ---- Time-outs ------------------------------------------------------------------ */

/* It belongs to no process that could end it: its name stays until rmdir. */
static void expire(struct registry *registry, struct txn *txn)
{
	bool abandoned;

	bool ended;

	pthread_mutex_lock(&txn->lock);
	ended = txn->state == TXN_OVER;
	txn->expired = !ended;
	if (!ended)
		txn_set_last_error_locked(txn,
					  g_strdup("over: it was idle for too long, or too old"));
	pthread_mutex_unlock(&txn->lock);
	if (ended)
		return;
	if (txn_mark_over(txn, &abandoned) && abandoned)
		note_abandoned(registry, txn);
	tell_ended(registry, txn);
}

/* Ends what is due, and finds out when the next is. */
static void end_overdue(struct registry *registry)
{
	g_autoptr(GPtrArray) open = NULL;
	int64_t now_us = g_get_monotonic_time(), next_us = G_MAXINT64;

	/* Whoever begins from now on is not in the list, and tells if it is due first. */
	pthread_mutex_lock(&registry->lock);
	registry->due_us = G_MAXINT64;
	pthread_mutex_unlock(&registry->lock);
	open = registry_list(registry);

	for (guint i = 0; i < open->len; i++) {
		struct txn *txn = g_ptr_array_index(open, i);
		int64_t left_us = txn_time_left_us(txn, now_us);

		if (left_us > 0)
			next_us = MIN(next_us, left_us);
		else if (txn->owned)
			txn_end(txn);
		else
			expire(registry, txn);
	}
	pthread_mutex_lock(&registry->lock);
	if (next_us < G_MAXINT64)
		registry->due_us = MIN(registry->due_us, now_us + next_us);
	pthread_mutex_unlock(&registry->lock);
}

/* Milliseconds, as epoll_wait(2) wants them. */
static int time_until_due_ms(struct registry *registry)
{
	int64_t due_us;

	pthread_mutex_lock(&registry->lock);
	due_us = registry->due_us;
	pthread_mutex_unlock(&registry->lock);
	if (due_us == G_MAXINT64)
		return -1;
	return (int)CLAMP((due_us - g_get_monotonic_time()) / 1000 + 1, 0, G_MAXINT);
}

static void *end_transactions(void *arg)
{
	struct registry *registry = arg;
	struct epoll_event events[MAX_EVENTS];

	while (!g_atomic_int_get(&registry->stop)) {
		int count = epoll_wait(registry->epoll_fd, events, MAX_EVENTS,
				       time_until_due_ms(registry));
		bool woken = false;
		eventfd_t ignored;

		for (int i = 0; i < count; i++) {
			if (events[i].data.u64 == EVENT_TURNS)
				turns_expire(registry->turns);
			else if (events[i].data.u64 == EVENT_WAKE)
				woken = eventfd_read(registry->wake_fd, &ignored) == 0;
			else
				owner_ended(registry, events[i].data.u64);
		}
		/* Many owners may end at once: looking at all transactions each time would
		 * cost the square of them. */
		if (woken || time_until_due_ms(registry) == 0)
			end_overdue(registry);
	}
	return NULL;
}

void registry_wake(struct registry *registry)
{
	eventfd_write(registry->wake_fd, 1);
}

/* ---- Life ----------------------------------------------------------------------- */

static int start_end_thread(struct registry *registry)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = EVENT_WAKE };
	struct epoll_event turns = { .events = EPOLLIN, .data.u64 = EVENT_TURNS };

	registry->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	registry->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (registry->epoll_fd < 0 || registry->wake_fd < 0)
		return -errno;
	epoll_ctl(registry->epoll_fd, EPOLL_CTL_ADD, registry->wake_fd, &event);
	epoll_ctl(registry->epoll_fd, EPOLL_CTL_ADD, turns_timer_fd(registry->turns), &turns);
	return -pthread_create(&registry->end_thread, NULL, end_transactions, registry);
}

struct turns *registry_turns(struct registry *registry)
{
	return registry->turns;
}

void registry_stop_turns(struct registry *registry)
{
	turns_stop(registry->turns);
}

struct accounts *registry_accounts(struct registry *registry)
{
	return registry->accounts;
}

struct store *registry_store(struct registry *registry)
{
	return registry->store;
}

int registry_charge(struct registry *registry, uid_t uid, int64_t bytes)
{
	const struct account change = { .bytes = bytes };

	return accounts_charge(registry->accounts, uid, &change);
}

void registry_charge_made(struct registry *registry, uid_t uid, int64_t bytes)
{
	const struct account change = { .bytes = bytes };

	accounts_adjust(registry->accounts, uid, &change);
}

static void release(struct registry *registry)
{
	turns_free(registry->turns);
	if (registry->wake_fd >= 0)
		close(registry->wake_fd);
	if (registry->epoll_fd >= 0)
		close(registry->epoll_fd);
	g_hash_table_unref(registry->by_name);
	g_hash_table_unref(registry->by_number);
	pthread_mutex_destroy(&registry->lock);
	pthread_mutex_destroy(&registry->ended_lock);
	accounts_free(registry->accounts);
	g_free(registry->id_prefix);
	g_free(registry);
}

int registry_new(struct store *store, const struct registry_options *options, struct registry **ret)
{
	struct registry *registry = g_new0(struct registry, 1);
	int r;

	registry->store = store;
	registry->options = *options;
	registry->id_prefix = g_strdup_printf("%08x%08x", g_random_int(), g_random_int());
	pthread_mutex_init(&registry->lock, NULL);
	pthread_mutex_init(&registry->ended_lock, NULL);
	registry->by_name = g_hash_table_new(g_str_hash, g_str_equal);
	registry->by_number = g_hash_table_new(g_int64_hash, g_int64_equal);
	registry->accounts = accounts_new(&(struct account_limits){
		.max_bytes = options->max_user_bytes,
		.max_reads = options->max_user_reads,
		.max_transactions = options->max_user_transactions,
	});
	registry->due_us = G_MAXINT64;
	registry->epoll_fd = registry->wake_fd = -1;
	r = turns_new(&registry->turns);
	if (r == 0)
		r = start_end_thread(registry);
	if (r < 0)
		release(registry);
	else
		*ret = registry;
	return r;
}

void registry_free(struct registry *registry)
{
	g_autoptr(GPtrArray) open = NULL;

	if (!registry)
		return;
	g_atomic_int_set(&registry->stop, 1);
	registry_wake(registry);
	pthread_join(registry->end_thread, NULL);
	open = registry_list(registry);
	for (guint i = 0; i < open->len; i++)
		txn_end(g_ptr_array_index(open, i));
	g_clear_pointer(&open, g_ptr_array_unref);
	release(registry);
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

void registry_get_usage(struct registry *registry, int64_t *ret_bytes, int64_t *ret_reads)
{
	struct account total = accounts_total(registry->accounts);

	*ret_bytes = total.bytes;
	*ret_reads = total.reads;
}

uint64_t registry_count(struct registry *registry)
{
	uint64_t count;

	pthread_mutex_lock(&registry->lock);
	count = g_hash_table_size(registry->by_name);
	pthread_mutex_unlock(&registry->lock);
	return count;
}

void registry_get_metrics(struct registry *registry, struct registry_metrics *ret)
{
	pthread_mutex_lock(&registry->lock);
	*ret = registry->metrics;
	ret->begun = registry->last_number;
	pthread_mutex_unlock(&registry->lock);
}

static unsigned kinds_of(const GPtrArray *conflicts)
{
	unsigned kinds = 0;

	for (guint i = 0; conflicts && i < conflicts->len; i++) {
		const struct conflict *conflict = g_ptr_array_index(conflicts, i);

		kinds |= 1U << conflict->kind;
	}
	return kinds;
}

void registry_note_outcome(struct registry *registry, int outcome, const GPtrArray *conflicts)
{
	struct registry_metrics *metrics = &registry->metrics;
	unsigned kinds = kinds_of(conflicts);

	pthread_mutex_lock(&registry->lock);
	if (outcome == 0)
		metrics->committed++;
	else if (conflicts)
		metrics->conflicts++;
	else
		metrics->failed++;
	for (unsigned kind = 0; kind < TXN_CONFLICT_KINDS; kind++)
		metrics->conflict_kinds[kind] += kinds >> kind & 1;
	pthread_mutex_unlock(&registry->lock);
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
	       process_read_other(heir.parent, &heir) == 0 &&
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

/* Under the lock. */
static int admit(struct registry *registry, struct txn *txn)
{
	static const struct account one = { .transactions = 1 };

	if (g_hash_table_contains(registry->by_name, txn->name))
		return -EEXIST;
	if (g_hash_table_size(registry->by_name) >= registry->options.max_transactions)
		return -EDQUOT;
	if (accounts_charge(registry->accounts, txn->credentials->uid, &one) < 0)
		return -EDQUOT;
	if (!txn->owned)
		txn->timeout_s = registry->options.idle_timeout_s;
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
	return txn_new(registry, name ? name : chosen, id, number, credentials, snapshot);
}

static bool is_due_first(struct registry *registry, struct txn *txn)
{
	int64_t now_us = g_get_monotonic_time();
	int64_t left_us = txn_time_left_us(txn, now_us);
	bool first;

	pthread_mutex_lock(&registry->lock);
	first = left_us < registry->due_us - now_us;
	if (first)
		registry->due_us = now_us + left_us;
	pthread_mutex_unlock(&registry->lock);
	return first;
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
	/* Before the lock: it reads /proc, which may be slow, and others begin meanwhile. */
	if (txn->owned && !watch_owner(registry, txn) && !pass_on(registry, txn))
		return -ESRCH;
	pthread_mutex_lock(&registry->lock);
	r = admit(registry, txn);
	pthread_mutex_unlock(&registry->lock);
	if (r < 0) {
		unwatch_owner(txn);
		return r;
	}
	if (is_due_first(registry, txn))
		registry_wake(registry);
	*ret = g_steal_pointer(&txn);
	return 0;
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
		r = process_read_other(process.parent, &process);
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
