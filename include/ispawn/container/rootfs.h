/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * rootfs.h - the container's root, home and binds as detached mounts
 *
 * Theory of operation: the supervisor makes every mount that needs the host's rights - idmapped
 * ones, the overlay, host paths - and hands the builder detached mounts, which it attaches after
 * pivot_root: then no symlink in a tree that a user has written can lead anywhere but back into
 * that tree (CVE-2021-30465 and its children).  Overlay layers must be attached somewhere before
 * Linux 6.15, so each supervisor owns a private mount namespace, a slave of the host's: the host
 * never sees a mount of ours, and nothing is left to unmount after a crash.  The supervisor works
 * in it while it builds and then goes back to the host's, so that the descriptor is what keeps the
 * namespace: closing it unmounts, without any right.  Two mounts over one
 * upper layer are undefined, so the sessions of one user share one overlay: a later supervisor
 * clones the mount out of an earlier one's private namespace and keeps it attached in its own.
 */
#ifndef ISPAWN_CONTAINER_ROOTFS_H
#define ISPAWN_CONTAINER_ROOTFS_H

#include "ispawn/container/idmap.h"
#include "ispawn/container/store.h"

/** struct isp_place - what the mounts of one session are made from; all borrowed */
struct isp_place {
	const struct isp_spec *spec;
	struct isp_store *store;
	const struct isp_idmap *map;
	int userns_fd;       /* the container's user namespace, maps written; -EBADF: no idmaps */
	int own_ns_fd;       /* the supervisor's private mount namespace */
	int sibling_ns_fd;   /* that of a live session with the same copy, or -EBADF */
	int cancel_fd;       /* hangs up when the door is gone */
	int64_t deadline_ms; /* CLOCK_MONOTONIC */
};

/**
 * isp_rootfs_enter_private() - into a mount namespace of the supervisor's own
 * @ret_host_fd: the one it leaves
 * @ret_own_fd:  the one it enters
 * Slave, so that what the host unmounts does not stay busy here.
 * On failure what has been opened is the caller's to close, as on success.
 */
ISP_MUST_CHECK int isp_rootfs_enter_private(int *ret_host_fd, int *ret_own_fd,
					    struct isp_error *err);

/**
 * isp_rootfs_detach() - put a detached clone of its mount in the place of directory *@fd
 * @what: its name, for the error
 * Order: before isp_rootfs_enter_private(), since a mount is cloned where it is mounted.
 */
ISP_MUST_CHECK int isp_rootfs_detach(const char *what, int *fd, struct isp_error *err);

/** isp_rootfs_leave_private() - back to the host's mount namespace. Return: 0; -errno of setns. */
ISP_MUST_CHECK int isp_rootfs_leave_private(int host_fd, struct isp_error *err);

/**
 * isp_rootfs_make() - the root as a detached mount, nodev, and nosuid for privilege none
 * Runs as: host root in its private mount namespace; changes the working directory.
 * Must: leave nothing attached when it fails (the namespace dies with the supervisor).
 * Return: 0; -EINVAL no idmapped mounts here; -ENOSPC; -ETIMEDOUT; -ECANCELED; -errno.
 */
ISP_MUST_CHECK int isp_rootfs_make(const struct isp_place *place, int *ret_fd,
				   struct isp_error *err);

/** isp_rootfs_make_home() - home = private or bind; -EBADF in *@ret_fd for tmpfs. */
ISP_MUST_CHECK int isp_rootfs_make_home(const struct isp_place *place, int *ret_fd,
					struct isp_error *err);

/**
 * isp_rootfs_make_bind() - a host path, recursively, nosuid and nodev
 * Threat: a socket of a host service inside is host execution, a read-only bind included: sockets,
 * devices, and directories that hold a socket at the top are refused.
 */
ISP_MUST_CHECK int isp_rootfs_make_bind(const struct isp_bind *bind, int *ret_fd,
					struct isp_error *err);

/** isp_rootfs_make_sysfs() - the host's /sys, read-only, for network = host: a user namespace that
 * does not own the network namespace may not mount its own. */
ISP_MUST_CHECK int isp_rootfs_make_sysfs(bool is_rootless, int *ret_fd, struct isp_error *err);

/** isp_rootfs_take_template() - the template, or the spec's directory, as a detached mount; once */
ISP_MUST_CHECK int isp_rootfs_take_template(const struct isp_place *place, int *ret_fd,
					    struct isp_error *err);

/* The parts of isp_rootfs_make(), one file each. */
ISP_MUST_CHECK int isp_overlay_make(const struct isp_place *place, int *ret_fd,
				    struct isp_error *err);
ISP_MUST_CHECK int isp_copy_make(const struct isp_place *place, int *ret_fd, struct isp_error *err);

#endif
