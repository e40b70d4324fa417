/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * handover.h - what the supervisor has made, into the builder's hands
 *
 * Theory of operation: the builder is executed before there is anything to inherit, so the detached
 * mounts, the cgroups' files and a compiled profile come over its socket: each kind as one PART or
 * several, in any order, then GO.  Both sides keep them in a struct isp_builder.  The builder takes
 * nothing for granted: what comes twice, does not fit or is missing at GO ends it.
 */
#ifndef ISPAWN_SESSION_HANDOVER_H
#define ISPAWN_SESSION_HANDOVER_H

#include "ispawn/container/builder.h"

/** enum isp_part - what the descriptors of a PART are */
enum isp_part {
	ISP_PART_ROOT,
	ISP_PART_HOME,    /* unless it is a tmpfs */
	ISP_PART_SYSFS,   /* the host's, with network = host */
	ISP_PART_CGROUPS, /* isp_cgroup_open_members() */
	ISP_PART_BINDS,   /* one for each of the spec's */
	ISP_PART_LXCFS,   /* any of its files */
	ISP_PART_PROFILE, /* a sealed memfd of BPF, where the spec names a profile */
	ISP_PART_COUNT,
};

/** struct isp_go - the text of GO; its value is 1 when the home is new */
struct isp_go {
	char machine_id[ISP_MACHINE_ID_SIZE];
	char processors[ISP_PROCESSORS_SIZE];
};

/**
 * isp_handover_send() - everything in @b, then GO
 * Return: 0; -EPIPE, -ECONNRESET the builder has ended, and may have said why; -errno.
 */
ISP_MUST_CHECK int isp_handover_send(int init_fd, const struct isp_builder *b);

/**
 * isp_handover_receive() - wait for all of it
 * @b: from isp_builder_init(), its spec read; filled
 * Return: 0; -EPIPE the supervisor is gone; -EPROTO it sends what it should not, or not all;
 * -errno.
 */
ISP_MUST_CHECK int isp_handover_receive(int supervisor_fd, struct isp_builder *b,
					struct isp_error *err);

#endif
