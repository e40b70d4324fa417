/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * idmap.h - whose ids are whose
 *
 * Theory of operation: inside, the user's own uid and gid (and the kept supplementary groups) stand
 * for themselves, so that files he shares with the host stay his; every other id from 0 to 65535
 * stands for one of 65536 host ids that belong to nobody else.  Those come from /etc/subuid and
 * /etc/subgid when the user has a large enough range there, else from a pool of ispawn's own above
 * every range that others hand out.  On disk the copy keeps the ids as the container sees them:
 * an idmapped mount translates, so a change of range never needs a chown of the tree.  In root's
 * own containers (ISP_OWNER_ROOT) nobody's id stands for itself: all of 0..65535 is the range.
 * Threat: container root on a host id that owns anything on the host (CVE-2019-5736).
 */
#ifndef ISPAWN_CONTAINER_IDMAP_H
#define ISPAWN_CONTAINER_IDMAP_H

#include "ispawn/policy/spec.h"

#define ISP_IDMAP_COUNT 65536u
#define ISP_IDMAP_TEXT_SIZE 4096 /* Kernel: user_namespaces(7): one write, less than a page */

/** struct isp_idmap - the host ids behind the container's 0..65535 */
struct isp_idmap {
	uint32_t uid_start;
	uint32_t gid_start;
};

/**
 * isp_idmap_find() - the user's range
 * @store_fd: borrowed fd of ISPAWN_STORE_DIR, where the pool's file `ranges` lives
 * Runs as: host root.  Locks and may extend the pool's file.
 * Return: 0; -ERANGE pool used up; -EINVAL /etc/subuid, /etc/subgid or `ranges` unreadable (named).
 */
ISP_MUST_CHECK int isp_idmap_find(int store_fd, const struct isp_spec *spec,
				  struct isp_idmap *ret_map, struct isp_error *err);

/**
 * isp_idmap_find_subordinate() - a user's own range in /etc/subuid and /etc/subgid
 * Runs as: anybody.  Return: 1 and *@ret_map; 0 he has none of ISP_IDMAP_COUNT; -EINVAL; -errno.
 */
ISP_MUST_CHECK int isp_idmap_find_subordinate(const char *user, uid_t uid,
					      struct isp_idmap *ret_map, struct isp_error *err);

/**
 * isp_idmap_format() - lines for uid_map or gid_map
 * @start: host id behind container id 0
 * @own:   ids that stand for themselves, ascending, without duplicates
 * Return: 0; -E2BIG more than a page.
 */
ISP_MUST_CHECK int isp_idmap_format(uint32_t start, const uint32_t *own, size_t own_count,
				    char ret_text[ISP_IDMAP_TEXT_SIZE]);

/**
 * isp_idmap_write() - write both maps of the user namespace of @pid, our unreaped child
 * Runs as: host root with CAP_SETUID and CAP_SETGID.
 */
ISP_MUST_CHECK int isp_idmap_write(pid_t pid, const struct isp_spec *spec,
				   const struct isp_idmap *map, struct isp_error *err);

/**
 * isp_idmap_mount() - give a detached mount the ids of @userns_fd, and attributes
 * @userns_fd: -EBADF: the ids stay as they are
 * @attributes: MOUNT_ATTR_* to set besides
 * Kernel: mount_setattr(2), idmapped mounts since 5.12 (ext4, btrfs 5.15, tmpfs 6.3, ...).
 * Return: 0; -EINVAL the file system cannot be idmapped (said so, with @what); -errno.
 */
ISP_MUST_CHECK int isp_idmap_mount(int mount_fd, int userns_fd, uint64_t attributes,
				   const char *what, struct isp_error *err);

#endif
