/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * steps.c - the builder's steps, in order; contract in ispawn/container/builder.h
 *
 * The table is the order, and each line says why it stands where it does.  All of it runs in the
 * builder: in new namespaces, with rights over those alone.
 */
#include "ispawn/base/fd.h"
#include "ispawn/base/sys.h"
#include "ispawn/container/builder.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <string.h>
#include <sys/prctl.h>

typedef int step_function(struct isp_builder *b, struct isp_error *err);

static const struct {
	const char *name;
	step_function *run;
} steps[] = {
	/* The host's tree is still the root. */
	{"cgroup namespace", isp_drop_namespaces},
	{"private mounts", isp_mounts_make_private},
	/* Order: what is mounted from here on belongs to the container. */
	{"container root", isp_drop_become_container_root},
	{"file systems", isp_mounts_make},
	{"device nodes", isp_devices_take},
	{"pivot", isp_mounts_pivot},
	/* The copy is the root: every path is the container's own. */
	{"attach", isp_mounts_attach},
	{"numbers", isp_numbers_show},
	{"mask", isp_mounts_mask},
	{"loopback", isp_network_raise_loopback},
	{"hostname", isp_identity_set_hostname},
	/* Order: the passwd entry names the shell that is really there. */
	{"shell", isp_identity_find_shell},
	{"identity files", isp_identity_write_files},
	{"resolvers", isp_network_write_resolv},
	{"home", isp_home_attach},
	/* Order: the home's own mount would hide what is bound into it. */
	{"binds in the home", isp_mounts_attach_in_home},
	/* Order: after the last edit of the root. */
	{"seal", isp_mounts_seal_root},
	{"limits", isp_drop_limits},
	{"drop", isp_drop_privileges},
	{"proof", isp_prove_drops},
};

/* Puts @fd at @number, inheritable; the caller has made room. */
static int place_fd(int fd, int number)
{
	if (fd == number)
		return fcntl(fd, F_SETFD, 0) != 0 ? -errno : 0;
	return dup2(fd, number) < 0 ? -errno : 0;
}

/* 0, 1, 2: the container's own null device; 3 and 4 as the protocol says; all others close at the
 * exec.  Threat: a leaked descriptor of the host is a way out (CVE-2024-21626). */
static int arrange_fds(struct isp_builder *b, struct isp_error *err)
{
	int null_fd = open("/dev/null", O_RDWR | O_NOCTTY);
	int r = null_fd < 0 ? -errno : 0;

	/* Everything of ours moves above the numbers that are about to be used. */
	b->supervisor_fd = fcntl(b->supervisor_fd, F_DUPFD_CLOEXEC, 16);
	b->spec_fd = fcntl(b->spec_fd, F_DUPFD_CLOEXEC, 16);
	b->init_fd = fcntl(b->init_fd, F_DUPFD_CLOEXEC, 16);
	if (r == 0 && (b->supervisor_fd < 0 || b->spec_fd < 0 || b->init_fd < 0))
		r = -errno;
	for (int number = 0; number <= 2 && r == 0; number++)
		r = place_fd(null_fd, number);
	if (r == 0 && isp_sys_close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) != 0)
		r = -errno;
	if (r == 0)
		r = place_fd(b->supervisor_fd, ISP_INIT_SOCKET_FD);
	if (r == 0)
		r = place_fd(b->spec_fd, ISP_INIT_SPEC_FD);
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_INIT, "arrange init's descriptors") : 0;
}

static int exec_init(struct isp_builder *b, struct isp_error *err)
{
	char name[] = "ispawn-init";
	char *const argv[] = {name, b->shell, NULL};
	char *const envp[] = {NULL};

	(void)isp_sys_execveat_fd(b->init_fd, argv, envp); /* returns only on failure */
	return isp_err_set(err, errno, ISP_STAGE_INIT, "execute \"ispawn-init\"");
}

int isp_builder_run(struct isp_builder *b, struct isp_error *err)
{
	int r = 0;

	for (size_t i = 0; i < ISP_ARRAY_SIZE(steps) && r == 0; i++) {
		r = steps[i].run(b, err);
		if (r < 0)
			isp_err_prefix(err, "%s", steps[i].name);
	}
	if (r == 0)
		r = arrange_fds(b, err);
	if (r == 0)
		r = exec_init(b, err);
	/* It may be the profile that forbids it: whoever wrote it cannot know what ispawn needs. */
	if (b->is_profiled)
		isp_err_prefix(err, "under the seccomp profile \"%s\"", b->spec->seccomp);
	return r;
}
