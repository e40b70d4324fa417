/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * start.c - from a spec to a running init; contract in ispawn/session/supervise.h
 *
 *	1. prepare	store (locked), registry, ids, the v2 cgroup
 *	2. clone	into all namespaces at once; the child waits for MAPPED
 *	3. map		its ids; it executes ispawn-init, the builder, which begins
 *	4. furnish	meanwhile: v1 cgroups and limits, root, home and all else that the host's
 *side provides; some of it needs the builder's user namespace
 *	5. GO		the builder takes its other steps
 *	6. UP		it is init: what a first login made is kept, the next login may build
 *
 * Whatever fails, isp_session_finish() undoes what was done: each piece is in the supervisor's
 * structure from the moment it exists.
 */
#include "ispawn/base/clock.h"
#include "ispawn/base/path.h"
#include "ispawn/base/sys.h"
#include "ispawn/container/builder.h"
#include "ispawn/container/rootfs.h"
#include "ispawn/session/handover.h"
#include "ispawn/session/supervise.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define DYING_MS 1000
#define CHILD_FDS_FIRST 16 /* above all numbers that mean something to the builder */
#define CHILD_PROGRAM_FD (ISP_INIT_SPEC_FD + 1)

static int open_init(bool is_rootless, int *ret_fd, struct isp_error *err)
{
	struct stat st;
	int r = isp_path_open_program(ISPAWN_INIT, is_rootless, ISP_STAGE_INIT, ret_fd, err);

	if (r < 0)
		return r;
	/* Executing a file that one may not read makes the process non-dumpable from the start:
	 * readable, init could be traced, and its memory read (CVE-2019-5736). */
	if (fstat(*ret_fd, &st) != 0)
		return isp_err_set(err, errno, ISP_STAGE_INIT, "stat \"" ISPAWN_INIT "\"");
	if (!S_ISREG(st.st_mode) || (st.st_mode & 0777) != 0711)
		return isp_err_set(err, EPERM, ISP_STAGE_INIT,
				   "\"" ISPAWN_INIT "\" must be a file of mode 0711");
	return 0;
}

static int prepare(struct isp_supervisor *s, struct isp_error *err)
{
	const struct isp_spec *spec = &s->spec;
	int r = s->directory_fd < 0 ? 0 : isp_rootfs_detach(spec->directory, &s->directory_fd, err);

	/* What is attached nowhere needs no namespace to be attached in: overlays alone do.  Order:
	 * before the store is opened, whose mounts are to be found in there. */
	if (r == 0 && spec->rootfs != ISP_ROOTFS_COPY)
		r = isp_rootfs_enter_private(&s->host_ns_fd, &s->own_ns_fd, err);
	if (r == 0)
		r = isp_store_open(spec, s->directory_fd, s->start_deadline_ms, s->door_fd,
				   &s->store, err);
	/* Order: the user's dead sessions go before the count, and before anybody could mount a
	 * second overlay over the upper layer that they may still use. */
	if (r == 0)
		r = isp_registry_sweep(isp_spec_owner_name(spec), ISP_SWEEP_MS, NULL, err);
	if (r == 0)
		r = isp_registry_create(spec, s->spec_bytes, s->spec_size, &s->entry, err);
	if (r == 0)
		r = isp_idmap_find(s->store.store_fd, spec, &s->map, err);
	if (r == 0 && !spec->is_unlimited)
		r = isp_cgroup_begin(isp_spec_owner_name(spec), spec->session, &spec->limits,
				     &s->cgroup, err);
	return r;
}

static int find_profile(const struct isp_supervisor *s, struct isp_profile *ret,
			struct isp_error *err)
{
	const struct isp_spec *spec = &s->spec;
	const struct isp_profile_wanted wanted = {
		.name = spec->seccomp,
		.capabilities = isp_spec_bounding(spec->privilege, spec->capabilities),
		.cancel_fd = s->door_fd,
		.deadline_ms = s->start_deadline_ms,
	};

	return isp_seccomp_is_built_in(spec->seccomp) ? 0 : isp_profile_find(&wanted, ret, err);
}

/* Numbers for people and programs to read: without them it is a container all the same. */
static void take_lxcfs(const struct isp_supervisor *s, struct isp_builder *b)
{
	struct isp_error err = {0};

	if (s->spec.is_rootless || !isp_lxcfs_is_there())
		return;
	if (isp_lxcfs_take(s->door_fd, b->lxcfs_fds, &err) < 0)
		isp_journal_trouble(s, &err);
}

/* --- the clone's child, until it is ispawn-init ----------------------------------------------- */

/* Numbers as the builder expects them.  All else of the supervisor's is let go of: nothing of the
 * session's lifetime may hang on this process, and no lock.
 * @socket_fd: moved out of the way; its number is valid until the end, unless all went well */
