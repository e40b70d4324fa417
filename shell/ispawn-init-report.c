/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-init-report.c - what is told of a tenant, and what is done to it; contract in
 * ispawn-init.h
 *
 * Runs as PID 1 of the container, with the tenant's own identity, or as ispawn-enter, with the
 * rights of the container's root.  Whoever listens takes every word for hostile.
 */
#include "ispawn-init.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>

int init_tell(struct init *init, struct isp_message *message, const int *fds, size_t fd_count)
{
	return isp_message_send(init->supervisor_fd, message, fds, fd_count, 0);
}

int init_tell_refused(struct init *init, uint32_t tenant, int status, const struct isp_error *err)
{
	struct isp_message message = {.type = ISP_MESSAGE_REFUSED, .tenant = tenant};

	message.value = status;
	message.error = *err;
	return init_tell(init, &message, NULL, 0);
}

/* The second descriptor names the device without opening it: for whoever records the login. */
static int tell_started(struct init *init, const struct isp_tenant *tenant)
{
	struct isp_message message = {.type = ISP_MESSAGE_STARTED, .tenant = tenant->number};
	cleanup_close int device_fd = -EBADF;
	char path[] = "/proc/self/fd/0123456789";
	int fds[2];

	if (tenant->primary_fd < 0)
		return init_tell(init, &message, NULL, 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", tenant->peer_fd);
	device_fd = open(path, O_PATH | O_CLOEXEC);
	fds[0] = tenant->primary_fd;
	fds[1] = device_fd;
	return init_tell(init, &message, fds, device_fd < 0 ? 1 : 2);
}

static int tell_exited(struct init *init, uint32_t tenant, int status)
{
	struct isp_message message = {.type = ISP_MESSAGE_EXITED, .tenant = tenant};

	message.value = status;
	return init_tell(init, &message, NULL, 0);
}

int tenant_exec_is_known(struct init *init, struct isp_tenant *tenant)
{
	struct isp_error err = {0};
	int status = 0;

	if (tenant_exec_result(init, tenant, &status, &err) == 0)
		return tell_started(init, tenant);
	tenant->is_refused = true;
	isp_tenants_close_pty(tenant);
	return init_tell_refused(init, tenant->number, status, &err);
}

/* Order: the pty is let go before EXITED, so that the shell outside finds the end of the output. */
int tenant_ended(struct init *init, struct isp_tenant *tenant, int status)
{
	uint32_t number = tenant->number;
	bool is_refused;
	int r = 0;

	if (tenant->start_fd >= 0)
		r = tenant_exec_is_known(init, tenant);
	is_refused = tenant->is_refused;
	isp_tenants_remove(tenant);
	return r < 0 || is_refused ? r : tell_exited(init, number, status);
}

/* With a terminal the job in the foreground, which a shell has put in a group of its own; without
 * one the tenant's first group.  Kernel: TIOCGPGRP on a primary answers for the other side. */
void tenant_signal(const struct isp_tenant *tenant, int number)
{
	pid_t group = 0;

	if (tenant->primary_fd < 0 || ioctl(tenant->primary_fd, TIOCGPGRP, &group) != 0 ||
	    group <= 1)
		group = tenant->pid;
	/* ESRCH: it has not reached its setsid() yet, or its group is empty. */
	if (kill(-group, number) != 0)
		(void)kill(tenant->pid, number);
}

/* Letting go of the pty leaves the last word to the shell outside, which is gone: the kernel then
 * hangs the terminal up itself.  SIGCONT, because a stopped job cannot die of SIGHUP. */
void tenant_hang_up(struct isp_tenant *tenant)
{
	tenant_signal(tenant, SIGHUP);
	(void)kill(tenant->pid, SIGHUP);
	tenant_signal(tenant, SIGCONT);
	isp_tenants_close_pty(tenant);
}
