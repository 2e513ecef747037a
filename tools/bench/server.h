/* Servers of peers: started on the loopback address for the time of a run. */
#pragma once

#include "tools/bench/bench.h"

struct server {
	const char *name;
	pid_t pid;
	guint port;
};

/* A port nobody listens on now; 0: there is none. */
guint server_free_port(void);

/* Starts argv, which shall listen on `port` of 127.0.0.1, and waits until it does. What it
 * prints goes into a file in bench->scratch. `name` stays the caller's. */
int server_start(struct bench *bench, const char *name, char *const argv[], guint port);
/* NULL: not running. */
const struct server *server_find(const struct bench *bench, const char *name);
/* Ends all of them. */
void servers_stop(struct bench *bench);

/* A connection to a port of 127.0.0.1: a descriptor, or a negative errno. */
int server_connect(guint port);
/* Sends all of it. 0 or a negative errno. */
int server_send(int fd, const char *data, size_t size);
