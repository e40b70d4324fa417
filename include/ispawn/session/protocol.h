/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * protocol.h - the messages between door, supervisor, builder, init and ispawn-shell
 *
 * Theory of operation: every socket is SOCK_SEQPACKET and carries one fixed-size message with up to
 * ISP_FDS_MAX descriptors, so that there is nothing to parse but a header.  The supervisor is the
 * hub: doors, shells and init each talk to it alone.  What a shell asks of init (argv, environment,
 * terminal) travels in a memfd that the supervisor passes on without looking.  Each receiver has a
 * table of the types it takes from that peer in that state; anything else ends the peer.  A gate
 * opens on an explicit message only: end of file is what a dead peer looks like, and means stop.
 *
 *   door ---- READY, FAILED, CLOSED <--> CLOSE, OWN ------- supervisor
 *   builder - FAILED, as init UP <--> MAPPED, PART, GO ---- supervisor
 *   shell --- STARTED, REFUSED, EXITED, NOTICE <--> OPEN, SIGNAL --- supervisor
 *   init ---- STARTED, REFUSED, EXITED, EMPTY <--> OPEN, SIGNAL, HANGUP, STOP --- supervisor
 *   shell --- READY, FAILED <--> (nothing) ---------------- door 2, whose end of file ends the
 * session control - CLOSED, SHARED, FAILED, PLACE <--> KILL, SHARE, OPEN, JOIN ----- supervisor
 *           (peer uid 0 only; what OPEN is answered with is as for a shell)
 */
#ifndef ISPAWN_SESSION_PROTOCOL_H
#define ISPAWN_SESSION_PROTOCOL_H

#include "ispawn/base/err.h"
#include "ispawn/base/fd.h"

#define ISP_MESSAGE_MAGIC 0x69737031u /* "isp1": magic and version in one */
#define ISP_SOCKET_NAME "socket"      /* in the session's directory, owned by the user, mode 0600 */
#define ISP_REQUEST_SIZE_MAX (1024 * 1024)
#define ISP_TENANTS_MAX 64 /* in one session at once */
/* Beside them, so that a user who runs all of his own does not keep the administrator out. */
#define ISP_TENANTS_ADMIN_MAX 4

enum isp_message_type {
	ISP_MESSAGE_NONE,

	/* supervisor <-> door, on the descriptor that is the session's lifetime */
	ISP_MESSAGE_READY,  /* to door: init runs; fds: [netns] unless network = host.  From door 2
			     * to shell: @text is the session's id */
	ISP_MESSAGE_FAILED, /* to door and to supervisor: @error says why.  From door 2 to shell:
			     * @text is the sentence for the user */
	ISP_MESSAGE_CLOSE,  /* from door: end the session in order */
	ISP_MESSAGE_CLOSED, /* to door: everything is gone; of a directory that is run in place, all
			     * but the session's entry and its empty cgroup, which go now */
	ISP_MESSAGE_OWN,    /* from a door whose session is there for one command (spec:
			     * runs_commands), once; fds: [its connection, as a shell's].  May come
			     * before READY.  The end of its tenant is as good as a CLOSE */

	/* supervisor <-> builder, later init, on one socketpair */
	ISP_MESSAGE_MAPPED, /* to builder: its ids are mapped, it executes ispawn-init */
	ISP_MESSAGE_PART,   /* to builder: @value: enum isp_part, @tenant: place of the first among
			     * its like; fds: they, in order (handover.h) */
	ISP_MESSAGE_GO,     /* to builder: that was all; @value, @text: see there */
	ISP_MESSAGE_UP,     /* from init: all steps proved and init runs, ready for tenants.  The
			     * parent-death signal was off for a moment when the ids changed: a
			     * supervisor that died in it is found dead by this very message. */

