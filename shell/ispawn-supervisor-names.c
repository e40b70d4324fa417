/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-supervisor-names.c - no name service in a static program
 *
 * libcap-ng has a function that looks users up, capng_change_id(), which nobody here calls; linked
 * statically it would bring in libc's name service all the same, which loads libraries at run time.
 * Threat: a root process that resolves names loads what a configuration, or a container, names
 * (CVE-2019-14271).  So the two calls end here: whoever makes them is told that there is nobody.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>

struct passwd *getpwuid(uid_t uid)
{
	(void)uid;
	errno = ENOSYS;
	return NULL;
}

int initgroups(const char *user, gid_t group)
{
	(void)user;
	(void)group;
	errno = ENOSYS;
	return -1;
}
