/* Redis that syncs its log at every write: over a socket, WATCH and the reads in one round
 * trip, MULTI to EXEC in another; and as a script uses it, with redis-cli. */
#include "tools/bench/clients.h"
#include "tools/bench/peers.h"
#include "tools/bench/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SERVER "redis"

struct connection {
	int fd;
	size_t used; /* bytes in `buffer` */
	size_t next; /* of those, the first that was not taken */
	char buffer[4096];
};

static const char *no_server(const struct bench *bench)
{
	(void)bench;
	return peer_is_installed("redis-server") ? NULL : "redis-server is not installed";
}

static const char *no_command(const struct bench *bench)
{
	return peer_is_installed("redis-cli") ? no_server(bench) : "redis-cli is not installed";
}

/* ---- Its protocol --------------------------------------------------------------- */

/* One line without its end, valid until the next. */
static int read_line(struct connection *connection, char **ret)
{
	for (;;) {
		char *begin = connection->buffer + connection->next;
		char *end = memchr(begin, '\n', connection->used - connection->next);
		ssize_t got;

		if (end) {
			connection->next = (size_t)(end + 1 - connection->buffer);
			*(end > begin ? end - 1 : end) = '\0';
			*ret = begin;
			return 0;
		}
		memmove(connection->buffer, begin, connection->used - connection->next);
		connection->used -= connection->next;
		connection->next = 0;
		got = read(connection->fd, connection->buffer + connection->used,
			   sizeof(connection->buffer) - connection->used);
		if (got <= 0)
			return got < 0 ? -errno : -EPIPE;
		connection->used += (size_t)got;
	}
}

/* One reply, arrays with what is in them; *ret_number is that of the last string in it.
 * -ECANCELED: nothing, as from an EXEC that found a change. Our strings have no newline. */
static int read_reply(struct connection *connection, int *ret_number)
{
	char *line;
	long count;
	int r = read_line(connection, &line);

	if (r < 0)
		return r;
	count = strtol(line + 1, NULL, 10);
	switch (line[0]) {
	case '*':
		for (long i = 0; i < count && r == 0; i++)
			r = read_reply(connection, ret_number ? &ret_number[i] : NULL);
		return count < 0 ? -ECANCELED : r;
	case '$':
		r = count < 0 ? -ENOENT : read_line(connection, &line);
		if (r == 0 && ret_number)
			*ret_number = atoi(line);
		return r;
	case '-':
		return -EPROTO;
	default:
		return 0;
	}
}

static int ask(struct connection *connection, const char *text)
{
	return server_send(connection->fd, text, strlen(text));
}

/* ---- The server ----------------------------------------------------------------- */

static int fill(guint port)
{
	struct connection *connection = g_new0(struct connection, 1);
	g_autoptr(GString) text = g_string_new("MSET");
	int r;

	for (guint i = 0; i < PEER_ACCOUNTS; i++)
		g_string_append_printf(text, " account:%u %d", i, PEER_START);
	g_string_append(text, "\r\n");
	connection->fd = server_connect(port);
	r = connection->fd < 0 ? connection->fd : ask(connection, text->str);
	if (r == 0)
		r = read_reply(connection, NULL);
	if (connection->fd >= 0)
		close(connection->fd);
	g_free(connection);
	return r < 0 ? bench_fail(r, "cannot fill redis: %s", g_strerror(-r)) : 0;
}

static int prepare(struct bench *bench, const struct row *row)
{
	guint port = server_free_port();
	g_autofree char *port_text = g_strdup_printf("%u", port);
	char *const argv[] = { "redis-server",
			       "--port",
			       port_text,
			       "--bind",
			       "127.0.0.1",
			       "--dir",
			       bench->scratch,
			       "--appendonly",
			       "yes",
			       "--appendfsync",
			       "always",
			       "--save",
			       "",
			       "--daemonize",
			       "no",
			       NULL };
	int r;

	(void)row;
	if (server_find(bench, SERVER))
		return 0;
	r = server_start(bench, SERVER, argv, port);
	return r < 0 ? r : fill(port);
}

/* ---- Clients -------------------------------------------------------------------- */

