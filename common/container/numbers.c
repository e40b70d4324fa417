/* SPDX-License-Identifier: GPL-3.0-or-later */
/* numbers.c - the machine's numbers are shown as the container's; contract in
 * ispawn/container/builder.h */
#include "ispawn/container/builder.h"

#include <sys/mount.h>

#define ONLINE "/sys/devices/system/cpu/online"

/* The C library counts what stands there, and not the mask, for sysconf(_SC_NPROCESSORS_ONLN). */
static int show_processors(const char *list, struct isp_error *err)
{
	int r = isp_tree_show(ONLINE, list, MOUNT_ATTR_RDONLY);

	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_MOUNTS, "show \"" ONLINE "\"") : 0;
}

int isp_numbers_show(struct isp_builder *b, struct isp_error *err)
{
	int r = b->processors[0] ? show_processors(b->processors, err) : 0;

	return r == 0 ? isp_lxcfs_attach(b->lxcfs_fds, err) : r;
}
