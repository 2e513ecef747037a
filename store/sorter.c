/* Entries are written in batches without a log; RocksDB keeps them sorted. */
#include "store/sorter.h"

#include "store/layout.h"
#include "store/unfinished.h"

#include <errno.h>

#define BATCH_ENTRIES 1000

struct sorter {
	struct unfinished directory;
	rocksdb_options_t *options;
	rocksdb_writeoptions_t *unlogged;
	rocksdb_writebatch_t *batch;
	rocksdb_t *db;
};

static int open_database(struct sorter *sorter)
{
	char *error = NULL;

	sorter->options = rocksdb_options_create();
	sorter->unlogged = rocksdb_writeoptions_create();
	sorter->batch = rocksdb_writebatch_create();
	rocksdb_options_set_create_if_missing(sorter->options, 1);
	rocksdb_options_set_info_log_level(sorter->options, 4); /* see layout.c */
	rocksdb_writeoptions_disable_WAL(sorter->unlogged, 1);
	sorter->db = rocksdb_open(sorter->options, sorter->directory.path, &error);
	return layout_result("open a database for sorting", error);
}

int sorter_new(struct sorter **ret)
{
	g_autofree char *prefix = g_build_filename(g_get_tmp_dir(), "commitfs-sort.", NULL);
	struct sorter *sorter = g_new0(struct sorter, 1);
	int r;

	r = unfinished_begin(prefix, &sorter->directory);
	if (r < 0) {
		g_warning("store: cannot make a directory for sorting in '%s': %s", g_get_tmp_dir(),
			  g_strerror(-r));
		g_free(sorter);
		return -EIO;
	}
	r = open_database(sorter);
	if (r < 0) {
		sorter_free(sorter);
		return r;
	}
	*ret = sorter;
	return 0;
}

void sorter_free(struct sorter *sorter)
{
	if (!sorter)
		return;
	if (sorter->db)
		rocksdb_close(sorter->db);
	unfinished_remove(&sorter->directory);
	rocksdb_writebatch_destroy(sorter->batch);
	rocksdb_writeoptions_destroy(sorter->unlogged);
	rocksdb_options_destroy(sorter->options);
	g_free(sorter);
}

static int write_batch(struct sorter *sorter)
{
	char *error = NULL;

	rocksdb_write(sorter->db, sorter->unlogged, sorter->batch, &error);
	rocksdb_writebatch_clear(sorter->batch);
	return layout_result("write what is to be sorted", error);
}

int sorter_add(struct sorter *sorter, const void *entry, size_t size)
{
	rocksdb_writebatch_put(sorter->batch, entry, size, "", 0);
	if (rocksdb_writebatch_count(sorter->batch) < BATCH_ENTRIES)
		return 0;
	return write_batch(sorter);
}

int sorter_visit(struct sorter *sorter, sorter_visit_fn *visit, void *arg)
{
	rocksdb_readoptions_t *options = rocksdb_readoptions_create();
	rocksdb_iterator_t *iterator;
	char *error = NULL;
	int r = write_batch(sorter);

	iterator = rocksdb_create_iterator(sorter->db, options);
	rocksdb_iter_seek_to_first(iterator);
	for (; r == 0 && rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator)) {
		size_t size;
		const char *entry = rocksdb_iter_key(iterator, &size);

		r = visit(entry, size, arg);
	}
	rocksdb_iter_get_error(iterator, &error);
	if (error)
		r = layout_result("read what was sorted", error);
	rocksdb_iter_destroy(iterator);
	rocksdb_readoptions_destroy(options);
	return r;
}
