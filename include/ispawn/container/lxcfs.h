/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * lxcfs.h - files of /proc that tell the container's numbers, where the host runs lxcfs
 *
 * Theory of operation: lxcfs(1) is a FUSE file system with its own meminfo, loadavg, uptime and
 * others, which answer by the reader's cgroup: `free` shows what is left of the container's memory.
 * The supervisor clones a mount of each file on the host's side, the builder attaches them over the
 * container's own /proc.  What lxcfs tells is for reading, and no limit: a login goes on without
 * it.  So it may hold nobody up: a child looks, with a deadline, and one that hangs in a file
 * system whose daemon does not answer is left behind, with nothing of the session's in its hands.
 */
#ifndef ISPAWN_CONTAINER_LXCFS_H
#define ISPAWN_CONTAINER_LXCFS_H

#include "ispawn/base/err.h"

#define ISP_LXCFS_DIR "/var/lib/lxcfs"
#define ISP_LXCFS_FILES 7

/** isp_lxcfs_is_there() - is something mounted where lxcfs mounts itself?  Asks no daemon. */
bool isp_lxcfs_is_there(void);

/**
 * isp_lxcfs_take() - a detached, read-only mount of each file
 * @cancel_fd: hangs up when the door is gone
 * @ret_fds: ISP_LXCFS_FILES entries, -EBADF before; the caller closes them
 * Runs as: host root in its private mount namespace.
 * Return: 0; -ENOTCONN and others: it is dead; -ETIMEDOUT it hangs; -ECANCELED; -errno.
 */
ISP_MUST_CHECK int isp_lxcfs_take(int cancel_fd, int *ret_fds, struct isp_error *err);

/** isp_lxcfs_attach() - over the files of /proc, where they are taken. Return: 0; -errno. */
ISP_MUST_CHECK int isp_lxcfs_attach(const int *fds, struct isp_error *err);

#endif
