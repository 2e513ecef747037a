/* The sum of the tree of an encrypted store: of the fingerprints of all records that are the
 * newest of their keys. Each commit writes it. A box opens wherever it was written once, so
 * an older record of the same key that somebody put back is opened as if it were the newest;
 * but then the tree does not come to the sum, nor does it when a record was taken away. Only
 * going through the whole tree shows that. Whoever puts all of the store back, the sum too,
 * is not found out.
 *
 * A read does not look for it. The history of the key, where what superseded the record would
 * be found, costs a seek for each record that is read or listed (4 us, as much as reading it),
 * and tells nothing that holds: it is compacted, and whoever puts a record back can take its
 * history away, each by itself a change that no box tells. A sum for each directory, kept in
 * the one above it, would tell, and have each commit write all directories up to the top.
 *
 * Fingerprints are added, so that a commit costs what it changes; that nobody can make other
 * records of the same sum rests on their being known to nobody. */
#pragma once

#include "store/layout.h"

struct tree_sum {
	uint64_t parts[2];
};

/* What a commit changes. */
void tree_sum_commit(struct tree_sum *sum, const struct layout *layout,
		     const struct log_entry *commit);
void tree_sum_write(const struct tree_sum *sum, const struct layout *layout,
		    rocksdb_writebatch_t *batch, uint64_t revision);
/* That of `revision`, which is the store's. -EIO: it is missing, damaged, or of another. */
int tree_sum_read(const struct layout *layout, const rocksdb_readoptions_t *options,
		  uint64_t revision, struct tree_sum *ret);

/* Goes through the whole tree, as `options` show it. -EBADMSG: records were put back or taken
 * away; -EIO: some are damaged. */
int tree_sum_check(const struct layout *layout, const rocksdb_readoptions_t *options,
		   uint64_t revision);
