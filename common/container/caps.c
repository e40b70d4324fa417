/* SPDX-License-Identifier: GPL-3.0-or-later */
/* caps.c - capability sets; contract in ispawn/container/caps.h */
#include "ispawn/container/caps.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/sys.h"

#include <cap-ng.h>
#include <linux/securebits.h>
#include <sys/prctl.h>

#define MASK_BITS 64

/* enum phase - which phases of the supervisor hold a capability */
enum phase { PHASE_BUILD = 1, PHASE_REST = 2 };

static const struct {
	unsigned int number;
	unsigned int phases;
} supervisor[] = {
	/* Namespaces, mounts, idmapped mounts, and joining the mount namespace of a user's shared
	 * overlay. */
	{CAP_SYS_ADMIN, PHASE_BUILD},
	/* Joining a mount namespace also takes this one. */
	{CAP_SYS_CHROOT, PHASE_BUILD},
	/* Writing maps of more than one's own id, and making the upper layer as the container's
	 * root (setfsuid, setfsgid). */
	{CAP_SETUID, PHASE_BUILD},
	{CAP_SETGID, PHASE_BUILD},
	/* Kernel: 5.12: a map that holds the parent namespace's uid 0; and file capabilities that
	 * an overlay copies up. */
	{CAP_SETFCAP, PHASE_BUILD},
	/* Emptying the bounding set on the way to rest. */
	{CAP_SETPCAP, PHASE_BUILD},
	/* Kernel: an overlay reaches its layers with the capabilities of whoever mounted it: files
	 * copied up keep their owner, mode, set-id bits and attributes, and a removed file becomes
	 * a whiteout, which is a device node. */
	{CAP_CHOWN, PHASE_BUILD},
	{CAP_DAC_OVERRIDE, PHASE_BUILD},
	{CAP_DAC_READ_SEARCH, PHASE_BUILD},
	{CAP_FOWNER, PHASE_BUILD},
	{CAP_FSETID, PHASE_BUILD},
	{CAP_MKNOD, PHASE_BUILD},
	/* /proc/PID/ns of the builder, which its change of ids has made non-dumpable. */
	{CAP_SYS_PTRACE, PHASE_BUILD},
	/* A hard limit of open files above the login's own; see is_optional(). */
	{CAP_SYS_RESOURCE, PHASE_BUILD},
	/* Init and its tenants run under another uid.  The rest of the resting supervisor's work
	 * needs nothing: descriptors that it holds, and directories that belong to root. */
	{CAP_KILL, PHASE_BUILD | PHASE_REST},
};

static uint64_t supervisor_mask(unsigned int phase)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < ISP_ARRAY_SIZE(supervisor); i++)
		if (supervisor[i].phases & phase)
			mask |= ISP_CAP(supervisor[i].number);
	return mask;
}

uint64_t isp_caps_supervisor_build(void)
{
	return supervisor_mask(PHASE_BUILD);
}

uint64_t isp_caps_supervisor_rest(void)
{
	return supervisor_mask(PHASE_REST);
}

/* Hosts that are containers or virtual machines themselves run without it, and only a limit of
 * open files above the login's own is lost: setting that limit then says so. */
static bool is_optional(unsigned int number)
{
	return number == CAP_SYS_RESOURCE;
}

static const char *name_of(unsigned int number)
{
	const char *name = capng_capability_to_name(number);

	return name ? name : "unknown";
}

/* The kernel is asked and not libcap-ng, which reads /proc/PID/status: in a new PID namespace whose
 * /proc is not mounted yet, that is another process; and the kernel puts that text together anew,
 * at some ten times the cost of the answers alone.
 * Return: 1 in the set, 0 not, -1 no such capability in this kernel. */
static int is_bounding(unsigned int number)
{
	int r = prctl(PR_CAPBSET_READ, number, 0, 0, 0);

	/* EINVAL alone means that there is none; what cannot be read is taken to be there. */
	return r < 0 && errno != EINVAL ? 1 : r;
}

/* Kernel: cap_valid(): capabilities are numbered without gaps, so the first that there is none of
 * is the last to ask for. */
static uint64_t bounding_now(void)
{
	uint64_t mask = 0;
	int r;

	for (unsigned int n = 0; n < MASK_BITS && (r = is_bounding(n)) >= 0; n++)
		if (r > 0)
			mask |= ISP_CAP(n);
	return mask;
}

/* What capget(2) says. */
struct sets {
	uint64_t permitted, effective, inheritable;
};

static int read_process(struct sets *ret, enum isp_stage stage, struct isp_error *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct parts[_LINUX_CAPABILITY_U32S_3];

	if (isp_sys_capget(&header, parts) != 0)
		return isp_err_set(err, errno, stage, "read the capabilities of the process");
	*ret = (struct sets){0};
	for (unsigned int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		ret->permitted |= (uint64_t)parts[i].permitted << (32 * i);
		ret->effective |= (uint64_t)parts[i].effective << (32 * i);
		ret->inheritable |= (uint64_t)parts[i].inheritable << (32 * i);
	}
	return 0;
}

