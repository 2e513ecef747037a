/* Files on the disk itself, done right: a lock, new files that are synced and renamed, and
 * the directory synced. Not atomic over both keys even so. */
#include "tools/bench/clients.h"
#include "tools/bench/files.h"
#include "tools/bench/peers.h"
#include "tools/bench/site.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define DIRECTORY "disk"

struct disk {
	int directory;
	int lock;
};

static int prepare(struct bench *bench, const struct row *row)
{
	g_autofree char *path = g_build_filename(bench->scratch, DIRECTORY, NULL);

	return access(path, F_OK) == 0 ? 0 : site_fill_directory(path, row->keys);
}

static int open_disk(struct client *client)
{
	g_autofree char *path = g_build_filename(client->bench->scratch, DIRECTORY, NULL);
	struct disk *disk = g_new(struct disk, 1);

	*disk = (struct disk){ -1, -1 };
	client->state = disk;
	disk->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (disk->directory >= 0)
		disk->lock = openat(disk->directory, ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return disk->lock < 0 ? client_fail_at(client, "open", path, -errno) : 0;
}

static void close_disk(struct client *client)
{
	struct disk *disk = client->state;

	if (disk->lock >= 0)
		close(disk->lock);
	if (disk->directory >= 0)
		close(disk->directory);
	g_free(disk);
}

static int write_synced(int directory, const char *name, const char *text)
{
	int fd = openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int r;

	if (fd < 0)
		return -errno;
	r = file_write(fd, text, strlen(text));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int change(int directory, guint account, int by)
{
	char name[32], partial[40], value[32];
	ssize_t size;
	int r;

	snprintf(name, sizeof(name), "%u", account);
	snprintf(partial, sizeof(partial), ".%s.new", name);
	size = file_read_at(directory, name, value, sizeof(value));
	if (size < 0)
		return (int)size;
	snprintf(value, sizeof(value), "%d\n", atoi(value) + by);
	r = write_synced(directory, partial, value);
	if (r == 0 && renameat(directory, partial, directory, name) < 0)
		r = -errno;
	return r;
}

static int transfer(struct client *client)
{
	const struct disk *disk = client->state;
	guint pair[2];
	int r;

	client_random_pair(client, client->row->keys, pair);
	if (flock(disk->lock, LOCK_EX) < 0)
		return client_fail_at(client, "lock", DIRECTORY "/.lock", -errno);
	r = change(disk->directory, pair[0], -1);
	if (r == 0)
		r = change(disk->directory, pair[1], 1);
	if (r == 0 && fsync(disk->directory) < 0)
		r = -errno;
	flock(disk->lock, LOCK_UN);
	return r < 0 ? client_fail(client, r, "cannot transfer: %s", g_strerror(-r)) : 0;
}

static int read_one(struct client *client)
{
	const struct disk *disk = client->state;
	char name[32], value[32];
	ssize_t size;

	snprintf(name, sizeof(name), "%u", client_random(client, client->row->keys));
	size = file_read_at(disk->directory, name, value, sizeof(value));
	return size < 0 ?
		       client_fail(client, (int)size, "cannot read: %s", g_strerror((int)-size)) :
		       0;
}

static const struct workload transfer_workload = {
	.open = open_disk,
	.step = transfer,
	.close = close_disk,
};
static const struct workload read_workload = {
	.open = open_disk,
	.step = read_one,
	.close = close_disk,
};

static const char transfer_script[] = SHELL_BEGIN
	"cd \"$scratch/" DIRECTORY "\" && exec 3> .lock || exit\n"
	"call() {\n"
	"	local a=$((RANDOM % keys)) b x y\n"
	"	b=$(((a + 1 + RANDOM % (keys - 1)) % keys))\n"
	"	flock 3\n"
	"	read -r x < $a; read -r y < $b\n"
	"	echo $((x - 1)) > .$a.new; echo $((y + 1)) > .$b.new\n"
	"	sync .$a.new .$b.new && mv .$a.new $a && mv .$b.new $b && sync .\n"
	"	flock -u 3\n"
	"}\n"
	"work\n";

static const char read_script[] = SHELL_BEGIN "cd \"$scratch/" DIRECTORY "\" || exit\n"
					      "call() { read -r x < $((RANDOM % keys)); }\n"
					      "work\n";

const struct row disk_rows[] = {
	{ PEER_ROW("disk", 1), .prepare = prepare, .workload = &transfer_workload },
	{ PEER_ROW("disk", 16), .prepare = prepare, .workload = &transfer_workload },
	{ PEER_ROW("disk-read", 1), .prepare = prepare, .workload = &read_workload },
	{ PEER_SHELL_ROW("disk-shell", transfer_script), .prepare = prepare },
	{ PEER_SHELL_ROW("disk-shell-read", read_script), .prepare = prepare },
};
const guint disk_rows_count = G_N_ELEMENTS(disk_rows);
