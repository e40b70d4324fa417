/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl.h - what the parts of ispawnctl share
 *
 * Theory of operation: ispawnctl.c holds the table of verbs, from which the usage text comes; each
 * verb is a function of one file that takes its own arguments and returns the exit status.
 * Everything that a user chose is escaped before it is printed.
 */
#ifndef ISPAWN_SHELL_ISPAWNCTL_H
#define ISPAWN_SHELL_ISPAWNCTL_H

#include "ispawn/container/cgroup.h"
#include "ispawn/container/profile.h"
#include "ispawn/session/registry.h"

enum { STATUS_OK, STATUS_FAILED, STATUS_USAGE };

/** say() - one line to stderr: "ispawnctl: ..." */
void say(const char *fmt, ...) ISP_PRINTF(1, 2);

/** say_error() - likewise, for a failure; returns STATUS_FAILED. */
int say_error(const struct isp_error *err);

/** refuse_argument() - for an argument that a verb does not take; returns STATUS_USAGE. */
int refuse_argument(const char *verb, const char *argument);

/* The verbs. @argv: what follows the verb, @argc of them. Return: the exit status. */
int list_run(int argc, char **argv);
int kill_run(int argc, char **argv);
int check_run(int argc, char **argv);
int gc_run(int argc, char **argv);
int explain_run(int argc, char **argv);
int audit_run(int argc, char **argv);
int doctor_run(int argc, char **argv);
int enter_run(int argc, char **argv);
int top_run(int argc, char **argv);
int log_run(int argc, char **argv);

/* --- ispawnctl-sessions.c: the registry as an array ------------------------------------------- */

/** struct sessions - starts `= { 0 }`, ends sessions_free() */
struct sessions {
	struct isp_listed *items; /* oldest first */
	size_t count;
};

/** sessions_collect() - all entries that can be read. Return: 0; -errno. */
ISP_MUST_CHECK int sessions_collect(struct sessions *sessions, struct isp_error *err);

/** sessions_connect() - isp_registry_connect(), but within 10 seconds. Return: 0; -EINTR; -errno.
 */
ISP_MUST_CHECK int sessions_connect(const char *id, int *ret_fd);

void sessions_free(struct sessions *sessions);
#define cleanup_sessions __attribute__((cleanup(sessions_free)))

/* --- ispawnctl-probe.c: can this machine hold a container? ------------------------------------ */

/* What each of these tries is done and undone in a child process; nothing of it stays.
 * Return: 0; -errno, the record saying what a login would have said. */

typedef int probe_function(const void *closure, struct isp_error *err);

/** probe_in_child() - run @probe in a child and take its record over */
ISP_MUST_CHECK int probe_in_child(probe_function *probe, const void *closure,
				  struct isp_error *err);

/** probe_limits() - the limits, on a cgroup of nobody's */
ISP_MUST_CHECK int probe_limits(const struct isp_limits *limits, struct isp_error *err);

/** probe_namespaces() - all of them, and an id map */
ISP_MUST_CHECK int probe_namespaces(struct isp_error *err);

/** probe_seccomp() - the filter that a login gets, with its proof */
ISP_MUST_CHECK int probe_seccomp(struct isp_error *err);

/**
 * probe_rootfs() - the root of a container, in a scratch directory of the store
 * @template_path: ISPAWN_STORE_DIR/templates/NAME/rootfs; must be trusted
 * With rootfs = copy only the idmapped mount is tried: the copy itself is large and plain.
 */
ISP_MUST_CHECK int probe_rootfs(const char *template_path, enum isp_rootfs rootfs,
				struct isp_error *err);

/** probe_store() - idmapped mounts on the store's file system, for home = private */
ISP_MUST_CHECK int probe_store(struct isp_error *err);

/* --- ispawnctl-profile.c: system call filters other than the default -------------------------- */

/** probe_learn() - the filter, its proof, and whether the kernel logs for it */
ISP_MUST_CHECK int probe_learn(struct isp_error *err);

/**
 * probe_profile() - compile a profile anew, keep it, and run a program under it
 * @ret_profile: ends isp_profile_free(), after a failure too
 */
ISP_MUST_CHECK int probe_profile(const char *name, uint64_t capabilities,
				 struct isp_profile *ret_profile, struct isp_error *err);

typedef void profile_function(void *closure, const char *name);

/** profiles_each() - the names of the profiles in their directory, whatever they are */
ISP_MUST_CHECK int profiles_each(profile_function *each, void *closure, struct isp_error *err);

#endif
