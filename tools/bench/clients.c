/* Each client has two pipes. It says when it is ready; when all are, all are told to go;
 * when the time is over each says so and waits, so that what it does to tidy up is not
 * counted; then it is told to end. Samples of C clients lie in memory shared with them. */
#include "tools/bench/clients.h"

#include "tools/bench/measure.h"
#include "tools/bench/requests.h"
#include "tools/bench/server.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAMPLES_MAX (1 << 18)
#define MESSAGE_MAX 300

/* Of one client, in shared memory; written by it alone, read when it has ended. */
struct slot {
	int64_t duration_ns; /* set for it before it goes */
	int64_t begin_ns;
	int64_t end_ns;
	uint64_t calls;
	guint samples;
	int error;
	char message[MESSAGE_MAX];
	float latency_us[SAMPLES_MAX];
};

struct process {
	pid_t pid;
	int to;
	int from;
};

/* The clients of one measurement. */
struct group {
	struct bench *bench;
	const struct row *row;
	struct slot *slots; /* row->clients; NULL: shells */
	GArray *processes;  /* struct process */
	GString *output;    /* of all shells */
};

/* ---- In the client -------------------------------------------------------------- */

int client_fail(struct client *client, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_vsnprintf(client->slot->message, MESSAGE_MAX, format, args);
	va_end(args);
	return error;
}

int client_fail_at(struct client *client, const char *action, const char *what, int error)
{
	return client_fail(client, error, "cannot %s '%s': %s", action, what, g_strerror(-error));
}

bool client_expired(const struct client *client)
{
	/* When the others have stopped at the latest, the first call of each succeeds. */
	return client->slot->calls > 0 && measure_now() >= client->deadline_ns;
}

guint client_random(struct client *client, guint below)
{
	/* Marsaglia's xorshift: cheaper than what it is to choose between. */
	guint32 x = client->random;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	client->random = x;
	return x % below;
}

void client_random_pair(struct client *client, guint below, guint ret[static 2])
{
	ret[0] = client_random(client, below);
	ret[1] = (ret[0] + 1 + client_random(client, below - 1)) % below;
}

static void client_init(struct client *client, const struct group *group, guint index)
{
	*client = (struct client){
		.bench = group->bench,
		.row = group->row,
		.index = index,
		.random = 2463534242u + index * 2654435761u + (guint32)getpid() * 40503u,
		.slot = &group->slots[index],
	};
	if (client->random == 0)
		client->random = 1;
}

static int client_work(struct client *client)
{
	const struct workload *workload = client->row->workload;
	struct slot *slot = client->slot;
	int64_t last = measure_now();
	int r = 0;

	client->deadline_ns = last + slot->duration_ns;
	slot->begin_ns = last;
	do {
		int64_t now;

		client->latency_us = -1;
		r = workload->step(client);
		if (r < 0)
			break;
		now = measure_now();
		if (slot->samples < SAMPLES_MAX)
			slot->latency_us[slot->samples++] =
				(float)(client->latency_us >= 0 ? client->latency_us :
								  (double)(now - last) / 1000);
		slot->calls++;
		last = now;
	} while (last < client->deadline_ns);
	slot->end_ns = measure_now();
	return r == -EAGAIN ? 0 : r;
}

static void say(int fd, const char *word)
{
	if (write(fd, word, strlen(word)) < 0)
		_exit(EXIT_FAILURE);
}

static void listen_for_go(int fd)
{
	char byte;

	/* The end of the benchmark is the end of its clients. */
	do
		if (read(fd, &byte, 1) <= 0)
			_exit(EXIT_FAILURE);
	while (byte != '\n');
}

static int client_open(struct client *client)
{
	const struct workload *workload = client->row->workload;

	return workload->open ? workload->open(client) : 0;
}

static void client_close(struct client *client)
{
	if (client->row->workload->close)
		client->row->workload->close(client);
}

static void run_alone(struct group *group, guint index, int in, int out)
{
	struct client client;
	int r;

	client_init(&client, group, index);
	r = client_open(&client);
	if (r == 0) {
		say(out, "ready\n");
		listen_for_go(in);
		r = client_work(&client);
		client.slot->error = r;
		say(out, "done\n");
		listen_for_go(in);
	}
	client.slot->error = r;
	client_close(&client);
}

static void *thread_main(void *arg)
{
	struct client *client = arg;

	client->slot->error = client_work(client);
	return NULL;
}

static void run_threads(const struct group *group, struct client *clients, int in, int out)
{
	g_autofree pthread_t *threads = g_new(pthread_t, group->row->clients);

	say(out, "ready\n");
	listen_for_go(in);
	for (guint i = 0; i < group->row->clients; i++)
		if (pthread_create(&threads[i], NULL, thread_main, &clients[i]) != 0)
			_exit(EXIT_FAILURE);
	for (guint i = 0; i < group->row->clients; i++)
		pthread_join(threads[i], NULL);
	say(out, "done\n");
	listen_for_go(in);
}

