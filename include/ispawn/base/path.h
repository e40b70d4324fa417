/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * path.h - opening what only root can have written
 *
 * Theory of operation: programs that run as host root execute, read and mount files by name.  That
 * is safe only when every directory on the way, and the file itself, belongs to root and can be
 * written by nobody else; otherwise whoever can write one of them chooses what root uses.  A
 * trusted open walks the path component by component with O_PATH, checks each with fstat on the
 * descriptor it will go on from, and follows no symlink that anybody but root owns.
 */
#ifndef ISPAWN_BASE_PATH_H
#define ISPAWN_BASE_PATH_H

#include "ispawn/base/err.h"

/* Where things live.  The build sets all of these; there is no other way to change them. */
#ifndef ISPAWN_SYSCONFDIR
#define ISPAWN_SYSCONFDIR "/etc/ispawn"
#endif
#ifndef ISPAWN_BINDIR
#define ISPAWN_BINDIR "/usr/local/bin"
#endif
#ifndef ISPAWN_LIBEXECDIR
#define ISPAWN_LIBEXECDIR "/usr/local/libexec/ispawn"
#endif
#ifndef ISPAWN_PAMDIR
#define ISPAWN_PAMDIR "/lib/security"
#endif
#define ISPAWN_CONFIG_FILE ISPAWN_SYSCONFDIR "/ispawn.conf"
#define ISPAWN_CONFIG_DROPINS "conf.d"                   /* beside the file */
#define ISPAWN_PROFILES_DIR ISPAWN_SYSCONFDIR "/seccomp" /* NAME.json */
#define ISPAWN_STORE_DIR "/var/lib/ispawn"
#define ISPAWN_CACHE_PARENT "/var/cache"
#define ISPAWN_CACHE_NAME "ispawn"
#define ISPAWN_CACHE_DIR ISPAWN_CACHE_PARENT "/" ISPAWN_CACHE_NAME /* compiled profiles */
#define ISPAWN_RUN_DIR "/run/ispawn"
#define ISPAWN_RUN_MODE 0711 /* whoever knows an id may pass, nobody lists */
#define ISPAWN_SESSIONS_DIR ISPAWN_RUN_DIR "/sessions"
#define ISPAWN_DOOR_SOCKET ISPAWN_RUN_DIR "/door"
#define ISPAWN_STARTS_DIR ISPAWN_RUN_DIR "/starts"
#define ISPAWN_COVER_DIR ISPAWN_RUN_DIR "/cover"
#define ISPAWN_COVERED_SHELL                                                                       \
	ISPAWN_COVER_DIR "/shell" /* the original shell, in covered namespaces */
#define ISPAWN_SHELL ISPAWN_BINDIR "/ispawn-shell"
#define ISPAWN_RUNNER ISPAWN_BINDIR "/ispawn"
#define ISPAWN_DOOR ISPAWN_LIBEXECDIR "/ispawn-door"
#define ISPAWN_SUPERVISOR ISPAWN_LIBEXECDIR "/ispawn-supervisor"
#define ISPAWN_INIT ISPAWN_LIBEXECDIR "/ispawn-init"
#define ISPAWN_ENTER ISPAWN_LIBEXECDIR "/ispawn-enter"
#define ISPAWN_SECCOMP ISPAWN_LIBEXECDIR "/ispawn-seccomp"
#define ISPAWN_SESSION_VARIABLE "ISPAWN_SESSION"

/** isp_path_is_clean() - absolute, no empty, "." or ".." part, no control byte, < PATH_MAX. */
bool isp_path_is_clean(const char *path);

/**
 * isp_path_open_trusted() - open @path when root alone can change what it names
 * @path:  clean (isp_path_is_clean())
 * @flags: for the last component (O_CLOEXEC and O_NOFOLLOW are added; O_NONBLOCK for files)
 * Every directory on the way and the target: owner uid 0, not writable by group or others (a
 * sticky directory such as /tmp counts as writable).  Symlinks owned by root are followed, at
 * most 16 of them.
 * Runs as: host root, before anything from inside a container is in sight.
 * Return: 0; -EPERM not trusted (the record names the component); -ENOENT ...: -errno of openat.
 */
ISP_MUST_CHECK int isp_path_open_trusted(const char *path, int flags, enum isp_stage stage,
					 int *ret_fd, struct isp_error *err);

/**
 * isp_path_open_program() - a program of ours, O_PATH
 * @is_rootless: whoever executes it has no rights but his own, so that nobody could gain any by
 *               putting another one in its place: whose it is does not matter
 */
ISP_MUST_CHECK int isp_path_open_program(const char *path, bool is_rootless, enum isp_stage stage,
					 int *ret_fd, struct isp_error *err);

/**
 * isp_path_make_dir() - mkdir -p of one level that must be root's, with exactly this mode
 * @dir_fd, @name: borrowed parent and one component
 * @ret_fd: O_DIRECTORY fd of the directory, made or found; may be NULL
 * Return: 0; -EPERM found with another owner, or writable by others; -errno.
 */
ISP_MUST_CHECK int isp_path_make_dir(int dir_fd, const char *name, unsigned int mode, int *ret_fd);

/**
 * isp_path_make_run_dir() - ISPAWN_RUN_DIR/@name, with the directory above it
 * Return: as isp_path_make_dir(); -EPERM also when /run itself can be changed by others than root.
 */
ISP_MUST_CHECK int isp_path_make_run_dir(const char *name, unsigned int mode, int *ret_fd);

/**
 * isp_path_remove_tree() - rm -rf of @name under @dir_fd, never leaving the file system, never
 * following a symlink; missing is fine.
 * Runs as: host root, on trees that no session can reach any more.
 * Return: 0; -errno of the first failure (the rest is still tried).
 */
ISP_MUST_CHECK int isp_path_remove_tree(int dir_fd, const char *name);

#endif
