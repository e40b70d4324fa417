/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * freeze.h - from a subject to a verdict and a spec, in one call for every door
 *
 * Theory of operation: reads the configuration, asks the pure decision (decide.h) and, when the
 * verdict is to confine, fills in a spec.  It is the only place where configuration, decision and
 * spec meet, so that two doors cannot disagree about one user.  It does not know root or the
 * break-glass group: a door lets those through (isp_subject_is_exempt()) before it calls here, so
 * that a broken file cannot lock the administrator out.
 */
#ifndef ISPAWN_POLICY_FREEZE_H
#define ISPAWN_POLICY_FREEZE_H

#include "ispawn/policy/decide.h"

/**
 * isp_policy_freeze() - decide for one subject
 * @config_path: absolute path of ispawn.conf; conf.d beside it is read too
 * @ret_spec: zeroed by the caller; filled, session id included, only with ISP_VERDICT_CONFINE
 * Runs as: host root (the configuration must be trusted: isp_path_open_trusted()).
 * Return: 0 with *@ret_verdict set (for DENY the record says why, first line of the log);
 * -errno when no verdict could be reached: the caller denies.
 */
ISP_MUST_CHECK int isp_policy_freeze(const char *config_path, const struct isp_subject *subject,
				     enum isp_verdict *ret_verdict, struct isp_spec *ret_spec,
				     struct isp_error *err);

/**
 * isp_policy_read_resolvers() - the host's resolv.conf, for isp_policy_freeze_spec()
 * @ret_text: the caller frees; "" when it cannot be read
 * Return: 0; -ENOMEM.
 */
ISP_MUST_CHECK int isp_policy_read_resolvers(char **ret_text);

/**
 * isp_policy_freeze_spec() - the pure half: a decision to confine becomes a spec
 * @hostname: of this machine, as gethostname(2) gives it; in root's own containers a name for the
 *             place, which then is the whole of the container's
 * @resolvers: lines of the host's resolv.conf, used when the policy names no resolver and the
 *             container shares the host's network; "" = none
 * @ret_spec: zeroed by the caller
 * Return: 0; -EPERM uid or gid 0 or -1, or a user called ISP_ROOT_NAME, which root's own runs are;
 * -E2BIG more groups kept than fit; -ENOMEM; -errno of getrandom for the session id.
 */
ISP_MUST_CHECK int isp_policy_freeze_spec(const struct isp_settings *settings,
					  const struct isp_subject *subject, const char *hostname,
					  const char *resolvers, struct isp_spec *ret_spec,
					  struct isp_error *err);

#endif