static void run_together(struct group *group, int in, int out)
{
	const struct workload *workload = group->row->workload;
	g_autofree struct client *clients = g_new(struct client, group->row->clients);
	void *shared = NULL;
	int r;

	for (guint i = 0; i < group->row->clients; i++)
		client_init(&clients[i], group, i);
	r = workload->share(&clients[0], &shared);
	for (guint i = 0; i < group->row->clients && r == 0; i++) {
		clients[i].shared = shared;
		r = client_open(&clients[i]);
		clients[i].slot->error = r;
	}
	if (r == 0)
		run_threads(group, clients, in, out);
	else
		clients[0].slot->error = r;
	for (guint i = 0; i < group->row->clients; i++)
		if (clients[i].shared)
			client_close(&clients[i]);
	if (shared)
		workload->unshare(shared);
}

/* ---- Starting ------------------------------------------------------------------- */

static void prepare_child(pid_t parent)
{
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	/* Whatever ends the benchmark ends them. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
}

/* A client has open what a program would have: the more a process has, the longer a close(2) of
 * what it has written takes. */
static void close_of_parent(const struct group *group, const int to[2], const int from[2])
{
	close(to[1]);
	close(from[0]);
	for (guint i = 0; i < group->processes->len; i++) {
		const struct process *other = &g_array_index(group->processes, struct process, i);

		close(other->to);
		close(other->from);
	}
}

static _Noreturn void exec_shell(const struct group *group, int in, int out)
{
	const struct server *server =
		group->row->server ? server_find(group->bench, group->row->server) : NULL;
	g_autofree char *keys = g_strdup_printf("%u", group->row->keys);
	g_autofree char *port = g_strdup_printf("%u", server ? server->port : 0);
	const struct site *site = &group->bench->site;
	int errors = open("/dev/null", O_WRONLY | O_CLOEXEC);

	/* A lost race is an error message of bash's. */
	if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
	    dup2(errors, STDERR_FILENO) >= 0)
		execlp("bash", "bash", "--noprofile", "--norc", "-c", group->row->script, "bash",
		       site->mount, site->name, keys, group->bench->scratch, port, NULL);
	_exit(127);
}

static _Noreturn void child_main(struct group *group, guint index, int in, int out)
{
	if (group->row->script)
		exec_shell(group, in, out);
	if (group->row->workload->threads)
		run_together(group, in, out);
	else
		run_alone(group, index, in, out);
	_exit(EXIT_SUCCESS);
}

