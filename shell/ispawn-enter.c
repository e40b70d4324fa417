/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-enter - one program as the root of a container that runs, for `ispawnctl enter --root`
 *
 * Runs as host root, started by ispawnctl alone, and ends with the rights of the container's root:
 * the reduced set of capabilities over the container's own user namespace.  A tenant that holds
 * more than init has cannot be init's child, so somebody has to come from outside; nothing joins
 * with more rights than it keeps, as far as anybody inside can see:
 *
 *	1. on the host	the spec, the filter, the cgroup with its limits
 *	2. setns(2)	into all namespaces at once.  Kernel: setns(2), with a pidfd since 5.8:
 *			what it checks, it checks before it joins the first one.  This process
 *			itself stays in the host's PID namespace - only its children are inside -
 *			so that nobody there can name it: not kill, not ptrace, not /proc
 *	3. drop, prove	with the builder's own functions, in its order (drop.c)
 *	4. fork		the first process that can be seen, which holds what its program will
 *			hold, and no more
 *	5. stand by	until it ends: as init does for its tenants, with container root's rights
 *
 * Threat, and what answers it, for a hostile tenant, of whatever uid, that waits inside:
 *
 *	CVE-2016-9962	tracing the joiner, or opening its descriptors, before it has dropped: it
 *			has no name inside; and until the exec it is not dumpable, with the host's
 *			user namespace as its memory's owner, where a capability is asked for
 *	CVE-2019-5736	/proc/PID/exe leads to a host's file: only between fork and exec, while it
 *			is not dumpable; and the file is the host root's, who has no id inside
 *	CVE-2024-21626	a descriptor or a working directory left outside: 0, 1, 2 are the null
 *			device and are replaced, all else closes; setns sets root and directory
 *	CVE-2019-14271	libraries or name services of the container in a process with rights:
 *			nothing is looked up by name, what is linked was loaded on the host
 *	a planted shell	what the account is set to run is not what root runs: /bin/bash or
 *			/bin/sh, and PATH is root's
 *	a terminal	/dev/ptmx is opened after the drop, and what comes of it is checked outside
 */
#include "ispawn-init.h"

#include "ispawn/base/clock.h"
#include "ispawn/base/sys.h"
#include "ispawn/container/builder.h"
#include "ispawn/container/cgroup.h"
#include "ispawn/container/seccomp.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

enum { SOCKET_FD = 3, SPEC_FD, INIT_FD, LAST_FD = INIT_FD };

#define NAMESPACES                                                                                 \
	(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | \
	 CLONE_NEWCGROUP)
#define TENANT 1 /* its number: there is one */
#define PROFILE_MS 10000

/* struct entry - the way in; the builder's steps work on @builder, whose spec is root's */
struct entry {
	struct init init;
	struct isp_builder builder;
	enum isp_privilege privilege; /* of the session's own tenants */
};

/* --- on the host ------------------------------------------------------------------------------ */

/* Root of this container, by the session's policy: whatever the policy lets the user be. */
static void make_root(struct entry *entry)
{
	static char shell[] = "/bin/bash";
	struct isp_spec *spec = &entry->init.spec;

	entry->privilege = spec->privilege;
	spec->privilege = ISP_PRIVILEGE_ROOT;
	spec->group_count = 0; /* the user's: they are no business of root's */
	spec->runs_commands = true;
	free(spec->shell);
	spec->shell = strdup(shell);
	spec->shell_is_fallback = true;
	entry->builder.spec = spec;
}

static int read_spec(struct entry *entry, struct isp_error *err)
{
	cleanup_close int spec_fd = SPEC_FD;
	cleanup_free char *bytes = NULL;
	size_t size = 0;
	int r = isp_fd_memfd_read(spec_fd, ISP_SPEC_SIZE_MAX, &bytes, &size);

	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_SPEC, "read the spec");
	r = isp_spec_decode(bytes, size, &entry->init.spec, err);
	if (r < 0)
		return r;
	if (entry->init.spec.is_rootless)
		return isp_err_set(err, EPERM, ISP_STAGE_SPEC,
				   "the container is an ordinary user's, and its root is he");
	make_root(entry);
	return entry->init.spec.shell ? 0 : isp_err_set(err, ENOMEM, ISP_STAGE_SPEC, "the shell");
}

static int find_profile(struct entry *entry, struct isp_error *err)
{
	const struct isp_spec *spec = &entry->init.spec;
	const struct isp_profile_wanted wanted = {
		.name = spec->seccomp,
		.capabilities = isp_spec_bounding(spec->privilege, spec->capabilities),
		.cancel_fd = SOCKET_FD,
		.deadline_ms = isp_clock_ms() + PROFILE_MS,
	};

	return isp_seccomp_is_built_in(spec->seccomp)
		       ? 0
		       : isp_profile_find(&wanted, &entry->builder.profile, err);
}

