/* The protocol is one datagram, promised to stay (systemd's own manual shows how to do
 * without its library); libsystemd would link a decompressor or three into a process that
 * runs as root, for these twenty lines. */
#include "tools/service.h"

#include <errno.h>
#include <glib.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* -EAFNOSUPPORT: not a path and not an abstract name. -E2BIG. */
static int make_address(const char *name, struct sockaddr_un *ret, socklen_t *ret_length)
{
	size_t length = strlen(name);

	if (name[0] != '/' && name[0] != '@')
		return -EAFNOSUPPORT;
	if (length >= sizeof(ret->sun_path))
		return -E2BIG;
	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	memcpy(ret->sun_path, name, length);
	if (name[0] == '@')
		ret->sun_path[0] = '\0';
	*ret_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	return 0;
}

int service_notify(const char *state)
{
	const char *name = g_getenv("NOTIFY_SOCKET");
	struct sockaddr_un address;
	socklen_t length;
	int fd, r;

	if (name == NULL || *name == '\0')
		return 0;
	r = make_address(name, &address, &length);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, length) < 0)
		r = -errno;
	close(fd);
	return r;
}

static void notify_or_warn(const char *state)
{
	int r = service_notify(state);

	if (r < 0)
		g_warning("cannot tell the service manager: %s", g_strerror(-r));
}

void service_notify_ready(const char *point)
{
	g_autofree char *state = g_strdup_printf("READY=1\nSTATUS=Serving %s", point);

	/* A newline in a path would begin another statement. */
	for (char *c = strchr(state, '\n') + 1; *c != '\0'; c++)
		if (g_ascii_iscntrl(*c))
			*c = '?';
	notify_or_warn(state);
}

void service_notify_stopping(void)
{
	notify_or_warn("STOPPING=1\nSTATUS=Closing the store");
}