/* Return: 0 and in @mask what can be had; -EPERM with the first missing capability named. */
static int require_permitted(uint64_t *mask, struct isp_error *err)
{
	struct sets now = {0};
	uint64_t missing;
	int r = read_process(&now, ISP_STAGE_DROP, err);

	if (r < 0)
		return r;
	missing = *mask & ~now.permitted;
	for (unsigned int n = 0; n < MASK_BITS; n++) {
		if (!(missing & ISP_CAP(n)))
			continue;
		if (!is_optional(n))
			return isp_err_set(err, EPERM, ISP_STAGE_DROP,
					   "capability %s (%u) is needed and not permitted",
					   name_of(n), n);
		*mask &= ~ISP_CAP(n);
	}
	return 0;
}

/* Permitted and effective alone: the library, too, would read /proc for the bounding set. */
static int apply_by_library(uint64_t mask, struct isp_error *err)
{
	int r;

	/* The library keeps a copy of the sets: this one is empty and of this process. */
	capng_clear(CAPNG_SELECT_ALL);
	capng_setpid(0);
	for (unsigned int n = 0; n < MASK_BITS; n++)
		if ((mask & ISP_CAP(n)) &&
		    capng_update(CAPNG_ADD, CAPNG_PERMITTED | CAPNG_EFFECTIVE, n) != 0)
			return isp_err_set(err, EINVAL, ISP_STAGE_DROP,
					   "capability %u is not known to libcap-ng", n);
	errno = 0;
	r = capng_apply(CAPNG_SELECT_CAPS);
	if (r != 0)
		return isp_err_set(err, errno > 0 ? errno : EPERM, ISP_STAGE_DROP,
				   "set the capability sets (libcap-ng: %d)", r);
	return 0;
}

int isp_caps_apply(uint64_t mask, uint64_t bounding, struct isp_error *err)
{
	int r = require_permitted(&mask, err);

	if (r < 0)
		return r;
	/* Kernel: capabilities(7): the ambient set is first, since it can be emptied without any
	 * right, and the bounding set before the one that holds CAP_SETPCAP goes. */
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
		return isp_err_set(err, errno, ISP_STAGE_DROP, "empty the ambient capability set");
	r = isp_caps_drop_bounding(bounding, err);
	return r < 0 ? r : apply_by_library(mask, err);
}

int isp_caps_drop_bounding(uint64_t keep, struct isp_error *err)
{
	uint64_t surplus = bounding_now() & ~keep;

	/* Nothing to drop needs no CAP_SETPCAP. */
	for (unsigned int n = 0; n < MASK_BITS; n++)
		if ((surplus & ISP_CAP(n)) && prctl(PR_CAPBSET_DROP, n, 0, 0, 0) != 0)
			return isp_err_set(err, errno, ISP_STAGE_DROP,
					   "take capability %s (%u) out of the bounding set",
					   name_of(n), n);
	return 0;
}

int isp_caps_lock_securebits(bool is_final_unprivileged, struct isp_error *err)
{
	unsigned long bits = SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
			     SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
	int now = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);

	if (now < 0)
		return isp_err_set(err, errno, ISP_STAGE_DROP, "read the securebits");
	if (is_final_unprivileged)
		bits |= SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
			SECBIT_NO_SETUID_FIXUP_LOCKED;
	bits |= (unsigned long)now & ~(unsigned long)SECBIT_KEEP_CAPS;
	if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) != 0)
		return isp_err_set(err, errno, ISP_STAGE_DROP, "set the securebits to 0x%lx", bits);
	return 0;
}

/* Return: 0; -EPERM with the first capability of @wrong named. */
static int refuse(uint64_t wrong, const char *what, struct isp_error *err)
{
	for (unsigned int n = 0; n < MASK_BITS; n++)
		if (wrong & ISP_CAP(n))
			return isp_err_set(err, EPERM, ISP_STAGE_PROVE, "capability %s (%u) is %s",
					   name_of(n), n, what);
	return 0;
}

static int verify_ambient(struct isp_error *err)
{
	int r;

	for (unsigned int n = 0; n < MASK_BITS; n++) {
		r = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, n, 0, 0);
		if (r < 0 && errno == EINVAL) /* see bounding_now() */
			return 0;
		if (r != 0)
			return refuse(ISP_CAP(n), "in the ambient set", err);
	}
	return 0;
}

int isp_caps_verify(uint64_t mask, uint64_t bounding, struct isp_error *err)
{
	struct sets now = {0};
	uint64_t required = mask;
	int r = read_process(&now, ISP_STAGE_PROVE, err);

	if (r < 0)
		return r;
	for (unsigned int n = 0; n < MASK_BITS; n++)
		if (is_optional(n))
			required &= ~ISP_CAP(n);
	r = refuse(now.permitted & ~mask, "still permitted", err);
	if (r == 0)
		r = refuse(now.effective & ~mask, "still effective", err);
	if (r == 0)
		r = refuse(required & ~now.permitted, "no longer permitted", err);
	if (r == 0)
		r = refuse(now.permitted & ~now.effective, "permitted and not effective", err);
	if (r == 0)
		r = refuse(now.inheritable, "inheritable", err);
	if (r == 0)
		r = refuse(bounding_now() & ~bounding, "still in the bounding set", err);
	return r == 0 ? verify_ambient(err) : r;
}
