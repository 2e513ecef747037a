/* See calls.h. A process is told a call and answers it over a socket that keeps messages
 * whole; nothing happens at the same time. */
#include "calls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

const char *const call_names[CALL_COUNT] = {
	"open",	    "close", "pread",	 "pwrite",  "append", "ftruncate", "fstat",	 "seek_end",
	"fsync",    "lstat", "truncate", "unlink",  "mkdir",  "rmdir",	   "rename",	 "symlink",
	"readlink", "chmod", "chown",	 "utimens", "list",   "read_file", "write_file",
};

static int files[SLOTS];
static struct {
	pid_t pid;
	int socket;
} others[PROCESSES];

/* ---- Making them ----------------------------------------------------------------- */

static int64_t result_of(int64_t result)
{
	return result < 0 ? -errno : result;
}

static int64_t tell_status(int result, const struct stat *status, struct answer *ret)
{
	if (result < 0)
		return -errno;
	ret->mode = status->st_mode;
	ret->uid = status->st_uid;
	ret->gid = status->st_gid;
	ret->links = (unsigned)status->st_nlink;
	ret->ino = status->st_ino;
	ret->bytes = (uint64_t)status->st_size;
	ret->blocks = (uint64_t)status->st_blocks;
	ret->mtime_s = status->st_mtim.tv_sec;
	return 0;
}

static int64_t list(const char *path, struct answer *ret)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	size_t used = 0;

	if (!directory)
		return -errno;
	while ((entry = readdir(directory))) {
		char type = entry->d_type == DT_DIR ? 'd' : entry->d_type == DT_LNK ? 'l' : 'f';

		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			used += (size_t)snprintf(ret->data + used, DATA_MAX - used, "%c %s\n", type,
						 entry->d_name);
	}
	closedir(directory);
	ret->size = (uint32_t)used;
	return 0;
}

static int64_t read_file(const char *path, struct answer *ret)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW);
	ssize_t size = 0, more;

	if (fd < 0)
		return -errno;
	while ((more = read(fd, ret->data + size, (size_t)(DATA_MAX - size))) > 0)
		size += more;
	if (more < 0)
		size = -errno;
	close(fd);
	ret->size = size > 0 ? (uint32_t)size : 0;
	return size;
}

static int64_t write_file(const struct call *call)
{
	int fd = open(call->path, O_WRONLY);
	int64_t result;

	if (fd < 0)
		return -errno;
	result = result_of(write(fd, call->data, call->size));
	close(fd);
	return result;
}

static int64_t make_on_file(const struct call *call, struct answer *ret)
{
	int fd = files[call->slot];
	struct stat status;

	switch (call->kind) {
	case CALL_CLOSE:
		return result_of(close(fd));
	case CALL_PREAD:
		ret->size = 0;
		int64_t size = result_of(pread(fd, ret->data, call->size, call->number));
		if (size > 0)
			ret->size = (uint32_t)size;
		return size;
	case CALL_PWRITE:
		return result_of(pwrite(fd, call->data, call->size, call->number));
	case CALL_APPEND:
		return result_of(write(fd, call->data, call->size));
	case CALL_FTRUNCATE:
		return result_of(ftruncate(fd, call->number));
	case CALL_SEEK_END:
		return result_of(lseek(fd, 0, SEEK_END));
	case CALL_FSYNC:
		return result_of(fsync(fd));
	default:
		return tell_status(fstat(fd, &status), &status, ret);
	}
}

static int64_t change_attributes(const struct call *call)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = call->number } };

	if (call->kind == CALL_CHMOD)
		return result_of(chmod(call->path, call->mode));
	if (call->kind == CALL_CHOWN)
		return result_of(lchown(call->path, (uid_t)call->number, (gid_t)call->number + 1));
	return result_of(utimensat(AT_FDCWD, call->path, times, AT_SYMLINK_NOFOLLOW));
}

static int64_t make_on_path(const struct call *call, struct answer *ret)
{
	struct stat status;
	ssize_t size;

	switch (call->kind) {
	case CALL_OPEN:
		files[call->slot] = open(call->path, call->flags, call->mode);
		return files[call->slot] < 0 ? -errno : 0;
	case CALL_LSTAT:
		return tell_status(lstat(call->path, &status), &status, ret);
	case CALL_TRUNCATE:
		return result_of(truncate(call->path, call->number));
	case CALL_UNLINK:
		return result_of(unlink(call->path));
	case CALL_MKDIR:
		return result_of(mkdir(call->path, call->mode));
	case CALL_RMDIR:
		return result_of(rmdir(call->path));
	case CALL_RENAME:
		return result_of(renameat2(AT_FDCWD, call->path, AT_FDCWD, call->target,
					   (unsigned)call->flags));
	case CALL_SYMLINK:
		return result_of(symlink(call->data, call->path));
	case CALL_READLINK:
		size = readlink(call->path, ret->data, DATA_MAX);
		ret->size = size > 0 ? (uint32_t)size : 0;
		return result_of(size);
	case CALL_LIST:
		return list(call->path, ret);
	case CALL_READ_FILE:
		return read_file(call->path, ret);
	case CALL_WRITE_FILE:
		return write_file(call);
	default:
		return change_attributes(call);
	}
}

static void make(const struct call *call, struct answer *ret)
{
	ret->size = 0;
	if (call->kind >= CALL_CLOSE && call->kind <= CALL_FSYNC)
		ret->result = make_on_file(call, ret);
	else
		ret->result = make_on_path(call, ret);
}

/* ---- Processes ------------------------------------------------------------------- */

static void serve(int socket)
{
	static struct call call;
	static struct answer answer;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (recv(socket, &call, sizeof(call), 0) > 0) {
		make(&call, &answer);
		if (send(socket, &answer, offsetof(struct answer, data) + answer.size, 0) < 0)
			break;
	}
	_exit(0);
}

bool calls_start(void)
{
	umask(022);
	for (int i = 1; i < PROCESSES; i++) {
		int ends[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0 ||
		    (others[i].pid = fork()) < 0) {
			perror("cannot start a process");
			return false;
		}
		if (others[i].pid == 0) {
			close(ends[0]);
			serve(ends[1]);
		}
		close(ends[1]);
		others[i].socket = ends[0];
	}
	return true;
}

void calls_stop(void)
{
	/* A later process has the sockets of the earlier ones, too. */
	for (int i = 1; i < PROCESSES; i++)
		close(others[i].socket);
	for (int i = 1; i < PROCESSES; i++)
		waitpid(others[i].pid, NULL, 0);
}

void calls_make(int process, const struct call *call, struct answer *ret)
{
	if (process == 0) {
		make(call, ret);
		return;
	}
	if (send(others[process].socket, call, offsetof(struct call, data) + call->size, 0) < 0 ||
	    recv(others[process].socket, ret, sizeof(*ret), 0) <= 0) {
		perror("a process is gone");
		exit(1);
	}
}
