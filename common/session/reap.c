/* SPDX-License-Identifier: GPL-3.0-or-later */
/* reap.c - the table of tenants; contract in ispawn/session/reap.h */
#include "ispawn/session/reap.h"

#include <sys/wait.h>

struct isp_tenant *isp_tenants_by_number(struct isp_tenants *tenants, uint32_t number)
{
	for (size_t i = 0; number != 0 && i < ISP_TENANTS_ALL; i++)
		if (tenants->entries[i].number == number)
			return &tenants->entries[i];
	return NULL;
}

struct isp_tenant *isp_tenants_by_pid(struct isp_tenants *tenants, pid_t pid)
{
	for (size_t i = 0; pid > 0 && i < ISP_TENANTS_ALL; i++)
		if (tenants->entries[i].number != 0 && tenants->entries[i].pid == pid)
			return &tenants->entries[i];
	return NULL;
}

int isp_tenants_add(struct isp_tenants *tenants, uint32_t number, struct isp_tenant **ret_tenant)
{
	if (number == 0)
		return -EINVAL;
	if (isp_tenants_by_number(tenants, number))
		return -EEXIST;
	for (size_t i = 0; i < ISP_TENANTS_ALL; i++) {
		struct isp_tenant *entry = &tenants->entries[i];

		if (entry->number != 0)
			continue;
		*entry = (struct isp_tenant){.number = number,
					     .start_fd = -EBADF,
					     .primary_fd = -EBADF,
					     .peer_fd = -EBADF};
		*ret_tenant = entry;
		return 0;
	}
	return -ENOSPC;
}

void isp_tenants_close_pty(struct isp_tenant *tenant)
{
	isp_fd_close(&tenant->primary_fd);
	isp_fd_close(&tenant->peer_fd);
}

void isp_tenants_remove(struct isp_tenant *tenant)
{
	isp_tenants_close_pty(tenant);
	isp_fd_close(&tenant->start_fd);
	*tenant = (struct isp_tenant){0};
}

int isp_reap(pid_t *ret_pid, int *ret_status)
{
	int status = 0;
	pid_t pid;

	do
		pid = waitpid(-1, &status, WNOHANG);
	while (pid < 0 && errno == EINTR);
	if (pid < 0)
		return -errno;
	if (pid == 0)
		return 0;
	*ret_pid = pid;
	*ret_status = status;
	return 1;
}
