/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * copy.c - rootfs = copy: a full copy of the template, made once
 *
 * cp(1) does the copying, with reflinks where the file system has them: it knows sparse files,
 * hard links, extended attributes and ACLs better than anything of ours would.  It reads a tree
 * that only root has written and writes one that nobody else can reach yet; its working name is
 * changed for the final one only when it has succeeded.
 */
#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/base/sys.h"
#include "ispawn/container/child.h"
#include "ispawn/container/rootfs.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define COPY "copy"
#define COPY_NEW "copy.new"
#define SOURCE_FD 3
#define TARGET_FD 4

/* What a child does, with the supervisor's memory: straight to its end.  In a child, since neither
 * heeds a deadline: both wait for the disk, and with it for what all others write to it. */
typedef void child_function(const struct isp_place *place, int target_fd);

static _Noreturn void exec_cp(const struct isp_place *place, int target_fd)
{
	char program[] = "cp", archive[] = "-a", reflink[] = "--reflink=auto", one_fs[] = "-x";
	char from[] = "/proc/self/fd/3/.", to[] = "/proc/self/fd/4/";
	char *const argv[] = {program, archive, reflink, one_fs, from, to, NULL};
	char *const envp[] = {NULL};
	int source = fcntl(place->store->template_fd, F_DUPFD, 10);
	int target = fcntl(target_fd, F_DUPFD, 10);

	if (source >= 0 && target >= 0 && dup2(source, SOURCE_FD) >= 0 &&
	    dup2(target, TARGET_FD) >= 0 && isp_sys_close_range(TARGET_FD + 1, ~0u, 0) == 0)
		(void)execve("/bin/cp", argv, envp); /* Ignored: reported below as 127 */
	isp_sys_exit_group(127);
}

/* Kernel: a name can reach the disk long before what it names: after a power cut the copy would be
 * kept with empty files. */
static _Noreturn void write_out(const struct isp_place *place, int target_fd)
{
	(void)place;
	isp_sys_exit_group(syncfs(target_fd) == 0 ? 0 : 1);
}

static int run_child(const struct isp_place *place, child_function *run, int target_fd,
		     const char *what, struct isp_error *err)
{
	struct isp_child child = {.what = what,
				  .stage = ISP_STAGE_ROOTFS,
				  .cancel_fd = place->cancel_fd,
				  .deadline_ms = place->deadline_ms};
	int status = 0;
	int r = isp_child_start(&child, err);

	if (r > 0) {
		run(place, target_fd);
		isp_sys_exit_group(127);
	}
	if (r == 0)
		r = isp_child_wait(&child, &status, err);
	if (r == -ETIMEDOUT)
		return isp_err_prefix(err, "the template could not be copied in time");
	if (r < 0)
		return r;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return isp_err_set(
			err, EIO, ISP_STAGE_ROOTFS,
			"copy the template: %s ended with status %d (is the disk full?)", what,
			WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return 0;
}

static int make_copy(const struct isp_place *place, struct isp_error *err)
{
	cleanup_close int target_fd = -EBADF;
	int store_fd = place->store->copy_fd;
	int r = isp_path_remove_tree(store_fd, COPY_NEW); /* a crashed first login's */

	if (r == 0)
		r = isp_path_make_dir(store_fd, COPY_NEW, 0755, &target_fd);
	if (r < 0)
		r = isp_err_set(err, -r, ISP_STAGE_ROOTFS, "make \"" COPY_NEW "\" in the store");
	if (r == 0)
		r = run_child(place, exec_cp, target_fd, "cp", err);
	if (r == 0)
		r = run_child(place, write_out, target_fd, "sync", err);
	if (r == 0 && renameat(store_fd, COPY_NEW, store_fd, COPY) != 0)
		r = isp_err_set(err, errno, ISP_STAGE_ROOTFS, "keep the copy of the template");
	if (r < 0)
		isp_ignore(isp_path_remove_tree(store_fd, COPY_NEW)); /* tried again next time */
	return r;
}

int isp_copy_make(const struct isp_place *place, int *ret_fd, struct isp_error *err)
{
	cleanup_close int fd = -EBADF;
	int store_fd = place->store->copy_fd;
	struct stat st;
	int r;

	if (fstatat(store_fd, COPY, &st, AT_SYMLINK_NOFOLLOW) != 0) {
		r = errno == ENOENT ? make_copy(place, err)
				    : isp_err_set(err, errno, ISP_STAGE_ROOTFS, "stat the copy");
		if (r < 0)
			return r;
	}
	fd = isp_sys_open_tree(store_fd, COPY,
			       OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
	if (fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_ROOTFS, "clone the mount of the copy");
	r = isp_idmap_mount(fd, place->userns_fd, MOUNT_ATTR_NODEV, "the copy", err);
	if (r < 0)
		return r;
	*ret_fd = steal_fd(&fd);
	return 0;
}
