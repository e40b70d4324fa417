/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * supervise.h - one session, from its spec to its last trace
 *
 * Theory of operation: the supervisor is a process per session and the only one that stays root on
 * the host.  It starts a container (start.c), guards its entrance (supervise.c, tenants.c) and
 * cleans up (finish.c); journal.c writes its log lines.  While it builds it holds a listed set of
 * capabilities, afterwards CAP_KILL alone.  The socket to the door is the session's lifetime: its
 * end of file, from whatever cause, ends the container, and a pidfd on the application backs it up.
 * The supervisor's own end kills init by the parent-death signal, and with init the kernel kills
 * all inside; what is then left under /run and in the cgroup tree is swept by the next login.
 * Everything is one poll loop; nothing in it waits for a peer.
 */
#ifndef ISPAWN_SESSION_SUPERVISE_H
#define ISPAWN_SESSION_SUPERVISE_H

#include "ispawn/container/cgroup.h"
#include "ispawn/container/cpus.h"
#include "ispawn/container/idmap.h"
#include "ispawn/container/store.h"
#include "ispawn/session/protocol.h"
#include "ispawn/session/registry.h"

/** enum isp_end - why a session ended, for its last log line */
enum isp_end {
	ISP_END_NONE,
	ISP_END_CLOSED,      /* the door closed it in order */
	ISP_END_DOOR_GONE,   /* end of file on the door's socket */
	ISP_END_APPLICATION, /* the PAM application died */
	ISP_END_INIT,        /* init died */
	ISP_END_KILLED,      /* ispawnctl kill, or SIGTERM to the supervisor */
	ISP_END_IDLE,
	ISP_END_MAX_SESSION,
	ISP_END_PROTOCOL, /* init broke the protocol */
	ISP_END_EMPTY,    /* lingered until its last process ended */
	ISP_END_COUNT,
};

/* What a connection on the session's socket is. */
enum isp_peer {
	ISP_PEER_FREE,
	ISP_PEER_SHELL,    /* connected, has not asked yet */
	ISP_PEER_STARTING, /* its tenant is being started */
	ISP_PEER_RUNNING,  /* its tenant runs */
	ISP_PEER_LEFT,     /* the shell is gone, its tenant may still run */
	ISP_PEER_ADMIN,    /* uid 0 */
	ISP_PEER_JOINED,   /* uid 0, which runs something inside that init does not know */
};

/* The user's connections, and behind them a few of root's: a user who takes all of his own must not
 * keep the administrator, or his own next login's supervisor, out. */
#define ISP_CONNECTIONS_FOR_ROOT 4 /* beside those that stay: programs the administrator runs */
#define ISP_CONNECTIONS_MAX (ISP_TENANTS_MAX + ISP_TENANTS_ADMIN_MAX + ISP_CONNECTIONS_FOR_ROOT)

/** struct isp_connection - one slot; descriptors owned */
struct isp_connection {
	enum isp_peer peer;
	int fd;          /* non-blocking; -EBADF once the shell has left */
	int terminal_fd; /* O_PATH of the tenant's terminal inside, for its idle time */
	uint32_t tenant;
	bool is_started;     /* init has said so */
	bool is_own;         /* the door's, whose tenant's end is the session's */
	int64_t deadline_ms; /* until when a new connection must have asked */
};

/** struct isp_supervisor - one session; everything in it is owned */
struct isp_supervisor {
	struct isp_spec spec;
	char *spec_bytes;
	size_t spec_size;

	int door_fd;        /* to the module; consumed from main */
	int spec_fd;        /* the sealed memfd, handed on to init */
	int application_fd; /* pidfd of the PAM application; -EBADF: none */
	int directory_fd;   /* spec.directory, while it builds; -EBADF: none */

	struct isp_store store;
	struct isp_entry entry;
	struct isp_cgroup cgroup;
	struct isp_idmap map;
	int host_ns_fd; /* while it builds an overlay: the mount namespace to go back to */
	int own_ns_fd;  /* private mount namespace with the overlay; -EBADF: a root without one */
	int userns_fd, netns_fd;
	int init_fd; /* socket to builder, later init */
	int init_pid_fd;
	pid_t init_pid;
	int signal_fd;
	bool is_narrowed; /* the container, to @processors */
	cpu_set_t processors;

