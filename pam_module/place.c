/* SPDX-License-Identifier: GPL-3.0-or-later */
/* place.c - where the application's thread is, and the way back; contract in module.h */
#include "module.h"

#include "ispawn/base/fd.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>

/* thread-self, not self: a thread that is not the first may have namespaces of its own. */
#define MOUNT_NAMESPACE "/proc/thread-self/ns/mnt"
#define NETWORK_NAMESPACE "/proc/thread-self/ns/net"

static int open_kept(const char *path, int flags, int *ret_fd, struct isp_error *err)
{
	cleanup_close int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_COVER, "remember \"%s\"", path);
	return isp_fd_move_up(&fd, ret_fd, err);
}

int isp_module_place_save(struct isp_module_place *ret_place, struct isp_error *err)
{
	struct isp_module_place place = ISP_MODULE_NO_PLACE;
	int r = open_kept(MOUNT_NAMESPACE, O_RDONLY, &place.mount_fd, err);

	if (r == 0)
		r = open_kept(NETWORK_NAMESPACE, O_RDONLY, &place.net_fd, err);
	if (r == 0)
		r = open_kept("/", O_PATH | O_DIRECTORY, &place.root_fd, err);
	if (r == 0)
		r = open_kept(".", O_PATH | O_DIRECTORY, &place.directory_fd, err);
	if (r < 0) {
		isp_module_place_close(&place);
		return r;
	}
	*ret_place = place;
	return 0;
}

int isp_module_place_join(struct isp_module_place *place, int net_fd, struct isp_error *err)
{
	if (setns(net_fd, CLONE_NEWNET) != 0)
		return isp_err_set(err, errno, ISP_STAGE_NETWORK,
				   "move the application into the container's network");
	place->has_left_net = true;
	return 0;
}

/* The name of the working directory, when it has one; also what it is, to know it again. */
static bool directory_name(char ret_name[PATH_MAX], struct stat *ret_st)
{
	return getcwd(ret_name, PATH_MAX) && ret_name[0] == '/' && stat(".", ret_st) == 0;
}

static bool go_to_directory(const char *name, const struct stat *expected)
{
	struct stat st;

	return chdir(name) == 0 && stat(".", &st) == 0 && st.st_dev == expected->st_dev &&
	       st.st_ino == expected->st_ino;
}

/* Kernel: setns(2) with a mount namespace moves root and working directory to that namespace's
 * root, so both have to be found again: the root by the descriptor from before; the directory by
 * name, for the application may have changed it since, else by descriptor as well. */
static int return_to_mounts(const struct isp_module_place *place, struct isp_error *err)
{
	char name[PATH_MAX];
	struct stat st = {0};
	bool has_name = directory_name(name, &st);

	if (setns(place->mount_fd, CLONE_NEWNS) != 0)
		return isp_err_set(err, errno, ISP_STAGE_COVER,
				   "return the application to its mount namespace");
	if (fchdir(place->root_fd) != 0 || chroot(".") != 0)
		return isp_err_set(err, errno, ISP_STAGE_COVER,
				   "return the application to its root directory");
	if (has_name && go_to_directory(name, &st))
		return 0;
	if (fchdir(place->directory_fd) != 0)
		return isp_err_set(err, errno, ISP_STAGE_COVER,
				   "return the application to its working directory");
	return 0;
}

int isp_module_place_restore(struct isp_module_place *place, struct isp_error *err)
{
	int r = 0;

	if (place->has_left_net && setns(place->net_fd, CLONE_NEWNET) != 0)
		r = isp_err_set(err, errno, ISP_STAGE_NETWORK,
				"return the application to its network namespace");
	place->has_left_net = false;
	if (place->has_left_mounts) {
		int mounts = return_to_mounts(place, err);

		r = r < 0 ? r : mounts;
	}
	place->has_left_mounts = false;
	return r;
}

void isp_module_place_close(struct isp_module_place *place)
{
	isp_fd_close(&place->mount_fd);
	isp_fd_close(&place->net_fd);
	isp_fd_close(&place->root_fd);
	isp_fd_close(&place->directory_fd);
}
