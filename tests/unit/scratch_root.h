/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * scratch_root.h - a root file system of its own for one case, without being root
 *
 * What only root may have written can be tested only where the test is root.  A case runs in a
 * child that is the root of a user namespace and of an empty tmpfs; with the child all of it is
 * gone.  Ids of the host do not exist in there: /foreign is the host's /etc, and belongs to
 * somebody who is neither root nor the case.  Where that is not allowed, the case is skipped,
 * saying so.
 */
#ifndef ISPAWN_TESTS_SCRATCH_ROOT_H
#define ISPAWN_TESTS_SCRATCH_ROOT_H

#include "ispawn/base/fd.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#define NO_SCRATCH_ROOT 77
#define NOBODY 65534u

/* Checks in a child, which has no cmocka: what failed is said, the status is not 0. */
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			(void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);      \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

/* Root is not root of a user namespace unless it is an id that means nothing outside. */
static inline bool become_nobody(void)
{
	return geteuid() != 0 ||
	       (setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
		setresuid(NOBODY, NOBODY, NOBODY) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0);
}

static inline bool map_root(uid_t uid, gid_t gid)
{
	char uids[32];
	char gids[32];

	(void)snprintf(uids, sizeof(uids), "0 %u 1\n", uid);
	(void)snprintf(gids, sizeof(gids), "0 %u 1\n", gid);
	return isp_fd_write_file(AT_FDCWD, "/proc/self/setgroups", "deny") == 0 &&
	       isp_fd_write_file(AT_FDCWD, "/proc/self/uid_map", uids) == 0 &&
	       isp_fd_write_file(AT_FDCWD, "/proc/self/gid_map", gids) == 0;
}

static inline bool enter_scratch_root(void)
{
	uid_t uid;
	gid_t gid;

	if (!become_nobody())
		return false;
	uid = geteuid();
	gid = getegid();
	return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && map_root(uid, gid) &&
	       mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("tmpfs", "/tmp", "tmpfs", 0, "mode=0755") == 0 &&
	       mkdir("/tmp/foreign", 0755) == 0 &&
	       mount("/etc", "/tmp/foreign", NULL, MS_BIND | MS_REC, NULL) == 0 &&
	       chroot("/tmp") == 0 && chdir("/") == 0;
}

static inline void in_scratch_root(int (*body)(void))
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)umask(022);
		_exit(enter_scratch_root() ? body() : NO_SCRATCH_ROOT);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == NO_SCRATCH_ROOT) {
		print_message("skipped: this machine allows no user namespaces here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Makes a file with this text. */
static inline bool put_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool is_put =
		fd >= 0 && fchmod(fd, mode) == 0 && isp_fd_write_all(fd, text, strlen(text)) == 0;

	isp_fd_close(&fd);
	return is_put;
}

#endif
