/* SPDX-License-Identifier: GPL-3.0-or-later */
/* relay.c - bytes from one descriptor to another; contract in ispawn/session/relay.h */
#include "ispawn/session/relay.h"

#include "ispawn/base/fd.h"

#include <fcntl.h>

#define ROUNDS_MAX 16 /* of one turn: 64 KiB of a terminal's bytes, a fraction of a millisecond */

void isp_channel_open(struct isp_channel *channel, int *from_fd, int *to_fd, unsigned int flags)
{
	channel->is_open = true;
	channel->is_last_call = channel->has_source_ended = false;
	channel->flags = flags;
	channel->from_fd = steal_fd(from_fd);
	channel->to_fd = steal_fd(to_fd);
	channel->start = channel->end = 0;
	channel->budget = ISP_CHANNEL_LAST_CALL_MAX;
}

void isp_channel_close(struct isp_channel *channel)
{
	if (!channel->is_open)
		return;
	channel->is_open = false;
	isp_fd_close(&channel->from_fd);
	isp_fd_close(&channel->to_fd);
}

bool isp_channel_source_ended(const struct isp_channel *channel)
{
	return channel->has_source_ended;
}

void isp_channel_last_call(struct isp_channel *channel)
{
	channel->is_last_call = true;
}

bool isp_channel_prepare(const struct isp_channel *channel, struct pollfd ret_poll[2])
{
	ret_poll[0] = (struct pollfd){.fd = -1, .events = POLLIN};
	ret_poll[1] = (struct pollfd){.fd = -1, .events = POLLOUT};
	if (!channel->is_open)
		return false;
	/* One side at a time: poll reports POLLHUP unasked, and would spin on a source that has
	 * hung up while its last bytes wait for the sink. */
	if (channel->start < channel->end) {
		ret_poll[1].fd = channel->to_fd;
		return false;
	}
	ret_poll[0].fd = channel->from_fd;
	return channel->is_last_call;
}

static void set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && !(flags & O_NONBLOCK))
		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK); /* Ignored: then the call may wait */
}

/* Return: true when there are bytes to write. */
static bool fill(struct isp_channel *channel)
{
	size_t room = sizeof(channel->buffer);
	ssize_t n = 0;

	if (channel->flags & ISP_CHANNEL_FROM_SHARED)
		set_nonblocking(channel->from_fd);
	if (channel->is_last_call && room > channel->budget)
		room = channel->budget;
	if (room > 0)
		n = read(channel->from_fd, channel->buffer, room);
	if (n < 0 && (errno == EINTR || (errno == EAGAIN && !channel->is_last_call)))
		return false;
	if (n <= 0) { /* end of file; EIO of a primary; the last call's EAGAIN */
		channel->has_source_ended = true;
		isp_channel_close(channel);
		return false;
	}
	channel->start = 0;
	channel->end = (size_t)n;
	if (channel->is_last_call)
		channel->budget -= (size_t)n;
	return true;
}

static void drain(struct isp_channel *channel)
{
	ssize_t n;

	if (channel->flags & ISP_CHANNEL_TO_SHARED)
		set_nonblocking(channel->to_fd);
	n = write(channel->to_fd, channel->buffer + channel->start, channel->end - channel->start);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		isp_channel_close(channel);
		return;
	}
	channel->start += (size_t)n;
}

void isp_channel_move(struct isp_channel *channel, const struct pollfd polled[2])
{
	bool may_write = channel->flags & (ISP_CHANNEL_TO_SHARED | ISP_CHANNEL_TO_OWN);
	bool may_read = channel->flags & (ISP_CHANNEL_FROM_SHARED | ISP_CHANNEL_FROM_OWN);
	bool is_readable = polled[0].fd >= 0 && (polled[0].revents || channel->is_last_call);

	if (channel->is_open && polled[1].fd >= 0 && polled[1].revents)
		drain(channel);
	/* Most sinks take the bytes at once: try before asking poll, and then try for more. */
	for (int i = 0; is_readable && i < ROUNDS_MAX; i++) {
		if (!channel->is_open || channel->start < channel->end || !fill(channel))
			return;
		if (may_write)
			drain(channel);
		is_readable = may_read;
	}
}
