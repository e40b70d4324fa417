/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-probe.c - can this machine hold a container?  Contract in ispawnctl.h
 *
 * Found out by doing what a login does, with the functions that a login does it with, never by
 * comparing versions.  Each probe runs in a child process: the namespaces, mounts and filters that
 * it makes end with it.
 */
#include "ispawnctl.h"

#include "ispawn/base/clock.h"
#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/base/sys.h"
#include "ispawn/container/rootfs.h"
#include "ispawn/container/seccomp.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define NOBODY "ispawnctl-check"
#define SCRATCH "check" /* in the store; made and removed under the store's lock */
#define PROBE_MS 10000
#define KILL_MS 1000
#define OWN_ID 65534
/* Host ids at the very end of the pool (idmap.c): nothing on disk is given to them for longer than
 * a probe takes. */
#define FIRST_ID 0xfffe0000u

int probe_in_child(probe_function *probe, const void *closure, struct isp_error *err)
{
	struct isp_error report = {0};
	int pipe_fds[2];
	int status = 0;
	ssize_t n;
	pid_t pid;

	(void)fflush(stdout); /* Ignored: or else the child would have the same lines to flush */
	if (pipe2(pipe_fds, O_CLOEXEC) != 0)
		return isp_err_set(err, errno, ISP_STAGE_START, "make a pipe");
	pid = fork();
	if (pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
			_exit(1);
		if (probe(closure, &report) == 0)
			report = (struct isp_error){0};
		_exit(isp_fd_write_all(pipe_fds[1], &report, sizeof(report)) < 0);
	}
	isp_fd_close(&pipe_fds[1]);
	n = pid < 0 ? -1 : isp_fd_read_all(pipe_fds[0], &report, sizeof(report));
	isp_fd_close(&pipe_fds[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (n != (ssize_t)sizeof(report) || status != 0)
		return isp_err_set(err, ECHILD, ISP_STAGE_START, "the probe died (wait status %d)",
				   status);
	return report.code == 0 ? 0 : isp_err_adopt(err, &report);
}

/* --- cgroups ---------------------------------------------------------------------------------- */

int probe_limits(const struct isp_limits *limits, struct isp_error *err)
{
	cleanup_cgroup struct isp_cgroup cgroup = {.count = 0};
	char session[ISP_SESSION_ID_SIZE];
	int r = isp_session_id_make(NOBODY, session);

	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_CGROUP, "make a session's id");
	r = isp_cgroup_create(NOBODY, session, limits, &cgroup, err);
	if (r < 0)
		return r;
	r = isp_cgroup_kill(&cgroup, KILL_MS);
	if (r == 0)
		r = isp_cgroup_remove(&cgroup);
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_CGROUP, "remove a cgroup") : 0;
}

/* --- namespaces, idmapped mounts, overlay ----------------------------------------------------- */

/* The first process of the new namespaces: there, and nothing else, until it is killed. */
static _Noreturn void stay(void)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0)
		for (;;)
			(void)pause();
	_exit(1);
}

/* Writes the maps of @pid's user namespace and opens it. */
static int map_and_open(pid_t pid, const struct isp_spec *spec, const struct isp_idmap *map,
			int *ret_userns_fd, struct isp_error *err)
{
	char path[64];
	int r = isp_idmap_write(pid, spec, map, err);

	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	*ret_userns_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*ret_userns_fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_NAMESPACES, "open \"%s\"", path);
	return 0;
}

/* All the namespaces of a container; the user namespace lives on in its descriptor. */
static int make_namespaces(const struct isp_spec *spec, const struct isp_idmap *map,
			   int *ret_userns_fd, struct isp_error *err)
{
	struct clone_args args = {
		.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC |
			 CLONE_NEWNET | CLONE_NEWCGROUP,
		.exit_signal = SIGCHLD,
	};
	pid_t pid = isp_sys_clone3(&args, sizeof(args));
	int r;

	if (pid < 0)
		return isp_err_set(err, errno, ISP_STAGE_NAMESPACES, "clone3 into new namespaces");
	if (pid == 0)
		stay();
	r = map_and_open(pid, spec, map, ret_userns_fd, err);
	/* Not reaped yet, so the number is still this child's. */
	(void)kill(pid, SIGKILL); /* Ignored: it may have died of something else */
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return r;
}

static const struct isp_idmap probe_map = {.uid_start = FIRST_ID, .gid_start = FIRST_ID};

static int try_namespaces(const void *closure, struct isp_error *err)
{
	const struct isp_spec spec = {.uid = OWN_ID, .gid = OWN_ID};
	cleanup_close int userns_fd = -EBADF;

	(void)closure;
	return make_namespaces(&spec, &probe_map, &userns_fd, err);
}

int probe_namespaces(struct isp_error *err)
{
	return probe_in_child(try_namespaces, NULL, err);
}

