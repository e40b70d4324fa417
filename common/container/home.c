/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * home.c - the home's mount, and its first content; contract in ispawn/container/builder.h
 *
 * A new home is filled from the template's own /etc/skel, here and not on the host: whatever the
 * symlinks in skel say, the copying cannot leave the container.
 */
#include "ispawn/base/fd.h"
#include "ispawn/base/sys.h"
#include "ispawn/container/builder.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#define DEPTH_MAX 16

static int copy_entries(int from_fd, int to_fd, const struct isp_spec *spec, unsigned int depth);

static int copy_file(int from_fd, int to_fd, const char *name, const struct stat *st,
		     const struct isp_spec *spec)
{
	cleanup_close int in =
		openat(from_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	cleanup_close int out = -EBADF;
	ssize_t n;

	if (in < 0)
		return -errno;
	out = openat(to_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return -errno;
	do
		n = sendfile(out, in, NULL, 1 << 20);
	while (n > 0);
	if (n < 0 || fchown(out, spec->uid, spec->gid) != 0 || fchmod(out, st->st_mode & 0777) != 0)
		return -errno;
	/* Before the home gets its name: after a power cut it would be kept with empty files. */
	if (fsync(out) != 0)
		return -errno;
	return 0;
}

static int copy_link(int from_fd, int to_fd, const char *name, const struct isp_spec *spec)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from_fd, name, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	if (symlinkat(target, to_fd, name) != 0 ||
	    fchownat(to_fd, name, spec->uid, spec->gid, AT_SYMLINK_NOFOLLOW) != 0)
		return -errno;
	return 0;
}

static int copy_directory(int from_fd, int to_fd, const char *name, const struct stat *st,
			  const struct isp_spec *spec, unsigned int depth)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	cleanup_close int from = openat(from_fd, name, flags);
	cleanup_close int to = -EBADF;
	int r;

	if (from < 0)
		return -errno;
	if (mkdirat(to_fd, name, 0700) != 0)
		return -errno;
	to = openat(to_fd, name, flags);
	if (to < 0)
		return -errno;
	r = copy_entries(from, to, spec, depth + 1);
	if (r < 0)
		return r;
	return fchown(to, spec->uid, spec->gid) != 0 || fchmod(to, st->st_mode & 0777) != 0 ? -errno
											    : 0;
}

static int copy_entry(int from_fd, int to_fd, const char *name, const struct isp_spec *spec,
		      unsigned int depth)
{
	struct stat st;

	if (fstatat(from_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return -errno;
	if (S_ISREG(st.st_mode))
		return copy_file(from_fd, to_fd, name, &st, spec);
	if (S_ISLNK(st.st_mode))
		return copy_link(from_fd, to_fd, name, spec);
	if (S_ISDIR(st.st_mode))
		return copy_directory(from_fd, to_fd, name, &st, spec, depth);
	return 0; /* devices, sockets and FIFOs have no place in a skeleton */
}

static int copy_entries(int from_fd, int to_fd, const struct isp_spec *spec, unsigned int depth)
{
	cleanup_closedir DIR *dir = NULL;
	struct dirent *e;
	int next = 0, r;

	if (depth > DEPTH_MAX)
		return -ELOOP;
	r = isp_fd_list(from_fd, &dir);
	while (r == 0 && (next = isp_fd_next(dir, &e)) > 0)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = copy_entry(from_fd, to_fd, e->d_name, spec, depth);
	return r == 0 ? next : r;
}

static int fill(const struct isp_builder *b, int home_fd, struct isp_error *err)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	cleanup_close int skel_fd = open("/etc/skel", flags);
	int r;

	if (skel_fd < 0)
		return errno == ENOENT ? 0
				       : isp_err_set(err, errno, ISP_STAGE_IDENTITY,
						     "open the template's \"/etc/skel\"");
	r = copy_entries(skel_fd, home_fd, b->spec, 0);
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_IDENTITY,
				   "fill the new home from \"/etc/skel\"")
		     : 0;
}

int isp_home_attach(struct isp_builder *b, struct isp_error *err)
{
	bool is_tmpfs = b->spec->home == ISP_HOME_TMPFS;
	int mount_fd = is_tmpfs ? b->fs_fds[ISP_FS_HOME] : b->home_fd;
	int r;

	if (b->spec->directory[0])
		return 0; /* it has its own */
	r = isp_tree_make_dirs(b->spec->home_path);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_IDENTITY, "make the mount point \"%s\"",
				   b->spec->home_path);
	/* Kernel: fsmount(2) opens O_PATH, which fchown(2) refuses. */
	if (is_tmpfs && fchownat(mount_fd, "", b->spec->uid, b->spec->gid, AT_EMPTY_PATH) != 0)
		return isp_err_set(err, errno, ISP_STAGE_IDENTITY, "give the home to the user");
	if (isp_sys_move_mount(mount_fd, AT_FDCWD, b->spec->home_path, 0) != 0)
		return isp_err_set(err, errno, ISP_STAGE_IDENTITY, "attach \"%s\"",
				   b->spec->home_path);
	return b->is_home_new || is_tmpfs ? fill(b, mount_fd, err) : 0;
}
