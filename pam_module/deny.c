/* SPDX-License-Identifier: GPL-3.0-or-later */
/* deny.c - what PAM is told; contract in module.h.  What people are told: ispawn/session/denial.h
 */
#include "module.h"

#include <security/pam_ext.h>

/* No PAM_USER_UNKNOWN for an unknown user: stacks with user_unknown=ignore are common, and would
 * take the denial of a user whom nobody could look up for permission. */
static const int pam_codes[] = {
	[ISP_DENIAL_UNDECIDED] = PAM_SESSION_ERR,
	[ISP_DENIAL_POLICY] = PAM_PERM_DENIED,
	[ISP_DENIAL_LIMIT] = PAM_SESSION_ERR,
	[ISP_DENIAL_NOT_READY] = PAM_SESSION_ERR,
};
_Static_assert(sizeof(pam_codes) / sizeof(pam_codes[0]) == ISP_DENIAL_COUNT,
	       "every denial has a code");

void isp_module_log(pam_handle_t *pamh, int priority, const char *user, const char *session,
		    const struct isp_error *err)
{
	char line[ISP_DENIAL_LINE_SIZE];

	isp_denial_line(user, session, err, line);
	pam_syslog(pamh, priority, "%s", line);
}

int isp_module_deny(pam_handle_t *pamh, int flags, enum isp_denial denial, const char *user,
		    const char *session, const struct isp_error *err)
{
	char sentence[ISP_DENIAL_SENTENCE_SIZE];

	isp_module_log(pamh, isp_denial_priority(denial), user, session, err);
	if ((unsigned int)flags & PAM_SILENT)
		return pam_codes[denial];
	isp_denial_sentence(denial, session, sentence);
	/* Ignored: an application that cannot show a sentence has denied the session all the same.
	 */
	(void)pam_error(pamh, "%s", sentence);
	return pam_codes[denial];
}
