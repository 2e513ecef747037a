/* See fsop_pass.h. */
#define _GNU_SOURCE
#include "fsop_pass.h"

#include "fsop_words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A message of one byte, and room for one descriptor. */
struct parcel {
	struct msghdr head;
	struct iovec part;
	char byte;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
};

static struct msghdr *parcel_init(struct parcel *parcel)
{
	memset(parcel, 0, sizeof *parcel);
	parcel->part = (struct iovec){ &parcel->byte, 1 };
	parcel->head = (struct msghdr){ .msg_iov = &parcel->part,
					.msg_iovlen = 1,
					.msg_control = parcel->control,
					.msg_controllen = sizeof parcel->control };
	return &parcel->head;
}

static int send_descriptor(int socket, int fd)
{
	struct parcel parcel;
	struct msghdr *head = parcel_init(&parcel);
	struct cmsghdr *passed = CMSG_FIRSTHDR(head);

	passed->cmsg_level = SOL_SOCKET;
	passed->cmsg_type = SCM_RIGHTS;
	passed->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(passed), &fd, sizeof fd);
	return sendmsg(socket, head, 0) < 0 ? -errno : 0;
}

static int receive_descriptor(int socket, int *ret)
{
	struct parcel parcel;
	struct msghdr *head = parcel_init(&parcel);
	struct cmsghdr *passed;

	if (recvmsg(socket, head, 0) < 0)
		return -errno;
	passed = CMSG_FIRSTHDR(head);
	if (passed == NULL || passed->cmsg_type != SCM_RIGHTS)
		return -EPROTO;
	memcpy(ret, CMSG_DATA(passed), sizeof *ret);
	return 0;
}

static struct sockaddr_un address_of(char **args)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof address.sun_path, "%s", arg_text(args, 1));
	return address;
}

int op_offer(char **args)
{
	struct sockaddr_un address = address_of(args);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), peer, result;

	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
	    chmod(address.sun_path, 0777) < 0 || listen(listener, 1) < 0)
		return -errno;
	peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	result = peer < 0 ? -errno : send_descriptor(peer, *arg_slot(args, 0));
	close(peer);
	close(listener);
	unlink(address.sun_path);
	return result;
}

int op_fetch(char **args)
{
	struct sockaddr_un address = address_of(args);
	int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), result;

	if (peer < 0)
		return -errno;
	for (int tries = 0; connect(peer, (struct sockaddr *)&address, sizeof address) < 0;
	     tries++) {
		if (tries == 1000)
			return -errno;
		usleep(10000);
	}
	result = receive_descriptor(peer, arg_slot(args, 0));
	close(peer);
	return result;
}

int op_openat(char **args)
{
	int *slot = arg_slot(args, 0);

	*slot = openat(*arg_slot(args, 1), arg_text(args, 2), arg_flags(args, 3));
	return *slot < 0 ? -errno : 0;
}
