/* All records of one stored key, newest first: the one in `keys`, then those of `history`. */
#pragma once

#include "store/check_private.h"

struct check_chain {
	struct check *check;
	/* An entry of the directory above came, went, or changed its type. */
	void (*listed)(uint64_t revision, void *arg);
	void *arg;

	struct stored_key key;
	bool directory;
	bool broken;	      /* what comes next cannot be compared with `newer` */
	struct record *newer; /* the last one added; NULL: none, or it is damaged */
	uint64_t newer_first; /* the revision it was last changed at */
};

/* Begins with the stored key `key`; the chain was ended before. */
void check_chain_begin(struct check_chain *chain, const char *key, size_t size);
/* Adds the record of `keys` that the iterator is at; first. */
int check_chain_add_head(struct check_chain *chain, const rocksdb_iterator_t *iterator);
/* Adds the record of `history` that the iterator is at, last changed at `first`. */
int check_chain_add_version(struct check_chain *chain, uint64_t first,
			    const rocksdb_iterator_t *iterator);
int check_chain_end(struct check_chain *chain);
