/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * cgroup.h - the limits of a user, the leaf of a session
 *
 * Theory of operation: ROOT/ispawn/USER/SESSION in every hierarchy that carries a controller we
 * need.  Limits stand on USER, so that they bound all logins of the user together and a container
 * cannot raise them: it sees its own leaf, read-only.  SESSION holds the container's processes and
 * is where they are counted and killed.  Supervisors live in ROOT/ispawn/.supervisors, outside any
 * user's limit and outside the login's own cgroup.  v2 is taken where it is what /sys/fs/cgroup is,
 * else the v1 hierarchies below it (legacy or hybrid): found by statfs magic, never by parsing
 * versions.  A limit that is asked for and cannot be applied is an error.  No cgroup below SESSION
 * can exist: inside, the file system is read-only.  Root's containers (ISP_ROOT_NAME) are not
 * bounded together: there USER is the session's own id once more.  ROOT/ispawn stays, as an empty
 * directory.
 */
#ifndef ISPAWN_CONTAINER_CGROUP_H
#define ISPAWN_CONTAINER_CGROUP_H

#include "ispawn/policy/spec.h"

#define ISP_CGROUP_HIERARCHIES_MAX 6

/** struct isp_cgroup - a session's leaf; all descriptors owned, -EBADF when unused */
struct isp_cgroup {
	bool is_v2;
	bool is_user_new; /* USER was made with the leaf, in every hierarchy: it has no limit yet */
	size_t count;     /* hierarchies in use; 1 on v2 */
	int parent_fd[ISP_CGROUP_HIERARCHIES_MAX];          /* ROOT/ispawn */
	int user_fd[ISP_CGROUP_HIERARCHIES_MAX];            /* ROOT/ispawn/USER */
	int session_fd[ISP_CGROUP_HIERARCHIES_MAX];         /* ROOT/ispawn/USER/SESSION */
	const char *controller[ISP_CGROUP_HIERARCHIES_MAX]; /* v1 names; static strings */
	char user[ISP_NAME_MAX + 1];
	char session[ISP_SESSION_ID_SIZE];
	uint64_t refused_before; /* forks already refused at USER when the leaf was made */
};

/** struct isp_usage - what a session has used; unknown values are 0 */
struct isp_usage {
	uint64_t cpu_us;
	uint64_t memory_bytes, memory_peak_bytes;
	uint64_t tasks;
	uint64_t oom_kills;     /* in this session's leaf */
	uint64_t pids_refusals; /* forks refused by the user's limit; read before isp_cgroup_kill()
				 */
};

/*
 * A leaf is made in two parts, because a process is best born in a v2 leaf (see "Moving" below),
 * while those of v1, up to five with their limits, can be made beside the work of a process that
 * enters them later.
 */

/**
 * isp_cgroup_begin() - make what must exist before clone3(): the v2 leaf
 * @ret: filled on success; isp_cgroup_close() releases the descriptors
 * Runs as: host root, before clone3().  Must: remove what it made when it fails.
 * Where v2 is the only hierarchy the user's limits are set.
 * Return: 0; -EINVAL names; -EEXIST the id is in use; -ENOTSUP a limit this machine cannot apply
 * (named); -EBUSY ROOT itself holds processes; -errno of mkdirat, openat, write.
 */
ISP_MUST_CHECK int isp_cgroup_begin(const char *user, const char *session,
				    const struct isp_limits *limits, struct isp_cgroup *ret,
				    struct isp_error *err);

/**
 * isp_cgroup_complete() - make the v1 leaves and set the user's limits there
 * Runs as: host root, before the first task of the user's.
 * When it fails, what was made stays for the caller's isp_cgroup_remove().
 * Return: as isp_cgroup_begin().
 */
ISP_MUST_CHECK int isp_cgroup_complete(struct isp_cgroup *cgroup, const struct isp_limits *limits,
				       struct isp_error *err);

/**
 * isp_cgroup_create() - both at once
 * Threat: a tenant that forks faster than we kill: limits precede the first task.
 * Limits of an earlier login of the same user are replaced: the newest policy holds for all.
 */
ISP_MUST_CHECK int isp_cgroup_create(const char *user, const char *session,
				     const struct isp_limits *limits, struct isp_cgroup *ret,
				     struct isp_error *err);

/** isp_cgroup_open() - an existing leaf, for the sweep, list and kill. Return: 0; -EINVAL names;
 * -ENOENT; -errno.  A leaf that exists in some hierarchies only is opened as far as it goes (-EBADF
 * elsewhere). */
ISP_MUST_CHECK int isp_cgroup_open(const char *user, const char *session, struct isp_cgroup *ret);

