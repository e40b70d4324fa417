/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * launch.h - how a door starts a supervisor, hears of it and ends it
 *
 * Theory of operation: every door does the same three things with a spec.  It starts the supervisor
 * as a process that the door's own program neither owns nor notices (launch.c); it waits for one
 * message, READY or FAILED, within a deadline; and it lets go of the control socket, in order or
 * by its own death, which ends the session (await.c).  The doors differ in who is asking and in
 * what they do with the answer.  All of this may run in a foreign, perhaps threaded process.
 */
#ifndef ISPAWN_SESSION_LAUNCH_H
#define ISPAWN_SESSION_LAUNCH_H

#include "ispawn/policy/spec.h"

/**
 * isp_launch() - start the supervisor for @spec
 * @directory_fd: borrowed; spec->directory, opened; -EBADF when the spec has none
 * @ret_control_fd: the session's lifetime; closing it ends the supervisor
 * Runs as: host root, in the door, or for a spec that is_rootless as root of its user's own
 * namespace.  Must: leave no child, signal or descriptor behind.
 * A failure between clone and exec arrives as a message on the control socket, not here.
 * Return: 0; -EPERM the supervisor's file is not trusted; -ENOENT it is missing; -errno.
 */
ISP_MUST_CHECK int isp_launch(const struct isp_spec *spec, int directory_fd, int *ret_control_fd,
			      struct isp_error *err);

/** struct isp_life - what a supervisor does that is no program of its own */
struct isp_life {
	int (*live)(void *closure); /* returns the exit status */
	void *closure;
};

/**
 * isp_launch_copy() - the same, in a copy of the caller, which lives @life
 * The copy has the supervisor's descriptors and no others, its session, directory, mask and
 * signals, and all of the caller's memory.  So this is for a door whose memory the supervisor may
 * have: one that was started for this alone, by the one for whom the supervisor works.
 * Runs as: host root, without threads, and not for a spec that is_rootless.  Kernel: the memory of
 * a process belongs to the user namespace in which its program was executed, and in another one
 * nobody has rights over it: such a copy could not look at its own builder (ptrace(2)).
 * Must: the caller waits for no child of any name with __WALL.  It never reaps this one; PID 1
 * does. Return: as for isp_launch(), but for the file.
 */
ISP_MUST_CHECK int isp_launch_copy(const struct isp_spec *spec, int directory_fd,
				   const struct isp_life *life, int *ret_control_fd,
				   struct isp_error *err);

/**
 * isp_launch_connect() - a connection for the door's own command, for a spec that runs_commands
 * @ret_fd: the caller's; as one to the session's socket, and open from now on: what is asked for
 *          before the container stands is served as soon as it does
 * The session ends with that command, as if the door had closed it then.
 * Return: 0; -errno.
 */
ISP_MUST_CHECK int isp_launch_connect(int control_fd, int *ret_fd, struct isp_error *err);

/**
 * isp_launch_await() - wait until the container stands
 * @ret_net_fd: the container's network namespace; untouched with network = host
 * The supervisor is given one second more than spec->start_timeout_s, because it knows better
 * than the door what it was waiting for, and its own deadline should be the one to fire.
 * Return: 0; -ETIMEDOUT; -ECONNRESET the supervisor ended; -EPROTO an unexpected message; else
 * the supervisor's own error.
 */
ISP_MUST_CHECK int isp_launch_await(int control_fd, const struct isp_spec *spec, int *ret_net_fd,
				    struct isp_error *err);

/**
 * isp_launch_cancel() - give up a start, and wait until it is undone, for at most five seconds
 * @control_fd: consumed
 */
void isp_launch_cancel(int *control_fd);

/**
 * isp_launch_end() - have the session closed in order, for at most five seconds
 * @control_fd: consumed
 * Return: 0 closed, or the supervisor was gone already; -ETIMEDOUT; -EPROTO.  The session ends in
 * each case, since its socket does.
 */
ISP_MUST_CHECK int isp_launch_end(int *control_fd, struct isp_error *err);

#endif
