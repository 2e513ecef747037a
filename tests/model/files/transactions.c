/* Transactions: begun, looked at, committed, restarted, ended. */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static struct call *call_control(struct world *world, enum call_kind kind, const struct txn *txn,
				 const char *file)
{
	struct call *call = call_begin(world, kind);

	snprintf(call->path, sizeof(call->path), "%s/txn/%s%s%s", world->point, txn->name,
		 *file ? "/" : "", file);
	return call;
}

static void set_text(struct call *call, const char *text)
{
	call->size = (uint32_t)strlen(text);
	memcpy(call->data, text, call->size);
}

static void compare_control(struct world *world, const struct txn *txn, const char *file,
			    const char *wanted)
{
	call_control(world, CALL_READ_FILE, txn, file);
	call_make(world);
	if (world->answer.result < 0)
		differ(world, "%s cannot be read", file);
	compare_text(world, file, wanted);
}

static gint by_text(gconstpointer a, gconstpointer b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The fields that the model knows, one line each, as txn_conflicts_text() has them. */
static char *strip_conflicts(const char *text)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	g_autoptr(GPtrArray) known = g_ptr_array_new_with_free_func(g_free);

	for (char **line = lines; *line && **line; line++) {
		g_auto(GStrv) fields = g_strsplit(*line, "\t", -1);

		if (g_strv_length(fields) == 9)
			g_ptr_array_add(known, g_strdup_printf("%s\t%s\t%s\t%s", fields[8],
							       fields[0], fields[1], fields[2]));
		else
			g_ptr_array_add(known, g_strdup(*line));
	}
	g_ptr_array_sort(known, by_text);
	g_ptr_array_add(known, NULL);
	return g_strjoinv("\n", (char **)known->pdata);
}

static void check_conflicts(struct world *world, const struct txn *txn)
{
	g_autofree char *wanted = txn_conflicts_text(txn, world->live);
	g_autofree char *got = NULL;

	call_control(world, CALL_READ_FILE, txn, "conflicts");
	call_make(world);
	if (world->answer.result < 0) {
		differ(world, "conflicts cannot be read");
		return;
	}
	world->answer.data[world->answer.size] = '\0';
	got = strip_conflicts(world->answer.data);
	/* More than fits is not compared. */
	if (world->answer.size < DATA_MAX - 1 && strcmp(got, wanted) != 0)
		differ(world, "conflicts: expected\n%s\ngot\n%s", wanted, got);
}

void forget_unasked(struct world *world, struct txn *txn)
{
	call_control(world, CALL_READ_FILE, txn, "reads");
	call_make(world);
	world->answer.data[MIN(world->answer.size, DATA_MAX - 1)] = '\0';
	world->unasked += txn_forget_unasked(txn, world->answer.data);
}

void check_sets(struct world *world, int index)
{
	struct txn *txn = world->txns[index];
	g_autofree char *reads = NULL, *writes = txn_writes_text(txn);

	world->process = 0;
	forget_unasked(world, txn);
	reads = txn_reads_text(txn);
	compare_control(world, txn, "reads", reads);
	compare_control(world, txn, "writes", writes);
	if (txn->state == TXN_OPEN)
		check_conflicts(world, txn);
}

/* ---- Life ------------------------------------------------------------------------ */

static void begin(struct world *world, int index)
{
	char name[16];

	snprintf(name, sizeof(name), "t%u", world->txns_begun++);
	world->txns[index] = txn_new(name, world->live, world->revision);
	world->txn_inos[index] = g_hash_table_new(NULL, NULL);
	call_control(world, CALL_MKDIR, world->txns[index], "")->mode = 0755;
	call_expect(world, 0);
	if (one_in(world, 2)) {
		world->txns[index]->level = (enum level)chance(world, LEVEL_COUNT);
		set_text(call_control(world, CALL_WRITE_FILE, world->txns[index], "isolation"),
			 level_names[world->txns[index]->level]);
		call_expect(world, world->call.size);
	}
}

static void commit(struct world *world, struct txn *txn)
{
	enum txn_state before = txn->state;
	struct tree *old = tree_copy(world->live);
	int r = before == TXN_CONFLICT ? -ECANCELED : 0;

	forget_unasked(world, txn);
	if (before == TXN_OPEN)
		r = txn_commit(txn, world->live, &world->revision);
	note_moved(world, old);
	note_commit(world);
	tree_free(old);
	world->commits += before == TXN_OPEN && r == 0;
	world->conflicts += before == TXN_OPEN && r < 0;
	set_text(call_control(world, CALL_WRITE_FILE, txn, "commit"), "x\n");
	call_expect(world, r < 0 ? r : 2);
	if (txn->state == TXN_COMMITTED && !world->differs) {
		g_autofree char *line =
			g_strdup_printf("committed %" G_GUINT64_FORMAT "\n", txn->revision);

		compare_control(world, txn, "commit", line);
	}
}

/* Files that are read only stay open over the next round, when nobody wrote them. */
static void leave_files(struct world *world, struct txn *txn, bool all)
{
	int process = world->process;

	for (int i = 0; i < OPEN_MAX; i++) {
		struct open_file *file = &world->files[i];
		const char *key;

		if (!file->used || file->txn != txn || (file->old && !all))
			continue;
		key = key_of(txn->view, file->id);
		if (all || !key || file->flags & (O_WRONLY | O_RDWR | O_CREAT) ||
		    g_tree_lookup(txn->writes, key)) {
			close_file(world, file);
			continue;
		}
		file->old = true;
		file->value = g_bytes_ref(tree_find(txn->view, key)->data);
	}
	world->process = process;
}

static void restart(struct world *world, struct txn *txn)
{
	leave_files(world, txn, false);
	txn_restart(txn, world->live, world->revision);
	set_text(call_control(world, CALL_WRITE_FILE, txn, "restart"), "x\n");
	call_expect(world, 2);
}

/* What a person would have to decide is other tests'. */
static void rebase(struct world *world, int index)
{
	struct txn *txn = world->txns[index];

	leave_files(world, txn, true);
	forget_unasked(world, txn);
	if (!txn_rebase(txn, world->live, world->revision))
		return;
	set_text(call_control(world, CALL_WRITE_FILE, txn, "rebase"), "x\n");
	call_expect(world, 2);
	if (!world->differs)
		check_sets(world, index);
}

static void end(struct world *world, int index)
{
	leave_files(world, world->txns[index], true);
	call_control(world, CALL_RMDIR, world->txns[index], "");
	call_expect(world, 0);
	g_clear_pointer(&world->txns[index], txn_free);
	g_clear_pointer(&world->txn_inos[index], g_hash_table_unref);
}

void step_txn(struct world *world)
{
	int index = chance(world, TXNS), what = chance(world, 20);
	struct txn *txn = world->txns[index];

	if (!txn)
		begin(world, index);
	else if (what < 8)
		check_sets(world, index);
	else if (what < 14)
		commit(world, txn);
	else if (what < 17)
		restart(world, txn);
	else if (what < 18)
		rebase(world, index);
	else
		end(world, index);
}
