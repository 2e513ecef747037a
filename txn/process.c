/* Processes as /proc tells of them. FUSE names the calling thread of a request; a
 * transaction belongs to a process, a log line tells its command, and a pid that a user
 * names counts in the user's pid namespace. All of that is read here, when it is needed. */
#include "txn/txn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

enum { MAX_ANCESTORS = 4096 }; /* a bound against a /proc that changes while it is read */

/* What /proc/TID/status adds to /proc/TID/stat. */
struct process_status {
	pid_t process;		/* Tgid */
	uid_t uid;		/* effective */
	GArray *namespace_pids; /* pid_t, from our namespace inwards */
	GArray *groups;		/* gid_t */
	mode_t umask;
};

static void process_status_done(struct process_status *status)
{
	g_clear_pointer(&status->namespace_pids, g_array_unref);
	g_clear_pointer(&status->groups, g_array_unref);
}

/* The text of /proc/TID/NAME in `buffer`; its length, or -ESRCH. */
static ssize_t read_proc(pid_t tid, const char *name, char *buffer, size_t size)
{
	char path[64];
	ssize_t length;
	int fd;

	if (tid <= 0)
		return -ESRCH;
	g_snprintf(path, sizeof(path), "/proc/%d/%s", (int)tid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -ESRCH;
	length = read(fd, buffer, size - 1);
	close(fd);
	if (length <= 0)
		return -ESRCH;
	buffer[length] = '\0';
	return length;
}

static GArray *parse_numbers(const char *text)
{
	GArray *numbers = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	char *end;

	while (*text != '\n' && *text != '\0') {
		uint32_t number = (uint32_t)strtoul(text, &end, 10);

		if (end == text)
			break;
		g_array_append_val(numbers, number);
		text = end;
		while (*text == ' ' || *text == '\t')
			text++;
	}
	return numbers;
}

static int read_status(pid_t tid, struct process_status *ret)
{
	/* A user may be in 65,536 groups: the line can be long. */
	g_autofree char *text = NULL;
	g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)tid);
	const char *line;

	if (tid <= 0 || !g_file_get_contents(path, &text, NULL, NULL))
		return -ESRCH;
	for (line = text; line; line = strchr(line, '\n')) {
		if (*line == '\n')
			line++;
		if (g_str_has_prefix(line, "Umask:"))
			ret->umask = (mode_t)strtoul(line + 6, NULL, 8);
		else if (g_str_has_prefix(line, "Tgid:"))
			ret->process = (pid_t)strtol(line + 5, NULL, 10);
		else if (g_str_has_prefix(line, "Uid:"))
			sscanf(line + 4, "%*u %u", &ret->uid);
		else if (g_str_has_prefix(line, "Groups:"))
			ret->groups = parse_numbers(line + 7 + strspn(line + 7, " \t"));
		else if (g_str_has_prefix(line, "NSpid:"))
			ret->namespace_pids = parse_numbers(line + 6 + strspn(line + 6, " \t"));
	}
	return ret->process > 0 ? 0 : -ESRCH;
}

/* The process of a thread. pidfd_open(2) takes only the first thread of a process, which
 * answers the usual case without formatting a whole status. */
static pid_t process_of_thread(pid_t tid)
{
	__attribute__((cleanup(process_status_done))) struct process_status status = { 0 };
	int fd = pidfd_open(tid, 0);

	if (fd >= 0) {
		close(fd);
		return tid;
	}
	return read_status(tid, &status) < 0 ? -ESRCH : status.process;
}

/* Fields of proc(5) stat, counted from the state, which follows the command. */
enum {
	STAT_STATE = 0,
	STAT_PARENT = 1,
	STAT_FLAGS = 6,
	STAT_THREADS = 17,
	STAT_START = 19,
	STAT_EXIT_CODE = 49,
};

/* What of it struct process does not tell. */
struct process_state {
	bool zombie;
	unsigned long long threads;
};

