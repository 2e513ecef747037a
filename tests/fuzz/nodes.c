/* The node layer without a kernel: requests as the kernel could send them, in any order, made
 * from the input. The session speaks over a pair of sockets in place of /dev/fuse, so every
 * reply is seen. Checked: each request is answered once, with an error that its kind may have
 * (never a write with EAGAIN, EINTR, or less than all); what is said of the live tree is what
 * a model says; nothing is left in the node table when all is forgotten; the same when a
 * call of the store fails, which the first byte says, but for the model. What the kernel never
 * does is not done here either: a node it has forgotten is not named, a handle is released
 * once, a directory is not read as a file. */
#include "tests/fuzz/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEPS_MAX 200

struct input {
	const uint8_t *at;
	size_t left;
};

static unsigned take(struct input *input)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->at++;
}

static const char *take_name(struct input *input)
{
	static const char *const names[] = {
		"a",	   "b",	      "c",	 "keys",      "txn",	   "t1",     "t2",
		"commit",  "restart", "reads",	 "writes",    "rebase",	   "status", "eval",
		"control", "compact", "purge",	 "meta",      "at",	   "1",	     "2",
		"new",	   "message", "timeout", "isolation", "conflicts", "log",    "revision",
		"a",	   "b",	      "c",	 "a",
	};

	return names[take(input) % G_N_ELEMENTS(names)];
}

/* ---- Steps ----------------------------------------------------------------------- */

static struct kernel_node *take_node(struct kernel *kernel, struct input *input, unsigned type)
{
	unsigned first = take(input);

	for (unsigned i = 0; i < kernel->nodes->len; i++) {
		struct kernel_node *node = kernel->nodes->pdata[(first + i) % kernel->nodes->len];

		if (node->type == type)
			return node;
	}
	return NULL;
}

static struct opened *take_open(struct kernel *kernel, struct input *input, bool directory)
{
	unsigned first = take(input);

	for (unsigned i = 0; i < kernel->opened->len; i++) {
		struct opened *file = kernel->opened->pdata[(first + i) % kernel->opened->len];

		if (file->directory == directory)
			return file;
	}
	return NULL;
}

static void step_in_directory(struct kernel *kernel, struct input *input, unsigned what)
{
	struct kernel_node *directory = take_node(kernel, input, S_IFDIR);
	const char *name = take_name(input);
	struct kernel_node *other;

	switch (what) {
	case 0:
		kernel_make(kernel, directory, name, FUSE_MKDIR);
		break;
	case 1:
		kernel_make(kernel, directory, name, FUSE_SYMLINK);
		break;
	case 2:
		kernel_create(kernel, directory, name, take(input) % 2 ? O_RDWR : O_WRONLY);
		break;
	case 3:
		kernel_remove(kernel, directory, name, FUSE_UNLINK);
		break;
	case 4:
		kernel_remove(kernel, directory, name, FUSE_RMDIR);
		break;
	case 5:
		other = take_node(kernel, input, S_IFDIR);
		kernel_rename(kernel, directory, name, other, take_name(input), take(input) % 3);
		break;
	default:
		kernel_lookup(kernel, directory, name);
	}
}

static void step_on_node(struct kernel *kernel, struct input *input, unsigned what)
{
	static const int flags[] = { O_RDONLY, O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC,
				     O_WRONLY | O_APPEND };
	static const unsigned types[] = { S_IFREG, S_IFDIR, S_IFLNK };
	struct kernel_node *node = take_node(kernel, input, what == 0 ? S_IFREG : types[what % 3]);

	if (!node)
		return;
	switch (what) {
	case 0:
		kernel_open(kernel, node, flags[take(input) % G_N_ELEMENTS(flags)]);
		break;
	case 1:
		kernel_open(kernel, node, O_RDONLY | O_DIRECTORY);
		break;
	case 2:
		kernel_readlink(kernel, node);
		break;
	case 3:
		kernel_truncate(kernel, node, take(input));
		break;
	case 4:
	case 5:
	case 6:
		kernel_getattr(kernel, node);
		break;
	default:
		kernel_chmod(kernel, node, 0600 | take(input) % 64);
	}
}

static void step_on_file(struct kernel *kernel, struct input *input, unsigned what)
{
	struct opened *file = take_open(kernel, input, false);
	unsigned offset = take(input);
	size_t size;

	if (!file)
		return;
	switch (what) {
	case 0:
	case 1:
		size = take(input) % 32;
		size = MIN(size, input->left);
		kernel_write(kernel, file, offset, input->at, size);
		input->at += size;
		input->left -= size;
		break;
	case 2:
	case 3:
		kernel_read(kernel, file, offset);
		break;
	case 4:
		kernel_flush(kernel, file, FUSE_FLUSH);
		break;
	case 5:
		kernel_flush(kernel, file, FUSE_FSYNC);
		break;
	default:
		kernel_release(kernel, file);
	}
}

static void step(struct kernel *kernel, struct input *input)
{
	unsigned what = take(input);
	struct opened *directory;
	struct kernel_node *node;

	switch (what % 8) {
	case 0:
	case 1:
	case 2:
		step_in_directory(kernel, input, what / 8 % 9);
		break;
	case 3:
	case 4:
		step_on_node(kernel, input, what / 8 % 8);
		break;
	case 5:
		step_on_file(kernel, input, what / 8 % 7);
		break;
	case 6:
		directory = take_open(kernel, input, true);
		if (directory && what / 8 % 4 == 0)
			kernel_release(kernel, directory);
		else if (directory)
			kernel_readdir(kernel, directory, what / 8 % 2);
		break;
	default:
		node = kernel->nodes->pdata[take(input) % kernel->nodes->len];
		kernel_forget(kernel, node, 1 + take(input) % 3);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	unsigned first = take(&input);
	struct kernel *kernel = kernel_get(first % 4 == 0 ? first / 4 : 0);

	for (int i = 0; i < STEPS_MAX && input.left > 0; i++)
		step(kernel, &input);
	kernel_put(kernel);
	return 0;
}