/* Order: before it is inside, so that nothing runs there without the session's limits, and what
 * ends the session ends this as well. */
static int join_cgroup(struct entry *entry, struct isp_error *err)
{
	const struct isp_spec *spec = &entry->init.spec;
	cleanup_cgroup struct isp_cgroup cgroup = {.count = 0};
	const struct rlimit files = {spec->nofile, spec->nofile};
	int r = isp_cgroup_open(isp_spec_owner_name(spec), spec->session, &cgroup);

	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_CGROUP, "open the session's cgroup");
	/* Kernel: getrlimit(2): only the host's root raises a hard limit. */
	if (setrlimit(RLIMIT_NOFILE, &files) != 0)
		return isp_err_set(err, errno, ISP_STAGE_DROP, "set the limit of open files");
	/* Leaving first takes it out of the hierarchy that no container has a leaf in, where a
	 * login manager would count it to the administrator's own login. */
	r = isp_cgroup_leave_login(err);
	return r < 0 ? r : isp_cgroup_join(&cgroup, err);
}

/* --- across ----------------------------------------------------------------------------------- */

/* The parent's death is known by the socket, too; until the drop is done it is also a signal. */
static int join_namespaces(struct entry *entry, struct isp_error *err)
{
	cleanup_close int init_fd = INIT_FD;
	char where[PATH_MAX];

	(void)entry;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || setns(init_fd, NAMESPACES) != 0)
		return isp_err_set(err, errno, ISP_STAGE_NAMESPACES,
				   "join the container's namespaces");
	isp_fd_close(&init_fd);
	if (prctl(PR_SET_DUMPABLE, 0) != 0 || chdir("/") != 0)
		return isp_err_set(err, errno, ISP_STAGE_NAMESPACES, "go to the container's root");
	/* Kernel: getcwd(2): a directory outside the root is "(unreachable)/...". */
	if (!getcwd(where, sizeof(where)) || strcmp(where, "/") != 0)
		return isp_err_set(err, EXDEV, ISP_STAGE_PROVE,
				   "the working directory is outside the container");
	return 0;
}

static int become_root(struct entry *entry, struct isp_error *err)
{
	return isp_drop_become_container_root(&entry->builder, err);
}

static int find_shell(struct entry *entry, struct isp_error *err)
{
	entry->init.shell = entry->builder.shell;
	return isp_identity_find_shell(&entry->builder, err);
}

static int limit(struct entry *entry, struct isp_error *err)
{
	return isp_drop_limits(&entry->builder, err);
}

