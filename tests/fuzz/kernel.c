/* See kernel.h. The sockets keep messages whole, as /dev/fuse does. One thread sends,
 * processes and reads, so that an input means the same each time; replies of the mount's own
 * threads are waited for. */
#include "tests/fuzz/kernel.h"

#include "fs/fs.h"
#include "fs/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define MESSAGE_MAX (256 * 1024)
enum { ANSWER_MS = 60000, FORGET_MS = 10000 };

/* libfuse would open /dev/fuse: the linker calls these in place of its functions. */
int __wrap_fuse_session_mount(struct fuse_session *session, const char *point);
int __wrap_fuse_session_fd(struct fuse_session *session);

static struct {
	int ours, its; /* the two ends */
	struct store *store;
	struct registry *registry;
	struct fs *fs;
	struct fuse_buf buffer;
	char message[MESSAGE_MAX];
} mount;

int __wrap_fuse_session_mount(struct fuse_session *session, const char *point)
{
	(void)session;
	(void)point;
	return 0;
}

int __wrap_fuse_session_fd(struct fuse_session *session)
{
	(void)session;
	return mount.its;
}

/* ---- Requests -------------------------------------------------------------------- */

/* Up to three parts follow the header. */
struct part {
	const void *data;
	size_t size;
};

static void send_request(struct kernel *kernel, uint32_t opcode, uint64_t node,
			 const struct part parts[static 3])
{
	struct fuse_in_header header = { .len = sizeof(header),
					 .opcode = opcode,
					 .unique = kernel->unique += 2,
					 .nodeid = node,
					 .pid = (uint32_t)getpid() };
	size_t used = sizeof(header);

	for (int i = 0; i < 3; i++)
		header.len += (uint32_t)parts[i].size;
	memcpy(mount.message, &header, sizeof(header));
	for (int i = 0; i < 3; i++) {
		if (parts[i].size > 0)
			memcpy(mount.message + used, parts[i].data, parts[i].size);
		used += parts[i].size;
	}
	g_assert(send(mount.ours, mount.message, used, 0) == (ssize_t)used);
	g_assert(fuse_session_receive_buf(mount.fs->session, &mount.buffer) == (int)used);
	fuse_session_process_buf(mount.fs->session, &mount.buffer);
}

static bool is_allowed(const struct kernel *kernel, int error)
{
	static const int allowed[] = { 0,	  ENOENT, EEXIST, ENOTDIR, EISDIR,
				       ENOTEMPTY, EINVAL, EPERM,  EACCES,  ESTALE,
				       ECANCELED, EXDEV,  EBUSY,  EROFS,   EFBIG,
				       ELOOP,	  EBADF,  ESRCH,  ENODEV,  ENAMETOOLONG };

	for (guint i = 0; i < G_N_ELEMENTS(allowed); i++) {
		if (error == allowed[i])
			return true;
	}
	return kernel->faulty && error == EIO;
}

/* The next message; notifications, which nothing waits for, are passed over. */
static bool read_reply(struct kernel *kernel, int wait_ms)
{
	struct pollfd end = { .fd = mount.ours, .events = POLLIN };
	struct fuse_out_header header = { 0 };
	ssize_t size = 0;

	do {
		int ready = poll(&end, 1, wait_ms);

		if (ready < 0 && errno == EINTR)
			continue; /* libFuzzer's alarm */
		if (ready <= 0)
			return false;
		size = recv(mount.ours, mount.message, MESSAGE_MAX, 0);
		g_assert(size >= (ssize_t)sizeof(header));
		memcpy(&header, mount.message, sizeof(header));
		g_assert(header.len == size);
	} while (header.unique == 0);
	g_assert(header.unique == kernel->unique); /* once, and no other */
	kernel->error = -header.error;
	g_byte_array_set_size(kernel->reply, 0);
	g_byte_array_append(kernel->reply, (guint8 *)mount.message + sizeof(header),
			    (guint)(size - (ssize_t)sizeof(header)));
	return true;
}

