/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-enter.h - what the two ways into a session share
 *
 * Theory of operation: ispawnctl-enter.c chooses the session and relays, as the login shell does
 * and with its files; ispawnctl-join.c starts ispawn-enter, which is to the container's root what
 * init is to its tenants: the relay speaks to the one or to the other and sees no difference.
 */
#ifndef ISPAWN_SHELL_ISPAWNCTL_ENTER_H
#define ISPAWN_SHELL_ISPAWNCTL_ENTER_H

#include "ispawn-shell.h"
#include "ispawnctl.h"

#include "ispawn/base/fd.h"

#include <fcntl.h>

/**
 * struct entry_wish - what the administrator asked for; strings are the command line's
 * @root_uid: the container's root on the host; (uid_t)-1 when unknown
 * @place_fd: to the supervisor, for as long as --root is in there; owned
 * @steward: ispawn-enter, our child; 0 when there is none
 */
struct entry_wish {
	const struct isp_listed *session;
	char **command;
	int command_count;
	bool is_root;
	uid_t root_uid;
	int place_fd;
	pid_t steward;
};

#define ENTRY_WISH_EMPTY                                                                           \
	{                                                                                          \
		.root_uid = (uid_t)-1, .place_fd = -EBADF                                          \
	}

/**
 * join_start() - ask the supervisor for its init, and start ispawn-enter beside it
 * @connection_fd: to the supervisor; replaced by one to ispawn-enter
 * Return: 0; -errno, the record filled.
 */
ISP_MUST_CHECK int join_start(struct entry_wish *wish, int *connection_fd, struct isp_error *err);

/** join_end() - once the connection is closed: reap it, and let the session go; nothing to do
 * without --root. */
void join_end(struct entry_wish *wish);

#endif
