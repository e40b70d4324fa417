/* SPDX-License-Identifier: GPL-3.0-or-later */
/* regain - tries to get back what a tenant was not given; one line each: name, verdict, errno's
 * text */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ALL 41

static int get(struct __user_cap_data_struct *sets)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

	return (int)syscall(SYS_capget, &header, sets);
}

static int set(const struct __user_cap_data_struct *sets)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

	return (int)syscall(SYS_capset, &header, sets);
}

/* All that the host's root has; what it has already is no gain. */
static bool capset_all(void)
{
	struct __user_cap_data_struct sets[2];

	(void)get(sets);
	sets[0].permitted = sets[0].effective = 1u << CAP_SYS_ADMIN | 1u << CAP_SYS_PTRACE |
						1u << CAP_NET_ADMIN | 1u << CAP_SYS_MODULE;
	return set(sets) == 0;
}

static bool inherit_admin(void)
{
	struct __user_cap_data_struct sets[2];

	(void)get(sets);
	sets[0].inheritable |= 1u << CAP_SYS_ADMIN;
	return set(sets) == 0;
}

static bool raise_ambient(void)
{
	struct __user_cap_data_struct sets[2];

	(void)get(sets);
	sets[0].inheritable |= 1u << CAP_SYS_ADMIN;
	(void)set(sets);
	return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0) == 0;
}

static bool bounding_admin(void)
{
	static const int never[] = {CAP_SYS_ADMIN, CAP_SYS_PTRACE,      CAP_SYS_MODULE,
				    CAP_NET_ADMIN, CAP_SYS_RAWIO,       CAP_SYS_BOOT,
				    CAP_SYS_TIME,  CAP_DAC_READ_SEARCH, CAP_BPF,
				    CAP_PERFMON,   CAP_SYS_RESOURCE};

	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		if (prctl(PR_CAPBSET_READ, never[i], 0, 0, 0) == 1)
			return true;
	return false;
}

/* An id of the host: 0 of this namespace when one is not it already, else one outside the map. */
static bool become_root(void)
{
	return geteuid() == 0 ? access("/mark-of-the-host", F_OK) == 0 : setresuid(0, 0, 0) == 0;
}

static bool foreign_ids(void)
{
	return setresuid(100000, 100000, 100000) == 0;
}

static bool become_groups(void)
{
	gid_t groups[] = {0x7ffffff0};

	return setgroups(1, groups) == 0;
}

static bool change_securebits(void)
{
	int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);

	return prctl(PR_SET_SECUREBITS, bits ^ SECBIT_NO_CAP_AMBIENT_RAISE, 0, 0, 0) == 0;
}

static bool keep_capabilities(void)
{
	struct __user_cap_data_struct sets[2];

	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
		return false;
	(void)setresuid(65533, 65533, 65533);
	(void)get(sets);
	return (sets[0].permitted & 1u << CAP_SYS_ADMIN) != 0;
}

static bool raise_limit(void)
{
	struct rlimit limit;

	(void)getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_max += 1000;
	return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static bool real_time(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attributes = {.size = sizeof(attributes), .policy = 1, .priority = 50};

	return syscall(SYS_sched_setattr, 0, &attributes, 0) == 0 ||
	       setpriority(PRIO_PROCESS, 0, -20) == 0;
}

static const struct {
	const char *name;
	bool (*is_given)(void);
} tries[] = {
	{"capset all", capset_all},
	{"inherit SYS_ADMIN", inherit_admin},
	{"raise bounding-wide ambient", raise_ambient},
	{"bounding set", bounding_admin},
	{"become uid 0", become_root},
	{"parent namespace ids", foreign_ids},
	{"set groups", become_groups},
	{"change securebits", change_securebits},
	{"keep capabilities", keep_capabilities},
	{"raise a hard limit", raise_limit},
	{"real-time priority", real_time},
};

int main(void)
{
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		pid_t pid = fork();

		if (pid == 0) {
			errno = 0;
			bool is_given = tries[i].is_given();

			(void)printf("%s\t%s\t%s\n", tries[i].name, is_given ? "given" : "refused",
				     strerror(errno));
			(void)fflush(stdout);
			_exit(0);
		}
		(void)waitpid(pid, NULL, 0);
	}
	return 0;
}