/* Sends a request and reads its one reply. True: it succeeded. */
static bool call(struct kernel *kernel, uint32_t opcode, uint64_t node, struct part a,
		 struct part b, struct part c)
{
	const struct part parts[3] = { a, b, c };

	send_request(kernel, opcode, node, parts);
	g_assert(read_reply(kernel, ANSWER_MS));
	g_assert(is_allowed(kernel, kernel->error));
	return kernel->error == 0;
}

#define PART(object) ((struct part){ &(object), sizeof(object) })
static const struct part nothing = { NULL, 0 };

static struct part text(const char *name)
{
	return (struct part){ name, strlen(name) + 1 };
}

#define REPLY(type) ((const struct type *)(const void *)kernel->reply->data)

/* ---- The model ------------------------------------------------------------------- */

static char *entry_key(uint64_t directory, const char *name)
{
	return g_strdup_printf("%" G_GUINT64_FORMAT "/%s", directory, name);
}

static struct object *find_entry(struct kernel *kernel, const struct kernel_node *directory,
				 const char *name)
{
	g_autofree char *key = entry_key(directory->ino, name);

	return directory->live ? g_hash_table_lookup(kernel->entries, key) : NULL;
}

static bool is_there(struct kernel *kernel, const struct object *object)
{
	GHashTableIter iter;
	struct object *other;

	g_hash_table_iter_init(&iter, kernel->entries);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&other)) {
		if (other == object)
			return true;
	}
	return false;
}

static bool is_empty(struct kernel *kernel, uint64_t ino)
{
	g_autofree char *prefix = entry_key(ino, "");
	GHashTableIter iter;
	char *key;

	g_hash_table_iter_init(&iter, kernel->entries);
	while (g_hash_table_iter_next(&iter, (void **)&key, NULL)) {
		if (g_str_has_prefix(key, prefix))
			return false;
	}
	return true;
}

static void put_entry(struct kernel *kernel, const struct kernel_node *directory, const char *name,
		      struct object *object)
{
	if (object)
		g_hash_table_replace(kernel->entries, entry_key(directory->ino, name), object);
	else {
		g_autofree char *key = entry_key(directory->ino, name);

		g_hash_table_remove(kernel->entries, key);
	}
}

static struct object *object_of(struct kernel *kernel, const struct kernel_node *node)
{
	return node->live ? g_hash_table_lookup(kernel->objects, &node->ino) : NULL;
}

static void object_free(gpointer data)
{
	struct object *object = data;

	g_string_free(object->value, TRUE);
	g_free(object);
}

static struct object *object_new(struct kernel *kernel, uint64_t ino, unsigned type)
{
	struct object *object = g_new0(struct object, 1);

	object->ino = ino;
	object->type = type;
	object->value = g_string_new(NULL);
	g_assert(!g_hash_table_contains(kernel->objects, &ino));
	g_hash_table_insert(kernel->objects, &object->ino, object);
	return object;
}

/* ---- Names ----------------------------------------------------------------------- */

/* Counts the lookup of a reply. */
static struct kernel_node *learn(struct kernel *kernel, const struct kernel_node *directory,
				 const struct fuse_entry_out *entry, const char *name)
{
	struct kernel_node *node = NULL;

	g_assert(entry->nodeid > 0 && entry->generation == 0);
	for (guint i = 0; i < kernel->nodes->len && !node; i++) {
		struct kernel_node *other = kernel->nodes->pdata[i];

		node = other->id == entry->nodeid ? other : NULL;
	}
	if (!node) {
		node = g_new0(struct kernel_node, 1);
		node->id = entry->nodeid;
		node->type = entry->attr.mode & S_IFMT;
		node->ino = entry->attr.ino;
		node->live = !kernel->faulty &&
			     (directory->live ||
			      (directory->id == FUSE_ROOT_ID && strcmp(name, "keys") == 0));
		g_ptr_array_add(kernel->nodes, node);
	}
	g_assert(node->type == (entry->attr.mode & S_IFMT) && node->ino == entry->attr.ino);
	node->parent = directory->id;
	node->lookups++;
	return node;
}

