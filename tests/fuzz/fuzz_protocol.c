/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One datagram from a hostile peer: byte 0 is how many descriptors it carries, bytes 1 to 4 which
 * types are awaited, the rest is the datagram.
 */
#include "fuzz.h"

#include "ispawn/session/protocol.h"

#include <fcntl.h>
#include <sys/socket.h>

#define SENT_MAX 16 /* twice what a message may carry */

static void send_datagram(int sock_fd, const char *bytes, size_t size, size_t fd_count)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * SENT_MAX)];
	} control = {.bytes = {0}};
	struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd_count > 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		for (size_t i = 0; i < fd_count; i++)
			memcpy(CMSG_DATA(rights) + i * sizeof(int), &sock_fd, sizeof(int));
	}
	PROMISE(sendmsg(sock_fd, &message, MSG_NOSIGNAL) == (ssize_t)size);
}

/* Descriptors are handed out lowest first: a leak moves this number. */
static int lowest_free(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int number = fd;

	isp_fd_close(&fd);
	return number;
}

static void promise_message(const struct isp_message *message, uint32_t allowed,
			    const struct isp_message *sent)
{
	PROMISE(message->magic == ISP_MESSAGE_MAGIC && message->type < ISP_MESSAGE_COUNT);
	PROMISE(allowed & 1u << message->type);
	PROMISE(memchr(message->text, '\0', sizeof(message->text)));
	PROMISE(memchr(message->error.text, '\0', sizeof(message->error.text)));
	PROMISE(message->value == sent->value && message->tenant == sent->tenant);
}

static void receive(int sock_fd, uint32_t allowed, const char *sent, size_t size, size_t fd_count)
{
	struct isp_message message = {0};
	struct isp_message copy = {0};
	int fds[ISP_FDS_MAX];
	size_t count = 99;
	int r = isp_message_receive(sock_fd, allowed, &message, fds, &count, MSG_DONTWAIT);

	if (r == 1) {
		PROMISE(size == sizeof(message) && count == fd_count && count <= ISP_FDS_MAX);
		memcpy(&copy, sent, sizeof(copy));
		promise_message(&message, allowed, &copy);
		for (size_t i = 0; i < count; i++)
			PROMISE(fcntl(fds[i], F_GETFD) == FD_CLOEXEC);
		isp_message_close_fds(fds, count);
	} else {
		PROMISE(r == (size == 0 ? 0 : -EPROTO));
		PROMISE(count == 99 && message.magic == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	cleanup_free char *datagram = NULL;
	uint32_t allowed;
	int before;
	int ends[2];

	if (size < 5)
		return 0;
	memcpy(&allowed, bytes + 1, sizeof(allowed));
	datagram = fuzz_copy(bytes + 5, size - 5);
	PROMISE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
	before = lowest_free(); /* with the pair open: what stays open of the datagram has it */
	send_datagram(ends[0], datagram + 1, size - 5, bytes[0] % (SENT_MAX + 1));
	receive(ends[1], allowed, datagram + 1, size - 5, bytes[0] % (SENT_MAX + 1));
	PROMISE(lowest_free() == before);
	isp_fd_close(&ends[0]);
	isp_fd_close(&ends[1]);
	return 0;
}
