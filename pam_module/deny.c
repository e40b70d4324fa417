/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * deny.c - what PAM, the administrator and the user are told; contract in module.h
 *
 * The log gets the cause.  The user gets a sentence without details, which may tell too much about
 * the host, and the session id, by which the administrator finds the line.
 */
#include "module.h"

#include <security/pam_ext.h>
#include <syslog.h>

/* No PAM_USER_UNKNOWN for an unknown user: stacks with user_unknown=ignore are common, and would
 * take the denial of a user whom nobody could look up for permission. */
static const struct {
	int pam_code;
	int priority;
	const char *sentence;
} outcomes[] = {
	[ISP_DENIAL_UNDECIDED] = {PAM_SESSION_ERR, LOG_ERR,
				  "the rules for this account could not be read"},
	[ISP_DENIAL_POLICY] = {PAM_PERM_DENIED, LOG_NOTICE,
			       "this account may not use this service"},
	[ISP_DENIAL_LIMIT] = {PAM_SESSION_ERR, LOG_NOTICE,
			      "this account has as many sessions open as it may have"},
	[ISP_DENIAL_NOT_READY] = {PAM_SESSION_ERR, LOG_ERR,
				  "the container could not be made ready"},
};
_Static_assert(sizeof(outcomes) / sizeof(outcomes[0]) == ISP_DENIAL_COUNT,
	       "every denial has an outcome");

/* Room for a name of ISP_NAME_MAX bytes, each of them escaped as \xNN. */
#define QUOTED_USER_SIZE (4 * ISP_NAME_MAX + 1)
/* Room for `stage=NAME: `, the text, and the words for the errno. */
#define REASON_SIZE (ISP_ERROR_TEXT_SIZE + 120)

void isp_module_log(pam_handle_t *pamh, int priority, const char *user, const char *session,
		    const struct isp_error *err)
{
	char quoted_user[QUOTED_USER_SIZE];
	char reason[REASON_SIZE];

	isp_escape(quoted_user, sizeof(quoted_user), user ? user : "");
	isp_err_describe(err, reason, sizeof(reason));
	pam_syslog(pamh, priority, "session=%s user=\"%s\" %s",
		   session && session[0] ? session : "-", quoted_user, reason);
}

int isp_module_deny(pam_handle_t *pamh, int flags, enum isp_denial denial, const char *user,
		    const char *session, const struct isp_error *err)
{
	isp_module_log(pamh, outcomes[denial].priority, user, session, err);
	if ((unsigned int)flags & PAM_SILENT)
		return outcomes[denial].pam_code;
	/* Ignored: an application that cannot show a sentence has denied the session all the same.
	 */
	if (session && session[0])
		(void)pam_error(pamh,
				"Login denied: %s (session %s). The system log has the reason.",
				outcomes[denial].sentence, session);
	else
		(void)pam_error(pamh, "Login denied: %s. The system log has the reason.",
				outcomes[denial].sentence);
	return outcomes[denial].pam_code;
}
