/* SPDX-License-Identifier: GPL-3.0-or-later */
/* lxcfs.c - taking and attaching files of lxcfs; contract in ispawn/container/lxcfs.h */
#include "ispawn/container/lxcfs.h"

#include "ispawn/base/clock.h"
#include "ispawn/base/fd.h"
#include "ispawn/base/sys.h"
#include "ispawn/container/child.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* It answers within a millisecond; a busy machine may take longer, and a login is not to. */
#define PATIENCE_MS 1000
#define QUIET (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

static const char *const files[ISP_LXCFS_FILES] = {
	"cpuinfo", "diskstats", "loadavg", "meminfo", "stat", "swaps", "uptime",
};
_Static_assert(ISP_LXCFS_FILES <= ISP_FDS_MAX, "they travel in one message");

bool isp_lxcfs_is_there(void)
{
	struct statx at;

	/* Kernel: of a mount's root these attributes are the kernel's own (Linux 5.8). */
	return statx(AT_FDCWD, ISP_LXCFS_DIR, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &at) == 0 &&
	       (at.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/* Kernel: names are remembered for a second after the daemon has died; reading asks it. */
static int prove_alive(void)
{
	cleanup_close int fd = open(ISP_LXCFS_DIR "/proc/uptime", O_RDONLY | O_CLOEXEC);
	char byte;

	return fd < 0 || read(fd, &byte, 1) < 0 ? -errno : 0;
}

static int take_one(const char *name, int *ret_fd)
{
	struct mount_attr attr = {.attr_set = QUIET, .propagation = MS_PRIVATE};
	char path[64];

	(void)snprintf(path, sizeof(path), ISP_LXCFS_DIR "/proc/%s", name); /* fits */
	*ret_fd = isp_sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (*ret_fd < 0 ||
	    isp_sys_mount_setattr(*ret_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) != 0)
		return -errno;
	return 0;
}

/* The child: answers by its files, or by its exit status, an errno. */
static _Noreturn void look(int socket_fd)
{
	int fds[ISP_LXCFS_FILES];
	char byte = 0;
	int r = 0;

	/* Order: first.  Threat: the file system does not let it go; then the door's socket, the
	 * registry's lock and the store's would be held for as long. */
	if (isp_sys_close_range(0, (unsigned int)socket_fd - 1, 0) != 0 ||
	    isp_sys_close_range((unsigned int)socket_fd + 1, ~0u, 0) != 0)
		r = -errno;
	if (r == 0)
		r = prove_alive();
	for (size_t i = 0; i < ISP_LXCFS_FILES && r == 0; i++)
		r = take_one(files[i], &fds[i]);
	if (r == 0)
		r = isp_fd_send(socket_fd, &byte, 1, fds, ISP_LXCFS_FILES, MSG_DONTWAIT);
	isp_sys_exit_group(-r);
}

static int receive(int socket_fd, int *ret_fds, struct isp_error *err)
{
	int fds[ISP_FDS_MAX];
	size_t count = 0;
	char byte;
	int r = isp_fd_receive(socket_fd, &byte, 1, fds, &count, MSG_DONTWAIT);

	if (r == 1 && count == ISP_LXCFS_FILES) {
		memcpy(ret_fds, fds, sizeof(*ret_fds) * ISP_LXCFS_FILES);
		return 0;
	}
	for (size_t i = 0; i < count; i++)
		isp_fd_close(&fds[i]);
	return isp_err_set(err, r < 0 ? -r : EPROTO, ISP_STAGE_MOUNTS, "take lxcfs's files");
}

int isp_lxcfs_take(int cancel_fd, int *ret_fds, struct isp_error *err)
{
	struct isp_child child = {.what = "the look at lxcfs",
				  .stage = ISP_STAGE_MOUNTS,
				  .pid_fd = -EBADF,
				  .cancel_fd = cancel_fd,
				  .deadline_ms = isp_clock_ms() + PATIENCE_MS};
	cleanup_close int ours_fd = -EBADF;
	cleanup_close int theirs_fd = -EBADF;
	struct isp_error late = {0};
	int fds[2];
	int status = 0;
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
		return isp_err_set(err, errno, ISP_STAGE_MOUNTS, "make a socket");
	ours_fd = fds[0];
	theirs_fd = fds[1];
	r = isp_child_start(&child, err);
	if (r == 1)
		look(theirs_fd);
	if (r == 0)
		r = isp_child_wait(&child, &status, &late);
	if (r == -ETIMEDOUT)
		return isp_err_set(err, ETIMEDOUT, ISP_STAGE_MOUNTS, "lxcfs does not answer");
	if (r < 0)
		return isp_err_adopt(err, &late);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return isp_err_set(err, WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD,
				   ISP_STAGE_MOUNTS, "read lxcfs's files in \"" ISP_LXCFS_DIR "\"");
	return receive(ours_fd, ret_fds, err);
}

int isp_lxcfs_attach(const int *fds, struct isp_error *err)
{
	for (size_t i = 0; i < ISP_LXCFS_FILES; i++) {
		char path[32];

		(void)snprintf(path, sizeof(path), "/proc/%s", files[i]); /* fits */
		if (fds[i] >= 0 && isp_sys_move_mount(fds[i], AT_FDCWD, path, 0) != 0)
			return isp_err_set(err, errno, ISP_STAGE_MOUNTS, "attach lxcfs's \"%s\"",
					   path);
	}
	return 0;
}
