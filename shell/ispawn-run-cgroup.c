/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-run-cgroup.c - the cgroup that an ordinary user has been handed, if there is one
 *
 * systemd gives a service or a scope with Delegate=yes to its user: he makes cgroups below it and
 * sets their limits.  In the mount namespace of our own that cgroup is put in the place of the
 * hierarchy's root, so that the supervisor finds there what root finds on the host.
 *
 * Kernel: cgroup-v2.rst, "no internal process constraint": controllers are handed on by a cgroup
 * that holds no process itself, so we step down into a leaf, and whoever else is in it is in the
 * way.
 */
#include "ispawn.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define ROOT "/sys/fs/cgroup"
#define LEAF "ispawn-runner"
#define UNIFIED "0::" /* cgroups(7): hierarchy 0 is v2's */
#define TEXT_MAX 65536
#define CONTROLLERS_MAX (sizeof(((struct run *)NULL)->controllers) - 1)

static bool is_unified(void)
{
	struct statfs fs;

	return statfs(ROOT, &fs) == 0 && (unsigned long)fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* Return: true and the directory of our own cgroup, which is not the root. */
static bool find_own(char ret_path[PATH_MAX])
{
	cleanup_free char *text = NULL;
	const char *line;
	size_t size;

	if (isp_fd_read_file(AT_FDCWD, "/proc/self/cgroup", TEXT_MAX, &text) < 0)
		return false;
	line = strncmp(text, UNIFIED, strlen(UNIFIED)) == 0 ? text : strstr(text, "\n" UNIFIED);
	if (!line)
		return false;
	line = strchr(line, '/');
	size = line ? strcspn(line, "\n") : 0;
	return size > 1 && snprintf(ret_path, PATH_MAX, ROOT "%.*s", (int)size, line) < PATH_MAX &&
	       isp_path_is_clean(ret_path);
}

static bool is_ours(int fd)
{
	static const char *const files[] = {".", "cgroup.procs", "cgroup.subtree_control"};

	for (size_t i = 0; i < ISP_ARRAY_SIZE(files); i++)
		if (faccessat(fd, files[i], W_OK, 0) != 0)
			return false;
	return true;
}

/* Order: before anything is made.  A cgroup that is shared stays as it was: most terminals of a
 * desktop run in one that is the user's. */
static bool are_alone(int fd)
{
	cleanup_free char *members = NULL;
	char us[32];

	(void)snprintf(us, sizeof(us), "%d\n", getpid()); /* fits */
	return isp_fd_read_file(fd, "cgroup.procs", TEXT_MAX, &members) == 0 &&
	       strcmp(members, us) == 0;
}

/* Looks once more whether anybody is left above: a process may have come in between. */
static bool step_down(int fd)
{
	cleanup_free char *others = NULL;

	if (mkdirat(fd, LEAF, 0755) != 0 && errno != EEXIST)
		return false;
	if (isp_fd_write_file(fd, LEAF "/cgroup.procs", "0") != 0 ||
	    isp_fd_read_file(fd, "cgroup.procs", TEXT_MAX, &others) != 0)
		return false;
	return others[0] == '\0';
}

bool cgroup_take(struct run *run)
{
	cleanup_free char *text = NULL;
	cleanup_close int fd = -EBADF;

	if (!is_unified() || !find_own(run->cgroup))
		return false;
	fd = open(run->cgroup, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || isp_fd_read_file(fd, "cgroup.controllers", CONTROLLERS_MAX, &text) < 0 ||
	    !is_ours(fd) || !are_alone(fd) || !step_down(fd))
		return false;
	(void)snprintf(run->controllers, sizeof(run->controllers), "%s", text); /* fits: as read */
	return true;
}

bool cgroup_has(const struct run *run, const char *controller)
{
	size_t size = strlen(controller);

	for (const char *at = run->controllers; *at; at += strspn(at, " \n")) {
		size_t length = strcspn(at, " \n");

		if (length == size && memcmp(at, controller, size) == 0)
			return true;
		at += length;
	}
	return false;
}

int cgroup_show(const struct run *run, struct isp_error *err)
{
	if (mount(run->cgroup, ROOT, NULL, MS_BIND, NULL) != 0)
		return isp_err_set(err, errno, ISP_STAGE_CGROUP, "bind \"%s\" to \"" ROOT "\"",
				   run->cgroup);
	return 0;
}
