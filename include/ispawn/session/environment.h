/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * environment.h - the variables a tenant starts with
 *
 * Theory of operation: pure functions, an allowlist and a few facts from the spec.  A variable that
 * a client sets (sshd's AcceptEnv and PermitUserEnvironment, su without a dash) must not choose
 * which code runs before the tenant's first own instruction, so nothing passes unless it is named
 * here or by the administrator.  What an administrator may name is the spec's to check
 * (isp_spec_variable_is_allowed()): nothing that steers the loader, and not the identity (HOME,
 * USER, LOGNAME, SHELL, PATH), which comes from the spec, whatever the request says.
 */
#ifndef ISPAWN_SESSION_ENVIRONMENT_H
#define ISPAWN_SESSION_ENVIRONMENT_H

#include "ispawn/policy/spec.h"
#include "ispawn/session/request.h"

#define ISP_ENVIRONMENT_ENTRY_MAX (64 * 1024) /* bytes of one NAME=value */

/** isp_environment_is_sane() - NAME=value: a C identifier, '=', not longer than the maximum. */
bool isp_environment_is_sane(const char *entry);

/**
 * isp_environment_is_allowed() - may this variable of a request reach the tenant?
 * @entry: NAME=value or NAME
 * @spec:  its `environment` adds names
 */
bool isp_environment_is_allowed(const char *entry, const struct isp_spec *spec);

/**
 * isp_environment_build() - the tenant's whole environment
 * @shell:    path inside, for SHELL
 * @tty_name: the inside tty, which replaces SSH_TTY; NULL without one
 * @ret_environment: NULL-terminated, one allocation that the caller frees
 * Of a name that comes twice the first is taken.
 * Return: 0; -ENOMEM.
 */
ISP_MUST_CHECK int isp_environment_build(const struct isp_spec *spec,
					 const struct isp_request *request, const char *shell,
					 const char *tty_name, char ***ret_environment);

#endif
