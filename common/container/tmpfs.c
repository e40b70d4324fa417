/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tmpfs.c - a file system in memory, bounded; contract in ispawn/container/tmpfs.h */
#include "ispawn/container/tmpfs.h"

#include "ispawn/base/sys.h"

#include <inttypes.h>
#include <linux/mount.h>
#include <stdio.h>

#define BYTES_PER_INODE 4096
#define INODES_MIN 64

int isp_tmpfs_set_size(int fs_fd, uint64_t bytes)
{
	char size[24], inodes[24]; /* 20 digits fit */

	(void)snprintf(size, sizeof(size), "%" PRIu64, bytes);
	(void)snprintf(inodes, sizeof(inodes), "%" PRIu64, bytes / BYTES_PER_INODE + INODES_MIN);
	if (isp_sys_fsconfig(fs_fd, FSCONFIG_SET_STRING, "size", size, 0) != 0)
		return -1;
	return isp_sys_fsconfig(fs_fd, FSCONFIG_SET_STRING, "nr_inodes", inodes, 0);
}