/** isp_cgroup_forget() - remove the USER of a session that has no leaf, unless there are others.
 * Return: 0; -EINVAL names; -errno. */
ISP_MUST_CHECK int isp_cgroup_forget(const char *user, const char *session);

/*
 * Moving is done without the kernel's lock on all forks, which is had only after a grace period of
 * milliseconds.  Kernel: CLONE_INTO_CGROUP (Linux 5.7, v2) and a thread that writes itself into a
 * v1 `tasks` file (cgroup_procs_write_start(), Linux 5.5) do not take it; cgroup.procs does.
 */

/** isp_cgroup_clone_fd() - borrowed fd of the v2 leaf for CLONE_INTO_CGROUP; -EBADF without one. */
int isp_cgroup_clone_fd(const struct isp_cgroup *cgroup);

/**
 * isp_cgroup_open_members() - what isp_cgroup_enter() writes to
 * @ret_fds: room for ISP_CGROUP_HIERARCHIES_MAX; the first *@ret_count become the caller's, none on
 *           v2 alone
 * Kernel: whether a write may move a process goes by who opened the file.
 */
ISP_MUST_CHECK int isp_cgroup_open_members(const struct isp_cgroup *cgroup, int *ret_fds,
					   size_t *ret_count, struct isp_error *err);

/**
 * isp_cgroup_enter() - move the calling process, which has one thread, into the v1 leaves
 * @members_fds: borrowed, from isp_cgroup_open_members()
 * What was cloned into the v2 leaf is there already.
 */
ISP_MUST_CHECK int isp_cgroup_enter(const int *members_fds, size_t count, struct isp_error *err);

/**
 * isp_cgroup_join() - move the calling process into the leaves, of v2 as well
 * For one that was not cloned: it takes the lock.  Return: 0; -EBADF a leaf is missing; -errno.
 */
ISP_MUST_CHECK int isp_cgroup_join(const struct isp_cgroup *cgroup, struct isp_error *err);

/**
 * isp_cgroup_open_supervisors() - ROOT/ispawn/.supervisors of the v2 hierarchy, to clone into
 * Return: 0; -ENOENT there is no v2 hierarchy; -errno.  A supervisor that was not cloned into it
 * moves itself: isp_cgroup_leave_login().
 */
ISP_MUST_CHECK int isp_cgroup_open_supervisors(int *ret_fd);

/** isp_cgroup_leave_login() - move the calling supervisor to ROOT/ispawn/.supervisors
 * Of a v1 hierarchy at whose root it stands already it is left there. */
ISP_MUST_CHECK int isp_cgroup_leave_login(struct isp_error *err);

/**
 * isp_cgroup_kill() - SIGKILL everything in the leaf and wait until it is empty
 * @timeout_ms: longest wait
 * Kernel: cgroup.kill since 5.14; on v1 the processes are listed and killed until none is left.
 * Return: 0 empty; -ETIMEDOUT.
 */
ISP_MUST_CHECK int isp_cgroup_kill(const struct isp_cgroup *cgroup, unsigned int timeout_ms);

/** isp_cgroup_remove() - rmdir the leaf, and USER when it is the last.  Waits up to 200 ms for the
 * kernel to let go of tasks just killed.  Return: 0; -EBUSY processes are left; -errno of rmdir. */
ISP_MUST_CHECK int isp_cgroup_remove(const struct isp_cgroup *cgroup);

/** isp_cgroup_remove_empty() - the same without waiting: a leaf that goes had no process in it. */
ISP_MUST_CHECK int isp_cgroup_remove_empty(const struct isp_cgroup *cgroup);

/** isp_cgroup_refusals() - of the counters, those that say that a limit was met. */
void isp_cgroup_refusals(const struct isp_cgroup *cgroup, struct isp_usage *ret_usage);

/** isp_cgroup_usage() - read the counters; what the kernel does not offer stays 0. */
void isp_cgroup_usage(const struct isp_cgroup *cgroup, struct isp_usage *ret_usage);

/**
 * isp_cgroup_io() - bytes that the leaf has read from and written to block devices
 * Return: 0; -ENOENT nothing counts them here.
 */
ISP_MUST_CHECK int isp_cgroup_io(const struct isp_cgroup *cgroup, uint64_t *ret_read,
				 uint64_t *ret_written);

/** isp_cgroup_close() - close all descriptors; the directories stay. */
void isp_cgroup_close(struct isp_cgroup *cgroup);
#define cleanup_cgroup __attribute__((cleanup(isp_cgroup_close)))

#endif
