/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * finish.c - ending a session without a trace; contract in ispawn/session/supervise.h
 *
 *	1. nobody new comes in
 *	2. the tenants hear SIGHUP and SIGTERM, and have a moment
 *	3. init is killed; with it the kernel kills all inside, and takes the namespaces down
 *	4. meanwhile the counters are read: the cgroup still is there, and nothing in it runs on
 *	5. overlay, cgroup, store lock and registry entry go, in this order: the entry's lock is
 *	   what tells the user's next login that the copy is no longer in use.  Kernel: two
 *	   overlays on one upper layer are undefined, and only warned of
 *
 * The door hears CLOSED when all that is done; ispawn(1), for which nobody's next login waits, when
 * the processes and mounts are gone and the directory is nobody's any more: what is left then are
 * an empty cgroup and an entry, and no reason to hold a script up.
 */
#include "ispawn/base/clock.h"
#include "ispawn/base/sys.h"
#include "ispawn/container/rootfs.h"
#include "ispawn/session/supervise.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define GRACE_MS 500 /* from SIGTERM to SIGKILL */
#define KILL_MS 5000

/* Waits until init has said that it is alone, or is gone, or time is up. */
static void await_empty(struct isp_supervisor *s)
{
	int64_t deadline_ms = isp_clock_ms() + GRACE_MS;
	struct pollfd watched[] = {
		{.fd = s->init_fd, .events = POLLIN},
		{.fd = s->init_pid_fd, .events = POLLIN},
	};

	while (!s->is_empty && isp_clock_left(deadline_ms) > 0) {
		if (poll(watched, ISP_ARRAY_SIZE(watched), isp_clock_left(deadline_ms)) <= 0)
			continue;
		if (watched[0].revents && !isp_tenants_from_init(s))
			return;
		if (watched[1].revents && !watched[0].revents)
			return;
	}
}

/* That the last tenant has ended and that nothing is left come one after the other. */
static void hear_init(struct isp_supervisor *s)
{
	struct pollfd said = {.fd = s->init_fd, .events = POLLIN};

	while (!s->is_empty && poll(&said, 1, 0) == 1)
		if (!isp_tenants_from_init(s))
			return;
}

static void end_tenants(struct isp_supervisor *s)
{
	struct isp_message stop = {.type = ISP_MESSAGE_STOP};

	/* An init that broke the protocol or is gone is not asked. */
	if (s->end == ISP_END_INIT || s->end == ISP_END_PROTOCOL)
		return;
	hear_init(s);
	if (s->is_empty)
		return;
	if (isp_message_send(s->init_fd, &stop, NULL, 0, MSG_DONTWAIT) == 0)
		await_empty(s);
}

static void kill_init(const struct isp_supervisor *s)
{
	if (s->init_pid_fd >= 0) /* Ignored: it may have ended */
		(void)isp_sys_pidfd_send_signal(s->init_pid_fd, SIGKILL);
}

static int reap_init(const struct isp_supervisor *s, struct isp_error *err)
{
	struct pollfd gone = {.fd = s->init_pid_fd, .events = POLLIN};
	siginfo_t info;

	if (s->init_pid_fd < 0)
		return 0;
	/* Kernel: pid_namespaces(7): init can be reaped only when all others inside are gone. */
	if (poll(&gone, 1, KILL_MS) != 1 ||
	    waitid(P_PIDFD, (id_t)s->init_pid_fd, &info, WEXITED) != 0)
		return isp_err_set(err, ETIMEDOUT, ISP_STAGE_INIT,
				   "the container's processes did not end when killed");
	return 0;
}

static int remove_cgroup(struct isp_supervisor *s, struct isp_error *err)
{
	int r;

	if (s->cgroup.count == 0)
		return 0;
	/* Init was the last to end, so as a rule nothing is left to kill.  Kernel: a cgroup with a
	 * process in it is not removed (EBUSY), so one that goes needs no look. */
	r = isp_cgroup_remove_empty(&s->cgroup);
	if (r < 0) {
		r = isp_cgroup_kill(&s->cgroup, KILL_MS);
		if (r == 0)
			r = isp_cgroup_remove(&s->cgroup);
	}
	isp_cgroup_close(&s->cgroup);
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_CGROUP, "remove the session's cgroup") : 0;
}

/* The last reference to the private namespace, and so to the mounts in it, unless the start failed:
 * then this process is still inside, and its end releases them. */
static void release_overlay(struct isp_supervisor *s)
{
	struct isp_error ignored = {0}; /* a failed start that cannot go back either */

	if (s->host_ns_fd >= 0)
		isp_ignore(isp_rootfs_leave_private(s->host_ns_fd, &ignored));
	isp_fd_close(&s->host_ns_fd);
	isp_fd_close(&s->own_ns_fd);
}

void isp_session_tell_closed(struct isp_supervisor *s)
{
	struct isp_message closed = {.type = ISP_MESSAGE_CLOSED};

	if (s->door_fd >= 0 && !s->has_told_closed)
		isp_ignore(isp_message_send(s->door_fd, &closed, NULL, 0, 0)); /* may be gone */
	s->has_told_closed = true;
}

int isp_session_finish(struct isp_supervisor *s, struct isp_error *err)
{
	bool was_started = s->ready_ms != 0;
	struct isp_usage usage = {0};
	int r;

	isp_registry_stop_listening(&s->entry);
	if (was_started)
		end_tenants(s);
	kill_init(s);
	if (s->cgroup.count > 0)
		isp_cgroup_usage(&s->cgroup, &usage);
	r = reap_init(s, err);
	release_overlay(s);
	if (r == 0 && was_started && s->spec.directory[0])
		isp_session_tell_closed(s);
	if (r == 0)
		r = remove_cgroup(s, err);
	isp_store_close(&s->store);
	/* An entry that cannot be cleaned up stays, unlocked: the next sweep tries again. */
	if (r == 0 && isp_registry_remove(&s->entry) < 0)
		r = isp_err_set(err, errno, ISP_STAGE_REGISTRY, "remove the session's entry");
	if (was_started)
		isp_journal_end(s, &usage);
	isp_tenants_close(s);
	isp_fd_close(&s->init_fd);
	isp_fd_close(&s->init_pid_fd);
	return r;
}
