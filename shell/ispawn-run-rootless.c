/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-run-rootless.c - an ordinary user's own container
 *
 * No program of ours is setuid.  The user becomes root of a user namespace of his own, with a mount
 * namespace that belongs to it, and from there on everything is as for root: the same supervisor
 * builds the same container inside of that, a user namespace in a user namespace.
 *
 *	1. refuse	what cannot be enforced, or name it (--best-effort)
 *	2. namespaces	0 is the user himself; 1 to 65535 are his subordinate ids, written down by
 *			newuidmap(1) and newgidmap(1) of the host, or there is no id but 0
 *	3. places	his own cgroup, if he has one; /run and /var/lib/ispawn in memory
 *
 * On disk ids are the host's: only root can idmap the mounts of the host's file systems.  What the
 * tree's root owns is the user's.
 */
#include "ispawn.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/container/idmap.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define NEWUIDMAP "/usr/bin/newuidmap"
#define NEWGIDMAP "/usr/bin/newgidmap"
#define NUMBER_SIZE 16
#define DEFAULT_WEIGHT 100
#define MOUNT_FLAGS (MS_NOSUID | MS_NODEV)

static int fail(struct isp_error *err, const char *what)
{
	return isp_err_set(err, errno, ISP_STAGE_NAMESPACES, "%s", what);
}

/* --- 1. what cannot be ------------------------------------------------------------------------ */

/* Refuses, or goes on with a warning. */
static int lack(const struct run *run, const char *what, const char *remedy, struct isp_error *err)
{
	if (!run->is_best_effort)
		return isp_err_set(err, EPERM, ISP_STAGE_POLICY, "%s: %s, or use --best-effort",
				   what, remedy);
	warn("--best-effort: %s", what);
	return 0;
}

/* A limit that nothing of the user's enforces: each becomes none. */
static void drop_unenforced(const struct run *run, struct isp_limits *limits, char *text,
			    size_t size)
{
	const struct {
		const char *controller, *name;
		uint64_t none;
		uint64_t *value;
	} all[] = {
		{"memory", " --memory", UINT64_MAX, &limits->memory_bytes},
		{"memory", " --swap", UINT64_MAX, &limits->swap_bytes},
		{"pids", " --pids", UINT64_MAX, &limits->pids},
		{"cpu", " --cpu", 0, &limits->cpu_percent},
		{"cpu", " --cpu-weight", DEFAULT_WEIGHT, &limits->cpu_weight},
		{"io", " --io-weight", DEFAULT_WEIGHT, &limits->io_weight},
	};
	size_t used = 0;

	for (size_t i = 0; i < ISP_ARRAY_SIZE(all); i++) {
		if (cgroup_has(run, all[i].controller) || *all[i].value == all[i].none)
			continue;
		*all[i].value = all[i].none;
		used += (size_t)snprintf(text + used, size - used, "%s", all[i].name); /* fits */
	}
}

/* An ordinary user has what his own cgroup can enforce; without one, nothing. */
static int give_up_limits(const struct run *run, struct isp_spec *spec, struct isp_error *err)
{
	char names[64] = "", what[160];

	drop_unenforced(run, &spec->limits, names, sizeof(names));
	if (!names[0])
		return 0;
	(void)snprintf(what, sizeof(what), "limits without a cgroup of yours to enforce them:%s",
		       names); /* fits */
	return lack(run, what,
		    "get one (systemd-run --user --scope -p Delegate=yes ispawn ...), "
		    "ask for none (--memory max --swap max --pids max --cpu 0%)",
		    err);
}

/* Kernel: getrlimit(2): the hard limit is not his to raise, and a lower one is only stricter. */
static void keep_hard_limit(struct isp_spec *spec)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max < spec->nofile)
		spec->nofile = files.rlim_max;
}

/* Profiles are read, compiled and kept as root; learning writes to the kernel's log. */
static int give_up_filter(const struct run *run, struct isp_spec *spec, struct isp_error *err)
{
	static const char built_in[] = "default";

	if (strcmp(spec->seccomp, built_in) == 0)
		return 0;
	memcpy(spec->seccomp, built_in, sizeof(built_in));
	return lack(run, "--seccomp: only root's containers have another filter than the default",
		    "leave it out", err);
}

