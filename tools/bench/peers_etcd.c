/* etcd, one node: its JSON gateway over a connection that is kept, a range of both keys and
 * a transaction that compares their revisions; and as a script uses it, with etcdctl. */
#include "tools/bench/clients.h"
#include "tools/bench/peers.h"
#include "tools/bench/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SERVER "etcd"
#define PUTS_PER_TXN 100 /* it takes 128 */

static const char *no_server(const struct bench *bench)
{
	(void)bench;
	return peer_is_installed("etcd") ? NULL : "etcd is not installed";
}

static const char *no_command(const struct bench *bench)
{
	return peer_is_installed("etcdctl") ? no_server(bench) : "etcdctl is not installed";
}

/* ---- HTTP ----------------------------------------------------------------------- */

/* True when all of the reply is there; `ret_body` is then where its body begins. */
static bool is_whole(const GString *reply, size_t *ret_body)
{
	const char *end = strstr(reply->str, "\r\n\r\n");
	const char *length;

	if (!end)
		return false;
	*ret_body = (size_t)(end + 4 - reply->str);
	length = strstr(reply->str, "Content-Length: ");
	if (length && length < end)
		return reply->len >= *ret_body + strtoul(length + 16, NULL, 10);
	/* In chunks: an empty one is the last. */
	return g_str_has_suffix(reply->str, "\r\n0\r\n\r\n");
}

/* Posts `body` and reads the whole reply into `reply`. -EPROTO: it was not 200. */
static int post(int fd, const char *path, const char *body, GString *reply)
{
	g_autofree char *request = g_strdup_printf(
		"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %zu\r\n\r\n%s", path,
		strlen(body), body);
	size_t start;
	int r = server_send(fd, request, strlen(request));

	if (r < 0)
		return r;
	g_string_truncate(reply, 0);
	do {
		char buffer[4096];
		ssize_t got = read(fd, buffer, sizeof(buffer));

		if (got <= 0)
			return got < 0 ? -errno : -EPIPE;
		g_string_append_len(reply, buffer, got);
	} while (!is_whole(reply, &start));
	return g_str_has_prefix(reply->str, "HTTP/1.1 200") ? 0 : -EPROTO;
}

/* ---- JSON ----------------------------------------------------------------------- */

static char *encode(const char *text)
{
	return g_base64_encode((const guchar *)text, strlen(text));
}

static char *account_key(guint account)
{
	g_autofree char *key = g_strdup_printf("account/%u", account);

	return encode(key);
}

static void append_put(GString *text, guint account, int value)
{
	g_autofree char *number = g_strdup_printf("%d", value);
	g_autofree char *encoded = encode(number);
	g_autofree char *key = account_key(account);

	g_string_append_printf(text, "{\"requestPut\":{\"key\":\"%s\",\"value\":\"%s\"}}", key,
			       encoded);
}

/* What stands behind the next `"name":"` from *position on, which is moved there. */
static char *next_string(const char **position, const char *name)
{
	g_autofree char *pattern = g_strdup_printf("\"%s\":\"", name);
	const char *found = *position ? strstr(*position, pattern) : NULL;

	if (!found)
		return NULL;
	found += strlen(pattern);
	*position = found;
	return g_strndup(found, strcspn(found, "\""));
}

/* ---- The server ----------------------------------------------------------------- */

static int fill(guint port)
{
	g_autoptr(GString) reply = g_string_new(NULL);
	int fd = server_connect(port);
	int r = fd < 0 ? fd : 0;

	for (guint i = 0; i < PEER_ACCOUNTS && r == 0; i += PUTS_PER_TXN) {
		g_autoptr(GString) text = g_string_new("{\"success\":[");

		for (guint j = i; j < i + PUTS_PER_TXN; j++) {
			append_put(text, j, PEER_START);
			g_string_append(text, j + 1 < i + PUTS_PER_TXN ? "," : "]}");
		}
		r = post(fd, "/v3/kv/txn", text->str, reply);
	}
	if (fd >= 0)
		close(fd);
	return r < 0 ? bench_fail(r, "cannot fill etcd: %s; it said: %s", g_strerror(-r),
				  reply->str) :
		       0;
}

static int prepare(struct bench *bench, const struct row *row)
{
	guint port = server_free_port(), peer_port = server_free_port();
	g_autofree char *url = g_strdup_printf("http://127.0.0.1:%u", port);
	g_autofree char *peer_url = g_strdup_printf("http://127.0.0.1:%u", peer_port);
	g_autofree char *cluster = g_strdup_printf("bench=%s", peer_url);
	g_autofree char *directory = g_build_filename(bench->scratch, "etcd", NULL);
	char *const argv[] = { "etcd",	  "--name",
			       "bench",	  "--data-dir",
			       directory, "--listen-client-urls",
			       url,	  "--advertise-client-urls",
			       url,	  "--listen-peer-urls",
			       peer_url,  "--initial-advertise-peer-urls",
			       peer_url,  "--initial-cluster",
			       cluster,	  "--logger",
			       "zap",	  "--log-level",
			       "error",	  NULL };
	int r;

	(void)row;
	if (server_find(bench, SERVER))
		return 0;
	r = server_start(bench, SERVER, argv, port);
	return r < 0 ? r : fill(port);
}

/* ---- Clients -------------------------------------------------------------------- */

struct connection {
	int fd;
	GString *reply;
};

static int open_connection(struct client *client)
{
	struct connection *connection = g_new0(struct connection, 1);

	client->state = connection;
	connection->reply = g_string_new(NULL);
	connection->fd = server_connect(server_find(client->bench, SERVER)->port);
	return connection->fd < 0 ? client_fail_at(client, "connect to", SERVER, connection->fd) :
				    0;
}