static int start_process(struct group *group, guint index)
{
	struct process process;
	pid_t parent = getpid();
	int to[2], from[2];

	if (pipe2(to, O_CLOEXEC) < 0)
		return bench_fail(-errno, "cannot make a pipe: %s", g_strerror(errno));
	if (pipe2(from, O_CLOEXEC) < 0)
		return bench_fail(-errno, "cannot make a pipe: %s", g_strerror(errno));
	process.pid = fork();
	if (process.pid == 0) {
		prepare_child(parent);
		close_of_parent(group, to, from);
		child_main(group, index, to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	process.to = to[1];
	process.from = from[0];
	if (process.pid < 0) {
		close(process.to);
		close(process.from);
		return bench_fail(-errno, "cannot start a client: %s", g_strerror(errno));
	}
	g_array_append_val(group->processes, process);
	return 0;
}

static int start(struct group *group)
{
	guint count = group->slots && group->row->workload->threads ? 1 : group->row->clients;

	for (guint i = 0; i < count; i++) {
		int r = start_process(group, i);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- Conducting ----------------------------------------------------------------- */

/* Why a client ended before its time. */
static int tell_failure(const struct group *group)
{
	const struct row *row = group->row;

	for (guint i = 0; group->slots && i < row->clients; i++)
		if (group->slots[i].error < 0)
			return bench_fail(group->slots[i].error, "cannot measure %s: %s", row->name,
					  group->slots[i].message[0] ?
						  group->slots[i].message :
						  g_strerror(-group->slots[i].error));
	return bench_fail(-EIO, "cannot measure %s: a client ended before its time", row->name);
}

/* Waits for a line. */
static int expect(const struct group *group, guint index)
{
	const struct process *process = &g_array_index(group->processes, struct process, index);
	ssize_t size;
	char byte;

	do {
		size = read(process->from, &byte, 1);
		if (bench_interrupted())
			return -EINTR;
		if (size == 0 || (size < 0 && errno != EINTR))
			return tell_failure(group);
	} while (size < 0 || byte != '\n');
	return 0;
}

static int expect_all(const struct group *group)
{
	for (guint i = 0; i < group->processes->len; i++) {
		int r = expect(group, i);

		if (r < 0)
			return r;
	}
	return 0;
}

static void tell_all(const struct group *group)
{
	g_autofree char *line = g_strdup_printf("%.0f\n", group->bench->options.seconds * 1000000);

	for (guint i = 0; i < group->processes->len; i++) {
		ssize_t size = write(g_array_index(group->processes, struct process, i).to, line,
				     strlen(line));

		/* One that has ended is found when it is listened to. */
		(void)size;
	}
}

static void set_durations(const struct group *group)
{
	for (guint i = 0; group->slots && i < group->row->clients; i++)
		group->slots[i].duration_ns =
			(int64_t)(group->bench->options.seconds * 1000000000.0);
}

/* What shells print in the end. */
static int collect_output(struct group *group, GArray *ret_lines)
{
	for (guint i = 0; i < group->processes->len; i++) {
		int fd = g_array_index(group->processes, struct process, i).from;
		GString *text = g_string_new(NULL);
		char buffer[65536];
		ssize_t size;

		while ((size = read(fd, buffer, sizeof(buffer))) != 0) {
			if (size > 0)
				g_string_append_len(text, buffer, size);
			if (bench_interrupted() || (size < 0 && errno != EINTR))
				break;
		}
		g_array_append_val(ret_lines, text);
	}
	return bench_interrupted() ? -EINTR : 0;
}

/* From ready to done; what the mount was asked meanwhile goes into `ret`. */
static int conduct(struct group *group, struct measurement *ret)
{
	struct requests requests;
	int r = expect_all(group);

	if (r < 0)
		return r;
	requests_begin(&requests, &group->bench->site);
	set_durations(group);
	tell_all(group);
	r = expect_all(group);
	if (r < 0)
		return r;
	ret->requests = requests_end(&requests, &group->bench->site);
	tell_all(group);
	return 0;
}

static void end(struct group *group, bool kill_them)
{
	for (guint i = 0; i < group->processes->len; i++) {
		const struct process *process = &g_array_index(group->processes, struct process, i);

		close(process->to);
		close(process->from);
		if (kill_them)
			kill(process->pid, SIGKILL);
	}
	for (guint i = 0; i < group->processes->len; i++)
		while (waitpid(g_array_index(group->processes, struct process, i).pid, NULL, 0) <
			       0 &&
		       errno == EINTR)
			continue;
	g_array_unref(group->processes);
}

/* ---- Results -------------------------------------------------------------------- */

static void count_client(struct measurement *measurement, uint64_t calls, bool first)
{
	measurement->calls += calls;
	measurement->most = MAX(measurement->most, calls);
	measurement->least = first ? calls : MIN(measurement->least, calls);
}

static void merge_slots(const struct group *group, struct measurement *ret)
{
	int64_t begin = INT64_MAX, finish = 0;

	for (guint i = 0; i < group->row->clients; i++) {
		const struct slot *slot = &group->slots[i];

		g_array_append_vals(ret->latencies, slot->latency_us, slot->samples);
		count_client(ret, slot->calls, i == 0);
		begin = MIN(begin, slot->begin_ns);
		finish = MAX(finish, slot->end_ns);
	}
	ret->seconds = (double)(finish - begin) / 1e9;
}

static int merge_lines(const struct group *group, const GArray *lines, struct measurement *ret)
{
	guint64 begin = G_MAXUINT64, finish = 0;

	for (guint i = 0; i < lines->len; i++) {
		char *next = g_array_index(lines, GString *, i)->str;
		guint64 first = g_ascii_strtoull(next, &next, 10);
		guint64 last = g_ascii_strtoull(next, &next, 10);
		uint64_t calls = 0;

		begin = MIN(begin, first);
		finish = MAX(finish, last);
		for (; next[0] == ' ' && g_ascii_isdigit(next[1]); calls++) {
			float latency = (float)g_ascii_strtoull(next, &next, 10);

			g_array_append_val(ret->latencies, latency);
		}
		if (*next != '\n')
			return tell_failure(group);
		count_client(ret, calls, i == 0);
	}
	ret->seconds = (double)(finish - begin) / 1e6;
	return 0;
}

static void free_line(gpointer line)
{
	g_string_free(*(GString **)line, TRUE);
}

int clients_measure(struct bench *bench, const struct row *row, struct measurement *ret)
{
	struct group group = { .bench = bench, .row = row };
	size_t size = sizeof(struct slot) * row->clients;
	int r;

	group.slots = mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (group.slots == MAP_FAILED)
		return bench_fail(-errno, "cannot get memory: %s", g_strerror(errno));
	group.processes = g_array_new(FALSE, FALSE, sizeof(struct process));
	r = start(&group);
	if (r == 0)
		r = conduct(&group, ret);
	end(&group, r < 0);
	for (guint i = 0; i < row->clients && r == 0; i++)
		if (group.slots[i].error < 0)
			r = tell_failure(&group);
	if (r == 0)
		merge_slots(&group, ret);
	munmap(group.slots, size);
	return r;
}

int clients_measure_shells(struct bench *bench, const struct row *row, struct measurement *ret)
{
	struct group group = { .bench = bench, .row = row };
	g_autoptr(GArray) lines = g_array_new(FALSE, FALSE, sizeof(GString *));
	int r;

	g_array_set_clear_func(lines, free_line);
	group.processes = g_array_new(FALSE, FALSE, sizeof(struct process));
	r = start(&group);
	if (r == 0)
		r = conduct(&group, ret);
	if (r == 0)
		r = collect_output(&group, lines);
	end(&group, r < 0);
	return r == 0 ? merge_lines(&group, lines, ret) : r;
}
