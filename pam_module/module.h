/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * module.h - the parts of pam_ispawn.so, known to each other only
 *
 * Theory of operation: the module is a guest in a process that it did not write, sshd's root
 * monitor say.  It decides (policy), starts the supervisor as a process that the application
 * neither owns nor notices (session/launch.h), waits for one message, then changes exactly two
 * things about the calling thread: its mount namespace, so that the user's shell is ispawn-shell
 * (cover.c), and its network namespace, so that what the application forwards obeys the
 * container's rules (place.c).  Both are undone when the session closes, and on every failed path.
 *
 * As a guest it has no static state, starts no thread, installs no handler, writes to no
 * descriptor of the application's, never ends the process, and leaves directory, root, umask,
 * signal mask and environment as they were.  What must live from open to close is PAM data.
 *
 * Threads: namespaces belong to threads, not to processes.  Only the calling thread is moved, and
 * from then on (Kernel: unshare(2), CLONE_NEWNS implies CLONE_FS) it has a working directory and
 * umask apart from its siblings', which cannot be joined again.  Applications that open sessions
 * for others (sshd, login, su) do so in a process of one thread, which then forks the user's.
 */
#ifndef ISPAWN_MODULE_H
#define ISPAWN_MODULE_H

#include "ispawn/base/err.h"
#include "ispawn/policy/spec.h"
#include "ispawn/session/denial.h"

#include <security/pam_modules.h>

/* --- options.c --- */

/** struct isp_module_options - the words after pam_ispawn.so in a PAM file; strings borrowed */
struct isp_module_options {
	const char *config_path;
	bool is_debug;
};

/**
 * isp_module_options() - read `conf=PATH` and `debug`
 * Return: 0; -EINVAL unknown, repeated or unclean (the record quotes the word).
 */
ISP_MUST_CHECK int isp_module_options(int argc, const char **argv,
				      struct isp_module_options *ret_options,
				      struct isp_error *err);

/* --- deny.c --- */

/**
 * isp_module_deny() - one log line, one sentence for the user
 * @flags:   as PAM gave them; PAM_SILENT keeps the sentence back
 * @user:    untrusted; NULL is taken as ""
 * @session: its id; NULL or "" before there is one
 * Return: the PAM code, never PAM_SUCCESS or PAM_IGNORE.
 */
int isp_module_deny(pam_handle_t *pamh, int flags, enum isp_denial denial, const char *user,
		    const char *session, const struct isp_error *err);

/** isp_module_trouble() - a line about an open session that denies nothing. */
void isp_module_trouble(pam_handle_t *pamh, int priority, const char *user, const char *session,
			const struct isp_error *err);

/** isp_module_debug() - a line for the option `debug`: @event, a word, happened. */
void isp_module_debug(pam_handle_t *pamh, const char *user, const char *session, const char *event);

/* --- place.c --- */

/**
 * struct isp_module_place - where the calling thread was
 * All descriptors owned, each taken before anything changed.
 */
struct isp_module_place {
	int mount_fd, net_fd;      /* namespaces */
	int root_fd, directory_fd; /* in the mount namespace @mount_fd */
	bool has_left_mounts, has_left_net;
};

#define ISP_MODULE_NO_PLACE                                                                        \
	{                                                                                          \
		.mount_fd = -EBADF, .net_fd = -EBADF, .root_fd = -EBADF, .directory_fd = -EBADF,   \
	}

/** isp_module_place_save() - remember where we are. Return: 0; -errno of open. */
ISP_MUST_CHECK int isp_module_place_save(struct isp_module_place *ret_place, struct isp_error *err);

/** isp_module_place_join() - move into the network namespace @net_fd. Return: 0; -errno of setns;
 * -EINVAL @net_fd is no network namespace. */
ISP_MUST_CHECK int isp_module_place_join(struct isp_module_place *place, int net_fd,
					 struct isp_error *err);

/** isp_module_place_restore() - go back, everything as it was but what the application itself
 * changed in between. Return: 0; -errno of the first call that failed (the rest is tried). */
ISP_MUST_CHECK int isp_module_place_restore(struct isp_module_place *place, struct isp_error *err);

/** isp_module_place_close() - close the descriptors, move nowhere. */
void isp_module_place_close(struct isp_module_place *place);

/* --- cover.c --- */

/**
 * isp_module_cover() - from now on @shell is ispawn-shell for this thread and its children
 * @shell: the passwd entry's; "" means /bin/sh, as passwd(5) says
 * @place: saved; has_left_mounts is set as soon as it is true
 * Nothing to do when @shell is ispawn-shell already, by login shell or by an earlier session.
 * Threat: a shell in a directory that the user can write would be covered where nobody looks any
 * more, after a rename; only paths that root alone can change are covered.
 * Must: be followed by isp_module_place_restore() when it fails.
 * Return: 0; -EPERM not trusted; -ENOENT no such shell; -errno of unshare, open_tree, move_mount.
 */
ISP_MUST_CHECK int isp_module_cover(const char *shell, struct isp_module_place *place,
				    struct isp_error *err);

/* --- session.c --- */

/** struct isp_module_session - one open session; PAM data holds them, the last opened first */
struct isp_module_session {
	struct isp_module_session *outer;
	char id[ISP_SESSION_ID_SIZE];
	char user[ISP_NAME_MAX + 1];
	int control_fd;
	struct isp_module_place place;
};

/**
 * isp_module_session_add() - a place for one more session in the handle's data
 * @ret_session: empty; owned by the handle, taken out by isp_module_session_remove()
 * Called before anything is started, so that nothing can fail once the container stands.
 * Return: 0; -ENOMEM.
 */
ISP_MUST_CHECK int isp_module_session_add(pam_handle_t *pamh,
					  struct isp_module_session **ret_session,
					  struct isp_error *err);

/** isp_module_session_last() - the session opened last and not closed, or NULL. */
struct isp_module_session *isp_module_session_last(pam_handle_t *pamh);

/** isp_module_session_remove() - take the last session out of the handle and free it. */
void isp_module_session_remove(pam_handle_t *pamh);

#endif