void kernel_lookup(struct kernel *kernel, struct kernel_node *directory, const char *name)
{
	const struct object *object = find_entry(kernel, directory, name);
	bool found = call(kernel, FUSE_LOOKUP, directory->id, text(name), nothing, nothing);

	/* Whoever reserved a name finds it: here all are one process. */
	g_assert(!directory->live || found == (object != NULL));
	if (!found)
		return;
	if (object)
		g_assert(REPLY(fuse_entry_out)->attr.ino == object->ino);
	if (object && object->type == S_IFREG && !object->writers && !object->uncertain)
		g_assert(REPLY(fuse_entry_out)->attr.size == object->value->len);
	learn(kernel, directory, REPLY(fuse_entry_out), name);
}

void kernel_make(struct kernel *kernel, struct kernel_node *directory, const char *name,
		 uint32_t opcode)
{
	struct fuse_mkdir_in in = { .mode = 0755 };
	bool taken = find_entry(kernel, directory, name) != NULL;
	struct object *top = object_of(kernel, directory);
	bool gone = directory->live && top && !is_there(kernel, top);
	bool made = opcode == FUSE_MKDIR ?
			    call(kernel, opcode, directory->id, PART(in), text(name), nothing) :
			    call(kernel, opcode, directory->id, text(name), text("z"), nothing);

	if (directory->live)
		g_assert(made == (!taken && !gone));
	if (directory->live && taken)
		g_assert(kernel->error == EEXIST || gone);
	if (!made)
		return;
	if (directory->live)
		put_entry(kernel, directory, name,
			  object_new(kernel, REPLY(fuse_entry_out)->attr.ino,
				     opcode == FUSE_MKDIR ? S_IFDIR : S_IFLNK));
	learn(kernel, directory, REPLY(fuse_entry_out), name);
}

void kernel_remove(struct kernel *kernel, struct kernel_node *directory, const char *name,
		   uint32_t opcode)
{
	struct object *object = find_entry(kernel, directory, name);
	bool removed = call(kernel, opcode, directory->id, text(name), nothing, nothing);
	bool is_directory = object && object->type == S_IFDIR;

	if (!directory->live)
		return;
	g_assert(removed == (object && is_directory == (opcode == FUSE_RMDIR) &&
			     (!is_directory || is_empty(kernel, object->ino))));
	if (removed)
		put_entry(kernel, directory, name, NULL);
}

/* What the kernel itself refuses is not sent. */
static bool can_be_sent(const struct kernel_node *from, const struct object *source,
			const struct kernel_node *to, const struct object *target, unsigned flags)
{
	if (!from->live || !to->live)
		return true;
	if (!source || source == target || source->reserved || (target && target->reserved))
		return false;
	if ((flags & RENAME_EXCHANGE && !target) || (flags & RENAME_NOREPLACE && target))
		return false;
	/* Into itself, or over what it lies in. */
	return source->type != S_IFDIR && (!target || target->type != S_IFDIR);
}

static void moved(struct kernel *kernel, const struct kernel_node *from, const char *name,
		  const struct kernel_node *to, const char *new_name, unsigned flags)
{
	struct object *source = find_entry(kernel, from, name);
	struct object *target = find_entry(kernel, to, new_name);

	put_entry(kernel, from, name, flags & RENAME_EXCHANGE ? target : NULL);
	put_entry(kernel, to, new_name, source);
	for (guint i = 0; i < kernel->nodes->len; i++) {
		struct kernel_node *node = kernel->nodes->pdata[i];

		if (node->live && node->ino == source->ino)
			node->parent = to->id;
		else if (node->live && target && node->ino == target->ino)
			node->parent = from->id;
	}
}

