/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rootfs.c - root, home and binds as detached mounts; contract in ispawn/container/rootfs.h */
#include "ispawn/container/rootfs.h"
#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/base/sys.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define CLONE_TREE (OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)

static int open_mount_namespace(int *ret_fd, struct isp_error *err)
{
	*ret_fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	return *ret_fd < 0 ? isp_err_set(err, errno, ISP_STAGE_ROOTFS, "open \"/proc/self/ns/mnt\"")
			   : 0;
}

int isp_rootfs_enter_private(int *ret_host_fd, int *ret_own_fd, struct isp_error *err)
{
	int r = open_mount_namespace(ret_host_fd, err);

	if (r < 0)
		return r;
	if (unshare(CLONE_NEWNS) != 0)
		return isp_err_set(err, errno, ISP_STAGE_ROOTFS, "unshare the mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0)
		return isp_err_set(err, errno, ISP_STAGE_ROOTFS,
				   "make the mount namespace a slave");
	return open_mount_namespace(ret_own_fd, err);
}

int isp_rootfs_leave_private(int host_fd, struct isp_error *err)
{
	if (setns(host_fd, CLONE_NEWNS) != 0)
		return isp_err_set(err, errno, ISP_STAGE_ROOTFS,
				   "go back to the host's mount namespace");
	return 0;
}

static int set_attributes(int mount_fd, unsigned int flags, uint64_t attributes, const char *what,
			  struct isp_error *err)
{
	/* Kernel: a clone of a shared or slave mount goes on receiving what is mounted there.
	 * Threat: a disk that the administrator mounts below a bind appears inside, writable. */
	struct mount_attr attr = {.attr_set = attributes, .propagation = MS_PRIVATE};

	if (isp_sys_mount_setattr(mount_fd, "", AT_EMPTY_PATH | flags, &attr, sizeof(attr)) != 0)
		return isp_err_set(err, errno, ISP_STAGE_ROOTFS, "set the attributes of %s", what);
	return 0;
}

int isp_rootfs_detach(const char *what, int *fd, struct isp_error *err)
{
	int detached_fd = isp_sys_open_tree(*fd, "", CLONE_TREE | AT_EMPTY_PATH);

	/* Kernel: mount_namespaces(7): what another user namespace has mounted stays together. */
	if (detached_fd < 0)
		return isp_err_set(
			err, errno, ISP_STAGE_ROOTFS, "clone the mount of \"%s\"%s", what,
			errno == EINVAL ? " (something is mounted below it, which only root "
					  "may leave out)"
					: "");
	isp_fd_close(fd);
	*fd = detached_fd;
	return 0;
}

int isp_rootfs_take_template(const struct isp_place *place, int *ret_fd, struct isp_error *err)
{
	int template_fd = place->store->template_fd;

	/* Kernel: before 6.15 a detached mount cannot be cloned; this one is ours to use up. */
	*ret_fd = place->spec->directory[0]
			  ? fcntl(template_fd, F_DUPFD_CLOEXEC, 0)
			  : isp_sys_open_tree(template_fd, "", CLONE_TREE | AT_EMPTY_PATH);
	return *ret_fd < 0 ? isp_err_set(err, errno, ISP_STAGE_ROOTFS,
					 "clone the mount of the template")
			   : 0;
}

/* The directory that a door has opened, itself: without what is mounted below it. */
static int make_in_place(const struct isp_place *place, int *ret_fd, struct isp_error *err)
{
	cleanup_close int fd = -EBADF;
	int r = isp_rootfs_take_template(place, &fd, err);

	if (r < 0)
		return r;
	r = isp_idmap_mount(fd, place->userns_fd, MOUNT_ATTR_NODEV, place->spec->directory, err);
	if (r == 0)
		*ret_fd = steal_fd(&fd);
	return r;
}

static int make_root(const struct isp_place *place, int *ret_fd, struct isp_error *err)
{
	if (place->spec->rootfs != ISP_ROOTFS_COPY)
		return isp_overlay_make(place, ret_fd, err);
	return place->spec->directory[0] ? make_in_place(place, ret_fd, err)
					 : isp_copy_make(place, ret_fd, err);
}

int isp_rootfs_make(const struct isp_place *place, int *ret_fd, struct isp_error *err)
{
	uint64_t attributes = MOUNT_ATTR_NODEV;
	cleanup_close int fd = -EBADF;
	int r = make_root(place, &fd, err);

	if (r < 0)
		return r;
	if (place->spec->privilege == ISP_PRIVILEGE_NONE)
		attributes |= MOUNT_ATTR_NOSUID;
	r = set_attributes(fd, 0, attributes, "the root", err);
	if (r < 0)
		return r;
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* The host's own home, by name: its directory is trusted, and it must be the user's. */
static int open_host_home(const struct isp_spec *spec, int *ret_fd, struct isp_error *err)
{
	cleanup_close int parent_fd = -EBADF;
	cleanup_close int fd = -EBADF;
	char parent[PATH_MAX];
	const char *slash = strrchr(spec->home_path, '/');
	size_t size = (size_t)(slash - spec->home_path);
	struct stat st;
	int r;

	memcpy(parent, spec->home_path, size);
	memcpy(parent + size, size ? "" : "/", size ? 1 : 2);
	r = isp_path_open_trusted(parent, O_PATH | O_DIRECTORY, ISP_STAGE_ROOTFS, &parent_fd, err);
	if (r < 0)
		return r;
	fd = openat(parent_fd, slash + 1, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		return isp_err_set(err, errno, ISP_STAGE_ROOTFS, "open the host's home \"%s\"",
				   spec->home_path);
	if (st.st_uid != spec->uid)
		return isp_err_set(err, EPERM, ISP_STAGE_ROOTFS,
				   "the host's home \"%s\" does not belong to the user",
				   spec->home_path);
	*ret_fd = steal_fd(&fd);
	return 0;
}

int isp_rootfs_make_home(const struct isp_place *place, int *ret_fd, struct isp_error *err)
{
	const uint64_t attributes = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID;
	cleanup_close int source_fd = -EBADF;
	cleanup_close int fd = -EBADF;
	int r;

	if (place->spec->home == ISP_HOME_TMPFS)
		return 0;
	if (place->spec->home == ISP_HOME_BIND)
		r = open_host_home(place->spec, &source_fd, err);
	else
		r = isp_store_home(place->store, place->spec, &source_fd, err);
	if (r < 0)
		return r;
	fd = isp_sys_open_tree(source_fd, "", CLONE_TREE | AT_EMPTY_PATH);
	if (fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_ROOTFS, "clone the mount of the home");
	/* The host's home keeps the host's ids: the user's stand for themselves inside too. */
	r = place->spec->home == ISP_HOME_BIND
		    ? set_attributes(fd, 0, attributes, "the home", err)
		    : isp_idmap_mount(fd, place->userns_fd, attributes, "the home", err);
	if (r < 0)
		return r;
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* Is there a socket at the top of @dir_fd (O_PATH)? 1 yes, 0 no, -errno. */
static int holds_socket(int dir_fd)
{
	cleanup_closedir DIR *dir = NULL;
	struct dirent *e;
	int r = isp_fd_list(dir_fd, &dir);

	while (r == 0 && (r = isp_fd_next(dir, &e)) > 0) {
		struct stat st;

		r = 0;
		if (fstatat(dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
			/* What cannot be looked at may be one; gone since it was listed, it is
			 * none. */
			if (errno != ENOENT)
				return -errno;
		} else if (S_ISSOCK(st.st_mode)) {
			return 1;
		}
	}
	return r;
}

static int check_bind_source(int fd, const struct isp_bind *bind, struct isp_error *err)
{
	struct stat st;
	int r = 0;

	if (fstat(fd, &st) != 0)
		return isp_err_set(err, errno, ISP_STAGE_ROOTFS, "stat \"%s\"", bind->source);
	if (S_ISDIR(st.st_mode))
		r = holds_socket(fd);
	else if (!S_ISREG(st.st_mode))
		r = 1;
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_ROOTFS, "list \"%s\"", bind->source);
	if (r > 0)
		return isp_err_set(err, EPERM, ISP_STAGE_ROOTFS,
				   "bind \"%s\": sockets and devices of the host do not go inside",
				   bind->source);
	return 0;
}

int isp_rootfs_make_bind(const struct isp_bind *bind, int *ret_fd, struct isp_error *err)
{
	cleanup_close int source_fd = -EBADF;
	cleanup_close int fd = -EBADF;
	uint64_t attributes = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID;
	int r;

	/* Threat: a directory on the way that a user can write, and a symlink that he puts there:
	 * what was to be shown would be whatever he points at. */
	source_fd = isp_sys_openat2(AT_FDCWD, bind->source, O_PATH,
				    RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
	if (source_fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_ROOTFS,
				   "open bind \"%s\" (a path without symlinks)", bind->source);
	r = check_bind_source(source_fd, bind, err);
	if (r < 0)
		return r;
	fd = isp_sys_open_tree(source_fd, "", CLONE_TREE | AT_EMPTY_PATH | AT_RECURSIVE);
	if (fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_ROOTFS, "clone the mount of \"%s\"",
				   bind->source);
	if (bind->is_read_only)
		attributes |= MOUNT_ATTR_RDONLY;
	r = set_attributes(fd, AT_RECURSIVE, attributes, bind->source, err);
	if (r < 0)
		return r;
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* Kernel: a sysfs is the network namespace's owner's to make; who is not that shows what is there.
 * What is mounted below it comes along, since what hides something may not be left out. */
static int clone_sysfs(int *ret_fd, struct isp_error *err)
{
	const uint64_t attributes =
		MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
	cleanup_close int fd = isp_sys_open_tree(AT_FDCWD, "/sys", CLONE_TREE | AT_RECURSIVE);
	int r;

	if (fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_ROOTFS, "clone the mount of \"/sys\"");
	r = set_attributes(fd, AT_RECURSIVE, attributes, "\"/sys\"", err);
	if (r == 0)
		*ret_fd = steal_fd(&fd);
	return r;
}

int isp_rootfs_make_sysfs(bool is_rootless, int *ret_fd, struct isp_error *err)
{
	cleanup_close int fs_fd = -EBADF;

	if (is_rootless)
		return clone_sysfs(ret_fd, err);
	fs_fd = isp_sys_fsopen("sysfs", FSOPEN_CLOEXEC);
	if (fs_fd < 0 || isp_sys_fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
		return isp_err_set(err, errno, ISP_STAGE_ROOTFS, "make a sysfs");
	*ret_fd = isp_sys_fsmount(fs_fd, FSMOUNT_CLOEXEC,
				  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
					  MOUNT_ATTR_NOEXEC);
	if (*ret_fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_ROOTFS, "mount a sysfs");
	return 0;
}
