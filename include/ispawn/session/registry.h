/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * registry.h - the sessions of this machine, as directories under /run
 *
 * Theory of operation: ISPAWN_SESSIONS_DIR/ID exists for as long as its session, and a flock on the
 * directory itself says whether its supervisor lives: the kernel lets go of the lock however the
 * supervisor dies, so no pid is ever compared.  Whoever can take the lock of an entry owns a dead
 * session and sweeps it: its cgroup is killed and removed, then the directory.  An entry is made
 * and locked under a shared lock of ISPAWN_SESSIONS_DIR, a sweep looks for dead ones under an
 * exclusive one, so that no entry is taken for dead between its mkdir and its lock.
 *
 *	socket	where ispawn-shell, ispawnctl and other supervisors connect; the user's, 0600
 *	spec	the frozen spec, 0600 root's, for those who list
 *	pid	the supervisor's, for people, and a hint for spread.c; nothing of ours trusts it
 */
#ifndef ISPAWN_SESSION_REGISTRY_H
#define ISPAWN_SESSION_REGISTRY_H

#include "ispawn/policy/spec.h"

#define ISP_SWEEP_MS 5000      /* for sessions that the caller needs gone */
#define ISP_SWEEP_OTHERS_MS 50 /* for those that it passes by */

/** struct isp_entry - this supervisor's own entry; descriptors owned */
struct isp_entry {
	char id[ISP_SESSION_ID_SIZE];
	int dir_fd;    /* locked */
	int listen_fd; /* SOCK_SEQPACKET, non-blocking */
};

#define ISP_ENTRY_CLOSED                                                                           \
	(struct isp_entry)                                                                         \
	{                                                                                          \
		.dir_fd = -EBADF, .listen_fd = -EBADF                                              \
	}

/**
 * isp_registry_create() - enter a session
 * @bytes, @size: the encoded spec, kept in the entry
 * Runs as: host root, under the user's store lock (so that the count is right).
 * Must: leave no directory behind when it fails.
 * Return: 0; -EUSERS the user has `sessions` open already; -EEXIST id in use; -errno.
 */
ISP_MUST_CHECK int isp_registry_create(const struct isp_spec *spec, const char *bytes, size_t size,
				       struct isp_entry *ret, struct isp_error *err);

/** isp_registry_stop_listening() - nobody new comes in; pending connections see end of file. */
void isp_registry_stop_listening(struct isp_entry *entry);

/** isp_registry_remove() - remove the own entry and close it; nothing to do when closed. */
ISP_MUST_CHECK int isp_registry_remove(struct isp_entry *entry);

/**
 * isp_registry_sweep() - clean up after dead sessions
 * @user: only this user's; NULL for everybody's
 * @kill_ms: how long to wait for each to die.  Threat: a process that cannot be killed (it hangs in
 *           a dead file system) must not hold up everybody's logins.
 * @ret_count: how many were cleaned up; may be NULL
 * Return: 0; -errno of the first that could not be cleaned up (the rest is still tried).
 */
ISP_MUST_CHECK int isp_registry_sweep(const char *user, unsigned int kill_ms, size_t *ret_count,
				      struct isp_error *err);

/**
 * isp_registry_share() - the mount namespace in which a live session of this user keeps the
 * overlay of the same template
 * Runs as: host root, under the user's store lock.  Waits for sessions that are just ending: two
 * overlays over one upper layer must not exist.
 * @ret_fd: -EBADF when there is no such session
 * Return: 0; -ETIMEDOUT a session neither answers nor ends; -errno.
 */
ISP_MUST_CHECK int isp_registry_share(const struct isp_spec *spec, int64_t deadline_ms, int *ret_fd,
				      struct isp_error *err);

/** struct isp_listed - one entry as `ispawnctl list` sees it; isp_listed_free() frees the spec */
struct isp_listed {
	char id[ISP_SESSION_ID_SIZE];
	struct isp_spec spec;
	int64_t started_s; /* CLOCK_REALTIME */
	pid_t supervisor;  /* 0 when unknown */
	bool is_live;
};

void isp_listed_free(struct isp_listed *listed);

/** isp_registry_visit() - called for each entry; a negative return ends the visit with it. */
typedef int isp_registry_visitor(struct isp_listed *listed, void *closure);
ISP_MUST_CHECK int isp_registry_visit(isp_registry_visitor *visit, void *closure,
				      struct isp_error *err);

/** isp_registry_connect() - a connection to a session's socket, as a client. Return: 0; -errno. */
ISP_MUST_CHECK int isp_registry_connect(const char *id, int *ret_fd);

#endif
