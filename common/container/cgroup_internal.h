/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * cgroup_internal.h - what the cgroup files share, and their unit test
 *
 * Theory of operation: a file of a controller is looked for by its name in every hierarchy in use.
 * The names say which controller they belong to, so one search serves v2, where all stand in one
 * directory, v1, where each has its own, and hosts that mount several controllers together.
 */
#ifndef ISPAWN_CONTAINER_CGROUP_INTERNAL_H
#define ISPAWN_CONTAINER_CGROUP_INTERNAL_H

#include "ispawn/container/cgroup.h"

/** isp_cgroup_empty() - a struct with every descriptor -EBADF. */
struct isp_cgroup isp_cgroup_empty(void);

/** isp_cgroup_find() - the first of @fds, one for each hierarchy of @cgroup, that has @file
 * The one whose name the file's begins with is asked first. Return: borrowed fd; -ENOENT; -errno.
 */
ISP_MUST_CHECK int isp_cgroup_find(const struct isp_cgroup *cgroup, const int *fds,
				   const char *file);

/**
 * isp_cgroup_read_counter() - one number of a cgroup file
 * @key: NULL when the file is one number; else the first word of the line
 * Return: 0; -ENOENT no such file or key; -EINVAL not a number ("max"); -errno.
 */
ISP_MUST_CHECK int isp_cgroup_read_counter(int dir_fd, const char *file, const char *key,
					   uint64_t *ret_value);

/** isp_cgroup_count() - the same, looked for in the hierarchies; 0 when there is none. */
uint64_t isp_cgroup_count(const struct isp_cgroup *cgroup, const int *fds, const char *file,
			  const char *key);

/** isp_cgroup_has_word() - does the space-separated @list hold @word? */
bool isp_cgroup_has_word(const char *list, const char *word);

/**
 * isp_cgroup_enable() - v2: give the children of @dir_fd the controllers that @limits need
 * @where: its path, for the record
 * Those that only count (memory peak, tasks) are enabled where there are, and not missed.
 * Return: 0; -ENOTSUP no such controller (named); -EBUSY @where holds processes; -errno of write.
 */
ISP_MUST_CHECK int isp_cgroup_enable(int dir_fd, const char *where, const struct isp_limits *limits,
				     struct isp_error *err);

/** isp_cgroup_write_limits() - @limits onto the user's directories. Return: as isp_cgroup_create()
 */
ISP_MUST_CHECK int isp_cgroup_write_limits(const struct isp_cgroup *cgroup,
					   const struct isp_limits *limits, struct isp_error *err);

#endif
