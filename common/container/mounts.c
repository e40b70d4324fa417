/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * mounts.c - the file systems of the container; contract in ispawn/container/builder.h
 *
 *	1. private	nothing that happens here is seen outside, or the other way round
 *	2. make		each file system as a detached mount, while the old root still stands:
 *			Kernel: proc and sysfs may be mounted in a user namespace only where a
 *			fully visible one is in sight (mount_namespaces(7)).  That of cgroups
 *			shows what the cgroup namespace was made in, and so comes last
 *	3. pivot	the copy becomes the root, the old one is detached and proved gone
 *	4. attach	the detached mounts, by names that are now the container's own
 *	5. mask		what in proc and sys is about the machine and not about the container
 *	6. seal		rootfs = readonly: after the last edit
 */
#include "ispawn/base/fd.h"
#include "ispawn/base/sys.h"
#include "ispawn/container/builder.h"
#include "ispawn/container/tmpfs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define QUIET (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)
#define OPTIONS_MAX 5

/* A number that only the spec knows. */
enum sized { SIZED_NO, SIZED_TMP };

static const struct filesystem {
	const char *target, *type;
	unsigned int attributes;
	enum sized sized;
	const char *options[OPTIONS_MAX][2];
} filesystems[] = {
	[ISP_FS_PROC] = {"/proc", "proc", QUIET, SIZED_NO, {{0}}},
	[ISP_FS_SYS] = {"/sys", "sysfs", QUIET | MOUNT_ATTR_RDONLY, SIZED_NO, {{0}}},
	/* Read-only: a limit that its subject can write is none. */
	[ISP_FS_CGROUP] = {"/sys/fs/cgroup", "cgroup2", QUIET | MOUNT_ATTR_RDONLY, SIZED_NO, {{0}}},
	[ISP_FS_DEV] = {"/dev",
			"tmpfs",
			QUIET,
			SIZED_NO,
			{{"mode", "0755"}, {"size", "64k"}, {"nr_inodes", "64"}}},
	/* Not nodev: its terminals are devices. */
	[ISP_FS_PTS] = {"/dev/pts",
			"devpts",
			MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
			SIZED_NO,
			{{"mode", "0620"}, {"ptmxmode", "0666"}, {"gid", "5"}, {"max", "128"}}},
	[ISP_FS_SHM] = {"/dev/shm", "tmpfs", QUIET, SIZED_TMP, {{"mode", "1777"}}},
	[ISP_FS_MQUEUE] = {"/dev/mqueue", "mqueue", QUIET, SIZED_NO, {{0}}},
	/* Not noexec: compilers and installers run what they put there. */
	[ISP_FS_TMP] = {"/tmp",
			"tmpfs",
			MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
			SIZED_TMP,
			{{"mode", "1777"}}},
	[ISP_FS_RUN] = {"/run", "tmpfs", QUIET, SIZED_TMP, {{"mode", "0755"}}},
	/* Attached by home.c, where the spec says. */
	[ISP_FS_HOME] = {NULL,
			 "tmpfs",
			 MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
			 SIZED_TMP,
			 {{"mode", "0700"}}},
};
_Static_assert(ISP_ARRAY_SIZE(filesystems) == ISP_FS_COUNT, "every file system is described");

static int fail(struct isp_error *err, enum isp_stage stage, const char *what, const char *name)
{
	return isp_err_set(err, errno, stage, "%s \"%s\"", what, name);
}

int isp_mounts_make_private(struct isp_builder *b, struct isp_error *err)
{
	(void)b;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		return fail(err, ISP_STAGE_MOUNTS, "make private", "/");
	return 0;
}

static int make_one(const struct filesystem *fs, const struct isp_spec *spec, int *ret_fd,
		    struct isp_error *err)
{
	cleanup_close int fs_fd = isp_sys_fsopen(fs->type, FSOPEN_CLOEXEC);