static int drop(struct entry *entry, struct isp_error *err)
{
	int r = isp_drop_privileges(&entry->builder, err);

	if (r < 0)
		return r;
	/* Where no tenant can gain rights by an exec, what root starts for a tenant cannot either.
	 */
	if (entry->privilege == ISP_PRIVILEGE_NONE && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return isp_err_set(err, errno, ISP_STAGE_DROP, "set no_new_privs");
	return 0;
}

static int prove(struct entry *entry, struct isp_error *err)
{
	int r = isp_prove_drops(&entry->builder, err);

	if (r < 0)
		return r;
	/* From here on the end of the socket tells, and leaves time for a SIGHUP. */
	if (prctl(PR_SET_PDEATHSIG, 0) != 0)
		return isp_err_set(err, errno, ISP_STAGE_DROP, "end the parent-death signal");
	return 0;
}

/* The table is the order. */
static const struct {
	const char *name;
	int (*run)(struct entry *entry, struct isp_error *err);
} steps[] = {
	{"spec", read_spec},
	{"seccomp profile", find_profile},
	{"cgroup", join_cgroup},
	/* Nothing of the host's is in reach from here on. */
	{"namespaces", join_namespaces},
	{"container root", become_root},
	{"shell", find_shell},
	{"limits", limit},
	{"drop", drop},
	{"proof", prove},
};

/* --- inside ----------------------------------------------------------------------------------- */

/* Return: 0 go on; -EPIPE nobody listens any more; other -errno. */
static int hear(struct init *init)
{
	struct isp_tenant *tenant = isp_tenants_by_number(&init->tenants, TENANT);
	struct isp_message message = {0};
	int fds[ISP_FDS_MAX];
	size_t count = 0;
	int r = isp_message_receive(init->supervisor_fd, 1u << ISP_MESSAGE_SIGNAL, &message, fds,
				    &count, MSG_DONTWAIT);

	if (r == -EAGAIN)
		return 0;
	if (r <= 0)
		return r < 0 ? r : -EPIPE;
	isp_message_close_fds(fds, count);
	if (tenant && message.value > 0 && message.value < NSIG)
		tenant_signal(tenant, message.value);
	return 0;
}

/* Return: 0 go on; -ECHILD it has ended, and that was told; other -errno. */
static int reap(struct init *init)
{
	struct signalfd_siginfo ignored;
	struct isp_tenant *tenant;
	int status = 0, r;
	pid_t pid = 0;

	if (read(init->signal_fd, &ignored, sizeof(ignored)) < 0 && errno != EAGAIN)
		return -errno;
	r = isp_reap(&pid, &status);
	tenant = r > 0 ? isp_tenants_by_pid(&init->tenants, pid) : NULL;
	if (tenant)
		r = tenant_ended(init, tenant, status);
	return r < 0 ? r : tenant ? -ECHILD : 0;
}

static int turn(struct init *init)
{
	struct isp_tenant *tenant = isp_tenants_by_number(&init->tenants, TENANT);
	struct pollfd polled[] = {
		{.fd = tenant ? tenant->start_fd : -1, .events = POLLIN},
		{.fd = init->signal_fd, .events = POLLIN},
		{.fd = init->supervisor_fd, .events = POLLIN},
	};
	int r = 0;

	if (poll(polled, ISP_ARRAY_SIZE(polled), -1) < 0)
		return errno == EINTR ? 0 : -errno;
	if (polled[0].revents && tenant)
		r = tenant_exec_is_known(init, tenant);
	if (r == 0 && polled[1].revents)
		r = reap(init);
	if (r == 0 && polled[2].revents)
		r = hear(init);
	return r;
}

/* Whatever was noticed first, a message that could not be sent or the end of file: nobody is there
 * any more for whom it runs. */
static void leave(struct init *init)
{
	struct isp_tenant *tenant = isp_tenants_by_number(&init->tenants, TENANT);

	if (tenant)
		tenant_hang_up(tenant);
}

static int start_tenant(struct init *init, int *ret_status, struct isp_error *err)
{
	struct isp_message open = {0};
	int fds[ISP_FDS_MAX];
	size_t count = 0;
	int r = isp_message_receive(init->supervisor_fd, 1u << ISP_MESSAGE_OPEN, &open, fds, &count,
				    0);

	*ret_status = STATUS_OURS;
	if (r <= 0)
		return isp_err_set(err, r < 0 ? -r : EPIPE, ISP_STAGE_TENANT, "hear what to run");
	open.tenant = TENANT;
	r = tenant_start(init, &open, fds, count, ret_status, err);
	isp_message_close_fds(fds, count);
	return r;
}

static int open_signals(struct init *init, struct isp_error *err)
{
	sigset_t all, child;

	/* The signals of whoever started us stay with him: his terminal's come as messages. */
	(void)sigfillset(&all);
	(void)sigemptyset(&child);
	(void)sigaddset(&child, SIGCHLD);
	(void)signal(SIGCHLD, SIG_DFL); /* inherited as ignored, it would reap behind our back */
	if (sigprocmask(SIG_SETMASK, &all, NULL) != 0)
		return isp_err_set(err, errno, ISP_STAGE_TENANT, "block signals");
	init->signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	return init->signal_fd < 0 ? isp_err_set(err, errno, ISP_STAGE_TENANT, "signalfd") : 0;
}

static int set_up(struct entry *entry, struct isp_error *err)
{
	int r = 0;

	if (prctl(PR_SET_DUMPABLE, 0) != 0 || isp_sys_close_range(LAST_FD + 1, ~0u, 0) != 0 ||
	    isp_sys_close_range(SOCKET_FD, LAST_FD, CLOSE_RANGE_CLOEXEC) != 0)
		return isp_err_set(err, errno, ISP_STAGE_TENANT, "close what was inherited");
	r = open_signals(&entry->init, err);
	for (size_t i = 0; i < ISP_ARRAY_SIZE(steps) && r == 0; i++) {
		r = steps[i].run(entry, err);
		if (r < 0)
			isp_err_prefix(err, "%s", steps[i].name);
	}
	return r;
}

int main(void)
{
	static struct entry entry = {.init = {.supervisor_fd = SOCKET_FD, .has_told = true}};
	struct isp_error err = {0};
	int status = STATUS_OURS;
	int r = set_up(&entry, &err);

	if (r == 0)
		r = start_tenant(&entry.init, &status, &err);
	if (r < 0) {
		isp_ignore(init_tell_refused(&entry.init, 0, status, &err)); /* ending anyway */
		return STATUS_OURS;
	}
	while (r == 0)
		r = turn(&entry.init);
	leave(&entry.init);
	return r == -ECHILD ? 0 : STATUS_OURS;
}
