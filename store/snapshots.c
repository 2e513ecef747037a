/* Snapshots: see snapshots.h.
 *
 * A snapshot reads through one of RocksDB's, which keeps all there was when it was taken,
 * whatever is removed afterwards. So nothing that compaction does can be seen through a
 * snapshot that is held, and compaction need not know of them. What has to be right is
 * only whether one may be taken: oldest_revision is moved, and a name is taken off the
 * list, before anything is removed; so a revision that is still allowed after RocksDB's
 * snapshot was taken was whole when it was taken. */
#include "store/snapshots.h"

#include "store/codec.h"
#include "store/compact.h"
#include "store/local.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define NAME_FORMAT 1

struct snapshot_name {
	char *name;
	uint64_t revision;
	int64_t time_ns;
	uid_t uid;
};

/* ---- Those held ----------------------------------------------------------------- */

void open_snapshots_init(struct open_snapshots *open)
{
	*open = (struct open_snapshots){ 0 };
	pthread_mutex_init(&open->lock, NULL);
}

void open_snapshots_done(struct open_snapshots *open)
{
	pthread_mutex_destroy(&open->lock);
}

static void open_snapshots_add(struct open_snapshots *open, struct local_snapshot *snapshot)
{
	pthread_mutex_lock(&open->lock);
	if (!snapshot->hold->order)
		snapshot->hold->order = ++open->taken;
	snapshot->next = open->first;
	if (open->first)
		open->first->previous = snapshot;
	open->first = snapshot;
	pthread_mutex_unlock(&open->lock);
}

static void open_snapshots_remove(struct open_snapshots *open, struct local_snapshot *snapshot)
{
	pthread_mutex_lock(&open->lock);
	if (snapshot->previous)
		snapshot->previous->next = snapshot->next;
	else
		open->first = snapshot->next;
	if (snapshot->next)
		snapshot->next->previous = snapshot->previous;
	pthread_mutex_unlock(&open->lock);
}

uint64_t open_snapshots_count(struct open_snapshots *open, uint64_t taken)
{
	uint64_t count = 0;

	pthread_mutex_lock(&open->lock);
	for (struct local_snapshot *held = open->first; held; held = held->next)
		count += held->hold->order <= taken;
	pthread_mutex_unlock(&open->lock);
	return count;
}

uint64_t open_snapshots_taken(struct open_snapshots *open)
{
	uint64_t taken;

	pthread_mutex_lock(&open->lock);
	taken = open->taken;
	pthread_mutex_unlock(&open->lock);
	return taken;
}

static void hold_unref(struct rocks_hold *hold, rocksdb_t *db)
{
	if (!g_atomic_int_dec_and_test(&hold->refs))
		return;
	rocksdb_release_snapshot(db, hold->rocks);
	g_free(hold);
}

/* What a snapshot of `revision` that is held reads through, and how, or NULL. */
static struct rocks_hold *borrow_hold(struct local *local, uint64_t revision,
				      uint64_t *ret_place_revision)
{
	struct open_snapshots *open = &local->open;
	struct rocks_hold *hold = NULL;

	pthread_mutex_lock(&open->lock);
	for (struct local_snapshot *held = open->first; held && !hold; held = held->next) {
		if (held->base.revision != revision)
			continue;
		hold = held->hold;
		g_atomic_int_inc(&hold->refs);
		*ret_place_revision = held->place.revision;
	}
	pthread_mutex_unlock(&open->lock);
	return hold;
}

/* ---- Taking --------------------------------------------------------------------- */

static bool has_name(struct local *local, uint64_t revision)
{
	g_autoptr(GArray) revisions = snapshot_names_revisions(local);

	return revision && revisions_contain(revisions, revision, revision + 1);
}

/* Joins those held, with `hold`, or with one of its own taken only then: so that whoever
 * counts the holds there were knows that later ones see what it did before. */
