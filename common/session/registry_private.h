/* SPDX-License-Identifier: GPL-3.0-or-later */
/* registry_private.h - what registry.c, sweep.c and spread.c share and nobody else needs */
#ifndef ISPAWN_SESSION_REGISTRY_PRIVATE_H
#define ISPAWN_SESSION_REGISTRY_PRIVATE_H

#include "ispawn/base/err.h"

#include <sys/types.h>

/** isp_registry_open_sessions() - ISPAWN_SESSIONS_DIR, made when missing. Return: 0; -errno. */
ISP_MUST_CHECK int isp_registry_open_sessions(int *ret_fd);

/** isp_registry_is_of() - is @id a session of @user? */
bool isp_registry_is_of(const char *id, const char *user);

/** isp_registry_read_pid() - the number in an entry's `pid`, at @path from @dir_fd; 0 unknown. */
pid_t isp_registry_read_pid(int dir_fd, const char *path);

#endif
