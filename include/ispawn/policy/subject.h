/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * subject.h - who is logging in
 *
 * Theory of operation: everything that only the host's name service knows is asked here, once, in
 * the door's process, before anything of a container is in sight.  Threat: NSS modules loaded from
 * a tree that the user can write run as root (CVE-2019-14271, CVE-2025-32463).  Ids are numbers
 * from then on; names travel along only to be written into the container's passwd and group.
 */
#ifndef ISPAWN_POLICY_SUBJECT_H
#define ISPAWN_POLICY_SUBJECT_H

#include "ispawn/policy/spec.h"

/* Members are never confined, whatever the configuration says or whether it can be read. */
#define ISPAWN_EXEMPT_GROUP "ispawn-exempt"

/** struct isp_subject - all strings owned, never NULL once resolved */
struct isp_subject {
	enum isp_owner owner; /* ROOT: one of a tree's own users, isp_subject_find_in_tree() */
	char user[ISP_NAME_MAX + 1];
	uid_t uid;
	gid_t gid;
	char *group; /* name of the primary group, or its number when it has no name */
	char *gecos, *home, *shell;
	struct isp_group *groups; /* supplementary groups, the primary one left out */
	size_t group_count;
	char *service, *tty, *rhost;
};

void isp_subject_free(struct isp_subject *subject);
#define cleanup_subject __attribute__((cleanup(isp_subject_free)))

/**
 * isp_subject_resolve() - look @user up on the host
 * @user: may be spelt in a way that only the name service takes for the same; its spelling is kept
 * @service, @tty, @rhost: as PAM gives them; NULL is taken as ""
 * @ret_subject: zeroed by the caller; on failure left zeroed
 * A name that is not safe in paths becomes "?": nobody is confined by it, and freezing refuses it.
 * Return: 0; -ENOENT no such user; -errno of the lookup.
 */
ISP_MUST_CHECK int isp_subject_resolve(const char *user, const char *service, const char *tty,
				       const char *rhost, struct isp_subject *ret_subject,
				       struct isp_error *err);

/**
 * isp_subject_find_in_tree() - one of a directory's own users, for root's containers
 * @directory_fd: borrowed; the root of the tree, O_PATH is enough
 * @user: a name in its etc/passwd, UID, or UID:GID; NULL is 0
 * @service: as above
 * @ret_subject: zeroed by the caller; on failure left zeroed; owner is ISP_OWNER_ROOT
 * No name service is asked: the two files are text, read by us.  Threat: a tree that somebody else
 * has written.  Its symlinks lead nowhere but back into it, and what is not a plain file is not
 * opened; a number needs no entry, and takes name, home and shell from one if there is one.
 * Return: 0; -ENOENT no such user; -EINVAL a number out of 0..65535, or a name that cannot be one;
 * -errno.
 */
ISP_MUST_CHECK int isp_subject_find_in_tree(int directory_fd, const char *user, const char *service,
					    struct isp_subject *ret_subject, struct isp_error *err);

/** isp_subject_name() - the name of @uid. @ret_name: the caller frees. Return: 0; -ENOENT; -errno.
 */
ISP_MUST_CHECK int isp_subject_name(uid_t uid, char **ret_name, struct isp_error *err);

/** isp_subject_is_exempt() - uid 0, or a member of ISPAWN_EXEMPT_GROUP. Reads no configuration. */
bool isp_subject_is_exempt(const struct isp_subject *subject);

#endif