static struct local_snapshot *make_snapshot(struct local *local, struct rocks_hold *hold)
{
	struct local_snapshot *snapshot = g_new0(struct local_snapshot, 1);

	snapshot->base.refs = 1;
	snapshot->base.store = &local->base;
	snapshot->options = rocksdb_readoptions_create();
	snapshot->hold = hold ? hold : g_new0(struct rocks_hold, 1);
	open_snapshots_add(&local->open, snapshot);
	if (!hold) {
		snapshot->hold->refs = 1;
		snapshot->hold->rocks = rocksdb_create_snapshot(local->layout.db);
	}
	snapshot->place.layout = &local->layout;
	snapshot->place.options = snapshot->options;
	snapshot->place.rocks = snapshot->hold->rocks;
	rocksdb_readoptions_set_snapshot(snapshot->options, snapshot->hold->rocks);
	return snapshot;
}

static void unmake_snapshot(struct local *local, struct local_snapshot *snapshot)
{
	open_snapshots_remove(&local->open, snapshot);
	rocksdb_readoptions_destroy(snapshot->options);
	hold_unref(snapshot->hold, local->layout.db);
	g_free(snapshot);
}

/* From now on others may borrow what it reads through. */
static void set_revision(struct local *local, struct local_snapshot *snapshot, uint64_t revision,
			 uint64_t place_revision)
{
	pthread_mutex_lock(&local->open.lock);
	snapshot->base.revision = revision;
	snapshot->place.revision = place_revision;
	pthread_mutex_unlock(&local->open.lock);
}

/* Sets which revision it is, 0: what RocksDB shows. */
static int choose_revision(struct local *local, struct local_snapshot *snapshot, uint64_t revision)
{
	uint64_t newest;
	int r;

	/* Read through the snapshot just taken: a batch writes the revision with its data, so
	 * the two belong together, and no lock has to keep commits away in between. */
	r = layout_get_number(&local->layout, snapshot->options, META_REVISION, &newest);
	if (r < 0)
		return r == -ENOENT ? -EIO : r;
	if (revision > newest)
		return -ENOENT;
	if (revision && revision < local_oldest(local) && !has_name(local, revision))
		return -ENOENT;
	set_revision(local, snapshot, revision ? revision : newest,
		     revision == newest ? 0 : revision);
	return 0;
}

/* Through what another reads that revision through, while it does. */
static int take_again(struct local *local, uint64_t revision, struct snapshot **ret)
{
	struct local_snapshot *snapshot;
	uint64_t place_revision;
	struct rocks_hold *hold = borrow_hold(local, revision, &place_revision);

	if (!hold)
		return -ENOENT;
	snapshot = make_snapshot(local, hold);
	set_revision(local, snapshot, revision, place_revision);
	*ret = &snapshot->base;
	return 0;
}

int snapshots_take(struct local *local, uint64_t revision, struct snapshot **ret)
{
	struct local_snapshot *snapshot = make_snapshot(local, NULL);
	int r;

	r = choose_revision(local, snapshot, revision);
	if (r < 0) {
		unmake_snapshot(local, snapshot);
		return r == -ENOENT && revision ? take_again(local, revision, ret) : r;
	}
	*ret = &snapshot->base;
	return 0;
}

void snapshots_free(struct snapshot *snapshot)
{
	struct local_snapshot *mine = (struct local_snapshot *)snapshot;
	struct local *local = (struct local *)snapshot->store;

	unmake_snapshot(local, mine);
	compactor_snapshot_freed(&local->compactor);
}

/* ---- Names ---------------------------------------------------------------------- */

static void name_free(gpointer data)
{
	struct snapshot_name *name = data;

	g_free(name->name);
	g_free(name);
}

void snapshot_names_init(struct snapshot_names *names)
{
	names->names = g_ptr_array_new_with_free_func(name_free);
}

void snapshot_names_done(struct snapshot_names *names)
{
	g_clear_pointer(&names->names, g_ptr_array_unref);
}

