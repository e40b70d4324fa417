/* SPDX-License-Identifier: GPL-3.0-or-later */
/* seccomp.c - loading filters; contract in ispawn/container/seccomp.h */
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

static int load(const char *name, const struct sock_filter *code, size_t count,
		struct isp_error *err)
{
	struct sock_fprog program = {
		.len = (unsigned short)count,
		/* The kernel copies the program and does not write to it. */
		.filter = (struct sock_filter *)(uintptr_t)code,
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
				   "load the system call filter \"%s\" (%zu instructions)", name,
				   count);
	return 0;
}

int isp_seccomp_load_default(struct isp_error *err)
{
	return load(ISP_SECCOMP_DEFAULT, isp_seccomp_default, ISP_ARRAY_SIZE(isp_seccomp_default),
		    err);
}

/* The mandatory filter has no end of its own: what it leaves open falls into the profile. */
static int load_profile(const char *name, const struct sock_filter *profile, size_t count,
			struct isp_error *err)
{
	const size_t head = ISP_ARRAY_SIZE(isp_seccomp_mandatory);
	cleanup_free struct sock_filter *code = NULL;

	if (count == 0 || count > BPF_MAXINSNS - head)
		return isp_err_set(err, E2BIG, ISP_STAGE_SECCOMP,
				   "the profile has %zu instructions, and between 1 and %zu have "
				   "room",
				   count, BPF_MAXINSNS - head);
	code = calloc(head + count, sizeof(*code));
	if (!code)
		return isp_err_set(err, ENOMEM, ISP_STAGE_SECCOMP, "put the profile together");
	memcpy(code, isp_seccomp_mandatory, sizeof(isp_seccomp_mandatory));
	memcpy(code + head, profile, count * sizeof(*code));
	return load(name, code, head + count, err);
}

bool isp_seccomp_is_built_in(const char *name)
{
	return strcmp(name, ISP_SECCOMP_DEFAULT) == 0 || strcmp(name, ISP_SECCOMP_LEARN) == 0;
}

int isp_seccomp_load(const char *name, const struct sock_filter *profile, size_t count,
		     struct isp_error *err)
{
	if (strcmp(name, ISP_SECCOMP_DEFAULT) == 0)
		return isp_seccomp_load_default(err);
	if (strcmp(name, ISP_SECCOMP_LEARN) == 0)
		return load(name, isp_seccomp_learn, ISP_ARRAY_SIZE(isp_seccomp_learn), err);
	return load_profile(name, profile, count, err);
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