void kernel_rename(struct kernel *kernel, struct kernel_node *from, const char *name,
		   struct kernel_node *to, const char *new_name, unsigned flags)
{
	struct fuse_rename2_in in = { .newdir = to->id, .flags = flags };
	struct object *source = find_entry(kernel, from, name);
	struct object *target = find_entry(kernel, to, new_name);
	struct object *top = object_of(kernel, to);
	bool gone = top && !is_there(kernel, top);
	bool done;

	if (!can_be_sent(from, source, to, target, flags))
		return;
	done = call(kernel, FUSE_RENAME2, from->id, PART(in), text(name), text(new_name));
	if (!from->live || !to->live) {
		g_assert(!done || (!from->live && !to->live));
		return;
	}
	g_assert(done == !gone);
	if (done)
		moved(kernel, from, name, to, new_name, flags);
}

/* ---- Open files ------------------------------------------------------------------ */

static struct opened *add_opened(struct kernel *kernel, struct kernel_node *node, uint64_t fh,
				 int flags)
{
	struct opened *file = g_new0(struct opened, 1);

	file->fh = fh;
	file->node = node;
	file->flags = flags;
	file->directory = flags & O_DIRECTORY;
	g_ptr_array_add(kernel->opened, file);
	return file;
}

static void start_writing(struct opened *file, struct object *object)
{
	file->object = object;
	file->image = g_string_new_len(object->value->str, (gssize)object->value->len);
	if (file->flags & O_TRUNC)
		g_string_truncate(file->image, 0);
	file->pending = object->reserved || file->flags & O_TRUNC;
	if (object->writers++ > 0)
		object->uncertain = true;
}

void kernel_create(struct kernel *kernel, struct kernel_node *directory, const char *name,
		   int flags)
{
	struct fuse_create_in in = { .flags = (uint32_t)flags | O_CREAT, .mode = S_IFREG | 0644 };
	struct object *object = find_entry(kernel, directory, name);
	struct object *top = object_of(kernel, directory);
	struct fuse_open_out open;
	struct opened *file;

	if (object)
		return; /* the kernel opens it */
	if (!call(kernel, FUSE_CREATE, directory->id, PART(in), text(name), nothing)) {
		g_assert(!directory->live || (top && !is_there(kernel, top)));
		return;
	}
	memcpy(&open, kernel->reply->data + sizeof(struct fuse_entry_out), sizeof(open));
	file = add_opened(kernel, learn(kernel, directory, REPLY(fuse_entry_out), name), open.fh,
			  flags);
	if (!directory->live)
		return;
	object = object_new(kernel, REPLY(fuse_entry_out)->attr.ino, S_IFREG);
	object->reserved = true;
	put_entry(kernel, directory, name, object);
	start_writing(file, object);
}

void kernel_open(struct kernel *kernel, struct kernel_node *node, int flags)
{
	struct fuse_open_in in = { 0 };
	bool directory = node->type == S_IFDIR;
	struct object *object = object_of(kernel, node);
	struct opened *file;

	flags = directory ? O_RDONLY | O_DIRECTORY : flags;
	in.flags = (uint32_t)flags;
	if (!call(kernel, directory ? FUSE_OPENDIR : FUSE_OPEN, node->id, PART(in), nothing,
		  nothing))
		return;
	file = add_opened(kernel, node, REPLY(fuse_open_out)->fh, flags);
	if (object && !directory && (flags & O_ACCMODE) != O_RDONLY)
		start_writing(file, object);
}

static void commit(struct kernel *kernel, struct opened *file)
{
	if (!file->object || !file->pending)
		return;
	file->pending = false;
	file->object->reserved = false;
	if (is_there(kernel, file->object))
		g_string_assign(file->object->value, file->image->str);
}

