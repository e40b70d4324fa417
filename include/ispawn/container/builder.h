/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * builder.h - what makes a container from inside
 *
 * Theory of operation: the supervisor clones a process into all namespaces at once, which executes
 * ispawn-init: the builder.  It starts as root of its own user namespace - every capability, but
 * over that alone - and ends as init with the tenant's identity.  In between it takes the steps of
 * two tables (steps.c), each a function of one file, each checked; the first that fails is reported
 * in words and ends the builder, and with it every namespace and mount it made.  The first table
 * needs nothing of the host's side and is worked off while the supervisor makes cgroups and the
 * root; the second begins when these have come.  What the host provides comes as descriptors; what
 * is named by a path is looked up on the host's side before the pivot, or in the container's own
 * tree after it, never across.
 * Order: executed before and not after the steps, so that neither the supervisor's memory nor its
 * layout is in a process that tenants come near, and the start of a program runs beside the rest.
 */
#ifndef ISPAWN_CONTAINER_BUILDER_H
#define ISPAWN_CONTAINER_BUILDER_H

#include "ispawn/container/cgroup.h"
#include "ispawn/container/lxcfs.h"
#include "ispawn/container/profile.h"
#include "ispawn/policy/spec.h"

#include <limits.h>

/* What the builder finds open, beside /dev/null on 0, 1 and 2. */
#define ISP_INIT_SOCKET_FD 3 /* the supervisor; the only one that init keeps */
#define ISP_INIT_SPEC_FD 4   /* the frozen spec, a sealed memfd */
#define ISP_MACHINE_ID_SIZE 33
#define ISP_PROCESSORS_SIZE 192

/* The file systems the builder makes, in the order in which they are attached. */
enum isp_filesystem {
	ISP_FS_PROC,
	ISP_FS_SYS,
	ISP_FS_CGROUP,
	ISP_FS_DEV,
	ISP_FS_PTS,
	ISP_FS_SHM,
	ISP_FS_MQUEUE,
	ISP_FS_TMP,
	ISP_FS_RUN,
	ISP_FS_HOME, /* home = tmpfs only */
	ISP_FS_COUNT,
};

enum isp_device {
	ISP_DEVICE_NULL,
	ISP_DEVICE_ZERO,
	ISP_DEVICE_FULL,
	ISP_DEVICE_RANDOM,
	ISP_DEVICE_URANDOM,
	ISP_DEVICE_TTY,
	ISP_DEVICE_COUNT,
};

/**
 * struct isp_builder - what the steps work on; descriptors are owned, -EBADF when unused
 * The supervisor fills one with what it makes on the host's side, and the builder's own is filled
 * from that (ispawn/session/handover.h).
 */
struct isp_builder {
	const struct isp_spec *spec;
	char machine_id[ISP_MACHINE_ID_SIZE];
	int root_fd, home_fd;                       /* detached mounts, from the supervisor */
	int bind_fds[ISP_LIST_MAX];                 /* likewise, one per spec->binds */
	int cgroup_fds[ISP_CGROUP_HIERARCHIES_MAX]; /* isp_cgroup_open_members() */
	size_t cgroup_count;
	bool is_home_new;           /* to be filled from /etc/skel */
	struct isp_profile profile; /* compiled; empty unless spec->seccomp names one */
	bool is_profiled;           /* it is in force */
	int fs_fds[ISP_FS_COUNT];   /* detached mounts of the builder's own */
	int device_fds[ISP_DEVICE_COUNT];
	int lxcfs_fds[ISP_LXCFS_FILES]; /* detached mounts, from the supervisor, where lxcfs runs */
	char processors[ISP_PROCESSORS_SIZE]; /* isp_cpus_list(); "" = all the machine has */
	char shell[PATH_MAX]; /* the tenant's shell, found inside; "" = forwarding only */
};

/** isp_builder_init() - every descriptor -EBADF. @spec: borrowed */
void isp_builder_init(struct isp_builder *b, const struct isp_spec *spec);

/** isp_builder_close() - what the supervisor's is let go of by. */
void isp_builder_close(struct isp_builder *b);

/**
 * isp_builder_begin() - the steps that need nothing from the host's side
 * Runs as: root of the container's user namespace, in a copy of the host's mounts.
 * Return: 0; -errno, the record filled.
 */