/* struct scratch - what a root is tried with */
struct scratch {
	enum isp_rootfs rootfs;
	const char *template_path; /* not looked at with rootfs = copy */
};

static int idmap_scratch(int scratch_fd, int userns_fd, struct isp_error *err)
{
	cleanup_close int fd = isp_sys_open_tree(
		scratch_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

	if (fd < 0)
		return isp_err_set(err, errno, ISP_STAGE_ROOTFS, "clone the mount of the store");
	return isp_idmap_mount(fd, userns_fd, MOUNT_ATTR_NODEV, "\"" ISPAWN_STORE_DIR "\"", err);
}

/* Order: after the private namespace was made: mounts are cloned out of the own one alone. */
static int open_places(const struct scratch *scratch, struct isp_store *store,
		       struct isp_error *err)
{
	int r = isp_path_open_trusted(ISPAWN_STORE_DIR "/" SCRATCH, O_RDONLY | O_DIRECTORY,
				      ISP_STAGE_ROOTFS, &store->copy_fd, err);

	if (r < 0 || scratch->rootfs == ISP_ROOTFS_COPY)
		return r;
	return isp_path_open_trusted(scratch->template_path, O_PATH | O_DIRECTORY, ISP_STAGE_ROOTFS,
				     &store->template_fd, err);
}

static int try_rootfs(const void *closure, struct isp_error *err)
{
	static char no_directory[] = "";
	const struct scratch *scratch = closure;
	const struct isp_spec spec = {
		.directory = no_directory,
		.uid = OWN_ID,
		.gid = OWN_ID,
		.rootfs = scratch->rootfs,
		.ephemeral_size_bytes = ISP_TMPFS_MIN,
	};
	cleanup_store struct isp_store store = ISP_STORE_CLOSED;
	struct isp_place place = {
		.spec = &spec,
		.store = &store,
		.map = &probe_map,
		.sibling_ns_fd = -EBADF,
		.cancel_fd = -EBADF,
		.deadline_ms = isp_clock_ms() + PROBE_MS,
	};
	cleanup_close int host_ns_fd = -EBADF; /* not gone back to: the probe ends here */
	cleanup_close int own_ns_fd = -EBADF;
	cleanup_close int userns_fd = -EBADF;
	cleanup_close int root_fd = -EBADF;
	int r = isp_rootfs_enter_private(&host_ns_fd, &own_ns_fd, err);

	if (r == 0)
		r = open_places(scratch, &store, err);
	if (r == 0)
		r = make_namespaces(&spec, &probe_map, &userns_fd, err);
	if (r < 0)
		return r;
	if (scratch->rootfs == ISP_ROOTFS_COPY)
		return idmap_scratch(store.copy_fd, userns_fd, err);
	place.own_ns_fd = own_ns_fd;
	place.userns_fd = userns_fd;
	return isp_rootfs_make(&place, &root_fd, err);
}

int probe_rootfs(const char *template_path, enum isp_rootfs rootfs, struct isp_error *err)
{
	const struct scratch scratch = {.rootfs = rootfs, .template_path = template_path};
	cleanup_close int store_fd = -EBADF;
	int r = isp_path_open_trusted(ISPAWN_STORE_DIR, O_RDONLY | O_DIRECTORY, ISP_STAGE_ROOTFS,
				      &store_fd, err);

	if (r < 0)
		return r;
	r = flock(store_fd, LOCK_EX) != 0 ? -errno : 0;
	if (r == 0)
		r = isp_path_remove_tree(store_fd, SCRATCH); /* of a check that was killed */
	if (r == 0)
		r = isp_path_make_dir(store_fd, SCRATCH, 0700, NULL);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_ROOTFS,
				   "make \"" ISPAWN_STORE_DIR "/" SCRATCH "\"");
	r = probe_in_child(try_rootfs, &scratch, err);
	/* Order: now that the mounts over it have gone with the child. */
	if (isp_path_remove_tree(store_fd, SCRATCH) < 0 && r == 0)
		r = isp_err_set(err, errno, ISP_STAGE_ROOTFS,
				"remove \"" ISPAWN_STORE_DIR "/" SCRATCH "\"");
	return r;
}

int probe_store(struct isp_error *err)
{
	return probe_rootfs("", ISP_ROOTFS_COPY, err);
}

/* --- seccomp ---------------------------------------------------------------------------------- */

static int try_seccomp(const void *closure, struct isp_error *err)
{
	int r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
			? isp_err_set(err, errno, ISP_STAGE_SECCOMP, "set no_new_privs")
			: isp_seccomp_load_default(err);

	(void)closure;
	return r < 0 ? r : isp_seccomp_verify(err);
}

int probe_seccomp(struct isp_error *err)
{
	return probe_in_child(try_seccomp, NULL, err);
}