	/* shell -> supervisor -> init, and back; @tenant is chosen by the supervisor */
	ISP_MESSAGE_OPEN,    /* start a tenant; fds: request memfd, then stdin, stdout, stderr that
			      * are passed through, as the request says; @text: command, for the log.
			      * To init @value says who asks: enum isp_asker, the supervisor's word */
	ISP_MESSAGE_STARTED, /* fds: [pty primary, O_PATH of its device] when the request has a tty
			      */
	ISP_MESSAGE_REFUSED, /* not started: @value is the exit status (126, 127, 125), @error why
			      */
	ISP_MESSAGE_SIGNAL,  /* @value: signal number for the tenant's foreground processes */
	ISP_MESSAGE_EXITED,  /* @value: wait status as from waitpid(2) */
	ISP_MESSAGE_NOTICE,  /* to shell: @text is a sentence for the user's terminal */
	ISP_MESSAGE_HANGUP,  /* to init: the tenant's shell is gone */
	ISP_MESSAGE_STOP,    /* to init: SIGHUP and SIGTERM to all tenants, the session ends */
	ISP_MESSAGE_EMPTY,   /* from init: no process but init is left (for on_logout = linger) */

	/* administrator (peer uid 0) <-> supervisor, on the session's socket */
	ISP_MESSAGE_KILL,   /* end the session; answered with CLOSED when it is gone */
	ISP_MESSAGE_SHARE,  /* another supervisor of this user; answered with SHARED */
	ISP_MESSAGE_SHARED, /* fds: [mount namespace in which the user's overlay is attached] */
	ISP_MESSAGE_JOIN,   /* for the container's root: where is it?  Answered with PLACE; from
			     * then on the connection asks for nothing, and keeps a session that
			     * lingers alive until it closes.  @text: command, for the log */
	ISP_MESSAGE_PLACE,  /* fds: [pidfd of init] */

	ISP_MESSAGE_COUNT,
};

/** enum isp_asker - whose wish a tenant is.  The administrator may name any program; the user may
 * where his policy lets him. */
enum isp_asker { ISP_ASKER_USER, ISP_ASKER_ADMIN };

#define ISP_MESSAGE_TEXT_SIZE 256

/** struct isp_message - the only thing that is ever sent */
struct isp_message {
	uint32_t magic;  /* ISP_MESSAGE_MAGIC */
	uint32_t type;   /* enum isp_message_type */
	uint32_t tenant; /* number of the tenant within the session, from 1; 0 = none */
	int32_t value;
	struct isp_error error;
	char text[ISP_MESSAGE_TEXT_SIZE]; /* untrusted unless the sender is the supervisor */
};

/*
 * The programs of one session must be of one build: they talk by structures, not by a language.
 * Each carries ISP_BUILD_PREFIX and a digest of its sources, which `ispawnctl doctor` looks for in
 * the installed files.
 */
#define ISP_BUILD_PREFIX "ispawn-build:"
#define ISP_BUILD_DIGITS 16

/** isp_protocol_build() - our own digest, ISP_BUILD_DIGITS hexadecimal digits */
const char *isp_protocol_build(void);

/** isp_message_send() - fill in the magic and send; see isp_fd_send() for @fds and errors. */
ISP_MUST_CHECK int isp_message_send(int sock_fd, struct isp_message *message, const int *fds,
				    size_t fd_count, int flags);

/**
 * isp_message_receive() - one checked message
 * @allowed: bit mask of 1u << type that the receiver takes now
 * @ret_fds: ISP_FDS_MAX entries; the first *@ret_fd_count become the caller's
 * The text and the error's text are NUL-terminated on return, not escaped.
 * Return: 1 a message; 0 end of file; -EAGAIN; -EPROTO wrong magic, size or type; -errno.
 */
ISP_MUST_CHECK int isp_message_receive(int sock_fd, uint32_t allowed, struct isp_message *ret,
				       int *ret_fds, size_t *ret_fd_count, int flags);

/** isp_message_close_fds() - close what a message brought and nobody took. */
void isp_message_close_fds(int *fds, size_t fd_count);

#endif