void kernel_write(struct kernel *kernel, struct opened *file, unsigned offset, const void *data,
		  size_t size)
{
	struct fuse_write_in in = { .fh = file->fh,
				    .offset = offset,
				    .size = (uint32_t)size,
				    .flags = (uint32_t)file->flags };
	g_autofree char *clean = g_memdup2(data, size);

	if ((file->flags & O_ACCMODE) == O_RDONLY || size == 0)
		return;
	if (file->object) {
		/* Texts compare as strings. */
		for (size_t i = 0; i < size; i++)
			clean[i] = (char)('a' + (unsigned char)clean[i] % 26);
	}
	if (!call(kernel, FUSE_WRITE, file->node->id, PART(in), (struct part){ clean, size },
		  nothing)) {
		g_assert(kernel->error != EAGAIN && kernel->error != EINTR);
		g_assert(!file->object);
		return;
	}
	g_assert(REPLY(fuse_write_out)->size == size);
	if (!file->object)
		return;
	if (file->flags & O_APPEND)
		offset = (unsigned)file->image->len;
	while (file->image->len < offset + size)
		g_string_append_c(file->image, file->image->len < offset ? 'Z' : ' ');
	memcpy(file->image->str + offset, clean, size);
	file->pending = true;
	/* Zeros in between, and what was committed under it meanwhile. */
	if (strchr(file->image->str, 'Z') || (file->flags & O_APPEND))
		file->object->uncertain = true;
}

void kernel_read(struct kernel *kernel, struct opened *file, unsigned offset)
{
	struct fuse_read_in in = { .fh = file->fh, .offset = offset, .size = 4096 };
	const struct object *object = object_of(kernel, file->node);

	/* A stream of changes waits, and is another test's. */
	if ((file->flags & O_ACCMODE) == O_WRONLY)
		return;
	if (!call(kernel, FUSE_READ, file->node->id, PART(in), nothing, nothing))
		return;
	g_assert(kernel->reply->len <= in.size);
	if (file->object && !object->uncertain) {
		size_t left = file->image->len - MIN(offset, file->image->len);

		g_assert(kernel->reply->len == MIN(left, in.size));
		g_assert(left == 0 || memcmp(kernel->reply->data, file->image->str + offset,
					     kernel->reply->len) == 0);
	}
}

void kernel_readdir(struct kernel *kernel, struct opened *directory, bool plus)
{
	struct fuse_read_in in = { .fh = directory->fh, .size = 4096 };
	size_t at = 0, head = plus ? sizeof(struct fuse_entry_out) : 0;

	if (!call(kernel, plus ? FUSE_READDIRPLUS : FUSE_READDIR, directory->node->id, PART(in),
		  nothing, nothing))
		return;
	while (at + head + FUSE_NAME_OFFSET <= kernel->reply->len) {
		const guint8 *place = kernel->reply->data + at;
		const struct fuse_dirent *entry = (const void *)(place + head);
		g_autofree char *name = g_strndup(entry->name, entry->namelen);
		bool dots = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
		const struct object *object = find_entry(kernel, directory->node, name);

		if (directory->node->live && !dots && object)
			g_assert(entry->ino == object->ino || !is_there(kernel, object));
		if (plus && !dots && ((const struct fuse_entry_out *)(const void *)place)->nodeid)
			learn(kernel, directory->node, (const void *)place, name);
		at += FUSE_DIRENT_ALIGN(head + FUSE_NAME_OFFSET + entry->namelen);
	}
	g_assert(at == kernel->reply->len);
}

void kernel_flush(struct kernel *kernel, struct opened *file, uint32_t opcode)
{
	struct fuse_flush_in flush = { .fh = file->fh };
	struct fuse_fsync_in fsync = { .fh = file->fh };

	call(kernel, opcode, file->node->id, opcode == FUSE_FLUSH ? PART(flush) : PART(fsync),
	     nothing, nothing);
	/* FLUSH leaves to RELEASE what was only truncated or created. */
	if (file->object && file->pending && opcode == FUSE_FLUSH &&
	    (file->object->reserved || file->flags & O_TRUNC))
		file->object->uncertain = true;
	else
		commit(kernel, file);
}

