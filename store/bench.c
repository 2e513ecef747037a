/* One write-ahead log, one fdatasync a put, nothing else that differs from RocksDB as it
 * comes: so that the base of two runs, or of two machines, is the same thing. */
#include "store/bench.h"

#include "store/layout.h"

#include <errno.h>
#include <string.h>

#define INFO_LOG_FATAL 4

struct store_floor {
	rocksdb_t *db;		       /* set once */
	rocksdb_writeoptions_t *write; /* set once */
};

int store_floor_open(const char *path, struct store_floor **ret, char **ret_message)
{
	rocksdb_options_t *options = rocksdb_options_create();
	struct store_floor *floor;
	char *error = NULL;
	rocksdb_t *db;

	rocksdb_options_set_create_if_missing(options, 1);
	/* With an information log a full disk would end the process. */
	rocksdb_options_set_info_log_level(options, INFO_LOG_FATAL);
	db = rocksdb_open(options, path, &error);
	rocksdb_options_destroy(options);
	if (error) {
		*ret_message = g_strdup_printf("cannot open database '%s': %s", path, error);
		rocksdb_free(error);
		return -EIO;
	}
	floor = g_new0(struct store_floor, 1);
	floor->db = db;
	floor->write = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_sync(floor->write, 1);
	*ret = floor;
	return 0;
}

int store_floor_put(struct store_floor *floor, const char *key, const void *value, size_t size)
{
	char *error = NULL;

	rocksdb_put(floor->db, floor->write, key, strlen(key), value, size, &error);
	return layout_result("put", error);
}

void store_floor_close(struct store_floor *floor)
{
	if (!floor)
		return;
	rocksdb_writeoptions_destroy(floor->write);
	rocksdb_close(floor->db);
	g_free(floor);
}