ISP_MUST_CHECK int isp_builder_begin(struct isp_builder *b, struct isp_error *err);

/**
 * isp_builder_finish() - all others; the caller is a tenant afterwards
 * Of its descriptors 0, 1 and 2, the container's null device, and ISP_INIT_SOCKET_FD are left.
 * Return: as above.
 */
ISP_MUST_CHECK int isp_builder_finish(struct isp_builder *b, struct isp_error *err);

/* mounts.c: file systems, the root, masks */
ISP_MUST_CHECK int isp_mounts_make_private(struct isp_builder *b, struct isp_error *err);
ISP_MUST_CHECK int isp_mounts_make(struct isp_builder *b, struct isp_error *err);
ISP_MUST_CHECK int isp_mounts_make_cgroup(struct isp_builder *b, struct isp_error *err);
ISP_MUST_CHECK int isp_mounts_pivot(struct isp_builder *b, struct isp_error *err);
ISP_MUST_CHECK int isp_mounts_attach(struct isp_builder *b, struct isp_error *err);
ISP_MUST_CHECK int isp_mounts_attach_in_home(struct isp_builder *b, struct isp_error *err);
ISP_MUST_CHECK int isp_mounts_mask(struct isp_builder *b, struct isp_error *err);
ISP_MUST_CHECK int isp_mounts_seal_root(struct isp_builder *b, struct isp_error *err);
/* numbers.c: processors, memory and load of the container and not of the machine */
ISP_MUST_CHECK int isp_numbers_show(struct isp_builder *b, struct isp_error *err);
/* devices.c: /dev */
ISP_MUST_CHECK int isp_devices_take(struct isp_builder *b, struct isp_error *err);
ISP_MUST_CHECK int isp_devices_attach(struct isp_builder *b, struct isp_error *err);
/* network.c */
ISP_MUST_CHECK int isp_network_write_resolv(struct isp_builder *b, struct isp_error *err);
ISP_MUST_CHECK int isp_network_raise_loopback(struct isp_builder *b, struct isp_error *err);
/* identity.c: the names of the place and of its user */
ISP_MUST_CHECK int isp_identity_set_hostname(struct isp_builder *b, struct isp_error *err);
ISP_MUST_CHECK int isp_identity_write_files(struct isp_builder *b, struct isp_error *err);
ISP_MUST_CHECK int isp_identity_find_shell(struct isp_builder *b, struct isp_error *err);
/* home.c */
ISP_MUST_CHECK int isp_home_attach(struct isp_builder *b, struct isp_error *err);
/* drop.c: giving up rights, and the proof */
ISP_MUST_CHECK int isp_drop_become_container_root(struct isp_builder *b, struct isp_error *err);
ISP_MUST_CHECK int isp_drop_limits(struct isp_builder *b, struct isp_error *err);
ISP_MUST_CHECK int isp_drop_privileges(struct isp_builder *b, struct isp_error *err);
ISP_MUST_CHECK int isp_prove_drops(struct isp_builder *b, struct isp_error *err);

/* tree.c: names inside the container, after the pivot */

/** isp_tree_make_dirs() - mkdir -p of a clean absolute path, mode 0755. Return: 0; -errno. */
ISP_MUST_CHECK int isp_tree_make_dirs(const char *path);
/** isp_tree_make_target() - a mount point for @source_fd: a directory or an empty file. */
ISP_MUST_CHECK int isp_tree_make_target(const char *path, int source_fd);
/**
 * isp_tree_write() - make @path a regular file with this text, unless it is one already
 * The file is replaced by rename, so that whoever reads it sees the old or the new one whole.
 * A symlink at @path is replaced, not followed.  Return: 0; -errno.
 */
ISP_MUST_CHECK int isp_tree_write(const char *path, const char *text, unsigned int mode);
/**
 * isp_tree_show() - mount a file with this text over @path, which itself is not written to
 * @attributes: MOUNT_ATTR_* of the mount; 0: who owns the file inside can write to it, until the
 * end The text stands in /run, which is the container's own, under no name.  A symlink at @path is
 * somebody's arrangement, and a tree without the file has no use for it: nothing is done.
 * Return: 0; -errno.
 */
ISP_MUST_CHECK int isp_tree_show(const char *path, const char *text, uint64_t attributes);

#endif
