/* SPDX-License-Identifier: GPL-3.0-or-later */
/* path.c - opening what only root can have written; contract in ispawn/base/path.h */
#include "ispawn/base/path.h"
#include "ispawn/base/fd.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SYMLINKS_MAX 16

bool isp_path_is_clean(const char *path)
{
	size_t size = strlen(path);

	if (path[0] != '/' || size >= PATH_MAX)
		return false;
	for (const char *p = path; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
	if (size == 1)
		return true;
	for (const char *p = path; *p;) {
		const char *part = p + 1;
		size_t n = strcspn(part, "/");

		if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && strncmp(part, "..", 2) == 0))
			return false;
		p = part + n;
	}
	return true;
}

static bool is_roots_alone(const struct stat *st)
{
	/* The mode of a symlink means nothing: whoever may replace it needs its directory. */
	return st->st_uid == 0 &&
	       (S_ISLNK(st->st_mode) || (st->st_mode & (S_IWGRP | S_IWOTH)) == 0);
}

/* What is left of a walk: where we stand and the rest of the path. */
struct walk {
	int dir_fd;
	unsigned int symlinks;
	char rest[PATH_MAX];
};

/* The first directory of every way. */
static int open_root(int *ret_fd)
{
	cleanup_close int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return -errno;
	if (!is_roots_alone(&st))
		return -EPERM;
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* Puts the target of the symlink @link_fd before the rest, and starts again from / if absolute. */
static int follow_symlink(struct walk *w, int link_fd)
{
	char joined[PATH_MAX];
	char target[PATH_MAX];
	ssize_t n = readlinkat(link_fd, "", target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	if (++w->symlinks > SYMLINKS_MAX)
		return -ELOOP;
	if (snprintf(joined, sizeof(joined), "%s/%s", target, w->rest) >= (int)sizeof(joined))
		return -ENAMETOOLONG;
	memcpy(w->rest, joined, sizeof(joined));
	if (target[0] != '/')
		return 0;
	isp_fd_close(&w->dir_fd);
	return open_root(&w->dir_fd);
}

/* Cuts the next component off the rest; false at the end. */
static bool next_component(struct walk *w, char ret_part[NAME_MAX + 1], bool *ret_is_last)
{
	size_t skip = strspn(w->rest, "/");
	size_t n = strcspn(w->rest + skip, "/");

	if (n == 0 || n > NAME_MAX)
		return false;
	memcpy(ret_part, w->rest + skip, n);
	ret_part[n] = '\0';
	memmove(w->rest, w->rest + skip + n, strlen(w->rest + skip + n) + 1);
	*ret_is_last = strspn(w->rest, "/") == strlen(w->rest);
	return true;
}

/* One step. Return: 1 arrived and *ret_fd is open; 0 go on; -errno. */
static int step(struct walk *w, int flags, int *ret_fd)
{
	cleanup_close int fd = -EBADF;
	char part[NAME_MAX + 1];
	bool is_last = false;
	struct stat st;

	if (!next_component(w, part, &is_last))
		return -ENOENT;
	fd = openat(w->dir_fd, part, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0)
		return -errno;
	if (!is_roots_alone(&st))
		return -EPERM;
	if (S_ISLNK(st.st_mode))
		return follow_symlink(w, fd);
	if (!is_last) {
		isp_fd_close(&w->dir_fd);
		w->dir_fd = steal_fd(&fd);
		return 0;
	}
	if (flags & O_PATH) {
		*ret_fd = steal_fd(&fd);
		return 1;
	}
	*ret_fd = openat(w->dir_fd, part, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return *ret_fd < 0 ? -errno : 1;
}

int isp_path_open_trusted(const char *path, int flags, enum isp_stage stage, int *ret_fd,
			  struct isp_error *err)
{
	struct walk w = {.dir_fd = -EBADF};
	int fd = -EBADF;
	int r = open_root(&w.dir_fd);

	if (r == 0 && !isp_path_is_clean(path))
		r = -EINVAL;
	if (r == 0)
		(void)snprintf(w.rest, sizeof(w.rest), "%s", path); /* fits: the path is clean */
	while (r == 0)
		r = step(&w, flags, &fd);
	isp_fd_close(&w.dir_fd);
	if (r == -EPERM)
		return isp_err_set(
			err, EPERM, stage,
			"\"%s\": it, or a directory above it, can be changed by others than root",
			path);
	if (r < 0)
		return isp_err_set(err, -r, stage, "open \"%s\"", path);
	*ret_fd = fd;
	return 0;
}

int isp_path_open_program(const char *path, bool is_rootless, enum isp_stage stage, int *ret_fd,
			  struct isp_error *err)
{
	int fd;

	if (!is_rootless)
		return isp_path_open_trusted(path, O_PATH, stage, ret_fd, err);
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return isp_err_set(err, errno, stage, "open \"%s\"", path);
	*ret_fd = fd;
	return 0;
}

int isp_path_make_dir(int dir_fd, const char *name, unsigned int mode, int *ret_fd)
{
	cleanup_close int fd = -EBADF;
	struct stat st;
	bool is_new = mkdirat(dir_fd, name, (mode_t)mode) == 0;

	if (!is_new && errno != EEXIST)
		return -errno;
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0)
		return -errno;
	if (!is_roots_alone(&st))
		return -EPERM;
	/* The umask of whoever called may have taken bits off. */
	if ((st.st_mode & 07777) != mode && fchmod(fd, (mode_t)mode) != 0)
		return -errno;
	if (ret_fd)
		*ret_fd = steal_fd(&fd);
	return 0;
}

/* Kernel: statx(2), 5.8: binds too, whose device is the one around them. */
static bool is_mount(int fd)
{
	struct statx stx;

	return statx(fd, "", AT_EMPTY_PATH, 0, &stx) == 0 &&
	       (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

int isp_path_make_run_dir(const char *name, unsigned int mode, int *ret_fd)
{
	cleanup_close int run_fd = open("/run", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	cleanup_close int own_fd = -EBADF;
	struct stat st;
	int r;

	_Static_assert(sizeof(ISPAWN_RUN_DIR) == sizeof("/run/ispawn"), "made in /run");
	if (run_fd < 0 || fstat(run_fd, &st) != 0)
		return -errno;
	if (!is_roots_alone(&st))
		return -EPERM;
	r = isp_path_make_dir(run_fd, "ispawn", ISPAWN_RUN_MODE, &own_fd);
	return r < 0 ? r : isp_path_make_dir(own_fd, name, mode, ret_fd);
}

static int remove_entries(int dir_fd, dev_t device, unsigned int depth);

/* Removes one entry of @dir_fd, a directory with all below it. */
static int remove_entry(int dir_fd, const char *name, dev_t device, unsigned int depth)
{
	cleanup_close int fd = -EBADF;
	struct stat st;
	int r;

	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM && errno != EBUSY)
		return -errno;
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0)
		return -errno;
	if (st.st_dev != device || is_mount(fd))
		return -EXDEV;
	r = remove_entries(fd, device, depth + 1);
	if (unlinkat(dir_fd, name, AT_REMOVEDIR) != 0 && r == 0)
		r = -errno;
	return r;
}

static int remove_entries(int dir_fd, dev_t device, unsigned int depth)
{
	cleanup_closedir DIR *dir = NULL;
	struct dirent *e;
	int next, r;

	/* Bounded: each level holds a descriptor and a stack frame. */
	if (depth > 200)
		return -ELOOP;
	r = isp_fd_list(dir_fd, &dir);
	if (r < 0)
		return r;
	while ((next = isp_fd_next(dir, &e)) > 0) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		int one = remove_entry(dir_fd, e->d_name, device, depth);
		if (r == 0)
			r = one;
	}
	return r == 0 ? next : r;
}

int isp_path_remove_tree(int dir_fd, const char *name)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : -errno;
	return remove_entry(dir_fd, name, st.st_dev, 0);
}