	if (fs_fd < 0)
		return fail(err, ISP_STAGE_MOUNTS, "open file system", fs->type);
	for (size_t i = 0; i < OPTIONS_MAX && fs->options[i][0]; i++) {
		/* A group that is not there cannot own the terminals. */
		if (spec->has_one_id && strcmp(fs->options[i][0], "gid") == 0)
			continue;
		if (isp_sys_fsconfig(fs_fd, FSCONFIG_SET_STRING, fs->options[i][0],
				     fs->options[i][1], 0) != 0)
			return fail(err, ISP_STAGE_MOUNTS, "set an option of", fs->type);
	}
	if (fs->sized == SIZED_TMP && isp_tmpfs_set_size(fs_fd, spec->tmp_size_bytes) != 0)
		return fail(err, ISP_STAGE_MOUNTS, "set the size (tmp_size) of", fs->type);
	if (isp_sys_fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
		return fail(err, ISP_STAGE_MOUNTS, "create file system", fs->type);
	*ret_fd = isp_sys_fsmount(fs_fd, FSMOUNT_CLOEXEC, fs->attributes);
	return *ret_fd < 0 ? fail(err, ISP_STAGE_MOUNTS, "mount file system", fs->type) : 0;
}

int isp_mounts_make(struct isp_builder *b, struct isp_error *err)
{
	for (size_t i = 0; i < ISP_FS_COUNT; i++) {
		int r;

		if (i == ISP_FS_CGROUP)
			continue;
		if (i == ISP_FS_SYS && b->spec->network == ISP_NETWORK_HOST)
			continue; /* the host's, from the supervisor */
		if (i == ISP_FS_HOME && (b->spec->home != ISP_HOME_TMPFS || b->spec->directory[0]))
			continue;
		r = make_one(&filesystems[i], b->spec, &b->fs_fds[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

int isp_mounts_make_cgroup(struct isp_builder *b, struct isp_error *err)
{
	return make_one(&filesystems[ISP_FS_CGROUP], b->spec, &b->fs_fds[ISP_FS_CGROUP], err);
}

/* Threat: a path back to the host's tree.  Exactly one mount is left, and it is ours. */
static int prove_old_root_gone(const struct isp_builder *b, struct isp_error *err)
{
	cleanup_free char *table = NULL;
	const char *newline;
	int r = isp_fd_read_file(b->fs_fds[ISP_FS_PROC], "self/mountinfo", 65536, &table);

	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_PIVOT, "read the mount table");
	newline = strchr(table, '\n');
	if (!newline || newline[1] != '\0')
		return isp_err_set(err, EPROTO, ISP_STAGE_PIVOT,
				   "something of the old root is still mounted");
	return 0;
}

int isp_mounts_pivot(struct isp_builder *b, struct isp_error *err)
{
	int r;

	/* Any directory does: in a moment nothing of this tree is left.  The working directory is
	 * the new root itself, so that "." names it without a look-up. */
	if (isp_sys_move_mount(b->root_fd, AT_FDCWD, "/proc", 0) != 0)
		return fail(err, ISP_STAGE_PIVOT, "attach", "the root");
	if (fchdir(b->root_fd) != 0)
		return fail(err, ISP_STAGE_PIVOT, "enter", "the root");
	/* Kernel: pivot_root(2), NOTES: with both names ".", the old root ends up on top of the new
	 * one, where one detach takes it away. */
	if (isp_sys_pivot_root(".", ".") != 0)
		return fail(err, ISP_STAGE_PIVOT, "pivot to", "the root");
	if (umount2(".", MNT_DETACH) != 0)
		return fail(err, ISP_STAGE_PIVOT, "detach", "the old root");
	if (chdir("/") != 0)
		return fail(err, ISP_STAGE_PIVOT, "enter", "/");
	r = prove_old_root_gone(b, err);
	isp_fd_close(&b->root_fd);
	return r;
}

/* Order: attached first and asked afterwards, since most mount points are there. */
static int attach_one(int fd, const char *target, struct isp_error *err)
{
	int r;

	if (isp_sys_move_mount(fd, AT_FDCWD, target, 0) == 0)
		return 0;
	if (errno != ENOENT)
		return fail(err, ISP_STAGE_MOUNTS, "attach", target);
	r = isp_tree_make_target(target, fd);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_MOUNTS, "make the mount point \"%s\"",
				   target);
	if (isp_sys_move_mount(fd, AT_FDCWD, target, 0) != 0)
		return fail(err, ISP_STAGE_MOUNTS, "attach", target);
	return 0;
}

/* Is @path the home or something in it? */
static bool is_in_home(const struct isp_builder *b, const char *path)
{
	size_t size = strlen(b->spec->home_path);

	return strncmp(path, b->spec->home_path, size) == 0 &&
	       (path[size] == '/' || path[size] == '\0');
}

static int attach_binds(struct isp_builder *b, bool in_home, struct isp_error *err)
{
	int r = 0;

	for (size_t i = 0; i < b->spec->bind_count && r == 0; i++)
		if (is_in_home(b, b->spec->binds[i].target) == in_home)
			r = attach_one(b->bind_fds[i], b->spec->binds[i].target, err);
	return r;
}

int isp_mounts_attach_in_home(struct isp_builder *b, struct isp_error *err)
{
	return attach_binds(b, true, err);
}

int isp_mounts_attach(struct isp_builder *b, struct isp_error *err)
{
	int r = 0;

	for (size_t i = 0; i < ISP_FS_COUNT && r == 0; i++)
		if (filesystems[i].target)
			r = attach_one(b->fs_fds[i], filesystems[i].target, err);
	if (r == 0 && (mkdir("/run/lock", 0777) != 0 || chmod("/run/lock", 01777) != 0))
		r = fail(err, ISP_STAGE_MOUNTS, "make", "/run/lock");
	if (r == 0)
		r = isp_devices_attach(b, err);
	return r == 0 ? attach_binds(b, false, err) : r;
}

/* Of the machine, not of the container; files are hidden by the null device, directories by an
 * empty file system.  What this kernel does not have needs no hiding. */
static const char *const masked[] = {
	"/proc/kcore",       "/proc/keys",          "/proc/key-users", "/proc/timer_list",
	"/proc/sched_debug", "/proc/latency_stats", "/proc/kmsg",      "/proc/sysrq-trigger",
	"/proc/acpi",        "/proc/scsi",          "/proc/asound",    "/sys/firmware",
	"/sys/kernel",       "/sys/fs/pstore",      "/sys/power",      "/sys/fs/bpf",
};
static const char *const read_only[] = {"/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs"};

static int empty_directory(int *ret_fd)
{
	cleanup_close int fs_fd = isp_sys_fsopen("tmpfs", FSOPEN_CLOEXEC);

	if (fs_fd < 0 || isp_sys_fsconfig(fs_fd, FSCONFIG_SET_STRING, "nr_inodes", "2", 0) != 0 ||
	    isp_sys_fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
		return -errno;
	*ret_fd = isp_sys_fsmount(fs_fd, FSMOUNT_CLOEXEC, QUIET | MOUNT_ATTR_RDONLY);
	return *ret_fd < 0 ? -errno : 0;
}

/* @empty: a directory that is masked already, NULL before the first: nobody can write to what hides
 * it, so one file system does for all. */
static int make_mask(const char *empty, bool is_directory, int *ret_fd)
{
	/* Or our own null device, attached and verified a moment ago. */
	const char *source = is_directory ? empty : "/dev/null";

	if (!source)
		return empty_directory(ret_fd);
	*ret_fd = isp_sys_open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	return *ret_fd < 0 ? -errno : 0;
}

static int mask_one(const char *path, const char **empty, struct isp_error *err)
{
	cleanup_close int fd = -EBADF;
	struct stat st;
	int r;

	if (lstat(path, &st) != 0)
		return errno == ENOENT ? 0 : fail(err, ISP_STAGE_MOUNTS, "stat", path);
	r = make_mask(*empty, S_ISDIR(st.st_mode), &fd);
	if (r == 0 && isp_sys_move_mount(fd, AT_FDCWD, path, 0) != 0)
		r = -errno;
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_MOUNTS, "mask \"%s\"", path);
	if (S_ISDIR(st.st_mode))
		*empty = path;
	return 0;
}

static int make_read_only(const char *path, struct isp_error *err)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
	cleanup_close int fd = -EBADF;

	fd = isp_sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (fd < 0)
		return errno == ENOENT ? 0 : fail(err, ISP_STAGE_MOUNTS, "clone", path);
	if (isp_sys_mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) != 0 ||
	    isp_sys_move_mount(fd, AT_FDCWD, path, 0) != 0)
		return fail(err, ISP_STAGE_MOUNTS, "make read-only", path);
	return 0;
}

int isp_mounts_mask(struct isp_builder *b, struct isp_error *err)
{
	const char *empty = NULL;
	int r;

	/* Order: before /proc/sys is closed.  Threat: nested user namespaces, the kernel's widest
	 * door for the unprivileged (CVE-2022-0492, CVE-2021-3493).  The limit is this namespace's
	 * own, so no process inside can raise it. */
	r = isp_fd_write_file(b->fs_fds[ISP_FS_PROC], "sys/user/max_user_namespaces", "0");
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_MOUNTS, "set user.max_user_namespaces");
	for (size_t i = 0; i < ISP_ARRAY_SIZE(read_only) && r == 0; i++)
		r = make_read_only(read_only[i], err);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(masked) && r == 0; i++)
		r = mask_one(masked[i], &empty, err);
	return r;
}

int isp_mounts_seal_root(struct isp_builder *b, struct isp_error *err)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};

	if (b->spec->rootfs == ISP_ROOTFS_READONLY &&
	    isp_sys_mount_setattr(AT_FDCWD, "/", 0, &attr, sizeof(attr)) != 0)
		return fail(err, ISP_STAGE_MOUNTS, "make read-only", "/");
	return 0;
}
