/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * overlay.c - the template below, the user's own layer above
 *
 * Everything happens in users/USER/rootfs-TEMPLATE, the working directory for as long as it takes:
 * relative names spare us the overlay option parser's escapes for ',' ':' and '\'.
 *
 *	lower	the template, idmapped, read-only
 *	data	upper and work: the same directory idmapped (overlay), or a sized tmpfs (ephemeral)
 *	root	the overlay itself, kept attached here for the user's later sessions to clone
 */
#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/base/sys.h"
#include "ispawn/container/rootfs.h"
#include "ispawn/container/tmpfs.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define CLONE_TREE (OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)
#define LOWER "lower"
#define DATA "data"
#define ROOT "root"
/* A readonly root takes a few identity files before it is closed. */
#define READONLY_BYTES (4u << 20)

static int fail(struct isp_error *err, const char *what)
{
	return isp_err_set(err, errno, ISP_STAGE_ROOTFS, "overlay: %s", what);
}

static int attach(int mount_fd, const char *name, struct isp_error *err)
{
	if (isp_sys_move_mount(mount_fd, AT_FDCWD, name, 0) != 0)
		return isp_err_set(err, errno, ISP_STAGE_ROOTFS, "overlay: attach \"%s\"", name);
	return 0;
}

static int attach_lower(const struct isp_place *place, struct isp_error *err)
{
	cleanup_close int fd = -EBADF;
	int r = isp_rootfs_take_template(place, &fd, err);

	if (r < 0)
		return r;
	r = isp_idmap_mount(fd, place->userns_fd, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV,
			    place->spec->directory[0] ? place->spec->directory : "the template",
			    err);
	return r < 0 ? r : attach(fd, LOWER, err);
}

static int attach_disk_data(const struct isp_place *place, struct isp_error *err)
{
	cleanup_close int fd = isp_sys_open_tree(AT_FDCWD, DATA, CLONE_TREE);
	int r;

	if (fd < 0)
		return fail(err, "clone the mount of the user's layer");
	r = isp_idmap_mount(fd, place->userns_fd, MOUNT_ATTR_NODEV, "the user's store", err);
	return r < 0 ? r : attach(fd, DATA, err);
}

