/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * tmpfs.h - a file system in memory, bounded
 *
 * Theory of operation: a tmpfs is the host's memory.  Its bytes are charged to whoever writes them,
 * but empty files cost bytes of the kernel's that no size option counts, so the number of inodes
 * follows the size: as many files as would fit if each took a page.
 * Threat: a user who fills /tmp with a hundred million empty files.
 */
#ifndef ISPAWN_CONTAINER_TMPFS_H
#define ISPAWN_CONTAINER_TMPFS_H

#include "ispawn/base/err.h"

#include <stdint.h>

/**
 * isp_tmpfs_set_size() - bound the tmpfs that is being made
 * @fs_fd: of fsopen(2), before FSCONFIG_CMD_CREATE; borrowed
 * Return: 0; -1 with the errno of fsconfig(2).
 */
ISP_MUST_CHECK int isp_tmpfs_set_size(int fs_fd, uint64_t bytes);

#endif
