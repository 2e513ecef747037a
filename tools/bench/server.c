#include "tools/bench/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_TIMEOUT_S 20
#define RETRY_US 20000

static struct sockaddr_in loopback(guint port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

guint server_free_port(void)
{
	struct sockaddr_in address = loopback(0);
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	guint port = 0;

	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 &&
	    getsockname(fd, (struct sockaddr *)&address, &size) == 0)
		port = ntohs(address.sin_port);
	if (fd >= 0)
		close(fd);
	return port;
}

int server_connect(guint port)
{
	struct sockaddr_in address = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

int server_send(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);

		if (sent < 0)
			return -errno;
		data += sent;
		size -= (size_t)sent;
	}
	return 0;
}

static _Noreturn void server_main(pid_t parent, const char *log, char *const argv[])
{
	int output = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	/* ^C at the terminal is for the benchmark, which then stops its servers. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == parent && output >= 0 && dup2(output, STDOUT_FILENO) >= 0 &&
	    dup2(output, STDERR_FILENO) >= 0)
		execvp(argv[0], argv);
	_exit(127);
}

/* It is left to be waited for: until then its number is nobody else's. */
static bool has_ended(const struct server *server)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)server->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
	       info.si_pid != 0;
}

/* Strangers give no sign when they listen: it has to be tried. */
static int wait_until_ready(const struct server *server, const char *log)
{
	gint64 end = g_get_monotonic_time() + START_TIMEOUT_S * G_TIME_SPAN_SECOND;
	int fd;

	while ((fd = server_connect(server->port)) < 0) {
		if (bench_interrupted())
			return -EINTR;
		if (has_ended(server) || g_get_monotonic_time() > end) {
			g_autofree char *text = NULL;

			if (!g_file_get_contents(log, &text, NULL, NULL))
				text = g_strdup("");
			return bench_fail(-EIO, "cannot start %s; it said: %s", server->name,
					  g_strdelimit(g_strchomp(text), "\n", ';'));
		}
		g_usleep(RETRY_US);
	}
	close(fd);
	return 0;
}

int server_start(struct bench *bench, const char *name, char *const argv[], guint port)
{
	g_autofree char *file = g_strdup_printf("%s.output", name);
	g_autofree char *log = g_build_filename(bench->scratch, file, NULL);
	struct server *server = g_new0(struct server, 1);
	pid_t parent = getpid();

	server->name = name;
	server->port = port;
	server->pid = fork();
	if (server->pid == 0)
		server_main(parent, log, argv);
	if (server->pid < 0) {
		g_free(server);
		return bench_fail(-errno, "cannot start %s: %s", name, g_strerror(errno));
	}
	g_ptr_array_add(bench->servers, server);
	return wait_until_ready(server, log);
}

const struct server *server_find(const struct bench *bench, const char *name)
{
	for (guint i = 0; i < bench->servers->len; i++) {
		const struct server *server = g_ptr_array_index(bench->servers, i);

		if (strcmp(server->name, name) == 0)
			return server;
	}
	return NULL;
}

void servers_stop(struct bench *bench)
{
	for (guint i = 0; i < bench->servers->len; i++) {
		struct server *server = g_ptr_array_index(bench->servers, i);

		kill(server->pid, SIGTERM);
		while (waitpid(server->pid, NULL, 0) < 0 && errno == EINTR)
			continue;
		g_free(server);
	}
	g_ptr_array_set_size(bench->servers, 0);
}