/* Kernel: a tmpfs cannot be idmapped before 6.3, so its layers are owned by the host ids. */
static int attach_memory_data(uint64_t size_bytes, struct isp_error *err)
{
	cleanup_close int fs_fd = isp_sys_fsopen("tmpfs", FSOPEN_CLOEXEC);
	cleanup_close int fd = -EBADF;

	if (fs_fd < 0 || isp_tmpfs_set_size(fs_fd, size_bytes) != 0 ||
	    isp_sys_fsconfig(fs_fd, FSCONFIG_SET_STRING, "mode", "0755", 0) != 0 ||
	    isp_sys_fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
		return fail(err, "make the tmpfs for the upper layer");
	fd = isp_sys_fsmount(fs_fd, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV);
	if (fd < 0)
		return fail(err, "mount the tmpfs for the upper layer");
	return attach(fd, DATA, err);
}

/* Kernel: setfsuid(2) takes the file system capabilities off when it leaves 0.  Threat: the overlay
 * writes with what is effective here, and CAP_SYS_RESOURCE would let a tenant fill the blocks that
 * are kept for root, and pass disk quotas (capabilities(7)). */
static int raise_effective(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

	if (isp_sys_capget(&header, sets) != 0)
		return -errno;
	for (size_t i = 0; i < ISP_ARRAY_SIZE(sets); i++)
		sets[i].effective = sets[i].permitted;
	sets[CAP_TO_INDEX(CAP_SYS_RESOURCE)].effective &= ~CAP_TO_MASK(CAP_SYS_RESOURCE);
	return isp_sys_capset(&header, sets) != 0 ? -errno : 0;
}

/* setfsuid() reports nothing: ask again for what is in force. */
static int become_fs_ids(uid_t uid, gid_t gid)
{
	(void)setfsgid(gid); /* Ignored: the old id; checked below */
	(void)setfsuid(uid);
	if ((uid_t)setfsuid((uid_t)-1) != uid || (gid_t)setfsgid((gid_t)-1) != gid)
		return -EPERM;
	return raise_effective();
}

static int make_layers(struct isp_error *err)
{
	static const char *const layers[] = {DATA "/upper", DATA "/work"};

	for (size_t i = 0; i < ISP_ARRAY_SIZE(layers); i++)
		if (mkdir(layers[i], 0755) != 0 && errno != EEXIST)
			return isp_err_set(err, errno, ISP_STAGE_ROOTFS, "overlay: make \"%s\"",
					   layers[i]);
	return 0;
}

/* Kernel: overlayfs.rst, userxattr (5.11): what the overlay notes down goes where a user namespace
 * may write, since trusted.* is for the host's root alone. */
static int mount_overlay(bool is_volatile, bool is_rootless, int *ret_fd, struct isp_error *err)
{
	static const char *const options[][2] = {
		{"lowerdir", LOWER},
		{"upperdir", DATA "/upper"},
		{"workdir", DATA "/work"},
		/* Both would keep state in the upper layer that ties it to one lower one. */
		{"index", "off"},
		{"metacopy", "off"},
	};
	cleanup_close int fs_fd = isp_sys_fsopen("overlay", FSOPEN_CLOEXEC);

	if (fs_fd < 0)
		return fail(err, "not offered by this kernel");
	for (size_t i = 0; i < ISP_ARRAY_SIZE(options); i++)
		if (isp_sys_fsconfig(fs_fd, FSCONFIG_SET_STRING, options[i][0], options[i][1], 0) !=
		    0)
			return isp_err_set(err, errno, ISP_STAGE_ROOTFS, "overlay: set %s=%s",
					   options[i][0], options[i][1]);
	if (is_volatile && isp_sys_fsconfig(fs_fd, FSCONFIG_SET_FLAG, "volatile", NULL, 0) != 0)
		return fail(err, "set volatile");
	if (is_rootless && isp_sys_fsconfig(fs_fd, FSCONFIG_SET_FLAG, "userxattr", NULL, 0) != 0)
		return fail(err, "set userxattr");
	if (isp_sys_fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
		return fail(err, "create it over idmapped layers (Linux 5.19 or newer)");
	*ret_fd = isp_sys_fsmount(fs_fd, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV);
	return *ret_fd < 0 ? fail(err, "mount it") : 0;
}

/* Kernel: the overlay keeps the credentials of this moment for all its own accesses to the layers.
 * With fsuid 0 they fail, since host root has no id in the layers' idmap; with the host id of
 * container root they succeed, for as long as the capabilities stay beside it. */
static int mount_as_container_root(const struct isp_place *place, bool is_memory, int *ret_fd,
				   struct isp_error *err)
{
	int r = become_fs_ids(place->map->uid_start, place->map->gid_start);
	int back;

	if (r < 0)
		r = isp_err_set(err, -r, ISP_STAGE_ROOTFS, "overlay: take container root's ids");
	if (r == 0)
		r = make_layers(err);
	if (r == 0)
		r = mount_overlay(is_memory, place->spec->is_rootless, ret_fd, err);
	/* In any case: with half of the ids changed nobody could clean up after the session. */
	back = become_fs_ids(0, 0);
	if (back < 0)
		r = isp_err_set(err, -back, ISP_STAGE_ROOTFS, "overlay: take root's ids back");
	return r;
}

static int make_fresh(const struct isp_place *place, struct isp_error *err)
{
	const struct isp_spec *spec = place->spec;
	bool is_memory = spec->rootfs != ISP_ROOTFS_OVERLAY;
	cleanup_close int fd = -EBADF;
	int r = attach_lower(place, err);

	if (r == 0)
		r = !is_memory ? attach_disk_data(place, err)
			       : attach_memory_data(spec->rootfs == ISP_ROOTFS_READONLY
							    ? READONLY_BYTES
							    : spec->ephemeral_size_bytes,
						    err);
	/* The tmpfs's top belongs to container root: it makes the layers in it. */
	if (r == 0 && is_memory && chown(DATA, place->map->uid_start, place->map->gid_start) != 0)
		r = fail(err, "give the tmpfs to container root");
	if (r == 0)
		r = mount_as_container_root(place, is_memory, &fd, err);
	return r < 0 ? r : attach(fd, ROOT, err);
}

/* Out of the sibling's namespace: only names that root alone can change are looked up there. */
static int clone_from_sibling(const struct isp_place *place, int *ret_fd, struct isp_error *err)
{
	cleanup_close int fd = -EBADF;
	char path[PATH_MAX];
	struct statfs fs;

	(void)snprintf(path, sizeof(path), ISPAWN_STORE_DIR "/users/%s/rootfs-%s/" ROOT,
		       place->spec->user, place->spec->template_name);
	if (setns(place->sibling_ns_fd, CLONE_NEWNS) != 0)
		return fail(err, "enter the mount namespace of the user's other session");
	fd = isp_sys_open_tree(AT_FDCWD, path, CLONE_TREE);
	int keep = errno;
	if (setns(place->own_ns_fd, CLONE_NEWNS) != 0)
		return fail(err, "come back from the user's other session");
	errno = keep;
	if (fd < 0 || fstatfs(fd, &fs) != 0)
		return fail(err, "clone it from the user's other session");
	if (fs.f_type != OVERLAYFS_SUPER_MAGIC)
		return isp_err_set(err, EPROTO, ISP_STAGE_ROOTFS,
				   "overlay: the user's other session has none to share");
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int share(const struct isp_place *place, struct isp_error *err)
{
	cleanup_close int fd = -EBADF;
	int r = clone_from_sibling(place, &fd, err);

	if (r < 0)
		return r;
	/* Coming back has put us at the root of our namespace. */
	if (fchdir(place->store->copy_fd) != 0)
		return fail(err, "enter the user's store again");
	return attach(fd, ROOT, err);
}

int isp_overlay_make(const struct isp_place *place, int *ret_fd, struct isp_error *err)
{
	static const char *const directories[] = {LOWER, DATA, ROOT};
	int r = 0;

	for (size_t i = 0; i < ISP_ARRAY_SIZE(directories) && r == 0; i++)
		r = isp_path_make_dir(place->store->copy_fd, directories[i], 0700, NULL);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_ROOTFS, "make the directories of the copy");
	if (fchdir(place->store->copy_fd) != 0)
		return fail(err, "enter the user's store");
	if (place->spec->rootfs == ISP_ROOTFS_OVERLAY && place->sibling_ns_fd >= 0)
		r = share(place, err);
	else
		r = make_fresh(place, err);
	if (r == 0) {
		*ret_fd = isp_sys_open_tree(AT_FDCWD, ROOT, CLONE_TREE);
		r = *ret_fd < 0 ? fail(err, "clone the mount") : 0;
	}
	if (chdir("/") != 0 && r == 0)
		r = fail(err, "leave the user's store");
	return r;
}