void kernel_release(struct kernel *kernel, struct opened *file)
{
	struct fuse_release_in in = { .fh = file->fh, .flags = (uint32_t)file->flags };

	commit(kernel, file);
	g_assert(call(kernel, file->directory ? FUSE_RELEASEDIR : FUSE_RELEASE, file->node->id,
		      PART(in), nothing, nothing) ||
		 kernel->faulty);
	if (file->object)
		file->object->writers--;
	if (file->image)
		g_string_free(file->image, TRUE);
	g_ptr_array_remove_fast(kernel->opened, file);
	g_free(file);
}

/* ---- Attributes ------------------------------------------------------------------ */

void kernel_getattr(struct kernel *kernel, struct kernel_node *node)
{
	struct fuse_getattr_in in = { 0 };
	const struct object *object = object_of(kernel, node);

	if (!call(kernel, FUSE_GETATTR, node->id, PART(in), nothing, nothing)) {
		g_assert(kernel->faulty || kernel->error == ESTALE || kernel->error == ENOENT);
		g_assert(!object || !is_there(kernel, object));
		return;
	}
	g_assert((REPLY(fuse_attr_out)->attr.mode & S_IFMT) == node->type);
	g_assert(node->id == FUSE_ROOT_ID || REPLY(fuse_attr_out)->attr.ino == node->ino);
	if (object && object->type == S_IFREG && !object->writers && !object->uncertain &&
	    is_there(kernel, object))
		g_assert(REPLY(fuse_attr_out)->attr.size == object->value->len);
}

void kernel_chmod(struct kernel *kernel, struct kernel_node *node, unsigned mode)
{
	struct fuse_setattr_in in = { .valid = FATTR_MODE, .mode = node->type | mode };

	if (node->type != S_IFLNK &&
	    call(kernel, FUSE_SETATTR, node->id, PART(in), nothing, nothing))
		g_assert((REPLY(fuse_attr_out)->attr.mode & S_IFMT) == node->type);
}

void kernel_truncate(struct kernel *kernel, struct kernel_node *node, unsigned size)
{
	struct fuse_setattr_in in = { .valid = FATTR_SIZE, .size = size };
	struct object *object = object_of(kernel, node);

	if (node->type != S_IFREG)
		return;
	call(kernel, FUSE_SETATTR, node->id, PART(in), nothing, nothing);
	if (object)
		object->uncertain = true;
}

void kernel_readlink(struct kernel *kernel, struct kernel_node *node)
{
	if (node->type == S_IFLNK)
		call(kernel, FUSE_READLINK, node->id, nothing, nothing, nothing);
}

/* ---- Forgetting ------------------------------------------------------------------ */

static bool is_used(const struct kernel *kernel, const struct kernel_node *node)
{
	for (guint i = 0; i < kernel->nodes->len; i++) {
		if (((struct kernel_node *)kernel->nodes->pdata[i])->parent == node->id)
			return true;
	}
	for (guint i = 0; i < kernel->opened->len; i++) {
		if (((struct opened *)kernel->opened->pdata[i])->node == node)
			return true;
	}
	return false;
}

void kernel_forget(struct kernel *kernel, struct kernel_node *node, unsigned count)
{
	struct fuse_forget_in in = { .nlookup = MIN(count, node->lookups) };
	const struct part parts[3] = { PART(in), nothing, nothing };

	if (node->id == FUSE_ROOT_ID || (in.nlookup == node->lookups && is_used(kernel, node)))
		return;
	send_request(kernel, FUSE_FORGET, node->id, parts); /* has no reply */
	node->lookups -= in.nlookup;
	if (node->lookups == 0) {
		g_ptr_array_remove(kernel->nodes, node);
		g_free(node);
	}
}

static void forget_all(struct kernel *kernel)
{
	while (kernel->opened->len > 0)
		kernel_release(kernel, kernel->opened->pdata[0]);
	while (kernel->nodes->len > 1) {
		for (guint i = kernel->nodes->len; i-- > 1;) {
			struct kernel_node *node = kernel->nodes->pdata[i];

			if (!is_used(kernel, node))
				kernel_forget(kernel, node, (unsigned)node->lookups);
		}
	}
}

