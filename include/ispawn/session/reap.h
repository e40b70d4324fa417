/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * reap.h - which process is which tenant, and who has ended
 *
 * Theory of operation: init numbers nothing itself; the supervisor gives each tenant a number, and
 * this table says which process and which pty that number is until the process is reaped.  A number
 * or pid that is not in the table means nothing, so that a signal for a tenant that has just ended
 * can never reach a process that got its pid since: only init reaps, and it removes the entry in
 * the same step.  Orphans that the kernel hands to PID 1 are reaped and forgotten.
 */
#ifndef ISPAWN_SESSION_REAP_H
#define ISPAWN_SESSION_REAP_H

#include "ispawn/base/err.h"
#include "ispawn/session/protocol.h"

#include <sys/types.h>

/**
 * struct isp_tenant - one running tenant
 * @number:  the supervisor's; 0 marks a free entry
 * @pid:     leader of the tenant's session and first process group
 * @start_fd: read end of the pipe that tells how the exec went; -EBADF once that is known
 * @primary_fd, @peer_fd: the pty, held until the tenant ends; -EBADF without one
 * @is_command: started by a name of its own, not as the shell
 * @is_refused: the exec failed and the supervisor was told: its end is not news
 */
struct isp_tenant {
	uint32_t number;
	pid_t pid;
	int start_fd;
	int primary_fd;
	int peer_fd;
	bool is_command;
	bool is_refused;
};

#define ISP_TENANTS_ALL (ISP_TENANTS_MAX + ISP_TENANTS_ADMIN_MAX)

/** struct isp_tenants - all of a session's; zeroed is empty */
struct isp_tenants {
	struct isp_tenant entries[ISP_TENANTS_ALL];
};

/**
 * isp_tenants_add() - a free entry under a new number, its descriptors -EBADF
 * @ret_tenant: valid until isp_tenants_remove()
 * Return: 0; -EINVAL number 0; -EEXIST number in use; -ENOSPC ISP_TENANTS_ALL are running.
 */
ISP_MUST_CHECK int isp_tenants_add(struct isp_tenants *tenants, uint32_t number,
				   struct isp_tenant **ret_tenant);

/** isp_tenants_by_number(), isp_tenants_by_pid() - NULL when there is none; 0 is never one. */
struct isp_tenant *isp_tenants_by_number(struct isp_tenants *tenants, uint32_t number);
struct isp_tenant *isp_tenants_by_pid(struct isp_tenants *tenants, pid_t pid);

/** isp_tenants_close_pty() - let go of the pty: the last holder's close hangs the terminal up. */
void isp_tenants_close_pty(struct isp_tenant *tenant);

/** isp_tenants_remove() - close the entry's descriptors and free it. */
void isp_tenants_remove(struct isp_tenant *tenant);

/**
 * isp_reap() - one ended child, without waiting
 * @ret_status: as from waitpid(2)
 * Return: 1 with *@ret_pid and *@ret_status; 0 children are left but none has ended; -ECHILD none
 * is left.
 */
ISP_MUST_CHECK int isp_reap(pid_t *ret_pid, int *ret_status);

#endif