static int open_connection(struct client *client)
{
	struct connection *connection = g_new0(struct connection, 1);

	client->state = connection;
	connection->fd = server_connect(server_find(client->bench, SERVER)->port);
	return connection->fd < 0 ? client_fail_at(client, "connect to", SERVER, connection->fd) :
				    0;
}

static void close_connection(struct client *client)
{
	struct connection *connection = client->state;

	if (connection->fd >= 0)
		close(connection->fd);
	g_free(connection);
}

static int try_transfer(struct connection *connection, const guint pair[static 2])
{
	int values[2] = { 0, 0 };
	char text[512];
	int r;

	snprintf(text, sizeof(text),
		 "WATCH account:%u account:%u\r\nMGET account:%u account:%u\r\n", pair[0], pair[1],
		 pair[0], pair[1]);
	r = ask(connection, text);
	if (r == 0)
		r = read_reply(connection, NULL);
	if (r == 0)
		r = read_reply(connection, values);
	if (r < 0)
		return r;
	snprintf(text, sizeof(text), "MULTI\r\nSET account:%u %d\r\nSET account:%u %d\r\nEXEC\r\n",
		 pair[0], values[0] - 1, pair[1], values[1] + 1);
	r = ask(connection, text);
	for (int i = 0; i < 4 && r == 0; i++)
		r = read_reply(connection, NULL);
	return r;
}

static int transfer(struct client *client)
{
	guint pair[2];
	int r;

	client_random_pair(client, client->row->keys, pair);
	do
		r = try_transfer(client->state, pair);
	while (r == -ECANCELED && !client_expired(client));
	if (r == -ECANCELED)
		return -EAGAIN;
	return r < 0 ? client_fail(client, r, "cannot transfer: %s", g_strerror(-r)) : 0;
}

static int read_one(struct client *client)
{
	char text[64];
	int r;

	snprintf(text, sizeof(text), "GET account:%u\r\n",
		 client_random(client, client->row->keys));
	r = ask(client->state, text);
	if (r == 0)
		r = read_reply(client->state, NULL);
	return r < 0 ? client_fail(client, r, "cannot read: %s", g_strerror(-r)) : 0;
}

static const struct workload transfer_workload = {
	.open = open_connection,
	.step = transfer,
	.close = close_connection,
};
static const struct workload read_workload = {
	.open = open_connection,
	.step = read_one,
	.close = close_connection,
};

/* WATCH holds for a connection, so one redis-cli reads and then writes. */
static const char transfer_script[] = SHELL_BEGIN
	"call() {\n"
	"	local a=account:$((RANDOM % keys)) b=account:$((RANDOM % keys)) x y reply\n"
	"	[ $a != $b ] || b=account:$(((${a#*:} + 1) % keys))\n"
	"	coproc redis-cli -p \"$port\"\n"
	"	local to=${COPROC[1]} from=${COPROC[0]} pid=$COPROC_PID\n"
	"	printf 'WATCH %s %s\\nGET %s\\nGET %s\\n' $a $b $a $b >&$to\n"
	"	read -r reply <&$from; read -r x <&$from; read -r y <&$from\n"
	"	printf 'MULTI\\nSET %s %s\\nSET %s %s\\nEXEC\\n' $a $((x - 1)) $b $((y + 1)) >&$to\n"
	"	exec {to}>&-\n"
	"	wait $pid\n"
	"}\n"
	"work\n";

static const char read_script[] = SHELL_BEGIN
	"call() { x=$(redis-cli -p \"$port\" GET account:$((RANDOM % keys))); }\n"
	"work\n";

const struct row redis_rows[] = {
	{ PEER_ROW("redis", 1), .prepare = prepare, .missing = no_server,
	  .workload = &transfer_workload },
	{ PEER_ROW("redis", 16), .prepare = prepare, .fairness = true, .missing = no_server,
	  .workload = &transfer_workload },
	{ PEER_ROW("redis-read", 1), .prepare = prepare, .missing = no_server,
	  .workload = &read_workload },
	{ PEER_SHELL_ROW("redis-shell", transfer_script), .prepare = prepare, .missing = no_command,
	  .server = SERVER },
	{ PEER_SHELL_ROW("redis-shell-read", read_script), .prepare = prepare,
	  .missing = no_command, .server = SERVER },
};
const guint redis_rows_count = G_N_ELEMENTS(redis_rows);