static bool has_further_groups(void)
{
	int count = getgroups(0, NULL);
	gid_t groups[2];

	if (count < 0 || count > 1)
		return true;
	return count == 1 && (getgroups(2, groups) != 1 || groups[0] != getgid());
}

static int give_up_ids(const struct run *run, struct isp_spec *spec, struct isp_error *err)
{
	spec->has_one_id = true;
	if (spec->uid != 0 || spec->gid != 0)
		return isp_err_set(err, EPERM, ISP_STAGE_IDMAP,
				   "--user: 0 is the only user, without " NEWUIDMAP " and a range "
				   "of yours in /etc/subuid and /etc/subgid");
	return has_further_groups()
		       ? lack(run, "your supplementary groups cannot be given up",
			      "get " NEWUIDMAP " and a range in /etc/subuid and /etc/subgid", err)
		       : 0;
}

/* --- 2. namespaces ---------------------------------------------------------------------------- */

static bool run_mapper(const char *program, pid_t pid, uint32_t own, uint32_t start)
{
	char name[sizeof(NEWUIDMAP)], target[NUMBER_SIZE], outside[NUMBER_SIZE], first[NUMBER_SIZE];
	char zero[] = "0", one[] = "1", also_one[] = "1", rest[] = "65535";
	char *const argv[] = {name, target, zero, outside, one, also_one, first, rest, NULL};
	char *const environment[] = {NULL};
	int status = -1;
	pid_t child;

	(void)snprintf(name, sizeof(name), "%s", program); /* fits, all */
	(void)snprintf(target, sizeof(target), "%d", pid);
	(void)snprintf(outside, sizeof(outside), "%u", own);
	(void)snprintf(first, sizeof(first), "%u", start);
	child = fork();
	if (child == 0) {
		(void)execve(program, argv, environment);
		_exit(127);
	}
	return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* The helper stays outside, for the maps of a namespace are written from its parent. */
static _Noreturn void help(int go_fd, const struct isp_idmap *map)
{
	pid_t target = getppid();
	char go;

	/* End of file: the one to be helped is gone. */
	if (read(go_fd, &go, 1) != 1)
		_exit(1);
	_exit(run_mapper(NEWUIDMAP, target, getuid(), map->uid_start) &&
			      run_mapper(NEWGIDMAP, target, getgid(), map->gid_start)
		      ? 0
		      : 1);
}

static int enter_namespaces(struct isp_error *err)
{
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
		return fail(err, "make a user namespace (do user.max_user_namespaces, "
				 "kernel.unprivileged_userns_clone and "
				 "kernel.apparmor_restrict_unprivileged_userns allow it?)");
	return 0;
}

static int map_subordinate(const struct isp_idmap *map, struct isp_error *err)
{
	int go[2], status = -1, r;
	pid_t helper;

	if (pipe2(go, O_CLOEXEC) != 0)
		return fail(err, "make a pipe");
	helper = fork();
	if (helper == 0) {
		(void)close(go[1]);
		help(go[0], map);
	}
	isp_fd_close(&go[0]);
	r = helper < 0 ? fail(err, "start a process") : enter_namespaces(err);
	if (r == 0 && write(go[1], "", 1) != 1)
		r = fail(err, "start newuidmap");
	isp_fd_close(&go[1]);
	if (helper > 0 && (waitpid(helper, &status, 0) != helper || status != 0) && r == 0)
		r = isp_err_set(err, EPERM, ISP_STAGE_IDMAP,
				NEWUIDMAP " or " NEWGIDMAP " refused your range of /etc/subuid and "
					  "/etc/subgid");
	return r;
}

static int write_own(const char *file, uint32_t own)
{
	char text[2 * NUMBER_SIZE];

	(void)snprintf(text, sizeof(text), "0 %u 1\n", own); /* fits */
	return isp_fd_write_file(AT_FDCWD, file, text);
}

static int map_own(uid_t uid, gid_t gid, struct isp_error *err)
{
	int r = enter_namespaces(err);

	if (r < 0)
		return r;
	r = write_own("/proc/self/uid_map", uid);
	/* Kernel: user_namespaces(7): before that a gid map may not be written. */
	if (r == 0)
		r = isp_fd_write_file(AT_FDCWD, "/proc/self/setgroups", "deny");
	if (r == 0)
		r = write_own("/proc/self/gid_map", gid);
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_IDMAP, "map your own id") : 0;
}

