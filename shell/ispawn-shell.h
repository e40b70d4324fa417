/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-shell.h - what the parts of ispawn-shell share, three of them with ispawn
 *
 * Theory of operation: ispawn-shell.c says who may run it and how it ends; -streams.c finds out
 * what stdin, stdout and stderr are and writes the request; -terminal.c owns the user's terminal;
 * -relay.c is the loop between start and end.  These three stand in for a program inside whoever
 * asked for it, so that the runner (ispawn.c) is made of them as well.  State is one struct, filled
 * front to back.
 */
#ifndef ISPAWN_SHELL_ISPAWN_SHELL_H
#define ISPAWN_SHELL_ISPAWN_SHELL_H

#include "ispawn/base/parse.h"
#include "ispawn/session/protocol.h"
#include "ispawn/session/relay.h"
#include "ispawn/session/request.h"

#include <signal.h>

#define STATUS_OURS 125 /* our own failure, as env(1) and docker(1) use it */

/**
 * struct terminal - the user's terminal on the host
 * @fd:       which of 0, 1, 2 it is; -EBADF when none is a terminal
 * @is_input: stdin is one, so it is read and made raw
 * @is_raw:   @saved must be put back before anything else uses it
 */
struct terminal {
	int fd;
	bool is_input;
	bool is_raw;
	struct termios saved;
};

/**
 * struct streams - how 0, 1 and 2 reach the tenant
 * @kinds:     as the request says
 * @sent_fds:  what travels in OPEN for PASSED: the descriptor itself, or the inner end of a pipe
 * @is_ours:   @sent_fds is such a pipe end, ours to close
 * @outer_fds: the outer end of that pipe, relayed to or from the descriptor; -EBADF without
 */
struct streams {
	enum isp_stream kinds[ISP_REQUEST_STREAMS];
	int sent_fds[ISP_REQUEST_STREAMS];
	bool is_ours[ISP_REQUEST_STREAMS];
	int outer_fds[ISP_REQUEST_STREAMS];
};

/* One into the container, up to three out of it: the pty's, a relayed stdout and stderr. */
enum { CHANNEL_INPUT, CHANNEL_PTY, CHANNEL_STDOUT, CHANNEL_STDERR, CHANNEL_COUNT };

struct shell {
	char session[ISP_SESSION_ID_SIZE];
	bool is_command; /* argv[0] names the program (isp_request); else arguments for the shell */
	bool keeps_streams; /* nothing of ours travels inside but pipes that are made for it */
	uid_t pipe_uid;     /* whose those are, so that /dev/stdout can be opened; else (uid_t)-1 */
	const char *directory; /* to start in; NULL: where a login does */
	int door_fd;           /* door 2: kept open, for its end is the session's */
	int connection_fd;
	int signal_fd;
	struct terminal terminal;
	struct streams streams;
	int primary_fd; /* the tenant's pty, seen from outside; -EBADF without one */
	struct isp_channel channels[CHANNEL_COUNT];
};

/** enum outcome - how it ended; each has one way to leave */
enum outcome {
	OUTCOME_EXITED,  /* value: the tenant's wait status */
	OUTCOME_REFUSED, /* value: the exit status to use; the record says why */
	OUTCOME_LOST,    /* the connection is gone without a word */
	OUTCOME_HANGUP,  /* our own terminal, or whoever sent SIGHUP, is gone */
};

/**
 * struct ending - what relay_run() leaves to main
 * @notice: the supervisor's last words before EXITED: the limit that ended the tenant; may be ""
 */
struct ending {
	enum outcome outcome;
	int value;
	struct isp_error error;
	char notice[ISP_MESSAGE_TEXT_SIZE];
};

/** shell_say() - one sentence to the user on stderr, escaped by the caller; keeps quiet when it
 * can't. */
void shell_say(const struct shell *shell, const char *fmt, ...) ISP_PRINTF(2, 3);

/** streams_hold() - call first: open /dev/null on closed 0, 1, 2, so that none of our own
 * descriptors can become a standard one. @ret_is_closed: which they were. */
ISP_MUST_CHECK int streams_hold(bool ret_is_closed[ISP_REQUEST_STREAMS]);

/** streams_plan() - find out what 0, 1, 2 are and make the pipes for those that stay outside. */
ISP_MUST_CHECK int streams_plan(struct shell *shell, const bool is_closed[ISP_REQUEST_STREAMS],
				struct isp_error *err);

/** streams_ask() - write the request and send OPEN, then let go of what now lives inside. */
ISP_MUST_CHECK int streams_ask(struct shell *shell, int argc, char **argv, struct isp_error *err);

/** streams_describe() - the words of a command in one, for the log alone: cut to fit, and escaped
 * by whoever logs it. */
void streams_describe(char ret_text[ISP_MESSAGE_TEXT_SIZE], int argc, char **argv);

/** streams_connect() - open the channels, once the tenant and its pty are there. */
ISP_MUST_CHECK int streams_connect(struct shell *shell, struct isp_error *err);

/** terminal_find() - the first terminal among 0, 1, 2, as @kinds says. */
void terminal_find(struct terminal *terminal, const enum isp_stream kinds[ISP_REQUEST_STREAMS]);

/** terminal_describe() - the modes and the size a tenant's pty starts with */
void terminal_describe(const struct terminal *terminal, struct isp_request *request);

/** terminal_make_raw(), terminal_restore() - every key goes inside; every way out restores. */
void terminal_make_raw(struct terminal *terminal);
void terminal_restore(struct terminal *terminal);

/** terminal_resize() - tell the pty the terminal's present size. */
void terminal_resize(const struct terminal *terminal, int primary_fd);

/** terminal_open() - the terminal @fd again, as an open file of our own that need not wait.
 * @ret_is_own: false when it could not be opened, and the descriptor is @fd's open file, which
 * others share
 * Return: a descriptor, the caller's; -errno. */
ISP_MUST_CHECK int terminal_open(int fd, bool *ret_is_own);

/** terminal_is_primary() - is this what init says it is? Threat: a hostile init sends any file. */
bool terminal_is_primary(int fd);

/** relay_open_signals() - block the signals that the loop takes itself, and watch for them */
ISP_MUST_CHECK int relay_open_signals(struct shell *shell);

/** relay_run() - from OPEN to the end; restores nothing, prints notices to terminals only. */
void relay_run(struct shell *shell, struct ending *ret_ending);

/** relay_refuse() - the end of what could not be begun, for the reason in @err. */
void relay_refuse(const struct isp_error *err, struct ending *ret_ending);

/** relay_tenant() - all of it, for 0, 1, 2 as they are: signals, streams, the request @argv, the
 * relay; what cannot be begun is an OUTCOME_REFUSED. */
void relay_tenant(struct shell *shell, const bool is_closed[ISP_REQUEST_STREAMS], int argc,
		  char **argv, struct ending *ret_ending);

#endif
