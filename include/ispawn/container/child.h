/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * child.h - a program that the supervisor runs while it builds
 *
 * Theory of operation: the child is known by a pidfd, dies with the supervisor (parent-death
 * signal), and is waited for no longer than the login itself: its deadline, or the end of the
 * door's socket, kills it.
 */
#ifndef ISPAWN_CONTAINER_CHILD_H
#define ISPAWN_CONTAINER_CHILD_H

#include "ispawn/base/err.h"

#include <sys/types.h>

/** struct isp_child - @what and @stage: for the records; @cancel_fd: borrowed, -EBADF for none */
struct isp_child {
	const char *what;
	enum isp_stage stage;
	pid_t pid;
	int pid_fd;
	int cancel_fd;
	int64_t deadline_ms;
};

/**
 * isp_child_start() - clone3 with a pidfd; sets @pid and @pid_fd
 * Return: 1 in the child, which has the caller's memory and goes straight to exec, its death tied
 * to the caller's; 0 in the caller, who calls isp_child_wait(); -errno of clone3.
 */
ISP_MUST_CHECK int isp_child_start(struct isp_child *child, struct isp_error *err);

/**
 * isp_child_wait() - until it ends; closes the pidfd, whatever happens
 * One that is killed is reaped if it ends within a second: the disk may hold it longer.
 * @ret_status: as waitpid(2) says
 * Return: 0 it has ended; -ETIMEDOUT; -ECANCELED the socket's end; -errno of poll or waitpid.
 */
ISP_MUST_CHECK int isp_child_wait(struct isp_child *child, int *ret_status, struct isp_error *err);

#endif
