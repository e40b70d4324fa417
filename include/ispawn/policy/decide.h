/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * decide.h - what applies to one subject
 *
 * Theory of operation: a pure function of a configuration and a subject.  The sections that name
 * the subject are laid over the defaults, weaker kinds first: [defaults], [service], [group] in
 * file order, [user].  Then three rules: `confine = no` - ispawn has no say; the PAM service is one
 * of `services` - confine; else what `other_services` says.  For each key the place that its value
 * came from is kept, so that an administrator can be told.
 */
#ifndef ISPAWN_POLICY_DECIDE_H
#define ISPAWN_POLICY_DECIDE_H

#include "ispawn/policy/config.h"
#include "ispawn/policy/subject.h"

/* The service of whoever comes by ispawn-door(8): always one of `services`, since a door that an
 * administrator has opened is meant. */
#define ISPAWN_DOOR_SERVICE "ispawn-door"

enum isp_verdict {
	ISP_VERDICT_DENY,   /* 0, so that forgetting to set a verdict denies */
	ISP_VERDICT_IGNORE, /* not a confined user: ispawn has no say */
	ISP_VERDICT_CONFINE,
};

/** struct isp_decision - starts `= { 0 }`, ends isp_decision_free() */
struct isp_decision {
	enum isp_verdict verdict;
	struct isp_settings settings;
	/* Where each key's value stands, by index of isp_options; NULL: the key's own default.
	 * Borrowed from the configuration. */
	const struct isp_config_section *section[ISP_OPTION_TOTAL];
	const struct isp_config_value *value[ISP_OPTION_TOTAL];
	char reason[ISP_ERROR_TEXT_SIZE]; /* one sentence, escaped */
};

/**
 * isp_decide() - the verdict and the effective settings
 * @config: must outlive the decision
 * Return: 0; -ENOMEM; -EINVAL a value that isp_config_load() should not have let in.
 */
ISP_MUST_CHECK int isp_decide(const struct isp_config *config, const struct isp_subject *subject,
			      struct isp_decision *ret_decision, struct isp_error *err);

/** isp_verdict_name() - "deny", "ignore", "confine". */
const char *isp_verdict_name(enum isp_verdict verdict);

void isp_decision_free(struct isp_decision *decision);
#define cleanup_decision __attribute__((cleanup(isp_decision_free)))

#endif