static int read_stat(pid_t pid, struct process *ret, struct process_state *ret_state)
{
	char buffer[2048];
	char *open_bracket, *close_bracket, *cursor;

	*ret_state = (struct process_state){ 0 };
	if (read_proc(pid, "stat", buffer, sizeof(buffer)) < 0)
		return -ESRCH;
	open_bracket = strchr(buffer, '(');
	close_bracket = strrchr(buffer, ')'); /* a command may hold brackets */
	if (!open_bracket || !close_bracket || close_bracket[1] == '\0')
		return -ESRCH;
	*close_bracket = '\0';
	g_strlcpy(ret->command, open_bracket + 1, sizeof(ret->command));
	cursor = close_bracket + 2;
	for (int field = STAT_STATE; field <= STAT_EXIT_CODE && *cursor; field++) {
		unsigned long long number = strtoull(cursor, NULL, 10);

		if (field == STAT_STATE)
			ret_state->zombie = *cursor == 'Z' || *cursor == 'X';
		else if (field == STAT_PARENT)
			ret->parent = (pid_t)number;
		else if (field == STAT_FLAGS)
			ret->flags = (unsigned)number;
		else if (field == STAT_THREADS)
			ret_state->threads = number;
		else if (field == STAT_START)
			ret->start_time = number;
		else if (field == STAT_EXIT_CODE)
			ret->exit_code = (int)number;
		cursor += strcspn(cursor, " ");
		cursor += strspn(cursor, " ");
	}
	ret->pid = pid;
	return 0;
}

int process_read(pid_t tid, struct process *ret)
{
	struct process found = { 0 };
	struct process_state state;
	pid_t pid = tid;
	int r = read_stat(tid, &found, &state);

	/* An only thread is the first one, whose number is that of the process. */
	if (r == 0 && state.threads > 1) {
		pid = process_of_thread(tid);
		r = pid <= 0 ? -ESRCH : pid == tid ? 0 : read_stat(pid, &found, &state);
	}
	if (r == 0)
		*ret = found;
	return r;
}

/* Between the new address space and the program that is read into it there is no code, which
 * is told without that lock; one that has exited has no address space at all. */
bool process_is_executing(pid_t tid)
{
	unsigned long pages = 0, code = 1;
	char buffer[256];

	if (read_proc(tid, "statm", buffer, sizeof(buffer)) < 0 ||
	    sscanf(buffer, "%lu %*u %*u %lu", &pages, &code) != 2)
		return false;
	return pages > 0 && code == 0;
}

bool process_is_alive(const struct process *process)
{
	if (process_is_executing(process->pid))
		return true;
	struct process now;
	struct process_state state;

	if (process->pid <= 0 || read_stat(process->pid, &now, &state) < 0)
		return false;
	/* The first thread of a process may have ended before the others. */
	return (!state.zombie || state.threads > 1) && now.start_time == process->start_time;
}

int process_read_other(pid_t pid, struct process *ret)
{
	return process_is_executing(pid) ? -ESRCH : process_read(pid, ret);
}

bool process_equal(const struct process *a, const struct process *b)
{
	return a->pid == b->pid && a->start_time == b->start_time;
}

uid_t process_uid(pid_t tid)
{
	__attribute__((cleanup(process_status_done))) struct process_status status = { 0 };

	return read_status(tid, &status) < 0 ? (uid_t)-1 : status.uid;
}

GArray *process_groups(pid_t tid)
{
	__attribute__((cleanup(process_status_done))) struct process_status status = { 0 };

	if (read_status(tid, &status) < 0)
		return NULL;
	return g_steal_pointer(&status.groups);
}

mode_t process_umask(pid_t tid)
{
	__attribute__((cleanup(process_status_done))) struct process_status status = { 0 };

	return read_status(tid, &status) < 0 ? 077 : status.umask;
}

int process_claim(pid_t tid, pid_t pid, struct process *ret)
{
	struct process current;
	uid_t uid = 0;
	guint depth = 0;
	int r;

	r = process_read(tid, &current);
	for (int i = 0; r == 0 && i < MAX_ANCESTORS; i++) {
		__attribute__((cleanup(process_status_done))) struct process_status status = { 0 };

		if (read_status(current.pid, &status) < 0 || !status.namespace_pids)
			return -ESRCH;
		if (i == 0) {
			uid = status.uid;
			depth = status.namespace_pids->len;
		}
		/* An ancestor outside the caller's namespace has no number in it. */
		if (depth == 0 || status.namespace_pids->len < depth || status.uid != uid)
			return -ESRCH;
		if (g_array_index(status.namespace_pids, pid_t, depth - 1) == pid) {
			*ret = current;
			return 0;
		}
		r = process_read_other(current.parent, &current);
	}
	return -ESRCH;
}
