#include "txn/account.h"

#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <stdbool.h>

struct accounts {
	struct account_limits limits; /* set once */
	pthread_mutex_t lock;
	GHashTable *by_uid; /* lock: uid -> struct account, of those that have something */
};

struct accounts *accounts_new(const struct account_limits *limits)
{
	struct accounts *accounts = g_new0(struct accounts, 1);

	accounts->limits = *limits;
	pthread_mutex_init(&accounts->lock, NULL);
	accounts->by_uid = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	return accounts;
}

void accounts_free(struct accounts *accounts)
{
	if (!accounts)
		return;
	g_hash_table_unref(accounts->by_uid);
	pthread_mutex_destroy(&accounts->lock);
	g_free(accounts);
}

static bool exceeds(int64_t had, int64_t change, uint64_t limit)
{
	return change > 0 && (uint64_t)(had + change) > limit;
}

static void add_locked(struct accounts *accounts, uid_t uid, const struct account *change)
{
	void *key = GUINT_TO_POINTER(uid);
	struct account *account = g_hash_table_lookup(accounts->by_uid, key);

	if (!account) {
		account = g_new0(struct account, 1);
		g_hash_table_insert(accounts->by_uid, key, account);
	}
	account->bytes += change->bytes;
	account->reads += change->reads;
	account->transactions += change->transactions;
	g_assert(account->bytes >= 0 && account->reads >= 0 && account->transactions >= 0);
	if (account->bytes == 0 && account->reads == 0 && account->transactions == 0)
		g_hash_table_remove(accounts->by_uid, key);
}

static struct account get_locked(struct accounts *accounts, uid_t uid)
{
	const struct account *account =
		g_hash_table_lookup(accounts->by_uid, GUINT_TO_POINTER(uid));

	return account ? *account : (struct account){ 0 };
}

int accounts_charge(struct accounts *accounts, uid_t uid, const struct account *change)
{
	const struct account_limits *limits = &accounts->limits;
	struct account had;
	int r = 0;

	pthread_mutex_lock(&accounts->lock);
	had = get_locked(accounts, uid);
	if (exceeds(had.bytes, change->bytes, limits->max_bytes) ||
	    exceeds(had.reads, change->reads, limits->max_reads) ||
	    exceeds(had.transactions, change->transactions, limits->max_transactions))
		r = -EDQUOT;
	else
		add_locked(accounts, uid, change);
	pthread_mutex_unlock(&accounts->lock);
	return r;
}

void accounts_adjust(struct accounts *accounts, uid_t uid, const struct account *change)
{
	pthread_mutex_lock(&accounts->lock);
	add_locked(accounts, uid, change);
	pthread_mutex_unlock(&accounts->lock);
}

struct account accounts_get(struct accounts *accounts, uid_t uid)
{
	struct account account;

	pthread_mutex_lock(&accounts->lock);
	account = get_locked(accounts, uid);
	pthread_mutex_unlock(&accounts->lock);
	return account;
}

struct account accounts_total(struct accounts *accounts)
{
	struct account total = { 0 };
	const struct account *account;
	GHashTableIter iter;

	pthread_mutex_lock(&accounts->lock);
	g_hash_table_iter_init(&iter, accounts->by_uid);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&account)) {
		total.bytes += account->bytes;
		total.reads += account->reads;
		total.transactions += account->transactions;
	}
	pthread_mutex_unlock(&accounts->lock);
	return total;
}
