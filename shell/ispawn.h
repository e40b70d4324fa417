/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn.h - what the parts of the runner share
 *
 * Theory of operation: ispawn.c is a run from its command line to its exit status;
 * ispawn-run-options.c reads the command line; ispawn-run-policy.c makes a spec of it, with the
 * table of ispawn.conf's own keys; ispawn-run-directory.c opens the directory, once;
 * ispawn-run-supervisor.c starts what builds it; ispawn-run-rootless.c, -name.c and -cgroup.c are
 * for whoever is not root.  What stands in
 * for the command - streams, terminal, relay - is the login shell's (ispawn-shell.h).
 */
#ifndef ISPAWN_SHELL_ISPAWN_H
#define ISPAWN_SHELL_ISPAWN_H

#include "ispawn/policy/option.h"

#define RUN_SERVICE "ispawn" /* what the log says in the place of a PAM service */
#define RUN_SETENV_MAX 32

/**
 * struct run - one run; strings point into the command line but for @policy, which is owned
 * @argv: all of the command line
 * @policy: what was given for each key of ispawn.conf; NULL when nothing was
 * @directory_fd: the directory; owned
 * @path: its name, as the kernel sees it
 * @cgroup: rootless, the directory of the cgroup that is ours
 * @controllers: of that cgroup, as the kernel lists them; "" without one
 */
struct run {
	char **argv;
	const char *directory;
	char **command;
	int command_count;
	const char *user;
	const char *hostname;
	const char *working_directory;
	const char *config_section;
	const char *setenvs[RUN_SETENV_MAX];
	size_t setenv_count;
	char *policy[ISP_OPTION_TOTAL];
	bool is_ephemeral;
	bool is_readonly;
	bool is_best_effort;
	bool is_quiet;
	bool wants_help;
	int directory_fd;
	char path[PATH_MAX];
	char cgroup[PATH_MAX];
	char controllers[256];
};

/** warn() - one sentence on stderr, escaped by the caller. */
void warn(const char *fmt, ...) ISP_PRINTF(1, 2);

/**
 * options_parse() - read the command line, without acting on any of it
 * Return: 0; -EINVAL, with the option or argument named.
 */
ISP_MUST_CHECK int options_parse(int argc, char **argv, struct run *run, struct isp_error *err);

/** options_print_help() - the options with their types and defaults. Return: 0; -EIO. */
ISP_MUST_CHECK int options_print_help(void);

/** options_free() - what options_parse() has allocated. */
void options_free(struct run *run);

/**
 * directory_open() - open the directory and find out whether it may be written to
 * Runs as: host root or an ordinary user.  Sets @run->directory_fd and @run->path.
 * Return: 0; -EPERM others could reach what a program leaves in it; -errno.
 */
ISP_MUST_CHECK int directory_open(struct run *run, struct isp_error *err);

/**
 * rootless_enter() - become root of a user namespace of one's own, where all else goes on as for
 * root
 * @spec: what such a container cannot have is refused, or with --best-effort named and taken out
 * Runs as: an ordinary user.  Replaces @run->directory_fd by one of the new mount namespace.
 * Return: 0; -EPERM what cannot be enforced (named); -errno.
 */
ISP_MUST_CHECK int rootless_enter(struct run *run, struct isp_spec *spec, struct isp_error *err);

/**
 * name_find() - the name of @uid, where the host's name service knows one
 * @ret_name: the caller frees
 * Runs as: an ordinary user, with SIGCHLD not ignored.  Waits for at most ten seconds.
 * Return: 0; -ENOENT no such user, or nobody to ask; -EINVAL an answer that is none; -errno.
 */
ISP_MUST_CHECK int name_find(uid_t uid, char **ret_name, struct isp_error *err);

/** cgroup_take() - is our cgroup ours to divide?  Then step down into a leaf of it. */
bool cgroup_take(struct run *run);

/** cgroup_has() - can limits of this kind be set there? */
bool cgroup_has(const struct run *run, const char *controller);

/** cgroup_show() - put that cgroup in the place of the root, in a mount namespace of our own. */
ISP_MUST_CHECK int cgroup_show(const struct run *run, struct isp_error *err);

/**
 * supervisor_start() - start the supervisor for @spec, as isp_launch() does
 * Return: 0, and the container is being built; -errno.
 */
ISP_MUST_CHECK int supervisor_start(struct run *run, const struct isp_spec *spec,
				    int *ret_control_fd, struct isp_error *err);

/**
 * policy_freeze() - the build order for the run
 * @ret_spec: zeroed by the caller
 * Sets the variables of --setenv in our own environment, where the request takes them from.
 * Return: 0; -EINVAL; -ENOENT no such user or section; -errno.
 */
ISP_MUST_CHECK int policy_freeze(const struct run *run, struct isp_spec *ret_spec,
				 struct isp_error *err);

#endif
