/* SPDX-License-Identifier: GPL-3.0-or-later */
/* numbers.c - the machine's numbers are shown as the container's; contract in
 * ispawn/container/builder.h */
#include "ispawn/container/builder.h"
#include "ispawn/container/cpus.h"

#include <sys/mount.h>

#define ONLINE "/sys/devices/system/cpu/online"
#define LIST_SIZE 4096

/* The C library counts what stands there, and not the mask, for sysconf(_SC_NPROCESSORS_ONLN). */
static int show_processors(struct isp_error *err)
{
	char list[LIST_SIZE];
	int r = isp_cpus_list(list, sizeof(list));

	if (r == 0)
		r = isp_tree_show(ONLINE, list, MOUNT_ATTR_RDONLY);
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_MOUNTS, "show \"" ONLINE "\"") : 0;
}

int isp_numbers_show(struct isp_builder *b, struct isp_error *err)
{
	int r = b->is_narrowed ? show_processors(err) : 0;

	return r == 0 ? isp_lxcfs_attach(b->lxcfs_fds, err) : r;
}
