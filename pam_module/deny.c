/* SPDX-License-Identifier: GPL-3.0-or-later */
/* deny.c - what PAM is told; contract in module.h.  What people are told: ispawn/session/denial.h
 */
#include "module.h"

#include "ispawn/base/journald.h"

#include <errno.h>
#include <security/pam_ext.h>
#include <stdio.h>
#include <syslog.h>

#define PREFIX_SIZE 128

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

/* As pam_syslog(3) puts it, which is the way where journald is not. */
static void send_line(pam_handle_t *pamh, int priority, const struct isp_line *line)
{
	const void *service = NULL;
	char name[PREFIX_SIZE - sizeof("pam_ispawn(:session): ")] = "";
	char prefix[PREFIX_SIZE];
	const struct isp_journald_entry entry = {.identifier = program_invocation_short_name,
						 .priority = priority,
						 .prefix = prefix,
						 .line = line};

	if (pam_get_item(pamh, PAM_SERVICE, &service) == PAM_SUCCESS && service)
		isp_escape(name, sizeof(name), service);
	(void)snprintf(prefix, sizeof(prefix), "pam_ispawn(%s:session): ", name); /* fits */
	if (isp_journald_send(&entry) < 0)
		pam_syslog(pamh, priority, "%s", line->text);
}

void isp_module_trouble(pam_handle_t *pamh, int priority, const char *user, const char *session,
			const struct isp_error *err)
{
	struct isp_line line = {0};

	isp_denial_line("trouble", user, session, err, &line);
	send_line(pamh, priority, &line);
}

void isp_module_debug(pam_handle_t *pamh, const char *user, const char *session, const char *event)
{
	struct isp_line line = {0};

	isp_line_add(&line, "session", "%s", session);
	isp_line_quote(&line, "user", user, 4 * ISP_NAME_MAX + 1);
	isp_line_say(&line, "%s", event);
	isp_line_note(&line, "event", event);
	send_line(pamh, LOG_DEBUG, &line);
}

int isp_module_deny(pam_handle_t *pamh, int flags, enum isp_denial denial, const char *user,
		    const char *session, const struct isp_error *err)
{
	char sentence[ISP_DENIAL_SENTENCE_SIZE];
	struct isp_line line = {0};

	isp_denial_line("denied", user, session, err, &line);
	send_line(pamh, isp_denial_priority(denial), &line);
	if ((unsigned int)flags & PAM_SILENT)
		return pam_codes[denial];
	isp_denial_sentence(denial, session, sentence);
	/* Ignored: an application that cannot show a sentence has denied the session all the same.
	 */
	(void)pam_error(pamh, "%s", sentence);
	return pam_codes[denial];
}