/* ---- The mount ------------------------------------------------------------------- */

static guint count_nodes(void)
{
	guint count;

	pthread_mutex_lock(&mount.fs->nodes.lock);
	count = g_hash_table_size(mount.fs->nodes.by_id);
	pthread_mutex_unlock(&mount.fs->nodes.lock);
	return count;
}

/* One store for all inputs, since opening one takes longer than most inputs; it is emptied
 * after each. */
static struct store *get_store(void)
{
	struct store_options options;
	char *message = NULL;

	if (!mount.store) {
		store_options_init(&options);
		options.history_revisions = 100;
		g_assert(store_open(&options, &mount.store, &message) == 0);
		mount.store = store_fault_new(mount.store, 0, 0);
	}
	return mount.store;
}

static void emptied(const struct program_result *result, void *arg)
{
	g_assert(result->error == 0);
	g_atomic_int_set((gint *)arg, 1);
}

static void empty_store(void)
{
	static const struct credentials somebody = { 0 };
	struct program *program = program_new(&somebody);
	gint done = 0;

	program_add(program, OP_DELETE_TREE, "");
	store_submit(mount.store, program, emptied, &done);
	while (!g_atomic_int_get(&done))
		g_usleep(100);
}

static void start_mount(void)
{
	struct registry_options registry_options;
	struct fs_options options;
	char *message = NULL;
	int ends[2];

	g_assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
	mount.ours = ends[0];
	mount.its = ends[1];
	registry_options_init(&registry_options);
	fs_options_init(&options);
	options.mount_point = options.source = "nowhere";
	g_assert(registry_new(get_store(), &registry_options, &mount.registry) == 0);
	g_assert(fs_mount(&options, mount.store, mount.registry, &mount.fs, &message) == 0);
}

struct kernel *kernel_get(unsigned failing)
{
	struct fuse_init_in in = { .major = 7,
				   .minor = 36,
				   .max_readahead = 65536,
				   .flags = FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES |
					    FUSE_DO_READDIRPLUS | FUSE_PARALLEL_DIROPS };
	struct kernel *kernel = g_new0(struct kernel, 1);
	struct kernel_node *root = g_new0(struct kernel_node, 1);

	start_mount();
	kernel->nodes = g_ptr_array_new();
	kernel->opened = g_ptr_array_new();
	kernel->objects = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, object_free);
	kernel->entries = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	kernel->reply = g_byte_array_new();
	root->id = FUSE_ROOT_ID;
	root->type = S_IFDIR;
	root->lookups = 1;
	g_ptr_array_add(kernel->nodes, root);
	g_assert(call(kernel, FUSE_INIT, 0, PART(in), nothing, nothing));
	kernel->base_nodes = count_nodes();
	kernel->faulty = failing > 0;
	kernel_lookup(kernel, root, "keys");
	store_fault_set(mount.store, failing, -EIO);
	return kernel;
}

void kernel_put(struct kernel *kernel)
{
	gint64 end = g_get_monotonic_time() + FORGET_MS * 1000;

	store_fault_set(mount.store, 0, 0);
	forget_all(kernel);
	/* Sessions and notices on their way hold nodes for a moment. */
	while (count_nodes() != kernel->base_nodes && g_get_monotonic_time() < end)
		g_usleep(1000);
	g_assert(count_nodes() == kernel->base_nodes);
	fs_free(mount.fs);
	registry_free(mount.registry);
	empty_store();
	close(mount.ours);
	close(mount.its);
	g_clear_pointer(&mount.buffer.mem, free);
	mount.buffer.size = 0;
	g_free(kernel->nodes->pdata[0]);
	g_ptr_array_unref(kernel->nodes);
	g_ptr_array_unref(kernel->opened);
	g_hash_table_unref(kernel->entries);
	g_hash_table_unref(kernel->objects);
	g_byte_array_unref(kernel->reply);
	g_free(kernel);
}
