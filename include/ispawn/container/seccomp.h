/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * seccomp.h - the default system call filter
 *
 * Theory of operation: an allowlist, compiled by libseccomp when the project is built
 * (seccomp_generate.c) and embedded as BPF, because compiling it at each login would cost more than
 * everything else together.  Known and refused calls get EPERM; unknown numbers get ENOSYS, so that
 * C libraries fall back (EPERM for clone3 or faccessat2 breaks glibc).  clone and unshare
 * with namespace flags: EPERM.  clone3: ENOSYS, since its flags are behind a pointer.  ioctl
 * TIOCSTI and TIOCLINUX are compared on the low 32 bits.  x32 is refused; i386 is filtered too.
 */
#ifndef ISPAWN_CONTAINER_SECCOMP_H
#define ISPAWN_CONTAINER_SECCOMP_H

#include "ispawn/base/err.h"

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
