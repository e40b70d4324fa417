/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tree.c - names inside the container, after the pivot; contract in ispawn/container/builder.h
 *
 * The tree may be a user's own work of months.  Whatever its symlinks say, they end inside it: the
 * old root is gone, and container root has no rights over anything but this container. */
#include "ispawn/base/fd.h"
#include "ispawn/base/sys.h"
#include "ispawn/container/builder.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SHOWN "/run/.ispawn-shown" /* for as long as it takes to mount it */

int isp_tree_make_dirs(const char *path)
{
	char part[PATH_MAX];
	size_t size = strlen(path);

	if (size >= sizeof(part))
		return -ENAMETOOLONG;
	memcpy(part, path, size + 1);
	for (size_t i = 1; i <= size; i++) {
		if (part[i] != '/' && part[i] != '\0')
			continue;
		part[i] = '\0';
		if (mkdir(part, 0755) != 0 && errno != EEXIST)
			return -errno;
		part[i] = path[i];
	}
	return 0;
}

int isp_tree_make_target(const char *path, int source_fd)
{
	cleanup_close int fd = -EBADF;
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	struct stat st;
	int r = 0;

	if (fstat(source_fd, &st) != 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return isp_tree_make_dirs(path);
	if (slash != path) {
		(void)snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
		r = isp_tree_make_dirs(parent);
	}
	if (r < 0)
		return r;
	fd = open(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
	return fd < 0 ? -errno : 0;
}

/* What is attached keeps the file: its name can go. */
static int show(const char *path, uint64_t attributes)
{
	struct mount_attr attr = {.attr_set = attributes};
	cleanup_close int fd =
		isp_sys_open_tree(AT_FDCWD, SHOWN, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fd < 0 ||
	    (attributes &&
	     isp_sys_mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) != 0) ||
	    isp_sys_move_mount(fd, AT_FDCWD, path, 0) != 0)
		return -errno;
	return 0;
}

int isp_tree_show(const char *path, const char *text, uint64_t attributes)
{
	struct stat st;
	int r;

	if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return 0;
	r = isp_tree_write(SHOWN, text, 0644);
	if (r == 0)
		r = show(path, attributes);
	if (unlink(SHOWN) != 0 && r == 0)
		r = -errno;
	return r;
}

static bool is_already(const char *path, const char *text)
{
	cleanup_free char *now = NULL;

	return isp_fd_read_file(AT_FDCWD, path, strlen(text), &now) == 0 && strcmp(now, text) == 0;
}

int isp_tree_write(const char *path, const char *text, unsigned int mode)
{
	cleanup_close int fd = -EBADF;
	char fresh[PATH_MAX];
	int r;

	if (is_already(path, text))
		return 0;
	if (snprintf(fresh, sizeof(fresh), "%s.ispawn", path) >= (int)sizeof(fresh))
		return -ENAMETOOLONG;
	if (unlink(fresh) != 0 && errno != ENOENT)
		return -errno;
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = isp_fd_write_all(fd, text, strlen(text));
	if (r == 0 && fchmod(fd, (mode_t)mode) != 0)
		r = -errno;
	/* Kernel: a name can reach the disk long before what it names: after a power cut the copy's
	 * passwd would be a file of zeros, and no login possible. */
	if (r == 0 && fsync(fd) != 0)
		r = -errno;
	if (r == 0 && rename(fresh, path) != 0)
		r = -errno;
	if (r < 0)
		(void)unlink(fresh); /* Ignored: the first failure is the one to report */
	return r;
}