static int arrange_child(const struct isp_supervisor *s, int program_fd, int *socket_fd)
{
	int high_fd = fcntl(*socket_fd, F_DUPFD, CHILD_FDS_FIRST);
	int spec_fd = fcntl(s->spec_fd, F_DUPFD, CHILD_FDS_FIRST);

	if (high_fd < 0 || spec_fd < 0)
		return -errno;
	*socket_fd = high_fd;
	program_fd = fcntl(program_fd, F_DUPFD, CHILD_FDS_FIRST);
	if (program_fd < 0 || dup2(*socket_fd, ISP_INIT_SOCKET_FD) < 0 ||
	    dup2(spec_fd, ISP_INIT_SPEC_FD) < 0 ||
	    dup3(program_fd, CHILD_PROGRAM_FD, O_CLOEXEC) < 0 ||
	    isp_sys_close_range(CHILD_PROGRAM_FD + 1, ~0u, 0) != 0)
		return -errno;
	*socket_fd = ISP_INIT_SOCKET_FD;
	return 0;
}

/* The child waits here.  End of file is what a dead supervisor looks like: it means stop. */
static int await_maps(struct isp_error *err)
{
	struct isp_message message = {0};
	int fds[ISP_FDS_MAX];
	size_t count = 0;
	int r = isp_message_receive(ISP_INIT_SOCKET_FD, 1u << ISP_MESSAGE_MAPPED, &message, fds,
				    &count, 0);

	if (r <= 0)
		return isp_err_set(err, r < 0 ? -r : EPIPE, ISP_STAGE_NAMESPACES, "wait for ids");
	isp_message_close_fds(fds, count);
	return 0;
}

/* Order: the ids first.  Kernel: capabilities(7): who executes a program as root of his user
 * namespace keeps the rights over it; before there are maps he is nobody. */
static int become_builder(const struct isp_spec *spec, struct isp_error *err)
{
	struct isp_builder builder = {.spec = spec};
	char name[] = "ispawn-init";
	char *const argv[] = {name, NULL};
	char *const envp[] = {NULL};
	int r = isp_drop_become_container_root(&builder, err);

	if (r < 0) {
		isp_err_prefix(err, "container root");
		return r;
	}
	(void)isp_sys_execveat_fd(CHILD_PROGRAM_FD, argv, envp); /* returns only on failure */
	return isp_err_set(err, errno, ISP_STAGE_INIT, "execute \"ispawn-init\"");
}

static _Noreturn void run_child(const struct isp_supervisor *s, int program_fd, int socket_fd)
{
	struct isp_message failed = {.type = ISP_MESSAGE_FAILED};
	struct isp_error err = {0};
	int r = arrange_child(s, program_fd, &socket_fd);

	if (r < 0)
		r = isp_err_set(&err, -r, ISP_STAGE_INIT, "arrange the builder's descriptors");
	if (r == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		r = isp_err_set(&err, errno, ISP_STAGE_NAMESPACES, "set the parent-death signal");
	if (r == 0)
		r = await_maps(&err);
	if (r == 0)
		r = become_builder(&s->spec, &err); /* returns only on failure */
	failed.error = err;
	isp_ignore(isp_message_send(socket_fd, &failed, NULL, 0, 0)); /* dying anyway */
	isp_sys_exit_group(r < 0 ? 1 : 0);
}

/* --- the supervisor --------------------------------------------------------------------------- */

static int clone_builder(struct isp_supervisor *s, struct isp_error *err)
{
	struct clone_args args = {
		.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC |
			 CLONE_PIDFD,
		.pidfd = (__u64)(uintptr_t)&s->init_pid_fd,
		.exit_signal = SIGCHLD,
	};
	cleanup_close int program_fd = -EBADF;
	int cgroup_fd = isp_cgroup_clone_fd(&s->cgroup);
	int socket_fds[2];
	int r = open_init(s->spec.is_rootless, &program_fd, err);

	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socket_fds) != 0)
		return isp_err_set(err, errno, ISP_STAGE_NAMESPACES, "make the builder's socket");
	if (s->spec.network != ISP_NETWORK_HOST)
		args.flags |= CLONE_NEWNET;
	if (cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (__u64)cgroup_fd;
	}
	s->init_pid = isp_sys_clone3(&args, sizeof(args));
	if (s->init_pid == 0)
		run_child(s, program_fd, socket_fds[1]);
	isp_fd_close(&socket_fds[1]);
	s->init_fd = socket_fds[0];
	if (s->init_pid < 0)
		return isp_err_set(err, errno, ISP_STAGE_NAMESPACES, "clone3 into new namespaces");
	return 0;
}

