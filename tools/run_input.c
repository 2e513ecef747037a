/* A file is sought back. A terminal or another device is handed on as it is. What comes
 * through a pipe or a socket is kept in a file without a name, which is made when there is
 * something to keep.
 *
 * Nothing tells when a process wants to read, and reading ahead of it would take from a
 * pipe what the next command in a shell's loop should get. So the command has a pipe that
 * holds one page, in which each page is *shown* (tee(2), MSG_PEEK) while it stays in the
 * source; what the command has taken of it is then taken from the source too, and kept.
 * The next page is shown when this one is used up: a pipe with room for one page becomes
 * writable exactly then. */
#include "tools/run_input.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The smallest page there is, and so the smallest pipe. */
enum { PAGE_BYTES = 4096 };

enum input_kind {
	INPUT_SAME, /* handed on: a terminal, a device, or nothing to read */
	INPUT_FILE, /* sought back */
	INPUT_PIPE,
	INPUT_SOCKET,
};

struct run_input {
	enum input_kind kind;
	off_t begin;	/* of a file: where it stood */
	int kept;	/* the file with what was taken, -1: nothing yet */
	off_t size;	/* bytes in it */
	int keep_error; /* what kept it from being kept, or 0 */

	/* Of the current run. */
	int read_end;	/* -1: not open */
	int write_end;	/* -1: not open */
	off_t replayed; /* how much of `kept` was shown */
	off_t replay_end;
	int shown;	  /* bytes in the pipe, when settle() last looked */
	bool from_source; /* they are in the source too */
};

static enum input_kind kind_of_input(void)
{
	struct stat st;

	if (fstat(STDIN_FILENO, &st) < 0)
		return INPUT_SAME;
	if (S_ISFIFO(st.st_mode))
		return INPUT_PIPE;
	if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
		return INPUT_FILE;
	if (S_ISSOCK(st.st_mode)) {
		int type = 0;
		socklen_t length = sizeof(type);

		getsockopt(STDIN_FILENO, SOL_SOCKET, SO_TYPE, &type, &length);
		return type == SOCK_STREAM ? INPUT_SOCKET : INPUT_SAME;
	}
	return INPUT_SAME;
}

struct run_input *run_input_new(void)
{
	struct run_input *input = g_new0(struct run_input, 1);

