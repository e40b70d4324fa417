/* SPDX-License-Identifier: GPL-3.0-or-later */
/* child.c - programs run while building; contract in ispawn/container/child.h */
#include "ispawn/container/child.h"

#include "ispawn/base/clock.h"
#include "ispawn/base/fd.h"
#include "ispawn/base/sys.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define KILL_MS 1000

int isp_child_start(struct isp_child *child, struct isp_error *err)
{
	struct clone_args args = {.flags = CLONE_PIDFD,
				  .pidfd = (__u64)(uintptr_t)&child->pid_fd,
				  .exit_signal = SIGCHLD};
	pid_t parent = getpid();

	child->pid = isp_sys_clone3(&args, sizeof(args));
	if (child->pid < 0)
		return isp_err_set(err, errno, child->stage, "start %s", child->what);
	if (child->pid > 0)
		return 0;
	/* Threat: a child that goes on without its supervisor, on what the next login removes.
	 * Order: it may have died before the signal was asked for. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		isp_sys_exit_group(127);
	return 1;
}

/* A process in the middle of a disk's wait ends only with it: PID 1 reaps it then. */
static void kill_child(const struct isp_child *child)
{
	struct pollfd end = {.fd = child->pid_fd, .events = POLLIN};

	/* Ignored: it may have ended */
	(void)isp_sys_pidfd_send_signal(child->pid_fd, SIGKILL);
	(void)poll(&end, 1, KILL_MS);
	(void)waitpid(child->pid, NULL, WNOHANG);
}

int isp_child_wait(struct isp_child *child, int *ret_status, struct isp_error *err)
{
	struct pollfd watched[] = {
		{.fd = child->pid_fd, .events = POLLIN},
		{.fd = child->cancel_fd, .events = POLLRDHUP},
	};
	int failure, n;
	bool has_ended;

	do
		n = poll(watched, 2, isp_clock_left(child->deadline_ms));
	while (n < 0 && errno == EINTR);
	failure = n < 0 ? errno : 0;
	has_ended = n > 0 && (watched[0].revents & POLLIN);
	if (!has_ended)
		kill_child(child);
	isp_fd_close(&child->pid_fd);
	while (has_ended && waitpid(child->pid, ret_status, 0) < 0)
		if (errno != EINTR)
			return isp_err_set(err, errno, child->stage, "wait for %s", child->what);
	if (failure != 0)
		return isp_err_set(err, failure, child->stage, "watch %s", child->what);
	if (n == 0)
		return isp_err_set(err, ETIMEDOUT, ISP_STAGE_DEADLINE,
				   "%s did not end within start_timeout", child->what);
	if (!has_ended)
		return isp_err_set(err, ECANCELED, ISP_STAGE_START, "the login is gone");
	return 0;
}
