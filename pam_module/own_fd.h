/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * own_fd.h - numbers for descriptors that the application does not expect
 *
 * Theory of operation: an application may run with 0, 1 and 2 closed, and a descriptor opened then
 * gets one of these numbers.  What the application prints would go into the session's socket, or
 * what it opens as its terminal would be our namespace.  So what the module keeps is moved out of
 * the numbers that have a meaning: here those of the application, and those of the supervisor
 * (0 to 6) as well, so that filling in the latter overwrites none of the sources.
 */
#ifndef ISPAWN_MODULE_OWN_FD_H
#define ISPAWN_MODULE_OWN_FD_H

#include "ispawn/base/fd.h"

#include <fcntl.h>

#define ISP_MODULE_FIRST_FD 10

/**
 * isp_module_own_fd() - move *@fd to the first free number from ISP_MODULE_FIRST_FD on
 * @fd: consumed on success
 * Return: 0; -EMFILE or -EINVAL the application's limit of descriptors leaves no such number.
 */
ISP_MUST_CHECK static inline int isp_module_own_fd(int *fd, int *ret_fd, struct isp_error *err)
{
	int moved = fcntl(*fd, F_DUPFD_CLOEXEC, ISP_MODULE_FIRST_FD);

	if (moved < 0)
		return isp_err_set(err, errno, ISP_STAGE_START,
				   "find a descriptor number for the module");
	isp_fd_close(fd);
	*ret_fd = moved;
	return 0;
}

#endif
