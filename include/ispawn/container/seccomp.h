/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * seccomp.h - the system call filter
 *
 * Theory of operation: an allowlist, compiled by libseccomp when the project is built
 * (seccomp_generate.c) and embedded as BPF, because compiling it at each login would cost more than
 * everything else together.  Known and refused calls get EPERM; unknown numbers get ENOSYS, so that
 * C libraries fall back (EPERM for clone3 or faccessat2 breaks glibc).  clone and unshare
 * with namespace flags: EPERM.  clone3: ENOSYS, since its flags are behind a pointer.  ioctl
 * TIOCSTI and TIOCLINUX are compared on the low 32 bits.  x32 is refused; i386 is filtered too.
 *
 * An administrator's profile (profile.h) takes the place of the allowlist, not of what the
 * containment rests on: the mandatory filter stands in front of it in one program.  Not two
 * programs stacked: the kernel takes the strictest action of all, and of two errnos that of the
 * program loaded last - so clone3 would get the profile's EPERM, or be killed, where C libraries
 * need ENOSYS, and to load a second program the first would have to allow it.  In one program the
 * mandatory answers come first by construction: BPF jumps forwards only, and the profile stands
 * behind.
 *
 * `learn` is the mandatory filter and then the default, whose refusals are logged by the kernel and
 * allowed.
 */
#ifndef ISPAWN_CONTAINER_SECCOMP_H
#define ISPAWN_CONTAINER_SECCOMP_H

#include "ispawn/base/err.h"

#define ISP_SECCOMP_DEFAULT "default"
#define ISP_SECCOMP_LEARN "learn"

struct sock_filter;

/**
 * isp_seccomp_load() - install a filter on the calling process
 * @name:    ISP_SECCOMP_DEFAULT, ISP_SECCOMP_LEARN, or a profile's
 * @profile: @count instructions of that profile; not looked at for the first two
 * Needs no_new_privs, or CAP_SYS_ADMIN in the current user namespace.
 * Return: 0; -E2BIG with the mandatory filter it is too long; -ENOMEM; -errno of seccomp(2).
 */
ISP_MUST_CHECK int isp_seccomp_load(const char *name, const struct sock_filter *profile,
				    size_t count, struct isp_error *err);

/** isp_seccomp_is_built_in() - a name that stands for no file */
bool isp_seccomp_is_built_in(const char *name);

/**
 * isp_seccomp_load_default() - install the embedded filter on the calling process
 * Needs no_new_privs, or CAP_SYS_ADMIN in the current user namespace.
 * Return: 0; -errno of seccomp(2).
 */
ISP_MUST_CHECK int isp_seccomp_load_default(struct isp_error *err);

/** isp_seccomp_verify() - is a filter on, and does it answer as it must (unshare: EPERM, clone3:
 * ENOSYS, an unknown number: ENOSYS)?  Return: 0; -EPERM with the failed proof named. */
ISP_MUST_CHECK int isp_seccomp_verify(struct isp_error *err);

#endif