static int open_namespace(pid_t pid, const char *name, int *ret_fd, struct isp_error *err)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, name);
	*ret_fd = open(path, O_RDONLY | O_CLOEXEC);
	return *ret_fd < 0 ? isp_err_set(err, errno, ISP_STAGE_NAMESPACES, "open \"%s\"", path) : 0;
}

static int builder_died(const struct isp_supervisor *s, struct isp_error *err)
{
	struct pollfd watched = {.fd = s->init_pid_fd, .events = POLLIN};
	siginfo_t info = {.si_pid = 0};

	/* Kernel: a dying process closes its descriptors before it can be waited for.
	 * Ignored: in vain, and the words say less. */
	(void)poll(&watched, 1, DYING_MS);
	/* WNOWAIT: isp_session_finish() reaps. */
	if (waitid(P_PIDFD, (id_t)s->init_pid_fd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	    info.si_pid != 0 && info.si_code != CLD_EXITED)
		return isp_err_set(err, ECHILD, ISP_STAGE_INIT,
				   "the container's first process was killed by signal %d%s",
				   info.si_status,
				   info.si_status == SIGSYS ? ", by the seccomp profile" : "");
	return isp_err_set(err, ECHILD, ISP_STAGE_INIT,
			   "the container's first process ended without a word");
}

static int take_report(struct isp_supervisor *s, struct isp_error *err)
{
	const uint32_t allowed = 1u << ISP_MESSAGE_UP | 1u << ISP_MESSAGE_FAILED;
	struct isp_message message = {0};
	int fds[ISP_FDS_MAX];
	size_t count = 0;
	int r = isp_message_receive(s->init_fd, allowed, &message, fds, &count, MSG_DONTWAIT);

	/* Kernel: what ends with messages unread resets the connection, and that is told first;
	 * what it had to say comes after. */
	if (r == -ECONNRESET)
		r = isp_message_receive(s->init_fd, allowed, &message, fds, &count, MSG_DONTWAIT);
	if (r == 0 || r == -ECONNRESET)
		return builder_died(s, err);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_INIT, "hear from the builder");
	isp_message_close_fds(fds, count);
	return message.type == ISP_MESSAGE_UP ? 0 : isp_err_adopt(err, &message.error);
}

/* The v1 leaves.  No instruction of a tenant's runs without the limits: the builder enters before
 * all else that it does after GO. */
static int make_cgroups(struct isp_supervisor *s, struct isp_builder *b, struct isp_error *err)
{
	int r;

	if (s->spec.is_unlimited)
		return 0;
	r = isp_cgroup_complete(&s->cgroup, &s->spec.limits, err);
	return r < 0 ? r
		     : isp_cgroup_open_members(&s->cgroup, b->cgroup_fds, &b->cgroup_count, err);
}

/* Root and home, made with the builder's ids. */
static int make_root(struct isp_supervisor *s, struct isp_builder *b, struct isp_error *err)
{
	cleanup_close int sibling_fd = -EBADF;
	struct isp_place place = {.spec = &s->spec,
				  .store = &s->store,
				  .map = &s->map,
				  /* Kernel: only who has rights over a file system idmaps its
				   * mounts: rootless, ids on disk are the host's. */
				  .userns_fd = s->spec.is_rootless ? -EBADF : s->userns_fd,
				  .own_ns_fd = s->own_ns_fd,
				  .cancel_fd = s->door_fd,
				  .deadline_ms = s->start_deadline_ms};
	int r = 0;

	if (s->spec.rootfs == ISP_ROOTFS_OVERLAY)
		r = isp_registry_share(&s->spec, s->start_deadline_ms, &sibling_fd, err);
	place.sibling_ns_fd = sibling_fd;
	if (r == 0)
		r = isp_rootfs_make(&place, &b->root_fd, err);
	if (r == 0)
		r = isp_rootfs_make_home(&place, &b->home_fd, err);
	b->is_home_new = s->store.is_home_new;
	memcpy(b->machine_id, s->store.machine_id, sizeof(b->machine_id));
	return r;
}

static int make_parts(struct isp_supervisor *s, struct isp_builder *b, struct isp_error *err)
{
	const struct isp_spec *spec = &s->spec;
	int r = make_cgroups(s, b, err);

	if (r == 0)
		r = make_root(s, b, err);
	for (size_t i = 0; i < spec->bind_count && r == 0; i++)
		r = isp_rootfs_make_bind(&spec->binds[i], &b->bind_fds[i], err);
	if (r == 0 && spec->network == ISP_NETWORK_HOST)
		r = isp_rootfs_make_sysfs(spec->is_rootless, &b->fs_fds[ISP_FS_SYS], err);
	if (r == 0)
		r = find_profile(s, &b->profile, err);
	if (r == 0)
		take_lxcfs(s, b);
	return r;
}

