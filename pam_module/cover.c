/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * cover.c - the user's shell becomes ispawn-shell; contract in module.h
 *
 * Stages:
 *   1. is there anything to cover?  Files are compared, not names: /bin/sh may be anything.
 *   2. make ISPAWN_COVERED_SHELL, an empty file, to bind the original shell to.
 *   3. a mount namespace of our own, a slave of the application's: what the administrator mounts
 *      still arrives, what we mount does not leave.
 *   4. bind the original over the empty file, ispawn-shell over the original.
 *   5. prove it: the shell's name now leads to ispawn-shell.
 * Files are opened again in the new namespace, since a mount can be attached only to one's own.
 */
#include "module.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/base/sys.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

static const char default_shell[] = "/bin/sh"; /* passwd(5): an empty field */

static int open_file(const char *path, int *ret_fd, struct stat *ret_st, struct isp_error *err)
{
	cleanup_close int fd = -EBADF;
	int r = isp_path_open_trusted(path, O_PATH, ISP_STAGE_COVER, &fd, err);

	if (r < 0)
		return r;
	if (fstat(fd, ret_st) != 0)
		return isp_err_set(err, errno, ISP_STAGE_COVER, "look at \"%s\"", path);
	if (!S_ISREG(ret_st->st_mode))
		return isp_err_set(err, EACCES, ISP_STAGE_COVER, "\"%s\" is not a file", path);
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* Return: 1 @shell is ispawn-shell; 0 it is not; -errno. */
static int is_covered(const char *shell, struct isp_error *err)
{
	cleanup_close int shell_fd = -EBADF;
	cleanup_close int ispawn_fd = -EBADF;
	struct stat shell_st = {0}, ispawn_st = {0};
	int r = open_file(ISPAWN_SHELL, &ispawn_fd, &ispawn_st, err);

	if (r == 0)
		r = open_file(shell, &shell_fd, &shell_st, err);
	if (r < 0)
		return r;
	return shell_st.st_dev == ispawn_st.st_dev && shell_st.st_ino == ispawn_st.st_ino;
}

/* The file shows nothing outside covered namespaces: mode 0, in a directory without listing. */
static int make_placeholder(struct isp_error *err)
{
	cleanup_close int cover_fd = -EBADF;
	cleanup_close int file_fd = -EBADF;
	int r = isp_path_make_run_dir("cover", 0711, &cover_fd);

	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_COVER, "make \"" ISPAWN_COVER_DIR "\"");
	/* O_NOFOLLOW and no O_TRUNC: in a covered namespace the name leads to a shell. */
	file_fd = openat(cover_fd, "shell",
			 O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (file_fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_COVER,
				   "make \"" ISPAWN_COVERED_SHELL "\"");
	return 0;
}

static int leave_mounts(struct isp_module_place *place, struct isp_error *err)
{
	if (unshare(CLONE_NEWNS) != 0)
		return isp_err_set(err, errno, ISP_STAGE_COVER, "make a mount namespace");
	place->has_left_mounts = true;
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0)
		return isp_err_set(err, errno, ISP_STAGE_COVER,
				   "make the mounts of the new namespace slaves");
	return 0;
}

/* Threat: su --shell and su --preserve-environment run any program that the caller names.  Whoever
 * calls a set-user-ID application chooses its arguments; its real uid says whether that was root.
 */
static bool is_called_by_user(void)
{
	return getuid() != 0;
}

/* What is bound afterwards is all that can be executed from here. */
static int forbid_programs(struct isp_error *err)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOEXEC};

	if (isp_sys_mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &attr, sizeof(attr)) != 0)
		return isp_err_set(err, errno, ISP_STAGE_COVER,
				   "make all programs but ispawn-shell unexecutable");
	return 0;
}

/* @what, a file of ours, is shown at @where. */
static int bind_over(int what_fd, int where_fd, const char *what, const char *where,
		     struct isp_error *err)
{
	struct mount_attr attr = {.attr_clr = MOUNT_ATTR_NOEXEC};
	cleanup_close int tree_fd =
		isp_sys_open_tree(what_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (tree_fd < 0 ||
	    isp_sys_mount_setattr(tree_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) != 0 ||
	    isp_sys_move_mount(tree_fd, where_fd, "", MOVE_MOUNT_T_EMPTY_PATH) != 0)
		return isp_err_set(err, errno, ISP_STAGE_COVER, "bind \"%s\" over \"%s\"", what,
				   where);
	return 0;
}

static int bind_both(const char *shell, struct isp_error *err)
{
	cleanup_close int shell_fd = -EBADF;
	cleanup_close int ispawn_fd = -EBADF;
	cleanup_close int placeholder_fd = -EBADF;
	struct stat st = {0};
	int r = open_file(shell, &shell_fd, &st, err);

	if (r == 0)
		r = open_file(ISPAWN_SHELL, &ispawn_fd, &st, err);
	if (r == 0)
		r = open_file(ISPAWN_COVERED_SHELL, &placeholder_fd, &st, err);
	if (r == 0)
		r = bind_over(shell_fd, placeholder_fd, shell, ISPAWN_COVERED_SHELL, err);
	if (r == 0)
		r = bind_over(ispawn_fd, shell_fd, ISPAWN_SHELL, shell, err);
	return r;
}

int isp_module_cover(const char *shell, struct isp_module_place *place, struct isp_error *err)
{
	const char *path = shell[0] ? shell : default_shell;
	int r = is_covered(path, err);

	if (r < 0)
		return isp_err_prefix(err, "cover the login shell");
	/* With ispawn-shell as the login shell there is nothing to cover, but others to forbid. */
	if (r == 1 && !is_called_by_user())
		return 0;
	r = make_placeholder(err);
	if (r == 0)
		r = leave_mounts(place, err);
	if (r == 0 && is_called_by_user())
		r = forbid_programs(err);
	if (r == 0)
		r = bind_both(path, err);
	if (r == 0)
		r = is_covered(path, err);
	if (r == 0)
		r = isp_err_set(err, ENOTUNIQ, ISP_STAGE_COVER,
				"\"%s\" does not lead to ispawn-shell after all", path);
	return r < 0 ? isp_err_prefix(err, "cover the login shell") : 0;
}
