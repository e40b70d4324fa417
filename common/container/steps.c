/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * steps.c - the builder's steps, in order; contract in ispawn/container/builder.h
 *
 * The tables are the order, and each line says why it stands where it does.  All of it runs in the
 * builder: in new namespaces, with rights over those alone.
 */
#include "ispawn/base/fd.h"
#include "ispawn/base/sys.h"
#include "ispawn/container/builder.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

static int enter_cgroup(struct isp_builder *b, struct isp_error *err);
static int close_descriptors(struct isp_builder *b, struct isp_error *err);

struct step {
	const char *name;
	int (*run)(struct isp_builder *b, struct isp_error *err);
};

static const struct step first_steps[] = {
	/* The host's tree is the root, and nothing of the session's is here yet. */
	{"private mounts", isp_mounts_make_private}, {"file systems", isp_mounts_make},
	{"device nodes", isp_devices_take},          {"loopback", isp_network_raise_loopback},
	{"hostname", isp_identity_set_hostname},
};

static const struct step steps[] = {
	/* Order: the session's cgroup, entered, is the root of the cgroup namespace that is made
	 * in it, and of the file system that is mounted in that. */
	{"cgroup", enter_cgroup},
	{"cgroup file system", isp_mounts_make_cgroup},
	{"pivot", isp_mounts_pivot},
	/* The copy is the root: every path is the container's own. */
	{"attach", isp_mounts_attach},
	{"numbers", isp_numbers_show},
	{"mask", isp_mounts_mask},
	/* Order: the passwd entry names the shell that is really there. */
	{"shell", isp_identity_find_shell},
	{"identity files", isp_identity_write_files},
	{"resolvers", isp_network_write_resolv},
	{"home", isp_home_attach},
	/* Order: the home's own mount would hide what is bound into it. */
	{"binds in the home", isp_mounts_attach_in_home},
	/* Order: after the last edit of the root. */
	{"seal", isp_mounts_seal_root},
	/* Order: before the drop, whose filter may not know of these calls. */
	{"descriptors", close_descriptors},
	{"limits", isp_drop_limits},
	{"drop", isp_drop_privileges},
	{"proof", isp_prove_drops},
};

static int enter_cgroup(struct isp_builder *b, struct isp_error *err)
{
	int r = isp_cgroup_enter(b->cgroup_fds, b->cgroup_count, err);

	if (r == 0 && unshare(CLONE_NEWCGROUP) != 0)
		r = isp_err_set(err, errno, ISP_STAGE_NAMESPACES, "unshare the cgroup namespace");
	return r;
}

/* 0, 1, 2: the container's own null device; of the others the supervisor's socket alone stays.
 * Threat: a leaked descriptor of the host is a way out (CVE-2024-21626). */
static int close_descriptors(struct isp_builder *b, struct isp_error *err)
{
	cleanup_close int null_fd = open("/dev/null", O_RDWR | O_NOCTTY | O_CLOEXEC);
	bool is_placed = null_fd > STDERR_FILENO;

	(void)b; /* what it holds is closed with the others */
	for (int number = STDIN_FILENO; number <= STDERR_FILENO && is_placed; number++)
		is_placed = dup2(null_fd, number) == number;
	if (!is_placed || isp_sys_close_range(ISP_INIT_SOCKET_FD + 1, ~0u, 0) != 0)
		return isp_err_set(err, errno, ISP_STAGE_INIT, "arrange init's descriptors");
	(void)steal_fd(&null_fd); /* likewise */
	return 0;
}

void isp_builder_init(struct isp_builder *b, const struct isp_spec *spec)
{
	*b = (struct isp_builder){.spec = spec, .root_fd = -EBADF, .home_fd = -EBADF};
	for (size_t i = 0; i < ISP_LIST_MAX; i++)
		b->bind_fds[i] = -EBADF;
	for (size_t i = 0; i < ISP_CGROUP_HIERARCHIES_MAX; i++)
		b->cgroup_fds[i] = -EBADF;
	for (size_t i = 0; i < ISP_FS_COUNT; i++)
		b->fs_fds[i] = -EBADF;
	for (size_t i = 0; i < ISP_DEVICE_COUNT; i++)
		b->device_fds[i] = -EBADF;
	for (size_t i = 0; i < ISP_LXCFS_FILES; i++)
		b->lxcfs_fds[i] = -EBADF;
}

static void close_all(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		isp_fd_close(&fds[i]);
}

void isp_builder_close(struct isp_builder *b)
{
	isp_profile_free(&b->profile);
	isp_fd_close(&b->root_fd);
	isp_fd_close(&b->home_fd);
	close_all(b->bind_fds, ISP_LIST_MAX);
	close_all(b->cgroup_fds, ISP_CGROUP_HIERARCHIES_MAX);
	close_all(b->fs_fds, ISP_FS_COUNT);
	close_all(b->device_fds, ISP_DEVICE_COUNT);
	close_all(b->lxcfs_fds, ISP_LXCFS_FILES);
}

static int take(const struct step *table, size_t count, struct isp_builder *b,
		struct isp_error *err)
{
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		r = table[i].run(b, err);
		if (r < 0)
			isp_err_prefix(err, "%s", table[i].name);
	}
	return r;
}

int isp_builder_begin(struct isp_builder *b, struct isp_error *err)
{
	return take(first_steps, ISP_ARRAY_SIZE(first_steps), b, err);
}

int isp_builder_finish(struct isp_builder *b, struct isp_error *err)
{
	int r = take(steps, ISP_ARRAY_SIZE(steps), b, err);

	/* It may be the profile that forbids it: whoever wrote it cannot know what ispawn needs. */
	if (r < 0 && b->is_profiled)
		isp_err_prefix(err, "under the seccomp profile \"%s\"", b->spec->seccomp);
	return r;
}
