/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-init - builds its container from inside, then is its PID 1
 *
 * Executed by the supervisor's clone, with /dev/null on 0, 1 and 2, the supervisor's socket on 3
 * and the frozen spec on 4, and the mode 0711, so that nobody traces it from its first instruction
 * on.  It is root of the container's own user namespace until the builder's last steps; from then
 * on it is the tenant itself: same ids, no capability, no file of the host.  Whoever takes it over
 * then has gained nothing.  It links nothing at run time, so that no file of the container is
 * loaded into it.
 *
 * Theory of operation:
 *   1. block signals, so that nothing happens between two instructions below
 *   2. read the spec; take the steps that need nothing else (ispawn/container/builder.h)
 *   3. take over what the supervisor has made, take the other steps, say UP
 *   4. until the supervisor closes its end: start tenants, pass signals on, reap, report
 *   5. then kill everything and leave; the kernel ends the PID namespace with us
 * The supervisor's death is covered three times: the parent-death signal, the end of file on 3, and
 * EPIPE on whatever we send.
 *
 * What it takes from the supervisor as PID 1: OPEN, SIGNAL, HANGUP, STOP, in any order; anything
 * else is a broken supervisor, and ends the container like a dead one.
 */
#include "ispawn-init.h"

#include "ispawn/container/builder.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* Order: the pollfds of the two fixed sources come first. */
enum { POLL_SUPERVISOR, POLL_SIGNALS, POLL_STARTS };

static const uint32_t accepted = 1u << ISP_MESSAGE_OPEN | 1u << ISP_MESSAGE_SIGNAL |
				 1u << ISP_MESSAGE_HANGUP | 1u << ISP_MESSAGE_STOP;

/* --- what happens to tenants ------------------------------------------------------------------ */

static int reap_all(struct init *init)
{
	for (;;) {
		struct isp_tenant *tenant;
		int status = 0, r;
		pid_t pid = 0;

		r = isp_reap(&pid, &status);
		if (r == -ECHILD && !init->has_told) {
			struct isp_message empty = {.type = ISP_MESSAGE_EMPTY};

			init->has_told = true;
			return init_tell(init, &empty, NULL, 0);
		}
		if (r <= 0)
			return r == -ECHILD ? 0 : r;
		tenant = isp_tenants_by_pid(&init->tenants, pid);
		r = tenant ? tenant_ended(init, tenant, status) : 0;
		if (r < 0)
			return r;
	}
}

static void stop_all(void)
{
	(void)kill(-1, SIGHUP);
	(void)kill(-1, SIGTERM);
	(void)kill(-1, SIGCONT);
}

/* --- the loop --------------------------------------------------------------------------------- */

static int open_tenant(struct init *init, const struct isp_message *message, int *fds, size_t count)
{
	struct isp_error err = {0};
	int status = STATUS_OURS;
	int r;

	/* The supervisor has counted it: what is empty again has to be told again. */
	init->has_told = false;
	if (tenant_start(init, message, fds, count, &status, &err) == 0)
		return 0;
	r = init_tell_refused(init, message->tenant, status, &err);
	return r < 0 ? r : reap_all(init);
}

static int obey(struct init *init, const struct isp_message *message, int *fds, size_t fd_count)
{
	struct isp_tenant *tenant = isp_tenants_by_number(&init->tenants, message->tenant);

	if (message->type == ISP_MESSAGE_OPEN)
		return open_tenant(init, message, fds, fd_count);
	if (message->type == ISP_MESSAGE_STOP)
		stop_all();
	/* No tenant: it has ended while the message was on its way. */
	if (message->type == ISP_MESSAGE_HANGUP && tenant)
		tenant_hang_up(tenant);
	if (message->type == ISP_MESSAGE_SIGNAL && tenant && message->value > 0 &&
	    message->value < NSIG)
		tenant_signal(tenant, message->value);
	return 0;
}

/* Return: 0 go on; -EPIPE the supervisor is gone; other -errno. */
static int hear(struct init *init)
{
	struct isp_message message = {0};
	int fds[ISP_FDS_MAX];
	size_t fd_count = 0;
	int r = isp_message_receive(init->supervisor_fd, accepted, &message, fds, &fd_count,
				    MSG_DONTWAIT);

	if (r == -EAGAIN)
		return 0;
	if (r <= 0)
		return r < 0 ? r : -EPIPE;
	r = obey(init, &message, fds, fd_count);
	isp_message_close_fds(fds, fd_count);
	return r;
}