static void close_connection(struct client *client)
{
	struct connection *connection = client->state;

	if (connection->fd >= 0)
		close(connection->fd);
	g_string_free(connection->reply, TRUE);
	g_free(connection);
}

struct account {
	guint number;
	char *revision;
	int value;
};

static int get_both(struct connection *connection, struct account accounts[static 2])
{
	g_autofree char *first = account_key(accounts[0].number);
	g_autofree char *second = account_key(accounts[1].number);
	g_autofree char *text = g_strdup_printf("{\"success\":[{\"requestRange\":{\"key\":\"%s\"}},"
						"{\"requestRange\":{\"key\":\"%s\"}}]}",
						first, second);
	int r = post(connection->fd, "/v3/kv/txn", text, connection->reply);
	const char *position = connection->reply->str;

	for (int i = 0; i < 2 && r == 0; i++) {
		g_autofree char *value = NULL;
		g_autofree guchar *decoded = NULL;
		gsize size;

		g_free(accounts[i].revision);
		accounts[i].revision = next_string(&position, "mod_revision");
		value = next_string(&position, "value");
		if (!accounts[i].revision || !value)
			return -EPROTO;
		decoded = g_base64_decode(value, &size);
		accounts[i].value = (int)g_ascii_strtoll((const char *)decoded, NULL, 10);
	}
	return r;
}

static void append_compare(GString *text, const struct account *account)
{
	g_autofree char *key = account_key(account->number);

	g_string_append_printf(text,
			       "{\"target\":\"MOD\",\"result\":\"EQUAL\",\"key\":\"%s\","
			       "\"modRevision\":\"%s\"}",
			       key, account->revision);
}

/* -ECANCELED: one of them has changed. */
static int put_both(struct connection *connection, const struct account accounts[static 2])
{
	g_autoptr(GString) text = g_string_new("{\"compare\":[");
	int r;

	append_compare(text, &accounts[0]);
	g_string_append_c(text, ',');
	append_compare(text, &accounts[1]);
	g_string_append(text, "],\"success\":[");
	append_put(text, accounts[0].number, accounts[0].value - 1);
	g_string_append_c(text, ',');
	append_put(text, accounts[1].number, accounts[1].value + 1);
	g_string_append(text, "]}");
	r = post(connection->fd, "/v3/kv/txn", text->str, connection->reply);
	if (r == 0 && !strstr(connection->reply->str, "\"succeeded\":true"))
		r = -ECANCELED;
	return r;
}

static int transfer(struct client *client)
{
	struct account accounts[2] = { { 0 } };
	guint pair[2];
	int r;

	client_random_pair(client, client->row->keys, pair);
	accounts[0].number = pair[0];
	accounts[1].number = pair[1];
	do {
		r = get_both(client->state, accounts);
		if (r == 0)
			r = put_both(client->state, accounts);
	} while (r == -ECANCELED && !client_expired(client));
	g_free(accounts[0].revision);
	g_free(accounts[1].revision);
	if (r == -ECANCELED)
		return -EAGAIN;
	return r < 0 ? client_fail(client, r, "cannot transfer: %s", g_strerror(-r)) : 0;
}

static int read_one(struct client *client)
{
	struct connection *connection = client->state;
	g_autofree char *key = account_key(client_random(client, client->row->keys));
	g_autofree char *text = g_strdup_printf("{\"key\":\"%s\"}", key);
	int r = post(connection->fd, "/v3/kv/range", text, connection->reply);

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

/* A transaction without compares reads both, another compares what was read. */
static const char transfer_script[] = SHELL_BEGIN
	"export ETCDCTL_API=3\n"
	"etcdctl() { command etcdctl --endpoints=\"http://127.0.0.1:$port\" \"$@\"; }\n"
	"call() {\n"
	"	local a=account/$((RANDOM % keys)) b=account/$((RANDOM % keys)) old result\n"
	"	[ $a != $b ] || b=account/$(((${a#*/} + 1) % keys))\n"
	"	while\n"
	"		mapfile -t old < <(printf '\\nget %s\\nget %s\\n\\n\\n' $a $b | etcdctl txn)\n"
	"		result=$(printf '%s\\n' \"value(\\\"$a\\\") = \\\"${old[3]}\\\"\" \\\n"
	"			\"value(\\\"$b\\\") = \\\"${old[6]}\\\"\" '' \\\n"
	"			\"put $a -- $((old[3] - 1))\" \"put $b -- $((old[6] + 1))\" '' '' |\n"
	"			etcdctl txn)\n"
	"		[[ $result == FAILURE* ]]\n"
	"	do expired && return 2; done\n"
	"	[[ $result == SUCCESS* ]]\n"
	"}\n"
	"work\n";

static const char read_script[] = SHELL_BEGIN
	"export ETCDCTL_API=3\n"
	"call() {\n"
	"	x=$(etcdctl --endpoints=\"http://127.0.0.1:$port\" get --print-value-only \\\n"
	"		account/$((RANDOM % keys)))\n"
	"}\n"
	"work\n";

const struct row etcd_rows[] = {
	{ PEER_ROW("etcd", 1), .prepare = prepare, .missing = no_server,
	  .workload = &transfer_workload },
	{ PEER_ROW("etcd", 16), .prepare = prepare, .fairness = true, .missing = no_server,
	  .workload = &transfer_workload },
	{ PEER_ROW("etcd-read", 1), .prepare = prepare, .missing = no_server,
	  .workload = &read_workload },
	{ PEER_SHELL_ROW("etcd-shell", transfer_script), .prepare = prepare, .missing = no_command,
	  .server = SERVER },
	{ PEER_SHELL_ROW("etcd-shell-read", read_script), .prepare = prepare, .missing = no_command,
	  .server = SERVER },
};
const guint etcd_rows_count = G_N_ELEMENTS(etcd_rows);
