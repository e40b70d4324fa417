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

#define ISP_CGROUP_ROOT "/sys/fs/cgroup"
#define ISP_CGROUP_OURS "ispawn"
#define ISP_CGROUP_UNIFIED "unified" /* v2, alone or beside v1 */
#define ISP_CGROUP_DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/** struct isp_cgroup_roots - the hierarchies' own roots; descriptors owned */
struct isp_cgroup_roots {
	bool is_v2;
	size_t count;
	int fd[ISP_CGROUP_HIERARCHIES_MAX];
	const char *controller[ISP_CGROUP_HIERARCHIES_MAX];
};

void isp_cgroup_close_roots(struct isp_cgroup_roots *roots);
#define cleanup_roots __attribute__((cleanup(isp_cgroup_close_roots)))

/** isp_cgroup_find_roots() - the hierarchies in use. @roots: with a count of 0 before. */
ISP_MUST_CHECK int isp_cgroup_find_roots(struct isp_cgroup_roots *roots, struct isp_error *err);

/** isp_cgroup_open_unified() - the root of v2, alone or beside v1. Return: 0; -ENOENT; -errno. */
ISP_MUST_CHECK int isp_cgroup_open_unified(int *ret_fd);

/** isp_cgroup_is_unified() - is that what v2 is called among the controllers? */
bool isp_cgroup_is_unified(const char *controller);

/** isp_cgroup_is_mounted_at() - is @fd in a hierarchy of v2, or of v1? */
bool isp_cgroup_is_mounted_at(int fd, bool is_v2);

/**
 * isp_cgroup_make_and_open() - a directory that may be there already
 * Return: 1 @name was made, 0 found, and is open; -ENOENT the parent is gone; -ENOTDIR the name is
 * a file of the kernel's; -errno.
 */
ISP_MUST_CHECK int isp_cgroup_make_and_open(int parent_fd, const char *name, int *ret_fd);

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
