/* SPDX-License-Identifier: GPL-3.0-or-later */
/* capability.c - which capabilities a policy may name; contract in ispawn/policy/capability.h */
#include "ispawn/policy/capability.h"
#include "ispawn/base/fd.h"

#include <errno.h>
#include <linux/capability.h>
#include <strings.h>

enum class { REFUSED, REDUCED, EXTRA };

struct capability {
	const char *name;
	unsigned int number;
	enum class class;
};

static const struct capability capabilities[] = {
	{"audit_control", CAP_AUDIT_CONTROL, REFUSED},
	{"audit_read", CAP_AUDIT_READ, REFUSED},
	{"audit_write", CAP_AUDIT_WRITE, REDUCED},
	{"block_suspend", CAP_BLOCK_SUSPEND, REFUSED},
	{"bpf", CAP_BPF, REFUSED},
	{"checkpoint_restore", CAP_CHECKPOINT_RESTORE, REFUSED},
	{"chown", CAP_CHOWN, REDUCED},
	{"dac_override", CAP_DAC_OVERRIDE, REDUCED},
	{"dac_read_search", CAP_DAC_READ_SEARCH, REFUSED},
	{"fowner", CAP_FOWNER, REDUCED},
	{"fsetid", CAP_FSETID, REDUCED},
	{"ipc_lock", CAP_IPC_LOCK, EXTRA},
	{"ipc_owner", CAP_IPC_OWNER, REFUSED},
	{"kill", CAP_KILL, REDUCED},
	{"lease", CAP_LEASE, REFUSED},
	{"linux_immutable", CAP_LINUX_IMMUTABLE, REFUSED},
	{"mac_admin", CAP_MAC_ADMIN, REFUSED},
	{"mac_override", CAP_MAC_OVERRIDE, REFUSED},
	{"mknod", CAP_MKNOD, REDUCED},
	{"net_admin", CAP_NET_ADMIN, EXTRA},
	{"net_bind_service", CAP_NET_BIND_SERVICE, REDUCED},
	{"net_broadcast", CAP_NET_BROADCAST, REFUSED},
	{"net_raw", CAP_NET_RAW, REDUCED},
	{"perfmon", CAP_PERFMON, REFUSED},
	{"setfcap", CAP_SETFCAP, REDUCED},
	{"setgid", CAP_SETGID, REDUCED},
	{"setpcap", CAP_SETPCAP, REDUCED},
	{"setuid", CAP_SETUID, REDUCED},
	{"sys_admin", CAP_SYS_ADMIN, REFUSED},
	{"sys_boot", CAP_SYS_BOOT, REFUSED},
	{"sys_chroot", CAP_SYS_CHROOT, REDUCED},
	{"sys_module", CAP_SYS_MODULE, REFUSED},
	{"sys_nice", CAP_SYS_NICE, EXTRA},
	{"sys_pacct", CAP_SYS_PACCT, REFUSED},
	{"sys_ptrace", CAP_SYS_PTRACE, EXTRA},
	{"sys_rawio", CAP_SYS_RAWIO, REFUSED},
	{"sys_resource", CAP_SYS_RESOURCE, REFUSED},
	{"sys_time", CAP_SYS_TIME, REFUSED},
	{"sys_tty_config", CAP_SYS_TTY_CONFIG, REFUSED},
	{"syslog", CAP_SYSLOG, REFUSED},
	{"wake_alarm", CAP_WAKE_ALARM, REFUSED},
};

uint64_t isp_capability_reduced(void)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < ISP_ARRAY_SIZE(capabilities); i++)
		if (capabilities[i].class == REDUCED)
			mask |= UINT64_C(1) << capabilities[i].number;
	return mask;
}

uint64_t isp_capability_grantable(void)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < ISP_ARRAY_SIZE(capabilities); i++)
		if (capabilities[i].class != REFUSED)
			mask |= UINT64_C(1) << capabilities[i].number;
	return mask;
}

int isp_capability_parse(const char *name, uint64_t *ret_bit)
{
	if (strncasecmp(name, "cap_", 4) == 0)
		name += 4;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(capabilities); i++) {
		if (strcasecmp(capabilities[i].name, name) != 0)
			continue;
		if (capabilities[i].class == REFUSED)
			return -EPERM;
		*ret_bit = UINT64_C(1) << capabilities[i].number;
		return 0;
	}
	return -EINVAL;
}