/* --- 3. places -------------------------------------------------------------------------------- */

/* The store's place, or where root has never run anything the directory above it. */
static int mount_store(struct isp_error *err)
{
	if (mount("ispawn", ISPAWN_STORE_DIR, "tmpfs", MOUNT_FLAGS, "mode=0700,size=1m") != 0 &&
	    (errno != ENOENT ||
	     mount("ispawn", "/var/lib", "tmpfs", MOUNT_FLAGS, "mode=0755,size=1m") != 0))
		return fail(err, "mount a tmpfs on \"" ISPAWN_STORE_DIR "\"");
	return 0;
}

static int make_places(const struct run *run, bool has_cgroup, struct isp_error *err)
{
	int r;

	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0)
		return fail(err, "make the mount namespace a slave");
	r = has_cgroup ? cgroup_show(run, err) : 0;
	if (r == 0 && mount("ispawn", "/run", "tmpfs", MOUNT_FLAGS, "mode=0755,size=1m") != 0)
		r = fail(err, "mount a tmpfs on \"/run\"");
	return r < 0 ? r : mount_store(err);
}

/* Kernel: a mount is cloned only by who is in its namespace, and a descriptor stays with the old
 * one; the working directory comes along (unshare(2)), so that no path is walked again. */
static int take_along(struct run *run, bool is_there, struct isp_error *err)
{
	if (!is_there)
		return fchdir(run->directory_fd) != 0 ? fail(err, "enter the directory") : 0;
	isp_fd_close(&run->directory_fd);
	run->directory_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (run->directory_fd < 0 || chdir("/") != 0)
		return fail(err, "open the directory in the new mount namespace");
	return 0;
}

static int find_ids(struct isp_idmap *ret_map, struct isp_error *err)
{
	struct isp_error nameless = {0}; /* then there is no line with the name */
	cleanup_free char *name = NULL;
	char number[NUMBER_SIZE];

	if (access(NEWUIDMAP, X_OK) != 0 || access(NEWGIDMAP, X_OK) != 0)
		return 0;
	(void)snprintf(number, sizeof(number), "%u", getuid()); /* fits */
	/* Kernel: wait(2): started with SIGCHLD ignored, nobody here would hear of a status. */
	if (signal(SIGCHLD, SIG_DFL) == SIG_ERR)
		return fail(err, "reset SIGCHLD");
	isp_ignore(name_find(getuid(), &name, &nameless));
	return isp_idmap_find_subordinate(name ? name : number, getuid(), ret_map, err);
}

int rootless_enter(struct run *run, struct isp_spec *spec, struct isp_error *err)
{
	struct isp_idmap map = {0};
	uid_t uid = getuid();
	gid_t gid = getgid();
	int has_ids = find_ids(&map, err);
	int r = has_ids < 0 ? has_ids : give_up_filter(run, spec, err);
	bool has_cgroup = r == 0 && cgroup_take(run);

	if (r == 0)
		r = give_up_limits(run, spec, err);
	spec->is_rootless = true;
	spec->is_unlimited = !has_cgroup;
	keep_hard_limit(spec);
	if (r == 0 && !has_ids)
		r = give_up_ids(run, spec, err);
	if (r == 0)
		r = take_along(run, false, err);
	if (r == 0)
		r = has_ids ? map_subordinate(&map, err) : map_own(uid, gid, err);
	/* Order: before the places, which may hide the directory's name. */
	if (r == 0)
		r = take_along(run, true, err);
	return r < 0 ? r : make_places(run, has_cgroup, err);
}