/* Everything, then GO. */
static int furnish(struct isp_supervisor *s, struct isp_error *err)
{
	struct isp_builder parts;
	int r;

	isp_builder_init(&parts, &s->spec);
	isp_session_narrow(s);
	/* A list so long that it has no room is not shown. */
	if (s->is_narrowed &&
	    isp_cpus_list(&s->processors, parts.processors, sizeof(parts.processors)) < 0)
		parts.processors[0] = '\0';
	r = make_parts(s, &parts, err);
	if (r == 0) {
		r = isp_handover_send(s->init_fd, &parts);
		if (r == -EPIPE || r == -ECONNRESET) /* it has ended, and may have said why */
			isp_ignore(take_report(s, err));
		if (r < 0)
			r = isp_err_set(err, -r, ISP_STAGE_NAMESPACES, "send GO to the builder");
	}
	isp_builder_close(&parts);
	return r;
}

static int await_up(struct isp_supervisor *s, struct isp_error *err)
{
	struct pollfd watched[] = {
		{.fd = s->init_fd, .events = POLLIN},
		{.fd = s->door_fd, .events = POLLRDHUP},
		{.fd = s->application_fd, .events = POLLIN},
	};
	int n;

	do
		n = poll(watched, ISP_ARRAY_SIZE(watched), isp_clock_left(s->start_deadline_ms));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return isp_err_set(err, errno, ISP_STAGE_INIT, "wait for init");
	if (watched[0].revents)
		return take_report(s, err);
	if (n > 0)
		return isp_err_set(err, ECANCELED, ISP_STAGE_START, "the login is gone");
	return isp_err_set(err, ETIMEDOUT, ISP_STAGE_DEADLINE,
			   "the container did not stand within start_timeout (%llu s)",
			   (unsigned long long)s->spec.start_timeout_s);
}

/* Kernel: getrlimit(2): only CAP_SYS_RESOURCE of the host raises a hard limit, which the builder
 * does not have: it has rights over its own namespace alone. */
static int allow_files(const struct isp_supervisor *s, struct isp_error *err)
{
	const struct rlimit files = {s->spec.nofile, s->spec.nofile};

	if (prlimit(s->init_pid, RLIMIT_NOFILE, &files, NULL) != 0)
		return isp_err_set(err, errno, ISP_STAGE_DROP,
				   "set the limit of open files (nofile) to %llu",
				   (unsigned long long)s->spec.nofile);
	return 0;
}

static int enter_container(struct isp_supervisor *s, struct isp_error *err)
{
	struct isp_message mapped = {.type = ISP_MESSAGE_MAPPED};
	int r = open_namespace(s->init_pid, "user", &s->userns_fd, err);

	if (r == 0 && s->spec.network != ISP_NETWORK_HOST)
		r = open_namespace(s->init_pid, "net", &s->netns_fd, err);
	if (r == 0)
		r = isp_idmap_write(s->init_pid, &s->spec, &s->map, err);
	if (r == 0)
		r = allow_files(s, err);
	if (r < 0)
		return r;
	r = isp_message_send(s->init_fd, &mapped, NULL, 0, 0);
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_NAMESPACES, "tell the builder of its ids")
		     : 0;
}

/* A builder that has ended has no /proc/PID to enter it by; what it has said is the cause. */
static int enter_or_hear(struct isp_supervisor *s, struct isp_error *err)
{
	struct pollfd said = {.fd = s->init_fd, .events = POLLIN};
	struct isp_error ours = {0};

	if (enter_container(s, &ours) == 0)
		return 0;
	if (poll(&said, 1, 0) == 1)
		isp_ignore(take_report(s, err)); /* recorded: the first one stays */
	return isp_err_adopt(err, &ours);
}

int isp_session_start(struct isp_supervisor *s, struct isp_error *err)
{
	int r;

	s->started_ms = isp_clock_ms();
	s->start_deadline_ms = s->started_ms + (int64_t)s->spec.start_timeout_s * 1000;
	r = prepare(s, err);
	if (r == 0)
		r = clone_builder(s, err);
	if (r == 0)
		r = enter_or_hear(s, err);
	if (r == 0)
		r = furnish(s, err);
	if (r == 0)
		r = await_up(s, err);
	if (r == 0)
		r = isp_store_commit(&s->store, err);
	if (r == 0 && s->host_ns_fd >= 0)
		r = isp_rootfs_leave_private(s->host_ns_fd, err);
	if (r < 0)
		return r;
	isp_fd_close(&s->host_ns_fd);
	isp_store_close(&s->store);
	isp_fd_close(&s->directory_fd);
	isp_fd_close(&s->userns_fd);
	s->ready_ms = isp_clock_ms();
	s->is_empty = true;
	return 0;
}
