/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-init.h - what the parts of PID 1 share
 *
 * Theory of operation: ispawn-init-build.c makes the container, as root of it; from there on
 * everything runs as the tenant.  ispawn-init.c is the loop that talks to the supervisor and reaps;
 * ispawn-init-tenant.c turns an OPEN into a process, up to its exec; -report.c tells how that went
 * and passes signals on.  The last two serve ispawn-enter as well, which has one tenant.  Nothing
 * waits: a tenant whose exec hangs (a dead file system under its home) must not keep the others
 * from being reaped, so the outcome of an exec is an event of the loop like any other.
 */
#ifndef ISPAWN_SHELL_ISPAWN_INIT_H
#define ISPAWN_SHELL_ISPAWN_INIT_H

#include "ispawn/policy/spec.h"
#include "ispawn/session/protocol.h"
#include "ispawn/session/reap.h"

/* Exit values for what never ran, as shells and env(1) use them. */
#define STATUS_OURS 125 /* our own failure */
#define STATUS_CANNOT_RUN 126
#define STATUS_NOT_FOUND 127

/**
 * struct init - the whole state of PID 1
 * @shell:    path of the tenants' shell inside; "" when the account is for forwarding only
 * @has_told: EMPTY was sent since the last tenant was started
 */
struct init {
	struct isp_spec spec;
	const char *shell;
	int supervisor_fd;
	int signal_fd;
	bool has_told;
	struct isp_tenants tenants;
};

/**
 * init_build() - take all steps of the builder; afterwards the caller is a tenant
 * @init: its spec is read; its shell is found
 * Runs as: root of the container's user namespace, before that has anything in it.
 * Return: 0; -errno with the record filled.
 */
ISP_MUST_CHECK int init_build(struct init *init, struct isp_error *err);

/**
 * tenant_start() - start the tenant that @open asks for
 * @fds: what came with OPEN; taken from as needed, the caller closes the rest
 * @ret_status: on failure the exit value for REFUSED
 * On success the tenant is in the table, its exec still to come: see tenant_exec_result().
 * Return: 0; -errno with the record filled.
 */
ISP_MUST_CHECK int tenant_start(struct init *init, const struct isp_message *open, int *fds,
				size_t fd_count, int *ret_status, struct isp_error *err);

/**
 * tenant_exec_result() - how the exec of a tenant went
 * Reads and closes its start_fd, which must be readable or at end of file.
 * Return: 0 it runs; else -errno of exec, with the record filled and *@ret_status set.
 */
ISP_MUST_CHECK int tenant_exec_result(const struct init *init, struct isp_tenant *tenant,
				      int *ret_status, struct isp_error *err);

/* --- ispawn-init-report.c: each returns what sending did, 0 or -errno ------------------------- */

/** init_tell(), init_tell_refused() - one message to whoever asked for tenants */
ISP_MUST_CHECK int init_tell(struct init *init, struct isp_message *message, const int *fds,
			     size_t fd_count);
ISP_MUST_CHECK int init_tell_refused(struct init *init, uint32_t tenant, int status,
				     const struct isp_error *err);

/** tenant_exec_is_known() - tell STARTED or REFUSED; @tenant's start_fd must have an answer. */
ISP_MUST_CHECK int tenant_exec_is_known(struct init *init, struct isp_tenant *tenant);

/** tenant_ended() - it was reaped: tell EXITED and remove it. @status: as from waitpid(2) */
ISP_MUST_CHECK int tenant_ended(struct init *init, struct isp_tenant *tenant, int status);

/** tenant_signal() - to its job in the foreground */
void tenant_signal(const struct isp_tenant *tenant, int number);

/** tenant_hang_up() - whoever asked for it is gone */
void tenant_hang_up(struct isp_tenant *tenant);

#endif
