/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * devices.c - /dev: six nodes and a few links; contract in ispawn/container/builder.h
 *
 * A user namespace makes no device nodes, so the host's are cloned as mounts, before the pivot and
 * through descriptors: what was checked is what is attached.  Threat: a /dev/null that is something
 * else (CVE-2025-31133) - each node's type and number are compared with what it must be.
 */
#include "ispawn/base/fd.h"
#include "ispawn/base/sys.h"
#include "ispawn/container/builder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Kernel: Documentation/admin-guide/devices.txt */
static const struct node {
	const char *path;
	unsigned int major_number, minor_number;
} nodes[] = {
	[ISP_DEVICE_NULL] = {"/dev/null", 1, 3},       [ISP_DEVICE_ZERO] = {"/dev/zero", 1, 5},
	[ISP_DEVICE_FULL] = {"/dev/full", 1, 7},       [ISP_DEVICE_RANDOM] = {"/dev/random", 1, 8},
	[ISP_DEVICE_URANDOM] = {"/dev/urandom", 1, 9}, [ISP_DEVICE_TTY] = {"/dev/tty", 5, 0},
};
_Static_assert(ISP_ARRAY_SIZE(nodes) == ISP_DEVICE_COUNT, "every device has its numbers");

static const char *const links[][2] = {
	{"/proc/self/fd", "/dev/fd"},       {"/proc/self/fd/0", "/dev/stdin"},
	{"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"},
	{"pts/ptmx", "/dev/ptmx"},
};

static int take_one(const struct node *node, int *ret_fd, struct isp_error *err)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC};
	cleanup_close int fd = -EBADF;
	struct stat st;

	fd = isp_sys_open_tree(AT_FDCWD, node->path,
			       OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) != 0)
		return isp_err_set(err, errno, ISP_STAGE_DEVICES, "clone the host's \"%s\"",
				   node->path);
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(node->major_number, node->minor_number))
		return isp_err_set(err, ENODEV, ISP_STAGE_DEVICES,
				   "the host's \"%s\" is not character device %u:%u", node->path,
				   node->major_number, node->minor_number);
	if (isp_sys_mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) != 0)
		return isp_err_set(err, errno, ISP_STAGE_DEVICES, "set the attributes of \"%s\"",
				   node->path);
	*ret_fd = steal_fd(&fd);
	return 0;
}

int isp_devices_take(struct isp_builder *b, struct isp_error *err)
{
	int r = 0;

	for (size_t i = 0; i < ISP_DEVICE_COUNT && r == 0; i++)
		r = take_one(&nodes[i], &b->device_fds[i], err);
	return r;
}

int isp_devices_attach(struct isp_builder *b, struct isp_error *err)
{
	for (size_t i = 0; i < ISP_DEVICE_COUNT; i++) {
		/* An empty file to stand on, in a /dev that was made for this container. */
		if (mknod(nodes[i].path, S_IFREG | 0644, 0) != 0 ||
		    isp_sys_move_mount(b->device_fds[i], AT_FDCWD, nodes[i].path, 0) != 0)
			return isp_err_set(err, errno, ISP_STAGE_DEVICES, "attach \"%s\"",
					   nodes[i].path);
	}
	for (size_t i = 0; i < ISP_ARRAY_SIZE(links); i++)
		if (symlink(links[i][0], links[i][1]) != 0)
			return isp_err_set(err, errno, ISP_STAGE_DEVICES, "link \"%s\"",
					   links[i][1]);
	return 0;
}
