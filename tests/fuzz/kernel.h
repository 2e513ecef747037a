/* What stands in for the kernel in nodes.c: it sends requests, reads the replies, and keeps
 * what the kernel would keep of nodes and open files, and a model of the live tree. Every
 * function asserts what it finds out. */
#pragma once

#include <glib.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stdint.h>

/* A file or directory of the live tree, by its inode number. */
struct object {
	uint64_t ino;
	unsigned type;
	GString *value; /* committed; of files */
	bool reserved;	/* created, not committed */
	bool uncertain; /* several wrote it at once: the value is not compared */
	unsigned writers;
};

/* A node as the kernel has it. */
struct kernel_node {
	uint64_t id;
	uint64_t lookups;
	uint64_t parent; /* node id of the directory it was found in */
	unsigned type;
	uint64_t ino;
	bool live; /* in the live tree, or its top */
};

struct opened {
	uint64_t fh;
	struct kernel_node *node;
	int flags;
	bool directory;
	struct object *object; /* of the live tree, opened for writing; or NULL */
	GString *image;	       /* what is written */
	bool pending;
};

struct kernel {
	GPtrArray *nodes;    /* struct kernel_node; the first is the root of the mount */
	GPtrArray *opened;   /* struct opened */
	GHashTable *objects; /* ino -> struct object */
	GHashTable *entries; /* "INO/NAME" -> struct object */
	uint64_t unique;
	guint base_nodes; /* in the node table at the beginning */
	GByteArray *reply;
	int error;   /* of the last reply: 0 or positive */
	bool faulty; /* a call of the store fails: nothing is known of the tree */
};

/* A new mount on a store in memory, of which the `failing`th call fails (0: none). */
struct kernel *kernel_get(unsigned failing);
/* Releases and forgets everything, and ends the mount. */
void kernel_put(struct kernel *kernel);

void kernel_lookup(struct kernel *kernel, struct kernel_node *directory, const char *name);
void kernel_make(struct kernel *kernel, struct kernel_node *directory, const char *name,
		 uint32_t opcode);
void kernel_create(struct kernel *kernel, struct kernel_node *directory, const char *name,
		   int flags);
void kernel_remove(struct kernel *kernel, struct kernel_node *directory, const char *name,
		   uint32_t opcode);
void kernel_rename(struct kernel *kernel, struct kernel_node *from, const char *name,
		   struct kernel_node *to, const char *new_name, unsigned flags);
void kernel_open(struct kernel *kernel, struct kernel_node *node, int flags);
void kernel_read(struct kernel *kernel, struct opened *file, unsigned offset);
void kernel_readdir(struct kernel *kernel, struct opened *directory, bool plus);
void kernel_write(struct kernel *kernel, struct opened *file, unsigned offset, const void *data,
		  size_t size);
void kernel_flush(struct kernel *kernel, struct opened *file, uint32_t opcode);
void kernel_release(struct kernel *kernel, struct opened *file);
void kernel_getattr(struct kernel *kernel, struct kernel_node *node);
void kernel_chmod(struct kernel *kernel, struct kernel_node *node, unsigned mode);
void kernel_truncate(struct kernel *kernel, struct kernel_node *node, unsigned size);
void kernel_readlink(struct kernel *kernel, struct kernel_node *node);
/* At most all lookups, and those only when nothing is open or known below. */
void kernel_forget(struct kernel *kernel, struct kernel_node *node, unsigned count);