	input->kind = kind_of_input();
	input->kept = input->read_end = input->write_end = -1;
	input->begin = lseek(STDIN_FILENO, 0, SEEK_CUR);
	/* Some files of /proc cannot be sought. */
	if (input->kind == INPUT_FILE && input->begin < 0)
		input->kind = INPUT_SAME;
	return input;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void run_input_free(struct run_input *input)
{
	if (input == NULL)
		return;
	run_input_end(input);
	close_fd(&input->kept);
	g_free(input);
}

bool run_input_is_terminal(const struct run_input *input)
{
	return input->kind == INPUT_SAME && isatty(STDIN_FILENO);
}

/* ---- Keeping -------------------------------------------------------------------- */

static int open_unnamed_file(void)
{
	int fd = open(g_get_tmp_dir(), O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

	/* Not every file system has files without names. */
	return fd >= 0 ? fd : memfd_create("commitfs-run-input", MFD_CLOEXEC);
}

static int keep(struct run_input *input, const char *data, size_t size)
{
	ssize_t count;

	if (input->kept < 0)
		input->kept = open_unnamed_file();
	if (input->kept < 0)
		return -errno;
	while (size > 0) {
		count = pwrite(input->kept, data, size, input->size);
		if (count < 0)
			return -errno;
		input->size += count;
		data += count;
		size -= (size_t)count;
	}
	return 0;
}

/* At most `size` bytes of what is in the source. */
static ssize_t take_from_source(const struct run_input *input, char *data, size_t size)
{
	struct pollfd source = { .fd = STDIN_FILENO, .events = POLLIN };

	if (input->kind == INPUT_SOCKET)
		return recv(STDIN_FILENO, data, size, MSG_DONTWAIT);
	/* Another reader of the same pipe may have been faster. */
	return poll(&source, 1, 0) == 1 ? read(STDIN_FILENO, data, size) : 0;
}

/* Takes from the source what the command has taken of the page it was shown. */
static void settle(struct run_input *input)
{
	char page[PAGE_BYTES];
	int left = 0;

	if (input->write_end < 0 || input->shown == 0 ||
	    ioctl(input->write_end, FIONREAD, &left) < 0)
		return;
	while (input->from_source && input->shown > left) {
		ssize_t count = take_from_source(input, page, (size_t)(input->shown - left));

		if (count <= 0)
			break;
		/* The command goes on: it is the next run that cannot be. */
		if (input->keep_error == 0)
			input->keep_error = keep(input, page, (size_t)count);
		input->shown -= (int)count;
	}
	input->shown = left;
}

/* ---- Showing -------------------------------------------------------------------- */

/* What was put into the empty pipe: 0 at the end. */
static ssize_t show_kept(struct run_input *input)
{
	char page[PAGE_BYTES];
	ssize_t count = pread(input->kept, page, sizeof(page), input->replayed);

	if (count <= 0)
		return count;
	input->from_source = false;
	input->replayed += count;
	return write(input->write_end, page, (size_t)count);
}

static ssize_t show_source(struct run_input *input)
{
	char page[PAGE_BYTES];
	ssize_t count;

	input->from_source = true;
	if (input->kind == INPUT_PIPE)
		return tee(STDIN_FILENO, input->write_end, PAGE_BYTES, SPLICE_F_NONBLOCK);
	count = recv(STDIN_FILENO, page, sizeof(page), MSG_PEEK | MSG_DONTWAIT);
	return count <= 0 ? count : write(input->write_end, page, (size_t)count);
}

static bool has_more_kept(const struct run_input *input)
{
	return input->replayed < input->replay_end;
}

/* An error, EPIPE for one, is no more than the end of the input. */
static void show_next(struct run_input *input)
{
	ssize_t count = has_more_kept(input) ? show_kept(input) : show_source(input);

	if (count > 0)
		input->shown = (int)count;
	else if (count == 0 || (errno != EAGAIN && errno != EINTR))
		close_fd(&input->write_end);
}

/* ---- A run ---------------------------------------------------------------------- */

static int open_pipe(struct run_input *input)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	input->read_end = fds[0];
	input->write_end = fds[1];
	return fcntl(input->write_end, F_SETPIPE_SZ, PAGE_BYTES) < 0 ? -errno : 0;
}

int run_input_begin(struct run_input *input, int *ret_fd)
{
	int r;

	if (input->keep_error < 0)
		return input->keep_error;
	*ret_fd = STDIN_FILENO;
	if (input->kind == INPUT_SAME)
		return 0;
	if (input->kind == INPUT_FILE)
		return lseek(STDIN_FILENO, input->begin, SEEK_SET) < 0 ? -errno : 0;
	r = open_pipe(input);
	if (r < 0)
		return r;
	/* What is kept from now on, this run has seen already. */
	input->replayed = 0;
	input->replay_end = input->size;
	input->shown = 0;
	*ret_fd = input->read_end;
	return 0;
}

void run_input_started(struct run_input *input)
{
	close_fd(&input->read_end);
	if (input->write_end >= 0 && has_more_kept(input))
		show_next(input);
}

struct pollfd run_input_wait(const struct run_input *input)
{
	if (input->write_end < 0)
		return (struct pollfd){ .fd = -1 };
	if (input->shown > 0)
		return (struct pollfd){ .fd = input->write_end, .events = POLLOUT };
	return (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
}

void run_input_feed(struct run_input *input)
{
	if (input->write_end < 0)
		return;
	settle(input);
	if (input->shown == 0)
		show_next(input);
	else
		close_fd(&input->write_end); /* nobody can read any more */
}

void run_input_end(struct run_input *input)
{
	settle(input);
	close_fd(&input->write_end);
	close_fd(&input->read_end);
}
