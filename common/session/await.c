/* SPDX-License-Identifier: GPL-3.0-or-later */
/* await.c - what a door says, and the two answers that it waits for; contract in
 * ispawn/session/launch.h */
#include "ispawn/session/launch.h"

#include "ispawn/base/clock.h"
#include "ispawn/session/protocol.h"

#include <poll.h>
#include <sys/socket.h>

#define GRACE_MS 1000
#define CLOSE_MS 5000

/* Waits for one message of the types in @allowed.  Signals of the application's interrupt poll();
 * the deadline is a point in time, so they do not prolong it.
 * Return: 1 a message; 0 end of file; -ETIMEDOUT; -EPROTO; -errno. */
static int receive(int control_fd, uint32_t allowed, int64_t deadline_ms,
		   struct isp_message *ret_message, int *ret_fds, size_t *ret_fd_count)
{
	for (;;) {
		struct pollfd wait = {.fd = control_fd, .events = POLLIN};
		int r = poll(&wait, 1, isp_clock_left(deadline_ms));

		if (r < 0 && errno != EINTR)
			return -errno;
		if (r == 0)
			return -ETIMEDOUT;
		if (r < 0)
			continue;
		r = isp_message_receive(control_fd, allowed, ret_message, ret_fds, ret_fd_count,
					MSG_DONTWAIT);
		if (r != -EAGAIN)
			/* Kernel: a peer that died with a message of ours unread resets (unix(7)).
			 */
			return r == -ECONNRESET ? 0 : r;
	}
}

static int no_answer(int r, uint64_t timeout_s, struct isp_error *err)
{
	switch (r) {
	case 0:
		return isp_err_set(err, ECONNRESET, ISP_STAGE_START,
				   "the supervisor ended before the container was ready");
	case -ETIMEDOUT:
		return isp_err_set(err, ETIMEDOUT, ISP_STAGE_DEADLINE,
				   "the container was not ready within %llu s",
				   (unsigned long long)timeout_s);
	default:
		return isp_err_set(err, -r, ISP_STAGE_PROTOCOL,
				   "answer of the supervisor to the start");
	}
}

int isp_launch_await(int control_fd, const struct isp_spec *spec, int *ret_net_fd,
		     struct isp_error *err)
{
	int64_t deadline_ms = isp_clock_ms() + (int64_t)spec->start_timeout_s * 1000 + GRACE_MS;
	size_t expected_fds = spec->network == ISP_NETWORK_HOST ? 0 : 1;
	struct isp_message message = {0};
	int fds[ISP_FDS_MAX];
	size_t fd_count = 0;
	int r = receive(control_fd, 1u << ISP_MESSAGE_READY | 1u << ISP_MESSAGE_FAILED, deadline_ms,
			&message, fds, &fd_count);

	if (r <= 0)
		return no_answer(r, spec->start_timeout_s, err);
	if (message.type == ISP_MESSAGE_FAILED) {
		isp_message_close_fds(fds, fd_count);
		return isp_err_adopt(err, &message.error);
	}
	if (fd_count != expected_fds) {
		isp_message_close_fds(fds, fd_count);
		return isp_err_set(err, EPROTO, ISP_STAGE_PROTOCOL,
				   "READY of the supervisor came with %zu descriptors, not %zu",
				   fd_count, expected_fds);
	}
	if (expected_fds == 1)
		*ret_net_fd = fds[0];
	return 0;
}

int isp_launch_connect(int control_fd, int *ret_fd, struct isp_error *err)
{
	struct isp_message own = {.type = ISP_MESSAGE_OWN};
	int ends[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
		return isp_err_set(err, errno, ISP_STAGE_START, "make a socket for the command");
	r = isp_message_send(control_fd, &own, &ends[1], 1, MSG_DONTWAIT);
	isp_fd_close(&ends[1]);
	/* A supervisor that is gone may have said why: that is heard next. */
	if (r < 0 && r != -EPIPE) {
		isp_fd_close(&ends[0]);
		return isp_err_set(err, -r, ISP_STAGE_START, "hand the command's socket over");
	}
	*ret_fd = ends[0];
	return 0;
}

void isp_launch_cancel(int *control_fd)
{
	const uint32_t any =
		1u << ISP_MESSAGE_READY | 1u << ISP_MESSAGE_FAILED | 1u << ISP_MESSAGE_CLOSED;
	int64_t deadline_ms = isp_clock_ms() + CLOSE_MS;
	struct isp_message message = {0};
	int fds[ISP_FDS_MAX];
	int r = shutdown(*control_fd, SHUT_WR) != 0 ? -errno : 1;

	while (r > 0) {
		size_t fd_count = 0;

		r = receive(*control_fd, any, deadline_ms, &message, fds, &fd_count);
		isp_message_close_fds(fds, fd_count);
	}
	isp_fd_close(control_fd);
}

int isp_launch_end(int *control_fd, struct isp_error *err)
{
	struct isp_message message = {.type = ISP_MESSAGE_CLOSE};
	int fds[ISP_FDS_MAX];
	size_t fd_count = 0;
	int r = isp_message_send(*control_fd, &message, NULL, 0, MSG_DONTWAIT);

	/* Whatever became of the message, the supervisor answers or is gone: EPIPE, say. */
	if (r == 0)
		r = receive(*control_fd, 1u << ISP_MESSAGE_CLOSED, isp_clock_ms() + CLOSE_MS,
			    &message, fds, &fd_count);
	isp_message_close_fds(fds, fd_count);
	isp_fd_close(control_fd);
	if (r >= 0 || r == -EPIPE)
		return 0;
	if (r == -ETIMEDOUT)
		return isp_err_set(err, ETIMEDOUT, ISP_STAGE_DEADLINE,
				   "the supervisor did not confirm the end within %d s",
				   CLOSE_MS / 1000);
	return isp_err_set(err, -r, ISP_STAGE_PROTOCOL, "answer of the supervisor to the end");
}