/* Where `name` is, or would be. */
static guint find_name(const struct snapshot_names *names, const char *name, bool *ret_found)
{
	guint low = 0, high = names->names->len;

	*ret_found = false;
	while (low < high) {
		guint middle = (low + high) / 2;
		const struct snapshot_name *other = names->names->pdata[middle];
		int order = strcmp(other->name, name);

		*ret_found = *ret_found || order == 0;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int compare_revisions(gconstpointer left, gconstpointer right)
{
	const uint64_t *a = left, *b = right;

	return *a < *b ? -1 : *a > *b;
}

GArray *snapshot_names_revisions(struct local *local)
{
	GArray *revisions = g_array_new(FALSE, FALSE, sizeof(uint64_t));

	pthread_mutex_lock(&local->time_lock);
	for (guint i = 0; i < local->names.names->len; i++) {
		const struct snapshot_name *name = local->names.names->pdata[i];

		g_array_append_val(revisions, name->revision);
	}
	pthread_mutex_unlock(&local->time_lock);
	g_array_sort(revisions, compare_revisions);
	return revisions;
}

bool revisions_contain(const GArray *revisions, uint64_t first, uint64_t end)
{
	guint low = 0, high = revisions->len;

	while (low < high) {
		guint middle = (low + high) / 2;

		if (g_array_index(revisions, uint64_t, middle) < first)
			low = middle + 1;
		else
			high = middle;
	}
	return low < revisions->len && g_array_index(revisions, uint64_t, low) < end;
}

/* The key in `meta`. */
static char *meta_key(const char *name)
{
	return g_strconcat(META_SNAPSHOT_PREFIX, name, NULL);
}

int snapshot_name_decode(const char *bytes, size_t size, struct named_snapshot *ret)
{
	struct reader reader = reader_of(bytes, size);
	struct named_snapshot named = { 0 };
	uint8_t format = read_u8(&reader);

	named.revision = read_u64(&reader);
	named.time_ns = (int64_t)read_u64(&reader);
	named.uid = read_u32(&reader);
	if (reader.failed || format != NAME_FORMAT)
		return -EIO;
	*ret = named;
	return 0;
}

static int load_name(const char *key, size_t key_size, const char *bytes, size_t size, void *arg)
{
	size_t prefix = strlen(META_SNAPSHOT_PREFIX);
	struct snapshot_names *names = arg;
	struct named_snapshot named;
	struct snapshot_name *name;

	if (snapshot_name_decode(bytes, size, &named) < 0)
		return -EIO;
	name = g_new0(struct snapshot_name, 1);
	name->name = g_strndup(key + prefix, key_size - prefix);
	name->revision = named.revision;
	name->time_ns = named.time_ns;
	name->uid = named.uid;
	g_ptr_array_add(names->names, name);
	return 0;
}

int snapshot_names_load(struct local *local)
{
	return layout_list_meta(&local->layout, META_SNAPSHOT_PREFIX, load_name, &local->names);
}

static int write_name(struct local *local, const struct snapshot_name *name)
{
	rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
	guint8 bytes[1 + 2 * sizeof(uint64_t) + sizeof(uint32_t)];
	g_autofree char *key = meta_key(name->name);
	guint8 *at = bytes;
	int r;

	at = encode_u8(at, NAME_FORMAT);
	at = encode_u64(at, name->revision);
	at = encode_u64(at, (uint64_t)name->time_ns);
	encode_u32(at, name->uid);
	layout_batch_meta(&local->layout, batch, key, 0, bytes, sizeof(bytes));
	r = local_write(local, batch, true);
	rocksdb_writebatch_destroy(batch);
	return r;
}

/* REQUIRES(time_lock), which keeps oldest_revision where it is */
static int add_name(struct local *local, struct snapshot_name *name)
{
	uint64_t newest = local_revision(local);
	bool in_use;
	guint index = find_name(&local->names, name->name, &in_use);
	bool kept = name->revision >= local_oldest(local);
	int r;

	if (in_use)
		return -EEXIST;
	for (guint i = 0; i < local->names.names->len && !kept; i++)
		kept = ((struct snapshot_name *)local->names.names->pdata[i])->revision ==
		       name->revision;
	if (!kept || name->revision > newest)
		return -ENOENT;
	r = write_name(local, name);
	if (r == 0)
		g_ptr_array_insert(local->names.names, (gint)index, name);
	return r;
}

int snapshot_names_add(struct local *local, const char *name, uint64_t revision, uid_t uid,
		       uint64_t *ret)
{
	struct snapshot_name *added = g_new0(struct snapshot_name, 1);
	int r;

	added->name = g_strdup(name);
	added->uid = uid;
	added->time_ns = local_now_ns();
	pthread_mutex_lock(&local->time_lock);
	revision = revision ? revision : local_revision(local);
	added->revision = revision;
	r = add_name(local, added);
	pthread_mutex_unlock(&local->time_lock);
	if (r < 0)
		name_free(added);
	else if (ret)
		*ret = revision;
	return r;
}

/* REQUIRES(time_lock); *ret_compact: what it kept is to be removed. */
static int drop_name(struct local *local, const char *name, bool *ret_compact)
{
	rocksdb_writebatch_t *batch;
	g_autofree char *key = meta_key(name);
	const struct snapshot_name *found;
	bool in_use;
	guint index = find_name(&local->names, name, &in_use);
	int r;

	if (!in_use)
		return -ENOENT;
	found = local->names.names->pdata[index];
	*ret_compact = found->revision < local_oldest(local);
	batch = rocksdb_writebatch_create();
	rocksdb_writebatch_delete_cf(batch, local->layout.families[FAMILY_META], key, strlen(key));
	if (*ret_compact)
		layout_batch_number(&local->layout, batch, META_COMPACTING, 1);
	r = local_write(local, batch, true);
	rocksdb_writebatch_destroy(batch);
	if (r == 0)
		g_ptr_array_remove_index(local->names.names, index);
	return r;
}

int snapshot_names_drop(struct local *local, const char *name)
{
	bool compact = false;
	int r;

	pthread_mutex_lock(&local->time_lock);
	r = drop_name(local, name, &compact);
	if (r == 0 && compact)
		compactor_want(&local->compactor, NULL, NULL);
	pthread_mutex_unlock(&local->time_lock);
	return r;
}

int snapshot_names_find(struct local *local, const char *name, uint64_t *ret)
{
	bool found;
	guint index;

	pthread_mutex_lock(&local->time_lock);
	index = find_name(&local->names, name, &found);
	if (found)
		*ret = ((struct snapshot_name *)local->names.names->pdata[index])->revision;
	pthread_mutex_unlock(&local->time_lock);
	return found ? 0 : -ENOENT;
}

/* A copy, so that visitors may do what they like. */
static GPtrArray *copy_names(struct local *local)
{
	GPtrArray *copy = g_ptr_array_new_with_free_func(name_free);

	pthread_mutex_lock(&local->time_lock);
	for (guint i = 0; i < local->names.names->len; i++) {
		struct snapshot_name *name = g_memdup2(local->names.names->pdata[i], sizeof(*name));

		name->name = g_strdup(name->name);
		g_ptr_array_add(copy, name);
	}
	pthread_mutex_unlock(&local->time_lock);
	return copy;
}

int snapshot_names_list(struct local *local, store_snapshot_fn *visit, void *arg)
{
	g_autoptr(GPtrArray) names = copy_names(local);
	int r = 0;

	for (guint i = 0; i < names->len && r == 0; i++) {
		const struct snapshot_name *name = names->pdata[i];
		const struct named_snapshot named = { name->name, name->revision, name->time_ns,
						      name->uid };

		r = visit(&named, arg);
	}
	return r;
}
