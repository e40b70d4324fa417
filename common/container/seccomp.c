/* SPDX-License-Identifier: GPL-3.0-or-later */
/* seccomp.c - loading the default filter; contract in ispawn/container/seccomp.h */
#include "ispawn/container/seccomp.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/sys.h"

#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <string.h>
#include <sys/syscall.h>

#include "seccomp_default.h"

#define NUMBER_OF_NO_CALL 100000

int isp_seccomp_load_default(struct isp_error *err)
{
	struct sock_fprog program = {
		.len = ISP_ARRAY_SIZE(isp_seccomp_default),
		/* The kernel copies the program and does not write to it. */
		.filter = (struct sock_filter *)(uintptr_t)isp_seccomp_default,
	};

	/*
	 * Not SECCOMP_FILTER_FLAG_SPEC_ALLOW: it would give up the protection against speculative
	 * store bypass that kernels before 5.16 turn on with a filter, to save time; what runs
	 * inside (browsers, interpreters) holds secrets from code of its own that it does not
	 * trust. Not SECCOMP_FILTER_FLAG_LOG: every refusal would be a line that a tenant can write
	 * to the host's log, as fast as it likes. Not SECCOMP_FILTER_FLAG_TSYNC: the caller has one
	 * thread.
	 */
	if (isp_sys_seccomp(SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
		return isp_err_set(err, errno, ISP_STAGE_SECCOMP,
				   "load the default system call filter (%u instructions)",
				   (unsigned int)program.len);
	return 0;
}

/* struct proof - a call whose answer tells a filtered process from an unfiltered one
 * Every one of them fails without the filter too, and has no effect then. */
struct proof {
	const char *what;
	long number;
	unsigned long arguments[2];
	int expected;
};

static const struct proof proofs[] = {
	/* Kernel: EINVAL, for the flag of lowest value, which no namespace has. */
	{"unshare of a user namespace", SYS_unshare, {CLONE_NEWUSER | 1UL, 0}, EPERM},
	/* Kernel: EINVAL, for a structure of size 0. */
	{"clone3", SYS_clone3, {0, 0}, ENOSYS},
	/* Kernel: EOPNOTSUPP, for an operation that does not exist. */
	{"keyctl", SYS_keyctl, {0x7fffffff, 0}, EPERM},
	/* Kernel: EBADF. */
	{"ioctl TIOCSTI", SYS_ioctl, {(unsigned long)-1, TIOCSTI}, EPERM},
	/* EPERM would be an allowlist's default, on which C libraries do not fall back. */
	{"an unknown call", NUMBER_OF_NO_CALL, {0, 0}, ENOSYS},
};

int isp_seccomp_verify(struct isp_error *err)
{
	int mode = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);

	if (mode != SECCOMP_MODE_FILTER)
		return isp_err_set(err, EPERM, ISP_STAGE_PROVE,
				   "no system call filter is on (seccomp mode %d)", mode);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(proofs); i++) {
		const struct proof *p = &proofs[i];
		long r = isp_sys_by_number(p->number, p->arguments[0], p->arguments[1]);
		int got = r < 0 ? errno : 0;

		if (got != p->expected)
			return isp_err_set(err, EPERM, ISP_STAGE_PROVE,
					   "the system call filter answered %s with %s, not %s",
					   p->what, got ? strerrorname_np(got) : "success",
					   strerrorname_np(p->expected));
	}
	return 0;
}
