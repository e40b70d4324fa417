/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-run-directory.c - the directory that becomes a container
 *
 * It is opened once, here; from then on the descriptor is the directory, whatever happens to the
 * name.  Its ids are those of the container: a file that root of the container makes belongs to
 * root on disk.
 *
 * Threat: a program inside that leaves a set-user-ID file, which somebody on the host executes: in
 * a tree that he has got root to run, he would become root by it.  Nobody but root may be able to
 * reach what is written there: some directory above must let no one else in.  The directory's own
 * mode is no protection, for it is "/" to the program inside, whose root can change it.  Where
 * nothing is written (--ephemeral, --readonly) it may be anybody's.
 */
#include "ispawn.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/base/sys.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define DEPTH_MAX 256

/* An ordinary user has the same to fear: what is left set-user-ID there is his. */
static bool is_closed_to_others(const struct stat *st)
{
	return (st->st_uid == 0 || st->st_uid == getuid()) &&
	       (st->st_mode & (S_IXGRP | S_IXOTH)) == 0;
}

/* The directory above @*fd, by "..", which no name can mislead.
 * Return: 1 and @*fd is that one; 0 there is none; -errno. */
static int step_up(int *fd, struct stat *st)
{
	const struct stat below = *st;
	int above_fd = openat(*fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (above_fd < 0)
		return -errno;
	isp_fd_close(fd);
	*fd = above_fd;
	if (fstat(*fd, st) != 0)
		return -errno;
	return st->st_dev != below.st_dev || st->st_ino != below.st_ino;
}

/* Return: 1 reachable; 0 not; -errno. */
static int is_reachable(int directory_fd)
{
	cleanup_close int fd = fcntl(directory_fd, F_DUPFD_CLOEXEC, 0);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return -errno;
	for (int depth = 0; depth < DEPTH_MAX; depth++) {
		int r = step_up(&fd, &st);

		if (r <= 0)
			return r < 0 ? r : 1;
		if (is_closed_to_others(&st))
			return 0;
	}
	return -ELOOP;
}

static int check_reach(const struct run *run, struct isp_error *err)
{
	const char *you = getuid() == 0 ? "root" : "you";
	int r = run->is_ephemeral || run->is_readonly ? 0 : is_reachable(run->directory_fd);

	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_ROOTFS, "look at what is above \"%s\"",
				   run->path);
	if (r > 0 && !run->is_best_effort)
		return isp_err_set(
			err, EPERM, ISP_STAGE_ROOTFS,
			"\"%.80s\": others than %s could run what is left in it: keep it below a "
			"directory with mode 0700, or use --ephemeral or --readonly",
			run->path, you);
	if (r > 0)
		warn("--best-effort: others than %s can run what is left in \"%s\"", you,
		     run->path);
	return 0;
}

/* How the log and messages call it. */
static int find_path(struct run *run, struct isp_error *err)
{
	char link[32];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", run->directory_fd); /* fits */
	n = readlink(link, run->path, sizeof(run->path) - 1);
	if (n < 0)
		return isp_err_set(err, errno, ISP_STAGE_ROOTFS, "read \"%s\"", link);
	run->path[n] = '\0';
	if (!isp_path_is_clean(run->path))
		return isp_err_set(err, EINVAL, ISP_STAGE_ROOTFS,
				   "the directory's path holds control characters, or is too long");
	return 0;
}

int directory_open(struct run *run, struct isp_error *err)
{
	char shown[80];
	int r;

	isp_escape(shown, sizeof(shown), run->directory);
	/* Threat: a symlink on the way that somebody else has put there: root would write into a
	 * tree that he has not named. */
	run->directory_fd = isp_sys_openat2(AT_FDCWD, run->directory, O_PATH | O_DIRECTORY,
					    RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
	if (run->directory_fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_ROOTFS, "open directory \"%s\"%s", shown,
				   errno == ELOOP ? " (no symlink may stand in its path)" : "");
	r = find_path(run, err);
	return r < 0 ? r : check_reach(run, err);
}
