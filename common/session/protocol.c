/* SPDX-License-Identifier: GPL-3.0-or-later */
/* protocol.c - messages; contract in ispawn/session/protocol.h */
#include "ispawn/session/protocol.h"
/* generated: a digest of all sources */
#include "build.h"

#include <sys/socket.h>

/* One array and not two strings: what is looked for in a file must not stand in it twice. */
static const char build_mark[] __attribute__((used)) = ISP_BUILD_PREFIX ISP_BUILD;

const char *isp_protocol_build(void)
{
	return build_mark + sizeof(ISP_BUILD_PREFIX) - 1;
}

int isp_message_send(int sock_fd, struct isp_message *message, const int *fds, size_t fd_count,
		     int flags)
{
	message->magic = ISP_MESSAGE_MAGIC;
	return isp_fd_send(sock_fd, message, sizeof(*message), fds, fd_count, flags);
}

void isp_message_close_fds(int *fds, size_t fd_count)
{
	for (size_t i = 0; i < fd_count; i++)
		isp_fd_close(&fds[i]);
}

int isp_message_receive(int sock_fd, uint32_t allowed, struct isp_message *ret, int *ret_fds,
			size_t *ret_fd_count, int flags)
{
	struct isp_message message = {0};
	int fds[ISP_FDS_MAX];
	size_t count = 0;
	int r = isp_fd_receive(sock_fd, &message, sizeof(message), fds, &count, flags);

	if (r == -EMSGSIZE)
		return -EPROTO;
	if (r <= 0)
		return r;
	if (message.magic != ISP_MESSAGE_MAGIC || message.type >= ISP_MESSAGE_COUNT ||
	    !(allowed & (1u << message.type))) {
		isp_message_close_fds(fds, count);
		return -EPROTO;
	}
	message.text[sizeof(message.text) - 1] = '\0';
	message.error.text[sizeof(message.error.text) - 1] = '\0';
	*ret = message;
	for (size_t i = 0; i < count; i++)
		ret_fds[i] = fds[i];
	*ret_fd_count = count;
	return 1;
}