static int take_signals(struct init *init)
{
	struct signalfd_siginfo ignored;

	/* One SIGCHLD stands for any number of children: only waitpid knows. */
	if (read(init->signal_fd, &ignored, sizeof(ignored)) < 0 && errno != EAGAIN)
		return -errno;
	return reap_all(init);
}

static nfds_t prepare(struct init *init, struct pollfd *polled, uint32_t *numbers)
{
	nfds_t count = POLL_STARTS;

	polled[POLL_SUPERVISOR] = (struct pollfd){.fd = init->supervisor_fd, .events = POLLIN};
	polled[POLL_SIGNALS] = (struct pollfd){.fd = init->signal_fd, .events = POLLIN};
	for (size_t i = 0; i < ISP_TENANTS_ALL; i++) {
		const struct isp_tenant *tenant = &init->tenants.entries[i];

		if (tenant->number == 0 || tenant->start_fd < 0)
			continue;
		numbers[count] = tenant->number;
		polled[count++] = (struct pollfd){.fd = tenant->start_fd, .events = POLLIN};
	}
	return count;
}

static int turn(struct init *init)
{
	struct pollfd polled[POLL_STARTS + ISP_TENANTS_ALL];
	uint32_t numbers[POLL_STARTS + ISP_TENANTS_ALL] = {0};
	nfds_t count = prepare(init, polled, numbers);
	int r = 0;

	if (poll(polled, count, -1) < 0)
		return errno == EINTR ? 0 : -errno;
	/* Order: starts before reaping and both before new orders, so that events are reported in
	 * the order in which they came about. */
	for (nfds_t i = POLL_STARTS; r == 0 && i < count; i++) {
		struct isp_tenant *tenant = isp_tenants_by_number(&init->tenants, numbers[i]);

		if (polled[i].revents && tenant)
			r = tenant_exec_is_known(init, tenant);
	}
	if (r == 0 && polled[POLL_SIGNALS].revents)
		r = take_signals(init);
	if (r == 0 && polled[POLL_SUPERVISOR].revents)
		r = hear(init);
	return r;
}

static int read_spec(struct init *init, struct isp_error *err)
{
	cleanup_close int spec_fd = ISP_INIT_SPEC_FD;
	cleanup_free char *bytes = NULL;
	size_t size = 0;
	int r;

	if (fcntl(spec_fd, F_SETFD, FD_CLOEXEC) != 0)
		return -errno;
	r = isp_fd_memfd_read(spec_fd, ISP_SPEC_SIZE_MAX, &bytes, &size);
	return r < 0 ? r : isp_spec_decode(bytes, size, &init->spec, err);
}

/* Before UP the supervisor waits for one word: that it stands, or why not. */
static int tell_failed(struct init *init, int r, struct isp_error *err)
{
	struct isp_message failed = {.type = ISP_MESSAGE_FAILED};

	isp_ignore(isp_err_set(err, -r, ISP_STAGE_INIT, "set up the container's init"));
	failed.error = *err;
	isp_ignore(init_tell(init, &failed, NULL, 0)); /* dying anyway */
	return r;
}

static int watch_children(struct init *init)
{
	sigset_t child;

	(void)sigemptyset(&child);
	(void)sigaddset(&child, SIGCHLD);
	init->signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	return init->signal_fd < 0 ? -errno : 0;
}

static int set_up(struct init *init)
{
	struct isp_message up = {.type = ISP_MESSAGE_UP};
	struct isp_error err = {0};
	int r;

	if (fcntl(ISP_INIT_SOCKET_FD, F_SETFD, FD_CLOEXEC) != 0)
		return tell_failed(init, -errno, &err);
	/* Threat: a tenant that reads PID 1's memory or opens its descriptors.  The installed mode
	 * (0711) has done this since the exec; this holds when it was installed otherwise. */
	if (prctl(PR_SET_DUMPABLE, 0) != 0)
		return tell_failed(init, -errno, &err);
	r = read_spec(init, &err);
	if (r == 0)
		r = init_build(init, &err);
	if (r == 0)
		r = watch_children(init);
	return r < 0 ? tell_failed(init, r, &err) : init_tell(init, &up, NULL, 0);
}

int main(int argc, char **argv)
{
	static struct init init = {.supervisor_fd = ISP_INIT_SOCKET_FD, .has_told = true};
	sigset_t all;
	int r;

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	/* kill(-1) below would reach every process of whoever tries this by hand. */
	(void)argv;
	if (getpid() != 1 || argc != 1)
		return STATUS_OURS;
	r = set_up(&init);
	while (r == 0)
		r = turn(&init);
	(void)kill(-1, SIGKILL);
	return STATUS_OURS;
}