	struct isp_connection connections[ISP_CONNECTIONS_MAX];
	uint32_t tenants_started;
	uint32_t tenants_running;
	bool is_empty;     /* init has said that nothing but itself is left */
	bool is_lingering; /* the door is gone, on_logout = linger */
	bool is_warned;    /* of a time limit that comes near */
	bool has_told_closed;
	bool has_own;     /* the door has had a connection of its own */
	bool is_own_over; /* and its tenant has ended, or never began */

	int64_t start_deadline_ms;
	int64_t started_ms, ready_ms;
	struct isp_usage reported; /* counters of which the user has been told */
	enum isp_end end;
};

/** isp_supervisor_init() - all descriptors closed, all slots free. */
void isp_supervisor_init(struct isp_supervisor *s);

/**
 * isp_session_start() - build the container; 0 when init runs inside
 * Runs as: host root with isp_caps_supervisor_build(), in the cgroup of supervisors.
 * Must: leave nothing behind when it fails, once isp_session_finish() was called.
 */
ISP_MUST_CHECK int isp_session_start(struct isp_supervisor *s, struct isp_error *err);

/**
 * isp_session_admit() - serve the door's own command, if it has asked for one by now
 * Runs as: as below, before it.  Does not wait.
 */
void isp_session_admit(struct isp_supervisor *s);

/**
 * isp_session_supervise() - guard the entrance until the session ends
 * Runs as: host root with isp_caps_supervisor_rest().
 * On return @s->end says why.
 */
void isp_session_supervise(struct isp_supervisor *s);

/**
 * isp_session_finish() - end the tenants, kill what is left, remove every trace, log the end
 * Works at any stage, after a failed start too.
 * Return: 0; -errno of what could not be removed (it is logged; the next sweep tries again).
 */
int isp_session_finish(struct isp_supervisor *s, struct isp_error *err);

/** isp_session_tell_closed() - to the door, once. */
void isp_session_tell_closed(struct isp_supervisor *s);

/* tenants.c: the connections */
void isp_tenants_accept(struct isp_supervisor *s);
/** isp_tenants_take_own() - a connection that the door has handed over; consumes @fd. */
void isp_tenants_take_own(struct isp_supervisor *s, int *fd);
/** isp_tenants_from_peer() - something came from the peer of slot @c. */
void isp_tenants_from_peer(struct isp_supervisor *s, struct isp_connection *c);
/** isp_tenants_from_init() - something came from init; false when init is done for. */
bool isp_tenants_from_init(struct isp_supervisor *s);
/** isp_tenants_notice() - a sentence to every running shell. */
void isp_tenants_notice(struct isp_supervisor *s, const char *sentence);
/** isp_tenants_report_limits() - tell who hit a limit since the last time, user and log. */
void isp_tenants_report_limits(struct isp_supervisor *s);
/** isp_tenants_idle_since() - CLOCK_REALTIME seconds of the last sign of life on any terminal;
 * INT64_MAX while a tenant without a terminal runs, or when nothing runs. */
int64_t isp_tenants_idle_since(const struct isp_supervisor *s);
/** isp_tenants_is_joined() - does the administrator run something that init does not know? */
bool isp_tenants_is_joined(const struct isp_supervisor *s);
/** isp_tenants_close() - close all connections; admins hear CLOSED. */
void isp_tenants_close(struct isp_supervisor *s);

/* spread.c: as many processors as the quota is worth, where others use few */
/** isp_session_narrow() - choose them; kept in @s. */
void isp_session_narrow(struct isp_supervisor *s);
/**
 * isp_session_settle() - move init there, and this process, by whose processors other sessions know
 * Runs as: before the first tenant, which inherits it.  Order: not before init waits for one: while
 * it builds, both of us have work, and would have to share a processor for it.
 */
void isp_session_settle(const struct isp_supervisor *s);

/* journal.c: the log lines */
void isp_journal_start(const struct isp_supervisor *s);
void isp_journal_denied(const struct isp_supervisor *s, const struct isp_error *err);
void isp_journal_tenant(const struct isp_supervisor *s, uint32_t tenant, const char *command);
void isp_journal_limit(const struct isp_supervisor *s, const char *limit, uint64_t count);
void isp_journal_trouble(const struct isp_supervisor *s, const struct isp_error *err);
void isp_journal_end(const struct isp_supervisor *s, const struct isp_usage *usage);

#endif
