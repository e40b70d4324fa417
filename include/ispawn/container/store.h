/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * store.h - what stays on disk: templates, and each user's own
 *
 * Theory of operation: everything lies under ISPAWN_STORE_DIR, which only root can enter, so that
 * no setuid file or device node that a user makes in his copy can be reached from the host.
 *
 *	templates/NAME/rootfs        the administrator's; never written to by a session
 *	ranges                       id ranges handed out from the pool (idmap.h)
 *	users/USER/owner             the uid that all below belongs to
 *	users/USER/machine-id        the same in each of the user's containers
 *	users/USER/home              home = private
 *	users/USER/rootfs-NAME/      the user's copy of template NAME:
 *	    data/upper, data/work    rootfs = overlay
 *	    copy                     rootfs = copy
 *	    lower, root              empty: mount points in supervisors' private namespaces
 *
 * A flock on users/USER serialises the building of one user's containers: the first login makes
 * things that later ones find.  What a first login makes is made under another name and renamed
 * once the container stands, so that a crash leaves nothing half made in its place.
 */
#ifndef ISPAWN_CONTAINER_STORE_H
#define ISPAWN_CONTAINER_STORE_H

#include "ispawn/policy/spec.h"

/** struct isp_store - open directories of one user; descriptors owned */
struct isp_store {
	int store_fd;     /* ISPAWN_STORE_DIR */
	int user_fd;      /* users/USER, locked until isp_store_unlock() */
	int copy_fd;      /* users/USER/rootfs-TEMPLATE */
	int template_fd;  /* templates/TEMPLATE/rootfs, or the spec's directory; O_PATH */
	bool is_home_new; /* home.new was made for this login; builder fills it */
	char machine_id[33];
};

#define ISP_STORE_CLOSED                                                                           \
	(struct isp_store)                                                                         \
	{                                                                                          \
		.store_fd = -EBADF, .user_fd = -EBADF, .copy_fd = -EBADF, .template_fd = -EBADF,   \
	}

/**
 * isp_store_open() - open the template and the user's directories, made when missing, locked
 * @directory_fd: borrowed; the spec's directory, if it has one
 * @deadline_ms: CLOCK_MONOTONIC time until which the lock is waited for
 * @cancel_fd:   borrowed; when it hangs up (the door is gone) the waiting ends
 * Runs as: host root.
 * Return: 0; -ENOENT no such template (named); -EPERM the directory is another uid's (named);
 * -ETIMEDOUT; -ECANCELED; -errno.
 */
ISP_MUST_CHECK int isp_store_open(const struct isp_spec *spec, int directory_fd,
				  int64_t deadline_ms, int cancel_fd, struct isp_store *ret_store,
				  struct isp_error *err);

/** isp_store_home() - O_PATH fd of users/USER/home, or of a fresh home.new at a first login. */
ISP_MUST_CHECK int isp_store_home(struct isp_store *store, const struct isp_spec *spec, int *ret_fd,
				  struct isp_error *err);

/** isp_store_commit() - the container stands: what the first login made gets its name. */
ISP_MUST_CHECK int isp_store_commit(struct isp_store *store, struct isp_error *err);

/** isp_store_unlock() - let the user's next login build. */
void isp_store_unlock(struct isp_store *store);

void isp_store_close(struct isp_store *store);
#define cleanup_store __attribute__((cleanup(isp_store_close)))

#endif
